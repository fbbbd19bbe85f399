/* backup_files_test.c - which files an incremental backup takes for those that it has already. */
#include "shard/backup_files.h"

#include "test/sim/disk_rig.h"

#include <errno.h>
#include <stdio.h>

enum { FILE_PAGES = 8, MIDDLE = 4, HISTORY = 77 };

#define NAME "values-0000000000000001.log"
#define SUMS "sums"

static void write_values(struct reactor *r, struct rig *rig, uint8_t middle)
{
    int rc = file_remove(r, "snapshot/" NAME); /* the backup has links */
    CU_ASSERT(rc == 0 || rc == -ENOENT);
    struct file *f = must_open(r, "snapshot/" NAME, FILE_WRITE | FILE_CREATE);
    for (uint64_t page = 0; page < FILE_PAGES; page++)
        must_write(r, rig, f, page == MIDDLE ? middle : 1, page);
    file_close(r, f);
}

static struct backup_files files_of_one(struct reactor *r, struct catalogue_text *lines)
{
    static const bool never = false;
    return (struct backup_files){
        .reactor = r,
        .from = "snapshot",
        .target = "backups",
        .backup = "one",
        .is_cancelled = &never,
        .lines = lines,
    };
}

/* Returns: the number of files that were not there before; *checksum: as the catalogue has it. */
static uint64_t back_up(struct reactor *r, uint64_t history, uint64_t *checksum)
{
    struct catalogue_text lines = {0};
    struct backup_files files = files_of_one(r, &lines);
    files.sums = SUMS;
    files.history = history;
    CU_ASSERT_EQUAL_FATAL(backup_files_bring(&files), 0);
    CU_ASSERT_EQUAL(files.files, 1);
    CU_ASSERT_EQUAL(catalogue_text_append(r, &lines, slice_of("", 1)), 0);
    unsigned long long sum = 0;
    CU_ASSERT_EQUAL(sscanf(lines.data, "file 0 %*u %llx", &sum), 1);
    *checksum = sum;
    reactor_free(r, lines.data);
    return files.new_files;
}

static void make_directories(struct reactor *r)
{
    static const char *const names[] = {"snapshot", "backups", "backups/files", "backups/one",
                                        "backups/one/shard-000"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        CU_ASSERT_EQUAL(directory_create(r, names[i]), 0);
}

static void change_the_middle(struct reactor *r, struct rig *rig)
{
    uint64_t first, second, third;
    make_directories(r);
    write_values(r, rig, 2);
    CU_ASSERT_EQUAL(back_up(r, HISTORY, &first), 1);
    CU_ASSERT_EQUAL(back_up(r, HISTORY, &second), 0);
    CU_ASSERT_EQUAL(first, second);
    write_values(r, rig, 3); /* as a data directory does that was set back to before its first backup */
    CU_ASSERT_EQUAL(file_remove(r, SUMS), 0);
    CU_ASSERT_EQUAL(back_up(r, HISTORY, &second), 1);
    CU_ASSERT_NOT_EQUAL(first, second);
    CU_ASSERT_EQUAL(back_up(r, HISTORY, &third), 0);
    CU_ASSERT_EQUAL(second, third);
    write_values(r, rig, 4); /* numbers began anew */
    CU_ASSERT_EQUAL(back_up(r, HISTORY + 1, &third), 1);
    CU_ASSERT_NOT_EQUAL(second, third);
}

TEST(backup_files_that_look_the_same_are_told_apart)
{
    rig_try(1, change_the_middle);
}

static void lose_the_sums(struct reactor *r, struct rig *rig)
{
    uint64_t first, second;
    make_directories(r);
    write_values(r, rig, 2);
    CU_ASSERT_EQUAL(back_up(r, HISTORY, &first), 1);
    CU_ASSERT_EQUAL(file_remove(r, SUMS), 0);
    CU_ASSERT_EQUAL(back_up(r, HISTORY, &second), 0); /* read, and found to be there */
    CU_ASSERT_EQUAL(first, second);
    uint8_t byte;
    for (int64_t at = 0, bytes = disk_bytes(rig->disk, SUMS); at < bytes; at += 7) {
        CU_ASSERT_EQUAL(sim_disk_peek(rig->disk, SUMS, &byte, 1, (uint64_t)at), 1);
        byte ^= 1;
        sim_disk_poke(rig->disk, SUMS, &byte, 1, (uint64_t)at);
        CU_ASSERT_EQUAL(back_up(r, HISTORY, &second), 0);
        CU_ASSERT_EQUAL(first, second);
    }
}

/* Which file, of the data or of the backup, when one disk fails. */
static void fail_on_both_sides(struct reactor *r, struct rig *rig)
{
    static const struct {
        enum sim_fault fault;
        const char *words;
    } sides[] = {{SIM_READ_ERROR, "cannot read snapshot/" NAME},
                 {SIM_SYNC_ERROR, "cannot write backups/files/incoming-000"}};
    make_directories(r);
    write_values(r, rig, 2);
    for (size_t i = 0; i < ARRAY_COUNT(sides); i++) {
        struct catalogue_text lines = {0};
        struct backup_files files = files_of_one(r, &lines);
        files.prefers_copies = true;
        rig_set_fault(rig, sides[i].fault);
        CU_ASSERT_EQUAL(backup_files_bring(&files), -EIO);
        rig_set_fault(rig, SIM_FAULT_COUNT);
        CU_ASSERT_PTR_NOT_NULL(strstr(files.why, sides[i].words));
        reactor_free(r, lines.data);
    }
}

TEST(a_backup_that_fails_names_the_file_that_could_not_be_read_or_written)
{
    rig_try(1, fail_on_both_sides);
}

TEST(backup_files_are_read_again_when_their_checksums_are_lost_or_damaged)
{
    rig_try(1, lose_the_sums);
}
