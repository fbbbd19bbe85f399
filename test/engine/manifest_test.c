/* manifest_test.c - the manifest: changes are there after a restart, one bad copy is survived, two are not.
 *
 * Copies are damaged with plain system calls between two opens. */
#include "engine/manifest.h"

#include "engine/manifest_format.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *file_in(const char *directory, const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *text = path[next++ % 4];
    snprintf(text, sizeof path[0], "%s/%s", directory, name);
    return text;
}

static void flip_byte(const char *path, off_t offset)
{
    int fd = open(path, O_RDWR);
    uint8_t byte = 0;
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void make_file(const char *path)
{
    close(open(path, O_WRONLY | O_CREAT, 0666));
}

static struct manifest *open_it(struct reactor *r, const char *directory)
{
    char why[256];
    struct manifest *m = NULL;
    int rc = manifest_open(r, directory, NULL, &m, why, sizeof why);
    CU_ASSERT_EQUAL(rc, 0);
    if (rc)
        fprintf(stderr, "manifest_open: %s\n", why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    return m;
}

static int open_error(struct reactor *r, const char *directory)
{
    char why[256] = "";
    struct manifest *m = NULL;
    int rc = manifest_open(r, directory, NULL, &m, why, sizeof why);
    CU_ASSERT(rc == 0 || why[0] != '\0');
    CU_ASSERT_PTR_NULL(m);
    return rc;
}

/* The number of a file that the shard of vnode 0 has made. */
static uint64_t number_of(uint64_t counter)
{
    return counter << MANIFEST_NUMBER_VNODE_BITS;
}

static struct manifest_table table_of(uint64_t number)
{
    return (struct manifest_table){
        .number = number,
        .origin = number + 7,
        .vnode_first = 1,
        .vnode_last = 2,
        .level = (uint32_t)number % 5,
        .order = number * 3,
        .bytes = number * 1000,
        .entries = number * 10,
        .tombstones = number,
        .expiring = number + 1,
        .clock_min = number,
        .clock_max = number + 100,
        .expiry_min_ms = UINT64_MAX,
        .expiry_max_ms = 17,
        .smallest = {.vnode = 1,
                     .namespace_id = 2,
                     .key = slice_of_string("a"),
                     .subkey = slice_of_string("s")},
        .largest = {.vnode = 3, .namespace_id = 4, .key = slice_of_string("zebra")},
        .values = slice_of_string("values"),
    };
}

static void add_table(struct manifest *m)
{
    struct manifest_table table = table_of(manifest_next_number(m));
    struct manifest_change change = {.added = &table, .added_count = 1};
    CU_ASSERT_EQUAL(manifest_commit(m, &change), 0);
}

static bool same_table(const struct manifest_table *a, const struct manifest_table *b)
{
    return a->number == b->number && a->origin == b->origin && a->vnode_first == b->vnode_first &&
           a->vnode_last == b->vnode_last && a->expiring == b->expiring && a->level == b->level &&
           a->order == b->order && a->bytes == b->bytes && a->entries == b->entries &&
           a->tombstones == b->tombstones && a->clock_min == b->clock_min && a->clock_max == b->clock_max &&
           a->expiry_min_ms == b->expiry_min_ms && a->expiry_max_ms == b->expiry_max_ms &&
           record_key_compare(&a->smallest, &b->smallest) == 0 &&
           record_key_compare(&a->largest, &b->largest) == 0 && slice_equal(a->values, b->values);
}

static void edit_shard(void *context, struct manifest_numbers *n)
{
    const struct manifest_shard *shard = context;
    n->vnode_bits = shard->vnode_bits;
    n->vnode_first = shard->vnode_first;
    n->vnode_count = shard->vnode_count;
}

/* Writes as many generations of a shard's manifest. Returns: its directory. */
static const char *make_shard(struct reactor *r, struct manifest_shard shard, int generations)
{
    const char *directory = test_directory();
    struct manifest *m = open_it(r, directory);
    for (int i = 0; i < generations; i++)
        CU_ASSERT_EQUAL(manifest_commit(m, &(struct manifest_change){.edit = edit_shard, .context = &shard}),
                        0);
    manifest_close(m);
    return directory;
}

TEST_IN_REACTOR(manifest_of_an_empty_directory_is_a_new_shard)
{
    const char *directory = test_directory();
    struct manifest *m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_state(m)->generation, 0);
    CU_ASSERT_EQUAL(manifest_state(m)->numbers.log_start.sequence, 1);
    CU_ASSERT_EQUAL(manifest_state(m)->numbers.file_counter, 1);
    CU_ASSERT_EQUAL(manifest_copies(m), 0);
    manifest_close(m);
    CU_ASSERT_EQUAL(access(file_in(directory, "MANIFEST-A"), F_OK), -1);
}

static void edit_all(void *context, struct manifest_numbers *n)
{
    (void)context;
    uint64_t next = n->file_counter;
    *n = (struct manifest_numbers){10, 64, 32, {5, 77}, next, 1234, 99, 2, {{6, 8, 9}}, 4711};
}

TEST_IN_REACTOR(manifest_finds_after_a_restart_what_was_committed)
{
    const char *directory = test_directory();
    struct manifest *m = open_it(r, directory);
    for (int i = 0; i < 100; i++)
        add_table(m);
    uint64_t removed[] = {number_of(3), number_of(50), number_of(100)};
    struct manifest_change change = {.removed = removed, .removed_count = 3, .edit = edit_all};
    CU_ASSERT_EQUAL(manifest_commit(m, &change), 0);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    manifest_close(m);
    m = open_it(r, directory);
    const struct manifest_state *s = manifest_state(m);
    CU_ASSERT_EQUAL(s->generation, 101);
    CU_ASSERT_EQUAL(s->table_count, 97);
    for (uint32_t i = 0; i < s->table_count; i++) {
        struct manifest_table expected = table_of(s->tables[i].number);
        CU_ASSERT(same_table(&s->tables[i], &expected));
        CU_ASSERT(expected.number != removed[0] && expected.number != removed[1] &&
                  expected.number != removed[2]);
    }
    CU_ASSERT_EQUAL(s->numbers.vnode_bits, 10);
    CU_ASSERT_EQUAL(s->numbers.vnode_first, 64);
    CU_ASSERT_EQUAL(s->numbers.vnode_count, 32);
    CU_ASSERT_EQUAL(s->numbers.log_start.segment, 5);
    CU_ASSERT_EQUAL(s->numbers.log_start.sequence, 77);
    CU_ASSERT_EQUAL(s->numbers.file_counter, 101);
    CU_ASSERT_EQUAL(s->numbers.clock_max, 1234);
    CU_ASSERT_EQUAL(s->numbers.quarantine_clock, 99);
    CU_ASSERT_EQUAL(s->numbers.quarantine_count, 2);
    CU_ASSERT_EQUAL(s->numbers.log_files.ids[0], 6);
    CU_ASSERT_EQUAL(s->numbers.log_files.ids[2], 9);
    CU_ASSERT_EQUAL(s->numbers.log_history, 4711);
    manifest_close(m);
}

TEST_IN_REACTOR(manifest_survives_one_bad_copy_and_repairs_it)
{
    const char *const names[] = {"MANIFEST-A", "MANIFEST-B"};
    const off_t offsets[] = {0, 9, 40, 60, 130};
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(offsets); i++) {
        const char *directory = test_directory();
        struct manifest *m = open_it(r, directory);
        add_table(m);
        add_table(m);
        manifest_close(m);
        flip_byte(file_in(directory, names[i % 2]), offsets[i / 2]);
        m = open_it(r, directory);
        CU_ASSERT_EQUAL(manifest_state(m)->table_count, 2);
        CU_ASSERT_EQUAL(manifest_copies(m), 1);
        add_table(m);
        CU_ASSERT_EQUAL(manifest_copies(m), 2);
        manifest_close(m);
        flip_byte(file_in(directory, names[(i + 1) % 2]), offsets[i / 2]);
        m = open_it(r, directory);
        CU_ASSERT_EQUAL(manifest_state(m)->table_count, 3);
        manifest_close(m);
    }
}

TEST_IN_REACTOR(manifest_with_both_copies_bad_does_not_start)
{
    const char *directory = test_directory();
    struct manifest *m = open_it(r, directory);
    add_table(m);
    manifest_close(m);
    flip_byte(file_in(directory, "MANIFEST-A"), 70);
    flip_byte(file_in(directory, "MANIFEST-B"), 70);
    CU_ASSERT_EQUAL(open_error(r, directory), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(truncate(file_in(directory, "MANIFEST-A"), 0), 0);
    CU_ASSERT_EQUAL(unlink(file_in(directory, "MANIFEST-B")), 0);
    make_file(file_in(directory, "wal-0000000000000001.log"));
    CU_ASSERT_EQUAL(open_error(r, directory), TORC_E_CORRUPT);
}

TEST_IN_REACTOR(manifest_missing_over_data_does_not_start)
{
    const char *const names[] = {"wal-0000000000000001.log", "table-0000000000000001.sst"};
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        const char *directory = test_directory();
        make_file(file_in(directory, names[i]));
        CU_ASSERT_EQUAL(open_error(r, directory), TORC_E_CORRUPT);
    }
}

TEST_IN_REACTOR(manifest_whose_first_commit_was_cut_short_is_new)
{
    const char *directory = test_directory();
    make_file(file_in(directory, "MANIFEST-A"));
    struct manifest *m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_state(m)->generation, 0);
    add_table(m);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    manifest_close(m);
}

TEST_IN_REACTOR(manifest_of_another_version_does_not_start)
{
    static const uint32_t versions[] = {1, MANIFEST_FORMAT_VERSION - 1, MANIFEST_FORMAT_VERSION + 1};
    for (unsigned i = 0; i < ARRAY_COUNT(versions); i++) {
        const char *directory = test_directory();
        struct manifest *m = open_it(r, directory);
        add_table(m);
        manifest_close(m);
        uint8_t header[MANIFEST_HEADER_BYTES];
        int fd = open(file_in(directory, "MANIFEST-B"), O_RDWR);
        CU_ASSERT_EQUAL(pread(fd, header, sizeof header, 0), sizeof header);
        store_u32le(header + 4, versions[i]);
        store_u64le(header + MANIFEST_HEADER_BYTES - 8, checksum_bytes(header, MANIFEST_HEADER_BYTES - 8));
        CU_ASSERT_EQUAL(pwrite(fd, header, sizeof header, 0), sizeof header);
        close(fd);
        CU_ASSERT_EQUAL(open_error(r, directory), TORC_E_DATA_FORMAT);
    }
}

/* Returns: how many copies are whole after one of two is as `damage` leaves it. */
static unsigned copies_after(struct reactor *r, void (*damage)(const char *path))
{
    const char *directory = test_directory();
    struct manifest *m = open_it(r, directory);
    add_table(m);
    manifest_close(m);
    damage(file_in(directory, "MANIFEST-B"));
    m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 1);
    unsigned copies = manifest_copies(m);
    add_table(m);
    manifest_close(m);
    m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    manifest_close(m);
    return copies;
}

static void say_it_is_longer(const char *path)
{
    uint8_t header[MANIFEST_HEADER_BYTES];
    int fd = open(path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, header, sizeof header, 0), sizeof header);
    store_u64le(header + 16, 10 * MANIFEST_BLOCK_BYTES); /* of content */
    store_u64le(header + MANIFEST_HEADER_BYTES - 8, checksum_bytes(header, MANIFEST_HEADER_BYTES - 8));
    CU_ASSERT_EQUAL(pwrite(fd, header, sizeof header, 0), sizeof header);
    close(fd);
}

static void make_it_too_large(const char *path)
{
    CU_ASSERT_EQUAL(truncate(path, (off_t)MANIFEST_BYTES_MAX + 1), 0);
}

TEST_IN_REACTOR(manifest_copy_that_is_longer_than_it_can_be_is_bad_and_repaired)
{
    CU_ASSERT_EQUAL(copies_after(r, say_it_is_longer), 1);
    CU_ASSERT_EQUAL(copies_after(r, make_it_too_large), 1);
}

TEST_IN_REACTOR(manifest_that_cannot_be_opened_is_not_a_new_shard)
{
    const char *directory = test_directory();
    CU_ASSERT_EQUAL(mkdir(file_in(directory, "MANIFEST-A"), 0777), 0);
    CU_ASSERT_EQUAL(open_error(r, directory), -EISDIR);
}

/* Two shards give out numbers in the same directory over time: none is ever like another. */
TEST_IN_REACTOR(manifest_gives_out_numbers_that_name_the_shard)
{
    struct manifest_shard shards[] = {{10, 0, 512}, {10, 512, 512}};
    uint64_t numbers[2][3];
    for (unsigned i = 0; i < 2; i++) {
        struct manifest *m = open_it(r, make_shard(r, shards[i], 1));
        for (unsigned j = 0; j < 3; j++)
            numbers[i][j] = manifest_next_number(m);
        manifest_close(m);
    }
    for (unsigned j = 0; j < 3; j++) {
        CU_ASSERT_EQUAL(numbers[0][j], number_of(j + 1));
        CU_ASSERT_EQUAL(numbers[1][j], number_of(j + 1) + 512);
    }
}

/* A crash between the two copies: one has the new generation, the other the old one. */
TEST_IN_REACTOR(manifest_takes_the_newer_of_two_whole_copies)
{
    const char *directory = test_directory();
    const char *other = test_directory();
    struct manifest *m = open_it(r, directory);
    add_table(m);
    CU_ASSERT_EQUAL(link(file_in(directory, "MANIFEST-A"), file_in(other, "old")), 0);
    CU_ASSERT_EQUAL(unlink(file_in(directory, "MANIFEST-A")), 0); /* the next change makes a new file */
    add_table(m);
    manifest_close(m);
    CU_ASSERT_EQUAL(rename(file_in(other, "old"), file_in(directory, "MANIFEST-A")), 0);
    m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 2);
    CU_ASSERT_EQUAL(manifest_copies(m), 1);
    manifest_close(m);
}

TEST_IN_REACTOR(manifest_copy_of_another_shard_is_not_taken)
{
    struct manifest_shard own = {10, 0, 16}, others = {10, 16, 16};
    const char *directory = make_shard(r, own, 2);
    const char *elsewhere = make_shard(r, others, 9);
    char from[512];
    snprintf(from, sizeof from, "%s", file_in(elsewhere, "MANIFEST-A"));
    CU_ASSERT_EQUAL(file_rename(r, from, file_in(directory, "MANIFEST-A")), 0);
    struct manifest *m;
    char why[256];
    CU_ASSERT_EQUAL_FATAL(manifest_open(r, directory, &own, &m, why, sizeof why), 0);
    CU_ASSERT_EQUAL(manifest_state(m)->numbers.vnode_first, 0);
    CU_ASSERT_EQUAL(manifest_state(m)->generation, 2);
    CU_ASSERT_EQUAL(manifest_copies(m), 1);
    add_table(m);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    manifest_close(m);
    CU_ASSERT_EQUAL_FATAL(manifest_open(r, directory, &others, &m, why, sizeof why), 0);
    CU_ASSERT_EQUAL(manifest_state(m)->numbers.vnode_first, 0); /* both are: whoever opens it must look */
    manifest_close(m);
}

static void set_old(const char *path)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    CU_ASSERT_EQUAL_FATAL(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_old(const char *path)
{
    struct stat status;
    CU_ASSERT_EQUAL_FATAL(stat(path, &status), 0);
    return status.st_mtim.tv_sec == 1;
}

/* Written again as it is, it would be another shard's for good, with nothing to show how it came there. */
TEST_IN_REACTOR(manifest_copy_of_another_shard_is_not_written_again)
{
    struct manifest_shard own = {10, 0, 16}, others = {10, 16, 16};
    const char *directory = make_shard(r, own, 2);
    const char *elsewhere = make_shard(r, others, 9);
    char from[512], why[256];
    snprintf(from, sizeof from, "%s", file_in(elsewhere, "MANIFEST-A"));
    CU_ASSERT_EQUAL(file_rename(r, from, file_in(directory, "MANIFEST-A")), 0);
    set_old(file_in(directory, "MANIFEST-A"));
    set_old(file_in(directory, "MANIFEST-B"));
    struct manifest *m;
    CU_ASSERT_EQUAL_FATAL(manifest_open(r, directory, &own, &m, why, sizeof why), 0);
    manifest_close(m);
    CU_ASSERT(is_old(file_in(directory, "MANIFEST-A")));
    CU_ASSERT(!is_old(file_in(directory, "MANIFEST-B")));
}

/* Were the newer copy written first, a crash meanwhile would leave the old generation only. */
TEST_IN_REACTOR(manifest_writes_the_older_copy_first)
{
    const char *directory = test_directory();
    const char *other = test_directory();
    struct manifest *m = open_it(r, directory);
    add_table(m);
    CU_ASSERT_EQUAL(rename(file_in(directory, "MANIFEST-B"), file_in(other, "old")), 0);
    add_table(m);
    manifest_close(m);
    CU_ASSERT_EQUAL(rename(file_in(other, "old"), file_in(directory, "MANIFEST-B")), 0);
    m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 2);
    CU_ASSERT_EQUAL(unlink(file_in(directory, "MANIFEST-A")), 0);
    CU_ASSERT_EQUAL(mkdir(file_in(directory, "MANIFEST-A"), 0777), 0); /* only the older one can be written */
    add_table(m);
    CU_ASSERT_EQUAL(manifest_copies(m), 1);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 3);
    manifest_close(m);
}

struct committer {
    struct manifest *manifest;
    uint32_t left;
    struct event done;
};

static void edit_count(void *context, struct manifest_numbers *n)
{
    (void)context;
    n->quarantine_count++;
}

static void commit_some(struct reactor *r, void *argument)
{
    struct committer *c = argument;
    for (int i = 0; i < 10; i++) {
        struct manifest_table table = table_of(manifest_next_number(c->manifest));
        struct manifest_change change = {.added = &table, .added_count = 1, .edit = edit_count};
        CU_ASSERT_EQUAL(manifest_commit(c->manifest, &change), 0);
    }
    if (--c->left == 0)
        event_set(r, &c->done, 0);
}

TEST_IN_REACTOR(manifest_commits_of_several_tasks_do_not_undo_each_other)
{
    const char *directory = test_directory();
    struct committer c = {.manifest = open_it(r, directory), .left = 4};
    event_init(&c.done);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(task_spawn(r, commit_some, &c), 0);
    CU_ASSERT_EQUAL(event_wait(r, &c.done, EVENT_FOREVER), 0);
    CU_ASSERT_EQUAL(manifest_state(c.manifest)->table_count, 40);
    CU_ASSERT_EQUAL(manifest_state(c.manifest)->numbers.quarantine_count, 40);
    CU_ASSERT_EQUAL(manifest_state(c.manifest)->generation, 40);
    manifest_close(c.manifest);
    struct manifest *m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 40);
    manifest_close(m);
}

/* Returns: what a commit of so many tables does, each with as many bytes as may be, or few. */
static int add_many(struct manifest *m, uint32_t count, bool is_long)
{
    static const uint8_t bytes[MANIFEST_VALUES_BYTES_MAX];
    struct manifest_table *tables = calloc(count, sizeof *tables);
    struct slice key = slice_of(bytes, is_long ? KEY_BYTES_MAX : 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tables);
    for (uint32_t i = 0; i < count; i++)
        tables[i] = (struct manifest_table){
            .number = manifest_next_number(m),
            .smallest = {.key = key, .subkey = key},
            .largest = {.key = key, .subkey = key},
            .values = slice_of(bytes, is_long ? sizeof bytes : 0),
        };
    int rc = manifest_commit(m, &(struct manifest_change){.added = tables, .added_count = count});
    free(tables);
    return rc;
}

TEST_IN_REACTOR(manifest_takes_no_more_than_a_start_does)
{
    struct manifest *m = open_it(r, test_directory());
    add_table(m);
    CU_ASSERT_EQUAL(add_many(m, MANIFEST_TABLES_MAX, false), TORC_E_SHARD_FULL);
    CU_ASSERT_EQUAL(add_many(m, MANIFEST_TABLES_MAX / 2, true), TORC_E_SHARD_FULL);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 1);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    add_table(m); /* nothing has failed */
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 2);
    manifest_close(m);
}

TEST_IN_REACTOR(manifest_that_cannot_be_written_says_so)
{
    const char *directory = test_directory();
    struct manifest *m = open_it(r, directory);
    add_table(m);
    CU_ASSERT_EQUAL(unlink(file_in(directory, "MANIFEST-A")), 0);
    CU_ASSERT_EQUAL(mkdir(file_in(directory, "MANIFEST-A"), 0777), 0); /* cannot be opened for writing */
    struct manifest_table table = table_of(manifest_next_number(m));
    struct manifest_change change = {.added = &table, .added_count = 1};
    CU_ASSERT_EQUAL(manifest_commit(m, &change), TORC_E_STORAGE);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 1);
    CU_ASSERT_EQUAL(rmdir(file_in(directory, "MANIFEST-A")), 0);
    manifest_close(m);
    m = open_it(r, directory);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 1);
    manifest_close(m);
}

TEST_IN_REACTOR(manifest_without_descriptors_changes_nothing_and_takes_the_next_change)
{
    struct manifest *m = open_it(r, test_directory());
    add_table(m);
    struct rlimit limit;
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    struct manifest_table table = table_of(manifest_next_number(m));
    struct manifest_change change = {.added = &table, .added_count = 1};
    CU_ASSERT_EQUAL(manifest_commit(m, &change), -EMFILE);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 1);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    add_table(m);
    CU_ASSERT_EQUAL(manifest_state(m)->table_count, 2);
    CU_ASSERT_EQUAL(manifest_copies(m), 2);
    manifest_close(m);
}
