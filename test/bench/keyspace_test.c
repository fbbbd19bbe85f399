/* keyspace_test.c - keys are distinct, values belong to their keys. */
#include "bench/keyspace.h"
#include "test/test.h"

#include <stdlib.h>

static struct keyspace keyspace(uint32_t key_min, uint32_t key_max, uint32_t value_min, uint32_t value_max)
{
    struct keyspace k;
    CU_ASSERT_FATAL(keyspace_init(&k, (struct byte_range){key_min, key_max},
                                  (struct byte_range){value_min, value_max}, 1000));
    return k;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* Requires: keys of at most 31 bytes. */
static void check_distinct(const struct keyspace *k, uint64_t first, size_t count)
{
    uint8_t(*keys)[32] = calloc(count, sizeof keys[0]);
    CU_ASSERT_FATAL(keys != NULL);
    for (size_t i = 0; i < count; i++) {
        keys[i][31] = (uint8_t)keyspace_key(k, first + i, keys[i]);
        CU_ASSERT_FATAL(keys[i][31] >= k->key_bytes_min && keys[i][31] <= k->key_bytes_max);
    }
    qsort(keys, count, sizeof keys[0], by_key);
    for (size_t i = 1; i < count; i++)
        CU_ASSERT_FATAL(memcmp(keys[i - 1], keys[i], 32) != 0);
    free(keys);
}

TEST(every_key_of_the_shortest_length_is_distinct)
{
    struct keyspace k = keyspace(8, 8, 0, 0);
    CU_ASSERT_EQUAL(keyspace_capacity(&k), 8192);
    check_distinct(&k, 0, 8192);
}

TEST(keys_of_all_lengths_are_distinct_and_within_their_range)
{
    struct keyspace k = keyspace(16, 24, 100, 100);
    check_distinct(&k, 0, 50000);
    check_distinct(&k, keyspace_capacity(&k) - 1000, 1000);
    k = keyspace(23, 30, 100, 100);
    check_distinct(&k, 1ull << 40, 10000);
}

TEST(keys_are_user_and_digits_and_not_in_order)
{
    struct keyspace k = keyspace(20, 20, 100, 100);
    uint8_t key[20], before[20] = {0};
    int ascending = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        CU_ASSERT_EQUAL(keyspace_key(&k, i, key), 20);
        CU_ASSERT_EQUAL(memcmp(key, "user", 4), 0);
        for (int at = 4; at < 20; at++)
            CU_ASSERT(key[at] >= '0' && key[at] <= '9');
        ascending += memcmp(before, key, sizeof key) < 0;
        memcpy(before, key, sizeof key);
    }
    CU_ASSERT(ascending > 400 && ascending < 600);
}

TEST(too_many_keys_for_their_length_are_refused)
{
    struct keyspace k;
    CU_ASSERT(!keyspace_init(&k, (struct byte_range){8, 8}, (struct byte_range){0, 0}, 8192));
    CU_ASSERT(keyspace_init(&k, (struct byte_range){8, 8}, (struct byte_range){0, 0}, 4096));
}

TEST(tagged_keys_are_distinct_and_share_their_tags)
{
    struct keyspace k = keyspace(20, 20, 100, 100);
    CU_ASSERT_FATAL(keyspace_use_tags(&k, 100000, 100));
    check_distinct(&k, 0, 20000);
    uint8_t key[20];
    uint32_t prefix = keyspace_prefix_bytes(&k);
    CU_ASSERT_EQUAL(keyspace_key(&k, 5, key), 20);
    CU_ASSERT_EQUAL(key[4], '{');
    CU_ASSERT_EQUAL(key[prefix - 1], '}');
    uint8_t other[20];
    int same = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        keyspace_key(&k, i, other);
        same += memcmp(key, other, prefix) == 0;
    }
    CU_ASSERT(same >= 50 && same <= 1000);
}

TEST(a_value_belongs_to_its_key_in_every_version)
{
    struct keyspace k = keyspace(20, 20, 16, 200);
    uint8_t value[208];
    for (uint64_t version = 0; version < 500; version++) {
        uint32_t bytes = keyspace_value(&k, 77, version, value);
        CU_ASSERT(bytes >= 16 && bytes <= 200);
        CU_ASSERT(keyspace_value_belongs(&k, 77, slice_of(value, bytes)));
        CU_ASSERT(!keyspace_value_belongs(&k, 78, slice_of(value, bytes)));
    }
}

TEST(a_value_with_any_bit_flipped_or_byte_cut_is_found_out)
{
    struct keyspace k = keyspace(20, 20, 100, 100);
    uint8_t value[108];
    uint32_t bytes = keyspace_value(&k, 5, 9, value);
    for (uint32_t bit = 0; bit < bytes * 8; bit++) {
        value[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CU_ASSERT(!keyspace_value_belongs(&k, 5, slice_of(value, bytes)));
        value[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT(keyspace_value_belongs(&k, 5, slice_of(value, bytes)));
    CU_ASSERT(!keyspace_value_belongs(&k, 5, slice_of(value, bytes - 1)));
    CU_ASSERT(!keyspace_value_belongs(&k, 5, slice_of(NULL, 0)));
}

TEST(values_of_every_length_stay_within_their_buffer)
{
    for (uint32_t bytes = 0; bytes < 40; bytes++) {
        struct keyspace k = keyspace(20, 20, bytes, bytes);
        uint8_t value[48];
        memset(value, 0xee, sizeof value);
        CU_ASSERT_EQUAL(keyspace_value(&k, 1, 2, value), bytes);
        CU_ASSERT_EQUAL(value[bytes + 8], 0xee);
    }
}

TEST(a_value_that_may_be_compressed_repeats_its_first_part_and_still_belongs_to_its_key)
{
    struct keyspace k = keyspace(20, 20, 1000, 1000);
    uint8_t value[1008];
    k.value_novel_256 = 128;
    CU_ASSERT_EQUAL(keyspace_value(&k, 5, 9, value), 1000);
    CU_ASSERT_EQUAL(memcmp(value + 8, value + 504, 488), 0); /* 500 bytes are 62 words */
    CU_ASSERT(memcmp(value + 8, value + 256, 240) != 0);
    CU_ASSERT(keyspace_value_belongs(&k, 5, slice_of(value, 1000)));
    CU_ASSERT(!keyspace_value_belongs(&k, 6, slice_of(value, 1000)));
    value[900] ^= 1;
    CU_ASSERT(!keyspace_value_belongs(&k, 5, slice_of(value, 1000)));
    k.value_novel_256 = 1;
    for (uint32_t bytes = 16; bytes < 64; bytes++) {
        k.value_bytes_min = k.value_bytes_max = bytes;
        CU_ASSERT_EQUAL(keyspace_value(&k, 5, 9, value), bytes);
        CU_ASSERT(keyspace_value_belongs(&k, 5, slice_of(value, bytes)));
    }
}
