/* crc16.h - the hash slot of a key, as in Redis Cluster.
 *
 * slot = CRC16(tag) mod 16384, CRC-16/XMODEM (polynomial 0x1021, initial 0, not reflected). The tag is
 * what stands between the first '{' and the next '}' when that is not empty, else the whole key, so keys
 * of one tag share a slot. https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
#ifndef REACTOR_BASE_CRC16_H
#define REACTOR_BASE_CRC16_H

#include "reactor/base/slice.h"

enum { SLOT_BITS = 14, SLOT_COUNT = 1 << SLOT_BITS };

uint16_t crc16(const void *data, size_t bytes);

/* The part of the key that is hashed; borrowed from the key. */
struct slice key_tag(struct slice key);

/* Returns: 0 to SLOT_COUNT - 1. */
uint16_t key_slot(struct slice key);

#endif
