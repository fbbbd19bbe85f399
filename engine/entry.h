/* entry.h - the one encoding of a record, shared by the log, the memtable and the SSTable.
 *
 *   0              4           6              8           12      14     16      24         32       36
 *   +--------------+-----------+--------------+-----------+-------+------+-------+----------+--------+
 *   | value bytes  | key bytes | subkey bytes | namespace | vnode | node | clock | record   | header |
 *   | u24, flags u8|    u16    |     u16      |    u32    |  u16  | u16  |  u64  | checksum | check  |
 *   +--------------+-----------+--------------+-----------+-------+------+-------+----------+--------+
 *   36: u64 expiry_ms (only if RECORD_EXPIRING) | key | subkey | value
 *
 * Little-endian. What a lookup compares comes first. The record checksum covers key, subkey and value and
 * comes from the client; where the entry has but a pointer (RECORD_SEPARATED) it is still that of the true
 * value. The header check covers the 32 bytes before it and the expiry, so that a flipped bit
 * in a length, a version, a flag, a vnode or an expiry is found as well. Decoding checks lengths only and is
 * for hot paths; whoever hands data out or first reads it from a disk verifies. */
#ifndef ENGINE_ENTRY_H
#define ENGINE_ENTRY_H

#include "engine/record.h"
#include "reactor/base/assert.h"
#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"
#include "reactor/base/error.h"

enum {
    ENTRY_HEADER_BYTES = 36,
    ENTRY_EXPIRY_BYTES = 8,
    ENTRY_BYTES_MIN = ENTRY_HEADER_BYTES + 1,
    ENTRY_BYTES_MAX =
        ENTRY_HEADER_BYTES + ENTRY_EXPIRY_BYTES + KEY_BYTES_MAX + SUBKEY_BYTES_MAX + VALUE_BYTES_MAX,
    ENTRY_VNODE_MAX = (1 << 14) - 1,
    ENTRY_FLAGS_KNOWN = 0x3f,
};

/* The checksum a record must carry. For a plain key it is checksum_record(key, value); a subkey is chained
 * between. */
static inline uint64_t entry_checksum(const struct record_key *k, struct slice value)
{
    uint64_t hash = checksum_bytes(k->key.data, k->key.bytes);
    if (k->subkey.bytes)
        hash = XXH3_64bits_withSeed(k->subkey.data, k->subkey.bytes, hash);
    return checksum_record_of_hash(hash, value);
}

/* The bytes of the record when encoded. */
static inline size_t entry_bytes(const struct record *r)
{
    size_t expiry_bytes = (r->flags & RECORD_EXPIRING) ? ENTRY_EXPIRY_BYTES : 0;
    return ENTRY_HEADER_BYTES + expiry_bytes + r->key.key.bytes + r->key.subkey.bytes + r->value.bytes;
}

/* Writes entry_bytes(r) bytes. Requires: sizes within limits, known flags, vnode <= ENTRY_VNODE_MAX.
 * Returns: the bytes written. */
size_t entry_encode(uint8_t *to, const struct record *r);

/* Takes the entry at the beginning of `bytes`; its slices point into them. Never reads past them. Neither
 * checksum is looked at. Returns: 0, with the length of the entry in *consumed, or TORC_E_CORRUPT. */
MUST_CHECK int entry_decode(struct slice bytes, struct record *out, size_t *consumed);

/* As entry_decode for bytes of this process that were encoded here or verified before (a memtable): no
 * checks. */
void entry_decode_trusted(const uint8_t *entry, struct record *out);

/* The encoded bytes of a record as a decoder gave it: its slices still point into them. */
static inline struct slice entry_of_decoded(const struct record *r)
{
    size_t expiry_bytes = (r->flags & RECORD_EXPIRING) ? ENTRY_EXPIRY_BYTES : 0;
    return slice_of(r->key.key.data - ENTRY_HEADER_BYTES - expiry_bytes, entry_bytes(r));
}

/* Only a hint: what a lookup of a usual record will read. */
static inline void entry_prefetch(const uint8_t *entry)
{
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + 64);
    __builtin_prefetch(entry + 128);
}

/* Does the header check of an entry that entry_decode has taken hold? Then its lengths, version, flags,
 * vnode, namespace and expiry are as they were encoded. */
bool entry_header_is_sound(const uint8_t *entry);

/* Does the record's own checksum match its key, subkey and value? */
bool entry_verify(const struct record *r);

#endif
