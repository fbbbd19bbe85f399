/* wal_survey.h - what recovery knows of the log's files before it reads them in full.
 *
 * The headers of all segments say which ends of earlier segments do not count (a write failed there, or
 * recovery cut a torn tail and the log went on elsewhere). Where the chain of records breaks, a look ahead
 * over all that follows tells whether what is missing was ever acknowledged. */
#ifndef ENGINE_WAL_SURVEY_H
#define ENGINE_WAL_SURVEY_H

#include "engine/wal.h"
#include "engine/wal_format.h"

enum { WAL_PATH_BYTES = 4096 };

struct wal_survey_segment {
    uint64_t id;
    uint64_t bytes;
    struct wal_segment_header header; /* meaningful when has_header */
    bool has_header;
    bool is_needed;      /* not before the start */
    bool is_dead;        /* the chain continues elsewhere: nothing in it counts */
    uint64_t drop_above; /* its records with higher sequences do not count */
    uint64_t first_accepted;
};

struct wal_survey {
    struct reactor *reactor;
    const char *directory;
    uint32_t shard;       /* whose log it is */
    uint64_t listed_from; /* files before it are not even listed */
    uint32_t segments_max;
    struct wal_survey_segment *segments; /* by id */
    uint32_t count;
    uint32_t capacity;
    uint64_t sequence_seen_max;
    uint8_t *scratch; /* WAL_READ_BYTES, aligned */
    char *path;       /* WAL_PATH_BYTES */
};

/* Waits. *s needs wal_survey_deinit in every case. */
MUST_CHECK int wal_survey_take(struct wal_survey *s, struct reactor *r,
                               const struct wal_recovery_options *options, char *why, size_t why_bytes);
void wal_survey_deinit(struct wal_survey *s);

/* The path of a segment; valid until the next call. */
const char *wal_survey_path(struct wal_survey *s, uint32_t index);

/* Are these header fields those of a record of this use of this segment? */
bool wal_survey_owns(const struct wal_survey *s, const struct wal_survey_segment *segment,
                     const struct wal_record_header *h);

struct wal_lookahead {
    /* asked */
    uint64_t missing_sequence;  /* the first one that is not there */
    uint64_t previous_checksum; /* of the record before it; 0 when unknown */
    /* answered */
    bool was_durable;   /* a later record says that the missing one was durable */
    uint64_t watermark; /* the highest in later records */
    bool is_unreadable; /* a block cannot be read: who knows what was there */
    uint32_t bad_index; /* the last such block is in this segment, and ends before this place */
    uint64_t bad_end;
    bool continues;      /* the missing one is further on, in a segment whose header is damaged */
    uint64_t clock_max;  /* in later records */
    uint64_t torn_bytes; /* of later records with whole headers */
};

/* Waits. Looks at the header of every record at or after `offset` of segment `index`. */
MUST_CHECK int wal_survey_look_ahead(struct wal_survey *s, uint32_t index, uint64_t offset,
                                     struct wal_lookahead *look);

#endif
