/* wal_internal.h - what the writing half of the log shares: wal.c gathers, submits and acknowledges;
 * wal_segments.c is its background task, which prepares segments ahead of use and closes, recycles and
 * removes old ones; wal_extents.c says what can be copied of it.
 *
 *            prepare              rotate                writes over           truncated
 *   (none) ----------> next ----------------> current -------------> retired ----------> spare or removed
 *                                                                                          |
 *                       ^------------------------ renamed ---------------------------------+
 *
 * All of it belongs to one core; the background task and the completions interleave only where that task
 * waits. */
#ifndef ENGINE_WAL_INTERNAL_H
#define ENGINE_WAL_INTERNAL_H

#include "engine/wal.h"
#include "engine/wal_format.h"

enum {
    WAL_PATH_BYTES_MAX = 4096,
    WAL_RECORD_AT = WAL_BLOCK_BYTES, /* in a buffer, behind the block for a segment header */
    WAL_PAYLOAD_AT = WAL_RECORD_AT + WAL_RECORD_HEADER_BYTES,
};

/* One file that is open for writing. */
struct wal_segment {
    struct list link; /* in wal.retired */
    struct file *file;
    uint64_t id;
    uint64_t epoch;
    uint64_t bytes;
    uint64_t offset; /* where the next record goes; 0: not even the header block was written */
    uint32_t in_flight;
};

/* One log record from its first append until its tickets are back. `memory` holds a block for a segment
 * header, a record header, and the payload. */
struct wal_buffer {
    struct list link; /* in wal.free, gathering, in_flight or delivering */
    struct file_operation op;
    struct wal *wal;
    uint8_t *memory;
    struct wal_item *items;
    uint32_t item_count;
    uint32_t item_capacity;
    uint32_t payload_bytes;
    uint32_t hashed_bytes; /* whole chunks of the payload that `checksum` covers */
    uint64_t checksum;
    struct wal_segment *segment;
    struct wal_record_header header;
    uint64_t opened_ns;
    uint64_t submitted_ns;
    uint64_t durable_ns;
    uint32_t delivered_count; /* items whose tickets are back */
    int result;               /* what they come back with */
    uint64_t deadline_ns;     /* no unanswered item has an earlier one; UINT64_MAX: none has one */
    bool has_late;            /* an item was answered by wal_expire */
    bool is_done;
};

struct wal {
    struct reactor *reactor;
    struct wal_options options;
    char *directory;

    /* The chain. `next_sequence` is above everything used; `chain_*` is the record the next one continues. */
    uint64_t next_sequence;
    uint64_t chain_sequence;
    uint64_t chain_checksum;
    uint64_t durable_sequence;
    uint64_t opened_sequence; /* the last one recovered */
    uint64_t durable_checksum;
    uint64_t watermark_durable; /* the highest watermark in a durable record */
    uint64_t entries_durable;   /* the last durable record that had entries */
    uint64_t clock_max;
    uint64_t log_bytes;

    struct list free;
    struct list gathering;
    struct list in_flight;
    struct list delivering; /* what became of them is known, their tickets are not all back; in order */
    uint32_t buffer_count;
    uint32_t buffer_count_max;
    uint32_t in_flight_count;
    uint64_t gathered_bytes;
    uint32_t late_count; /* buffers with has_late */

    struct wal_segment *current; /* null before the first and after a failure */
    struct wal_segment *next;    /* null while it is being prepared */
    struct list retired;
    struct wal_segment_info *infos; /* every used file by id; capacity is kept ahead by the background task */
    uint32_t info_count;
    uint32_t info_capacity;
    struct wal_segment_info spares[WAL_SPARES_MAX];
    uint32_t spare_count;
    uint64_t segment_id_max;
    uint64_t truncate_below; /* ids below may go, but for those held */
    struct list holds;
    char *archive;              /* directory; null: none */
    uint64_t archived_id;       /* files up to this one are in it */
    bool has_archive_directory; /* it is made */
    bool has_told_archive;      /* that it fails, and not yet that it does again */
    bool is_archive_stopping;
    bool is_archive_given_up;  /* at the end: there is no more time */
    bool is_archived;          /* at the end: all of it */
    struct event archive_work; /* the archiver waits for it */
    struct event archive_ended;
    struct wal_end end;        /* of what is acknowledged */
    uint64_t answered_entries; /* of counters.entries */

    bool is_delivering; /* on_durable is being called */
    bool is_failing;    /* a write failed; the others in flight are awaited */
    bool has_refused;   /* an append was refused as OVERLOADED */
    bool is_stopping;
    int refusal;
    int next_error;           /* why there is no next segment */
    int write_error;          /* of the write that failed */
    unsigned failures_in_row; /* without a durable write between */
    bool is_end_open;         /* a write behind `end` has failed, and none since is durable */

    struct timer deliver; /* runs while portions are left */
    struct timer idle;
    uint64_t retry_at_ns;  /* when a full disk is looked at again; 0: it is not */
    struct event work;     /* the background task waits for it */
    struct event ended;    /* set by the background task at its end */
    struct event progress; /* wal_close waits for it */
    struct wal_counters counters;
};

/* wal_segments.c */
MUST_CHECK int wal_segments_init(struct wal *wal, struct wal_recovery *recovery);
void wal_segments_run(struct reactor *r, void *argument); /* a task_fn; ends when is_stopping */
void wal_segments_wake(struct wal *wal);
/* Nothing more is written to `s`; it is closed when its writes are over. */
void wal_segment_retire(struct wal *wal, struct wal_segment *s);

bool wal_segment_is_open(const struct wal *wal, uint64_t id);

/* wal_archive.c */
void wal_archive_run(struct reactor *r, void *argument); /* a task_fn; ends when is_archive_stopping */
void wal_archive_wake(struct wal *wal);

/* wal_extents.c: what is acknowledged goes on in another file: no more of the last one will count. */
void wal_note_end(struct wal *wal);
struct wal_extent wal_extent_of(const struct wal *wal, const struct wal_segment_info *info);
/* Ids below are neither needed nor held. */
uint64_t wal_droppable_below(const struct wal *wal);

/* wal_delivery.c: gives back a record that is in no list any more. */
void wal_deliver(struct wal *wal, struct wal_buffer *b, int result);

/* wal.c */
void wal_buffer_release(struct wal *wal, struct wal_buffer *b); /* it is free again; it is in no list */
static inline const uint8_t *wal_buffer_payload(const struct wal_buffer *b)
{
    return b->memory + WAL_PAYLOAD_AT;
}
void wal_event(struct wal *wal, const char *event, const char *text);
void wal_room(struct wal *wal);
/* Starts the timer that writes the watermark, if one is owed. */
void wal_look_when_idle(struct wal *wal);

#endif
