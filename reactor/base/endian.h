/* endian.h - explicit encode and decode of integers at any alignment.
 *
 * Nothing is copied to disk or wire as a struct. Little-endian everywhere, except in the ordered prefix of
 * a key, which is big-endian so that bytes sort as numbers do. Compilers make one instruction of each. */
#ifndef REACTOR_BASE_ENDIAN_H
#define REACTOR_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define ENDIAN_PAIR(name, type, to_wire, from_wire)                                                          \
    static inline void store_##name(void *to, type value)                                                    \
    {                                                                                                        \
        value = to_wire(value);                                                                              \
        memcpy(to, &value, sizeof value);                                                                    \
    }                                                                                                        \
    static inline type load_##name(const void *from)                                                         \
    {                                                                                                        \
        type value;                                                                                          \
        memcpy(&value, from, sizeof value);                                                                  \
        return from_wire(value);                                                                             \
    }

ENDIAN_PAIR(u16le, uint16_t, htole16, le16toh)
ENDIAN_PAIR(u32le, uint32_t, htole32, le32toh)
ENDIAN_PAIR(u64le, uint64_t, htole64, le64toh)
ENDIAN_PAIR(u16be, uint16_t, htobe16, be16toh)
ENDIAN_PAIR(u32be, uint32_t, htobe32, be32toh)

#undef ENDIAN_PAIR

#endif
