/* log_fuzz.c - the segments of a log: recovery over files with any bytes, and the log that goes on after
 * them.
 *
 *   input: | u8 switches | u8 first segment, and one that must be there | u8 first sequence | image of the
 * segments 1 to 4 |
 *
 * Recovery gives the same answer twice. What it replays is within the limits of a record and never goes back
 * in sequence. A log that goes on after it has the new record last; if it was whole, all of
 * that again before it. */
#include "test/fuzz/image.h"
#include "test/fuzz/node.h"

#include "engine/entry.h"
#include "engine/wal.h"
#include "engine/wal_format.h"

#include <stdio.h>
#include <stdlib.h>

enum switches {
    OWN = 2,      /* records name their segment, its epoch, and their place in it */
    CHAINED = 4,  /* and the checksum of the one before */
    ENTRIES = 8,  /* checksums of entries are made right, too */
    GOES_ON = 16, /* the log is opened and written to */
};

enum {
    FRONT_BYTES = 3,
    PATH_BYTES = 64,
    SEGMENT_BYTES = 64 << 10,
    BATCH_BYTES_MAX = 16 << 10,
    AT_ID = 8, /* of a segment header */
    AT_SEGMENT_CHECKSUM = WAL_SEGMENT_HEADER_BYTES - 8,
    AT_PAYLOAD_BYTES = 8, /* of a record header */
    AT_BLOCK = 12,
    AT_SEGMENT = 16,
    AT_EPOCH = 24,
    AT_PREVIOUS = 48,
    AT_PAYLOAD_CHECKSUM = 64,
    AT_RECORD_CHECKSUM = WAL_RECORD_HEADER_BYTES - 8,
};

/* ---- checksums made right ---- */

static void mend_entries(uint8_t *payload, size_t bytes)
{
    struct record record;
    size_t consumed;
    while (entry_decode(slice_of(payload, bytes), &record, &consumed) == 0) {
        uint8_t *copy = fuzz_copy(slice_of(payload, consumed));
        entry_decode_trusted(copy, &record);
        record.checksum = entry_checksum(&record.key, record.value);
        entry_encode(payload, &record);
        free(copy);
        payload += consumed;
        bytes -= consumed;
    }
}

/* Returns: the bytes of the record in the file. */
static size_t mend_record(uint8_t *record, size_t left, uint8_t switches, uint64_t *previous)
{
    size_t payload_bytes = load_u32le(record + AT_PAYLOAD_BYTES);
    if (payload_bytes <= left - WAL_RECORD_HEADER_BYTES) {
        uint8_t *payload = record + WAL_RECORD_HEADER_BYTES;
        if (switches & ENTRIES)
            mend_entries(payload, payload_bytes);
        store_u64le(record + AT_PAYLOAD_CHECKSUM, wal_payload_checksum(payload, payload_bytes));
    } else {
        payload_bytes = 0;
    }
    if (switches & CHAINED)
        store_u64le(record + AT_PREVIOUS, *previous);
    *previous = checksum_bytes(record, AT_RECORD_CHECKSUM);
    store_u64le(record + AT_RECORD_CHECKSUM, *previous);
    return wal_record_bytes(payload_bytes);
}

static void mend_segment(uint8_t *file, size_t bytes, uint64_t id, uint8_t switches, uint64_t *previous)
{
    if (bytes < WAL_BLOCK_BYTES)
        return;
    bool has_header = load_u32le(file) == WAL_SEGMENT_MAGIC;
    if (has_header && (switches & OWN))
        store_u64le(file + AT_ID, id);
    if (has_header)
        store_u64le(file + AT_SEGMENT_CHECKSUM, checksum_bytes(file, AT_SEGMENT_CHECKSUM));
    for (size_t at = WAL_BLOCK_BYTES; at + WAL_BLOCK_BYTES <= bytes;) {
        uint8_t *record = file + at;
        size_t step = WAL_BLOCK_BYTES;
        if (load_u32le(record) == WAL_RECORD_MAGIC) {
            if (switches & OWN) {
                store_u64le(record + AT_SEGMENT, id);
                store_u32le(record + AT_BLOCK, (uint32_t)(at / WAL_BLOCK_BYTES));
                memcpy(record + AT_EPOCH, file + AT_ID + 8, 8);
            }
            step = mend_record(record, bytes - at, switches, previous);
        }
        at += step;
    }
}

/* ---- recovery ---- */

static const char new_key[] = "new";

struct replayed {
    uint64_t hash; /* of all records and their sequences, in order */
    uint64_t count;
    uint64_t sequence; /* the last one */
    bool has_new_last; /* the last record is the one that go_on appends */
    struct wal_recovery recovery;
};

struct run {
    struct image image;
    struct wal_start start;
    struct wal_named named;
    uint8_t switches;
    struct event is_durable;
    struct reactor *r;
    struct wal *wal; /* null unless it is open */
};

static void segment_path(char path[PATH_BYTES], uint64_t id)
{
    char name[WAL_NAME_BYTES];
    wal_segment_name(name, id);
    snprintf(path, PATH_BYTES, FUZZ_DIRECTORY "/%s", name);
}

static int take_record(void *owner, const struct record *record, uint64_t sequence)
{
    struct replayed *all = owner;
    const struct record_key *k = &record->key;
    ASSERT(k->key.bytes >= 1 && k->key.bytes <= KEY_BYTES_MAX && k->subkey.bytes <= SUBKEY_BYTES_MAX);
    ASSERT(record->value.bytes <= VALUE_BYTES_MAX && k->vnode <= ENTRY_VNODE_MAX);
    ASSERT(sequence >= all->sequence);
    all->hash = XXH3_64bits_withSeed(k->key.data, k->key.bytes, all->hash ^ sequence);
    if (record->value.bytes)
        all->hash = XXH3_64bits_withSeed(record->value.data, record->value.bytes, all->hash);
    all->sequence = sequence;
    all->has_new_last = slice_equal(k->key, slice_of_string(new_key));
    all->count++;
    return 0;
}

/* Returns: whether it came to an end with an answer; *out is then for wal_open or wal_recovery_deinit. */
static bool recover(struct run *run, struct replayed *out)
{
    char why[256];
    struct wal_recovery_options options = {.directory = FUZZ_DIRECTORY,
                                           .start = run->start,
                                           .replay = take_record,
                                           .owner = out,
                                           .named = run->named};
    *out = (struct replayed){0};
    int rc = wal_recover(run->r, &options, &out->recovery, why, sizeof why);
    const struct wal_recovery *found = &out->recovery;
    if (rc) {
        ASSERT(rc == TORC_E_DATA_FORMAT && why[0]);
        return false;
    }
    ASSERT(found->last_sequence >= run->start.sequence - 1 &&
           found->last_sequence <= found->sequence_seen_max);
    ASSERT(found->entry_count + found->salvaged_count >= out->count);
    for (uint32_t i = 1; i < found->segment_count; i++)
        ASSERT(found->segments[i - 1].id < found->segments[i].id);
    return true;
}

static bool is_same(const struct replayed *a, const struct replayed *b)
{
    struct wal_recovery x = a->recovery, y = b->recovery;
    x.missing_clock_bound = y.missing_clock_bound = 0; /* may be the present time */
    return a->hash == b->hash && a->count == b->count &&
           memcmp(&x, &y, offsetof(struct wal_recovery, segments)) == 0;
}

/* ---- the log goes on ---- */

static void on_durable(void *owner, const struct wal_batch *batch)
{
    struct run *run = owner;
    ASSERT(batch->result == 0);
    if (batch->item_count)
        event_set(run->r, &run->is_durable, 0);
}

static void on_turn(void *context)
{
    struct run *run = context;
    wal_submit(run->wal);
}

static void open_log(struct run *run, struct wal_recovery *recovery)
{
    struct wal_options options = {.directory = FUZZ_DIRECTORY,
                                  .segment_bytes = SEGMENT_BYTES,
                                  .batch_bytes_max = BATCH_BYTES_MAX,
                                  .on_durable = on_durable,
                                  .owner = run};
    int rc = wal_open(run->r, &options, recovery, &run->wal);
    ASSERT(rc == 0);
    reactor_set_turn_hook(run->r, on_turn, run);
}

static void close_log(struct run *run)
{
    wal_close(run->wal);
    reactor_set_turn_hook(run->r, NULL, NULL);
    run->wal = NULL;
}

static void append(struct run *run, struct slice key, struct slice value)
{
    static const struct engine_ticket ticket;
    struct record record = {.key = {.key = key}, .version = {.clock = 1}, .value = value};
    record.checksum = entry_checksum(&record.key, value);
    event_init(&run->is_durable);
    int rc = wal_append(run->wal, &record, &ticket);
    if (rc == 0)
        rc = event_wait(run->r, &run->is_durable, EVENT_FOREVER);
    ASSERT(rc == 0);
}

static void go_on(struct run *run, struct replayed *before)
{
    struct replayed after;
    uint64_t count = before->count;
    bool is_whole = before->recovery.damaged_count == 0;
    open_log(run, &before->recovery);
    append(run, slice_of_string(new_key), slice_of(NULL, 0));
    close_log(run);
    bool has_recovered = recover(run, &after);
    ASSERT(has_recovered && after.has_new_last && (!is_whole || after.count == count + 1));
    wal_recovery_deinit(run->r, &after.recovery);
}

/* ---- the target ---- */

static void run_in_node(struct reactor *r, void *context)
{
    struct run *run = context;
    struct replayed first, second;
    char path[PATH_BYTES];
    run->r = r;
    for (unsigned i = 0; i < IMAGE_FILES; i++) {
        segment_path(path, i + 1);
        if (run->image.bytes[i])
            fuzz_write_file(r, path, slice_of(run->image.files[i], run->image.bytes[i]));
    }
    if (!recover(run, &first))
        return;
    bool has_recovered = recover(run, &second);
    ASSERT(has_recovered && is_same(&first, &second));
    wal_recovery_deinit(r, &second.recovery);
    if (run->switches & GOES_ON)
        go_on(run, &first);
    else
        wal_recovery_deinit(r, &first.recovery);
}

static void run(struct slice input)
{
    struct run run = {0};
    uint64_t previous = 0;
    if (input.bytes < FRONT_BYTES)
        return;
    run.switches = input.data[0];
    run.start =
        (struct wal_start){.segment = input.data[1] % (IMAGE_FILES + 1), .sequence = input.data[2] + 1u};
    run.named.ids[0] = input.data[1] >> 5;
    image_decode(&run.image, slice_of(input.data + FRONT_BYTES, input.bytes - FRONT_BYTES));
    for (unsigned i = 0; (run.switches & FUZZ_CHECKSUMS) && i < IMAGE_FILES; i++)
        mend_segment(run.image.files[i], run.image.bytes[i], i + 1, run.switches, &previous);
    fuzz_run_node(run_in_node, &run);
    image_free(&run.image);
}

static size_t mutate(const struct fuzz_bytes *input, uint64_t seed)
{
    return image_mutate(input, FRONT_BYTES, seed);
}

/* ---- seeds ---- */

enum { SEED_BYTES_MAX = 512 << 10, SEED_VALUE_BYTES = 9000 };

struct seed {
    struct run run; /* first */
    unsigned records;
    uint8_t *input;
    size_t bytes;
};

/* Values of zeros: they take no room in an image. */
static void write_log(struct reactor *r, void *context)
{
    static const uint8_t zeros[SEED_VALUE_BYTES];
    struct seed *s = context;
    struct replayed nothing;
    s->run.r = r;
    bool has_recovered = recover(&s->run, &nothing);
    ASSERT(has_recovered);
    open_log(&s->run, &nothing.recovery);
    for (unsigned i = 0; i < s->records; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%u", i);
        append(&s->run, slice_of_string(key), slice_of(zeros, i % 3 == 2 ? 0 : sizeof zeros));
    }
    close_log(&s->run);
    for (unsigned i = 0; i < IMAGE_FILES; i++) {
        char path[PATH_BYTES];
        struct file *f = NULL;
        segment_path(path, i + 1);
        if (file_open(r, path, FILE_READ, &f) != 0)
            continue;
        file_close(r, f);
        size_t bytes;
        uint8_t *file = fuzz_read_file(r, path, &bytes);
        s->bytes = image_append(slice_of(file, bytes), i, s->input, s->bytes);
        reactor_free(r, file);
    }
}

static void seed(struct fuzz_seeds *to)
{
    static const struct {
        const char *name;
        unsigned records;
        uint8_t switches;
        uint8_t sequence;
    } rows[] = {
        {"one_record", 1, FUZZ_CHECKSUMS, 0},
        {"as_written", 3, 0, 0},
        {"two_segments", 12, FUZZ_CHECKSUMS | OWN, 0},
        {"chain_goes_on", 12, FUZZ_CHECKSUMS | OWN | CHAINED | GOES_ON, 0},
        {"starts_in_the_middle", 12, FUZZ_CHECKSUMS | OWN | CHAINED | ENTRIES | GOES_ON, 4},
        {"three_segments", 20, FUZZ_CHECKSUMS | GOES_ON, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct seed s = {.run.start.sequence = 1,
                         .records = rows[i].records,
                         .input = malloc(SEED_BYTES_MAX)};
        ASSERT(s.input);
        memcpy(s.input, (uint8_t[]){rows[i].switches, 1, rows[i].sequence}, FRONT_BYTES);
        s.bytes = FRONT_BYTES;
        fuzz_run_node(write_log, &s);
        fuzz_seed(to, rows[i].name, slice_of(s.input, s.bytes));
        free(s.input);
    }
}

const struct fuzz_target log_fuzz = {.name = "log", .run = run, .mutate = mutate, .seed = seed};
