/* wal_format.h - the bytes of the log, shared by the writer (wal.c) and the reader (wal_recovery.c).
 *
 *   segment file                                           log record = one group commit
 *   0        4096                                          0        80
 *   +--------+------------+------------+-----+----------+  +--------+-------+-------+-----+----------+
 *   | header | log record | log record | ... | zeros or |  | header | entry | entry | ... | zeros to |
 *   | block  |            |            |     | stale    |  |        |       |       |     | 4 KiB    |
 *   +--------+------------+------------+-----+----------+  +--------+-------+-------+-----+----------+
 *
 * The header block goes out in the same write as the first record of its segment. It names where the chain
 * goes on: `continues_sequence`, whose record has `continues_checksum`; what earlier segments hold above that
 * sequence is dropped, because its write failed or it was torn. `first_sequence` is above every sequence used
 * before, so sequences skip where something was dropped, and only there. */
#ifndef ENGINE_WAL_FORMAT_H
#define ENGINE_WAL_FORMAT_H

#include "reactor/base/checksum.h"

#include <stdint.h>

enum {
    WAL_FORMAT_VERSION = 1,
    WAL_BLOCK_BYTES = 4096,
    WAL_SEGMENT_HEADER_BYTES = 64,
    WAL_RECORD_HEADER_BYTES = 80,
    WAL_SEGMENT_MAGIC = 0x53574f54, /* "TOWS" */
    WAL_RECORD_MAGIC = 0x52574f54,  /* "TOWR" */
    WAL_NAME_BYTES = 32,
    WAL_SEGMENT_BYTES_MIN = 64 << 10,
    WAL_SEGMENT_BYTES_MAX = 1 << 30,
    WAL_SEGMENTS_MAX = 1 << 16,      /* files that a start takes */
    WAL_PAYLOAD_BYTES_MAX = 2 << 20, /* of a record */
    WAL_RECORD_BYTES_MAX = WAL_PAYLOAD_BYTES_MAX + WAL_BLOCK_BYTES,
    WAL_CHECKSUM_CHUNK_BYTES = 64 << 10, /* of a payload: hashed as it fills, so that no submission is long */
};

/* No log comes so far: a header that says so is damaged, and sequences can be counted on without overflow. */
#define WAL_SEQUENCE_MAX (UINT64_C(1) << 62)

struct wal_segment_header {
    uint64_t id;    /* as in the name */
    uint64_t epoch; /* of this use of the file: random, and wal_epoch_is_of the shard */
    uint64_t first_sequence;
    uint64_t continues_sequence;
    uint64_t continues_checksum; /* 0 when that record is unknown */
};

struct wal_record_header {
    uint32_t entry_count;
    uint32_t payload_bytes;
    uint32_t block; /* where in the file the record begins, in blocks; 0: it does not say, as once */
    uint64_t segment_id;
    uint64_t epoch;
    uint64_t sequence;
    uint64_t watermark;         /* every record up to this sequence was durable when this one was built */
    uint64_t previous_checksum; /* of the record before it in the chain */
    uint64_t clock_max;         /* the highest version clock in the log up to and including this record */
    uint64_t payload_checksum;
    uint64_t checksum; /* of the header: all above. It is the record's name in the chain */
};

enum wal_header_state {
    WAL_HEADER_VALID,
    WAL_HEADER_BAD,           /* not a header, or a damaged one */
    WAL_HEADER_OTHER_VERSION, /* whole, and of another format version */
};

void wal_segment_header_encode(uint8_t *to, const struct wal_segment_header *h);
/* Of another format version only out->id may be used: checksum, version and id keep their places. */
enum wal_header_state wal_segment_header_decode(const uint8_t *from, struct wal_segment_header *out);

/* An epoch whose low bits say whose log it is. `shard`: 1 + the first vnode of the shard; 0: any. Files of
 * shards have the same names, and their records the same places: a write that the disk made in another
 * shard's file is known by this. */
static inline uint64_t wal_epoch_of(uint64_t random, uint32_t shard)
{
    return shard ? (random & ~(uint64_t)UINT16_MAX) | (uint16_t)(shard - 1) : random;
}
static inline bool wal_epoch_is_of(uint64_t epoch, uint32_t shard)
{
    return epoch == wal_epoch_of(epoch, shard);
}

/* Does the record stand where it was written to? */
static inline bool wal_record_is_in_place(const struct wal_record_header *h, uint64_t offset)
{
    return h->block == 0 || h->block == offset / WAL_BLOCK_BYTES;
}

/* Fills h->checksum. */
void wal_record_header_encode(uint8_t *to, struct wal_record_header *h);
/* Returns: false when the bytes are no whole header; *out then has fields that mean nothing. */
bool wal_record_header_decode(const uint8_t *from, struct wal_record_header *out);

/* The checksum of a payload is that of its chunks in order, each seeded with the one before, the last short
 * or empty. `checksum` starts as 0. */
static inline uint64_t wal_checksum_chunk(uint64_t checksum, const uint8_t *chunk, size_t bytes)
{
    return XXH3_64bits_withSeed(chunk, bytes, checksum);
}
uint64_t wal_payload_checksum(const uint8_t *payload, size_t bytes);

/* What a record with so much payload takes in the file. */
static inline uint64_t wal_record_bytes(uint64_t payload_bytes)
{
    uint64_t mask = WAL_BLOCK_BYTES - 1;
    return (WAL_RECORD_HEADER_BYTES + payload_bytes + mask) & ~mask;
}

/* Writes the name of segment `id` to `name`, WAL_NAME_BYTES long. */
void wal_segment_name(char *name, uint64_t id);
/* Returns: whether `name` is that of a segment, with its id in *id. */
bool wal_segment_name_parse(const char *name, uint64_t *id);

#endif
