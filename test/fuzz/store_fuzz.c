/* store_fuzz.c - a whole engine over tables with any bytes, named by a manifest that is whole.
 *
 *   input: | u8 switches | image: tables 1 to 4 |
 *
 * Four runs of a size are merged at once. Whatever the tables hold, the engine opens, answers, merges or
 * leaves alone, closes, and opens again; what is written to it is read back. Only errors that say so come of
 * bad bytes. */
#include "test/fuzz/image.h"
#include "test/fuzz/node.h"
#include "test/fuzz/table_image.h"

#include "engine/engine.h"
#include "engine/entry.h"
#include "engine/manifest_format.h"
#include "engine/table_format.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FRONT_BYTES = 1,
    NUMBER_FIRST = 1,
    VNODES = 16,
    ASKED = 16,   /* keys */
    QUIET_MS = 5, /* in which merges come to rest */
    QUIET_COUNT = 20,
};
#define MS_NS (UINT64_C(1000) * 1000)
#define SHARD FUZZ_DIRECTORY "/shard"

struct run {
    struct image image;
    uint8_t switches;
    struct reactor *r;
    struct engine *engine;
    struct event is_durable;
};

static const char new_key[64] = "new";

static bool is_told(int rc)
{
    return rc == TORC_E_CORRUPT || rc == TORC_E_UNKNOWN || rc == TORC_E_STORAGE;
}

/* ---- files ---- */

static void table_path(char path[64], unsigned i)
{
    snprintf(path, 64, SHARD "/table-%016x.sst", NUMBER_FIRST + i);
}

/* What a manifest says of such a table: what its footer says, if it says something. */
static struct manifest_table describe(const struct run *run, unsigned i)
{
    struct table_footer f = {.summary = {.entries = 1}};
    size_t bytes = run->image.bytes[i];
    if (bytes >= TABLE_UNIT_BYTES &&
        table_footer_decode(run->image.files[i] + bytes - TABLE_UNIT_BYTES, &f) != 0)
        f.summary = (struct table_summary){.bytes = bytes, .entries = 1};
    return (struct manifest_table){
        .number = NUMBER_FIRST + i,
        .origin = NUMBER_FIRST + i,
        .vnode_last = VNODES - 1,
        .order = NUMBER_FIRST + i,
        .bytes = f.summary.bytes,
        .entries = f.summary.entries,
        .tombstones = f.summary.tombstones,
        .clock_min = f.summary.clock_min,
        .clock_max = f.summary.clock_max,
        .expiring = f.summary.expiring,
        .expiry_min_ms = f.summary.expiry_min_ms,
        .expiry_max_ms = f.summary.expiry_max_ms,
        .smallest = {.vnode = 0, .key = slice_of_string("a")},
        .largest = {.vnode = VNODES - 1, .key = slice_of_string("z")},
    };
}

static void write_files(const struct run *run)
{
    struct manifest_table tables[IMAGE_FILES];
    struct manifest_state state = {
        .generation = 1,
        .numbers = {.vnode_bits = 4,
                    .vnode_count = VNODES,
                    .log_start = {.segment = 0, .sequence = 1},
                    .file_counter = NUMBER_FIRST + IMAGE_FILES},
        .tables = tables,
    };
    for (unsigned i = 0; i < IMAGE_FILES; i++) {
        char path[64];
        if (run->image.bytes[i] == 0)
            continue;
        tables[state.table_count++] = describe(run, i);
        table_path(path, i);
        fuzz_write_file(run->r, path, slice_of(run->image.files[i], run->image.bytes[i]));
    }
    size_t bytes = manifest_encoded_bytes(&state);
    uint8_t *encoded = malloc(bytes);
    ASSERT(encoded);
    manifest_encode(encoded, &state);
    fuzz_write_file(run->r, SHARD "/MANIFEST-A", slice_of(encoded, bytes));
    fuzz_write_file(run->r, SHARD "/MANIFEST-B", slice_of(encoded, bytes));
    free(encoded);
}

/* ---- an engine ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct run *run = owner;
    (void)ticket, (void)times;
    event_set(run->r, &run->is_durable, result);
}

static void on_turn(void *context)
{
    struct run *run = context;
    if (run->engine)
        engine_submit(run->engine);
}

static bool open_engine(struct run *run)
{
    char why[256];
    struct engine_options options = {
        .directory = SHARD,
        .vnode_bits = 4,
        .vnode_count = VNODES,
        .memtable_bytes = 1 << 20,
        .segment_bytes = 64 << 10,
        .cache_bytes = 1 << 20,
        .value_bytes_max = 4096,
        .on_durable = on_durable,
        .owner = run,
    };
    int rc = engine_open(run->r, &options, &run->engine, why, sizeof why);
    ASSERT(rc == 0 || is_told(rc) || rc == TORC_E_DATA_FORMAT);
    if (rc)
        run->engine = NULL;
    else
        reactor_set_turn_hook(run->r, on_turn, run);
    return rc == 0;
}

static void close_engine(struct run *run)
{
    engine_close(run->engine);
    run->engine = NULL;
    reactor_set_turn_hook(run->r, NULL, NULL);
}

static void await_merges(struct run *run)
{
    uint64_t compactions = 0;
    for (unsigned quiet = 0; quiet < QUIET_COUNT; quiet++) {
        task_sleep(run->r, QUIET_MS * MS_NS);
        uint64_t now = engine_counters(run->engine).compactions;
        quiet = now == compactions ? quiet : 0;
        compactions = now;
    }
}

/* Returns: as engine_get_wait. */
static int get(struct run *run, const struct record_key *key)
{
    struct engine_key k;
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    engine_key_init(run->engine, &k, key);
    int rc = engine_get_wait(run->engine, &k, 1, &record, &hold);
    ASSERT(rc == ENGINE_FOUND || rc == ENGINE_ABSENT || is_told(rc));
    if (rc == ENGINE_FOUND)
        ASSERT(record_key_compare(&record.key, key) == 0 && entry_verify(&record));
    engine_release(run->engine, &hold);
    return rc;
}

static void scan(struct run *run)
{
    struct engine_cursor *c = NULL;
    struct record_key from = {.vnode = 0};
    struct record record;
    int rc = engine_cursor_open(run->engine, &from, 1, &c);
    ASSERT(rc == 0 || is_told(rc));
    if (rc)
        return;
    while ((rc = engine_cursor_next(c, &record)) == 1)
        ASSERT(entry_verify(&record));
    ASSERT(rc == 0 || is_told(rc));
    engine_cursor_close(c);
}

static void read_all(struct run *run)
{
    for (unsigned i = 0; i < ASKED; i++) {
        char text[64];
        snprintf(text, sizeof text, "key-%04u", i * 2);
        struct record_key key = {.vnode = (uint16_t)(i / 4),
                                 .namespace_id = i * 2 % 8 > 4,
                                 .key = slice_of_string(text)};
        get(run, &key);
    }
    scan(run);
}

/* A write with the highest version is what is read. */
static void put(struct run *run)
{
    static const struct engine_ticket ticket;
    uint64_t clock = engine_version_clock_max(run->engine);
    struct record record = {.key = {.vnode = 3, .key = slice_of_string(new_key)},
                            .version = {.clock = clock + 1}};
    record.checksum = entry_checksum(&record.key, record.value);
    if (clock == UINT64_MAX)
        return;
    event_init(&run->is_durable);
    int rc = engine_put(run->engine, &record, &ticket);
    if (rc == 0)
        rc = event_wait(run->r, &run->is_durable, EVENT_FOREVER);
    ASSERT(rc == 0 && get(run, &record.key) == ENGINE_FOUND);
}

static void run_in_node(struct reactor *r, void *context)
{
    struct run *run = context;
    run->r = r;
    int rc = directory_create(r, SHARD);
    ASSERT(rc == 0);
    write_files(run);
    for (unsigned life = 0; life < 2; life++) {
        if (!open_engine(run))
            return;
        read_all(run);
        await_merges(run);
        put(run);
        read_all(run);
        close_engine(run);
    }
}

static void run(struct slice input)
{
    struct run run = {.switches = fuzz_take_switches(&input)};
    image_decode(&run.image, input);
    for (unsigned i = 0; (run.switches & FUZZ_CHECKSUMS) && i < IMAGE_FILES; i++)
        table_image_mend(run.image.files[i], run.image.bytes[i], NUMBER_FIRST + i, run.switches);
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
    unsigned tables;
    uint8_t *input;
    size_t bytes;
};

static void write_tables(struct reactor *r, void *context)
{
    struct seed *s = context;
    for (unsigned i = 0; i < s->tables; i++) {
        struct table_image_sample sample = {.entries = 10 + 6 * i, .has_run = i % 2, .clock = 1000 + 100 * i};
        size_t bytes;
        table_image_write(r, FUZZ_DIRECTORY "/sample", NUMBER_FIRST + i, &sample);
        uint8_t *file = fuzz_read_file(r, FUZZ_DIRECTORY "/sample", &bytes);
        s->bytes = image_append(slice_of(file, bytes), i, s->input, s->bytes);
        reactor_free(r, file);
    }
}

static void seed(struct fuzz_seeds *to)
{
    static const struct {
        const char *name;
        unsigned tables;
        uint8_t switches;
    } rows[] = {
        {"four_tables", 4, FUZZ_CHECKSUMS | TABLE_NAMED | TABLE_ENTRIES},
        {"four_tables_as_written", 4, 0},
        {"one_table", 1, FUZZ_CHECKSUMS},
        {"none", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct seed s = {rows[i].tables, malloc(SEED_BYTES_MAX), FRONT_BYTES};
        ASSERT(s.input);
        s.input[0] = rows[i].switches;
        fuzz_run_node(write_tables, &s);
        fuzz_seed(to, rows[i].name, slice_of(s.input, s.bytes));
        free(s.input);
    }
}

const struct fuzz_target store_fuzz = {.name = "store", .run = run, .mutate = mutate, .seed = seed};
