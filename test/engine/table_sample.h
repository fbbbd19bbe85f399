/* table_sample.h - records for the tests of tables: the i-th record of a kind, always the same.
 *
 * Keys ascend with i. Each test file that includes this gets its own copies; nothing is shared. */
#ifndef TEST_ENGINE_TABLE_SAMPLE_H
#define TEST_ENGINE_TABLE_SAMPLE_H

#include "engine/entry.h"
#include "engine/table.h"
#include "test/test.h"

#include <stdio.h>

enum { SAMPLE_KEY_BYTES = 24 };

struct sample {
    struct record record;
    char key[SAMPLE_KEY_BYTES];
};

static uint64_t sample_mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* `values` is memory for the value, at least `value_bytes` long; it is filled. */
static void sample_fill(struct sample *s, uint64_t i, uint8_t *values, size_t value_bytes)
{
    int length = snprintf(s->key, sizeof s->key, "key%012llu", (unsigned long long)i);
    uint64_t word = sample_mix(i);
    for (size_t at = 0; at < value_bytes; at++) {
        values[at] = (uint8_t)(word >> 56);
        word = word * UINT64_C(6364136223846793005) + 1442695040888963407u;
    }
    s->record = (struct record){
        .key = {.vnode = 7, .key = slice_of(s->key, (size_t)length)},
        .version = {.clock = 1000 + i * 3, .node = 2},
        .value = slice_of(values, value_bytes),
    };
    s->record.checksum = entry_checksum(&s->record.key, s->record.value);
}

static bool sample_is_same(const struct record *a, const struct record *b)
{
    return record_key_compare(&a->key, &b->key) == 0 && version_compare(a->version, b->version) == 0 &&
           a->flags == b->flags && a->expiry_ms == b->expiry_ms && slice_equal(a->value, b->value) &&
           a->checksum == b->checksum && entry_verify(b);
}

#endif
