/* frame.h - the native frame: bytes to requests and responses, and back.
 *
 *   0        4    5      6          8             16            20      24
 *   +--------+----+------+----------+-------------+-------------+-------+-----+-------+------------+
 *   | length | op | flags| key bytes| request id  | value bytes | check | key | value | extensions |
 *   |  u32   | u8 | u8   |   u16    |    u64      |    u32      |  u32  |     |       |            |
 *   +--------+----+------+----------+-------------+-------------+-------+-----+-------+------------+
 *
 * Little-endian. `length` is the whole frame; what key and value leave of it are the extensions: {u8 kind, u8
 * bytes, bytes} one after another. A response has FRAME_RESPONSE set in `op` and its status
 * (reactor/base/error.h) in `flags`. Requests of one connection are answered in any order; the request id,
 * chosen by the client, pairs them.
 *
 * The check covers all of it: the folded record checksum of (key, value), mixed with the hash of the first 20
 * bytes and of the extensions. In the response to a GET that found its key (status 0) the key is not sent
 * again, but the check is still that of (requested key, value): a server that answers with another key's
 * value is found out, and the value is hashed once on its way from the client to the disk and back. The check
 * of every other response, to a PUT, DELETE, EXISTS, SCAN, PING, INFO or HELLO or with a status that is not
 * 0, is of (no key, value); a status that is neither 0 nor NOT_FOUND comes with a sentence for people as its
 * value.
 *
 * A batch is a frame whose value is a run of ordinary frames, each with its own check; the check of the outer
 * frame covers its header only. Its response carries the responses of all, in the order of the requests; a
 * value that would make it larger than FRAME_RESPONSE_BYTES_MAX is answered FRAME_TOO_LARGE and can be asked
 * for by itself.
 *
 * These functions do no I/O and allocate nothing; slices they return point into the bytes they were given. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "reactor/base/assert.h"
#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"
#include "reactor/base/error.h"
#include "reactor/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FRAME_HEADER_BYTES = 24,
    FRAME_KEY_BYTES_MAX = 1024,
    FRAME_VALUE_BYTES_MAX = 1 << 20,
    FRAME_EXTENSION_BYTES_MAX = 256,
    FRAME_BYTES_MAX =
        FRAME_HEADER_BYTES + FRAME_KEY_BYTES_MAX + FRAME_VALUE_BYTES_MAX + FRAME_EXTENSION_BYTES_MAX,
    /* A batch holds at most this many frames and, as any request, FRAME_BYTES_MAX bytes. */
    FRAME_BATCH_COUNT_MAX = 4096,
    /* The response to a batch, or a page of a scan: the largest frame a client must be ready to take. */
    FRAME_RESPONSE_BYTES_MAX = 4 << 20,
    FRAME_RESPONSE = 0x80,
    FRAME_HELLO_MAGIC = 0x43524f54, /* "TORC" */
    FRAME_PROTOCOL_VERSION = 1,
};

enum frame_op {
    FRAME_HELLO = 1,  /* value: frame_hello; the first frame of a connection */
    FRAME_PING = 2,   /* value: any, comes back */
    FRAME_GET = 3,    /* key -> value */
    FRAME_PUT = 4,    /* key, value; EXPIRY_MS -> nothing */
    FRAME_DELETE = 5, /* key -> nothing; deleting what is not there is done, too */
    FRAME_EXISTS = 6, /* key -> nothing; status NOT_FOUND when absent */
    FRAME_BATCH = 7,  /* value: frames of GET, PUT, DELETE, EXISTS -> value: their responses */
    FRAME_SCAN = 8,   /* key: prefix, or where a range begins, may be empty; value: cursor, of a range see
                       * below; LIMIT -> value: a scan page, see below */
    FRAME_INFO = 9,   /* key: a section, may be empty -> value: JSON */
    FRAME_ADMIN = 10, /* key: a command, value: its argument -> value: JSON; see docs/formats.md */
};

enum frame_extension {
    FRAME_EXT_EXPIRY_MS = 1,   /* u64: milliseconds to live, from when the server takes it; at least 1 */
    FRAME_EXT_NAMESPACE = 2,   /* name, 1 to 64 bytes; absent means `default` */
    FRAME_EXT_DEADLINE_MS = 3, /* u32: milliseconds after which the client no longer waits */
    FRAME_EXT_LIMIT = 4,       /* u32: entries a page at most, 1 to 10,000 */
    FRAME_EXT_VERSION = 5,     /* u64 clock, u16 node: of the value, when asked with FRAME_WANT_VERSION */
};

/* Bits of `flags` in a request. */
enum frame_flag {
    FRAME_WANT_VERSION = 1, /* GET: the response carries FRAME_EXT_VERSION */
    FRAME_KEYS_ONLY = 2,    /* SCAN: entries without values */
    FRAME_REVERSE = 4,      /* SCAN: from the largest key to the smallest */
    FRAME_ORDERED = 8,      /* SCAN: in the order of keys; else vnode by vnode */
    FRAME_RANGE = 16,       /* SCAN: keys of a range, not those with a prefix */
    FRAME_SNAPSHOT = 32,    /* SCAN: as it was at one moment */
    FRAME_SCAN_FLAGS = FRAME_KEYS_ONLY | FRAME_REVERSE | FRAME_ORDERED | FRAME_RANGE | FRAME_SNAPSHOT,
};

/* A frame whose lengths were found sound. `check` is not yet verified. */
struct frame {
    uint32_t length;
    uint8_t op;    /* without FRAME_RESPONSE */
    uint8_t flags; /* the status, in a response */
    bool is_response;
    uint64_t request_id;
    uint32_t check;
    struct slice key;
    struct slice value;
    struct slice extensions;
    const uint8_t *bytes; /* of the whole frame */
};

/* Looks at the beginning of `bytes`. `length_max` is FRAME_BYTES_MAX in a server, FRAME_RESPONSE_BYTES_MAX in
 * a client.
 * Returns: 1 and *out when a whole frame is there; 0 when more bytes are needed, with *needed set to how
 * many there must be (never more than length_max: a length is refused before anything is allocated for
 * it); TORC_E_FRAME_TOO_LARGE or TORC_E_FRAME_LENGTH when the lengths lie, after which the stream cannot
 * be trusted and is closed. */
MUST_CHECK int frame_parse(struct slice bytes, uint32_t length_max, struct frame *out, size_t *needed);

/* The hash of header and extensions that is mixed into the check. */
static inline uint32_t frame_cover(const uint8_t *header, struct slice extensions)
{
    uint64_t hash = checksum_bytes(header, FRAME_HEADER_BYTES - 4);
    if (__builtin_expect(extensions.bytes != 0, 0))
        hash ^= checksum_record_of_hash(1, extensions);
    return checksum_fold(hash);
}

/* `record_checksum`: checksum_record(key, value) of the frame; 0 for FRAME_BATCH. Returns: the check is
 * right. */
static inline bool frame_is_intact(const struct frame *f, uint64_t record_checksum)
{
    return f->check == (frame_cover(f->bytes, f->extensions) ^ checksum_fold(record_checksum));
}

/* What a frame is made of. */
struct frame_parts {
    uint8_t op;
    uint8_t flags; /* or the status */
    bool is_response;
    uint64_t request_id;
    uint64_t record_checksum; /* see above; 0 for FRAME_BATCH */
    struct slice key;
    struct slice value;
    struct slice extensions;
};

static inline size_t frame_bytes(const struct frame_parts *p)
{
    return FRAME_HEADER_BYTES + p->key.bytes + p->value.bytes + p->extensions.bytes;
}

/* Writes the header alone; key, value and extensions follow it. */
static inline void frame_encode_header(uint8_t *to, const struct frame_parts *p)
{
    store_u32le(to, (uint32_t)frame_bytes(p));
    to[4] = p->is_response ? p->op | FRAME_RESPONSE : p->op;
    to[5] = p->flags;
    store_u16le(to + 6, (uint16_t)p->key.bytes);
    store_u64le(to + 8, p->request_id);
    store_u32le(to + 16, (uint32_t)p->value.bytes);
    store_u32le(to + 20, frame_cover(to, p->extensions) ^ checksum_fold(p->record_checksum));
}

/* Writes the whole frame. Requires: frame_bytes(p) bytes at `to`. Returns: that count. */
size_t frame_encode(uint8_t *to, const struct frame_parts *p);

/* ---- extensions ---- */

struct frame_extensions {
    uint64_t expiry_ms;   /* 0: none */
    uint32_t deadline_ms; /* 0: none */
    uint32_t limit;       /* 0: none */
    struct slice namespace_name;
    bool has_version;
    uint64_t version_clock;
    uint16_t version_node;
};

/* Unknown kinds are refused: a request is never half understood. Returns: 0 or TORC_E_MALFORMED. */
MUST_CHECK int frame_extensions_parse(struct slice bytes, struct frame_extensions *out);
/* Requires: FRAME_EXTENSION_BYTES_MAX bytes at `to`; the namespace within limits. Returns: bytes written. */
size_t frame_extensions_encode(uint8_t *to, const struct frame_extensions *e);

/* ---- hello ---- */

enum { FRAME_HELLO_BYTES = 16, FRAME_CORE_ANY = 0xffff };

struct frame_hello {
    uint16_t version_min; /* request: spoken by the client; response: both are the version chosen */
    uint16_t version_max;
    uint16_t
        core; /* request: the core wanted, or FRAME_CORE_ANY; response: the core that serves from now on */
    uint16_t core_count; /* response */
    uint8_t vnode_bits;  /* response: the ring has 2^b vnodes */
    uint32_t features;   /* none defined yet: 0 */
};
/* value: {u32 magic, u16 version min, u16 version max, u16 core, u16 core count, u8 vnode bits, u8[3]
 * feature bits} */
MUST_CHECK int frame_hello_parse(struct slice value, struct frame_hello *out);
void frame_hello_encode(uint8_t to[FRAME_HELLO_BYTES], const struct frame_hello *h);

/* The core of a node that owns a slot: equal contiguous runs of vnodes. */
static inline uint16_t frame_core_of_slot(uint16_t slot, uint8_t vnode_bits, uint16_t core_count)
{
    uint32_t vnode = (uint32_t)slot >> (14 - vnode_bits);
    return (uint16_t)((vnode * core_count) >> vnode_bits);
}

/* ---- a scan ----
 *
 * The value of a SCAN request is the cursor, empty at first. With FRAME_RANGE it is {u16 bytes, to, cursor}:
 * keys from the key of the frame on and below `to`, which has no end when it is empty. */

struct frame_scan {
    struct slice to; /* FRAME_RANGE; empty: no end */
    struct slice cursor;
};
/* Returns: 0 or TORC_E_MALFORMED. */
MUST_CHECK int frame_scan_parse(uint8_t flags, struct slice value, struct frame_scan *out);
/* Writes the value of a request with FRAME_RANGE. Requires: FRAME_SCAN_VALUE_BYTES_MAX bytes at `to`, sizes
 * within limits. Returns: the bytes written. */
size_t frame_scan_encode(uint8_t *to, const struct frame_scan *scan);

/* ---- a page of a scan ----
 *
 * The value of a SCAN response: {u16 cursor bytes, cursor} and then {u16 key bytes, u32 value bytes, key,
 * value} for each entry. The cursor is opaque to the client, who sends it back as the value of the next
 * request; an empty one says that the scan is over, and an empty value begins it. A page may hold no entry
 * and yet not be the last. */

enum {
    FRAME_SCAN_ENTRY_HEADER_BYTES = 6,
    FRAME_CURSOR_BYTES_MAX = 11 + FRAME_KEY_BYTES_MAX,
    FRAME_SCAN_VALUE_BYTES_MAX = 2 + FRAME_KEY_BYTES_MAX + FRAME_CURSOR_BYTES_MAX,
    FRAME_SCAN_LIMIT_MAX = 10000,
};

/* Takes the cursor off the front of a page; *entries is what follows. Returns: 0 or TORC_E_MALFORMED. */
MUST_CHECK int frame_page_parse(struct slice page, struct slice *cursor, struct slice *entries);
/* Takes one entry off the front of *entries. Returns: 1, 0 at the end, or TORC_E_MALFORMED. */
MUST_CHECK int frame_page_next(struct slice *entries, struct slice *key, struct slice *value);
/* Writes one entry. Returns: bytes written, FRAME_SCAN_ENTRY_HEADER_BYTES and both lengths. */
size_t frame_page_encode_entry(uint8_t *to, struct slice key, struct slice value);

#endif
