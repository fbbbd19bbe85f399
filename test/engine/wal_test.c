/* wal_test.c - the log: what was acknowledged comes back, torn tails do not, and damage is told from them.
 *
 * A rig owns one log in a directory of its own. Records are numbered: number n has the key "key-n", version clock n and
 * a ticket that says n. Recovery fills `replayed`, by number. Files are damaged with plain system calls. */
#include "engine/wal.h"

#include "engine/wal_format.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
