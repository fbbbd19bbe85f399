/* json.h - writes JSON into a buffer of the caller's, comma by comma.
 *
 * For what the server says of itself: names are plain, texts are escaped, nothing is allocated. What does
 * not fit sets is_truncated and is left out. (Reading JSON is jansson's.) */
#ifndef SHARD_SERVE_JSON_H
#define SHARD_SERVE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 8 };

struct json {
    char *text;
    size_t capacity;
    size_t bytes;
    unsigned depth;
    char closers[JSON_DEPTH_MAX];
    bool needs_comma;
    bool is_truncated;
};

/* `name` is null for the outermost value and within arrays. */
void json_begin_object(struct json *j, const char *name);
void json_begin_array(struct json *j, const char *name);
void json_end(struct json *j); /* of the innermost object or array */
void json_number(struct json *j, const char *name, uint64_t value);
void json_ratio(struct json *j, const char *name, double value);                 /* with four decimals */
void json_raw(struct json *j, const char *name, const char *json, size_t bytes); /* JSON already */
void json_text(struct json *j, const char *name, const char *value);

#endif
