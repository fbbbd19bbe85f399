/* copy_test.c - copies of files: what is in them, what is left out, and what is left behind by one that ended
 * early. */
#include "engine/copy.h"

#include "test/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = COPY_PIECE_BYTES, PATH = 256 };

static const char *path_in(char path[PATH], const char *directory, const char *name)
{
    snprintf(path, PATH, "%s/%s", directory, name);
    return path;
}

/* ---- files ---- */

/* A stretch of a file. */
struct part {
    size_t bytes;
    uint8_t fill;
};

static void write_parts(struct reactor *r, const char *path, const struct part *parts, size_t count)
{
    struct file *f = NULL;
    uint64_t at = 0;
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes = reactor_alloc(r, parts[i].bytes);
        CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
        memset(bytes, parts[i].fill, parts[i].bytes);
        CU_ASSERT_EQUAL_FATAL(file_write(r, f, bytes, parts[i].bytes, at, false), 0);
        at += parts[i].bytes;
        reactor_free(r, bytes);
    }
    file_close(r, f);
}

static bool has_parts(struct reactor *r, const char *path, const struct part *parts, size_t count)
{
    uint8_t *bytes;
    size_t length, at = 0;
    CU_ASSERT_EQUAL_FATAL(copy_file_to_bytes(r, path, UINT32_MAX, &bytes, &length), 0);
    bool is_same = true;
    for (size_t i = 0; i < count && is_same; i++)
        for (size_t end = at + parts[i].bytes; at < end && is_same; at++)
            is_same = at < length && bytes[at] == parts[i].fill;
    reactor_free(r, bytes);
    return is_same && at == length;
}

static bool is_there(struct reactor *r, const char *path)
{
    return file_probe(r, path) == 0;
}

/* ---- copies ---- */

TEST_IN_REACTOR(a_copy_has_the_bytes_and_the_length_of_its_source)
{
    static const struct part parts[] = {{PIECE, 1}, {PIECE / 2, 2}, {777, 3}};
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied, read;
    struct copy_options o = {.from = path_in(from, directory, "a"), .to = path_in(to, directory, "b")};
    write_parts(r, from, parts, ARRAY_COUNT(parts));
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), 0);
    CU_ASSERT_EQUAL(copied.bytes, PIECE + PIECE / 2 + 777);
    CU_ASSERT(has_parts(r, to, parts, ARRAY_COUNT(parts)));
    o = (struct copy_options){.from = to}; /* only read */
    CU_ASSERT_EQUAL(copy_file(r, &o, &read), 0);
    CU_ASSERT(read.bytes == copied.bytes && read.checksum == copied.checksum);
}

TEST_IN_REACTOR(an_empty_file_is_copied)
{
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied;
    struct copy_options o = {.from = path_in(from, directory, "a"), .to = path_in(to, directory, "b")};
    write_parts(r, from, NULL, 0);
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), 0);
    CU_ASSERT_EQUAL(copied.bytes, 0);
    CU_ASSERT(is_there(r, to) && has_parts(r, to, NULL, 0));
}

TEST_IN_REACTOR(zeros_at_the_end_are_left_out_and_those_before_are_not)
{
    static const struct part parts[] = {{PIECE, 1}, {2 * PIECE, 0}, {PIECE, 2}, {2 * PIECE + 5000, 0}};
    static const struct part ones[] = {{PIECE, 1}, {2 * PIECE, 0}, {PIECE, 2}};
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied, read;
    struct copy_options o = {.from = path_in(from, directory, "a"),
                             .to = path_in(to, directory, "b"),
                             .is_trimmed = true};
    write_parts(r, from, parts, ARRAY_COUNT(parts));
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), 0);
    CU_ASSERT_EQUAL(copied.bytes, 4 * PIECE);
    CU_ASSERT(has_parts(r, to, ones, ARRAY_COUNT(ones)));
    CU_ASSERT_EQUAL(copy_file(r, &(struct copy_options){.from = to}, &read), 0);
    CU_ASSERT_EQUAL(read.checksum, copied.checksum);
}

TEST_IN_REACTOR(zeros_at_the_end_are_kept_as_far_as_asked_for)
{
    static const struct part parts[] = {{PIECE, 1}, {2 * PIECE + 5000, 0}};
    static const struct {
        uint64_t kept, bytes;
    } cases[] = {{1, 2 * PIECE},
                 {2 * PIECE, 3 * PIECE},
                 {2 * PIECE + 1, 3 * PIECE + 5000},
                 {UINT64_MAX, 3 * PIECE + 5000}};
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied, read;
    write_parts(r, path_in(from, directory, "a"), parts, ARRAY_COUNT(parts));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct part kept[] = {{PIECE, 1}, {(size_t)cases[i].bytes - PIECE, 0}};
        struct copy_options o = {.from = from,
                                 .to = path_in(to, directory, "b"),
                                 .is_trimmed = true,
                                 .zeros_kept = cases[i].kept};
        CU_ASSERT_EQUAL(copy_file(r, &o, &copied), 0);
        CU_ASSERT_EQUAL(copied.bytes, cases[i].bytes);
        CU_ASSERT(has_parts(r, to, kept, ARRAY_COUNT(kept)));
        CU_ASSERT_EQUAL(copy_file(r, &(struct copy_options){.from = to}, &read), 0);
        CU_ASSERT_EQUAL(read.checksum, copied.checksum);
        CU_ASSERT_EQUAL(file_remove(r, to), 0);
    }
}

TEST_IN_REACTOR(no_more_is_copied_than_asked_for)
{
    static const struct part parts[] = {{PIECE, 1}, {PIECE, 2}};
    static const struct part beginning[] = {{PIECE, 1}, {100, 2}};
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied;
    struct copy_options o = {.from = path_in(from, directory, "a"),
                             .to = path_in(to, directory, "b"),
                             .bytes_max = PIECE + 100};
    write_parts(r, from, parts, ARRAY_COUNT(parts));
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), 0);
    CU_ASSERT_EQUAL(copied.bytes, PIECE + 100);
    CU_ASSERT(has_parts(r, to, beginning, ARRAY_COUNT(beginning)));
}

TEST_IN_REACTOR(a_file_that_is_there_is_not_copied_over_and_stays)
{
    static const struct part one[] = {{10, 1}}, two[] = {{20, 2}};
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied;
    struct copy_options o = {.from = path_in(from, directory, "a"), .to = path_in(to, directory, "b")};
    write_parts(r, from, one, 1);
    write_parts(r, to, two, 1);
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), -EEXIST);
    CU_ASSERT_EQUAL(copy_or_link(r, &o), -EEXIST);
    CU_ASSERT(has_parts(r, to, two, 1));
}

TEST_IN_REACTOR(a_source_that_is_not_there_makes_no_copy)
{
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied;
    struct copy_options o = {.from = path_in(from, directory, "a"), .to = path_in(to, directory, "b")};
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), -ENOENT);
    CU_ASSERT_FALSE(is_there(r, to));
}

TEST_IN_REACTOR(a_copy_that_is_cancelled_leaves_nothing)
{
    static const struct part one[] = {{10, 1}};
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied;
    bool is_cancelled = true;
    struct copy_options o = {.from = path_in(from, directory, "a"),
                             .to = path_in(to, directory, "b"),
                             .is_cancelled = &is_cancelled};
    write_parts(r, from, one, 1);
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), TORC_E_CANCELLED);
    CU_ASSERT_FALSE(is_there(r, to));
    is_cancelled = false;
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), 0);
    CU_ASSERT(has_parts(r, to, one, 1));
}

TEST_IN_REACTOR(a_copy_without_a_share_of_the_disk_leaves_nothing)
{
    static const struct part one[] = {{10, 1}};
    const char *directory = test_directory();
    char from[PATH], to[PATH];
    struct copied copied;
    struct disk *disk = NULL;
    CU_ASSERT_EQUAL_FATAL(disk_open(r, &(struct disk_options){0}, &disk), 0);
    struct copy_options o = {.from = path_in(from, directory, "a"),
                             .to = path_in(to, directory, "b"),
                             .disk = disk,
                             .class = DISK_BACKUP};
    write_parts(r, from, one, 1);
    disk_stop(disk);
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), TORC_E_CANCELLED);
    CU_ASSERT_FALSE(is_there(r, to));
    disk_close(disk);
}

/* ---- small files ---- */

TEST_IN_REACTOR(a_small_file_is_written_anew_under_its_name)
{
    static const struct part first[] = {{100, 1}}, second[] = {{30, 2}};
    const char *directory = test_directory();
    char path[PATH], aside[PATH];
    uint8_t bytes[100];
    path_in(path, directory, "a");
    memset(bytes, 1, sizeof bytes);
    CU_ASSERT_EQUAL(copy_bytes_to_file(r, slice_of(bytes, 100), path), 0);
    CU_ASSERT(has_parts(r, path, first, 1));
    memset(bytes, 2, sizeof bytes);
    CU_ASSERT_EQUAL(copy_bytes_to_file(r, slice_of(bytes, 30), path), 0);
    CU_ASSERT(has_parts(r, path, second, 1));
    CU_ASSERT_FALSE(is_there(r, path_in(aside, directory, "a.new")));
}

TEST_IN_REACTOR(a_small_file_is_not_written_under_too_long_a_name_or_in_no_directory)
{
    static char path[COPY_PATH_MAX];
    char where[PATH];
    memset(path, 'a', sizeof path - 4); /* and nothing is left for ".new" */
    CU_ASSERT_EQUAL(copy_bytes_to_file(r, slice_of_string("text"), path), -ENAMETOOLONG);
    path_in(where, test_directory(), "none/a");
    CU_ASSERT_EQUAL(copy_bytes_to_file(r, slice_of_string("text"), where), -ENOENT);
}

TEST_IN_REACTOR(a_small_file_is_read_whole_or_not_at_all)
{
    char path[PATH];
    uint8_t *data;
    size_t bytes;
    path_in(path, test_directory(), "a");
    CU_ASSERT_EQUAL(copy_file_to_bytes(r, path, 10, &data, &bytes), -ENOENT);
    CU_ASSERT_EQUAL(copy_bytes_to_file(r, slice_of_string("0123456789"), path), 0);
    CU_ASSERT_EQUAL(copy_file_to_bytes(r, path, 9, &data, &bytes), TORC_E_CORRUPT);
    CU_ASSERT_PTR_NULL(data);
    CU_ASSERT_EQUAL(copy_file_to_bytes(r, path, 10, &data, &bytes), 0);
    CU_ASSERT_EQUAL(bytes, 10);
    CU_ASSERT_STRING_EQUAL((const char *)data, "0123456789");
    reactor_free(r, data);
}
