/* table_fuzz.c - an SSTable: a file of any bytes is opened, walked through and asked for keys.
 *
 *   input: | u8 switches | image whose first file is the table |
 *
 * Whatever is handed out has the key that was asked for and a whole header; a walk ends; an error says so. */
#include "test/fuzz/image.h"
#include "test/fuzz/node.h"
#include "test/fuzz/table_image.h"

#include "engine/cache.h"
#include "engine/table.h"
#include "engine/table_format.h"

#include <stdlib.h>

enum { FRONT_BYTES = 1, NUMBER = 7, KEYS_MAX = 64 };

static const char path[] = FUZZ_DIRECTORY "/table.sst";

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

/* From the end of a table that gave out `count` records. */
static void walk_back(struct table_cursor *c, uint64_t count)
{
    struct record record;
    int rc;
    while ((rc = table_cursor_previous(c, &record)) == 1) {
        check_record(&record);
        ASSERT(count-- > 0);
    }
    ASSERT(rc == 0 && count == 0);
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
    if (rc == 0)
        walk_back(&c, count);
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
        table_image_mend(run.image.files[0], run.image.bytes[0], NUMBER, run.switches);
    fuzz_run_node(run_in_node, &run);
    image_free(&run.image);
}

static size_t mutate(const struct fuzz_bytes *input, uint64_t seed)
{
    return image_mutate(input, FRONT_BYTES, seed);
}

/* ---- seeds ---- */

enum { SEED_BYTES_MAX = 512 << 10 };

struct seed {
    struct table_image_sample sample;
    uint8_t *input;
    size_t bytes;
};

static void write_table(struct reactor *r, void *context)
{
    struct seed *s = context;
    size_t bytes;
    table_image_write(r, path, NUMBER, &s->sample);
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
        uint32_t block_units;
        bool is_compressed;
    } rows[] = {
        {"empty", 0, false, FUZZ_CHECKSUMS, 1, false},
        {"as_written", 12, true, 0, 1, false},
        {"one_block", 9, false, FUZZ_CHECKSUMS | TABLE_NAMED, 1, false},
        {"several_blocks", 60, false, FUZZ_CHECKSUMS | TABLE_NAMED | TABLE_ENTRIES, 1, false},
        {"several_groups", 300, false, FUZZ_CHECKSUMS | TABLE_NAMED | TABLE_ENTRIES, 1, false},
        {"large_blocks", 200, true, FUZZ_CHECKSUMS | TABLE_NAMED | TABLE_ENTRIES, 3, false},
        {"with_a_run", 30, true, FUZZ_CHECKSUMS | TABLE_NAMED | TABLE_ENTRIES, 1, false},
        {"compressed", 200, true, FUZZ_CHECKSUMS | TABLE_NAMED, 1, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct seed s = {{rows[i].entries, rows[i].has_run, 1000, rows[i].block_units, rows[i].is_compressed},
                         malloc(SEED_BYTES_MAX),
                         FRONT_BYTES};
        ASSERT(s.input);
        s.input[0] = rows[i].switches;
        fuzz_run_node(write_table, &s);
        fuzz_seed(to, rows[i].name, slice_of(s.input, s.bytes));
        free(s.input);
    }
}

const struct fuzz_target table_fuzz = {.name = "table", .run = run, .mutate = mutate, .seed = seed};
