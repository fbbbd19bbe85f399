/* values_read.h - the true values of records that point into value logs.
 *
 *   a get:            one read of the units around the value
 *   a scan, a merge:  a value_reader; of a scan with windows that read ahead
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

/* The units around a value, from byte to byte. */
struct value_extent {
    uint64_t begin;
    uint64_t end;
};
static inline struct value_extent value_extent_of(const struct value_pointer *p)
{
    uint64_t end = value_offset(p) + VALUE_HEADER_BYTES + p->bytes;
    return (struct value_extent){
        .begin = value_offset(p) / VALUE_UNIT_BYTES * VALUE_UNIT_BYTES,
        .end = (end + VALUE_UNIT_BYTES - 1) / VALUE_UNIT_BYTES * VALUE_UNIT_BYTES,
    };
}

/* Makes the record whole when the bytes at `stored`, header and value, are what its pointer `p` was made
 * for. Returns: 0 with the value where it is; TORC_E_CORRUPT, and the record is as it was. */
MUST_CHECK int value_accept(struct record *record, const struct value_pointer *p, const uint8_t *stored);

/* Memory of one value that was read. */
struct value_buffer {
    uint8_t *data;
    size_t capacity;
    size_t spare;      /* bytes that stay free for the caller at the end: data + capacity - spare */
    bool is_suspicion; /* the pointer may have gone bad in memory: the file is not blamed */
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

/* Caller's memory. A scan has 16 windows; a merge has one and reads value by value: what it needs in numbers
 * is read ahead by values_ahead.h. */
struct value_reader {
    struct engine *engine;
    enum disk_class class;
    uint32_t window_count;
    uint64_t ahead_bytes_max;
    uint64_t turn;
    bool is_suspicion;            /* as that of a buffer */
    struct value_window *windows; /* null before the first value */
};

/* It holds twice ahead_bytes_max a window at most, and one value of the largest: for a scan 2 MiB, for a
 * merge (DISK_COMPACTION) that value. */
void value_reader_init(struct value_reader *v, struct engine *e, enum disk_class class);
void value_reader_deinit(struct value_reader *v);
/* Waits sometimes. As values_resolve; the value lives until the next call. Also returns TORC_E_CANCELLED when
 * the engine closes and the reader is of the background. */
MUST_CHECK int value_reader_resolve(struct value_reader *v, struct record *record);

#endif
