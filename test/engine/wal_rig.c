/* wal_rig.c - one log under test; see wal_rig.h. */
#include "test/engine/wal_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

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
    if (rig->portions++ == 0)
        rig->portion_items = rig->portion_bytes = 0;
    if (rig->on_portion)
        rig->on_portion(rig);
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
        rig->portion_bytes += (uint32_t)consumed;
    }
    rig->portion_items += batch->item_count;
    rig->portions_max = rig->portions > rig->portions_max ? rig->portions : rig->portions_max;
    if (batch->is_last) {
        CU_ASSERT_EQUAL(rig->portion_bytes, batch->payload.bytes);
        rig->portions = 0;
    }
    if (batch->is_last && batch->result == 0 && rig->batch_count < BATCHES_MAX) {
        rig->batch_sequences[rig->batch_count] = batch->sequence;
        rig->batch_items[rig->batch_count++] = rig->portion_items;
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

static int on_prepared(void *owner, const struct wal_named *named)
{
    struct rig *rig = owner;
    rig->named = *named;
    return 0;
}

int rig_replay(void *owner, const struct record *record, uint64_t sequence)
{
    struct rig *rig = owner;
    uint32_t n = (uint32_t)record->version.clock;
    CU_ASSERT(n < NUMBERS_MAX && sequence > 0);
    CU_ASSERT(entry_verify(record));
    rig->replayed[n]++;
    rig->replayed_count++;
    return 0;
}

struct rig *rig_make(struct reactor *r)
{
    struct rig *rig = calloc(1, sizeof *rig);
    ASSERT(rig);
    rig->reactor = r;
    rig->directory = test_directory();
    rig->start = (struct wal_start){0, 1};
    rig->value_bytes = 100;
    rig->padding_parts = 1;
    event_init(&rig->returned_event);
    return rig;
}

int rig_recover(struct rig *rig)
{
    char why[256];
    memset(rig->replayed, 0, sizeof rig->replayed);
    rig->replayed_count = 0;
    struct wal_recovery_options options = {rig->directory, rig->start, rig_replay, rig,
                                           rig->named,     false,      rig->shard, 0};
    int rc = wal_recover(rig->reactor, &options, &rig->recovery, why, sizeof why);
    if (rc)
        fprintf(stderr, "wal_recover: %s\n", why);
    return rc;
}

/* Recovers and lets go again: looks at a directory without a change. */
void rig_look(struct rig *rig)
{
    CU_ASSERT_EQUAL_FATAL(rig_recover(rig), 0);
    wal_recovery_deinit(rig->reactor, &rig->recovery);
}

void rig_open(struct rig *rig)
{
    CU_ASSERT_EQUAL_FATAL(rig_recover(rig), 0);
    rig->named = (struct wal_named){{rig->recovery.used_segment}};
    struct wal_options options = {
        .directory = rig->directory,
        .segment_bytes = SEGMENT_BYTES,
        .writes_in_flight_max = rig->writes_in_flight_max,
        .padding_parts = rig->padding_parts,
        .deliver_items_max = rig->deliver_items_max,
        .on_prepared = on_prepared,
        .owner = rig,
        .retry_ns = rig->retry_ns ? rig->retry_ns : 5 * 1000 * 1000,
        .idle_ns = rig->idle_ns,
        .segments_max = rig->segments_max,
        .archive = rig->archive,
        .archive_patience_ns = 10ull * 1000 * 1000 * 1000,
        .shard = rig->shard,
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

void rig_close(struct rig *rig)
{
    reactor_set_turn_hook(rig->reactor, NULL, NULL);
    wal_close(rig->wal);
    rig->wal = NULL;
}

void rig_free(struct rig *rig)
{
    free(rig);
}

int rig_put(struct rig *rig, uint32_t n)
{
    static uint8_t value[VALUE_BYTES_MAX];
    static char key[64];
    struct record record = record_number(n, key, value, rig->value_bytes);
    struct engine_ticket ticket = {.words = {n}};
    return wal_append(rig->wal, &record, &ticket);
}

void rig_await(struct rig *rig, uint32_t returned)
{
    while (rig->returned < returned) {
        int rc = event_wait(rig->reactor, &rig->returned_event, 10ull * 1000 * 1000 * 1000);
        CU_ASSERT_EQUAL_FATAL(rc, 0);
    }
}

/* Puts `count` records from `first`, each in a log record of its own. */
void rig_put_singly(struct rig *rig, uint32_t first, uint32_t count)
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

bool rig_has_replayed(const struct rig *rig, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        if (rig->replayed[i] != 1)
            return false;
    return true;
}

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
struct place rig_place_of(struct rig *rig, uint64_t sequence)
{
    struct place place = {0};
    bool is_found = false;
    for (uint64_t segment = 1; segment < 40 && !is_found; segment++)
        is_found = place_in_file(rig, segment, sequence, &place);
    CU_ASSERT_FATAL(is_found);
    return place;
}

/* Writes beyond `bytes` of a file fail with EFBIG. RLIM_INFINITY lifts the limit. */
void rig_limit_files(rlim_t bytes)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void limit_descriptors(rlim_t count)
{
    struct rlimit limit;
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

void rig_take_descriptors(void)
{
    limit_descriptors(0);
}

void rig_give_descriptors(void)
{
    limit_descriptors(RLIM_INFINITY);
}

void rig_await_named(struct rig *rig, uint64_t id)
{
    for (int i = 0; i < 1000 && rig->named.ids[WAL_NAMED_MAX - 1] != id; i++)
        task_sleep(rig->reactor, 1000 * 1000);
    CU_ASSERT_EQUAL_FATAL(rig->named.ids[WAL_NAMED_MAX - 1], id);
}

/* Until the background task has the next segment ready. */
void rig_await_next_segment(struct rig *rig)
{
    uint64_t segments = 0;
    for (int i = 0; i < 1000 && segments < 2; i++) {
        task_sleep(rig->reactor, 1000 * 1000);
        segments = wal_counters(rig->wal).segments;
    }
    CU_ASSERT_EQUAL_FATAL(segments, 2);
}
