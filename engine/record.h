/* record.h - what the engine stores: one version of one key.
 *
 * Records are ordered by (vnode, namespace, key, subkey), so that one vnode is one contiguous range: it
 * streams, scans, hashes and is dropped as a range. Between two records of one key the higher version wins,
 * everywhere; there is no other order. */
#ifndef ENGINE_RECORD_H
#define ENGINE_RECORD_H

#include "reactor/base/slice.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    KEY_BYTES_MAX = 1024,
    SUBKEY_BYTES_MAX = 1024,
    VALUE_BYTES_MAX = 1 << 20,
};

/* A hybrid logical clock, 48 bits of Unix milliseconds above 16 bits of counter, and the node that stamped
 * it. */
struct version {
    uint64_t clock;
    uint16_t node;
};

static inline int version_compare(struct version a, struct version b)
{
    if (a.clock != b.clock)
        return a.clock > b.clock ? 1 : -1;
    return (a.node > b.node) - (a.node < b.node);
}

enum record_flag {
    RECORD_TOMBSTONE = 1, /* the key was deleted; the value is empty */
    RECORD_EXPIRING = 2,  /* expiry_ms counts */
    /* bits 2 to 4: type of the value, 0 for plain bytes */
    RECORD_SEPARATED = 1 << 5, /* in tables only: the value is a pointer into a value log */
};

struct record_key {
    uint16_t vnode;        /* key_slot(key) >> (14 - vnode bits) */
    uint32_t namespace_id; /* 0 is the namespace `default` */
    struct slice key;      /* 1 to KEY_BYTES_MAX bytes */
    struct slice subkey;   /* 0 to SUBKEY_BYTES_MAX bytes; empty for plain keys */
};

struct record {
    struct record_key key;
    struct version version;
    uint8_t flags;
    uint64_t expiry_ms; /* absolute Unix milliseconds; 0 unless RECORD_EXPIRING */
    struct slice value; /* 0 to VALUE_BYTES_MAX bytes */
    uint64_t
        checksum; /* checksum_record(key, value) for plain keys: made by the client, checked at every read */
};

/* The one order of records; versions do not take part. */
static inline int record_key_compare(const struct record_key *a, const struct record_key *b)
{
    if (a->vnode != b->vnode)
        return a->vnode < b->vnode ? -1 : 1;
    if (a->namespace_id != b->namespace_id)
        return a->namespace_id < b->namespace_id ? -1 : 1;
    int order = slice_compare(a->key, b->key);
    return order ? order : slice_compare(a->subkey, b->subkey);
}

/* The first eight bytes of the key as a number, zeros behind a shorter one: of two keys of one vnode and
 * namespace the one with the smaller number comes first; equal numbers say nothing. */
static inline uint64_t record_key_prefix(const struct record_key *k)
{
    uint64_t prefix = 0;
    if (k->key.bytes >= 8)
        memcpy(&prefix, k->key.data, 8);
    else
        memcpy(&prefix, k->key.data, k->key.bytes);
    return be64toh(prefix);
}

static inline bool record_is_live(const struct record *r, uint64_t now_ms)
{
    return !(r->flags & RECORD_TOMBSTONE) && (!(r->flags & RECORD_EXPIRING) || r->expiry_ms > now_ms);
}

#endif
