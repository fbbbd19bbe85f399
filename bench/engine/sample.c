/* sample.c - keys and values from numbers. */
#include "bench/engine/sample.h"

#include "bench/random.h"
#include "engine/entry.h"
#include "reactor/base/endian.h"

static void put_hex(uint8_t *to, uint64_t word)
{
    for (unsigned i = 0; i < 16; i++)
        to[i] = (uint8_t) "0123456789abcdef"[word >> (60 - 4 * i) & 15];
}

struct record_key sample_key(const struct sample *s, uint64_t number, uint8_t to[SAMPLE_KEY_BYTES_MAX])
{
    ASSERT(s->key_bytes >= SAMPLE_KEY_BYTES_MIN && s->key_bytes <= SAMPLE_KEY_BYTES_MAX);
    uint64_t word = random_mix(number + 1);
    put_hex(to, word);
    memset(to + 16, '.', s->key_bytes - 16);
    return (struct record_key){
        .vnode = (uint16_t)(random_mix(word) >> (64 - SAMPLE_VNODE_BITS)),
        .key = slice_of(to, s->key_bytes),
    };
}

struct record sample_record(const struct sample *s, uint64_t number, uint64_t clock, struct sample_memory *to)
{
    ASSERT(s->value_bytes <= SAMPLE_VALUE_BYTES_MAX);
    uint64_t base = random_mix(number) ^ clock;
    uint8_t word[8];
    for (uint32_t at = 0; at < s->value_bytes; at += 8) {
        uint32_t left = s->value_bytes - at;
        store_u64le(word, random_mix(base + at));
        memcpy(to->value + at, word, left < 8 ? left : 8);
    }
    struct record r = {
        .key = sample_key(s, number, to->key),
        .version = {.clock = clock, .node = 1},
        .value = slice_of(to->value, s->value_bytes),
    };
    r.checksum = entry_checksum(&r.key, r.value);
    return r;
}
