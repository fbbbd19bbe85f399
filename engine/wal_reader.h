/* wal_reader.h - brings one segment of the log into memory, reading ahead of who looks at it.
 *
 * The whole segment has one buffer, so that a record never straddles two; it is reused for the next segment.
 * What the disk cannot read, asked twice, is zeros in the buffer: no record is valid there, and recovery,
 * which is told, decides what that means. */
#ifndef ENGINE_WAL_READER_H
#define ENGINE_WAL_READER_H

#include "engine/wal_format.h"
#include "reactor/reactor.h"

enum {
    WAL_READ_BYTES = 1 << 20,
    WAL_READS_AHEAD = 3,
};

struct wal_reader;

struct wal_read {
    struct file_operation op;
    struct wal_reader *reader;
    bool is_done;
};

struct wal_reader {
    struct reactor *reactor;
    struct file *file;
    uint8_t *buffer;
    uint64_t capacity;
    uint64_t bytes;  /* of the segment, rounded up to blocks */
    uint64_t loaded; /* bytes that may be looked at */
    uint64_t issued;
    uint64_t unreadable_end; /* where the last block looked at ends that cannot be read; 0: none */
    struct wal_read reads[WAL_READS_AHEAD]; /* of piece i: i % WAL_READS_AHEAD */
    struct event arrived;
};

void wal_reader_init(struct wal_reader *rd, struct reactor *r);
/* Waits. Begins to read the file. Requires: not open. */
MUST_CHECK int wal_reader_open(struct wal_reader *rd, const char *path);
/* Waits: until `end` bytes (at most rd->bytes) are in the buffer. */
void wal_reader_need(struct wal_reader *rd, uint64_t end);
void wal_reader_close(struct wal_reader *rd);  /* Waits; the buffer is kept. Does nothing when not open. */
void wal_reader_deinit(struct wal_reader *rd); /* Requires: closed */

/* Waits. Reads `bytes` (whole blocks) at `offset`; what is past the end or cannot be read is zeros. Returns:
 * where in the file the last block ends that cannot be read; 0 when all can. */
uint64_t wal_read_blocks(struct reactor *r, struct file *f, uint8_t *to, size_t bytes, uint64_t offset);

#endif
