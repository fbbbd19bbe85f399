/* slice.h - borrowed bytes.
 *
 * A slice never owns what it points at; whoever hands one out says how long the bytes live. An empty slice
 * may have a null pointer, so it is never passed to memcpy and memcmp without looking at its length
 * (slice_equal does). */
#ifndef REACTOR_BASE_SLICE_H
#define REACTOR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t bytes;
};

static inline struct slice slice_of(const void *data, size_t bytes)
{
    return (struct slice){.data = data, .bytes = bytes};
}

static inline struct slice slice_of_string(const char *text)
{
    return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

/* Returns: < 0, 0 or > 0, bytes compared as unsigned, a prefix before what it begins. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t shorter = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* Copies the bytes to `to`. Returns: the end of what was written. */
static inline uint8_t *slice_put(uint8_t *to, struct slice bytes)
{
    if (bytes.bytes)
        memcpy(to, bytes.data, bytes.bytes);
    return to + bytes.bytes;
}

static inline bool slice_starts_with(struct slice text, struct slice prefix)
{
    return text.bytes >= prefix.bytes &&
           (prefix.bytes == 0 || memcmp(text.data, prefix.data, prefix.bytes) == 0);
}

#endif
