/* crc16.c - CRC-16/XMODEM, eight bytes a step.
 *
 * Every request pays for this once, so it runs over eight tables ("slicing-by-8", Kounavis and Berry, ISCC
 * 2005) instead of one. Table k holds the remainders of a byte that k more bytes follow; the unit test
 * derives every entry again from the polynomial, bit by bit. */
#include "reactor/base/crc16.h"

#include "reactor/base/crc16_table.h"

uint16_t crc16(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint32_t crc = 0;
    for (; bytes >= 8; bytes -= 8, p += 8)
        crc = (uint32_t)(crc16_table[7][p[0] ^ (crc >> 8)] ^ crc16_table[6][p[1] ^ (crc & 0xff)] ^
                         crc16_table[5][p[2]] ^ crc16_table[4][p[3]] ^ crc16_table[3][p[4]] ^
                         crc16_table[2][p[5]] ^ crc16_table[1][p[6]] ^ crc16_table[0][p[7]]);
    for (; bytes > 0; bytes--, p++)
        crc = ((crc << 8) & 0xffff) ^ crc16_table[0][*p ^ (crc >> 8)];
    return (uint16_t)crc;
}

struct slice key_tag(struct slice key)
{
    if (key.bytes == 0)
        return key;
    const uint8_t *open = memchr(key.data, '{', key.bytes);
    if (!open)
        return key;
    size_t rest = key.bytes - (size_t)(open + 1 - key.data);
    const uint8_t *close = rest ? memchr(open + 1, '}', rest) : NULL;
    if (!close || close == open + 1)
        return key;
    return slice_of(open + 1, (size_t)(close - open - 1));
}

uint16_t key_slot(struct slice key)
{
    struct slice tag = key_tag(key);
    return crc16(tag.data, tag.bytes) & (SLOT_COUNT - 1);
}
