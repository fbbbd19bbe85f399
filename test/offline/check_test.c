/* check_test.c - a shard is checked: nothing is found in a good one, and every kind of damage is. */
#include "offline/check.h"

#include "test/engine/damage.h"
#include "test/engine/shard_rig.h"

#include <stdio.h>

enum { VNODES = 16, KEYS = 300, VALUE_BYTES = 200, LARGE_BYTES = 3000, PATH_BYTES = 300 };

struct rig {
    struct shard_rig shard;
    const char *directory;
    char path[PATH_BYTES];
};

static const struct manifest_shard shard = {.vnode_bits = 4, .vnode_count = VNODES};

static void put(struct rig *rig, unsigned i, uint64_t clock)
{
    char key[32];
    snprintf(key, sizeof key, "key-%04u", i);
    shard_rig_put(&rig->shard, &(struct shard_put){
                                   .key = {.vnode = (uint16_t)(i % VNODES), .key = slice_of_string(key)},
                                   .clock = clock,
                                   .flags = i % 10 == 0 ? RECORD_EXPIRING : 0,
                                   .expiry_ms = i % 10 == 0 ? UINT64_C(1) << 50 : 0,
                                   .fill = (uint8_t)(i % 251),
                                   .value_bytes = i % 7 == 0 ? LARGE_BYTES : VALUE_BYTES,
                               });
}

/* One table, and a log with some records behind it. */
static void make_shard(struct rig *rig, struct reactor *r)
{
    *rig = (struct rig){.directory = test_directory()};
    struct engine_options options = {
        .directory = rig->directory,
        .vnode_bits = 4,
        .vnode_count = VNODES,
        .segment_bytes = 4 << 20,
        .value_bytes_max = 4096,
    };
    shard_rig_open(&rig->shard, r, &options);
    for (unsigned i = 0; i < KEYS; i++)
        put(rig, i, i + 1);
    CU_ASSERT_EQUAL(engine_flush(rig->shard.engine), 0);
    for (unsigned i = 0; i < 10; i++)
        put(rig, i, KEYS + i + 1);
    shard_rig_close(&rig->shard);
}

static struct check check(struct rig *rig)
{
    struct check c = {.reactor = rig->shard.reactor, .is_silent = true};
    CU_ASSERT_EQUAL(check_shard(&c, rig->directory, &shard), 0);
    return c;
}

static int find_name(void *context, const char *name)
{
    struct rig *rig = context;
    size_t bytes = strlen(rig->path);
    if (strncmp(name, rig->path, bytes) != 0)
        return 0;
    snprintf(rig->path, sizeof rig->path, "%s/%s", rig->directory, name);
    return 1;
}

/* The first file whose name begins so. */
static const char *file_of(struct rig *rig, const char *prefix)
{
    snprintf(rig->path, sizeof rig->path, "%s", prefix);
    CU_ASSERT_EQUAL_FATAL(directory_list(rig->shard.reactor, rig->directory, find_name, rig), 1);
    return rig->path;
}

static uint64_t size_of(struct rig *rig, const char *path)
{
    struct file *f = NULL;
    uint64_t bytes = 0;
    CU_ASSERT_EQUAL_FATAL(file_open(rig->shard.reactor, path, FILE_READ, &f), 0);
    CU_ASSERT_EQUAL(file_size(rig->shard.reactor, f, &bytes), 0);
    file_close(rig->shard.reactor, f);
    return bytes;
}

TEST_IN_REACTOR(check_finds_nothing_in_a_good_shard_and_counts_it)
{
    struct rig rig;
    make_shard(&rig, r);
    struct check c = check(&rig);
    CU_ASSERT_EQUAL(c.problems, 0);
    CU_ASSERT_EQUAL(c.tables, 1);
    CU_ASSERT_EQUAL(c.records, KEYS);
    CU_ASSERT_EQUAL(c.log_records, 10);
    CU_ASSERT(c.table_bytes > KEYS * VALUE_BYTES * 6 / 7 && c.log_bytes > 0);
    CU_ASSERT_EQUAL(c.value_bytes, (KEYS + 6) / 7 * LARGE_BYTES);
}

TEST_IN_REACTOR(check_finds_a_changed_byte_anywhere_in_a_table)
{
    struct rig rig;
    make_shard(&rig, r);
    const char *path = file_of(&rig, "table-");
    uint64_t bytes = size_of(&rig, path);
    for (uint64_t unit = 0; unit < bytes; unit += FILE_ALIGNMENT) {
        damage_flip(r, path, unit + 40, 0x20);
        CU_ASSERT(check(&rig).problems > 0);
        damage_flip(r, path, unit + 40, 0x20);
    }
    CU_ASSERT_EQUAL(check(&rig).problems, 0);
}

TEST_IN_REACTOR(check_finds_a_changed_byte_in_a_value_log)
{
    struct rig rig;
    make_shard(&rig, r);
    const char *path = file_of(&rig, "values-");
    uint64_t used = (KEYS + 6) / 7 * (uint64_t)LARGE_BYTES;
    for (uint64_t at = 5; at < used; at += 17 * 1000) {
        damage_flip(r, path, at, 0x20);
        CU_ASSERT_EQUAL(check(&rig).problems, 1);
        damage_flip(r, path, at, 0x20);
    }
    CU_ASSERT_EQUAL(check(&rig).problems, 0);
}

TEST_IN_REACTOR(check_finds_a_changed_byte_in_each_copy_of_the_manifest)
{
    static const char *const names[] = {"MANIFEST-A", "MANIFEST-B"};
    static const uint64_t offsets[] = {0, 9, 40, 60, 130};
    struct rig rig;
    make_shard(&rig, r);
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(offsets); i++) {
        const char *path = file_of(&rig, names[i % 2]);
        damage_flip(r, path, offsets[i / 2], 0x20);
        struct check c = check(&rig);
        CU_ASSERT_EQUAL(c.problems, 1);
        CU_ASSERT_EQUAL(c.records, KEYS); /* by the other one */
        damage_flip(r, path, offsets[i / 2], 0x20);
    }
    damage_flip(r, file_of(&rig, names[0]), 60, 0x20);
    damage_flip(r, file_of(&rig, names[1]), 60, 0x20);
    CU_ASSERT(check(&rig).problems > 2);
}

TEST_IN_REACTOR(check_finds_damage_in_the_log_and_writes_nothing)
{
    struct rig rig;
    make_shard(&rig, r);
    const char *path = file_of(&rig, "wal-");
    uint64_t end = size_of(&rig, path), last = 0;
    struct check good = check(&rig);
    for (uint64_t block = FILE_ALIGNMENT; block < end && last == 0; block += FILE_ALIGNMENT) {
        damage_flip(r, path, block + 100, 0x20);
        struct check c = check(&rig);
        if (c.problems > 0)
            last = block;
        damage_flip(r, path, block + 100, 0x20);
    }
    CU_ASSERT(last > 0);
    struct check again = check(&rig);
    CU_ASSERT_EQUAL(again.problems, 0);
    CU_ASSERT_EQUAL(again.log_records, good.log_records);
}

TEST_IN_REACTOR(check_finds_what_is_missing)
{
    static const char *const names[] = {"table-", "MANIFEST-A", "wal-", "values-"};
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        struct rig rig;
        make_shard(&rig, r);
        CU_ASSERT_EQUAL(file_remove(r, file_of(&rig, names[i])), 0);
        CU_ASSERT(check(&rig).problems > 0);
    }
}

/* A directory in its place does not open as a file, for root neither: as where rights or descriptors are
 * wanting. */
static void check_cannot_look_at(struct rig *rig, const char *prefix)
{
    struct check c = {.reactor = rig->shard.reactor, .is_silent = true};
    char away[PATH_BYTES + 8];
    const char *path = file_of(rig, prefix);
    snprintf(away, sizeof away, "%s.away", path);
    CU_ASSERT_EQUAL(file_rename(rig->shard.reactor, path, away), 0);
    CU_ASSERT_EQUAL(directory_create(rig->shard.reactor, path), 0);
    int rc = check_shard(&c, rig->directory, &shard);
    CU_ASSERT(rc < 0 && !error_is_loss(rc));
    CU_ASSERT_EQUAL(c.problems, 0);
    CU_ASSERT_EQUAL(directory_remove(rig->shard.reactor, path), 0);
    CU_ASSERT_EQUAL(file_rename(rig->shard.reactor, away, path), 0);
}

TEST_IN_REACTOR(check_tells_what_it_cannot_look_at_from_damage)
{
    static const char *const names[] = {"values-", "table-", "MANIFEST-A", "MANIFEST-B"};
    struct rig rig;
    make_shard(&rig, r);
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        check_cannot_look_at(&rig, names[i]);
    CU_ASSERT_EQUAL(check(&rig).problems, 0);
}

/* What a crash leaves of it: room for the first copy, and nothing else. */
TEST_IN_REACTOR(check_takes_a_very_first_commit_that_was_cut_short_for_a_new_shard)
{
    static const char zeros[4096];
    struct rig rig = {.directory = test_directory(), .shard = {.reactor = r}};
    char path[PATH_BYTES];
    struct file *f;
    CU_ASSERT_EQUAL(check(&rig).problems, 0);
    snprintf(path, sizeof path, "%s/MANIFEST-A", rig.directory);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
    CU_ASSERT_EQUAL(file_write(r, f, zeros, sizeof zeros, 0, false), 0);
    file_close(r, f);
    CU_ASSERT_EQUAL(check(&rig).problems, 0);
    snprintf(path, sizeof path, "%s/wal-0000000000000001.log", rig.directory);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
    file_close(r, f);
    CU_ASSERT_EQUAL(check(&rig).problems, 2); /* that copy, and that there is no other */
}

TEST_IN_REACTOR(check_finds_a_shard_of_other_vnodes)
{
    struct rig rig;
    make_shard(&rig, r);
    struct check c = {.reactor = r, .is_silent = true};
    struct manifest_shard other = {.vnode_bits = 4, .vnode_first = 8, .vnode_count = 8};
    CU_ASSERT_EQUAL(check_shard(&c, rig.directory, &other), 0);
    CU_ASSERT(c.problems > 0);
}
