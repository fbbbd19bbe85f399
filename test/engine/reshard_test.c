/* reshard_test.c - shards made of files of other shards hold what those held, and nothing that they had
 * dropped. */
#include "engine/reshard.h"

#include "engine/manifest.h"
#include "engine/values_format.h"
#include "test/engine/shard_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    VNODE_BITS = 6,
    VNODES = 1 << VNODE_BITS,
    KEYS = 400,
    SHARDS_MAX = 5,
    PARENT_BYTES = 256,
    PATH_BYTES = PARENT_BYTES + 32,
};

/* One engine at a time, and what its keys must answer. */
struct rig {
    struct reactor *reactor;
    struct shard_rig shard; /* that is open */
    uint64_t clock;
    char parent[PARENT_BYTES];
    char paths[SHARDS_MAX][PATH_BYTES];
    unsigned shards;
    unsigned layout;
    uint64_t table_bytes_max;
    uint64_t written[KEYS]; /* clock of the version; 0: none */
    uint8_t flags[KEYS];
};

static uint16_t first_of(const struct rig *rig, unsigned shard)
{
    return (uint16_t)(VNODES * shard / rig->shards);
}

static void open_shard(struct rig *rig, unsigned shard)
{
    struct engine_options options = {
        .directory = rig->paths[shard],
        .vnode_bits = VNODE_BITS,
        .vnode_first = first_of(rig, shard),
        .vnode_count = (uint16_t)(first_of(rig, shard + 1) - first_of(rig, shard)),
        .memtable_bytes = 16 << 10,
        .segment_bytes = 128 << 10,
        .cache_bytes = 128 << 10,
        .value_bytes_max = 4096,
        .value_log_bytes_min = 100,
        .table_bytes_max = rig->table_bytes_max,
    };
    shard_rig_open(&rig->shard, rig->reactor, &options);
    uint64_t clock = engine_version_clock_max(rig->shard.engine);
    rig->clock = clock > rig->clock ? clock : rig->clock;
}

static struct record_key key_of(unsigned i, char to[32])
{
    snprintf(to, 32, "key-%u", i);
    return (struct record_key){.vnode = (uint16_t)(i * 7 % VNODES), .key = slice_of_string(to)};
}

static bool is_of(const struct rig *rig, unsigned shard, unsigned i)
{
    uint16_t vnode = (uint16_t)(i * 7 % VNODES);
    return vnode >= first_of(rig, shard) && vnode < first_of(rig, shard + 1);
}

/* Of two in three: so large that it goes to a value log. */
static uint32_t value_bytes(unsigned i)
{
    return i % 3 ? 200 : 50;
}

static void put(struct rig *rig, unsigned i, uint8_t flags)
{
    char key[32];
    rig->written[i] = ++rig->clock;
    rig->flags[i] = flags;
    shard_rig_put(&rig->shard,
                  &(struct shard_put){
                      .key = key_of(i, key),
                      .clock = rig->clock,
                      .flags = flags,
                      .expiry_ms =
                          flags & RECORD_EXPIRING ? reactor_wall_ms(rig->reactor) + (i % 2 ? 1 : 3600000) : 0,
                      .fill = (uint8_t)(rig->clock % 251),
                      .value_bytes = flags & RECORD_TOMBSTONE ? 0 : value_bytes(i),
                  });
}

/* Every key of each shard that `chosen` takes. */
static void put_all(struct rig *rig, uint8_t flags, bool (*chosen)(unsigned i))
{
    for (unsigned s = 0; s < rig->shards; s++) {
        open_shard(rig, s);
        for (unsigned i = 0; i < KEYS; i++)
            if (is_of(rig, s, i) && chosen(i))
                put(rig, i, flags);
        CU_ASSERT_EQUAL(engine_flush(rig->shard.engine), 0);
        shard_rig_close(&rig->shard);
    }
}

static bool is_any(unsigned i)
{
    return i < KEYS;
}

static bool is_third(unsigned i)
{
    return i % 3 == 0;
}

static bool is_fifth(unsigned i)
{
    return i % 5 == 0;
}

static unsigned count_wrong(struct rig *rig, unsigned shard)
{
    unsigned wrong = 0;
    uint64_t now_ms = reactor_wall_ms(rig->reactor) + 1000;
    for (unsigned i = 0; i < KEYS; i++) {
        char text[32];
        struct engine_key k;
        struct record record;
        struct engine_hold hold = {.buffer = NULL};
        struct record_key key = key_of(i, text);
        if (!is_of(rig, shard, i))
            continue;
        engine_key_init(rig->shard.engine, &k, &key);
        int answer = engine_get_wait(rig->shard.engine, &k, now_ms, &record, &hold);
        bool is_gone = (rig->flags[i] & RECORD_TOMBSTONE) || ((rig->flags[i] & RECORD_EXPIRING) && i % 2);
        wrong += is_gone ? answer != ENGINE_ABSENT
                         : answer != ENGINE_FOUND || record.version.clock != rig->written[i] ||
                               record.value.bytes != value_bytes(i);
        engine_release(rig->shard.engine, &hold);
    }
    return wrong;
}

/* Each key is seen once, in order, by a scan. Returns: how many. */
static unsigned count_scanned(struct rig *rig, unsigned shard)
{
    unsigned count = 0;
    struct record record;
    struct engine_cursor *c;
    uint16_t vnode = first_of(rig, shard);
    int rc = engine_cursor_open(rig->shard.engine, &(struct record_key){.vnode = vnode},
                                reactor_wall_ms(rig->reactor) + 1000, &c);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    while ((rc = engine_cursor_next(c, &record)) == 1) {
        CU_ASSERT(record.key.vnode >= vnode && record.key.vnode < first_of(rig, shard + 1));
        vnode = record.key.vnode;
        count++;
    }
    CU_ASSERT_EQUAL(rc, 0);
    engine_cursor_close(c);
    return count;
}

static unsigned count_live(const struct rig *rig)
{
    unsigned count = 0;
    for (unsigned i = 0; i < KEYS; i++)
        count += !(rig->flags[i] & RECORD_TOMBSTONE) && !((rig->flags[i] & RECORD_EXPIRING) && i % 2);
    return count;
}

static void check_all(struct rig *rig)
{
    unsigned wrong = 0, scanned = 0;
    for (unsigned s = 0; s < rig->shards; s++) {
        open_shard(rig, s);
        wrong += count_wrong(rig, s);
        scanned += count_scanned(rig, s);
        shard_rig_close(&rig->shard);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(scanned, count_live(rig));
}

static void name_shards(struct rig *rig, unsigned shards)
{
    rig->shards = shards;
    rig->layout++;
    for (unsigned s = 0; s < shards; s++)
        snprintf(rig->paths[s], PATH_BYTES, "%s/%u-%u", rig->parent, rig->layout, s);
}

static void reshard(struct rig *rig, unsigned shards)
{
    struct rig old = *rig;
    struct reshard_source sources[SHARDS_MAX];
    char why[512] = "";
    uint64_t file_counter;
    for (unsigned s = 0; s < old.shards; s++)
        sources[s] = (struct reshard_source){
            .directory = old.paths[s],
            .vnode_first = first_of(&old, s),
            .vnode_count = (uint16_t)(first_of(&old, s + 1) - first_of(&old, s)),
            .clock_max = rig->clock,
        };
    CU_ASSERT_EQUAL_FATAL(reshard_survey(rig->reactor, sources, old.shards, VNODE_BITS, &file_counter, why,
                                         sizeof why),
                          0);
    name_shards(rig, shards);
    for (unsigned s = 0; s < shards; s++) {
        struct reshard_target target = {
            .directory = rig->paths[s],
            .vnode_bits = VNODE_BITS,
            .vnode_first = first_of(rig, s),
            .vnode_count = (uint16_t)(first_of(rig, s + 1) - first_of(rig, s)),
            .file_counter = file_counter,
        };
        int rc = reshard_make(rig->reactor, &target, sources, old.shards, why, sizeof why);
        CU_ASSERT_STRING_EQUAL(why, "");
        CU_ASSERT_EQUAL_FATAL(rc, 0);
    }
}

static struct rig *rig_new(struct reactor *r, unsigned shards)
{
    struct rig *rig = calloc(1, sizeof *rig);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig);
    rig->reactor = r;
    rig->table_bytes_max = 16 << 10;
    snprintf(rig->parent, sizeof rig->parent, "%s", test_directory());
    name_shards(rig, shards);
    return rig;
}

TEST_IN_REACTOR(reshard_keeps_puts_deletes_and_expiry)
{
    static const unsigned shards[] = {2, 4, 3, 1, 5, 2};
    struct rig *rig = rig_new(r, 1);
    put_all(rig, 0, is_any);
    put_all(rig, RECORD_EXPIRING, is_fifth);
    put_all(rig, RECORD_TOMBSTONE, is_third);
    for (unsigned i = 0; i < ARRAY_COUNT(shards); i++) {
        reshard(rig, shards[i]);
        check_all(rig);
        if (i % 2)
            put_all(rig, 0, is_fifth);
        check_all(rig);
    }
    free(rig);
}

/* One of two shards has merged away what it deleted; the other still has the file with the old records of
 * both. */
TEST_IN_REACTOR(reshard_brings_back_nothing_that_a_shard_has_dropped)
{
    struct rig *rig = rig_new(r, 1);
    put_all(rig, 0, is_any);
    reshard(rig, 3);
    open_shard(rig, 1);
    for (unsigned round = 0; round < 12; round++)
        for (unsigned i = 0; i < KEYS; i++)
            if (is_of(rig, 1, i)) {
                put(rig, i, RECORD_TOMBSTONE);
                if (i % 16 == 0)
                    CU_ASSERT_EQUAL(engine_flush(rig->shard.engine), 0);
            }
    CU_ASSERT_EQUAL(engine_flush(rig->shard.engine), 0);
    CU_ASSERT(engine_counters(rig->shard.engine).compactions > 0);
    shard_rig_close(&rig->shard);
    reshard(rig, 1);
    check_all(rig);
    reshard(rig, 2);
    check_all(rig);
    free(rig);
}

static void set_quarantine(void *context, struct manifest_numbers *n)
{
    n->quarantine_clock = *(const uint64_t *)context;
    n->quarantine_count = 3;
}

TEST_IN_REACTOR(reshard_keeps_what_may_be_lost_unknown)
{
    struct rig *rig = rig_new(r, 2);
    struct manifest *m;
    char why[256];
    put_all(rig, 0, is_any);
    CU_ASSERT_EQUAL_FATAL(manifest_open(r, rig->paths[1], NULL, &m, why, sizeof why), 0);
    struct manifest_change change = {.edit = set_quarantine, .context = &rig->clock};
    CU_ASSERT_EQUAL(manifest_commit(m, &change), 0);
    manifest_close(m);
    reshard(rig, 4);
    for (unsigned s = 0; s < 4; s++) {
        open_shard(rig, s);
        CU_ASSERT_EQUAL(engine_counters(rig->shard.engine).quarantined, s < 2 ? 0 : 3);
        CU_ASSERT(s < 2 ? count_wrong(rig, s) == 0 : count_wrong(rig, s) > 0);
        shard_rig_close(&rig->shard);
    }
    free(rig);
}

TEST_IN_REACTOR(reshard_does_not_hide_a_table_that_is_lost)
{
    struct rig *rig = rig_new(r, 1);
    struct manifest *m;
    char why[256], path[PATH_BYTES + 64];
    put_all(rig, 0, is_any);
    CU_ASSERT_EQUAL_FATAL(manifest_open(r, rig->paths[0], NULL, &m, why, sizeof why), 0);
    for (uint32_t i = 0; i < manifest_state(m)->table_count; i++) {
        snprintf(path, sizeof path, "%s/table-%016llx.sst", rig->paths[0],
                 (unsigned long long)manifest_state(m)->tables[i].number);
        CU_ASSERT_EQUAL(file_remove(r, path), 0);
    }
    manifest_close(m);
    reshard(rig, 2);
    for (unsigned s = 0; s < 2; s++) {
        open_shard(rig, s);
        CU_ASSERT(engine_counters(rig->shard.engine).tables_damaged > 0);
        CU_ASSERT(count_wrong(rig, s) > 0);
        shard_rig_close(&rig->shard);
    }
    free(rig);
}

static int remove_values(void *context, const char *name)
{
    struct rig *rig = context;
    char path[PATH_BYTES + 64];
    if (strncmp(name, "values-", 7) != 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", rig->paths[0], name);
    CU_ASSERT_EQUAL(file_remove(rig->reactor, path), 0);
    return 0;
}

TEST_IN_REACTOR(reshard_takes_a_value_log_from_the_shard_that_still_has_it)
{
    struct rig *rig = rig_new(r, 1);
    put_all(rig, 0, is_any);
    reshard(rig, 2);
    CU_ASSERT_EQUAL(directory_list(r, rig->paths[0], remove_values, rig), 0);
    reshard(rig, 1);
    check_all(rig);
    free(rig);
}

struct shares {
    uint64_t file_bytes;
    uint64_t share_bytes;
};

/* Of the first value log, as the shard's manifest has it. */
static struct shares shares_of(struct rig *rig, unsigned shard, uint64_t *file)
{
    struct manifest *m;
    char why[256];
    struct shares found = {0, 0};
    CU_ASSERT_EQUAL_FATAL(manifest_open(rig->reactor, rig->paths[shard], NULL, &m, why, sizeof why), 0);
    for (uint32_t i = 0; i < manifest_state(m)->table_count; i++) {
        struct slice row = manifest_state(m)->tables[i].values;
        for (size_t at = 0; at < row.bytes; at += VALUE_REFERENCE_BYTES) {
            struct value_reference v = value_reference_decode(row.data + at);
            *file = *file ? *file : v.file;
            if (v.file == *file)
                found = (struct shares){v.file_bytes, v.share_bytes};
        }
    }
    manifest_close(m);
    return found;
}

TEST_IN_REACTOR(reshard_gives_each_shard_its_share_of_a_value_log)
{
    struct rig *rig = rig_new(r, 1);
    uint64_t file = 0, sum = 0;
    rig->table_bytes_max = 1 << 20; /* so that a value log is of all keys of a flush */
    put_all(rig, 0, is_any);
    struct shares whole = shares_of(rig, 0, &file);
    CU_ASSERT(whole.file_bytes > 4000 && whole.share_bytes == whole.file_bytes);
    reshard(rig, 3);
    for (unsigned s = 0; s < 3; s++) {
        struct shares part = shares_of(rig, s, &file);
        CU_ASSERT_EQUAL(part.file_bytes, whole.file_bytes);
        CU_ASSERT(part.share_bytes > whole.file_bytes / 6 && part.share_bytes < whole.file_bytes / 2);
        sum += part.share_bytes;
    }
    CU_ASSERT(sum + sum / 50 > whole.file_bytes && sum - sum / 50 < whole.file_bytes);
    reshard(rig, 1);
    struct shares again = shares_of(rig, 0, &file);
    CU_ASSERT(again.share_bytes + 100 > sum && again.share_bytes < sum + 100);
    check_all(rig);
    free(rig);
}

/* Most of what a shard merges then is in files of which it has a part only. */
TEST_IN_REACTOR(reshard_makes_no_value_look_like_garbage)
{
    struct rig *rig = rig_new(r, 1);
    put_all(rig, 0, is_any);
    reshard(rig, 3);
    for (unsigned s = 0; s < 3; s++) {
        open_shard(rig, s);
        for (unsigned round = 0; round < 12; round++) {
            for (unsigned i = 0; i < KEYS; i += 3) /* small ones */
                if (is_of(rig, s, i))
                    put(rig, i, 0);
            CU_ASSERT_EQUAL(engine_flush(rig->shard.engine), 0);
        }
        CU_ASSERT(engine_counters(rig->shard.engine).compactions > 0);
        CU_ASSERT_EQUAL(engine_counters(rig->shard.engine).value_bytes_moved, 0);
        shard_rig_close(&rig->shard);
    }
    check_all(rig);
    free(rig);
}
