/* wal_test.c - the log: what was acknowledged comes back, torn tails do not, and damage is told from them.
 *
 * A rig owns one log in a directory of its own. Records are numbered: number n has the key "key-n", version
 * clock n and a ticket that says n. Recovery fills `replayed`, by number. Files are damaged with plain system
 * calls. */
#include "engine/wal.h"

#include "engine/wal_format.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NUMBERS_MAX = 20000,
    SEGMENT_BYTES = 4 << 20,
    BATCHES_MAX = 4096,
};

struct rig {
    struct reactor *reactor;
    const char *directory;
    struct wal *wal;
    struct wal_start start;
    struct wal_recovery recovery; /* of the last open */
    uint8_t replayed[NUMBERS_MAX];
    uint32_t replayed_count;
    int32_t results[NUMBERS_MAX]; /* by ticket; 1: not back yet */
    uint32_t returned;
    uint32_t next_returned; /* tickets must come in order */
    uint64_t batch_sequences[BATCHES_MAX];
    uint32_t batch_items[BATCHES_MAX];
    uint32_t batch_count;
    uint32_t rooms;
    uint32_t value_bytes;
    bool holds; /* the turn hook submits nothing */
    uint32_t writes_in_flight_max;
    struct event returned_event;
};

static struct record record_number(uint32_t n, char *key, uint8_t *value, uint32_t value_bytes)
{
    int key_bytes = snprintf(key, 64, "key-%u", n);
    memset(value, (int)(n % 251), value_bytes);
    struct record record = {
        .key = {.vnode = (uint16_t)(n % 64), .key = slice_of(key, (size_t)key_bytes)},
        .version = {.clock = n, .node = 7},
        .value = slice_of(value, value_bytes),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    return record;
}

static void on_durable(void *owner, const struct wal_batch *batch)
{
    struct rig *rig = owner;
    uint32_t consumed_all = 0;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        uint32_t n = (uint32_t)batch->items[i].ticket.words[0];
        CU_ASSERT_EQUAL(n, rig->next_returned);
        rig->next_returned = n + 1;
        rig->results[n] = batch->result;
        rig->returned++;
        struct record record;
        size_t consumed;
        uint32_t offset = batch->items[i].offset;
        struct slice at = slice_of(batch->payload.data + offset, batch->payload.bytes - offset);
        CU_ASSERT_EQUAL(entry_decode(at, &record, &consumed), 0);
        CU_ASSERT_EQUAL(record.version.clock, n);
        consumed_all += (uint32_t)consumed;
    }
    CU_ASSERT_EQUAL(consumed_all, batch->payload.bytes);
    if (batch->result == 0 && rig->batch_count < BATCHES_MAX) {
        rig->batch_sequences[rig->batch_count] = batch->sequence;
        rig->batch_items[rig->batch_count++] = batch->item_count;
    }
    event_set(rig->reactor, &rig->returned_event, 0);
}

static void on_room(void *owner)
{
    struct rig *rig = owner;
    rig->rooms++;
    event_set(rig->reactor, &rig->returned_event, 0);
}

static void on_turn(void *context)
{
    struct rig *rig = context;
    if (rig->wal && !rig->holds)
        wal_submit(rig->wal);
}

static int on_replay(void *owner, const struct record *record, uint64_t sequence)
{
    struct rig *rig = owner;
    uint32_t n = (uint32_t)record->version.clock;
    CU_ASSERT(n < NUMBERS_MAX && sequence > 0);
    CU_ASSERT(entry_verify(record));
    rig->replayed[n]++;
    rig->replayed_count++;
    return 0;
}

static struct rig *rig_make(struct reactor *r)
{
    struct rig *rig = calloc(1, sizeof *rig);
    ASSERT(rig);
    rig->reactor = r;
    rig->directory = test_directory();
    rig->start = (struct wal_start){0, 1};
    rig->value_bytes = 100;
    event_init(&rig->returned_event);
    return rig;
}

static int rig_recover(struct rig *rig)
{
    char why[256];
    memset(rig->replayed, 0, sizeof rig->replayed);
    rig->replayed_count = 0;
    struct wal_recovery_options options = {rig->directory, rig->start, on_replay, rig};
    int rc = wal_recover(rig->reactor, &options, &rig->recovery, why, sizeof why);
    if (rc)
        fprintf(stderr, "wal_recover: %s\n", why);
    return rc;
}

/* Recovers and lets go again: looks at a directory without a change. */
static void rig_look(struct rig *rig)
{
    CU_ASSERT_EQUAL_FATAL(rig_recover(rig), 0);
    wal_recovery_deinit(rig->reactor, &rig->recovery);
}

static void rig_open(struct rig *rig)
{
    CU_ASSERT_EQUAL_FATAL(rig_recover(rig), 0);
    struct wal_options options = {
        .directory = rig->directory,
        .segment_bytes = SEGMENT_BYTES,
        .writes_in_flight_max = rig->writes_in_flight_max,
        .owner = rig,
        .retry_ns = 5 * 1000 * 1000,
        .on_durable = on_durable,
        .on_room = on_room,
    };
    for (uint32_t i = 0; i < NUMBERS_MAX; i++)
        rig->results[i] = 1;
    rig->returned = 0;
    rig->batch_count = 0;
    CU_ASSERT_EQUAL_FATAL(wal_open(rig->reactor, &options, &rig->recovery, &rig->wal), 0);
    reactor_set_turn_hook(rig->reactor, on_turn, rig);
}

static void rig_close(struct rig *rig)
{
    reactor_set_turn_hook(rig->reactor, NULL, NULL);
    wal_close(rig->wal);
    rig->wal = NULL;
}

static void rig_free(struct rig *rig)
{
    free(rig);
}

static int rig_put(struct rig *rig, uint32_t n)
{
    static uint8_t value[VALUE_BYTES_MAX];
    static char key[64];
    struct record record = record_number(n, key, value, rig->value_bytes);
    struct engine_ticket ticket = {.words = {n}};
    return wal_append(rig->wal, &record, &ticket);
}

static void rig_await(struct rig *rig, uint32_t returned)
{
    while (rig->returned < returned) {
        int rc = event_wait(rig->reactor, &rig->returned_event, 10ull * 1000 * 1000 * 1000);
        CU_ASSERT_EQUAL_FATAL(rc, 0);
    }
}

/* Puts `count` records from `first`, each in a log record of its own. */
static void rig_put_singly(struct rig *rig, uint32_t first, uint32_t count)
{
    uint32_t before = rig->returned;
    if (before == 0)
        rig->next_returned = first;
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_put(rig, first + i), 0);
        rig_await(rig, before + i + 1);
        CU_ASSERT_EQUAL(rig->results[first + i], 0);
    }
}

static bool was_replayed(const struct rig *rig, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        if (rig->replayed[i] != 1)
            return false;
    return true;
}

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
    CU_ASSERT(was_replayed(rig, 0, 50));
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
    rig_look(rig);
    CU_ASSERT(was_replayed(rig, 0, 103));
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
    CU_ASSERT(was_replayed(rig, 0, n + 1));
    rig_free(rig);
}

TEST_IN_REACTOR(wal_goes_on_after_a_restart)
{
    struct rig *rig = rig_make(r);
    for (uint32_t i = 0; i < 5; i++) {
        rig_open(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT(was_replayed(rig, 0, i * 10));
        rig_put_singly(rig, i * 10, 10);
        rig_close(rig);
    }
    rig_look(rig);
    CU_ASSERT(was_replayed(rig, 0, 50));
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
    CU_ASSERT(was_replayed(rig, 0, 60));
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
    CU_ASSERT(was_replayed(rig, 120, 2));
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    CU_ASSERT(rig->recovery.segment_count <= 8);
    rig_open(rig);
    rig_put_singly(rig, 122, 20);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 22);
    CU_ASSERT(was_replayed(rig, 120, 22));
    rig_free(rig);
}

/* ---- damage ---- */

struct place {
    char path[512];
    uint64_t offset;
    struct wal_record_header header;
};

static bool place_in_file(struct rig *rig, uint64_t segment, uint64_t sequence, struct place *out)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name(name, segment);
    snprintf(out->path, sizeof out->path, "%s/%s", rig->directory, name);
    int fd = open(out->path, O_RDONLY);
    if (fd < 0)
        return false;
    uint8_t bytes[WAL_RECORD_HEADER_BYTES];
    bool is_found = false;
    for (out->offset = WAL_BLOCK_BYTES; !is_found; out->offset += WAL_BLOCK_BYTES) {
        if (pread(fd, bytes, sizeof bytes, (off_t)out->offset) != (ssize_t)sizeof bytes)
            break;
        is_found = wal_record_header_decode(bytes, &out->header) && out->header.segment_id == segment &&
                   out->header.sequence == sequence;
    }
    out->offset -= is_found ? WAL_BLOCK_BYTES : 0;
    close(fd);
    return is_found;
}

/* Where the log record with this sequence is on disk. */
static struct place place_of(struct rig *rig, uint64_t sequence)
{
    struct place place = {0};
    bool is_found = false;
    for (uint64_t segment = 1; segment < 40 && !is_found; segment++)
        is_found = place_in_file(rig, segment, sequence, &place);
    CU_ASSERT_FATAL(is_found);
    return place;
}

static void overwrite(const char *path, uint64_t offset, uint64_t bytes, int byte)
{
    uint8_t *with = malloc(bytes);
    ASSERT(with);
    memset(with, byte, bytes);
    int fd = open(path, O_WRONLY);
    CU_ASSERT_EQUAL(pwrite(fd, with, bytes, (off_t)offset), (ssize_t)bytes);
    close(fd);
    free(with);
}

static void flip(const struct place *place, uint64_t at)
{
    uint8_t byte = 0;
    int fd = open(place->path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, (off_t)(place->offset + at)), 1);
    byte ^= 4;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, (off_t)(place->offset + at)), 1);
    close(fd);
}

/* Ends the log as a crash does: without the watermark that closing writes. */
static void erase_watermark(struct rig *rig, uint64_t last_sequence)
{
    struct place place = place_of(rig, last_sequence + 1);
    CU_ASSERT_EQUAL(place.header.entry_count, 0);
    overwrite(place.path, place.offset, WAL_BLOCK_BYTES, 0);
}

/* Writes `count` records singly and ends as a crash does. Returns: the sequence of the last one. */
static uint64_t rig_fill_and_crash(struct rig *rig, uint32_t count)
{
    rig_open(rig);
    rig_put_singly(rig, 0, count);
    uint64_t last = rig->batch_sequences[rig->batch_count - 1];
    bool has_idled = rig->batch_items[rig->batch_count - 1] == 0;
    rig_close(rig);
    if (has_idled)
        last--;
    erase_watermark(rig, last);
    return last;
}

TEST_IN_REACTOR(wal_cuts_a_tail_torn_at_any_block)
{
    enum { COUNT = 5 };
    for (uint64_t block = 0; block < 4; block++) {
        struct rig *rig = rig_make(r);
        rig->value_bytes = 13 * 1000;
        uint64_t last = rig_fill_and_crash(rig, COUNT);
        struct place place = place_of(rig, last);
        overwrite(place.path, place.offset + block * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES, 0);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->replayed_count, COUNT - 1);
        CU_ASSERT(was_replayed(rig, 0, COUNT - 1));
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT_EQUAL(rig->recovery.torn_bytes > 0,
                        block > 0); /* without its header it is an end like any other */
        CU_ASSERT_EQUAL(rig->recovery.last_sequence, last - 1);
        rig_open(rig); /* and goes on */
        rig_put_singly(rig, 100, 3);
        rig_close(rig);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->replayed_count, COUNT - 1 + 3);
        CU_ASSERT(was_replayed(rig, 100, 3));
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        rig_free(rig);
    }
}

/* Makes the last two records look as if both were in flight: the last one's watermark is below the one
 * before. */
static void lower_watermark(struct rig *rig, uint64_t sequence)
{
    struct place place = place_of(rig, sequence);
    uint8_t bytes[WAL_RECORD_HEADER_BYTES];
    place.header.watermark = sequence - 2;
    wal_record_header_encode(bytes, &place.header);
    int fd = open(place.path, O_WRONLY);
    CU_ASSERT_EQUAL(pwrite(fd, bytes, sizeof bytes, (off_t)place.offset), (ssize_t)sizeof bytes);
    close(fd);
}

TEST_IN_REACTOR(wal_cuts_both_records_in_flight_when_the_first_is_torn)
{
    for (int is_header = 0; is_header < 2; is_header++) {
        struct rig *rig = rig_make(r);
        rig->value_bytes = 9 * 1000;
        uint64_t last = rig_fill_and_crash(rig, 6);
        lower_watermark(rig, last);
        struct place place = place_of(rig, last - 1);
        overwrite(place.path, place.offset + (is_header ? 0 : WAL_BLOCK_BYTES), WAL_BLOCK_BYTES, 0);
        rig_look(rig);
        CU_ASSERT(was_replayed(rig, 0, 4));
        CU_ASSERT_EQUAL(rig->replayed_count, 4);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT(rig->recovery.torn_bytes > 0);
        CU_ASSERT_EQUAL(rig->recovery.sequence_seen_max, last);
        rig_open(rig);
        rig_put_singly(rig, 100, 3);
        CU_ASSERT(rig->batch_sequences[0] > last);
        rig_close(rig);
        rig_look(rig); /* the whole one after the torn one stays dropped */
        CU_ASSERT_EQUAL(rig->replayed_count, 7);
        CU_ASSERT(was_replayed(rig, 100, 3));
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        rig_free(rig);
    }
}

TEST_IN_REACTOR(wal_reports_damage_in_the_middle_and_goes_on_after_it)
{
    const uint64_t places[] = {0, 20, 60, WAL_RECORD_HEADER_BYTES + 3, WAL_RECORD_HEADER_BYTES + 80};
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++) {
        struct rig *rig = rig_make(r);
        rig_open(rig);
        rig_put_singly(rig, 0, 20);
        uint64_t tenth = rig->batch_sequences[9];
        CU_ASSERT_EQUAL_FATAL(rig->batch_items[9], 1);
        rig_close(rig);
        struct place place = place_of(rig, tenth);
        flip(&place, places[i]);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
        CU_ASSERT_EQUAL(rig->recovery.damaged_offset, place.offset);
        CU_ASSERT_EQUAL(rig->recovery.torn_bytes, 0);
        CU_ASSERT(was_replayed(rig, 0, 9));
        CU_ASSERT(was_replayed(rig, 10, 10));
        bool is_saved = places[i] < WAL_RECORD_HEADER_BYTES; /* the entry itself is whole */
        CU_ASSERT_EQUAL(rig->replayed[9], is_saved);
        CU_ASSERT_EQUAL(rig->recovery.salvaged_count, is_saved);
        CU_ASSERT(rig->recovery.missing_clock_bound >= 9 && rig->recovery.missing_clock_bound <= 10);
        rig_free(rig);
    }
}

TEST_IN_REACTOR(wal_saves_the_whole_entries_of_a_damaged_record)
{
    struct rig *rig = rig_make(r);
    rig_open(rig);
    rig_put_singly(rig, 0, 1);
    rig->holds = true;
    for (uint32_t n = 1; n <= 30; n++)
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
    rig->holds = false;
    rig_await(rig, 31);
    rig_put_singly(rig, 31, 2);
    rig_close(rig);
    uint64_t sequence = 0;
    for (uint32_t i = 0; i < rig->batch_count; i++)
        if (rig->batch_items[i] == 30)
            sequence = rig->batch_sequences[i];
    struct place place = place_of(rig, sequence);
    flip(&place, place.header.payload_bytes / 2 + WAL_RECORD_HEADER_BYTES + 20); /* in a value, or a header */
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
    CU_ASSERT(rig->recovery.salvaged_count >= 14 && rig->recovery.salvaged_count <= 29);
    CU_ASSERT(was_replayed(rig, 1, 14));
    CU_ASSERT(was_replayed(rig, 31, 2));
    rig_free(rig);
}

TEST_IN_REACTOR(wal_takes_rot_in_the_last_record_for_damage_once_it_was_idle)
{
    struct rig *rig = rig_make(r);
    rig_open(rig);
    rig_put_singly(rig, 0, 10);
    uint64_t last = wal_sequence_durable(rig->wal);
    while (wal_counters(rig->wal).watermarks == 0 || wal_sequence_durable(rig->wal) <= last)
        task_sleep(r, 1000 * 1000); /* until the idle timer has written */
    rig_close(rig);
    struct place place = place_of(rig, last);
    flip(&place, WAL_RECORD_HEADER_BYTES + 70);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
    CU_ASSERT_EQUAL(rig->recovery.missing_clock_bound, 9);
    CU_ASSERT_EQUAL(rig->replayed_count, 9);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_with_a_missing_segment_reports_it_and_replays_the_rest)
{
    for (uint64_t missing = 1; missing <= 2; missing++) {
        struct rig *rig = rig_make(r);
        rig->value_bytes = 300 * 1000;
        rig_open(rig);
        rig_put_singly(rig, 0, 40);
        rig->start = wal_start_at(rig->wal, 1);
        CU_ASSERT_EQUAL(rig->start.segment, 1);
        rig_close(rig);
        char path[512], name[WAL_NAME_BYTES];
        wal_segment_name(name, missing);
        snprintf(path, sizeof path, "%s/%s", rig->directory, name);
        CU_ASSERT_EQUAL(unlink(path), 0);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
        CU_ASSERT(rig->recovery.missing_clock_bound >= 13);
        CU_ASSERT(rig->replayed_count >= 26 && rig->replayed_count < 30);
        CU_ASSERT(was_replayed(rig, 30, 10));
        CU_ASSERT_EQUAL(rig->replayed[0], missing == 2);
        rig_free(rig);
    }
}

TEST_IN_REACTOR(wal_whose_only_file_is_missing_is_damaged)
{
    struct rig *rig = rig_make(r);
    rig->start = (struct wal_start){3, 12};
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
    CU_ASSERT(rig->recovery.missing_clock_bound > 1000);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_with_a_rotten_segment_header_loses_nothing)
{
    for (uint64_t segment = 1; segment <= 3; segment++) {
        struct rig *rig = rig_make(r);
        rig->value_bytes = 300 * 1000;
        rig_open(rig);
        rig_put_singly(rig, 0, 40);
        rig_close(rig);
        struct place place = {0};
        char name[WAL_NAME_BYTES];
        wal_segment_name(name, segment);
        snprintf(place.path, sizeof place.path, "%s/%s", rig->directory, name);
        flip(&place, 20);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT(was_replayed(rig, 0, 40));
        rig_free(rig);
    }
}

TEST_IN_REACTOR(wal_skips_what_is_before_its_start)
{
    struct rig *rig = rig_make(r);
    rig_open(rig);
    rig_put_singly(rig, 0, 20);
    uint32_t at = 0;
    uint64_t eleventh = 0;
    for (uint32_t i = 0; i < rig->batch_count; i++)
        if (rig->batch_items[i] && at++ == 10)
            eleventh = rig->batch_sequences[i];
    rig->start = wal_start_at(rig->wal, eleventh);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 10);
    CU_ASSERT(was_replayed(rig, 10, 10));
    struct place place = place_of(rig, eleventh - 3); /* damage there matters to nobody */
    flip(&place, 8);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 10);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_of_another_format_version_is_refused)
{
    struct rig *rig = rig_make(r);
    rig_open(rig);
    rig_put_singly(rig, 0, 2);
    rig_close(rig);
    struct place place = place_of(rig, 1);
    uint8_t header[WAL_SEGMENT_HEADER_BYTES];
    int fd = open(place.path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, header, sizeof header, 0), sizeof header);
    store_u32le(header + 4, WAL_FORMAT_VERSION + 1);
    store_u64le(header + sizeof header - 8, checksum_bytes(header, sizeof header - 8));
    CU_ASSERT_EQUAL(pwrite(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    char why[256] = "";
    struct wal_recovery_options options = {rig->directory, rig->start, on_replay, rig};
    CU_ASSERT_EQUAL(wal_recover(r, &options, &rig->recovery, why, sizeof why), TORC_E_DATA_FORMAT);
    CU_ASSERT(why[0] != '\0');
    rig_free(rig);
}

/* ---- failures ---- */

/* Writes beyond `bytes` of a file fail with EFBIG. RLIM_INFINITY lifts the limit. */
static void limit_files(rlim_t bytes)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Until the background task has the next segment ready. */
static void await_next_segment(struct rig *rig)
{
    uint64_t segments = 0;
    for (int i = 0; i < 1000 && segments < 2; i++) {
        task_sleep(rig->reactor, 1000 * 1000);
        segments = wal_counters(rig->wal).segments;
    }
    CU_ASSERT_EQUAL_FATAL(segments, 2);
}

TEST_IN_REACTOR(wal_gives_failed_writes_back_and_goes_on_in_a_new_segment)
{
    struct rig *rig = rig_make(r);
    rig_open(rig);
    rig_put_singly(rig, 0, 3);
    await_next_segment(rig);
    rig->holds = true;
    limit_files(2 * WAL_BLOCK_BYTES);
    for (uint32_t n = 3; n < 5; n++) {
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
        wal_submit(rig->wal);
    }
    CU_ASSERT_EQUAL(rig_put(rig, 5), 0); /* gathers while the others fail */
    rig_await(rig, 5);
    limit_files(RLIM_INFINITY);
    CU_ASSERT_EQUAL(rig->results[3], TORC_E_STORAGE);
    CU_ASSERT_EQUAL(rig->results[4], TORC_E_STORAGE);
    CU_ASSERT_EQUAL(wal_counters(rig->wal).failed_writes, 2);
    rig->holds = false;
    rig_await(rig, 6);
    CU_ASSERT_EQUAL(rig->results[5], 0);
    rig_put_singly(rig, 6, 3);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(was_replayed(rig, 0, 3));
    CU_ASSERT(was_replayed(rig, 5, 4));
    CU_ASSERT_EQUAL(rig->replayed_count, 7);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}

TEST_IN_REACTOR(wal_takes_no_writes_after_two_failures_in_a_row)
{
    struct rig *rig = rig_make(r);
    rig_open(rig);
    rig_put_singly(rig, 0, 3);
    await_next_segment(rig);
    limit_files(WAL_BLOCK_BYTES);
    CU_ASSERT_EQUAL(rig_put(rig, 3), 0);
    rig_await(rig, 4);
    CU_ASSERT_EQUAL(rig->results[3], TORC_E_STORAGE);
    CU_ASSERT_EQUAL(rig_put(rig, 4), 0);
    rig_await(rig, 5);
    CU_ASSERT_EQUAL(rig->results[4], TORC_E_STORAGE);
    CU_ASSERT_EQUAL(rig_put(rig, 5), TORC_E_STORAGE);
    CU_ASSERT_EQUAL(wal_refusal(rig->wal), TORC_E_STORAGE);
    limit_files(RLIM_INFINITY);
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
    limit_files(SEGMENT_BYTES / 2);
    rig_open(rig);
    CU_ASSERT_EQUAL(rig_put(rig, 0), 0);
    rig_await(rig, 1);
    CU_ASSERT_EQUAL(rig->results[0], TORC_E_DISK_FULL);
    CU_ASSERT_EQUAL(rig_put(rig, 1), TORC_E_DISK_FULL);
    CU_ASSERT_EQUAL(rig->rooms, 0);
    limit_files(RLIM_INFINITY);
    while (rig->rooms == 0)
        CU_ASSERT_EQUAL_FATAL(event_wait(r, &rig->returned_event, 10ull * 1000 * 1000 * 1000), 0);
    CU_ASSERT_EQUAL(wal_refusal(rig->wal), 0);
    rig_put_singly(rig, 1, 10);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->replayed_count, 10);
    CU_ASSERT(was_replayed(rig, 1, 10));
    rig_free(rig);
}
