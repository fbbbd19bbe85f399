/* catalogue_test.c - the catalogue of a large node is read without keeping others waiting. */
#include "shard/catalogue.h"

#include "test/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { FILES = 60000 };

static const struct datadir_identity ours = {.node = 1, .cores = 1, .vnode_bits = 10};

static void add_files(struct reactor *r, struct catalogue_text *t)
{
    struct engine_snapshot_facts facts = {.vnode_count = 1024, .start_sequence = 1};
    CU_ASSERT_EQUAL_FATAL(catalogue_add_shard(r, t, 0, &facts), 0);
    for (unsigned i = 0; i < FILES; i++) {
        struct catalogue_file f = {.bytes = i, .checksum = UINT64_MAX - i};
        snprintf(f.name, sizeof f.name, "table-%016x.sst", i);
        snprintf(f.path, sizeof f.path, "../files/table-%016x-%016" PRIx64 ".sst", i, f.checksum);
        CU_ASSERT_EQUAL_FATAL(catalogue_add_file(r, t, &f), 0);
    }
}

struct other {
    unsigned turns;
    bool must_end;
};

static void run_beside(struct reactor *r, void *context)
{
    struct other *o = context;
    for (; !o->must_end; o->turns++)
        task_yield(r);
}

TEST_IN_REACTOR(catalogue_of_many_files_is_read_in_turns)
{
    char path[512];
    struct catalogue_text lines = {0};
    struct catalogue c;
    struct other other = {0};
    snprintf(path, sizeof path, "%s/CATALOGUE", test_directory());
    add_files(r, &lines);
    CU_ASSERT_EQUAL_FATAL(catalogue_write(r, path, &ours, 1, slice_of(lines.data, lines.bytes)), 0);
    reactor_free(r, lines.data);
    CU_ASSERT_EQUAL_FATAL(task_spawn(r, run_beside, &other), 0);
    task_yield(r);
    unsigned turns = other.turns;
    clock_t begin = clock();
    CU_ASSERT_EQUAL_FATAL(catalogue_read(r, path, &c), 0);
    CU_ASSERT(clock() - begin <
              CLOCKS_PER_SEC); /* linear: 0.05 s; with the rest looked at for each line: 3 s */
    CU_ASSERT(other.turns - turns > 50);
    CU_ASSERT_EQUAL(c.file_count, FILES);
    for (unsigned i = 0; i < c.file_count; i++)
        if (c.files[i].bytes != i || c.files[i].checksum != UINT64_MAX - i)
            CU_FAIL_FATAL("a file is not as it was written");
    catalogue_deinit(r, &c);
    other.must_end = true;
    task_yield(r);
}

TEST_IN_REACTOR(catalogue_line_that_is_too_long_or_has_a_zero_byte_is_damage)
{
    static const char long_word[600] = {[0 ... 598] = 'x'};
    char path[512];
    struct catalogue c;
    snprintf(path, sizeof path, "%s/CATALOGUE", test_directory());
    const struct slice bad[] = {
        slice_of(long_word, sizeof long_word),
        slice_of("file 0 1 2 a b\0\n", 16),
        slice_of("file 0 1 2 a b", 14),
        slice_of("\n", 1),
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct catalogue_text lines = {0};
        struct engine_snapshot_facts facts = {.vnode_count = 1024, .start_sequence = 1};
        CU_ASSERT_EQUAL_FATAL(catalogue_add_shard(r, &lines, 0, &facts), 0);
        CU_ASSERT_EQUAL_FATAL(catalogue_text_append(r, &lines, bad[i]), 0);
        CU_ASSERT_EQUAL_FATAL(catalogue_write(r, path, &ours, 1, slice_of(lines.data, lines.bytes)), 0);
        CU_ASSERT_EQUAL(catalogue_read(r, path, &c), TORC_E_CORRUPT);
        reactor_free(r, lines.data);
    }
}
