/* engine_internal.h - the parts of an engine, for the files that make it up.
 *
 *   engine.c      open, close, writes                 tables.c      the set of tables that reads see
 *   recover.c     from the disk's state to a memtable  merge.c       many sorted sources as one
 *   read.c        point reads                         cursor.c      scans
 *   build.c       from a merge to tables that count   values.c      value logs; values_build.c: of a table
 *                                                   in the making; values_read.c: of readers
 *   flush.c       frozen memtables to tables          compaction*.c tables to fewer tables
 *   scrub.c       reads all tables again and again
 *   loss.c        what was lost is given up           disk.c        the share of background work in the disk
 *
 * Two background tasks at most: one flushes, one compacts. Both end when nothing is left to do and are
 * started again when there is. */
#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include "engine/cache.h"
#include "engine/disk.h"
#include "engine/engine.h"
#include "engine/manifest.h"
#include "engine/memtable.h"
#include "engine/pace.h"
#include "engine/row_cache.h"
#include "engine/scrub.h"
#include "engine/tables.h"
#include "engine/values.h"
#include "engine/wal.h"

enum {
    ENGINE_PATH_MAX = 4096,
    FROZEN_KEPT_MAX = 4,    /* with so many waiting to be flushed the log is held back */
    FROZEN_COUNT_MAX = 256, /* recovery may make more */
    RETRY_NS = 1000000000,  /* after a full disk */
    ENGINE_APPLY_MAX = 16,  /* records put together */
};

struct frozen {
    struct memtable *memtable;
    uint64_t last_sequence; /* of the log: all its records are at or before this one */
};

/* Where merges into the bottom are on their way through the keys, round after round; compaction.h. */
struct round {
    bool is_of_idleness; /* begun when nothing was written: while that lasts it goes on to the end of keys */
    uint32_t fragments;  /* ever */
    struct record_key position;                    /* all zeros: before all keys */
    uint8_t key[KEY_BYTES_MAX + SUBKEY_BYTES_MAX]; /* its bytes */
};

/* Tables are looked at by number, and those that are not whole are written anew; compaction_lost.c. */
struct giving_up {
    bool is_on; /* engine_accept_loss waits for it */
    bool is_done;
    uint64_t next_number; /* tables below it were looked at */
    uint64_t end_number;  /* from it on they are new; 0: it has not begun */
    uint32_t fails;       /* in a row */
};

/* What was told of one of the two. */
struct background {
    const char *name;
    bool has_told; /* that it fails, and not yet that it does again */
};

struct engine {
    struct reactor *reactor;
    struct engine_options options; /* defaults filled in; directory is our copy */
    char *directory;
    uint64_t seed;
    uint32_t batch_bytes_max; /* of a log record */
    uint32_t gather_bytes_max;
    struct disk *disk;
    struct manifest *manifest;
    struct cache *cache; /* of blocks */
    struct row_cache *rows;
    struct values *values;
    struct wal *wal; /* null once it is closed */

    struct memtable *active;
    uint64_t active_log_begin;              /* wal_bytes when it began */
    uint64_t last_sequence;                 /* of the log, applied */
    struct frozen frozen[FROZEN_COUNT_MAX]; /* oldest first */
    uint32_t frozen_count;
    struct table_set *tables;
    struct list views;            /* open ones */
    struct list graveyard;        /* table_refs that nobody holds: to be closed and their files removed */
    uint64_t older_clock_max;     /* highest version clock outside of the active memtable */
    uint64_t recovered_clock_max; /* highest found at the start */
    uint64_t quarantine_clock;    /* as in the manifest; 0: nothing is missing */

    struct event flush_wake; /* a flush or a compaction that waits before it tries again */
    struct event compaction_wake;
    struct scrub scrub;
    bool is_flushing; /* the task is alive */
    bool is_compacting;
    bool is_burying;
    bool is_closing;
    uint32_t snapshot_count; /* begun and not ended */
    bool is_accepting;       /* engine_accept_loss is under way */
    struct giving_up giving_up;
    uint64_t values_given_up;
    bool is_failed; /* the manifest cannot be written any more: no flush, no compaction */
    struct background flushing;
    struct background compacting;
    struct round round;
    bool is_room_turn; /* after a round or many fragments: what makes room is next, however much is due */
    uint32_t expired_place;       /* among the tables: where the last look for expired ones ended */
    uint64_t flushed_entry_bytes; /* the usual length of an entry in the last flush; 0: not known */
    struct pace pace;
    struct timer hold_timer; /* wakes the loop when the log is held back no more */
    uint64_t hold_until_ns;  /* the piece of a pause that goes on */
    uint64_t hold_owed_ns;   /* pieces to come */
    uint64_t held_ingested;  /* of pace.ingested, what the log was held back for */
    struct timer look_timer;
    uint64_t looked_ingested; /* pace.ingested at the last look */
    bool is_idle;    /* next to nothing was written for a while: what is below the trigger is merged, too */
    bool is_pressed; /* memory is short */
    bool has_told_memtable; /* that there is no memory for one, and not yet that there is none again */
    bool is_out_of_room;    /* the last flush found the disk full */
    bool is_room_short;     /* the last merge does not fit on the disk */
    struct event closed;    /* close waits for the tasks */

    struct engine_counters counters;
};

void engine_tell(struct engine *e, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void engine_table_path(const struct engine *e, uint64_t number, char path[ENGINE_PATH_MAX]);
/* Closes the active memtable for writing and begins a new one. Returns: TORC_E_NO_MEMORY, and nothing has
 * changed. */
MUST_CHECK int engine_freeze(struct engine *e, uint64_t last_sequence, uint64_t log_bytes);
/* Puts encoded entries, verified or made in this process, into the active memtable; at most ENGINE_APPLY_MAX.
 * Each result is that of memtable_put. */
void engine_apply(struct engine *e, const uint8_t *const *entries, uint32_t count, int *results);
/* Freezes the active memtable when it or the log is full and there is a place for it; starts the flush. */
void engine_freeze_if_full(struct engine *e);
/* older_clock_max after frozen memtables or tables have changed. */
void engine_refresh_clock(struct engine *e);

/* The log, when recovery has read it; takes *recovery over when it returns 0. */
MUST_CHECK int engine_open_wal(struct engine *e, struct wal_recovery *recovery);

/* recover.c. Waits. */
MUST_CHECK int engine_recover(struct engine *e, char *why, size_t why_bytes);

/* flush.c, compaction.c: start the task if there is work and it does not run. */
void engine_wake_flush(struct engine *e);
void engine_wake_compaction(struct engine *e);
/* Starts the timer that looks whether anything is written, if it does not run. */
void engine_look_later(struct engine *e);
/* The table has a bad block. Merges leave it alone from the next one on: the one under way has planned with
 * it, and a run that were damaged in the midst of that would be passed over as a whole. */
void engine_suspect_table(struct engine *e, uint64_t number);
/* pace.merge_debt after the tables or the round have changed. */
void compaction_refresh_debt(struct engine *e);

/* build.c: a commit of the manifest is done. What only its older copy needed of log and tables goes. */
void engine_manifest_changed(struct engine *e);

/* tables.c: closes and removes what is in the graveyard, in a task. */
void engine_wake_burial(struct engine *e);

/* A background task has ended. */
void engine_task_over(struct engine *e);

/* ---- view.c ---- */

/* A new memtable takes writes: it is part of the views that are not fixed yet. */
void engine_views_begin_memtable(struct engine *e, struct memtable *m);

struct merge;
struct table_set *engine_view_tables(const struct engine_view *v);
uint64_t engine_view_now_ms(const struct engine_view *v);
uint32_t engine_view_memtables(const struct engine_view *v);
/* Adds the memtables to a merge, which shows their versions up to the view's clock. */
void engine_view_add_sources(const struct engine_view *v, struct merge *m, uint16_t vnode_first,
                             uint32_t vnode_end);

#endif
