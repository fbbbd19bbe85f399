/* table.h - SSTables: sorted, immutable files of records, each key at most once.
 *
 *   file:  | data blocks, 4 KiB each or runs of them | index | filter | footer, 4 KiB |
 *
 * A table is written in one go by a writer, in ascending order of record_key_compare, and read by point gets
 * and cursors. Index and filter are pinned in memory while it is open; data blocks come through the block
 * cache, or past it for long scans. Every block carries the number of its table, its place and a checksum, so
 * a write that was lost, torn or went elsewhere is found as well as a flipped bit; a bad block is
 * TORC_E_CORRUPT to whoever needs it and is never kept or served. The bytes are in table_format.h and
 * docs/formats-engine.md.
 *
 * Errors of all calls that wait: TORC_E_CORRUPT, TORC_E_STORAGE (the disk failed), TORC_E_DISK_FULL,
 * TORC_E_NO_MEMORY; with a share of a disk TORC_E_CANCELLED after disk_stop. */
#ifndef ENGINE_TABLE_H
#define ENGINE_TABLE_H

#include "engine/cache.h"
#include "engine/disk.h"
#include "engine/record.h"
#include "reactor/reactor.h"

struct table;
struct table_writer;

/* The hash of a key for filters: 64 bits of XXH3 over namespace, key and subkey, the same in every process.
 * Computed once per get. */
uint64_t table_key_hash(const struct record_key *key);

/* What is known of a table without reading its blocks. */
struct table_summary {
    uint64_t number;
    uint64_t bytes; /* of the file */
    uint64_t entries;
    uint64_t tombstones;
    uint64_t expiring;  /* entries with an expiry */
    uint64_t clock_min; /* version clocks of all entries; min > max when there is none */
    uint64_t clock_max;
    uint64_t expiry_min_ms; /* of the expiring entries; UINT64_MAX and 0 when none expires */
    uint64_t expiry_max_ms;
    uint64_t expiry_due_ms; /* when a quarter of the entries has expired, about; 0: never, or not known */
    uint64_t payload_bytes; /* keys, subkeys and values */
    /* Keys of the first and last entry; empty in an empty table. Borrowed from the writer or the table. */
    struct record_key smallest;
    struct record_key largest;
};

/* ---- writing ---- */

enum { TABLE_BLOCK_UNITS_MAX = 4 };

enum table_compression { TABLE_COMPRESSION_NONE = 0, TABLE_COMPRESSION_ZSTD = 1 };

/* In whose share of the disk a background task reads or writes. A null disk: no limit. */
struct disk_share {
    struct disk *disk;
    enum disk_class class;
};

struct table_writer_options {
    const char *path; /* borrowed for the call */
    uint64_t number;  /* of the table */
    /* Of a block, in units of 4 KiB, 1 to TABLE_BLOCK_UNITS_MAX; 0: 1. A get reads one block. Entries of,
     * say, 1,100 bytes waste a fifth of 4 KiB and 6 % of 8. */
    uint32_t block_units;
    /* Of the filter, in half bits a key, FILTER_BITS_X2_MIN to FILTER_BITS_X2_MAX; 0: the default, 10.5. */
    uint32_t filter_bits_x2;
    struct disk_share share;
    enum table_compression compression; /* of blocks; entries larger than a block stay as they are */
    uint64_t now_ms;                    /* as in struct table_expiry */
};

/* The block_units with the least waste for entries of `entry_bytes`, where a unit more, which every get reads
 * and the cache holds, must save 2.5 % of the space; 1 for entries that need runs anyway. */
uint32_t table_block_units_for(uint64_t entry_bytes);

/* Waits. Creates the file at o->path or empties the one that is there. Owns: the caller closes. */
MUST_CHECK int table_writer_open(struct reactor *r, const struct table_writer_options *o,
                                 struct table_writer **out);

/* Waits sometimes: when a piece of 256 KiB goes out; yields by itself. The record is copied. Returns:
 * TORC_E_CORRUPT when its key is not above that of the record before, since where it came from is not in
 * order then. After an error every later call returns it again. */
MUST_CHECK int table_writer_add(struct table_writer *w, const struct record *record);

/* As table_writer_add for a record that is there as an entry already: `entry` is all its bytes, as
 * table_cursor_entry gives them, and is copied as it is, checks included. Requires: `record` is what it
 * decodes to. */
MUST_CHECK int table_writer_add_entry(struct table_writer *w, const struct record *record,
                                      struct slice entry);

/* The bytes of the file if it were finished now, about: for splitting. */
uint64_t table_writer_bytes(const struct table_writer *w);

/* Waits. When it returns 0 the file is whole and durable; its name is not: sync the directory. The keys in
 * `*out` live until table_writer_close. */
MUST_CHECK int table_writer_finish(struct table_writer *w, struct table_summary *out);

/* Waits. Removes the file unless it was finished. Null is allowed. */
void table_writer_close(struct table_writer *w);

/* ---- a table ---- */

/* Waits. Reads and verifies footer, index and filter. `number` must be that in the file; `cache` outlives the
 * table. Returns: TORC_E_CORRUPT; TORC_E_DATA_FORMAT when the file is whole and of another version; -ENOENT
 * and its like. */
MUST_CHECK int table_open(struct reactor *r, struct cache *cache, const char *path, uint64_t number,
                          struct table **out);
/* Stands in for a table that cannot be opened, by what the manifest knows of it, so that nothing in its range
 * is silently absent: gets within its bounds and all cursors answer TORC_E_CORRUPT, outside of them it is
 * empty. The keys of `known` are copied. */
MUST_CHECK int table_stand_in(struct reactor *r, const struct table_summary *known, struct table **out);
/* From here on only keys of these vnodes are given out, and the bounds of the summary are within them: the
 * file holds keys of other shards, too. Its counts stay those of the whole file. Requires: no cursor of it;
 * the limits before, if any, are not narrower. */
void table_limit(struct table *t, uint16_t vnode_first, uint16_t vnode_last);
bool table_is_unreadable(const struct table *t); /* it is such a stand-in */
void table_close(struct table *t); /* Waits. Requires: no get, pin or cursor of it. Null is allowed. */

const struct table_summary *table_summary(const struct table *t);
uint64_t table_pinned_bytes(const struct table *t); /* index, filter and the rest, in memory */

struct table_counters {
    uint64_t gets;            /* that came past the filter */
    uint64_t filter_refusals; /* gets that the filter answered */
    uint64_t false_positives; /* gets that the filter let through in vain */
    uint64_t block_reads;     /* from disk, by gets and by seeks of scans */
    uint64_t cursor_reads;    /* from disk, by read-ahead */
    uint64_t cursor_read_bytes;
    uint64_t corruptions; /* blocks that were not what was written */
    uint64_t read_errors; /* reads that the disk failed */
};
struct table_counters table_counters(const struct table *t);
struct table_counters table_take_counters(struct table *t); /* and they begin at 0 again */

/* ---- point reads ---- */

enum table_answer {
    TABLE_FOUND, /* a record or a tombstone: the caller looks at flags and expiry */
    TABLE_ABSENT,
    TABLE_WAITS, /* the block is not in memory: call table_get or table_get_block from a task */
};

/* Returns: false when the key is certainly not in the table. No I/O. */
bool table_may_contain(const struct table *t, uint64_t hash);

/* What a get asks for; `hash` is the table_key_hash of the key. */
struct table_wanted {
    const struct record_key *key;
    uint64_t hash;
};

/* Never waits. Asks the filter first. Returns: an enum table_answer; of a stand-in TORC_E_CORRUPT. `*out`
 * points into the cache and lives until the caller waits or cache_read is called by anyone. The record's own
 * checksum is the caller's to verify (entry_verify); the header of its entry was. With TABLE_WAITS `*block`
 * is the number of the block that is not in memory, or was found bad there and is not any more. */
MUST_CHECK int table_get_cached(struct table *t, struct table_wanted wanted, struct record *out,
                                uint32_t *block);

/* Waits. As table_get_cached, reading the block if need be, and once more when it is bad and was in memory
 * before; never TABLE_WAITS. When found, `*out` lives until cache_unpin of `*pin`; otherwise `*pin` is a pin
 * of nothing. */
MUST_CHECK int table_get(struct table *t, const struct record_key *key, uint64_t hash, struct record *out,
                         struct cache_pin *pin);
/* Waits. As table_get, without another look at filter and index: `block` is what table_get_cached gave. */
MUST_CHECK int table_get_block(struct table *t, struct table_wanted wanted, uint32_t block,
                               struct record *out, struct cache_pin *pin);

/* For a record whose checksum is wrong: is it in a block of the cache, that block is read again by whoever
 * needs it next. Its key is the one it was asked for. */
void table_forget(struct table *t, const struct record *record);

/* ---- in order ---- */

enum table_cursor_mode {
    TABLE_CURSOR_SCAN, /* a user's: begins with one block through the cache, then reads ahead more and more */
    TABLE_CURSOR_BULK, /* compaction, streaming, scrubbing: large reads from the start, past the cache */
};

/* Some blocks of a file, one after the other. All in units of CACHE_UNIT_BYTES. */
struct table_window {
    uint8_t *memory;
    uint32_t capacity;
    uint32_t position; /* in the file */
    uint32_t units;
};

/* The window after it, being read; table_ahead.h. */
struct table_ahead {
    struct reactor *reactor;
    struct disk_share share;
    struct table_window window;
    struct file_operation op;
    struct event done;
    bool is_reading;
};

/* What a cursor has passed over since it was told to give up what cannot be read (table_cursor_give_up). A
 * block or an entry counts once, also when the cursor is sought back to before it. */
struct table_losses {
    uint64_t blocks;
    uint64_t bytes;       /* of these blocks, in the file */
    uint64_t records;     /* entries of other blocks */
    uint16_t vnode_first; /* their keys are of these vnodes */
    uint16_t vnode_last;
    uint64_t counted;      /* behind the last one: block << 16 | entry */
    uint16_t vnode_before; /* of the record given out last */
    bool is_open;          /* no record was given out since the last one: vnode_last is that of the table */
};

/* Caller's memory, which does not move between the calls. Its fields are the cursor's own. */
struct table_cursor {
    struct table *table;
    enum table_cursor_mode mode;
    struct disk_share share;      /* set after init, if at all: of what is read past the cache */
    const struct record_key *end; /* the same; merge_read_until says what it means. Null: all is wanted */
    uint32_t end_units;           /* where the block of `end` ends; 0: not looked up yet */
    struct table_window window;
    struct table_ahead ahead; /* of TABLE_CURSOR_BULK */
    uint32_t ahead_units;     /* of the next read */
    uint32_t block;           /* number of the current block */
    uint32_t entry;           /* in it, the next to be given out by table_cursor_next */
    uint32_t entry_count;     /* in it; 0 when it is not there yet */
    bool is_fresh;            /* the current block came from the disk for this cursor and was verified then */
    bool is_stale;            /* it was in the cache before: it may have gone bad there */
    uint32_t given;           /* the entry given out last */
    const uint8_t *data;      /* the current block, as it is in memory */
    uint32_t data_units;
    struct table_window copy;        /* memory for a block out of the cache or unpacked */
    struct table_unpacker *unpacker; /* of a compressed table, once it was needed */
    struct slice latest;             /* the entry given out last */
    struct table_losses *losses;     /* not null: of table_cursor_give_up */
    int error;                       /* sticks until a seek */
};

/* Stands before the first record. No I/O. */
void table_cursor_init(struct table_cursor *c, struct table *t, enum table_cursor_mode mode);
/* Waits, of TABLE_CURSOR_BULK: for what is being read. */
void table_cursor_deinit(struct table_cursor *c);

/* From here on it passes over what cannot be read instead of ending with an error: blocks that are not as
 * they were written, or that the disk fails three times, and in other blocks entries that are not whole.
 * `*losses` says what that was and lives as long as the cursor. Requires: TABLE_CURSOR_BULK, forward; the
 * table is not a stand-in. */
void table_cursor_give_up(struct table_cursor *c, struct table_losses *losses);

/* Waits. Stands before the first record whose key is not below `key`, wherever it stood. */
MUST_CHECK int table_cursor_seek(struct table_cursor *c, const struct record_key *key);

/* Waits sometimes. Returns: 1 with *out valid until the next call on this cursor, 0 at the end (again and
 * again), or an error, which comes again until a seek: nothing is skipped. Yields by itself. */
MUST_CHECK int table_cursor_next(struct table_cursor *c, struct record *out);

/* The bytes of the record that was given out last, all of its entry. Requires: the call before on this cursor
 * was table_cursor_next or table_cursor_previous and returned 1. Valid as long as that record. */
static inline struct slice table_cursor_entry(const struct table_cursor *c)
{
    return c->latest;
}

/* Waits. Of the record that was given out last, when it is of a block that was in the cache before: what the
 * disk has of it. Returns: 1 with *out as of table_cursor_next; 0 when that is what was given out; or an
 * error. */
MUST_CHECK int table_cursor_read_again(struct table_cursor *c, struct record *out);

/* Waits. Stands behind the last record whose key is below `key`, wherever it stood; null: behind the last
 * record of all. table_cursor_previous gives that record, table_cursor_next the one after it. */
MUST_CHECK int table_cursor_seek_before(struct table_cursor *c, const struct record_key *key);

/* Waits sometimes. As table_cursor_next in the other direction: after a call of next it gives the same record
 * once more, and the other way round. Returns: 0 at the beginning. */
MUST_CHECK int table_cursor_previous(struct table_cursor *c, struct record *out);

#endif
