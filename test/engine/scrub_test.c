/* scrub_test.c - tables are read again within the interval, and what is damaged in them is told. */
#include "engine/engine_internal.h"
#include "engine/scrub.h"
#include "test/engine/damage.h"
#include "test/engine/shard_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { VNODES = 16, KEYS = 300, VALUE_BYTES = 300, LARGE_BYTES = 3000, PATH_BYTES = 300, INTERVAL_MS = 400 };

struct rig {
    struct shard_rig shard;
    uint32_t told;
    const char *directory;
    const char *prefix;
    char path[PATH_BYTES];
};

static void on_event(void *owner, const char *event, const char *text)
{
    struct rig *rig = CONTAINER_OF(owner, struct rig, shard);
    if (strcmp(event, "scrub_found_damage") == 0) {
        rig->told++;
        CU_ASSERT(strstr(text, "table-") || strstr(text, "values-"));
    }
}

static void put(struct rig *rig, unsigned i, uint64_t clock)
{
    char key[32];
    snprintf(key, sizeof key, "key-%04u", i);
    shard_rig_put(&rig->shard, &(struct shard_put){
                                   .key = {.vnode = (uint16_t)(i % VNODES), .key = slice_of_string(key)},
                                   .clock = clock,
                                   .fill = (uint8_t)(i % 251),
                                   .value_bytes = i % 7 == 0 ? LARGE_BYTES : VALUE_BYTES,
                               });
}

static void open_rig(struct rig *rig, struct reactor *r, uint64_t interval_ms)
{
    *rig = (struct rig){.directory = test_directory()};
    struct engine_options options = {
        .directory = rig->directory,
        .vnode_bits = 4,
        .vnode_count = VNODES,
        .segment_bytes = 1 << 20,
        .value_bytes_max = 4096,
        .scrub_interval_ms = interval_ms,
        .on_event = on_event,
    };
    shard_rig_open(&rig->shard, r, &options);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS; i++)
            put(rig, i, round * KEYS + i + 1);
        CU_ASSERT_EQUAL(engine_flush(rig->shard.engine), 0);
    }
}

/* The last one whose name begins with the prefix. */
static int note_file(void *context, const char *name)
{
    struct rig *rig = context;
    if (strncmp(name, rig->prefix, strlen(rig->prefix)) == 0)
        snprintf(rig->path, sizeof rig->path, "%s/%s", rig->directory, name);
    return 0;
}

static void find_file(struct rig *rig, const char *prefix)
{
    rig->prefix = prefix;
    CU_ASSERT_EQUAL(directory_list(rig->shard.reactor, rig->directory, note_file, rig), 0);
    CU_ASSERT_FATAL(rig->path[0] != '\0');
}

/* Waits for a pass, or for damage, no longer than the interval with some patience. */
static void await(struct rig *rig, uint64_t passes)
{
    uint64_t end_ns = reactor_clock_ns(rig->shard.reactor) + 4 * UINT64_C(1000000) * INTERVAL_MS;
    while (reactor_clock_ns(rig->shard.reactor) < end_ns && rig->told == 0 &&
           engine_counters(rig->shard.engine).scrub_passes < passes)
        task_sleep(rig->shard.reactor, 2 * 1000 * 1000);
}

TEST_IN_REACTOR(scrub_reads_good_tables_again_and_again_and_finds_nothing)
{
    struct rig rig;
    open_rig(&rig, r, INTERVAL_MS);
    await(&rig, 2);
    struct engine_counters c = engine_counters(rig.shard.engine);
    CU_ASSERT(c.scrub_passes >= 2);
    CU_ASSERT(c.scrubbed_bytes > KEYS * VALUE_BYTES);
    CU_ASSERT_EQUAL(c.scrub_damages, 0);
    CU_ASSERT_EQUAL(c.corruptions, 0);
    shard_rig_close(&rig.shard);
}

/* As when there was no memory for its task at the start. */
TEST_IN_REACTOR(scrub_that_could_not_begin_begins_after_a_flush)
{
    struct rig rig;
    open_rig(&rig, r, 0);
    rig.shard.engine->options.scrub_interval_ms = INTERVAL_MS;
    put(&rig, 1, 3 * KEYS + 1);
    CU_ASSERT_EQUAL(engine_flush(rig.shard.engine), 0);
    await(&rig, 1);
    CU_ASSERT(engine_counters(rig.shard.engine).scrub_passes > 0);
    shard_rig_close(&rig.shard);
}

TEST_IN_REACTOR(scrub_finds_a_changed_byte_that_nobody_reads)
{
    struct rig rig;
    open_rig(&rig, r, INTERVAL_MS);
    find_file(&rig, "table-");
    damage_flip(r, rig.path, 3 * FILE_ALIGNMENT + 77, 0x20);
    await(&rig, UINT64_MAX);
    struct engine_counters c = engine_counters(rig.shard.engine);
    CU_ASSERT(rig.told > 0 && c.scrub_damages > 0);
    CU_ASSERT_EQUAL(c.tables_damaged, 1);
    shard_rig_close(&rig.shard);
}

TEST_IN_REACTOR(scrub_finds_a_changed_byte_in_a_value_log)
{
    struct rig rig;
    open_rig(&rig, r, INTERVAL_MS);
    find_file(&rig, "values-");
    damage_flip(r, rig.path, 2 * FILE_ALIGNMENT + 77, 0x20);
    await(&rig, UINT64_MAX);
    CU_ASSERT(rig.told > 0 && engine_counters(rig.shard.engine).scrub_damages > 0);
    shard_rig_close(&rig.shard);
}

/* Between two values, so that all that is left is whole. */
TEST_IN_REACTOR(scrub_finds_a_value_log_that_became_shorter)
{
    struct rig rig;
    struct file *f = NULL;
    open_rig(&rig, r, INTERVAL_MS);
    find_file(&rig, "values-");
    CU_ASSERT_EQUAL_FATAL(file_open(r, rig.path, FILE_WRITE, &f), 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, 0), 0);
    file_close(r, f);
    await(&rig, UINT64_MAX);
    CU_ASSERT(rig.told > 0 && engine_counters(rig.shard.engine).scrub_damages > 0);
    shard_rig_close(&rig.shard);
}

TEST_IN_REACTOR(scrub_finds_a_file_that_is_gone)
{
    static const char *const prefixes[] = {"table-", "values-"};
    for (unsigned i = 0; i < ARRAY_COUNT(prefixes); i++) {
        struct rig rig;
        open_rig(&rig, r, INTERVAL_MS);
        find_file(&rig, prefixes[i]);
        CU_ASSERT_EQUAL(file_remove(r, rig.path), 0);
        await(&rig, UINT64_MAX);
        CU_ASSERT(rig.told > 0);
        shard_rig_close(&rig.shard);
    }
}

/* In one go through them: as many as a shard may have, from everywhere. */
TEST(scrub_begins_at_the_table_that_its_time_has_come_to)
{
    enum { TABLES = MANIFEST_TABLES_MAX, BYTES = 1000, LOOKS = 64 };
    struct manifest_table *tables = calloc(TABLES, sizeof *tables);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tables);
    for (uint64_t i = 0; i < TABLES; i++) {
        tables[i].number = 7 + 3 * i;
        tables[i].bytes = BYTES;
    }
    for (uint64_t look = 0; look < LOOKS; look++) {
        uint64_t whole = look * TABLES / LOOKS, bytes = whole * BYTES;
        CU_ASSERT_EQUAL(scrub_skip_tables(tables, TABLES, &bytes), whole ? 5 + 3 * whole : 0);
        CU_ASSERT_EQUAL(bytes, 0);
        bytes = whole * BYTES + 1; /* it is in the next one: that is read by the next pass */
        CU_ASSERT_EQUAL(scrub_skip_tables(tables, TABLES, &bytes), 8 + 3 * whole);
    }
    uint64_t bytes = (uint64_t)TABLES * BYTES + 9; /* and on into value logs */
    CU_ASSERT_EQUAL(scrub_skip_tables(tables, TABLES, &bytes), 5 + 3 * (uint64_t)TABLES);
    CU_ASSERT_EQUAL(bytes, 9);
    free(tables);
}

TEST_IN_REACTOR(scrub_is_off_without_an_interval)
{
    struct rig rig;
    open_rig(&rig, r, 0);
    task_sleep(r, 20 * 1000 * 1000);
    CU_ASSERT_EQUAL(engine_counters(rig.shard.engine).scrubbed_bytes, 0);
    shard_rig_close(&rig.shard);
}
