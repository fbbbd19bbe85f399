/* engine.h - the storage of one shard.
 *
 * A write goes to the log; when its group commit is durable it is applied to the memtable and its ticket is
 * handed back. So the memtable holds durable records only and no read can see what a crash would take back.
 * Frozen memtables are flushed to SSTables, SSTables are merged by compaction, and the manifest says which
 * files count.
 *
 *   put -> log buffer -> (group commit, durable) -> memtable -> ticket done
 *                                                     | frozen at memtable_bytes, or when the log is too long
 *                                                     v
 *                                                  SSTable -> compaction -> SSTable
 *   get -> memtable -> frozen memtables, newest first -> SSTables, newest first, until none left can be newer
 *
 * An engine belongs to one core and is called by that core only. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "engine/cache.h"
#include "engine/record.h"
#include "reactor/reactor.h"

struct engine;

/* What the caller gets back for each write when it is durable. Opaque to the engine. */
struct engine_ticket {
    uint64_t words[3];
    uint64_t stamp_ns;    /* 0, or: this write is sampled, and engine_stage_times of it is asked for */
    uint64_t deadline_ns; /* of reactor_now_ns: engine_expire hands the ticket back after it; 0: none */
};

/* When a sampled write passed the stages of the log; nanoseconds of reactor_clock_ns. */
struct engine_write_times {
    uint64_t submitted_ns; /* its group went to the kernel */
    uint64_t durable_ns;   /* the kernel answered */
};

/* Outside of any task, once a put: in the order of the puts, but for those that engine_expire hands back with
 * TORC_E_TIMEOUT; such a write goes on and is applied when it is durable, without a word. `result`: 0;
 * TORC_E_SUPERSEDED: a newer version was held, nothing changed; TORC_E_TIMEOUT; TORC_E_STORAGE or
 * TORC_E_DISK_FULL: not written, not applied; TORC_E_UNKNOWN: not applied, but the next start may find it in
 * the log. `times` is null unless the ticket was stamped. */
typedef void engine_durable_fn(void *owner, const struct engine_ticket *ticket, int result,
                               const struct engine_write_times *times);

struct engine_options {
    const char *directory; /* of this shard alone; made when missing, its parent must exist */
    uint8_t vnode_bits;    /* b: the ring has 2^b vnodes; 0 to 14 */
    uint16_t vnode_first;  /* the vnodes of this shard: first to first + count - 1 */
    uint16_t vnode_count;
    uint64_t memtable_bytes; /* frozen at this size; 0 means 64 MiB */
    uint64_t log_bytes_max;  /* also frozen when the log since it began is longer; 0 means 512 MiB */
    /* Of one log file, whole 4 KiB; 64 KiB and a record at least. 0 means those of a memtable, rounded down
     * to a power of two, 4 to 64 MiB. */
    uint64_t segment_bytes;
    uint64_t cache_bytes; /* half for rows, half for blocks; 0 means 64 MiB */
    /* Merges begin a new table at this size, values in value logs included; 0: 64 MiB; 8 KiB to 2 GiB. */
    uint64_t table_bytes_max;
    uint32_t value_bytes_max; /* no larger value is put; 0 means VALUE_BYTES_MAX */
    /* Values of so many bytes and more go to value logs when a memtable is flushed; 0 means 2,048, UINT32_MAX
     * never. What is there already is read whatever this says. */
    uint32_t value_log_bytes_min;
    bool compresses_merges;   /* tables of merges are compressed by zstd; flushes are soon merged */
    uint64_t idle_merge_rate; /* bytes a second that are merged when nothing is written; 0: 128 MiB / cores */
    uint32_t runs_max;        /* with more those of a tier are merged; 0 means 40 */
    uint64_t removal_step_bytes;   /* of struct removal_pace */
    uint32_t log_writes_in_flight; /* at most; 0 means 2, 16 is the most */
    uint32_t log_padding_parts;    /* as wal_options.padding_parts */
    uint64_t scrub_interval_ms;    /* all tables are read once in so long; 0: never */
    uint32_t list_shared_min;      /* as in memtable_options; 0 means 128 */
    uint32_t apply_at_once;        /* durable writes applied without other work between; 0 means 128 */
    /* Files of the log are copied to DIR/log/<history> when they are full, before they are used again. The
     * directory is made, its parent is not; null or "": none. */
    const char *archive;
    uint64_t archive_patience_ns; /* engine_close waits no longer for it; 0: without end */
    engine_durable_fn *on_durable;
    void *owner;
    void (*on_room)(void *owner); /* puts refused with OVERLOADED may be tried again; may be null */
    /* One line for the operator about something worth knowing (a damaged log, a full disk). May be null. */
    void (*on_event)(void *owner, const char *event, const char *text);
};

/* Waits: recovers what the directory holds. Returns: TORC_E_DATA_FORMAT, TORC_E_CORRUPT (both manifests bad),
 * -errno, with one line in `why`. Nothing is changed on disk when it fails. */
MUST_CHECK int engine_open(struct reactor *r, const struct engine_options *options, struct engine **out,
                           char *why, size_t why_bytes);
/* What the archive has when an engine is closed. What it misses the next start copies. */
enum engine_archived {
    ENGINE_ARCHIVED,        /* all of the log, or there is no archive */
    ENGINE_ARCHIVE_BEHIND,  /* it cannot be written, or took longer than the patience */
    ENGINE_ARCHIVE_HANGING, /* the same, and its file system still has an operation of ours */
};
/* Waits: until all that was put is durable and its tickets are back. Tables in the making are dropped. After
 * ENGINE_ARCHIVE_HANGING memory and a task of the engine are still in use: the loop is to be stopped, and
 * what the options name lives until then. */
enum engine_archived engine_close(struct engine *e);
/* While it is closed: what of its files that waits for. */
const char *engine_close_awaits(const struct engine *e);

/* The highest version clock found on disk; a new stamp must be above it. */
uint64_t engine_version_clock_max(const struct engine *e);

/* ---- writes ---- */

/* Takes a record (a delete is a record with RECORD_TOMBSTONE) into the log buffer; its bytes are copied. The
 * ticket comes back through on_durable, never before this returns. Requires: record->key.vnode in range,
 * sizes within limits, the value within value_bytes_max. Returns: 0; TORC_E_OVERLOADED when the log buffer is
 * full; TORC_E_DISK_FULL, TORC_E_STORAGE. On error the ticket is not kept. */
MUST_CHECK int engine_put(struct engine *e, const struct record *record, const struct engine_ticket *ticket);

/* More than half of what the log buffer holds is waiting: the caller should take fewer requests. Not so when
 * writes wait beyond their deadline: then what finds no room is better refused than left waiting. */
bool engine_is_congested(const struct engine *e);

/* Hands back tickets whose deadline has passed, with TORC_E_TIMEOUT: those of one log record at most. Outside
 * of any task. Returns: there may be more. */
MUST_CHECK bool engine_expire(struct engine *e, uint64_t now_ns);
/* No ticket that is still out has an earlier deadline; UINT64_MAX: none has one. */
uint64_t engine_deadline_ns(const struct engine *e);

/* Sends what has gathered to the disk if fewer than two log writes are in flight; the turn hook calls it. */
void engine_submit(struct engine *e);

/* ---- reads ---- */

enum engine_answer {
    ENGINE_FOUND,  /* *out is filled: the newest record, alive */
    ENGINE_ABSENT, /* no such key, or deleted, or expired */
    ENGINE_WAITS,  /* a block or a value must come from the disk: call engine_get_wait from a task */
};

struct table_ref;

/* Where engine_get ended for want of a block, when nothing of the key was found before. Its fields are the
 * engine's own. */
struct engine_lead {
    uint64_t tables; /* number of the set of tables; 0: there is no lead */
    uint64_t hash;   /* for filters */
    const struct table_ref *table;
    uint32_t run;
    uint32_t block;
};

/* A key as reads want it: hashed once, with the seed of this engine. */
struct engine_key {
    struct record_key key;
    uint64_t hash;
    struct engine_lead lead;
};
void engine_key_init(const struct engine *e, struct engine_key *k, const struct record_key *key);

/* Two steps for a batch of gets: first touch the slots of all keys, then the entries, then get each. Both
 * only hints. */
void engine_prefetch_slot(const struct engine *e, const struct engine_key *k);
void engine_prefetch_entry(const struct engine *e, const struct engine_key *k);

/* When acknowledged writes were lost in a damaged log, a key answers TORC_E_UNKNOWN unless a version newer
 * than all that may be lost is held. No scan can be opened then: it might pass over keys of which nothing is
 * left, and nobody could tell. engine_accept_loss ends that.
 *
 * Where a block or a whole table is lost, keys of its range answer TORC_E_CORRUPT unless a version newer
 * than all of that table is held, and a scan ends with TORC_E_CORRUPT before the first key of it. Where a
 * value log is lost or damaged, just the keys with values there answer TORC_E_CORRUPT.
 *
 * Never waits. Returns: an enum engine_answer, or an error: TORC_E_CORRUPT, TORC_E_UNKNOWN, TORC_E_STORAGE.
 * The bytes of *out are the engine's and live until the caller waits or calls the engine again. The record's
 * checksum is verified. */
MUST_CHECK int engine_get(struct engine *e, struct engine_key *k, uint64_t now_ms, struct record *out);

/* Keeps the bytes of a record where they are: in the block cache, or in memory of its own. All zeros holds
 * nothing. */
struct engine_hold {
    struct cache_pin pin;
    void *buffer;
};

/* Waits. As engine_get, but never ENGINE_WAITS. It goes on where engine_get of this key has ended, unless the
 * tables have changed since: so what was put between the two calls may or may not be seen. With ENGINE_FOUND
 * the bytes of *out live until engine_release of *hold, which holds nothing otherwise. */
MUST_CHECK int engine_get_wait(struct engine *e, const struct engine_key *k, uint64_t now_ms,
                               struct record *out, struct engine_hold *hold);
void engine_release(struct engine *e, struct engine_hold *hold); /* *hold is zeroed */

/* ---- ordered scans ---- */

struct engine_cursor;
struct engine_view; /* engine/view.h */

enum { ENGINE_VNODE_END = 1 << 14 }; /* behind every vnode: `to` of a range without an end */

/* Records of [from, to), in order or from the largest key to the smallest. A key may be empty: the beginning
 * of its vnode. Borrowed for the call. */
struct engine_range {
    struct record_key from;
    struct record_key to;
    bool is_backward;
    bool is_keys_only; /* values need not be had, and may be empty in what comes */
    /* More dead records in a row than this, and engine_cursor_next comes back to say how far it is; 0: it
     * does not. */
    uint32_t dead_max;
    uint64_t now_ms;                /* what has expired by then is not seen */
    const struct engine_view *view; /* not null: of this moment, and its now_ms; outlives the cursor */
};

/* What engine_cursor_next says beside errors. */
enum engine_cursor_step {
    ENGINE_CURSOR_END = 0,
    ENGINE_CURSOR_RECORD = 1,
    ENGINE_CURSOR_DEAD = 2, /* no live record up to out->key, which is dead: call again to go on */
};

/* A cursor over live records. It sees each record that was live from open to close; records written meanwhile
 * may or may not be seen. Holds its tables until closed. Waits. Returns: 0; TORC_E_UNKNOWN after a loss;
 * TORC_E_CORRUPT, TORC_E_STORAGE, TORC_E_NO_MEMORY. */
MUST_CHECK int engine_cursor_open_range(struct engine *e, const struct engine_range *range,
                                        struct engine_cursor **out);
/* The same from `from` to the end of the shard. */
MUST_CHECK int engine_cursor_open(struct engine *e, const struct record_key *from, uint64_t now_ms,
                                  struct engine_cursor **out);
/* Waits. Returns: an enum engine_cursor_step, with *out valid until the next call on this cursor, or an
 * error. The range's end comes again and again, an error until a seek. */
MUST_CHECK int engine_cursor_next(struct engine_cursor *c, struct record *out);
/* Waits. Skips to the first record not below `to`, backward to the last one below it; never the other way.
 * After an error it begins anew there: a `to` behind what was given out last goes past the damage. */
MUST_CHECK int engine_cursor_seek(struct engine_cursor *c, const struct record_key *to);
void engine_cursor_close(struct engine_cursor *c);

/* ---- after a loss ---- */

/* The word of an operator that what was lost is given up: keys and scans that answered TORC_E_UNKNOWN for a
 * damaged log, or TORC_E_CORRUPT for a table or a block of one that cannot be read, answer with what is left
 * from now on; an older version, or one that was deleted since, may be among it. Keys whose values were in a
 * value log that is damaged or gone answer ABSENT, never with an older version.
 * Waits: until all value logs and tables are read, what is whole in damaged ones and memtables are in new
 * files, and the manifest has it. The caller closes the engine only when it is back. What it has not come to
 * is as it was, and is given up when it is called again. Returns: 0, also when nothing was lost, or when
 * tables could not be written anew: those stay as they were, which event loss_remains says;
 * TORC_E_OVERLOADED when it is under way already; TORC_E_DISK_FULL, TORC_E_STORAGE, TORC_E_NO_MEMORY,
 * TORC_E_CANCELLED. */
MUST_CHECK int engine_accept_loss(struct engine *e);

/* ---- to be taken apart ---- */

/* Waits: until all that was put and acknowledged is in tables, and the manifest knows them. Returns: 0;
 * TORC_E_DISK_FULL, TORC_E_STORAGE, TORC_E_NO_MEMORY, TORC_E_OVERLOADED. */
MUST_CHECK int engine_flush(struct engine *e);

/* The share of the disk that work in the background has: for copies of its files. */
struct disk;
struct disk *engine_disk(const struct engine *e);

/* ---- memory ---- */

/* The caches together shall have so much; options.cache_bytes is the most. What is above it goes with
 * engine_trim. */
void engine_resize_caches(struct engine *e, uint64_t bytes);
/* Gives some of it back. Outside of any task. Returns: there is more. */
MUST_CHECK bool engine_trim(struct engine *e);
/* While memory is short the memtable is frozen at a quarter of its size. */
void engine_press(struct engine *e, bool is_short);
/* What caches have now. */
uint64_t engine_cache_bytes(const struct engine *e);
/* What scans have now of sorted lists of the memtables. */
uint64_t engine_list_bytes(const struct engine *e);

/* ---- what it says ---- */

struct engine_counters {
    uint64_t puts;
    uint64_t gets;
    uint64_t gets_memtable;     /* answered from a memtable */
    uint64_t gets_table;        /* answered from tables */
    uint64_t table_block_reads; /* from disk, by gets */
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t row_cache_hits; /* answered without asking a table */
    uint64_t row_cache_misses;
    uint64_t row_cache_entries; /* now */
    uint64_t row_cache_bytes;   /* of memory now, as the next */
    uint64_t block_cache_bytes;
    uint64_t log_writes;
    uint64_t log_bytes;         /* written, padding included */
    uint64_t log_records;       /* puts in them */
    uint64_t log_buffer_bytes;  /* of memory */
    uint64_t log_segments;      /* files now */
    uint64_t log_segments_kept; /* of them: not needed, and kept for a copy or until they are archived */
    uint64_t log_archived;      /* files copied to the archive */
    uint64_t log_archived_bytes;
    uint64_t log_replayed_bytes; /* at the last open */
    uint64_t log_replay_ns;
    uint64_t memtable_bytes; /* active and frozen, all of it */
    uint64_t memtable_entries;
    uint64_t memtable_index_bytes;
    uint64_t flushes;
    uint64_t flushed_bytes;
    uint64_t compactions;
    uint64_t compacted_bytes;        /* written by merges */
    uint64_t compacted_tier_bytes;   /* of them into upper runs */
    uint64_t compacted_bottom_bytes; /* of them into the bottom */
    uint64_t rounds;                 /* through the bottom, begun */
    uint64_t expired_tables;         /* dropped unread, since all their records had expired */
    uint64_t expired_merges;         /* of single tables, since a good part of them had expired */
    uint64_t compaction_pause_ns;    /* that merges slept, since nothing was written that pays for them */
    uint64_t write_delays;           /* batches of the log after which writers were made to wait */
    uint64_t write_delay_ns;         /* of them all */
    uint64_t log_hold_turns;         /* of the loop in which the log waited for a flush: should not be */
    uint64_t merge_debt_bytes;       /* in upper runs that wait for a round, now */
    uint64_t merge_debt_limit_bytes; /* it stays below: before that writers are slowed to what merges bear */
    uint64_t merge_rate;             /* bytes a second, as measured */
    uint64_t flush_rate;
    uint64_t runs; /* of tables */
    uint64_t tables;
    uint64_t table_bytes;
    uint64_t table_pinned_bytes; /* filters and indexes */
    uint64_t value_files;        /* value logs */
    uint64_t value_bytes;        /* in them, garbage included */
    uint64_t value_live_bytes;
    uint64_t value_files_damaged; /* cannot be opened, or a value of theirs could not be read */
    uint64_t value_reads;         /* from disk, by gets and scans */
    uint64_t value_bytes_written; /* by flushes and merges */
    uint64_t value_bytes_moved;   /* of them, by merges out of files that are collected */
    uint64_t value_bytes_removed; /* of files that nothing pointed to any more */
    uint64_t user_bytes;          /* keys and values put */
    uint64_t tables_damaged;      /* of them: not merged, since they cannot be read, or not whole */
    uint64_t corruptions;         /* checksums that failed */
    uint64_t bad_rows;            /* of the row cache: went bad in memory, and were read again */
    uint64_t bad_blocks;          /* the same of the block cache */
    uint64_t disk_full_refusals;
    uint64_t scrub_passes; /* over all tables and value logs, since the start */
    uint64_t scrubbed_bytes;
    uint64_t scrub_pass_bytes; /* of them, in the present pass */
    uint64_t scrub_damages;    /* that scrubbing has found; one may be found again */
    uint64_t quarantined;      /* damaged stretches of the log known now */
};
struct engine_counters engine_counters(const struct engine *e);

#endif
