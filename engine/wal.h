/* wal.h - the write-ahead log of one shard.
 *
 * Entries gather in memory; wal_submit sends what has gathered as one log record, in one O_DIRECT durable
 * write, while fewer than `writes_in_flight_max` are under way and, beside one that is, no more than a
 * sixteenth of it would be padding. So a busy log batches and an idle one does not wait. A batch is
 * acknowledged when it and all before it are durable. The tail block is never rewritten.
 *
 *   append -> gathering --submit--> in flight --completion, in order--> on_durable -> buffer free again
 *
 * Segments are files `wal-<id, 16 hex digits>.log`. A background task prepares the next one ahead of use
 * (zero-filled, or one that truncation freed, renamed) and removes old ones. Ids and sequence numbers only
 * grow: they are never used twice, not even for writes that failed. docs/formats-engine.md has the bytes.
 *
 * Opening is in two steps, so that nothing on disk changes before all of it has succeeded: wal_recover reads,
 * wal_open begins to write. */
#ifndef ENGINE_WAL_H
#define ENGINE_WAL_H

#include "engine/engine.h"
#include "engine/entry.h"

struct wal;

/* Where the log that is still needed begins. The manifest keeps it; {0, 1} for a new shard. */
struct wal_start {
    uint64_t segment;  /* id of the first file needed; 0: nothing was written yet */
    uint64_t sequence; /* of the first log record needed; at least 1 */
};

/* The files of the log whose loss no other file would show: the one with the last durable record, the one
 * that is written to, and the next one. Ids; 0: none. The manifest keeps them from before a file is used. */
enum { WAL_NAMED_MAX = 3, WAL_WRITES_IN_FLIGHT_MAX = 16, WAL_SPARES_MAX = 16 };
struct wal_named {
    uint64_t ids[WAL_NAMED_MAX];
};

/* ---- recovery ---- */

enum { WAL_REPLAY_ENOUGH = 1 };

struct wal_recovery_options {
    const char *directory; /* of the shard; borrowed for the call */
    struct wal_start start;
    /* Called for every entry of the log in order, in the task that recovers; may wait. `sequence` is that of
     * its log record. The record's bytes live until it returns. Its entry passed a checksum. Returns: 0;
     * WAL_REPLAY_ENOUGH: nothing behind this record is asked for; an error, which ends the recovery. */
    int (*replay)(void *owner, const struct record *record, uint64_t sequence);
    void *owner;
    struct wal_named named; /* files that must be there, unless they are before the start */
    bool is_read_only;      /* nothing is written again: what is read is not served */
    uint32_t shard;         /* whose log it is, as in wal_format.h */
    /* Of the record before start.sequence, when that one was read elsewhere; 0: not known. */
    uint64_t previous_checksum;
};

struct wal_segment_info {
    uint64_t id;
    uint64_t bytes;          /* 0: not to be used again */
    uint64_t first_sequence; /* 0: never used, or unreadable */
    uint64_t end_bytes;      /* behind the last record that counts; 0: not known, or it is the last file */
};

struct wal_recovery {
    uint64_t last_sequence;     /* the last log record accepted; start.sequence - 1 when there is none */
    uint64_t last_checksum;     /* of it; 0 when there is none */
    uint64_t entries_sequence;  /* the last one accepted that had entries; 0 when there is none */
    uint64_t watermark;         /* the highest durable watermark found in an accepted one */
    uint64_t sequence_seen_max; /* on disk anywhere, cut and dropped ones too */
    uint64_t segment_id_max;    /* of all files there */
    uint64_t clock_max;         /* the highest version clock found */
    uint64_t record_count;      /* log records replayed */
    uint64_t entry_count;       /* entries replayed */
    uint64_t replayed_bytes;    /* of log, padding included */
    uint64_t torn_bytes;        /* cut at the end: never acknowledged */
    /* Damage in what was acknowledged; all zero when there is none. What could be saved was replayed. */
    uint64_t damaged_count;   /* stretches of log records lost in whole or part */
    uint64_t damaged_segment; /* the first of them: which file, and where */
    uint64_t damaged_offset;
    uint64_t salvaged_count;           /* entries saved from them */
    uint64_t missing_clock_bound;      /* no version that was lost has a higher clock */
    bool is_end_lost;                  /* the bound is no more than the present: nothing later is there */
    uint64_t missing_segment;          /* the first file that was named and is not there; 0: none */
    uint64_t used_segment;             /* the last file with a record; 0: none */
    bool keeps_unused;                 /* for wal_open: files without records may be named still */
    bool is_of_another_past;           /* it does not go on after previous_checksum, or parts before that */
    struct wal_segment_info *segments; /* all files by id, those before start.segment too; reactor_alloc'ed */
    uint32_t segment_count;
    struct wal_start start; /* as it was asked for */
};

/* Waits. Reads the log from `start`, verifies it and replays it. A torn tail is cut, damage is reported in
 * *out and not an error. Only what the disk's cache alone may hold is written again, in place, unchanged.
 * *out goes to wal_open or to wal_recovery_deinit. On error it needs no deinit. Returns: 0; TORC_E_CORRUPT
 * for a log of another past; TORC_E_DATA_FORMAT for another format version; -errno; what `replay` returned;
 * one line in `why`. */
MUST_CHECK int wal_recover(struct reactor *r, const struct wal_recovery_options *options,
                           struct wal_recovery *out, char *why, size_t why_bytes);
void wal_recovery_deinit(struct reactor *r, struct wal_recovery *recovery);

/* ---- writing ---- */

struct wal_item {
    struct engine_ticket ticket;
    uint32_t offset;  /* of its entry in the payload */
    bool is_answered; /* by wal_expire: its ticket is not to be handed back again */
};

/* One log record, or a portion of its items, on its way back. Valid until on_durable returns. */
struct wal_batch {
    /* 0: durable. Else not to be applied: TORC_E_STORAGE, TORC_E_DISK_FULL: nothing of it was written;
     * TORC_E_UNKNOWN: its write has failed, and a start may find it. */
    int result;
    uint64_t sequence;    /* meaningful when result is 0 */
    struct slice payload; /* all its entries, encoded, one after another */
    const struct wal_item *items;
    uint32_t item_count; /* 0 for the log's own watermark records */
    bool is_last;        /* with these all items of the log record are back */
    uint64_t submitted_ns;
    uint64_t durable_ns;
};

struct wal_options {
    const char *directory;  /* copied */
    uint64_t segment_bytes; /* 0 means 64 MiB; a multiple of 4 KiB, at least 64 KiB and a batch */
    uint32_t
        batch_bytes_max; /* payload of one log record; 0 means WAL_PAYLOAD_BYTES_MAX; no append is larger */
    uint32_t gather_bytes_max;     /* appended and not yet submitted; 0 means 16 MiB */
    uint32_t writes_in_flight_max; /* 0 means 2; at most WAL_WRITES_IN_FLIGHT_MAX */
    /* A write waits for those in flight while more than one byte in so many would be padding; 0 means 16; 1:
     * none waits for that. */
    uint32_t padding_parts;
    uint32_t deliver_items_max;  /* given back in one go, between which other work has its turn; 0: 128 */
    uint32_t spare_segments_max; /* kept for reuse after truncation; 0 means 2, WAL_SPARES_MAX is the most */
    uint32_t segments_max;       /* no new file beside so many; 0: somewhat fewer than a start takes */
    const char
        *archive; /* directory, below two that are made: closed files are copied to it. Copied; null: no */
    uint64_t archive_patience_ns; /* wal_close waits no longer for the archive; 0: without end */
    struct disk *disk;            /* whose share copies have; null: without limits */
    uint64_t idle_ns;             /* after so long without writes the watermark is written; 0 means 10 ms */
    uint64_t retry_ns;            /* how often a full disk is looked at again; 0 means 1 s */
    uint32_t shard;               /* whose log it is, as in wal_format.h */
    void *owner;
    /* In the order of the appends; may not wait, may call wal_append. Outside of any task, but
     * for what wal_close fails. */
    void (*on_durable)(void *owner, const struct wal_batch *batch);
    /* A ticket whose deadline has passed, from wal_expire; may not wait. Null when no ticket has one. */
    void (*on_late)(void *owner, const struct engine_ticket *ticket);
    /* Waits: makes it durable that these files are there; the last of them is used only after that. Returns:
     * TORC_E_DISK_FULL, and it is tried again; TORC_E_STORAGE, and it is not. May be null. */
    int (*on_prepared)(void *owner, const struct wal_named *named);
    /* An append that was refused may be tried again. In or out of a task; may not wait. May be null. */
    void (*on_room)(void *owner);
    /* As engine_options.on_event; may not wait. May be null. */
    void (*on_event)(void *owner, const char *event, const char *text);
};

/* Begins to write after what was recovered; takes recovery->segments over. Does not wait: the first segment
 * is made in the background, appends gather until it is there. Requires: the manifest is durable. Returns:
 * TORC_E_NO_MEMORY, TORC_E_OVERLOADED (no task); then recovery is untouched. */
MUST_CHECK int wal_open(struct reactor *r, const struct wal_options *options, struct wal_recovery *recovery,
                        struct wal **out);

/* Waits: submits what has gathered, until all is back through on_durable; writes the watermark; frees, but
 * after ENGINE_ARCHIVE_HANGING. */
enum engine_archived wal_close(struct wal *wal);
/* While it is closed: what that waits for. */
const char *wal_close_awaits(const struct wal *wal);

/* Copies the record into the gathering buffer. Returns: 0; TORC_E_OVERLOADED (on_room will tell);
 * TORC_E_DISK_FULL, for deletes last; TORC_E_STORAGE. On error the ticket is not kept. */
MUST_CHECK int wal_append(struct wal *wal, const struct record *record, const struct engine_ticket *ticket);

/* Sends what has gathered, as writes_in_flight_max and padding_parts allow. To be called once a turn: nothing
 * is submitted elsewhere. */
void wal_submit(struct wal *wal);

/* Hands the tickets of one log record whose deadline has passed to on_late; their entries go on. Returns:
 * there may be more. */
MUST_CHECK bool wal_expire(struct wal *wal, uint64_t now_ns);
/* The earliest deadline of a ticket that is out, or an earlier time; UINT64_MAX: none. */
uint64_t wal_deadline_ns(const struct wal *wal);
/* Tickets were handed to on_late whose entries are not durable yet, after a second or more: the disk hangs,
 * or the log is held back for long. A short deadline alone says neither. */
bool wal_is_late(const struct wal *wal);

/* Waits: until something was written since wal_open: a record without entries, if nothing else is. What was
 * recovered ends there for every later start. Returns: 0; TORC_E_DISK_FULL, TORC_E_STORAGE,
 * TORC_E_NO_MEMORY. */
MUST_CHECK int wal_begin(struct wal *wal);

/* The start to put into the manifest when all log records below `sequence` are no longer needed. `sequence`
 * may be one that is yet to be written: last durable sequence + 1. */
struct wal_start wal_start_at(const struct wal *wal, uint64_t sequence);

/* Segments before start.segment are recycled or removed in the background. Requires: the manifest with this
 * start is durable. */
void wal_truncate(struct wal *wal, struct wal_start start);

uint64_t wal_sequence_durable(const struct wal *wal); /* the last one acknowledged */

/* ---- copies ---- */

/* Files from `segment` on stay as they are until the hold is released. The caller's memory. */
struct wal_hold {
    struct list link;
    uint64_t segment;
};
void wal_hold(struct wal *wal, struct wal_hold *hold, uint64_t segment);
void wal_release(struct wal *wal, struct wal_hold *hold);

/* The log goes on in another file soon, so that what there is can be archived. Without an archive, while no
 * next file is there, or while nothing in this one is acknowledged, it does nothing. */
void wal_retire_current(struct wal *wal);

/* Waits: until all that was appended before the call has its answer. Returns: 0; TORC_E_CANCELLED when
 * *is_cancelled comes true; TORC_E_TIMEOUT when the log does not get on for 30 s. */
MUST_CHECK int wal_settle(struct wal *wal, const bool *is_cancelled);

/* Where what is acknowledged ends. */
struct wal_end {
    uint64_t segment;  /* before the first record since the start: the last file that recovery found */
    uint64_t offset;   /* in it, behind the last record; 0: all of it counts */
    uint64_t sequence; /* of the last record */
    uint64_t checksum; /* of it; 0: not known */
};
struct wal_end wal_end(const struct wal *wal);

struct copy_options;
struct copied;

/* A file of the log, and how much of it counts now. */
struct wal_extent {
    uint64_t id;
    uint64_t bytes; /* 0: all that is there */
};
/* The files from `segment` on that hold what is acknowledged. Owns: the caller frees *out. Returns: 0 or
 * TORC_E_NO_MEMORY, and *out is null. */
MUST_CHECK int wal_extents(const struct wal *wal, uint64_t segment, struct wal_extent **out, uint32_t *count);
/* Waits. copy_file of such a file without what was never used of it. Sets what of it is copied; the rest of
 * the options is the caller's. */
MUST_CHECK int wal_extent_copy(struct reactor *r, const struct wal_extent *x, struct copy_options *options,
                               struct copied *out);

/* Bytes of log, padding included: what was replayed at open plus what was submitted since. Differences tell
 * how much log a memtable needs. */
uint64_t wal_bytes(const struct wal *wal);

/* 0, or the error with which appends are refused now: TORC_E_DISK_FULL, TORC_E_STORAGE. */
int wal_refusal(const struct wal *wal);
/* There is no room for the next file: what is left of the present one is for deletes. */
bool wal_is_out_of_room(const struct wal *wal);

struct wal_counters {
    uint64_t writes; /* log records, watermark records too */
    uint64_t bytes;  /* written, padding included */
    uint64_t entries;
    uint64_t watermarks; /* records without entries */
    uint64_t failed_writes;
    uint64_t refusals;      /* appends refused with DISK_FULL */
    uint64_t segments;      /* files now, spare ones included */
    uint64_t kept_segments; /* of them: not needed, and kept for a copy or until they are archived */
    uint64_t archived;      /* files */
    uint64_t archived_bytes;
    uint64_t recycled;       /* segments used again */
    uint64_t gathered_bytes; /* now */
    uint64_t buffer_bytes;   /* of memory for what gathers and what is written; it stays */
};
struct wal_counters wal_counters(const struct wal *wal);
uint64_t wal_gathered_bytes(const struct wal *wal); /* now */

#endif
