/* disk_test.c - the bound on background transfers, its division among classes, and how it gives way. */
#include "engine/disk.h"

#include "test/test.h"

enum { KIB = 1 << 10, LIMIT = 1024 * KIB, TRANSFER = 128 * KIB, MS = 1000000, US = 1000, READS = 16 };

static struct disk *open_disk(struct reactor *r)
{
    struct disk *d = NULL;
    struct disk_options options = {.background_bytes_max = LIMIT};
    CU_ASSERT_EQUAL_FATAL(disk_open(r, &options, &d), 0);
    return d;
}

/* A task that moves one transfer after the other until it is cancelled. */
struct mover {
    struct disk *disk;
    enum disk_class class;
    uint32_t *alive;
    uint64_t moved;
    int result;
};

static void move_on(struct reactor *r, void *context)
{
    struct mover *m = context;
    while ((m->result = disk_acquire(m->disk, m->class, TRANSFER)) == 0) {
        task_yield(r); /* so long does it take */
        m->moved += TRANSFER;
        disk_release(m->disk, m->class, TRANSFER);
    }
    --*m->alive;
}

static void start(struct reactor *r, struct mover *m)
{
    ++*m->alive;
    CU_ASSERT_EQUAL_FATAL(task_spawn(r, move_on, m), 0);
}

static void await(struct reactor *r, const uint32_t *alive)
{
    for (int i = 0; *alive > 0 && i < 10000; i++)
        task_yield(r);
    CU_ASSERT_EQUAL_FATAL(*alive, 0);
}

TEST_IN_REACTOR(background_waits_at_its_bound_and_the_foreground_never)
{
    struct disk *d = open_disk(r);
    uint32_t alive = 0;
    struct mover m = {.disk = d, .class = DISK_COMPACTION, .alive = &alive};
    for (uint32_t i = 0; i < LIMIT / TRANSFER; i++)
        CU_ASSERT_EQUAL(disk_acquire(d, DISK_FLUSH, TRANSFER), 0);
    start(r, &m);
    for (int i = 0; i < 10; i++)
        task_yield(r);
    CU_ASSERT_EQUAL(m.moved, 0);
    CU_ASSERT_EQUAL(disk_counters(d).background_bytes, LIMIT);
    CU_ASSERT_EQUAL(disk_acquire(d, DISK_FOREGROUND, LIMIT), 0);
    disk_release(d, DISK_FOREGROUND, LIMIT);
    disk_release(d, DISK_FLUSH, TRANSFER);
    for (int i = 0; i < 10; i++)
        task_yield(r);
    CU_ASSERT(m.moved > 0);
    disk_stop(d);
    await(r, &alive);
    CU_ASSERT_EQUAL(m.result, TORC_E_CANCELLED);
    for (uint32_t i = 1; i < LIMIT / TRANSFER; i++)
        disk_release(d, DISK_FLUSH, TRANSFER);
    CU_ASSERT_EQUAL(disk_counters(d).background_bytes, 0);
    disk_close(d);
}

TEST_IN_REACTOR(classes_that_wait_share_the_disk_by_weight)
{
    struct disk *d = open_disk(r);
    uint32_t alive = 0;
    enum { EACH = 16 };
    struct mover flushes[EACH], merges[EACH], scrubs[EACH];
    uint64_t flushed = 0, merged = 0, scrubbed = 0;
    for (unsigned i = 0; i < EACH; i++) {
        flushes[i] = (struct mover){.disk = d, .class = DISK_FLUSH, .alive = &alive};
        merges[i] = (struct mover){.disk = d, .class = DISK_COMPACTION, .alive = &alive};
        scrubs[i] = (struct mover){.disk = d, .class = DISK_SCRUB, .alive = &alive};
        start(r, &scrubs[i]);
        start(r, &merges[i]);
        start(r, &flushes[i]);
    }
    for (int i = 0; i < 1000; i++)
        task_yield(r);
    for (unsigned i = 0; i < EACH; i++) {
        flushed += flushes[i].moved;
        merged += merges[i].moved;
        scrubbed += scrubs[i].moved;
    }
    CU_ASSERT(scrubbed > 0); /* none starves */
    CU_ASSERT(merged > 6 * scrubbed && merged < 10 * scrubbed);
    CU_ASSERT(flushed > merged * 3 / 2 && flushed < merged * 5 / 2);
    CU_ASSERT(disk_counters(d).waits[DISK_SCRUB] > 0);
    disk_stop(d);
    await(r, &alive);
    disk_close(d);
}

TEST_IN_REACTOR(a_transfer_above_the_bound_goes_alone)
{
    struct disk *d = open_disk(r);
    CU_ASSERT_EQUAL(disk_acquire(d, DISK_SCRUB, 2 * LIMIT), 0);
    CU_ASSERT_EQUAL(disk_counters(d).waits[DISK_SCRUB], 0);
    uint32_t alive = 0;
    struct mover m = {.disk = d, .class = DISK_FLUSH, .alive = &alive};
    start(r, &m);
    for (int i = 0; i < 10; i++)
        task_yield(r);
    CU_ASSERT_EQUAL(m.moved, 0);
    disk_release(d, DISK_SCRUB, 2 * LIMIT);
    for (int i = 0; i < 10; i++)
        task_yield(r);
    CU_ASSERT(m.moved > 0);
    disk_stop(d);
    await(r, &alive);
    disk_close(d);
}

static void end_window(struct reactor *r, struct disk *d, uint64_t read_ns)
{
    task_sleep(r, 5 * MS);
    for (unsigned i = 0; i < READS; i++)
        disk_read_ends(d, reactor_now_ns(r) - read_ns);
}

TEST_IN_REACTOR(background_gives_way_while_reads_take_longer_than_usual)
{
    struct disk *d = open_disk(r);
    end_window(r, d, 100 * US);
    end_window(r, d, 110 * US);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, LIMIT);
    end_window(r, d, 300 * US);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, LIMIT / 2);
    end_window(r, d, 300 * US);
    end_window(r, d, 300 * US);
    end_window(r, d, 300 * US);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, 256 * KIB); /* it never stops altogether */
    for (unsigned i = 0; i < 4; i++)
        end_window(r, d, 100 * US);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, 512 * KIB);
    CU_ASSERT_EQUAL(disk_counters(d).limit_cuts, 2);
    CU_ASSERT_EQUAL(disk_counters(d).reads, 10 * READS);
    disk_close(d);
}

TEST_IN_REACTOR(background_has_the_disk_again_when_slow_readers_have_left)
{
    struct disk *d = open_disk(r);
    end_window(r, d, 100 * US);
    for (unsigned i = 0; i < 4; i++)
        end_window(r, d, 300 * US);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, 256 * KIB);
    CU_ASSERT_EQUAL(disk_acquire(d, DISK_COMPACTION, TRANSFER), 0); /* at once it is as they left it */
    disk_release(d, DISK_COMPACTION, TRANSFER);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, 256 * KIB);
    task_sleep(r, 250 * MS);
    CU_ASSERT_EQUAL(disk_acquire(d, DISK_COMPACTION, TRANSFER), 0);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, 320 * KIB);
    disk_release(d, DISK_COMPACTION, TRANSFER);
    CU_ASSERT_EQUAL(disk_counters(d).background_limit_bytes, 320 * KIB);
    disk_close(d);
}

TEST_IN_REACTOR(no_disk_bounds_nothing)
{
    (void)r;
    CU_ASSERT_EQUAL(disk_acquire(NULL, DISK_SCRUB, 4 * LIMIT), 0);
    disk_release(NULL, DISK_SCRUB, 4 * LIMIT);
    disk_read_ends(NULL, 0);
    disk_stop(NULL);
    disk_close(NULL);
    CU_ASSERT_EQUAL(disk_counters(NULL).reads, 0);
}
