/* json_bytes.c - bytes to JSON and back; the two forms are in the header. */
#include "client/cli/json_bytes.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t cli_base64_encode(char *to, torc_bytes bytes)
{
    const uint8_t *from = bytes.data;
    char *at = to;
    for (size_t i = 0; i < bytes.bytes; i += 3) {
        size_t left = bytes.bytes - i;
        uint32_t group = (uint32_t)from[i] << 16;
        group |= left > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)from[i + 2] : 0;
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[group & 63] : '=';
    }
    ASSERT((size_t)(at - to) == cli_base64_bytes(bytes.bytes));
    return (size_t)(at - to);
}

static int digit_of(char c)
{
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

int64_t cli_base64_decode(uint8_t *to, torc_bytes text)
{
    const char *from = text.data;
    size_t count = text.bytes;
    if (count % 4 != 0)
        return -1;
    size_t padding = 0;
    while (padding < 2 && padding < count && from[count - 1 - padding] == '=')
        padding++;
    uint8_t *at = to;
    for (size_t i = 0; i < count; i += 4) {
        uint32_t group = 0;
        size_t used = i + 4 == count ? 4 - padding : 4;
        for (size_t j = 0; j < 4; j++) {
            int digit = j < used ? digit_of(from[i + j]) : 0;
            if (digit < 0)
                return -1;
            group = group << 6 | (uint32_t)digit;
        }
        if ((used < 4 && (group & 0xff) != 0) || (used < 3 && (group & 0xffff) != 0))
            return -1; /* bits that no encoder sets: there is one text for each bytes */
        for (size_t j = 0; j + 1 < used; j++)
            *at++ = (uint8_t)(group >> (16 - 8 * j));
    }
    return at - to;
}

json_t *cli_json_of_bytes(torc_bytes bytes)
{
    json_t *text = json_stringn(bytes.bytes ? bytes.data : "", bytes.bytes);
    if (text)
        return text; /* null when it is no UTF-8 */
    char *encoded = malloc(cli_base64_bytes(bytes.bytes) + 1);
    if (!encoded)
        return NULL;
    size_t count = cli_base64_encode(encoded, bytes);
    json_t *object = json_pack("{s:s%}", "base64", encoded, count);
    free(encoded);
    return object;
}

int cli_bytes_of_json(const json_t *json, torc_bytes *out, void **memory)
{
    *memory = NULL;
    if (json_is_string(json)) {
        *out = torc_bytes_of(json_string_value(json), json_string_length(json));
        return 0;
    }
    const json_t *encoded =
        json_is_object(json) && json_object_size(json) == 1 ? json_object_get(json, "base64") : NULL;
    if (!json_is_string(encoded))
        return TORC_MALFORMED;
    torc_bytes text = torc_bytes_of(json_string_value(encoded), json_string_length(encoded));
    uint8_t *bytes = malloc(text.bytes / 4 * 3 + 1);
    if (!bytes)
        return TORC_NO_MEMORY;
    int64_t count = cli_base64_decode(bytes, text);
    if (count < 0) {
        free(bytes);
        return TORC_MALFORMED;
    }
    *memory = bytes;
    *out = torc_bytes_of(bytes, (size_t)count);
    return 0;
}

char *cli_json_line(torc_bytes key, const torc_bytes *value, size_t *bytes)
{
    json_t *object =
        value ? json_pack("{s:o, s:o}", "key", cli_json_of_bytes(key), "value", cli_json_of_bytes(*value))
              : json_pack("{s:o}", "key", cli_json_of_bytes(key));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text)
        return NULL;
    *bytes = strlen(text) + 1;
    char *line = realloc(text, *bytes + 1);
    if (!line) {
        free(text);
        return NULL;
    }
    memcpy(line + *bytes - 1, "\n", 2);
    return line;
}
