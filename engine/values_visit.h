/* values_visit.h - a value log as a file: value after value, for scrubbing and dumps, without tables.
 *
 * It is read past the page cache, which would give what it has read before and not what the medium has now.
 * Each value has a check over its header and itself, so the file can be verified alone. Where one is damaged
 * the next sound header is sought step by step, and what lies between is a damaged stretch: more than one
 * when it is long, so that no call takes long. */
#ifndef ENGINE_VALUES_VISIT_H
#define ENGINE_VALUES_VISIT_H

#include "engine/values_format.h"
#include "reactor/reactor.h"

enum {
    /* Two of the largest values fit behind the part of a unit before the first, so that one is always whole
     * in it. */
    VALUES_WINDOW_BYTES = 2 * (VALUE_BYTES_MAX + VALUE_UNIT_BYTES) + VALUE_UNIT_BYTES,
    VALUES_STRETCH_BYTES_MAX = VALUE_BYTES_MAX + VALUE_UNIT_BYTES,
    VALUES_WINDOW_UNITS = VALUES_WINDOW_BYTES / VALUE_UNIT_BYTES,
};

struct values_visit {
    struct reactor *reactor;
    struct file *file;
    uint64_t number;
    uint64_t bytes;  /* of the file */
    uint64_t offset; /* of the next value */
    uint8_t *window; /* a part of the file */
    uint64_t window_begin;
    uint64_t window_end;
    bool is_unreadable[VALUES_WINDOW_UNITS]; /* units of the window; what lies in them is zeros there */
};

struct values_found {
    uint64_t offset;
    uint64_t bytes; /* in the file, header and padding included */
    bool is_sound;
    struct slice value; /* when it is sound; until the next call */
};

/* Waits. *v needs values_visit_close in every case. */
MUST_CHECK int values_visit_open(struct values_visit *v, struct reactor *r, const char *path,
                                 uint64_t number);
void values_visit_close(struct values_visit *v); /* Waits */

/* Waits; yields. Returns: 1 with *out; 0 at the end; an error that says nothing of what is there, as of a
 * want of memory: the next call tries again. What the disk does not give back is a damaged stretch. */
MUST_CHECK int values_visit_next(struct values_visit *v, struct values_found *out);

#endif
