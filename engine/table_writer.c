/* table_writer.c - writes an SSTable from front to back; see table_format.h for the bytes.
 *
 * Blocks are made in place in the output's buffers, or gather in those of a packer. What the end of the
 * file needs (separators, hashes of the keys) gathers in pieces meanwhile: some 9 bytes a key. A table
 * exists only when its footer does, and the footer goes out last, so what a crash leaves behind is never
 * taken for a table. */
#include "engine/filter.h"
#include "engine/table_block.h"
#include "engine/table_expiry.h"
#include "engine/table_index_builder.h"
#include "engine/table_output.h"
#include "engine/table_pack.h"
#include "engine/table_pieces.h"
#include "engine/table_section.h"

enum {
    HASHES_PER_YIELD = 512,
    UNIT_PER_MILLE = 25, /* of space: what a block is worth that is shorter by a unit, to who reads it */
};

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
    uint32_t block_units;
    uint32_t memory_units; /* of the largest block so far */
    uint32_t filter_bits_x2;
    enum table_compression compression;
    struct table_packer *packer; /* null: blocks are not compressed */
    struct table_output output;
    struct table_block_builder block;
    struct table_index_builder index;
    struct table_pieces hashes; /* u64, one an entry */
    struct table_summary summary;
    struct table_expiry expiry;
    uint8_t *run; /* memory for a large entry, kept */
    uint32_t run_units;
    struct key_copy smallest;
    struct key_copy largest; /* the key added last */
};

uint64_t table_key_hash(const struct record_key *key)
{
    /* the multiplier is odd and large, so namespaces 0, 1, 2 ... are far apart as seeds */
    uint64_t seed = key->namespace_id * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = XXH3_64bits_withSeed(key->key.data, key->key.bytes, seed);
    return key->subkey.bytes ? XXH3_64bits_withSeed(key->subkey.data, key->subkey.bytes, hash) : hash;
}

uint32_t table_block_units_for(uint64_t entry_bytes)
{
    uint64_t each = entry_bytes + TABLE_ENTRY_EXTRA_BYTES;
    uint32_t best = 1;
    uint64_t least = UINT64_MAX; /* price, per mille of the block */
    for (uint32_t units = 1; units <= TABLE_BLOCK_UNITS_MAX; units++) {
        uint64_t bytes = (uint64_t)units * TABLE_UNIT_BYTES;
        uint64_t waste = bytes - (bytes - TABLE_TRAILER_BYTES) / each * each;
        uint64_t price = waste * 1000 / bytes + (uint64_t)units * UNIT_PER_MILLE;
        if (price < least) {
            least = price;
            best = units;
        }
    }
    return best;
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
    table_expiry_init(&w->expiry, o->now_ms);
    w->memory_units = w->block_units = o->block_units ? o->block_units : 1;
    w->compression = o->compression;
    w->filter_bits_x2 = o->filter_bits_x2 ? o->filter_bits_x2 : FILTER_BITS_X2_DEFAULT;
    ASSERT(w->block_units <= TABLE_BLOCK_UNITS_MAX);
    ASSERT(w->filter_bits_x2 >= FILTER_BITS_X2_MIN && w->filter_bits_x2 <= FILTER_BITS_X2_MAX);
    table_index_builder_init(&w->index, r, w->block_units);
    table_pieces_init(&w->hashes, r);
    w->path = copy_path(r, o->path);
    int rc = w->path ? 0 : TORC_E_NO_MEMORY;
    if (rc == 0 && w->compression == TABLE_COMPRESSION_ZSTD)
        rc = table_packer_open(r, w->block_units, &w->packer);
    if (rc == 0)
        rc = table_output_init(&w->output, r, o->path);
    w->output.share = o->share;
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
    table_index_builder_deinit(&w->index);
    table_pieces_deinit(&w->hashes);
    table_packer_close(w->packer);
    reactor_free(r, w->run);
    reactor_free(r, w->path);
    reactor_free(r, w);
}

uint64_t table_writer_bytes(const struct table_writer *w)
{
    uint64_t open_block = w->block.count ? (uint64_t)w->block_units * TABLE_UNIT_BYTES : 0;
    return table_output_bytes(&w->output) + open_block + table_index_builder_bytes(&w->index) +
           filter_bytes(w->summary.entries, w->filter_bits_x2) + TABLE_UNIT_BYTES;
}

static uint32_t position_of(const struct table_writer *w)
{
    uint64_t units = table_output_bytes(&w->output) / TABLE_UNIT_BYTES;
    ASSERT(units + TABLE_RUN_UNITS_MAX <= TABLE_UNITS_MAX); /* whoever writes a table splits long before */
    return (uint32_t)units;
}

/* ---- blocks ---- */

static void note_memory(struct table_writer *w, uint32_t count)
{
    const struct table_block_builder *b = &w->block;
    uint64_t bytes = (count < b->count ? b->offsets[count] : b->bytes) +
                     count * (uint64_t)TABLE_ENTRY_EXTRA_BYTES + TABLE_TRAILER_BYTES;
    uint32_t units = (uint32_t)(table_padded(bytes) / TABLE_UNIT_BYTES);
    w->memory_units = units > w->memory_units ? units : w->memory_units;
}

/* Waits when a buffer is full. Writes a block of the entries that have gathered, or of some of them, when not
 * all fit once they are compressed. */
static int end_block(struct table_writer *w)
{
    struct record first, last;
    struct table_block_builder *b = &w->block;
    struct table_block_place place = {
        .to = table_output_place(&w->output),
        .units = w->block_units,
        .name = {w->summary.number, position_of(w)},
    };
    uint32_t count = b->count;
    if (w->packer)
        count = table_packer_pack(w->packer, b, place.to, place.name);
    else
        table_block_finish(b, count, place);
    entry_decode_trusted(b->to, &first);
    entry_decode_trusted(b->to + b->offsets[count - 1], &last);
    int rc = table_index_builder_add(&w->index, w->block_units, &first.key, &last.key);
    note_memory(w, count);
    table_block_drop(b, count);
    if (rc == 0)
        rc = table_output_placed(&w->output, w->block_units);
    task_yield_if_due(w->r);
    return rc;
}

static int end_blocks(struct table_writer *w)
{
    int rc = 0;
    while (rc == 0 && w->block.count > 0)
        rc = end_block(w);
    return rc;
}

static bool is_full(const struct table_writer *w, size_t entry)
{
    const struct table_block_builder *b = &w->block;
    if (b->count == 0)
        return false;
    return w->packer ? table_packer_is_full(w->packer, b, entry)
                     : !table_block_fits(w->block_units, b->bytes, b->count, entry);
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
    uint64_t hash; /* of its key */
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
        rc = table_index_builder_add(&w->index, units, &a->record->key, &a->record->key);
    if (rc)
        return rc;
    put_entry(w->run, a);
    struct table_block_name name = {w->summary.number, position_of(w)};
    table_block_finish_run((struct table_block_place){w->run, units, name}, a->entry.bytes,
                           table_tag(a->hash));
    task_yield_if_due(w->r);
    return table_output_append(&w->output, w->run, (size_t)units * TABLE_UNIT_BYTES);
}

static void add_to_block(struct table_writer *w, const struct addition *a)
{
    if (w->block.count == 0)
        w->block.to = w->packer ? table_packer_memory(w->packer) : table_output_place(&w->output);
    put_entry(table_block_add(&w->block, a->entry.bytes, table_tag(a->hash)), a);
}

static int place(struct table_writer *w, const struct addition *a)
{
    int rc = 0;
    if (!table_block_fits(w->block_units, 0, 0, a->entry.bytes)) {
        rc = end_blocks(w);
        return rc ? rc : add_run(w, a);
    }
    while (rc == 0 && is_full(w, a->entry.bytes))
        rc = end_block(w);
    if (rc == 0)
        add_to_block(w, a);
    return rc;
}

/* ---- records ---- */

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
    table_expiry_add(&w->expiry, record);
    if (!(record->flags & RECORD_EXPIRING))
        return;
    s->expiring++;
    s->expiry_min_ms = record->expiry_ms < s->expiry_min_ms ? record->expiry_ms : s->expiry_min_ms;
    s->expiry_max_ms = record->expiry_ms > s->expiry_max_ms ? record->expiry_ms : s->expiry_max_ms;
}

static int add(struct table_writer *w, const struct record *record, struct slice entry)
{
    ASSERT(!w->is_finished);
    if (w->error)
        return w->error;
    struct addition a = {record, entry, table_key_hash(&record->key)};
    bool is_above = w->summary.entries == 0 || record_key_compare(&w->largest.key, &record->key) < 0;
    w->error = is_above ? place(w, &a) : TORC_E_CORRUPT;
    if (w->error == 0)
        w->error = table_pieces_append_word(&w->hashes, a.hash);
    if (w->error == 0)
        summarize(w, record);
    return w->error;
}

int table_writer_add(struct table_writer *w, const struct record *record)
{
    return add(w, record, (struct slice){.data = NULL, .bytes = entry_bytes(record)});
}

int table_writer_add_entry(struct table_writer *w, const struct record *record, struct slice entry)
{
    ASSERT(entry.data && entry.bytes == entry_bytes(record));
    return add(w, record, entry);
}

/* ---- the end of the file ---- */

static int write_index(struct table_writer *w, struct table_footer *f)
{
    struct table_section s;
    uint8_t bounds[TABLE_BOUNDS_BYTES_MAX];
    size_t bytes = 0;
    if (w->summary.entries > 0) {
        bytes = table_bound_encode(bounds, &w->smallest.key);
        bytes += table_bound_encode(bounds + bytes, &w->largest.key);
    }
    table_section_begin(&s, &w->output);
    int rc = table_index_builder_write(&w->index, &s, slice_of(bounds, bytes));
    return rc ? rc : table_section_end(&s, &f->index_bytes, &f->index_checksum);
}

static void fill_filter(struct table_writer *w, const struct filter *filter)
{
    for (const struct table_piece *p = w->hashes.first; p; p = p->next)
        for (uint64_t at = 0; at < p->used; at += sizeof(uint64_t)) {
            uint64_t hash;
            memcpy(&hash, p->bytes + at, sizeof hash);
            filter_add(filter, hash);
            if (at % (HASHES_PER_YIELD * sizeof hash) == 0)
                task_yield_if_due(w->r);
        }
}

static int write_filter(struct table_writer *w, struct table_footer *f)
{
    uint64_t bytes = filter_bytes(w->summary.entries, w->filter_bits_x2);
    struct filter filter = {
        .lines = reactor_alloc_zeroed(w->r, bytes),
        .line_count = bytes / FILTER_LINE_BYTES,
        .probes = filter_probes(w->filter_bits_x2),
    };
    if (!filter.lines)
        return TORC_E_NO_MEMORY;
    f->filter_lines = filter.line_count;
    f->filter_probes = filter.probes;
    fill_filter(w, &filter);
    struct table_section s;
    table_section_begin(&s, &w->output);
    int rc = table_section_append(&s, filter.lines, bytes);
    if (rc == 0)
        rc = table_section_end(&s, &bytes, &f->filter_checksum);
    reactor_free(w->r, filter.lines);
    return rc;
}

static int finish(struct table_writer *w)
{
    int rc = end_blocks(w);
    struct table_footer f = {.block_count = w->index.block_count,
                             .block_units = w->block_units,
                             .memory_units = w->memory_units,
                             .compression = w->compression,
                             .data_units = w->index.data_units,
                             .has_runs = w->index.has_runs};
    if (rc == 0)
        rc = write_index(w, &f);
    if (rc == 0)
        rc = write_filter(w, &f);
    if (rc)
        return rc;
    w->summary.bytes = table_output_bytes(&w->output) + TABLE_UNIT_BYTES;
    w->summary.expiry_due_ms = table_expiry_due(&w->expiry);
    f.summary = w->summary;
    table_footer_encode(table_output_place(&w->output), &f);
    rc = table_output_placed(&w->output, 1);
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
