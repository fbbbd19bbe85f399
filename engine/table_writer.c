/* table_writer.c - writes an SSTable from front to back; see table_format.h for the bytes.
 *
 * Blocks are made in place in the output's buffers. What the end of the file needs (separators, hashes of the
 * keys) gathers in pieces meanwhile: some 9 bytes a key. A table exists only when its footer does, and the
 * footer goes out last, so what a crash leaves behind is never taken for a table. */
#include "engine/filter.h"
#include "engine/table_block.h"
#include "engine/table_index.h"
#include "engine/table_output.h"
#include "engine/table_pieces.h"

enum { HASHES_PER_YIELD = 512 };

/* A copy of a key. */
struct key_copy {
    struct record_key key;
    uint8_t bytes[KEY_BYTES_MAX + SUBKEY_BYTES_MAX];
};

struct table_writer {
    struct reactor *r;
    char *path;
    int error;
    bool is_open; /* the file may be there */
    bool is_finished;
    bool has_runs;
    struct table_output output;
    struct table_block_builder block;
    uint32_t block_count;
    struct table_pieces separators;
    struct table_pieces offsets;   /* u32 in `separators`, one a block */
    struct table_pieces positions; /* u32, one a block */
    struct table_pieces hashes;    /* u64, one an entry */
    struct table_summary summary;
    uint8_t *run; /* memory for a large entry, kept */
    uint32_t run_units;
    unsigned latest; /* which of the two is the key added last */
    size_t sort_bytes[2];
    uint8_t sort_keys[2][TABLE_SORT_KEY_BYTES_MAX];
    struct key_copy smallest;
    struct key_copy largest;
};

uint64_t table_key_hash(const struct record_key *key)
{
    /* the multiplier is odd and large, so namespaces 0, 1, 2 ... are far apart as seeds */
    uint64_t seed = key->namespace_id * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = XXH3_64bits_withSeed(key->key.data, key->key.bytes, seed);
    return key->subkey.bytes ? XXH3_64bits_withSeed(key->subkey.data, key->subkey.bytes, hash) : hash;
}

static void copy_key(struct key_copy *to, const struct record_key *key)
{
    memcpy(to->bytes, key->key.data, key->key.bytes);
    if (key->subkey.bytes)
        memcpy(to->bytes + key->key.bytes, key->subkey.data, key->subkey.bytes);
    to->key = *key;
    to->key.key = slice_of(to->bytes, key->key.bytes);
    to->key.subkey = slice_of(to->bytes + key->key.bytes, key->subkey.bytes);
}

static char *copy_path(struct reactor *r, const char *path)
{
    size_t bytes = strlen(path) + 1;
    char *copy = reactor_alloc(r, bytes);
    if (copy)
        memcpy(copy, path, bytes);
    return copy;
}

int table_writer_open(struct reactor *r, const struct table_writer_options *o, struct table_writer **out)
{
    struct table_writer *w = reactor_alloc_zeroed(r, sizeof *w);
    if (!w)
        return TORC_E_NO_MEMORY;
    w->r = r;
    w->summary =
        (struct table_summary){.number = o->number, .clock_min = UINT64_MAX, .expiry_min_ms = UINT64_MAX};
    table_pieces_init(&w->separators, r);
    table_pieces_init(&w->offsets, r);
    table_pieces_init(&w->positions, r);
    table_pieces_init(&w->hashes, r);
    w->path = copy_path(r, o->path);
    int rc = w->path ? table_output_init(&w->output, r, o->path) : TORC_E_NO_MEMORY;
    w->is_open = w->output.file != NULL;
    if (rc) {
        w->output.r = r; /* init may not have come so far */
        table_writer_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

void table_writer_close(struct table_writer *w)
{
    if (!w)
        return;
    struct reactor *r = w->r;
    table_output_deinit(&w->output);
    /* one that cannot be removed is no table either: it has no footer, and recovery removes what the manifest
     * lacks */
    if (w->is_open && !w->is_finished && file_remove(r, w->path) != 0)
        w->error = TORC_E_STORAGE;
    table_pieces_deinit(&w->separators);
    table_pieces_deinit(&w->offsets);
    table_pieces_deinit(&w->positions);
    table_pieces_deinit(&w->hashes);
    reactor_free(r, w->run);
    reactor_free(r, w->path);
    reactor_free(r, w);
}

uint64_t table_writer_bytes(const struct table_writer *w)
{
    uint64_t open_block = w->block.count ? TABLE_UNIT_BYTES : 0;
    uint64_t index = w->separators.bytes + w->offsets.bytes + w->positions.bytes;
    return table_output_bytes(&w->output) + open_block + index + filter_bytes(w->summary.entries) +
           TABLE_UNIT_BYTES;
}

static uint32_t position_of(const struct table_writer *w)
{
    uint64_t units = table_output_bytes(&w->output) / TABLE_UNIT_BYTES;
    ASSERT(units + TABLE_BLOCK_UNITS_MAX <= TABLE_UNITS_MAX); /* whoever writes a table splits long before */
    return (uint32_t)units;
}

/* The key added last is the first of a new block: notes its separator. */
static int begin_block(struct table_writer *w)
{
    uint8_t word[4];
    struct slice key = slice_of(w->sort_keys[w->latest], w->sort_bytes[w->latest]);
    struct slice previous = slice_of(w->sort_keys[w->latest ^ 1], w->sort_bytes[w->latest ^ 1]);
    store_u32le(word, (uint32_t)w->separators.bytes);
    int rc = table_pieces_append(&w->offsets, word, sizeof word);
    store_u32le(word, position_of(w));
    if (rc == 0)
        rc = table_pieces_append(&w->positions, word, sizeof word);
    size_t bytes =
        w->block_count ? table_separator_bytes(previous, key) : 0; /* nothing is below the first block */
    if (rc == 0)
        rc = table_pieces_append(&w->separators, key.data, bytes);
    w->block_count++;
    return rc;
}

static int end_block(struct table_writer *w)
{
    if (w->block.count == 0)
        return 0;
    table_block_finish(&w->block, w->summary.number, position_of(w));
    int rc = table_output_unit_done(&w->output);
    task_yield_if_due(w->r);
    return rc;
}

static int reserve_run(struct table_writer *w, uint32_t units)
{
    if (units <= w->run_units)
        return 0;
    reactor_free(w->r, w->run);
    w->run = reactor_alloc(w->r, (size_t)units * TABLE_UNIT_BYTES);
    w->run_units = w->run ? units : 0;
    return w->run ? 0 : TORC_E_NO_MEMORY;
}

/* A record, and the bytes of its entry where they are known: null when they are still to be made. */
struct addition {
    const struct record *record;
    struct slice entry;
};

static void put_entry(uint8_t *to, const struct addition *a)
{
    if (a->entry.data)
        memcpy(to, a->entry.data, a->entry.bytes);
    else
        entry_encode(to, a->record);
}

static int add_run(struct table_writer *w, const struct addition *a)
{
    uint32_t units = table_run_units(a->entry.bytes);
    int rc = reserve_run(w, units);
    if (rc == 0)
        rc = begin_block(w);
    if (rc)
        return rc;
    w->has_runs = true;
    put_entry(w->run, a);
    table_block_finish_run(w->run, a->entry.bytes, w->summary.number, position_of(w));
    task_yield_if_due(w->r);
    return table_output_append(&w->output, w->run, (size_t)units * TABLE_UNIT_BYTES);
}

static int add_to_block(struct table_writer *w, const struct addition *a)
{
    if (w->block.count == 0) {
        int rc = begin_block(w);
        if (rc)
            return rc;
        w->block.to = table_output_unit(&w->output);
    }
    put_entry(table_block_add(&w->block, a->entry.bytes), a);
    return 0;
}

static void summarize(struct table_writer *w, const struct record *record)
{
    struct table_summary *s = &w->summary;
    const struct record_key *k = &record->key;
    uint64_t clock = record->version.clock;
    if (s->entries++ == 0)
        copy_key(&w->smallest, k);
    copy_key(&w->largest, k);
    s->tombstones += (record->flags & RECORD_TOMBSTONE) != 0;
    s->clock_min = clock < s->clock_min ? clock : s->clock_min;
    s->clock_max = clock > s->clock_max ? clock : s->clock_max;
    s->payload_bytes += k->key.bytes + k->subkey.bytes + record->value.bytes;
    if (!(record->flags & RECORD_EXPIRING))
        return;
    s->expiring++;
    s->expiry_min_ms = record->expiry_ms < s->expiry_min_ms ? record->expiry_ms : s->expiry_min_ms;
    s->expiry_max_ms = record->expiry_ms > s->expiry_max_ms ? record->expiry_ms : s->expiry_max_ms;
}

/* Returns: false when the key is not above the one before. */
static bool note_sort_key(struct table_writer *w, const struct record_key *key)
{
    unsigned next = w->latest ^ 1;
    w->sort_bytes[next] = table_sort_key(w->sort_keys[next], key);
    struct slice before = slice_of(w->sort_keys[w->latest], w->sort_bytes[w->latest]);
    if (w->summary.entries > 0 &&
        slice_compare(before, slice_of(w->sort_keys[next], w->sort_bytes[next])) >= 0)
        return false;
    w->latest = next;
    return true;
}

static int place(struct table_writer *w, const struct addition *a)
{
    if (!note_sort_key(w, &a->record->key))
        return TORC_E_CORRUPT;
    int rc = 0;
    if (!table_block_fits(w->block.bytes, w->block.count, a->entry.bytes))
        rc = end_block(w);
    if (rc == 0)
        rc = table_block_fits(0, 0, a->entry.bytes) ? add_to_block(w, a) : add_run(w, a);
    uint64_t hash = table_key_hash(&a->record->key);
    if (rc == 0)
        rc = table_pieces_append(&w->hashes, &hash, sizeof hash); /* in memory only */
    return rc;
}

static int add(struct table_writer *w, const struct addition *a)
{
    ASSERT(!w->is_finished);
    if (w->error)
        return w->error;
    w->error = place(w, a);
    if (w->error == 0)
        summarize(w, a->record);
    return w->error;
}

int table_writer_add(struct table_writer *w, const struct record *record)
{
    return add(w, &(struct addition){record, {.data = NULL, .bytes = entry_bytes(record)}});
}

int table_writer_add_entry(struct table_writer *w, const struct record *record, struct slice entry)
{
    ASSERT(entry.data && entry.bytes == entry_bytes(record));
    return add(w, &(struct addition){record, entry});
}

/* ---- the end of the file: sections, each padded and with a checksum of its own ---- */

struct section {
    struct table_output *output;
    XXH3_state_t hash;
    uint64_t bytes;
};

static void section_begin(struct section *s, struct table_output *output)
{
    s->output = output;
    s->bytes = 0;
    XXH3_64bits_reset(&s->hash);
}

static int section_append(struct section *s, const void *from, size_t bytes)
{
    const uint8_t *rest = from;
    while (bytes > 0) {
        size_t part = bytes < TABLE_OUTPUT_BUFFER_BYTES ? bytes : TABLE_OUTPUT_BUFFER_BYTES;
        XXH3_64bits_update(&s->hash, rest, part);
        int rc = table_output_append(s->output, rest, part);
        if (rc)
            return rc;
        s->bytes += part;
        rest += part;
        bytes -= part;
    }
    return 0;
}

static int section_append_pieces(struct section *s, const struct table_pieces *pieces)
{
    int rc = 0;
    for (const struct table_piece *p = pieces->first; p && rc == 0; p = p->next)
        rc = section_append(s, p->bytes, p->used);
    return rc;
}

static int section_append_u32(struct section *s, uint64_t value)
{
    uint8_t word[4];
    ASSERT(value <= UINT32_MAX);
    store_u32le(word, (uint32_t)value);
    return section_append(s, word, sizeof word);
}

static int section_end(struct section *s, uint64_t *bytes, uint64_t *checksum)
{
    static const uint8_t zeros[TABLE_UNIT_BYTES];
    int rc = section_append(s, zeros, table_padded(s->bytes) - s->bytes);
    *bytes = s->bytes;
    *checksum = XXH3_64bits_digest(&s->hash);
    return rc;
}

static int write_index_arrays(struct table_writer *w, struct section *s, uint64_t bounds_bytes,
                              uint32_t data_units)
{
    int rc = section_append_u32(s, w->separators.bytes);
    if (rc == 0)
        rc = section_append_u32(s, bounds_bytes);
    if (rc == 0)
        rc = section_append_pieces(s, &w->offsets);
    if (rc == 0)
        rc = section_append_u32(s, w->separators.bytes);
    if (rc == 0 && w->has_runs)
        rc = section_append_pieces(s, &w->positions);
    if (rc == 0 && w->has_runs)
        rc = section_append_u32(s, data_units);
    return rc ? rc : section_append_pieces(s, &w->separators);
}

static int write_index(struct table_writer *w, struct table_footer *f)
{
    struct section s;
    uint8_t bounds[TABLE_BOUNDS_BYTES_MAX];
    size_t bounds_bytes = 0;
    if (w->summary.entries > 0) {
        bounds_bytes = table_bound_encode(bounds, &w->smallest.key);
        bounds_bytes += table_bound_encode(bounds + bounds_bytes, &w->largest.key);
    }
    section_begin(&s, &w->output);
    int rc = write_index_arrays(w, &s, bounds_bytes, f->data_units);
    if (rc == 0)
        rc = section_append(&s, bounds, bounds_bytes);
    return rc ? rc : section_end(&s, &f->index_bytes, &f->index_checksum);
}

static void fill_filter(struct table_writer *w, uint8_t *lines, uint64_t line_count)
{
    for (const struct table_piece *p = w->hashes.first; p; p = p->next)
        for (uint64_t at = 0; at < p->used; at += sizeof(uint64_t)) {
            uint64_t hash;
            memcpy(&hash, p->bytes + at, sizeof hash);
            filter_add(lines, line_count, hash);
            if (at % (HASHES_PER_YIELD * sizeof hash) == 0)
                task_yield_if_due(w->r);
        }
}

static int write_filter(struct table_writer *w, struct table_footer *f)
{
    uint64_t bytes = filter_bytes(w->summary.entries);
    uint8_t *lines = reactor_alloc_zeroed(w->r, bytes);
    if (!lines)
        return TORC_E_NO_MEMORY;
    f->filter_lines = bytes / FILTER_LINE_BYTES;
    fill_filter(w, lines, f->filter_lines);
    struct section s;
    section_begin(&s, &w->output);
    int rc = section_append(&s, lines, bytes);
    if (rc == 0)
        rc = section_end(&s, &f->filter_bytes, &f->filter_checksum);
    reactor_free(w->r, lines);
    return rc;
}

static int finish(struct table_writer *w)
{
    struct table_footer f = {.block_count = w->block_count, .has_runs = w->has_runs};
    int rc = end_block(w);
    f.data_units = (uint32_t)(table_output_bytes(&w->output) / TABLE_UNIT_BYTES);
    if (rc == 0)
        rc = write_index(w, &f);
    if (rc == 0)
        rc = write_filter(w, &f);
    if (rc)
        return rc;
    w->summary.bytes = table_output_bytes(&w->output) + TABLE_UNIT_BYTES;
    f.summary = w->summary;
    table_footer_encode(table_output_unit(&w->output), &f);
    rc = table_output_unit_done(&w->output);
    return rc ? rc : table_output_finish(&w->output);
}

int table_writer_finish(struct table_writer *w, struct table_summary *out)
{
    ASSERT(!w->is_finished);
    if (w->error == 0)
        w->error = finish(w);
    if (w->error)
        return w->error;
    w->is_finished = true;
    w->summary.smallest = w->smallest.key;
    w->summary.largest = w->largest.key;
    *out = w->summary;
    return 0;
}
