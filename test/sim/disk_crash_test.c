/* disk_crash_test.c - what a loss of power leaves on a disk of the simulator, and what it must not take. */
#include "test/sim/disk_rig.h"

#include <errno.h>
#include <string.h>

enum { RW = FILE_READ | FILE_WRITE, MAKE = FILE_READ | FILE_WRITE | FILE_CREATE, CHOICES_MAX = 16 };

/* Loses power in a copy with one outcome for each pending: 'k' keep, 'd' drop. */
static struct sim_disk *crash(const struct sim_disk *d, const char *outcomes)
{
    struct sim_choice choices[CHOICES_MAX] = {0};
    struct sim_disk *copy = sim_disk_clone(d);
    CU_ASSERT_EQUAL(strlen(outcomes), sim_disk_pending_count(copy));
    for (uint32_t i = 0; i < sim_disk_pending_count(copy) && i < strlen(outcomes); i++)
        choices[i].what = outcomes[i] == 'k' ? SIM_KEEP : SIM_DROP;
    sim_disk_lose_power(copy, choices);
    CU_ASSERT_EQUAL(sim_disk_pending_count(copy), 0);
    return copy;
}

static int byte_after(const struct sim_disk *d, const char *outcomes, const char *path, uint64_t offset)
{
    struct sim_disk *copy = crash(d, outcomes);
    int byte = disk_byte(copy, path, offset);
    sim_disk_free(copy);
    return byte;
}

static int64_t bytes_after(const struct sim_disk *d, const char *outcomes, const char *path)
{
    struct sim_disk *copy = crash(d, outcomes);
    int64_t bytes = disk_bytes(copy, path);
    sim_disk_free(copy);
    return bytes;
}

/* A durable empty file of this name. */
static struct file *durable_file(struct reactor *r, const char *path)
{
    struct file *f = must_open(r, path, MAKE);
    ASSERT(directory_sync(r, "/") == 0);
    return f;
}

static void write_synced_and_not(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", MAKE);
    must_write(r, rig, f, 1, 0);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    CU_ASSERT_EQUAL(sim_disk_pending(rig->disk, 0).kind, SIM_PENDING_NAME);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "d", "a"), -1); /* a sync of the file says nothing of its name */
    CU_ASSERT_EQUAL(byte_after(rig->disk, "k", "a", RIG_PAGE - 1), 1);
    CU_ASSERT_EQUAL(directory_sync(r, "/"), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "", "a", 0), 1);
    must_write(r, rig, f, 2, 0);
    must_write(r, rig, f, 3, 1);
    struct sim_pending size = sim_disk_pending(rig->disk, 1), last = sim_disk_pending(rig->disk, 2);
    CU_ASSERT_EQUAL(sim_disk_pending(rig->disk, 0).kind, SIM_PENDING_WRITE);
    CU_ASSERT_TRUE(size.kind == SIM_PENDING_SIZE && size.bytes == 2 * RIG_PAGE);
    CU_ASSERT_TRUE(last.kind == SIM_PENDING_WRITE && last.offset == RIG_PAGE && last.bytes == RIG_PAGE);
    CU_ASSERT_EQUAL(last.file, sim_disk_file_at(rig->disk, 0).id);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "ddd", "a", 0), 1);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kdd", "a", 0), 2);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "ddk", "a"),
                    RIG_PAGE); /* bytes without their size are not there */
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dkd", "a", RIG_PAGE), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dkk", "a", RIG_PAGE), 3);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dkk", "a", 0), 1);
}

TEST(a_sync_makes_bytes_and_size_durable_and_nothing_else)
{
    struct rig rig;
    rig_open(&rig, 1);
    rig_run(&rig, write_synced_and_not);
    rig_close(&rig);
}

static void write_durably(struct reactor *r, struct rig *rig)
{
    struct file *f = durable_file(r, "a");
    must_write(r, rig, f, 1, 0);
    must_write_durably(r, rig, f, 2, 2);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "d", "a"), 3 * RIG_PAGE);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "d", "a", 0), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "d", "a", 2 * RIG_PAGE), 2);
    /* what is older and overlaps cannot come back over it */
    CU_ASSERT_EQUAL(file_write(r, f, rig_fill(rig, 5, 3), 3 * RIG_PAGE, 0, false), 0);
    must_write_durably(r, rig, f, 6, 1);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 3); /* the oldest, and what is left and right */
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kkk", "a", 0), 5);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kkk", "a", RIG_PAGE), 6);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kkk", "a", 2 * RIG_PAGE), 5);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kkd", "a", 2 * RIG_PAGE), 2);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dkd", "a", 0), 5);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "ddd", "a", RIG_PAGE), 6);
    must_write_durably(r, rig, f, 7, 0);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 1);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "k", "a", 0), 7);
}

TEST(a_durable_write_stays_whatever_is_kept_of_older_ones)
{
    struct rig rig;
    rig_open(&rig, 2);
    rig_run(&rig, write_durably);
    rig_close(&rig);
}

static void truncate_and_write(struct reactor *r, struct rig *rig)
{
    struct file *f = durable_file(r, "a");
    must_write_durably(r, rig, f, 1, 0);
    must_write_durably(r, rig, f, 1, 1);
    CU_ASSERT_EQUAL(file_truncate(r, f, 100), 0);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "d", "a"), 2 * RIG_PAGE);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "d", "a", RIG_PAGE), 1);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "k", "a"), 100);
    must_write(r, rig, f, 2, 1); /* grows it again: the rest of the first page is zeros */
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kkk", "a", 99), 1);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kkk", "a", 100), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kkk", "a", RIG_PAGE), 2);
    must_write_durably(r, rig, f, 3, 0); /* needs more than 100 bytes: the truncation is durable before it */
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 2);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "dd", "a"), RIG_PAGE);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dd", "a", 200), 3);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "kd", "a"), 2 * RIG_PAGE);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kd", "a", RIG_PAGE), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kk", "a", RIG_PAGE), 2);
}

TEST(sizes_are_kept_or_dropped_in_order)
{
    struct rig rig;
    rig_open(&rig, 3);
    rig_run(&rig, truncate_and_write);
    rig_close(&rig);
}

struct late_write {
    struct file_operation op;
    bool is_over;
};

static void on_late_write(struct file_operation *op)
{
    CONTAINER_OF(op, struct late_write, op)->is_over = true;
}

/* Both are in flight, in the order that the seed draws. */
static void write_during_a_sync(struct reactor *r, struct rig *rig)
{
    struct late_write *late = reactor_alloc_zeroed(r, sizeof *late);
    struct file *f = durable_file(r, "a");
    must_write_durably(r, rig, f, 1, 0);
    late->op.done = on_late_write;
    file_write_start(r, f, &late->op, rig_fill(rig, 2, 1), RIG_PAGE, 0, false);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    *(bool *)rig->context = late->is_over;
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 1); /* in flight, or made: it is not durable */
    CU_ASSERT_EQUAL(byte_after(rig->disk, "d", "a", 0), 1);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "k", "a", 0), 2);
}

TEST(a_sync_covers_only_what_was_over_when_it_began)
{
    unsigned overtaken = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        bool is_over = false;
        rig_open(&rig, seed);
        rig.context = &is_over;
        rig_run(&rig, write_during_a_sync);
        overtaken += is_over;
        rig_close(&rig);
    }
    CU_ASSERT_TRUE(overtaken > 3 && overtaken < 17);
}

/* ---- names ---- */

static void replace_a_file(struct reactor *r, struct rig *rig)
{
    struct file *f = durable_file(r, "a"), *g;
    must_write_durably(r, rig, f, 1, 0);
    g = must_open(r, "new", MAKE);
    must_write_durably(r, rig, g, 2, 0);
    CU_ASSERT_EQUAL(file_rename(r, "new", "a"), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dd", "a", 0), 1);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kd", "a", 0), 1);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kd", "new", 0), 2);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dk", "a", 0), 2); /* the rename carries the file */
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "kk", "new"), -1);
    CU_ASSERT_EQUAL(file_link(r, "a", "b"), 0);
    CU_ASSERT_EQUAL(file_remove(r, "a"), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dddd", "a", 0), 1);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "ddkd", "b", 0), 2);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "dddk", "a"), -1);
    CU_ASSERT_EQUAL(directory_sync(r, "/"), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "", "b", 0), 2);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "", "a"), -1);
    file_close(r, f);
    file_close(r, g);
    CU_ASSERT_EQUAL(file_remove(r, "b"), 0);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "d", "b", 0), 2);
    CU_ASSERT_EQUAL(directory_sync(r, "/"), 0);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 0);
}

TEST(each_change_of_a_name_is_kept_or_dropped_by_itself)
{
    struct rig rig;
    rig_open(&rig, 4);
    rig_run(&rig, replace_a_file);
    rig_close(&rig);
}

static void nest(struct reactor *r, struct rig *rig)
{
    CU_ASSERT_EQUAL(directory_create(r, "d"), 0);
    CU_ASSERT_EQUAL(directory_create(r, "e"), 0);
    struct file *f = must_open(r, "d/a", MAKE);
    must_write_durably(r, rig, f, 1, 0);
    CU_ASSERT_EQUAL(directory_sync(r, "d"), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "dd", "d/a", 0), -2); /* its directory is not durable */
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kd", "d/a", 0), 1);
    CU_ASSERT_EQUAL(directory_sync(r, "/"), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "", "d/a", 0), 1);
    CU_ASSERT_EQUAL(file_rename(r, "d/a", "d/b"), 0);
    CU_ASSERT_EQUAL(file_rename(r, "d/b", "e/b"), 0);
    CU_ASSERT_EQUAL(byte_after(rig->disk, "kd", "d/b", 0), 1);
    CU_ASSERT_EQUAL(directory_sync(r, "e"), 0); /* takes along what came before it in the other directory */
    CU_ASSERT_EQUAL(byte_after(rig->disk, "", "e/b", 0), 1);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "", "d/b"), -1);
    CU_ASSERT_EQUAL(bytes_after(rig->disk, "", "d/a"), -1);
}

TEST(a_directory_is_durable_when_its_parent_was_synced)
{
    struct rig rig;
    rig_open(&rig, 5);
    rig_run(&rig, nest);
    rig_close(&rig);
}

/* ---- every outcome of a small case ---- */

enum { SMALL_WRITES = 3, SMALL_SECTORS = 8 };

static void write_small(struct reactor *r, struct rig *rig)
{
    struct file *f = durable_file(r, "a");
    CU_ASSERT_EQUAL(file_allocate(r, f, 0, 2 * RIG_PAGE), 0);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    must_write(r, rig, f, 1, 0);
    must_write(r, rig, f, 2, 0);
    must_write(r, rig, f, 3, 1);
}

/* One write's outcomes: kept, dropped, or torn to each range of its sectors. */
static struct sim_choice outcome(unsigned number)
{
    if (number == 0)
        return (struct sim_choice){.what = SIM_DROP};
    if (number == 1)
        return (struct sim_choice){.what = SIM_KEEP};
    unsigned begin = (number - 2) / SMALL_SECTORS, end = (number - 2) % SMALL_SECTORS + 1;
    return (struct sim_choice){.what = SIM_TEAR, .sector_begin = begin, .sector_end = end};
}

static bool is_kept(const struct sim_choice *c, uint64_t sector)
{
    return c->what == SIM_KEEP ||
           (c->what == SIM_TEAR && c->sector_begin <= sector && sector < c->sector_end);
}

/* Whether each sector is what the last kept write made of it. */
static bool is_as_chosen(const struct sim_disk *d, const struct sim_choice *choices)
{
    static const uint64_t page[SMALL_WRITES] = {0, 0, 1};
    bool is_right = true;
    for (uint64_t sector = 0; sector < 2 * SMALL_SECTORS; sector++) {
        int expected = 0;
        for (int i = 0; i < SMALL_WRITES; i++)
            if (sector / SMALL_SECTORS == page[i] && is_kept(&choices[i], sector % SMALL_SECTORS))
                expected = i + 1;
        is_right &= disk_byte(d, "a", sector * SIM_SECTOR_BYTES) == expected;
        is_right &= disk_byte(d, "a", (sector + 1) * SIM_SECTOR_BYTES - 1) == expected;
    }
    return is_right;
}

TEST(every_outcome_that_is_chosen_is_what_is_there)
{
    enum { OUTCOMES = 2 + SMALL_SECTORS * SMALL_SECTORS };
    struct rig rig;
    unsigned wrong = 0;
    rig_open(&rig, 6);
    rig_run(&rig, write_small);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig.disk), SMALL_WRITES);
    for (unsigned i = 0; i < OUTCOMES * OUTCOMES * 3; i++) {
        struct sim_choice choices[SMALL_WRITES] = {outcome(i % OUTCOMES), outcome(i / OUTCOMES % OUTCOMES),
                                                   outcome(i / OUTCOMES / OUTCOMES * 9)};
        struct sim_disk *copy = sim_disk_clone(rig.disk);
        sim_disk_lose_power(copy, choices);
        wrong += !is_as_chosen(copy, choices);
        sim_disk_free(copy);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    rig_close(&rig);
}

/* ---- what the world draws ---- */

TEST(without_faults_a_loss_of_power_keeps_all)
{
    struct rig rig;
    rig_open(&rig, 7);
    rig_run(&rig, write_small);
    rig_kill(&rig, SIM_END_POWER);
    CU_ASSERT_EQUAL(disk_byte(rig.disk, "a", 0), 2);
    CU_ASSERT_EQUAL(disk_byte(rig.disk, "a", RIG_PAGE), 3);
    rig_close(&rig);
}

TEST(a_loss_of_power_drops_writes_or_names_as_drawn)
{
    struct rig rig;
    rig_open(&rig, 8);
    rig_run(&rig, write_small);
    rig_set_fault(&rig, SIM_DROPPED_WRITE);
    rig_kill(&rig, SIM_END_POWER);
    CU_ASSERT_EQUAL(disk_byte(rig.disk, "a", 0), 0);
    CU_ASSERT_EQUAL(sim_fault_hits(rig.world, SIM_DROPPED_WRITE), SMALL_WRITES);
    rig_set_fault(&rig, SIM_FAULT_COUNT);
    rig_run(&rig, replace_a_file);
    rig_close(&rig);
    rig_open(&rig, 9);
    rig_run(&rig, nest);
    CU_ASSERT_EQUAL(sim_disk_file_count(rig.disk), 1);
    rig_kill(&rig, SIM_END_KILL);
    sim_disk_wipe(rig.disk);
    rig_run(&rig, nest);
    rig_set_fault(&rig, SIM_DROPPED_NAME);
    rig_kill(&rig, SIM_END_POWER);
    CU_ASSERT_EQUAL(sim_fault_hits(rig.world, SIM_DROPPED_NAME), 0); /* all of them were synced */
    CU_ASSERT_EQUAL(disk_byte(rig.disk, "e/b", 0), 1);
    rig_close(&rig);
}

TEST(a_torn_write_is_made_in_some_of_its_sectors)
{
    unsigned whole = 0, mixed = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        rig_open(&rig, seed);
        rig_run(&rig, write_small);
        rig_set_fault(&rig, SIM_TORN_WRITE);
        rig_kill(&rig, SIM_END_POWER);
        unsigned made = 0;
        for (uint64_t sector = SMALL_SECTORS; sector < 2 * SMALL_SECTORS; sector++)
            made += disk_byte(rig.disk, "a", sector * SIM_SECTOR_BYTES) == 3;
        whole += made == SMALL_SECTORS;
        mixed += made > 0 && made < SMALL_SECTORS;
        rig_close(&rig);
    }
    CU_ASSERT_TRUE(mixed > 10 && whole < 5);
}

static void leave_all_pending(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", MAKE);
    must_write(r, rig, f, 4, 0);
    CU_ASSERT_EQUAL(file_rename(r, "a", "b"), 0);
    CU_ASSERT_EQUAL(directory_create(r, "d"), 0);
}

TEST(a_killed_process_loses_nothing_that_is_cached)
{
    struct rig rig;
    rig_open(&rig, 10);
    rig_run(&rig, leave_all_pending);
    rig_kill(&rig, SIM_END_KILL);
    CU_ASSERT_EQUAL(disk_byte(rig.disk, "b", 0), 4);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig.disk), 5); /* create, size, write, rename, directory */
    struct sim_disk *copy = disk_after_power_loss(rig.disk, SIM_DROP);
    CU_ASSERT_EQUAL(sim_disk_file_count(copy), 0);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(copy), 0);
    sim_disk_free(copy);
    rig_close(&rig);
}
