/* copy_fault_test.c - copies, small files and snapshots on a disk that fails, and without memory: each is
 * whole or says that it is not, and nothing half is left under its name. */
#include "engine/copy.h"

#include "reactor/core.h"
#include "test/sim/disk_rig.h"

#include <errno.h>
#include <stdio.h>

enum {
    SEEDS = 60,
    RATE_PER_MILLION = 200 * 1000,
    SOURCE_BYTES = COPY_PIECE_BYTES + 100000,
    ALLOCATIONS_MAX = 100,
};

/* What came of one kind of act. */
struct outcome {
    unsigned done;
    unsigned failed;
};

static void set_rate(struct rig *rig, enum sim_fault fault)
{
    struct sim_faults faults = {0};
    faults.per_million[fault] = RATE_PER_MILLION;
    sim_world_set_faults(rig->world, &faults);
}

static void make_source(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "source", FILE_WRITE | FILE_CREATE);
    for (uint64_t page = 0; page * RIG_PAGE < SOURCE_BYTES; page++)
        must_write(r, rig, f, (uint8_t)(page + 1), page);
    int rc = file_truncate(r, f, SOURCE_BYTES);
    ASSERT(rc == 0);
    file_close(r, f);
}

/* ---- copies ---- */

static const enum sim_fault faults_of_disks[] = {SIM_READ_ERROR, SIM_WRITE_ERROR, SIM_SYNC_ERROR};

static bool is_whole_copy(const struct rig *rig)
{
    bool is_whole = disk_bytes(rig->disk, "copy") == SOURCE_BYTES;
    for (uint64_t at = 0; at < SOURCE_BYTES && is_whole; at += RIG_PAGE / 2)
        is_whole = disk_byte(rig->disk, "copy", at) == (uint8_t)(at / RIG_PAGE + 1);
    return is_whole;
}

static void copy_with_faults(struct reactor *r, struct rig *rig)
{
    struct outcome *outcome = rig->context;
    struct copied copied;
    make_source(r, rig);
    for (size_t i = 0; i < ARRAY_COUNT(faults_of_disks); i++) {
        set_rate(rig, faults_of_disks[i]);
        int rc =
            copy_file(r, &(struct copy_options){.from = "source", .to = "copy", .is_trimmed = true}, &copied);
        rig_set_fault(rig, SIM_FAULT_COUNT);
        outcome->done += rc == 0;
        outcome->failed += rc != 0;
        CU_ASSERT(rc == 0 || rc == -EIO);
        CU_ASSERT_EQUAL(copied.is_of_target, rc != 0 && faults_of_disks[i] != SIM_READ_ERROR);
        CU_ASSERT_EQUAL(rc == 0, disk_bytes(rig->disk, "copy") >= 0);
        if (rc == 0)
            CU_ASSERT(is_whole_copy(rig) && copied.bytes == SOURCE_BYTES && file_remove(r, "copy") == 0);
    }
}

TEST(a_copy_on_a_disk_that_fails_is_whole_or_not_there)
{
    struct outcome outcome = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        rig.context = &outcome;
        rig_run_and_stop(&rig, copy_with_faults);
        rig_close(&rig);
    }
    CU_ASSERT(outcome.done > SEEDS / 4 && outcome.failed > SEEDS / 4);
}

static void copy_to_a_full_disk(struct reactor *r, struct rig *rig)
{
    struct copied copied;
    make_source(r, rig);
    sim_disk_set_capacity(rig->disk, sim_disk_used_bytes(rig->disk) + SOURCE_BYTES / 2);
    CU_ASSERT_EQUAL(copy_file(r, &(struct copy_options){.from = "source", .to = "copy"}, &copied), -ENOSPC);
    CU_ASSERT_EQUAL(disk_bytes(rig->disk, "copy"), -1);
}

TEST(a_copy_for_which_there_is_no_room_leaves_nothing)
{
    struct rig rig;
    rig_open(&rig, 1);
    rig_run_and_stop(&rig, copy_to_a_full_disk);
    rig_close(&rig);
}

/* ---- small files ---- */

static void write_with_faults(struct reactor *r, struct rig *rig)
{
    struct outcome *outcome = rig->context;
    int rc = copy_bytes_to_file(r, slice_of_string("old text"), "small");
    CU_ASSERT_EQUAL(rc, 0);
    for (size_t i = 1; i < ARRAY_COUNT(faults_of_disks); i++) {
        set_rate(rig, faults_of_disks[i]);
        rc = copy_bytes_to_file(r, slice_of_string("new"), "small");
        rig_set_fault(rig, SIM_FAULT_COUNT);
        outcome->done += rc == 0;
        outcome->failed += rc != 0;
        int64_t bytes = disk_bytes(rig->disk, "small");
        CU_ASSERT(rc == 0 ? bytes == 3 : bytes == 3 || bytes == 8);
        rc = copy_bytes_to_file(r, slice_of_string("old text"), "small"); /* over what was left aside, too */
        CU_ASSERT(rc == 0 && disk_bytes(rig->disk, "small") == 8);
    }
}

struct slow_copy {
    struct disk *disk;
    bool is_over;
};

static void copy_slowly(struct reactor *r, void *context)
{
    struct slow_copy *s = context;
    struct copied copied;
    struct copy_options o = {.from = "source", .to = "copy", .disk = s->disk, .class = DISK_BACKUP};
    CU_ASSERT_EQUAL(copy_file(r, &o, &copied), 0);
    s->is_over = true;
}

/* The read is over soon, the write hangs for a second or more: nothing of the share is held meanwhile. */
static void share_the_disk(struct reactor *r, struct rig *rig)
{
    enum { LOOK_NS = 1000, LOOKS_MAX = 1000 * 1000, HANG_NS = 500 * 1000 * 1000 };
    struct slow_copy s = {.is_over = false};
    make_source(r, rig);
    CU_ASSERT_EQUAL_FATAL(disk_open(r, &(struct disk_options){.background_bytes_max = COPY_PIECE_BYTES},
                                    &s.disk),
                          0);
    CU_ASSERT_EQUAL_FATAL(task_spawn(r, copy_slowly, &s), 0);
    for (unsigned i = 0; i < LOOKS_MAX && disk_counters(s.disk).transfers[DISK_BACKUP] == 0; i++)
        task_sleep(r, LOOK_NS);
    rig_set_fault(rig, SIM_STUCK_DISK);
    task_sleep(r, HANG_NS);
    CU_ASSERT(!s.is_over);
    CU_ASSERT_EQUAL(disk_counters(s.disk).background_bytes, 0);
    rig_set_fault(rig, SIM_FAULT_COUNT);
    for (unsigned i = 0; i < LOOKS_MAX && !s.is_over; i++)
        task_sleep(r, HANG_NS);
    CU_ASSERT(s.is_over);
    disk_close(s.disk);
}

TEST(a_copy_that_hangs_where_it_writes_keeps_nobody_from_the_disk)
{
    rig_try(1, share_the_disk);
}

TEST(a_small_file_on_a_disk_that_fails_is_the_old_one_or_the_new_one)
{
    struct outcome outcome = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        rig.context = &outcome;
        rig_run_and_stop(&rig, write_with_faults);
        rig_close(&rig);
    }
    CU_ASSERT(outcome.done > SEEDS / 4 && outcome.failed > 3);
}

static void read_a_bad_sector(struct reactor *r, struct rig *rig)
{
    uint8_t *data;
    size_t bytes;
    CU_ASSERT_EQUAL(copy_bytes_to_file(r, slice_of_string("text"), "small"), 0);
    rig_set_fault(rig, SIM_READ_ERROR);
    CU_ASSERT_EQUAL(copy_file_to_bytes(r, "small", 100, &data, &bytes), -EIO);
    CU_ASSERT_PTR_NULL(data);
    rig_set_fault(rig, SIM_FAULT_COUNT);
}

TEST(a_small_file_that_cannot_be_read_is_an_error_and_no_memory)
{
    rig_try(1, read_a_bad_sector);
}

/* ---- memory ---- */

static int act(struct reactor *r, unsigned which)
{
    struct copied copied;
    uint8_t *data = NULL;
    size_t bytes;
    switch (which) {
    case 0:
        return copy_file(r, &(struct copy_options){.from = "source", .to = "copy"}, &copied);
    case 1:
        return copy_bytes_to_file(r, slice_of_string("text"), "small");
    default:
        break;
    }
    int rc = copy_file_to_bytes(r, "source", SOURCE_BYTES, &data, &bytes);
    reactor_free(r, data);
    return rc;
}

static void act_without_memory(struct reactor *r, struct rig *rig)
{
    struct heap *heap = &core_of(r)->heap;
    make_source(r, rig);
    for (unsigned which = 0; which < 3; which++) {
        int rc = TORC_E_NO_MEMORY;
        uint64_t k = 1;
        for (; rc && k < ALLOCATIONS_MAX; k++) {
            heap->fails_in = k;
            rc = act(r, which);
            bool has_failed = heap->fails_in == 0;
            heap->fails_in = 0;
            CU_ASSERT(has_failed ? rc == TORC_E_NO_MEMORY || rc == -ENOMEM : rc == 0);
            CU_ASSERT(rc == 0 || which != 0 || disk_bytes(rig->disk, "copy") == -1);
        }
        CU_ASSERT(k > 2 && rc == 0);
    }
}

TEST(a_copy_without_memory_says_so_and_leaves_nothing)
{
    rig_try(1, act_without_memory);
}
