/* table_index_builder.c - see table_index_builder.h for the purpose and table_format.h for the bytes. */
#include "engine/table_index_builder.h"

enum { NIBBLE_LONG = 15, STEP_HEADER_BYTES_MAX = 5, BLOCKS_PER_YIELD = 256 };

void table_index_builder_init(struct table_index_builder *b, struct reactor *r, uint32_t block_units)
{
    b->r = r;
    b->block_count = b->data_units = 0;
    b->block_units = block_units;
    b->has_runs = false;
    b->prefix.bytes = b->last.bytes = b->first.bytes = b->separator.bytes = 0;
    table_pieces_init(&b->gathered, r);
    table_pieces_init(&b->positions, r);
    table_pieces_init(&b->units, r);
    table_pieces_init(&b->separators, r);
    table_pieces_init(&b->offsets, r);
}

void table_index_builder_deinit(struct table_index_builder *b)
{
    table_pieces_deinit(&b->gathered);
    table_pieces_deinit(&b->positions);
    table_pieces_deinit(&b->units);
    table_pieces_deinit(&b->separators);
    table_pieces_deinit(&b->offsets);
}

static int append_u16(struct table_pieces *p, size_t value)
{
    uint8_t half[2];
    ASSERT(value <= UINT16_MAX);
    store_u16le(half, (uint16_t)value);
    return table_pieces_append(p, half, sizeof half);
}

static int append_u32(struct table_pieces *p, uint64_t value)
{
    uint8_t word[4];
    ASSERT(value <= UINT32_MAX);
    store_u32le(word, (uint32_t)value);
    return table_pieces_append(p, word, sizeof word);
}

static size_t common_bytes(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    size_t same = 0;
    while (same < a_bytes && same < b_bytes && a[same] == b[same])
        same++;
    return same;
}

/* ---- while the table is written ---- */

static void narrow_prefix(struct table_index_builder *b)
{
    size_t head = table_sort_head(b->first.data);
    const uint8_t *rest = b->first.data + head;
    size_t bytes = b->first.bytes - head;
    if (b->block_count == 0) {
        memcpy(b->prefix.data, rest, bytes);
        b->prefix.bytes = bytes;
    } else {
        b->prefix.bytes = common_bytes(b->prefix.data, b->prefix.bytes, rest, bytes);
    }
}

/* The separator of this block: so many bytes of its first key. */
static int gather(struct table_index_builder *b, size_t bytes)
{
    struct table_sort_copy *s = &b->separator;
    size_t same = common_bytes(s->data, s->bytes, b->first.data, bytes);
    memcpy(s->data + same, b->first.data + same, bytes - same);
    s->bytes = bytes;
    int rc = append_u16(&b->gathered, same);
    if (rc == 0)
        rc = append_u16(&b->gathered, bytes - same);
    return rc ? rc : table_pieces_append(&b->gathered, s->data + same, bytes - same);
}

int table_index_builder_add(struct table_index_builder *b, uint32_t units, const struct record_key *first,
                            const struct record_key *last)
{
    int rc = 0;
    if (b->block_count % TABLE_INDEX_GROUP == 0)
        rc = append_u32(&b->positions, b->data_units);
    if (rc == 0)
        rc = append_u16(&b->units, units);
    if (rc)
        return rc;
    b->first.bytes = table_sort_key(b->first.data, first);
    narrow_prefix(b);
    struct slice before = slice_of(b->last.data, b->last.bytes);
    struct slice key = slice_of(b->first.data, b->first.bytes);
    rc = gather(b, b->block_count ? table_separator_bytes(before, key) : 0); /* nothing is below the first */
    b->last.bytes = table_sort_key(b->last.data, last);
    b->has_runs |= units != b->block_units;
    b->data_units += units;
    b->block_count++;
    return rc;
}

/* ---- at its end ---- */

static size_t step_header(uint8_t *to, size_t dropped, size_t added)
{
    uint8_t *end = to + 1;
    bool is_far = dropped >= NIBBLE_LONG, is_long = added >= NIBBLE_LONG;
    *to = (uint8_t)((is_far ? NIBBLE_LONG : dropped) << 4 | (is_long ? NIBBLE_LONG : added));
    if (is_far) {
        store_u16le(end, (uint16_t)dropped);
        end += 2;
    }
    if (is_long) {
        store_u16le(end, (uint16_t)added);
        end += 2;
    }
    return (size_t)(end - to);
}

/* The separator, written after the one before, which it replaces. */
static int put_separator(struct table_index_builder *b, struct table_sort_copy *before,
                         struct slice separator)
{
    uint8_t header[STEP_HEADER_BYTES_MAX];
    size_t same = common_bytes(before->data, before->bytes, separator.data, separator.bytes);
    struct slice added = slice_of(separator.data + same, separator.bytes - same);
    int rc =
        table_pieces_append(&b->separators, header, step_header(header, before->bytes - same, added.bytes));
    if (rc == 0)
        rc = table_pieces_append(&b->separators, added.data, added.bytes);
    slice_put(before->data + same, added);
    before->bytes = separator.bytes;
    return rc;
}

/* The separator with one byte for the prefix, if it reaches behind the namespace. `s` is changed. */
static struct slice without_prefix(const struct table_index_builder *b, struct table_sort_copy *s)
{
    size_t head = s->bytes > 2 ? table_sort_head(s->data) : s->bytes;
    if (b->prefix.bytes == 0 || s->bytes <= head)
        return slice_of(s->data, s->bytes);
    size_t tail = s->bytes > head + b->prefix.bytes ? s->bytes - head - b->prefix.bytes : 0;
    memmove(s->data + head + 1, s->data + head + b->prefix.bytes, tail);
    s->data[head] = TABLE_WITH_PREFIX;
    return slice_of(s->data, head + 1 + tail);
}

/* Waits: yields. Needs no more memory for strings: those of the last block serve. */
static int make_separators(struct table_index_builder *b)
{
    struct table_pieces_reader from;
    struct table_sort_copy *whole = &b->first, *plain = &b->last, *before = &b->separator;
    int rc = 0;
    table_pieces_reader_init(&from, &b->gathered);
    whole->bytes = before->bytes = 0;
    for (uint32_t i = 0; i < b->block_count && rc == 0; i++) {
        uint8_t halves[4];
        table_pieces_read(&from, halves, sizeof halves);
        size_t same = load_u16le(halves), more = load_u16le(halves + 2);
        table_pieces_read(&from, whole->data + same, more);
        whole->bytes = same + more;
        memcpy(plain->data, whole->data, whole->bytes);
        plain->bytes = whole->bytes;
        if (i % TABLE_INDEX_GROUP == 0) {
            before->bytes = 0;
            rc = append_u32(&b->offsets, b->separators.bytes);
        }
        if (rc == 0)
            rc = put_separator(b, before, without_prefix(b, plain));
        if (i % BLOCKS_PER_YIELD == 0)
            task_yield_if_due(b->r);
    }
    return rc;
}

int table_index_builder_write(struct table_index_builder *b, struct table_section *section,
                              struct slice bounds)
{
    if (b->block_count < 2)
        b->prefix.bytes = 0;
    int rc = make_separators(b);
    if (rc == 0)
        rc = table_section_append_u32(section, b->separators.bytes);
    if (rc == 0)
        rc = table_section_append_u32(section, b->prefix.bytes);
    if (rc == 0)
        rc = table_section_append_u32(section, bounds.bytes);
    if (rc == 0)
        rc = table_section_append_pieces(section, &b->offsets);
    if (rc == 0 && b->has_runs)
        rc = table_section_append_pieces(section, &b->positions);
    if (rc == 0 && b->has_runs)
        rc = table_section_append_pieces(section, &b->units);
    if (rc == 0)
        rc = table_section_append_pieces(section, &b->separators);
    if (rc == 0)
        rc = table_section_append(section, b->prefix.data, b->prefix.bytes);
    return rc ? rc : table_section_append(section, bounds.data, bounds.bytes);
}
