/* json_bytes.h - keys and values in JSON: any bytes, both ways.
 *
 *   valid UTF-8          a string                      "name"
 *   anything else        an object with their base64   {"base64": "/wA="}
 *
 * What one side writes the other reads back byte for byte: `torc dump` and `torc load` are each other's
 * inverse. */
#ifndef CLIENT_CLI_JSON_BYTES_H
#define CLIENT_CLI_JSON_BYTES_H

#include "client/torc.h"
#include "reactor/base/assert.h"

#include <jansson.h>

/* Returns: a new reference; null without memory. */
json_t *cli_json_of_bytes(torc_bytes bytes);

/* *out is borrowed from `json` when that is a string, else it is in *memory, which the caller frees (null
 * is left there when not needed). Returns: 0, TORC_MALFORMED when it is neither form, TORC_NO_MEMORY. */
MUST_CHECK int cli_bytes_of_json(const json_t *json, torc_bytes *out, void **memory);

/* {"key": ..., "value": ...} as one line with its newline; no value when `value` is null. Returns: the
 * text, freed with free; null without memory. */
char *cli_json_line(torc_bytes key, const torc_bytes *value, size_t *bytes);

/* ---- base64, RFC 4648, with padding ---- */

/* `to` has room for cli_base64_bytes(bytes). Returns: that. */
static inline size_t cli_base64_bytes(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}
size_t cli_base64_encode(char *to, torc_bytes bytes);
/* `to` has room for text.bytes / 4 * 3. Returns: the bytes, or -1 when it is not base64. */
int64_t cli_base64_decode(uint8_t *to, torc_bytes text);

#endif
