/* wal_rig.h - one log under test, in a directory of its own.
 *
 * Records are numbered: number n has the key "key-n", version clock n and a ticket that says n. Tickets are
 * checked to come back in order. Recovery counts in `replayed`, by number. */
#ifndef TEST_ENGINE_WAL_RIG_H
#define TEST_ENGINE_WAL_RIG_H

#include "engine/wal.h"
#include "engine/wal_format.h"
#include "test/test.h"

#include <sys/resource.h>

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
    struct wal_named named;       /* as the manifest would keep them */
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
    uint32_t padding_parts;
    uint32_t deliver_items_max;
    uint32_t portions; /* of the log record that comes back now, with so many items and bytes till now */
    uint32_t portion_items;
    uint32_t portion_bytes;
    uint32_t portions_max; /* of one record */
    void (*on_portion)(struct rig *rig);
    uint64_t idle_ns;
    uint64_t retry_ns; /* 0: 5 ms */
    uint32_t segments_max;
    const char *archive; /* null: none */
    uint32_t shard;      /* whose log it is; 0: it does not say */
    struct event returned_event;
};

struct rig *rig_make(struct reactor *r); /* freed with rig_free */
void rig_free(struct rig *rig);

/* Recovers into rig->recovery; rig_look lets go of it again and so looks at a directory without a change. */
int rig_recover(struct rig *rig);
void rig_look(struct rig *rig);
int rig_replay(void *owner, const struct record *record, uint64_t sequence);
bool rig_has_replayed(const struct rig *rig, uint32_t first, uint32_t count); /* each of them once */

void rig_open(struct rig *rig);
void rig_close(struct rig *rig);
int rig_put(struct rig *rig, uint32_t n);
void rig_await(struct rig *rig, uint32_t returned);
/* Puts `count` records from `first`, each in a log record of its own. */
void rig_put_singly(struct rig *rig, uint32_t first, uint32_t count);
void rig_await_named(struct rig *rig, uint64_t id); /* until that file is named as the next one */
void rig_await_next_segment(struct rig *rig);       /* until the background task has it ready */

struct place {
    char path[512];
    uint64_t offset;
    struct wal_record_header header;
};

/* Where the log record with this sequence is on disk. */
struct place rig_place_of(struct rig *rig, uint64_t sequence);

/* Writes beyond `bytes` of a file fail with EFBIG. RLIM_INFINITY lifts the limit. */
void rig_limit_files(rlim_t bytes);
/* From now on this process can open no file, or as many as at its start. */
void rig_take_descriptors(void);
void rig_give_descriptors(void);

#endif
