/* values_read.h - the true values of records that point into value logs.
 *
 *   a get:            one read of the units around the value
 *   a scan, a merge:  a value_reader, with windows that read ahead
 *
 *   file 7:   ... | v | v | v | v | v | ...
 *                     |<- window ->|
 *
 * Values of a file stand in the order of keys, so whoever reads in that order goes through each file forward.
 * A window grows while its file is read in order, or backward, without large gaps; else it is one value.
 * What was read is compared with the pointer and verified by the record's own checksum each time. */
#ifndef ENGINE_VALUES_READ_H
#define ENGINE_VALUES_READ_H

#include "engine/disk.h"
#include "engine/values.h"

/* Memory of one value that was read. */
struct value_buffer {
    uint8_t *data;
    size_t capacity;
    size_t spare; /* bytes that stay free for the caller at the end: data + capacity - spare */
};
void value_buffer_deinit(struct reactor *r, struct value_buffer *b);

/* Waits. Reads the value of a record with RECORD_SEPARATED and makes it the whole record: its value points
 * into `buffer` until that is used again. Requires: a table_ref that points into the file is held (a reader
 * holds its set). Returns: TORC_E_CORRUPT when the value is not what was written, TORC_E_STORAGE,
 * TORC_E_NO_MEMORY; the record is as it was. */
MUST_CHECK int values_resolve(struct engine *e, struct record *record, struct value_buffer *buffer);

/* Part of a file. */
struct value_window {
    uint64_t file;  /* its number; 0: none */
    uint64_t begin; /* in it, whole units */
    uint64_t end;
    uint64_t ahead_bytes; /* of the last read */
    uint64_t used;        /* the reader's turn then */
    struct value_buffer buffer;
};

/* Caller's memory. A scan has 16 windows. A merge has up to 64: it goes through all the files that its tables
 * point into at once, and those without a window of their own are read value by value. */
struct value_reader {
    struct engine *engine;
    enum disk_class class;
    uint32_t window_count;
    uint64_t ahead_bytes_max;
    uint64_t turn;
    struct value_window *windows; /* null before the first value */
};

/* It holds twice ahead_bytes_max a window at most, and one value of the largest: for a scan 2 MiB, for a
 * merge (DISK_COMPACTION) as much as a memtable, 128 KiB at least and 32 MiB at most. */
void value_reader_init(struct value_reader *v, struct engine *e, enum disk_class class);
void value_reader_deinit(struct value_reader *v);
/* Waits sometimes. As values_resolve; the value lives until the next call. Also returns TORC_E_CANCELLED when
 * the engine closes and the reader is of the background. */
MUST_CHECK int value_reader_resolve(struct value_reader *v, struct record *record);

#endif
