/* resp.c - RESP2 replies read, bulk strings written.
 *
 * A line that is longer than any server sends, a number that is none, a bulk without its end: refused, for
 * after that the stream cannot be trusted. */
#include "bench/resp.h"

#include "reactor/base/error.h"

enum { DIGITS_MAX = 19 };

/* The first "\r\n" in reach. Returns: bytes before it, or -1 when it is not there yet. */
static int64_t line_length(struct slice bytes)
{
    size_t reach = bytes.bytes < RESP_LINE_BYTES_MAX ? bytes.bytes : RESP_LINE_BYTES_MAX;
    const uint8_t *end = reach ? memchr(bytes.data, '\r', reach) : NULL;
    return end && end + 1 < bytes.data + bytes.bytes ? end - bytes.data : -1;
}

static bool parse_integer(struct slice text, int64_t *out)
{
    bool is_negative = text.bytes > 0 && text.data[0] == '-';
    size_t at = is_negative;
    if (text.bytes == at || text.bytes - at > DIGITS_MAX - 1)
        return false;
    int64_t value = 0;
    for (; at < text.bytes; at++) {
        if (text.data[at] < '0' || text.data[at] > '9')
            return false;
        value = value * 10 + (text.data[at] - '0');
    }
    *out = is_negative ? -value : value;
    return true;
}

static int64_t parse_bulk(struct slice bytes, int64_t head_bytes, struct resp_reply *out)
{
    int64_t length = out->integer;
    if (length == -1) {
        out->kind = RESP_NULL;
        return head_bytes;
    }
    if (length < 0 || length > RESP_BULK_BYTES_MAX)
        return TORC_E_MALFORMED;
    out->kind = RESP_BULK;
    if (bytes.bytes < (size_t)(head_bytes + length + 2))
        return 0;
    const uint8_t *text = bytes.data + head_bytes;
    if (text[length] != '\r' || text[length + 1] != '\n')
        return TORC_E_MALFORMED;
    out->text = slice_of(text, (size_t)length);
    return head_bytes + length + 2;
}

int64_t resp_parse(struct slice bytes, struct resp_reply *out)
{
    if (bytes.bytes == 0)
        return 0;
    struct slice rest = slice_of(bytes.data + 1, bytes.bytes - 1);
    uint8_t kind = bytes.data[0];
    if (kind != '+' && kind != '-' && kind != ':' && kind != '$')
        return TORC_E_MALFORMED;
    int64_t length = line_length(rest);
    if (length < 0)
        return bytes.bytes > RESP_LINE_BYTES_MAX ? TORC_E_MALFORMED : 0;
    if (rest.data[length + 1] != '\n')
        return TORC_E_MALFORMED;
    *out = (struct resp_reply){.kind = kind == '+' ? RESP_STRING : RESP_ERROR,
                               .text = slice_of(rest.data, (size_t)length)};
    int64_t line_bytes = 1 + length + 2;
    if (kind == '+' || kind == '-')
        return line_bytes;
    if (!parse_integer(out->text, &out->integer))
        return TORC_E_MALFORMED;
    if (kind == '$')
        return parse_bulk(bytes, line_bytes, out);
    out->kind = RESP_INTEGER;
    return line_bytes;
}

size_t resp_put_bulk(uint8_t *to, struct slice text)
{
    ASSERT(text.bytes <= RESP_BULK_BYTES_MAX);
    uint8_t digits[10];
    size_t first = sizeof digits, left = text.bytes;
    do {
        digits[--first] = (uint8_t)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    uint8_t *at = to;
    *at++ = '$';
    memcpy(at, digits + first, sizeof digits - first);
    at += sizeof digits - first;
    memcpy(at, "\r\n", 2);
    at += 2;
    if (text.bytes)
        memcpy(at, text.data, text.bytes);
    at += text.bytes;
    memcpy(at, "\r\n", 2);
    return (size_t)(at + 2 - to);
}
