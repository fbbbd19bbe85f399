/* resp.h - replies of RESP2, as far as a load generator asks for them.
 *
 *   +OK\r\n   -ERR why\r\n   :42\r\n   $3\r\nabc\r\n   $-1\r\n
 *
 * https://redis.io/docs/latest/develop/reference/protocol-spec/ . Arrays are refused: no request of ours gets
 * one. */
#ifndef BENCH_RESP_H
#define BENCH_RESP_H

#include "reactor/base/assert.h"
#include "reactor/base/slice.h"

enum {
    RESP_LINE_BYTES_MAX = 64 * 1024,         /* a simple string or an error */
    RESP_BULK_BYTES_MAX = 512 * 1024 * 1024, /* redis's own limit */
};

enum resp_kind { RESP_STRING, RESP_ERROR, RESP_INTEGER, RESP_BULK, RESP_NULL };

struct resp_reply {
    enum resp_kind kind;
    struct slice text; /* of a string, an error or a bulk; points into the bytes given */
    int64_t integer;
};

/* Reads one reply off the front. Returns: bytes it took; 0 when it is not whole; TORC_E_MALFORMED. */
MUST_CHECK int64_t resp_parse(struct slice bytes, struct resp_reply *out);

/* Writes a bulk string, "$3\r\nabc\r\n". Requires: RESP_BULK_OVERHEAD + text.bytes at `to`. Returns: bytes
 * written. */
enum { RESP_BULK_OVERHEAD = 1 + 10 + 2 + 2 };
size_t resp_put_bulk(uint8_t *to, struct slice text);

#endif
