/* table_fuzz.c - an SSTable: a file of any bytes is opened, walked through and asked for keys.
 *
 *   input: | u8 switches | image whose first file is the table |
 *
 * Whatever is handed out has the key that was asked for and a whole header; a walk ends; an error says so. */
#include "test/fuzz/image.h"
#include "test/fuzz/node.h"

#include "engine/cache.h"
#include "engine/table.h"
#include "engine/table_block.h"
#include "engine/table_format.h"

#include <stdio.h>
#include <stdlib.h>

enum switches {
    NAMED = 2,   /* blocks and footer name the table and their place */
    ENTRIES = 4, /* header checks and checksums of entries are made right, too */
};

enum {
    FRONT_BYTES = 1,
    NUMBER = 7,
    KEYS_MAX = 64,
    /* of the footer */
    AT_FLAGS = 13,
    AT_NUMBER = 16,
    AT_BYTES = 24,
    AT_BLOCKS = 96,
    AT_DATA_UNITS = 100,
    AT_INDEX_BYTES = 104,
    AT_INDEX_CHECKSUM = 112,
    AT_FILTER_LINES = 120,
    AT_FILTER_CHECKSUM = 128,
    AT_CHECKSUM = TABLE_UNIT_BYTES - 8,
    FLAG_RUNS = 1,
    /* of a block, from its end */
    BACK_TABLE = 24,
    BACK_POSITION = 16,
    BACK_CHECKSUM = 8,
};

static const char path[] = FUZZ_DIRECTORY "/table.sst";

/* ---- checksums made right ---- */

static void mend_entries(uint8_t *block, size_t bytes)
{
    struct record record;
    size_t consumed;
    for (size_t at = 0; entry_decode(slice_of(block + at, bytes - at), &record, &consumed) == 0;
         at += consumed) {
        uint8_t *copy = fuzz_copy(slice_of(block + at, consumed));
        entry_decode_trusted(copy, &record);
        record.checksum = entry_checksum(&record.key, record.value);
        entry_encode(block + at, &record);
        free(copy);
    }
}

static void mend_block(uint8_t *file, uint32_t position, uint32_t units, uint8_t switches)
{
    uint8_t *block = file + (size_t)position * TABLE_UNIT_BYTES;
    size_t bytes = (size_t)units * TABLE_UNIT_BYTES;
    if (switches & ENTRIES)
        mend_entries(block, bytes - TABLE_TRAILER_BYTES);
    if (switches & NAMED) {
        store_u64le(block + bytes - BACK_TABLE, NUMBER);
        store_u32le(block + bytes - BACK_POSITION, position);
    }
    store_u64le(block + bytes - BACK_CHECKSUM, checksum_bytes(block, bytes - BACK_CHECKSUM));
}

/* Blocks stand where the index says, or one in each unit. */
static void mend_blocks(uint8_t *file, const uint8_t *footer, uint32_t units, uint64_t index_bytes,
                        uint8_t switches)
{
    uint32_t blocks = load_u32le(footer + AT_BLOCKS);
    bool has_runs = (footer[AT_FLAGS] & FLAG_RUNS) != 0;
    if (!has_runs || blocks > units || TABLE_INDEX_HEADER_BYTES + (blocks + 1) * UINT64_C(8) > index_bytes) {
        for (uint32_t i = 0; i < units; i++)
            mend_block(file, i, 1, switches);
        return;
    }
    const uint8_t *index = file + (size_t)units * TABLE_UNIT_BYTES;
    const uint8_t *positions = index + TABLE_INDEX_HEADER_BYTES + (blocks + (size_t)1) * 4;
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t begin = load_u32le(positions + (size_t)i * 4);
        uint32_t end = load_u32le(positions + (size_t)i * 4 + 4);
        if (begin < end && end <= units)
            mend_block(file, begin, end - begin, switches);
    }
}

static void mend_table(uint8_t *file, size_t bytes, uint8_t switches)
{
    if (bytes < TABLE_UNIT_BYTES || bytes % TABLE_UNIT_BYTES != 0)
        return;
    uint8_t *footer = file + bytes - TABLE_UNIT_BYTES;
    uint64_t units = load_u32le(footer + AT_DATA_UNITS), index_bytes = load_u64le(footer + AT_INDEX_BYTES);
    uint64_t index_at = units * TABLE_UNIT_BYTES;
    if (index_bytes <= bytes && index_at + index_bytes <= bytes - TABLE_UNIT_BYTES) {
        uint64_t filter_at = index_at + index_bytes;
        uint64_t filter_bytes = table_padded(load_u64le(footer + AT_FILTER_LINES) * FILTER_LINE_BYTES);
        mend_blocks(file, footer, (uint32_t)units, index_bytes, switches);
        store_u64le(footer + AT_INDEX_CHECKSUM, checksum_bytes(file + index_at, index_bytes));
        if (filter_bytes <= bytes - TABLE_UNIT_BYTES - filter_at)
            store_u64le(footer + AT_FILTER_CHECKSUM, checksum_bytes(file + filter_at, filter_bytes));
    }
    if (switches & NAMED) {
        store_u64le(footer + AT_NUMBER, NUMBER);
        store_u64le(footer + AT_BYTES, bytes);
    }
    store_u64le(footer + AT_CHECKSUM, checksum_bytes(footer, AT_CHECKSUM));
}

/* ---- reading ---- */

struct run {
    struct image image;
    uint8_t switches;
};

/* Keys met in a walk, copied. */
struct keys {
    struct record_key of[KEYS_MAX];
    unsigned count;
};

static void keep_key(struct reactor *r, struct keys *keys, const struct record_key *key)
{
    if (keys->count == KEYS_MAX)
        return;
    uint8_t *copy = reactor_alloc(r, key->key.bytes + key->subkey.bytes);
    ASSERT(copy);
    struct record_key *to = &keys->of[keys->count++];
    *to = *key;
    to->key = slice_of(copy, key->key.bytes);
    to->subkey = slice_of(copy + key->key.bytes, key->subkey.bytes);
    slice_put(slice_put(copy, key->key), key->subkey);
}

static void check_record(const struct record *record)
{
    const struct record_key *k = &record->key;
    ASSERT(k->key.bytes >= 1 && k->key.bytes <= KEY_BYTES_MAX && k->subkey.bytes <= SUBKEY_BYTES_MAX);
    ASSERT(record->value.bytes <= VALUE_BYTES_MAX && k->vnode <= ENTRY_VNODE_MAX);
}

static void walk(struct reactor *r, struct table *t, enum table_cursor_mode mode, struct keys *keys)
{
    struct table_cursor c;
    struct record record;
    uint64_t count = 0, entries_max = table_summary(t)->bytes / ENTRY_BYTES_MIN;
    int rc;
    table_cursor_init(&c, t, mode);
    while ((rc = table_cursor_next(&c, &record)) == 1) {
        check_record(&record);
        ASSERT(++count <= entries_max);
        keep_key(r, keys, &record.key);
    }
    int again = table_cursor_next(&c, &record);
    ASSERT((rc == 0 || rc == TORC_E_CORRUPT) && again == rc);
    table_cursor_deinit(&c);
}

static void ask(struct table *t, const struct record_key *key)
{
    struct record record;
    struct cache_pin pin;
    struct table_cursor c;
    int rc = table_get(t, key, table_key_hash(key), &record, &pin);
    ASSERT(rc == TABLE_FOUND || rc == TABLE_ABSENT || rc == TORC_E_CORRUPT);
    if (rc == TABLE_FOUND) {
        check_record(&record);
        ASSERT(record_key_compare(&record.key, key) == 0);
    }
    cache_unpin(&pin);
    table_cursor_init(&c, t, TABLE_CURSOR_SCAN);
    rc = table_cursor_seek(&c, key);
    if (rc == 0)
        rc = table_cursor_next(&c, &record);
    ASSERT(rc == 1 || rc == 0 || rc == TORC_E_CORRUPT);
    table_cursor_deinit(&c);
}

static void read_table(struct reactor *r, struct table *t)
{
    struct keys keys = {.count = 0};
    const struct table_summary *s = table_summary(t);
    ASSERT(s->number == NUMBER && record_key_compare(&s->smallest, &s->largest) <= 0);
    walk(r, t, TABLE_CURSOR_BULK, &keys);
    walk(r, t, TABLE_CURSOR_SCAN, &keys);
    struct record_key absent = {.vnode = 3, .key = slice_of_string("absent")};
    ask(t, &absent);
    for (unsigned i = 0; i < keys.count; i++) {
        ask(t, &keys.of[i]);
        reactor_free(r, (void *)(uintptr_t)keys.of[i].key.data);
    }
}

static void run_in_node(struct reactor *r, void *context)
{
    struct run *run = context;
    struct cache *cache = NULL;
    struct table *t = NULL;
    fuzz_write_file(r, path, slice_of(run->image.files[0], run->image.bytes[0]));
    int rc = cache_open(r, 0, &cache);
    ASSERT(rc == 0);
    rc = table_open(r, cache, path, NUMBER, &t);
    ASSERT(rc == 0 || rc == TORC_E_CORRUPT || rc == TORC_E_DATA_FORMAT);
    if (rc == 0)
        read_table(r, t);
    table_close(rc == 0 ? t : NULL);
    cache_close(cache);
}

static void run(struct slice input)
{
    struct run run = {.switches = fuzz_take_switches(&input)};
    image_decode(&run.image, input);
    if (run.switches & FUZZ_CHECKSUMS)
        mend_table(run.image.files[0], run.image.bytes[0], run.switches);
    fuzz_run_node(run_in_node, &run);
    image_free(&run.image);
}

static size_t mutate(const struct fuzz_bytes *input, uint64_t seed)
{
    return image_mutate(input, FRONT_BYTES, seed);
}

/* ---- seeds ---- */

enum { SEED_BYTES_MAX = 512 << 10, SEED_VALUE_BYTES = 9000 };

struct seed {
    unsigned entries;
    bool has_run;
    uint8_t *input;
    size_t bytes;
};

static void write_table(struct reactor *r, void *context)
{
    static const uint8_t zeros[SEED_VALUE_BYTES];
    struct seed *s = context;
    struct table_writer *w = NULL;
    struct table_summary summary;
    int rc = table_writer_open(r, path, NUMBER, &w);
    ASSERT(rc == 0);
    for (unsigned i = 0; i < s->entries; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%04u", i);
        size_t value_bytes = s->has_run && i == s->entries / 2 ? sizeof zeros : i % 2 ? 0 : 300;
        struct record record = {
            .key = {.vnode = (uint16_t)(i / 8), .namespace_id = i % 8 > 4, .key = slice_of_string(key)},
            .version = {.clock = 1000 + i, .node = 1},
            .flags = i % 5 == 1   ? RECORD_TOMBSTONE
                     : i % 5 == 3 ? RECORD_EXPIRING
                                  : 0,
            .expiry_ms = i % 5 == 3 ? 1700000000000 : 0,
            .value = slice_of(zeros, value_bytes),
        };
        record.checksum = entry_checksum(&record.key, record.value);
        rc = table_writer_add(w, &record);
        ASSERT(rc == 0);
    }
    rc = table_writer_finish(w, &summary);
    ASSERT(rc == 0);
    table_writer_close(w);
    size_t bytes;
    uint8_t *file = fuzz_read_file(r, path, &bytes);
    s->bytes = image_append(slice_of(file, bytes), 0, s->input, s->bytes);
    reactor_free(r, file);
}

static void seed(struct fuzz_seeds *to)
{
    static const struct {
        const char *name;
        unsigned entries;
        bool has_run;
        uint8_t switches;
    } rows[] = {
        {"empty", 0, false, FUZZ_CHECKSUMS},
        {"as_written", 12, true, 0},
        {"one_block", 9, false, FUZZ_CHECKSUMS | NAMED},
        {"several_blocks", 60, false, FUZZ_CHECKSUMS | NAMED | ENTRIES},
        {"with_a_run", 30, true, FUZZ_CHECKSUMS | NAMED | ENTRIES},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct seed s = {rows[i].entries, rows[i].has_run, malloc(SEED_BYTES_MAX), FRONT_BYTES};
        ASSERT(s.input);
        s.input[0] = rows[i].switches;
        fuzz_run_node(write_table, &s);
        fuzz_seed(to, rows[i].name, slice_of(s.input, s.bytes));
        free(s.input);
    }
}

const struct fuzz_target table_fuzz = {.name = "table", .run = run, .mutate = mutate, .seed = seed};
