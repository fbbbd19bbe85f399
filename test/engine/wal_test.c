/* wal_test.c - the log as its writer sees it: batches, order, bounds, segments, failures.
 *
 * Each test ends with a look at what recovery finds. Failures come from a limit on the size of files. */
#include "engine/wal_internal.h"
#include "reactor/core.h"
#include "test/engine/wal_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define IDLE_NS (UINT64_C(60) * 1000 * 1000 * 1000)

TEST_IN_REACTOR(wal_of_a_new_shard_is_empty)
{
    struct rig *rig = rig_make(r);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 0);
    CU_ASSERT_EQUAL(rig->recovery.last_sequence, 0);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_gives_back_what_was_acknowledged)
{
    struct rig *rig = rig_make(r);
    rig_open(rig);
    rig_put_singly(rig, 0, 50);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 50);
    CU_ASSERT(rig_has_replayed(rig, 0, 50));
    CU_ASSERT_EQUAL(rig->recovery.clock_max, 49);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    CU_ASSERT_EQUAL(rig->recovery.torn_bytes, 0);
    rig_free(rig);
}

/* ---- batches and order ---- */

TEST_IN_REACTOR(wal_gathers_while_two_writes_are_in_flight)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = 1000;
    rig_open(rig);
    rig_put_singly(rig, 0, 1); /* the first segment is there */
    rig->holds = true;
    CU_ASSERT_EQUAL(rig_put(rig, 1), 0);
    wal_submit(rig->wal);
    CU_ASSERT_EQUAL(rig_put(rig, 2), 0);
    wal_submit(rig->wal);
    for (uint32_t n = 3; n < 103; n++) {
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
        wal_submit(rig->wal); /* two are in flight: this one waits */
    }
    CU_ASSERT_EQUAL(wal_counters(rig->wal).gathered_bytes > 100u * 1000, true);
    rig->holds = false;
    rig_await(rig, 103);
    CU_ASSERT_EQUAL(rig->batch_count, 4);
    CU_ASSERT_EQUAL(rig->batch_items[3], 100);
    for (uint32_t i = 1; i < rig->batch_count; i++)
        CU_ASSERT_EQUAL(rig->batch_sequences[i], rig->batch_sequences[i - 1] + 1);
    rig_close(rig);
    struct place second = rig_place_of(rig, rig->batch_sequences[2]);
    CU_ASSERT_EQUAL(second.header.watermark,
                    rig->batch_sequences[0]); /* the first in flight was not durable yet */
    struct place gathered = rig_place_of(rig, rig->batch_sequences[3]);
    CU_ASSERT(gathered.header.watermark >= rig->batch_sequences[1]);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 103));
    rig_free(rig);
}

/* Beside another only a record goes out of which little is padding. */
TEST_IN_REACTOR(wal_fills_its_blocks_while_a_write_is_in_flight)
{
    enum { FILLED = 5 }; /* the first, and four that fill a block */
    struct rig *rig = rig_make(r);
    rig->value_bytes = 940;
    rig->padding_parts = 0;
    rig->idle_ns = IDLE_NS; /* no watermark among them */
    rig_open(rig);
    rig_put_singly(rig, 0, 1);
    rig->holds = true;
    uint64_t writes = wal_counters(rig->wal).writes;
    for (uint32_t n = 1; n <= FILLED; n++) {
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
        wal_submit(rig->wal);
        CU_ASSERT_EQUAL(wal_counters(rig->wal).writes, writes + 1 + (n == FILLED));
    }
    CU_ASSERT_EQUAL(rig_put(rig, FILLED + 1), 0);
    wal_submit(rig->wal); /* two are in flight */
    rig->holds = false;
    rig_await(rig, FILLED + 2); /* the last one though it is mostly padding */
    CU_ASSERT_EQUAL(rig->batch_count, 4);
    CU_ASSERT_EQUAL(rig->batch_items[2], FILLED - 1);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, FILLED + 2));
    rig_free(rig);
}

TEST_IN_REACTOR(wal_gives_a_long_record_back_in_portions_with_other_work_between)
{
    enum { ITEMS = 200, PORTION = 16 };
    struct rig *rig = rig_make(r);
    rig->deliver_items_max = PORTION;
    rig->idle_ns = IDLE_NS; /* no watermark among them */
    rig_open(rig);
    rig_put_singly(rig, 0, 1);
    rig->holds = true;
    for (uint32_t n = 1; n <= ITEMS; n++)
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
    wal_submit(rig->wal);
    CU_ASSERT_EQUAL(rig_put(rig, ITEMS + 1), 0); /* becomes durable meanwhile, and comes back after them */
    rig->holds = false;
    uint32_t at_once_max = 0;
    while (rig->returned < ITEMS + 2) {
        uint32_t before = rig->returned;
        task_yield(r);
        at_once_max = rig->returned - before > at_once_max ? rig->returned - before : at_once_max;
    }
    CU_ASSERT(at_once_max >= PORTION / 2 && at_once_max <= 2 * PORTION);
    CU_ASSERT(rig->portions_max >= ITEMS / PORTION);
    CU_ASSERT_EQUAL(rig->batch_count, 3);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, ITEMS + 2));
    rig_free(rig);
}

/* A value is not divided, but no more than one comes at a time. */
TEST_IN_REACTOR(wal_gives_large_values_back_one_by_one)
{
    enum { ITEMS = 8 };
    struct rig *rig = rig_make(r);
    rig->value_bytes = 250 << 10;
    rig_open(rig);
    rig->holds = true;
    for (uint32_t n = 0; n < ITEMS; n++)
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
    rig->holds = false;
    while (rig->returned < ITEMS) {
        uint32_t before = rig->returned;
        task_yield(r);
        CU_ASSERT(rig->returned - before <= 2);
    }
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, ITEMS));
    rig_free(rig);
}

/* Closed in the middle of it: all tickets come back first. */
TEST_IN_REACTOR(wal_closes_when_the_last_portion_is_back)
{
    enum { ITEMS = 100 };
    struct rig *rig = rig_make(r);
    rig->deliver_items_max = 3;
    rig_open(rig);
    rig->holds = true;
    for (uint32_t n = 0; n < ITEMS; n++)
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
    rig_close(rig);
    CU_ASSERT_EQUAL(rig->returned, ITEMS);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, ITEMS));
    rig_free(rig);
}

enum { TIMERS = 4096, LATER = 10 };
static struct timer timers[TIMERS];

static void do_nothing(struct timer *t)
{
    (void)t;
}

/* When who closes waits for portions that a timer brings, there is no room for another timer; where the heap
 * can be made to fail: in a release it cannot. */
static void take_all_timers(struct rig *rig)
{
    struct reactor_core *c = core_of(rig->reactor);
    if (rig->portions != LATER)
        return;
    for (unsigned i = 0; c->timer_count + c->task_count_max < c->timer_capacity; i++) {
        CU_ASSERT_FATAL(i < TIMERS);
        CU_ASSERT_EQUAL(timer_start(rig->reactor, &timers[i], IDLE_NS, do_nothing), 0);
    }
    c->heap.fails_in = 1;
}

TEST_IN_REACTOR(wal_closes_without_memory_for_the_timer_of_the_next_portion)
{
    enum { ITEMS = 100, PORTION = 3 };
    struct rig *rig = rig_make(r);
    rig->deliver_items_max = PORTION;
    rig->idle_ns = IDLE_NS;
    rig_open(rig);
    rig_put_singly(rig, 0, 1);
    rig_await_next_segment(rig); /* which wakes who closes, too */
    rig->holds = true;
    for (uint32_t n = 1; n < ITEMS; n++)
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
    rig->on_portion = take_all_timers;
    rig_close(rig);
    core_of(r)->heap.fails_in = 0;
    CU_ASSERT_EQUAL(rig->returned, ITEMS);
    for (unsigned i = 0; i < TIMERS; i++)
        timer_stop(r, &timers[i]);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, ITEMS));
    rig_free(rig);
}

TEST_IN_REACTOR(wal_refuses_what_exceeds_its_bound_and_tells_when_there_is_room)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = VALUE_BYTES_MAX;
    rig_open(rig);
    rig->holds = true;
    uint32_t n = 0;
    int rc = 0;
    while (n < 100 && (rc = rig_put(rig, n)) == 0)
        n++;
    CU_ASSERT_EQUAL(rc, TORC_E_OVERLOADED);
    CU_ASSERT(n >= 8 && n <= 16);
    CU_ASSERT_EQUAL(rig->rooms, 0);
    rig->holds = false;
    rig_await(rig, n);
    CU_ASSERT_EQUAL(rig->rooms, 1);
    CU_ASSERT_EQUAL(rig_put(rig, n), 0);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, n + 1));
    rig_free(rig);
}

TEST_IN_REACTOR(wal_goes_on_after_a_restart)
{
    struct rig *rig = rig_make(r);
    for (uint32_t i = 0; i < 5; i++) {
        rig_open(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT(rig_has_replayed(rig, 0, i * 10));
        rig_put_singly(rig, i * 10, 10);
        rig_close(rig);
    }
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 50));
    CU_ASSERT_EQUAL(rig->replayed_count, 50);
    rig_free(rig);
}

/* ---- segments ---- */

TEST_IN_REACTOR(wal_rotates_and_replays_all_segments)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = 300 * 1000;
    rig_open(rig);
    rig_put_singly(rig, 0, 60);
    CU_ASSERT(wal_counters(rig->wal).segments >= 5);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 60));
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    CU_ASSERT_EQUAL(rig->recovery.torn_bytes, 0);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_truncated_segments_are_recycled_and_their_content_is_gone)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = 300 * 1000;
    rig_open(rig);
    for (uint32_t round = 0; round < 8; round++) {
        rig_put_singly(rig, round * 15, 15);
        rig->start = wal_start_at(rig->wal, wal_sequence_durable(rig->wal) + 1);
        CU_ASSERT(rig->start.segment > 0);
        wal_truncate(rig->wal, rig->start);
    }
    rig_put_singly(rig, 120, 2);
    CU_ASSERT(wal_counters(rig->wal).recycled > 0);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 2);
    CU_ASSERT(rig_has_replayed(rig, 120, 2));
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    CU_ASSERT(rig->recovery.segment_count <= 8);
    rig_open(rig);
    rig_put_singly(rig, 122, 20);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 22);
    CU_ASSERT(rig_has_replayed(rig, 120, 22));
    rig_free(rig);
}

/* ---- failures ---- */
TEST_IN_REACTOR(wal_gives_failed_writes_back_and_goes_on_in_a_new_segment)
{
    struct rig *rig = rig_make(r);
    rig->idle_ns = IDLE_NS; /* no watermark among the failures */
    rig_open(rig);
    rig_put_singly(rig, 0, 3);
    rig_await_next_segment(rig);
    rig->holds = true;
    rig_limit_files(2 * WAL_BLOCK_BYTES);
    for (uint32_t n = 3; n < 5; n++) {
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
        wal_submit(rig->wal);
    }
    CU_ASSERT_EQUAL(rig_put(rig, 5), 0); /* gathers while the others fail */
    rig_await(rig, 5);
    rig_limit_files(RLIM_INFINITY);
    CU_ASSERT_EQUAL(rig->results[3], TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(rig->results[4], TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(wal_counters(rig->wal).failed_writes, 2);
    rig->holds = false;
    rig_await(rig, 6);
    CU_ASSERT_EQUAL(rig->results[5], 0);
    rig_put_singly(rig, 6, 3);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 3));
    CU_ASSERT(rig_has_replayed(rig, 5, 4));
    CU_ASSERT_EQUAL(rig->replayed_count, 7);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_takes_no_writes_after_two_failures_in_a_row)
{
    struct rig *rig = rig_make(r);
    rig->idle_ns = IDLE_NS; /* no watermark among the failures */
    rig_open(rig);
    rig_put_singly(rig, 0, 3);
    rig_await_next_segment(rig);
    rig_limit_files(WAL_BLOCK_BYTES);
    CU_ASSERT_EQUAL(rig_put(rig, 3), 0);
    rig_await(rig, 4);
    CU_ASSERT_EQUAL(rig->results[3], TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(rig_put(rig, 4), 0);
    rig_await(rig, 5);
    CU_ASSERT_EQUAL(rig->results[4], TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(rig_put(rig, 5), TORC_E_STORAGE);
    CU_ASSERT_EQUAL(wal_refusal(rig->wal), TORC_E_STORAGE);
    rig_limit_files(RLIM_INFINITY);
    CU_ASSERT_EQUAL(rig_put(rig, 5), TORC_E_STORAGE);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 3);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_without_room_refuses_and_takes_writes_again_when_there_is_room)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = VALUE_BYTES_MAX;
    rig_limit_files(SEGMENT_BYTES / 2);
    rig_open(rig);
    CU_ASSERT_EQUAL(rig_put(rig, 0), 0);
    rig_await(rig, 1);
    CU_ASSERT_EQUAL(rig->results[0], TORC_E_DISK_FULL);
    CU_ASSERT_EQUAL(rig_put(rig, 1), TORC_E_DISK_FULL);
    CU_ASSERT_EQUAL(rig->rooms, 0);
    rig_limit_files(RLIM_INFINITY);
    while (rig->rooms == 0)
        CU_ASSERT_EQUAL_FATAL(event_wait(r, &rig->returned_event, 10ull * 1000 * 1000 * 1000), 0);
    CU_ASSERT_EQUAL(wal_refusal(rig->wal), 0);
    rig_put_singly(rig, 1, 10);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 10);
    CU_ASSERT(rig_has_replayed(rig, 1, 10));
    rig_free(rig);
}

/* ---- the watermark ---- */

/* Puts number `first`, limits the size of files so that the watermark behind it fails, and waits for that. */
static void fail_the_watermark(struct rig *rig, uint32_t first)
{
    uint64_t failed = wal_counters(rig->wal).failed_writes;
    rig_put_singly(rig, first, 1);
    rig_limit_files(WAL_BLOCK_BYTES);
    for (int i = 0; i < 1000 && wal_counters(rig->wal).failed_writes == failed; i++)
        task_sleep(rig->reactor, 1000 * 1000);
    CU_ASSERT_EQUAL(wal_counters(rig->wal).failed_writes, failed + 1);
}

static void await_watermark(struct rig *rig)
{
    for (int i = 0; i < 1000 && rig->wal->watermark_durable < rig->wal->entries_durable; i++)
        task_sleep(rig->reactor, 1000 * 1000);
    CU_ASSERT(rig->wal->watermark_durable >= rig->wal->entries_durable);
}

TEST_IN_REACTOR(wal_writes_its_watermark_again_when_that_failed_once)
{
    struct rig *rig = rig_make(r);
    rig->idle_ns = 50 * 1000 * 1000;
    rig->retry_ns = 200 * 1000 * 1000;
    rig_open(rig);
    rig_put_singly(rig, 0, 1);
    rig_await_next_segment(rig);
    fail_the_watermark(rig, 1);
    CU_ASSERT(rig->wal->watermark_durable < rig->wal->entries_durable);
    rig_limit_files(RLIM_INFINITY);
    await_watermark(rig);
    CU_ASSERT_EQUAL(wal_refusal(rig->wal), 0);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 2));
    rig_free(rig);
}

/* ---- too many files ---- */

/* Returns: the number of the first that is refused. */
static uint32_t put_until_refused(struct rig *rig, uint32_t first)
{
    uint32_t n = first;
    int rc;
    for (; (rc = rig_put(rig, n)) == 0 && n < first + 100; n++)
        rig_await(rig, rig->returned + 1);
    CU_ASSERT_EQUAL(rc, TORC_E_DISK_FULL);
    return n;
}

TEST_IN_REACTOR(wal_without_descriptors_refuses_and_goes_on_in_its_spare_files_when_there_are_some)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = 300 * 1000;
    rig_open(rig);
    uint32_t n = 0;
    for (; n < 60; n += 15) {
        rig_put_singly(rig, n, 15);
        rig->start = wal_start_at(rig->wal, wal_sequence_durable(rig->wal) + 1);
        wal_truncate(rig->wal, rig->start);
    }
    rig_take_descriptors();
    n = put_until_refused(rig, n);
    uint64_t recycled = wal_counters(rig->wal).recycled;
    rig_give_descriptors();
    while (rig->rooms == 0)
        CU_ASSERT_EQUAL_FATAL(event_wait(r, &rig->returned_event, 10ull * 1000 * 1000 * 1000), 0);
    CU_ASSERT_EQUAL(wal_counters(rig->wal).recycled, recycled + 1);
    rig->next_returned = n;
    CU_ASSERT_EQUAL(rig_put(rig, n), 0);
    rig_await(rig, rig->returned + 1);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed[n], 1);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}

/* An archive that cannot be written keeps them: where it is to be, a file stands. */
TEST_IN_REACTOR(wal_makes_no_more_files_than_a_start_takes)
{
    enum { SEGMENTS = 4 };
    char archive[512], in_the_way[256];
    struct rig *rig = rig_make(r);
    snprintf(in_the_way, sizeof in_the_way, "%s/archive", rig->directory);
    snprintf(archive, sizeof archive, "%s/log/1", in_the_way);
    int fd = open(in_the_way, O_CREAT | O_WRONLY, 0600);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    rig->archive = archive;
    rig->segments_max = SEGMENTS;
    rig->value_bytes = 300 * 1000;
    rig_open(rig);
    uint32_t refused = put_until_refused(rig, 0);
    CU_ASSERT_EQUAL(wal_counters(rig->wal).segments, SEGMENTS);
    rig->start = wal_start_at(rig->wal, wal_sequence_durable(rig->wal) + 1);
    wal_truncate(rig->wal, rig->start);
    CU_ASSERT_EQUAL(wal_counters(rig->wal).kept_segments, SEGMENTS - 1);
    CU_ASSERT_EQUAL(unlink(in_the_way), 0);
    while (rig->rooms == 0)
        CU_ASSERT_EQUAL_FATAL(event_wait(r, &rig->returned_event, 10ull * 1000 * 1000 * 1000), 0);
    rig->next_returned = refused;
    CU_ASSERT_EQUAL(rig_put(rig, refused), 0);
    rig_await(rig, rig->returned + 1);
    CU_ASSERT_EQUAL(rig->results[refused], 0);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed[refused], 1);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_retires_no_file_in_which_nothing_is_acknowledged)
{
    char archive[512];
    struct rig *rig = rig_make(r);
    snprintf(archive, sizeof archive, "%s/archive/log/1", rig->directory);
    rig->archive = archive;
    rig_open(rig);
    rig_put_singly(rig, 0, 1);
    rig_await_next_segment(rig);
    uint64_t current = rig->wal->current->id, end = rig->wal->end.segment;
    CU_ASSERT_EQUAL(end, current);
    rig->wal->end.segment = current - 1; /* as if its first write hung */
    wal_retire_current(rig->wal);
    CU_ASSERT(rig->wal->current != NULL);
    rig->wal->end.segment = end;
    wal_retire_current(rig->wal);
    CU_ASSERT(rig->wal->current == NULL);
    rig_put_singly(rig, 1, 1);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 2));
    rig_free(rig);
}

/* A write that failed may have reached the disk nevertheless, or in part. */
static void write_what_failed(struct rig *rig, uint32_t n, bool is_whole)
{
    struct place before = rig_place_of(rig, n);
    uint8_t block[WAL_BLOCK_BYTES] = {0};
    int fd = open(before.path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, block, sizeof block, (off_t)before.offset), (ssize_t)sizeof block);
    before.header.previous_checksum = before.header.checksum;
    before.header.watermark = before.header.sequence;
    before.header.sequence++;
    before.header.block++;
    before.header.payload_checksum ^= !is_whole;
    wal_record_header_encode(block, &before.header);
    CU_ASSERT_EQUAL(pwrite(fd, block, sizeof block, (off_t)before.offset + WAL_BLOCK_BYTES),
                    (ssize_t)sizeof block);
    close(fd);
}

/* Three writes that are durable, the last with this sequence, and one that failed. */
static struct rig *begin_with_a_failed_write(struct reactor *r, uint64_t *last)
{
    struct rig *rig = rig_make(r);
    rig->idle_ns = IDLE_NS; /* no watermark where the copy is to be */
    rig_open(rig);
    rig_put_singly(rig, 0, 3);
    *last = wal_sequence_durable(rig->wal);
    rig_await_next_segment(rig);
    rig_limit_files(2 * WAL_BLOCK_BYTES);
    CU_ASSERT_EQUAL(rig_put(rig, 3), 0);
    rig_await(rig, 4);
    rig_limit_files(RLIM_INFINITY);
    CU_ASSERT_EQUAL(rig->results[3], TORC_E_UNKNOWN);
    return rig;
}

static void damage_entry(const struct place *place)
{
    uint8_t byte = 0;
    off_t at = (off_t)place->offset + WAL_RECORD_HEADER_BYTES + 80;
    int fd = open(place->path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* What failed may be there all the same, and the file that says that it does not count comes later. */
TEST_IN_REACTOR(wal_gives_out_no_more_of_a_file_than_was_acknowledged_once_it_went_on_elsewhere)
{
    uint64_t last;
    struct rig *rig = begin_with_a_failed_write(r, &last);
    struct place place = rig_place_of(rig, last);
    rig_put_singly(rig, 4, 2);
    struct wal_extent *extents;
    uint32_t count;
    CU_ASSERT_EQUAL_FATAL(wal_extents(rig->wal, 0, &extents, &count), 0);
    CU_ASSERT_FATAL(count == 2);
    CU_ASSERT_EQUAL(extents[0].bytes, place.offset + WAL_BLOCK_BYTES);
    CU_ASSERT(extents[1].bytes == wal_end(rig->wal).offset && extents[1].bytes > 0);
    reactor_free(r, extents);
    rig_close(rig);
    rig_free(rig);
}

/* The copy has the entry of the last one, which is damaged: were it saved, it would come back. */
TEST_IN_REACTOR(wal_saves_nothing_of_a_failed_write_once_it_went_on_elsewhere)
{
    uint64_t last;
    struct rig *rig = begin_with_a_failed_write(r, &last);
    write_what_failed(rig, (uint32_t)last, false);
    struct place place = rig_place_of(rig, last);
    damage_entry(&place);
    rig_put_singly(rig, 4, 2);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
    CU_ASSERT_EQUAL(rig->recovery.salvaged_count, 0);
    CU_ASSERT_EQUAL(rig->replayed[2], 0);
    CU_ASSERT(rig_has_replayed(rig, 0, 2));
    CU_ASSERT(rig_has_replayed(rig, 4, 2));
    rig_free(rig);
}

TEST_IN_REACTOR(wal_drops_what_a_failed_write_left_once_it_went_on_elsewhere)
{
    uint64_t last;
    struct rig *rig = begin_with_a_failed_write(r, &last);
    write_what_failed(rig, (uint32_t)last, true);
    rig_put_singly(rig, 4, 2);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 5); /* none twice: the copy of the last one is dropped */
    CU_ASSERT(rig_has_replayed(rig, 0, 3));
    CU_ASSERT(rig_has_replayed(rig, 4, 2));
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}
