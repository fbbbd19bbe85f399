/* disk_fault_test.c - each fault of the simulator's disk: what it does, what is recorded and what becomes of
 * it. */
#include "test/sim/disk_rig.h"

#include <errno.h>
#include <string.h>

enum { RW = FILE_READ | FILE_WRITE, MAKE = FILE_READ | FILE_WRITE | FILE_CREATE, PAGES = 4 };

/* A durable file of PAGES pages of ones. */
static struct file *file_of_ones(struct reactor *r, struct rig *rig, const char *path)
{
    struct file *f = must_open(r, path, MAKE);
    for (uint64_t i = 0; i < PAGES; i++)
        must_write_durably(r, rig, f, 1, i);
    ASSERT(directory_sync(r, "/") == 0);
    return f;
}

static void open_ones(struct reactor *r, struct rig *rig)
{
    file_close(r, file_of_ones(r, rig, "a"));
}

static bool is_all(const struct sim_disk *d, const char *path, int byte)
{
    bool is_it = true;
    for (uint64_t at = 0; at < PAGES * RIG_PAGE; at += SIM_SECTOR_BYTES)
        is_it &= disk_byte(d, path, at) == byte;
    return is_it;
}

static void lose_a_write(struct reactor *r, struct rig *rig)
{
    struct file *f = file_of_ones(r, rig, "a");
    memset(rig->bytes, 1, RIG_PAGE);
    memset(rig->bytes + 2 * SIM_SECTOR_BYTES, 2, 2 * SIM_SECTOR_BYTES);
    rig->bytes[7 * SIM_SECTOR_BYTES] = 2;
    rig_set_fault(rig, SIM_LOST_WRITE);
    CU_ASSERT_EQUAL(file_write(r, f, rig->bytes, RIG_PAGE, RIG_PAGE, true), 0);
    CU_ASSERT_EQUAL(file_write(r, f, rig_fill(rig, 1, 1), RIG_PAGE, 0, false), 0); /* changes nothing */
    rig_set_fault(rig, SIM_FAULT_COUNT);
    CU_ASSERT_TRUE(is_all(rig->disk, "a", 1));
    CU_ASSERT_EQUAL_FATAL(sim_disk_corruption_count(rig->disk), 2);
    const struct sim_corruption *c = sim_disk_corruption(rig->disk, 0);
    CU_ASSERT_EQUAL(c->fault, SIM_LOST_WRITE);
    CU_ASSERT_STRING_EQUAL(c->path, "a");
    CU_ASSERT_EQUAL(c->offset, RIG_PAGE + 2 * SIM_SECTOR_BYTES);
    CU_ASSERT_EQUAL(c->bytes, 2 * SIM_SECTOR_BYTES);
    CU_ASSERT_EQUAL(c->fate, SIM_CORRUPTION_HERE);
    CU_ASSERT_TRUE(c->at_ns > 0 && c->at_ns <= sim_now_ns(rig->world));
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 1)->offset, RIG_PAGE + 7 * SIM_SECTOR_BYTES);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 1)->bytes, SIM_SECTOR_BYTES);
    /* half of it written again is not enough */
    CU_ASSERT_EQUAL(file_write(r, f, rig_fill(rig, 3, 1), SIM_SECTOR_BYTES, c->offset, true), 0);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 0)->fate, SIM_CORRUPTION_HERE);
    must_write(r, rig, f, 4, 1);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 0)->fate, SIM_CORRUPTION_OVERWRITTEN);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 1)->fate, SIM_CORRUPTION_OVERWRITTEN);
    struct sim_disk *copy = disk_after_power_loss(rig->disk, SIM_DROP); /* and back it is */
    CU_ASSERT_EQUAL(sim_disk_corruption(copy, 0)->fate, SIM_CORRUPTION_HERE);
    CU_ASSERT_EQUAL(sim_disk_corruption(copy, 1)->fate, SIM_CORRUPTION_HERE);
    sim_disk_free(copy);
    file_close(r, f);
    sim_disk_truncate_file(rig->disk, "a", 0);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 0)->fate, SIM_CORRUPTION_OVERWRITTEN);
}

TEST(a_lost_write_is_recorded_where_it_matters)
{
    struct rig rig;
    rig_open(&rig, 1);
    rig_run_and_stop(&rig, lose_a_write);
    CU_ASSERT_EQUAL(sim_fault_hits(rig.world, SIM_LOST_WRITE), 2);
    rig_close(&rig);
}

static void misdirect_a_write(struct reactor *r, struct rig *rig)
{
    struct file *f = file_of_ones(r, rig, "a"), *g = file_of_ones(r, rig, "b");
    rig_set_fault(rig, SIM_MISDIRECTED_WRITE);
    must_write_durably(r, rig, f, 2, 1);
    rig_set_fault(rig, SIM_FAULT_COUNT);
    file_close(r, f);
    file_close(r, g);
}

TEST(a_misdirected_write_damages_two_places)
{
    unsigned in_same = 0, in_other = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        rig_run_and_stop(&rig, misdirect_a_write);
        CU_ASSERT_EQUAL_FATAL(sim_disk_corruption_count(rig.disk), 2);
        struct sim_corruption meant = *sim_disk_corruption(rig.disk, 0),
                              hit = *sim_disk_corruption(rig.disk, 1);
        CU_ASSERT_TRUE(strcmp(meant.path, "a") == 0 && meant.offset == RIG_PAGE && meant.bytes == RIG_PAGE);
        CU_ASSERT_EQUAL(disk_byte(rig.disk, "a", RIG_PAGE), 1);
        CU_ASSERT_EQUAL(disk_byte(rig.disk, hit.path, hit.offset), 2);
        CU_ASSERT_EQUAL(hit.offset % RIG_PAGE, 0);
        struct sim_disk *copy = disk_after_power_loss(rig.disk, SIM_DROP);
        CU_ASSERT_EQUAL(disk_byte(copy, hit.path, hit.offset + RIG_PAGE - 1), 2);
        CU_ASSERT_EQUAL(sim_disk_corruption(copy, 1)->fate, SIM_CORRUPTION_HERE);
        sim_disk_remove_file(copy, "a");
        CU_ASSERT_EQUAL(sim_disk_corruption(copy, 0)->fate, SIM_CORRUPTION_OVERWRITTEN);
        sim_disk_free(copy);
        in_same += strcmp(hit.path, "a") == 0;
        in_other += strcmp(hit.path, "b") == 0;
        rig_close(&rig);
    }
    CU_ASSERT_TRUE(in_same > 2 && in_other > 2 && in_same + in_other == 20);
}

/* ---- errors ---- */

static void fail_reads_and_writes(struct reactor *r, struct rig *rig)
{
    struct file *f = file_of_ones(r, rig, "a");
    rig_set_fault(rig, SIM_READ_ERROR);
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, RIG_PAGE, 0), -EIO);
    rig_set_fault(rig, SIM_FAULT_COUNT);
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, RIG_PAGE, 0), RIG_PAGE);
    unsigned none = 0, part = 0, all = 0;
    for (unsigned i = 0; i < 30; i++) {
        must_write_durably(r, rig, f, 1, 0);
        rig_set_fault(rig, SIM_WRITE_ERROR);
        CU_ASSERT_EQUAL(file_write(r, f, rig_fill(rig, 2, 1), RIG_PAGE, 0, true), -EIO);
        rig_set_fault(rig, SIM_FAULT_COUNT);
        int first = disk_byte(rig->disk, "a", 0), last = disk_byte(rig->disk, "a", RIG_PAGE - 1);
        none += first == 1;
        part += first == 2 && last == 1;
        all += last == 2;
        struct sim_disk *copy = disk_after_power_loss(rig->disk, SIM_DROP);
        CU_ASSERT_EQUAL(disk_byte(copy, "a", 0), 1); /* none of it is durable */
        sim_disk_free(copy);
    }
    CU_ASSERT_TRUE(none > 0 && part > 0 && all > 0);
    CU_ASSERT_EQUAL(sim_disk_corruption_count(rig->disk), 0);
    file_close(r, f);
}

TEST(failed_reads_and_writes_say_so)
{
    struct rig rig;
    rig_open(&rig, 3);
    rig_run_and_stop(&rig, fail_reads_and_writes);
    rig_close(&rig);
}

static void fail_syncs(struct reactor *r, struct rig *rig)
{
    unsigned gone_at_once = 0, gone_later = 0;
    struct file *f = file_of_ones(r, rig, "a");
    for (unsigned i = 0; i < 20; i++) {
        must_write_durably(r, rig, f, 1, 0);
        must_write(r, rig, f, 2, 0);
        rig_set_fault(rig, SIM_SYNC_ERROR);
        CU_ASSERT_EQUAL(file_sync(r, f), -EIO);
        rig_set_fault(rig, SIM_FAULT_COUNT);
        gone_at_once += disk_byte(rig->disk, "a", 0) == 1;
        gone_later += disk_byte(rig->disk, "a", 0) == 2;
        CU_ASSERT_EQUAL(file_sync(r, f), 0); /* and nothing comes of it */
        CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 0);
        struct sim_disk *copy = disk_after_power_loss(rig->disk, SIM_KEEP);
        CU_ASSERT_EQUAL(disk_byte(copy, "a", 0), 1);
        sim_disk_free(copy);
    }
    CU_ASSERT_TRUE(gone_at_once > 3 && gone_later > 3);
    rig_set_fault(rig, SIM_SYNC_ERROR);
    file_close(r, must_open(r, "b", MAKE));
    CU_ASSERT_EQUAL(directory_sync(r, "/"), -EIO); /* names are journaled: they stay as they were */
    rig_set_fault(rig, SIM_FAULT_COUNT);
    struct sim_disk *copy = disk_after_power_loss(rig->disk, SIM_DROP);
    CU_ASSERT_EQUAL(disk_bytes(copy, "b"), -1);
    CU_ASSERT_EQUAL(disk_byte(copy, "a", 0), 1);
    sim_disk_free(copy);
    CU_ASSERT_EQUAL(directory_sync(r, "/"), 0);
    copy = disk_after_power_loss(rig->disk, SIM_DROP);
    CU_ASSERT_EQUAL(disk_bytes(copy, "b"), 0);
    sim_disk_free(copy);
    file_close(r, f);
}

static void fail_durable_writes(struct reactor *r, struct rig *rig)
{
    unsigned seen = 0;
    struct file *f = file_of_ones(r, rig, "a");
    for (unsigned i = 0; i < 20; i++) {
        must_write_durably(r, rig, f, 1, 0);
        rig_set_fault(rig, SIM_SYNC_ERROR);
        CU_ASSERT_EQUAL(file_write(r, f, rig_fill(rig, 2, 1), RIG_PAGE, 0, true), -EIO);
        rig_set_fault(rig, SIM_FAULT_COUNT);
        seen += disk_byte(rig->disk, "a", 0) == 2;
        CU_ASSERT_EQUAL(file_sync(r, f), 0);
        struct sim_disk *copy = disk_after_power_loss(rig->disk, SIM_KEEP);
        CU_ASSERT_EQUAL(disk_byte(copy, "a", 0), 1);
        sim_disk_free(copy);
    }
    CU_ASSERT_TRUE(seen > 3 && seen < 17);
    file_close(r, f);
}

TEST(a_durable_write_whose_sync_failed_is_read_for_a_while_or_not_at_all)
{
    struct rig rig;
    rig_open(&rig, 8);
    rig_run_and_stop(&rig, fail_durable_writes);
    rig_close(&rig);
}

TEST(a_failed_sync_loses_what_it_was_to_save_and_later_ones_do_not_tell)
{
    struct rig rig;
    rig_open(&rig, 4);
    rig_run_and_stop(&rig, fail_syncs);
    rig_close(&rig);
}

/* ---- at rest ---- */

static void read_bad_sector(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", RW);
    uint64_t bad = RIG_PAGE + SIM_SECTOR_BYTES;
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, RIG_PAGE, RIG_PAGE), -EIO);
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, 1, bad + SIM_SECTOR_BYTES - 1), -EIO);
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, SIM_SECTOR_BYTES, bad - SIM_SECTOR_BYTES), SIM_SECTOR_BYTES);
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, SIM_SECTOR_BYTES, bad + SIM_SECTOR_BYTES), SIM_SECTOR_BYTES);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 0)->fate, SIM_CORRUPTION_HERE);
    must_write(r, rig, f, 5, 1);
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, RIG_PAGE, RIG_PAGE), RIG_PAGE);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 0)->fate, SIM_CORRUPTION_OVERWRITTEN);
    file_close(r, f);
}

TEST(a_bad_sector_fails_until_it_is_overwritten)
{
    struct rig rig;
    rig_open(&rig, 5);
    rig_run_and_stop(&rig, open_ones);
    sim_disk_break_sector(rig.disk, rig.world, "a", RIG_PAGE + SIM_SECTOR_BYTES + 77);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig.disk, 0)->offset, RIG_PAGE + SIM_SECTOR_BYTES);
    sim_disk_rot(rig.disk, rig.world, "a", RIG_PAGE + SIM_SECTOR_BYTES); /* no cure */
    rig_run_and_stop(&rig, read_bad_sector);
    rig_close(&rig);
}

TEST(rot_flips_bits_of_one_sector_for_good)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rig rig;
        uint8_t page[RIG_PAGE];
        unsigned flipped = 0, outside = 0;
        rig_open(&rig, seed);
        rig_run_and_stop(&rig, open_ones);
        sim_disk_rot(rig.disk, rig.world, "a", RIG_PAGE + 3 * SIM_SECTOR_BYTES);
        struct sim_disk *copy = disk_after_power_loss(rig.disk, SIM_DROP);
        CU_ASSERT_EQUAL(sim_disk_peek(copy, "a", page, sizeof page, RIG_PAGE), RIG_PAGE);
        for (unsigned i = 0; i < RIG_PAGE; i++) {
            unsigned bits = (unsigned)__builtin_popcount(page[i] ^ 1u);
            flipped += bits;
            outside += i / SIM_SECTOR_BYTES == 3 ? 0 : bits;
        }
        CU_ASSERT_TRUE(flipped >= 1 && flipped <= 8 && outside == 0);
        CU_ASSERT_EQUAL(sim_disk_corruption(copy, 0)->fault, SIM_BIT_ROT);
        CU_ASSERT_EQUAL(sim_disk_corruption(copy, 0)->fate, SIM_CORRUPTION_HERE);
        sim_disk_free(copy);
        sim_disk_remove_file(rig.disk, "a");
        CU_ASSERT_EQUAL(sim_disk_corruption(rig.disk, 0)->fate, SIM_CORRUPTION_OVERWRITTEN);
        rig_close(&rig);
    }
}

static void write_sectors(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", RW);
    const uint8_t *bytes = rig_fill(rig, 3, 1);
    CU_ASSERT_EQUAL(file_write(r, f, bytes, SIM_SECTOR_BYTES - 1, RIG_PAGE, false),
                    0); /* not the last byte */
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 0)->fate, SIM_CORRUPTION_HERE);
    CU_ASSERT_EQUAL(file_write(r, f, bytes, SIM_SECTOR_BYTES, RIG_PAGE, false), 0);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 0)->fate, SIM_CORRUPTION_OVERWRITTEN);
    CU_ASSERT_EQUAL(sim_disk_corruption(rig->disk, 1)->fate, SIM_CORRUPTION_HERE);
    file_close(r, f);
}

TEST(rot_goes_when_its_whole_sector_is_written)
{
    struct rig rig;
    rig_open(&rig, 9);
    rig_run_and_stop(&rig, open_ones);
    sim_disk_rot(rig.disk, rig.world, "a", RIG_PAGE);
    sim_disk_rot(rig.disk, rig.world, "a", RIG_PAGE + SIM_SECTOR_BYTES);
    rig_run_and_stop(&rig, write_sectors);
    rig_close(&rig);
}

/* ---- time ---- */

static void measure(struct reactor *r, struct rig *rig)
{
    uint64_t *longest = rig->context, begin = sim_now_ns(rig->world);
    struct file *f = must_open(r, "a", MAKE);
    must_write(r, rig, f, 1, 0);
    file_close(r, f);
    *longest = sim_now_ns(rig->world) - begin;
}

static uint64_t time_taken(enum sim_fault fault)
{
    struct rig rig;
    uint64_t ns;
    rig_open(&rig, 6);
    rig_set_fault(&rig, fault);
    rig.context = &ns;
    rig_run_and_stop(&rig, measure);
    rig_close(&rig);
    return ns;
}

TEST(a_slow_disk_takes_longer_and_a_stuck_one_seconds)
{
    uint64_t millisecond = 1000 * 1000, usual = time_taken(SIM_FAULT_COUNT);
    CU_ASSERT_TRUE(usual > millisecond / 20 && usual < 20 * millisecond);
    uint64_t slow = time_taken(SIM_SLOW_DISK), stuck = time_taken(SIM_STUCK_DISK);
    CU_ASSERT_TRUE(slow > 8 * usual && slow < 10000 * millisecond);
    CU_ASSERT_TRUE(stuck > 2000 * millisecond && stuck < 250000 * millisecond);
}

struct reader {
    struct file *f;
    uint64_t took_ns;
};

static void read_with_another(struct reactor *r, void *argument)
{
    struct reader *reader = argument;
    uint8_t byte;
    uint64_t begin = reactor_clock_ns(r);
    (void)!file_read(r, reader->f, &byte, 1, 0);
    reader->took_ns = reactor_clock_ns(r) - begin;
}

/* One operation is stuck while another one, which began before it without a fault, is in flight. */
static void stick_one(struct reactor *r, struct rig *rig)
{
    struct reader *reader = rig->context;
    reader->f = file_of_ones(r, rig, "a");
    int rc = task_spawn(r, read_with_another, reader);
    ASSERT(rc == 0);
    task_yield(r); /* it is in flight now */
    rig_set_fault(rig, SIM_STUCK_DISK);
    must_write(r, rig, reader->f, 1, 0);
    rig_set_fault(rig, SIM_FAULT_COUNT);
}

TEST(a_stuck_disk_holds_up_one_operation_or_all)
{
    unsigned one = 0, all = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        struct reader reader = {0};
        rig_open(&rig, seed);
        rig.context = &reader;
        rig_run(&rig, stick_one);
        one += reader.took_ns < 10 * 1000 * 1000;
        all += reader.took_ns > 900ull * 1000 * 1000;
        rig_close(&rig);
    }
    CU_ASSERT_TRUE(one > 3 && all > 3 && one + all == 20);
}

/* ---- streams ---- */

static void write_pages(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", MAKE);
    for (uint64_t i = 0; i < RIG_PAGES; i++)
        for (int again = 0; again < 4; again++)
            (void)!file_write(r, f, rig_fill(rig, (uint8_t)(again + 1), 1), RIG_PAGE, i * RIG_PAGE, false);
    file_close(r, f);
}

static unsigned lost_writes(uint32_t other_faults)
{
    struct sim_faults faults = {.per_million = {[SIM_LOST_WRITE] = 300000, [SIM_SLOW_DISK] = other_faults}};
    struct rig rig;
    unsigned lost = 0;
    rig_open(&rig, 7);
    sim_world_set_faults(rig.world, &faults);
    rig_run_and_stop(&rig, write_pages);
    for (unsigned i = 0; i < RIG_PAGES; i++)
        lost = lost * 5 + (unsigned)disk_byte(rig.disk, "a", i * RIG_PAGE);
    CU_ASSERT_TRUE(sim_fault_hits(rig.world, SIM_LOST_WRITE) > 5);
    rig_close(&rig);
    return lost;
}

TEST(one_fault_does_not_move_another)
{
    CU_ASSERT_EQUAL(lost_writes(0), lost_writes(500000));
}
