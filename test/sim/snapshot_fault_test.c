/* snapshot_fault_test.c - snapshots, restores and new divisions of a shard on a disk that fails, and without
 * memory.
 *
 * What says that it is made opens as a shard with all that was acknowledged before; what cannot be made says
 * so, and what it was to be made of is as if nobody had asked. */
#include "engine/snapshot.h"

#include "engine/entry.h"
#include "engine/reshard.h"
#include "engine/restore.h"
#include "reactor/core.h"
#include "test/engine/engine_rig.h"
#include "test/sim/disk_rig.h"

#include <errno.h>
#include <stdio.h>

enum {
    SEEDS = 12,
    ROUNDS = 3, /* of each fault */
    RATE_PER_MILLION = 60 * 1000,
    KEYS = 60,
    VNODES = 4,
    VALUE_BYTES = 500,
    LARGE_BYTES = 3000, /* in a value log */
    LARGE_EACH = 6,
    LONG_BYTES = 40000, /* some blocks of the log */
    LONG_DISK_BYTES = 64 << 20,
    TEXT_BYTES = 256, /* of a key: more than it needs */
    WAITS_MAX = 2000,
    ALLOCATIONS_MIN = 5,
    ALLOCATIONS_MAX = 500,
};
#define MS UINT64_C(1000000)

struct subject {
    struct reactor *r;
    struct engine *engine;
    uint32_t puts;
    uint32_t returned;
    uint32_t failed;
    bool has_long_values;
    unsigned whole;                     /* snapshots */
    unsigned refused;                   /* that said why not */
    struct engine_snapshot_facts facts; /* of the snapshot taken last */
};

/* ---- the shard ---- */

static struct record_key key_of(uint32_t key, char text[TEXT_BYTES])
{
    int bytes = snprintf(text, TEXT_BYTES, "key-%03u", key);
    return (struct record_key){.vnode = (uint16_t)(key % VNODES), .key = slice_of(text, (size_t)bytes)};
}

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct subject *s = owner;
    (void)ticket;
    (void)times;
    s->returned++;
    s->failed += result != 0;
}

static void on_turn(void *context)
{
    struct subject *s = context;
    if (s->engine)
        engine_submit(s->engine);
}

static struct engine_options options_of(struct subject *s, const char *directory)
{
    return (struct engine_options){
        .directory = directory,
        .vnode_bits = 2,
        .vnode_count = VNODES,
        .memtable_bytes = 16 << 10,
        .log_bytes_max = s->has_long_values ? 4 << 20 : 256 << 10,
        .segment_bytes = s->has_long_values ? 1 << 20 : 64 << 10,
        .cache_bytes = 1 << 20,
        .table_bytes_max = 16 << 10,
        .value_bytes_max = s->has_long_values ? LONG_BYTES : LARGE_BYTES,
        .value_log_bytes_min = LARGE_BYTES,
        .on_durable = on_durable,
        .owner = s,
    };
}

static int open_shard(struct subject *s, const char *directory, struct engine **out)
{
    char why[256];
    struct engine_options o = options_of(s, directory);
    return engine_open(s->r, &o, out, why, sizeof why);
}

/* Zeros, until they are durable. */
static void put(struct subject *s, uint32_t key, size_t value_bytes)
{
    static const uint8_t value[LONG_BYTES];
    char text[TEXT_BYTES];
    struct record record = {.key = key_of(key, text),
                            .version = {.clock = s->puts + 1},
                            .value = slice_of(value, value_bytes)};
    record.checksum = entry_checksum(&record.key, record.value);
    int rc = engine_put(s->engine, &record, &(struct engine_ticket){.words = {key}});
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    s->puts++;
    for (unsigned i = 0; s->returned < s->puts && i < WAITS_MAX; i++)
        task_sleep(s->r, MS);
    CU_ASSERT(s->returned == s->puts && s->failed == 0);
}

static void put_all(struct subject *s)
{
    for (uint32_t key = 0; key < KEYS; key++)
        put(s, key, key % LARGE_EACH ? VALUE_BYTES : LARGE_BYTES);
}

/* Of the keys of the first `vnodes` vnodes. */
static unsigned count_found(struct engine *e, unsigned vnodes)
{
    unsigned found = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        if (key % VNODES >= vnodes)
            continue;
        char text[TEXT_BYTES];
        struct record_key plain = key_of(key, text);
        found += engine_answer(e, &plain, 1) == ENGINE_FOUND;
    }
    return found;
}

/* ---- the snapshot ---- */

static void check_copy_of(struct subject *s, const char *directory, unsigned keys)
{
    struct engine *copy = NULL;
    CU_ASSERT_EQUAL_FATAL(open_shard(s, directory, &copy), 0);
    CU_ASSERT_EQUAL(engine_counters(copy).quarantined, 0);
    CU_ASSERT_EQUAL(count_found(copy, VNODES), keys);
    engine_close(copy);
}

static void check_copy(struct subject *s, const char *directory)
{
    check_copy_of(s, directory, KEYS);
}

/* Returns: what came of begin, or of write. */
static int take_snapshot(struct subject *s)
{
    struct engine_snapshot *snapshot = NULL;
    uint64_t clock;
    int rc = TORC_E_OVERLOADED; /* while tables change */
    for (unsigned i = 0; rc == TORC_E_OVERLOADED && i < WAITS_MAX; i++) {
        task_sleep(s->r, i ? MS : 0);
        rc = engine_snapshot_begin(s->engine, &snapshot, &clock);
    }
    if (rc == 0)
        rc = engine_snapshot_write(snapshot, "copy", NULL, &s->facts);
    engine_snapshot_end(snapshot);
    return rc;
}

/* Until tables are made and merged: an allocation that fails is to be one of the snapshot's. */
static void settle(struct subject *s)
{
    enum { QUIET = 100 };
    struct engine_counters before = engine_counters(s->engine);
    for (unsigned i = 0, quiet = 0; quiet < QUIET && i < WAITS_MAX; i++, quiet++) {
        task_sleep(s->r, MS);
        struct engine_counters now = engine_counters(s->engine);
        if (now.flushes != before.flushes || now.compacted_bytes != before.compacted_bytes ||
            now.compactions != before.compactions)
            quiet = 0;
        before = now;
    }
}

static void begin(struct subject *s, struct reactor *r)
{
    s->r = r;
    s->puts = s->returned = s->failed = 0;
    CU_ASSERT_EQUAL_FATAL(open_shard(s, "shard", &s->engine), 0);
    reactor_set_turn_hook(r, on_turn, s);
    put_all(s);
    CU_ASSERT_EQUAL(engine_flush(s->engine), 0);
    put_all(s); /* some tables, some log */
    settle(s);
}

static void end(struct subject *s)
{
    engine_close(s->engine);
    s->engine = NULL;
    reactor_set_turn_hook(s->r, NULL, NULL);
}

/* ---- what is made of a shard ---- */

struct making {
    uint32_t rate_per_million; /* of a fault */
    void (*prepare)(struct subject *s);
    int (*make)(struct subject *s);
    void (*check)(struct subject *s); /* what is made */
    void (*clean)(struct subject *s); /* whatever was left */
};

static void judge(struct subject *s, const struct making *making, int rc)
{
    s->whole += rc == 0;
    s->refused += rc != 0;
    if (rc == 0)
        making->check(s);
    making->clean(s);
}

static void make_with_faults(struct subject *s, struct rig *rig, const struct making *making)
{
    static const enum sim_fault faults[] = {SIM_READ_ERROR, SIM_WRITE_ERROR, SIM_SYNC_ERROR};
    for (unsigned i = 0; i < ROUNDS * ARRAY_COUNT(faults); i++) {
        struct sim_faults rates = {0};
        rates.per_million[faults[i % ARRAY_COUNT(faults)]] = making->rate_per_million;
        making->prepare(s);
        sim_world_set_faults(rig->world, &rates);
        int rc = making->make(s);
        rig_set_fault(rig, SIM_FAULT_COUNT);
        judge(s, making, rc);
    }
}

static void make_without_memory(struct subject *s, const struct making *making)
{
    struct heap *heap = &core_of(s->r)->heap;
    bool has_failed = true;
    uint64_t k = 1;
    for (; has_failed && k < ALLOCATIONS_MAX; k++) {
        making->prepare(s);
        heap->fails_in = k;
        int rc = making->make(s);
        has_failed = heap->fails_in == 0;
        heap->fails_in = 0;
        CU_ASSERT(has_failed || rc == 0);
        judge(s, making, rc);
    }
    CU_ASSERT(k > ALLOCATIONS_MIN && k < ALLOCATIONS_MAX);
}

static void prepare_nothing(struct subject *s)
{
    (void)s; /* who makes it makes the directory */
}

/* ---- snapshots ---- */

static void check_snapshot(struct subject *s)
{
    check_copy(s, "copy");
}

static void clean_snapshot(struct subject *s)
{
    int rc = directory_remove_all(s->r, "copy", NULL);
    CU_ASSERT(rc == 0 || rc == -ENOENT);
    CU_ASSERT_EQUAL(count_found(s->engine, VNODES), KEYS);
}

static const struct making copying = {RATE_PER_MILLION, prepare_nothing, take_snapshot, check_snapshot,
                                      clean_snapshot};

static void snapshots_with_faults(struct reactor *r, struct rig *rig)
{
    struct subject *s = rig->context;
    begin(s, r);
    make_with_faults(s, rig, &copying);
    end(s);
}

/* Of the value that was put last the copy has every byte, wherever the pieces end that it is copied in. */
static void snapshots_of_zeros(struct reactor *r, struct rig *rig)
{
    struct subject *s = rig->context;
    s->r = r;
    sim_disk_set_capacity(rig->disk, LONG_DISK_BYTES);
    CU_ASSERT_EQUAL_FATAL(open_shard(s, "shard", &s->engine), 0);
    reactor_set_turn_hook(r, on_turn, s);
    for (uint32_t key = 0; key < KEYS; key++) {
        put(s, key, LONG_BYTES);
        CU_ASSERT_EQUAL_FATAL(take_snapshot(s), 0);
        check_copy_of(s, "copy", key + 1);
        CU_ASSERT_EQUAL(directory_remove_all(r, "copy", NULL), 0);
    }
    end(s);
}

/* A world of its own. */
static void run(struct subject *s, uint64_t seed, void (*body)(struct reactor *r, struct rig *rig))
{
    struct rig rig;
    rig_open(&rig, seed);
    rig.context = s;
    rig_run_and_stop(&rig, body);
    struct sim_leaks leaks = sim_node_leaks(rig.node);
    CU_ASSERT(leaks.files == 0 && leaks.tasks == 0 && leaks.heap_bytes == 0);
    rig_close(&rig);
}

TEST(a_snapshot_on_a_disk_that_fails_is_whole_or_says_that_it_is_not)
{
    struct subject s = {.r = NULL};
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(&s, seed, snapshots_with_faults);
    CU_ASSERT(s.whole > SEEDS && s.refused > SEEDS);
}

TEST(a_snapshot_of_a_log_that_ends_in_zeros_has_them)
{
    struct subject s = {.has_long_values = true};
    run(&s, 1, snapshots_of_zeros);
}

static void snapshots_without_memory(struct reactor *r, struct rig *rig)
{
    struct subject *s = rig->context;
    begin(s, r);
    make_without_memory(s, &copying);
    end(s);
}

TEST(a_snapshot_without_memory_says_so_and_harms_nothing)
{
    struct subject s = {.r = NULL};
    run(&s, 1, snapshots_without_memory);
    CU_ASSERT(s.whole >= 1 && s.refused >= ALLOCATIONS_MIN);
}

static void snapshot_without_room(struct reactor *r, struct rig *rig)
{
    struct subject *s = rig->context;
    begin(s, r);
    sim_disk_set_capacity(rig->disk, sim_disk_used_bytes(rig->disk));
    int rc = take_snapshot(s);
    CU_ASSERT(rc != 0);
    judge(s, &copying, rc);
    end(s);
}

TEST(a_snapshot_without_room_for_its_log_says_so)
{
    struct subject s = {.r = NULL};
    run(&s, 1, snapshot_without_room);
    CU_ASSERT_EQUAL(s.refused, 1);
}

/* ---- restores, and shards divided anew, in the directory "made" ---- */

static int link_file(void *context, const char *name)
{
    struct subject *s = context;
    char from[TEXT_BYTES], to[TEXT_BYTES];
    if (strncmp(name, "table-", 6) != 0 && strncmp(name, "values-", 7) != 0)
        return 0;
    snprintf(from, sizeof from, "copy/%.200s", name);
    snprintf(to, sizeof to, "made/%.200s", name);
    return file_link(s->r, from, to);
}

static void prepare_restore(struct subject *s)
{
    CU_ASSERT_EQUAL_FATAL(directory_create(s->r, "made"), 0);
    CU_ASSERT_EQUAL_FATAL(directory_list(s->r, "copy", link_file, s), 0);
}

static int make_restore(struct subject *s)
{
    struct engine_options options = options_of(s, "made");
    struct engine_restore restore = {
        .options = &options,
        .manifest = "copy/MANIFEST-A",
        .log = "copy",
        .start_segment = s->facts.start_segment,
        .start_sequence = s->facts.start_sequence,
        .end_segment = s->facts.end_segment,
        .end_sequence = s->facts.end_sequence,
        .clock_max = UINT64_MAX,
    };
    return engine_restore(s->r, &restore);
}

static void check_restore(struct subject *s)
{
    check_copy(s, "made");
}

/* The first half of its vnodes. */
static int make_half(struct subject *s)
{
    struct reshard_source source = {.directory = "shard", .vnode_count = VNODES, .clock_max = s->puts};
    struct reshard_target target = {.directory = "made", .vnode_bits = 2, .vnode_count = VNODES / 2};
    char why[256] = "";
    int rc = reshard_survey(s->r, &source, 1, 2, &target.file_counter, why, sizeof why);
    if (rc == 0)
        rc = reshard_make(s->r, &target, &source, 1, why, sizeof why);
    CU_ASSERT_EQUAL(rc != 0, why[0] != '\0');
    return rc;
}

static void check_half(struct subject *s)
{
    struct engine *half = NULL;
    char why[256];
    struct engine_options o = options_of(s, "made");
    o.vnode_count = VNODES / 2;
    CU_ASSERT_EQUAL_FATAL(engine_open(s->r, &o, &half, why, sizeof why), 0);
    CU_ASSERT_EQUAL(count_found(half, VNODES / 2), KEYS / 2);
    engine_close(half);
}

static void clean_made(struct subject *s)
{
    CU_ASSERT_EQUAL(directory_remove_all(s->r, "made", NULL), 0);
}

static const struct making restoring = {RATE_PER_MILLION / 2, prepare_restore, make_restore, check_restore,
                                        clean_made};
static const struct making halving = {RATE_PER_MILLION / 2, prepare_nothing, make_half, check_half,
                                      clean_made};

static void begin_making(struct subject *s, struct reactor *r)
{
    begin(s, r);
    CU_ASSERT_EQUAL_FATAL(take_snapshot(s), 0);
    CU_ASSERT_EQUAL(engine_flush(s->engine), 0);
    end(s);
}

static void restore_and_halve(struct reactor *r, struct rig *rig)
{
    struct subject *s = rig->context;
    begin_making(s, r);
    make_with_faults(s, rig, &restoring);
    make_with_faults(s, rig, &halving);
}

TEST(a_shard_made_anew_on_a_disk_that_fails_is_whole_or_said_not_to_be)
{
    struct subject s = {.r = NULL};
    for (uint64_t seed = 1; seed <= SEEDS / 2; seed++)
        run(&s, seed, restore_and_halve);
    CU_ASSERT(s.whole > SEEDS && s.refused >= SEEDS / 3);
}

static void restore_and_halve_without_memory(struct reactor *r, struct rig *rig)
{
    struct subject *s = rig->context;
    begin_making(s, r);
    make_without_memory(s, &restoring);
    make_without_memory(s, &halving);
}

TEST(a_shard_made_anew_without_memory_is_whole_or_said_not_to_be)
{
    struct subject s = {.r = NULL};
    run(&s, 1, restore_and_halve_without_memory);
    CU_ASSERT(s.whole >= 2 && s.refused >= 2 * ALLOCATIONS_MIN);
}
