/* wal_recovery_test.c - what was acknowledged comes back, torn tails do not, and damage is told from them.
 *
 * Files are damaged with plain system calls. */
#include "test/engine/wal_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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
    struct place place = rig_place_of(rig, last_sequence + 1);
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
        struct place place = rig_place_of(rig, last);
        overwrite(place.path, place.offset + block * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES, 0);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->replayed_count, COUNT - 1);
        CU_ASSERT(rig_has_replayed(rig, 0, COUNT - 1));
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT_EQUAL(rig->recovery.torn_bytes > 0,
                        block > 0); /* without its header it is an end like any other */
        CU_ASSERT_EQUAL(rig->recovery.last_sequence, last - 1);
        rig_open(rig); /* and goes on */
        rig_put_singly(rig, 100, 3);
        rig_close(rig);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->replayed_count, COUNT - 1 + 3);
        CU_ASSERT(rig_has_replayed(rig, 100, 3));
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        rig_free(rig);
    }
}

/* Makes the last two records look as if both were in flight: the last one's watermark is below the one
 * before. */
static void lower_watermark(struct rig *rig, uint64_t sequence)
{
    struct place place = rig_place_of(rig, sequence);
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
        struct place place = rig_place_of(rig, last - 1);
        overwrite(place.path, place.offset + (is_header ? 0 : WAL_BLOCK_BYTES), WAL_BLOCK_BYTES, 0);
        rig_look(rig);
        CU_ASSERT(rig_has_replayed(rig, 0, 4));
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
        CU_ASSERT(rig_has_replayed(rig, 100, 3));
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
        struct place place = rig_place_of(rig, tenth);
        flip(&place, places[i]);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
        CU_ASSERT_EQUAL(rig->recovery.damaged_offset, place.offset);
        CU_ASSERT_EQUAL(rig->recovery.torn_bytes, 0);
        CU_ASSERT(rig_has_replayed(rig, 0, 9));
        CU_ASSERT(rig_has_replayed(rig, 10, 10));
        bool is_saved = places[i] < WAL_RECORD_HEADER_BYTES; /* the entry itself is whole */
        CU_ASSERT_EQUAL(rig->replayed[9], is_saved);
        CU_ASSERT_EQUAL(rig->recovery.salvaged_count, is_saved);
        CU_ASSERT(rig->recovery.missing_clock_bound >= 9 && rig->recovery.missing_clock_bound <= 10);
        rig_free(rig);
    }
}

/* Returns: how many reads it took to recover. */
static uint64_t reads_to_look(struct rig *rig)
{
    uint64_t before = reactor_counters(rig->reactor).completions;
    rig_look(rig);
    return reactor_counters(rig->reactor).completions - before;
}

TEST_IN_REACTOR(wal_with_damage_in_many_places_is_looked_through_once)
{
    enum { RECORDS = 60, EACH = 3, TAIL = 3 };
    struct rig *rig = rig_make(r);
    rig->value_bytes = 300 * 1000;
    rig_open(rig);
    rig_put_singly(rig, 0, RECORDS);
    CU_ASSERT_EQUAL_FATAL(rig->batch_count, RECORDS);
    rig_close(rig);
    uint64_t reads = reads_to_look(rig);
    for (uint32_t i = 1; i < RECORDS - TAIL; i += EACH) {
        struct place place = rig_place_of(rig, rig->batch_sequences[i]);
        flip(&place, WAL_BLOCK_BYTES);
    }
    CU_ASSERT(reads_to_look(rig) <= 3 * reads);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, (RECORDS - TAIL) / EACH);
    CU_ASSERT_EQUAL(rig->replayed_count, RECORDS - rig->recovery.damaged_count);
    rig_free(rig);
}

static void copy_block(const char *path, uint64_t from, uint64_t to)
{
    uint8_t block[WAL_BLOCK_BYTES];
    int fd = open(path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, block, sizeof block, (off_t)from), (ssize_t)sizeof block);
    CU_ASSERT_EQUAL(pwrite(fd, block, sizeof block, (off_t)to), (ssize_t)sizeof block);
    close(fd);
}

/* The write of the 18th record went to the place of the 6th, and its own place is as it was. */
TEST_IN_REACTOR(wal_takes_no_record_that_stands_where_another_one_was)
{
    struct rig *rig = rig_make(r);
    rig->idle_ns = UINT64_C(60) * 1000 * 1000 * 1000; /* no watermark between */
    rig_open(rig);
    rig_put_singly(rig, 0, 20);
    struct place sixth = rig_place_of(rig, rig->batch_sequences[5]);
    struct place late = rig_place_of(rig, rig->batch_sequences[17]);
    rig_close(rig);
    copy_block(late.path, late.offset, sixth.offset);
    overwrite(late.path, late.offset, WAL_BLOCK_BYTES, 0);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 2);
    CU_ASSERT_EQUAL(rig->recovery.torn_bytes, 0);
    CU_ASSERT(rig_has_replayed(rig, 0, 5));
    CU_ASSERT(rig_has_replayed(rig, 6, 11));
    CU_ASSERT(rig_has_replayed(rig, 17, 3)); /* saved from where it went */
    CU_ASSERT_EQUAL(rig->replayed[5], 0);
    rig_free(rig);
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
    struct place place = rig_place_of(rig, sequence);
    flip(&place, place.header.payload_bytes / 2 + WAL_RECORD_HEADER_BYTES + 20); /* in a value, or a header */
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
    CU_ASSERT(rig->recovery.salvaged_count >= 14 && rig->recovery.salvaged_count <= 29);
    CU_ASSERT(rig_has_replayed(rig, 1, 14));
    CU_ASSERT(rig_has_replayed(rig, 31, 2));
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
    struct place place = rig_place_of(rig, last);
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
        CU_ASSERT(rig_has_replayed(rig, 30, 10));
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

static void remove_segment(const struct rig *rig, uint64_t id)
{
    char path[512], name[WAL_NAME_BYTES];
    wal_segment_name(name, id);
    snprintf(path, sizeof path, "%s/%s", rig->directory, name);
    CU_ASSERT_EQUAL(unlink(path), 0);
}

/* Four files of 13 records: the last one used is the fourth, the fifth was prepared. */
TEST_IN_REACTOR(wal_notices_that_its_last_file_is_missing)
{
    for (uint64_t missing = 4; missing <= 5; missing++) {
        struct rig *rig = rig_make(r);
        rig->value_bytes = 300 * 1000;
        rig_open(rig);
        rig_put_singly(rig, 0, 42);
        rig_await_named(rig, 5);
        rig_close(rig);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT_EQUAL(rig->recovery.used_segment, 4);
        remove_segment(rig, missing);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
        CU_ASSERT_EQUAL(rig->recovery.missing_segment, missing);
        CU_ASSERT_EQUAL(rig->recovery.damaged_segment, missing);
        CU_ASSERT(rig->recovery.is_end_lost && rig->recovery.missing_clock_bound > NUMBERS_MAX);
        CU_ASSERT_EQUAL(rig->recovery.segment_id_max, 5);
        CU_ASSERT(rig_has_replayed(rig, 0, 39));
        CU_ASSERT_EQUAL(rig->replayed_count, missing == 4 ? 39 : 42);
        rig_open(rig); /* known now */
        rig_put_singly(rig, 100, 3);
        rig_close(rig);
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT(rig_has_replayed(rig, 100, 3));
        rig_free(rig);
    }
}

TEST_IN_REACTOR(wal_misses_no_file_that_is_before_its_start)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = 300 * 1000;
    rig_open(rig);
    rig_put_singly(rig, 0, 42);
    rig->start = wal_start_at(rig->wal, wal_sequence_durable(rig->wal) + 1);
    rig_close(rig);
    rig->named = (struct wal_named){{1, 2, 3}};
    for (uint64_t id = 1; id <= 3; id++)
        remove_segment(rig, id);
    rig_look(rig);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    CU_ASSERT_EQUAL(rig->recovery.missing_segment, 0);
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
        CU_ASSERT(rig_has_replayed(rig, 0, 40));
        rig_free(rig);
    }
}

static void copy_bytes(const struct place *from, const struct place *to, uint64_t offset, uint64_t bytes)
{
    uint8_t *copy = malloc(bytes);
    ASSERT(copy);
    int in = open(from->path, O_RDONLY), out = open(to->path, O_WRONLY);
    CU_ASSERT_EQUAL(pread(in, copy, bytes, (off_t)offset), (ssize_t)bytes);
    CU_ASSERT_EQUAL(pwrite(out, copy, bytes, (off_t)offset), (ssize_t)bytes);
    close(in);
    close(out);
    free(copy);
}

/* A log whose records are numbered from `first`, one in each block. Returns: where the fourth is. */
static struct place fill_for_shard(struct rig *rig, uint32_t shard, uint32_t first)
{
    rig->shard = shard;
    rig_open(rig);
    rig_put_singly(rig, first, 8);
    struct place place = rig_place_of(rig, rig->batch_sequences[3]);
    rig_close(rig);
    return place;
}

/* The same file name, the same place and the same sequence: only the epoch tells whose it is, and the header
 * that says which epoch counts may be gone, or be that of the other shard, too. */
TEST_IN_REACTOR(wal_takes_nothing_of_another_shard)
{
    for (int is_header_too = 0; is_header_too < 2; is_header_too++) {
        struct rig *rig = rig_make(r), *other = rig_make(r);
        struct place own = fill_for_shard(rig, 1, 0), foreign = fill_for_shard(other, 17, 100);
        CU_ASSERT_EQUAL_FATAL(own.offset, foreign.offset);
        copy_bytes(&foreign, &own, own.offset, WAL_BLOCK_BYTES);
        if (is_header_too)
            copy_bytes(&foreign, &own, 0, WAL_BLOCK_BYTES);
        else
            overwrite(own.path, 0, WAL_BLOCK_BYTES, 0);
        rig_look(rig);
        CU_ASSERT(rig_has_replayed(rig, 0, 3));
        CU_ASSERT(rig_has_replayed(rig, 4, 4));
        CU_ASSERT_EQUAL(rig->replayed_count, 7);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 1);
        CU_ASSERT_EQUAL(rig->recovery.damaged_offset, own.offset);
        rig_free(rig);
        rig_free(other);
    }
}

TEST_IN_REACTOR(wal_finds_the_last_record_behind_a_rotten_segment_header)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = 300 * 1000;
    uint64_t last = rig_fill_and_crash(rig, 14); /* 13 fit into a segment */
    struct place place = rig_place_of(rig, last);
    CU_ASSERT_EQUAL(place.offset, WAL_BLOCK_BYTES);
    CU_ASSERT_EQUAL(place.header.segment_id, 2);
    place.offset = 0;
    flip(&place, 30);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 14));
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    rig_free(rig);
}

/* As a loss of power leaves it: of two writes in flight the first lost its segment header, the second a part
 * of its payload. */
TEST_IN_REACTOR(wal_cuts_a_torn_record_behind_a_torn_segment_header)
{
    struct rig *rig = rig_make(r);
    rig->value_bytes = 300 * 1000;
    uint64_t last = rig_fill_and_crash(rig, 15);
    struct place place = rig_place_of(rig, last);
    CU_ASSERT_EQUAL(place.header.segment_id, 2);
    flip(&place, 100 * 1000);
    place.offset = 0;
    flip(&place, 30);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, 14));
    CU_ASSERT_EQUAL(rig->replayed_count, 14);
    CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
    CU_ASSERT(rig->recovery.torn_bytes > 0);
    rig_free(rig);
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
    CU_ASSERT(rig_has_replayed(rig, 10, 10));
    struct place place = rig_place_of(rig, eleventh - 3); /* damage there matters to nobody */
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
    struct place place = rig_place_of(rig, 1);
    uint8_t header[WAL_SEGMENT_HEADER_BYTES];
    int fd = open(place.path, O_RDWR);
    CU_ASSERT_EQUAL(pread(fd, header, sizeof header, 0), sizeof header);
    store_u32le(header + 4, WAL_FORMAT_VERSION + 1);
    store_u64le(header + sizeof header - 8, checksum_bytes(header, sizeof header - 8));
    CU_ASSERT_EQUAL(pwrite(fd, header, sizeof header, 0), sizeof header);
    close(fd);
    char why[256] = "";
    struct wal_recovery_options options = {rig->directory, rig->start, rig_replay, rig,
                                           rig->named,     false,      0,          0};
    CU_ASSERT_EQUAL(wal_recover(r, &options, &rig->recovery, why, sizeof why), TORC_E_DATA_FORMAT);
    CU_ASSERT(why[0] != '\0');
    rig_free(rig);
}

/* ---- chance ---- */

/* splitmix64: the same damage in every run. */
static uint64_t chance(uint64_t *state, uint64_t below)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

static void put_and_await(struct rig *rig, uint32_t count, uint64_t *state)
{
    for (uint32_t n = 0; n < count; n++) {
        rig->value_bytes = (uint32_t)chance(state, 9000);
        CU_ASSERT_EQUAL(rig_put(rig, n), 0);
        if (chance(state, 5) == 0)
            task_yield(rig->reactor);
    }
    rig_await(rig, count);
}

TEST_IN_REACTOR(wal_with_any_bit_flipped_loses_nothing_unnoticed)
{
    enum { COUNT = 60, FLIPS = 300 };
    struct rig *rig = rig_make(r);
    uint64_t state = 1;
    rig_open(rig);
    put_and_await(rig, COUNT, &state);
    rig_close(rig);
    struct place last = rig_place_of(rig, rig->batch_sequences[rig->batch_count - 1]);
    struct place file = rig_place_of(rig, 1);
    CU_ASSERT_STRING_EQUAL(last.path, file.path);
    file.offset = 0;
    for (int i = 0; i < FLIPS; i++) {
        uint64_t at = chance(&state, last.offset);
        flip(&file, at);
        rig_look(rig);
        uint32_t missing = 0, doubled = 0;
        for (uint32_t n = 0; n < COUNT; n++) {
            missing += rig->replayed[n] == 0;
            doubled += rig->replayed[n] > 1;
            if (rig->replayed[n] == 0)
                CU_ASSERT(n <= rig->recovery.missing_clock_bound);
        }
        CU_ASSERT(missing == 0 || rig->recovery.damaged_count == 1);
        CU_ASSERT_EQUAL(doubled, 0);
        CU_ASSERT_EQUAL(rig->recovery.torn_bytes, 0);
        flip(&file, at);
    }
    rig_free(rig);
}

static void copy_file(const char *from, const char *to)
{
    enum { PIECE = 1 << 20 };
    uint8_t *piece = malloc(PIECE);
    ASSERT(piece);
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ASSERT(in >= 0 && out >= 0);
    for (ssize_t got; (got = read(in, piece, PIECE)) > 0;)
        CU_ASSERT_EQUAL(write(out, piece, (size_t)got), got);
    close(in);
    close(out);
    free(piece);
}

static void copy_log(const char *from, const char *to)
{
    for (uint64_t id = 1; id < 40; id++) {
        char name[WAL_NAME_BYTES], source[512], target[512];
        wal_segment_name(name, id);
        snprintf(source, sizeof source, "%s/%s", from, name);
        snprintf(target, sizeof target, "%s/%s", to, name);
        if (access(source, F_OK) == 0)
            copy_file(source, target);
    }
}

/* What a crash leaves at any moment: the files copied while writes are on their way. */
TEST_IN_REACTOR(wal_copied_while_it_is_written_has_all_that_was_acknowledged)
{
    enum { COUNT = 1500, COPIES = 12 };
    struct rig *rig = rig_make(r);
    const char *home = rig->directory;
    uint64_t state = 7;
    rig->writes_in_flight_max = 4;
    rig_open(rig);
    for (uint32_t n = 0; n < COUNT; n++) {
        rig->value_bytes = (uint32_t)chance(&state, 12000);
        CU_ASSERT_EQUAL_FATAL(rig_put(rig, n), 0);
        if (chance(&state, 3) == 0)
            task_yield(r);
        if (n % (COUNT / COPIES) != COUNT / COPIES - 1)
            continue;
        uint32_t acknowledged = rig->next_returned;
        const char *copy = test_directory();
        copy_log(home, copy);
        rig->directory = copy;
        rig_look(rig);
        CU_ASSERT_EQUAL(rig->recovery.damaged_count, 0);
        CU_ASSERT(rig->replayed_count >= acknowledged);
        CU_ASSERT(rig_has_replayed(rig, 0, rig->replayed_count)); /* in order, without a gap */
        rig->directory = home;
    }
    rig_await(rig, COUNT);
    rig_close(rig);
    rig_look(rig);
    CU_ASSERT(rig_has_replayed(rig, 0, COUNT));
    rig_free(rig);
}
