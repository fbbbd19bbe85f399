/* base_test.c - the leaf that every layer includes: hash slots, error names, histograms, integers, lists. */
#include "reactor/base/checksum.h"
#include "reactor/base/crc16.h"
#include "reactor/base/endian.h"
#include "reactor/base/histogram.h"
#include "test/test.h"

#include <string.h>

/* CRC-16/XMODEM one bit at a time: what the table must agree with. */
static uint16_t crc16_by_bits(const uint8_t *data, size_t bytes)
{
    uint16_t crc = 0;
    for (size_t i = 0; i < bytes; i++) {
        crc = (uint16_t)(crc ^ (data[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc;
}

TEST(crc16_agrees_with_the_polynomial_for_every_byte)
{
    for (unsigned first = 0; first < 256; first++) {
        uint8_t data[3] = {(uint8_t)first, (uint8_t)(first * 7 + 1), (uint8_t)(255 - first)};
        for (size_t bytes = 0; bytes <= sizeof data; bytes++)
            CU_ASSERT_EQUAL(crc16(data, bytes), crc16_by_bits(data, bytes));
    }
    CU_ASSERT_EQUAL(crc16("123456789", 9), 0x31c3);
}

TEST(checksums_are_xxh3_whatever_the_length)
{
    static uint8_t data[9000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i + (i >> 7));
    for (size_t bytes = 0; bytes < sizeof data; bytes += bytes < 300 ? 1 : 97) {
        const uint8_t *from = data + (sizeof data - bytes) % 5;
        uint64_t seed = XXH3_64bits(data, bytes % 20);
        CU_ASSERT_EQUAL(checksum_bytes(from, bytes), XXH3_64bits(from, bytes));
        CU_ASSERT_EQUAL(checksum_record_of_hash(seed, slice_of(from, bytes)),
                        XXH3_64bits_withSeed(from, bytes, seed));
    }
}

TEST(key_slots_are_those_of_redis_cluster)
{
    CU_ASSERT_EQUAL(key_slot(slice_of_string("bar")), 5061);
    CU_ASSERT_EQUAL(key_slot(slice_of_string("foo")), 12182);
    CU_ASSERT_EQUAL(key_slot(slice_of_string("12345678123456789")), 10373);
    CU_ASSERT_EQUAL(key_slot(slice_of_string("foo{bar}x")), 5061);
    CU_ASSERT_EQUAL(key_slot(slice_of_string("{user1000}.following")), key_slot(slice_of_string("user1000")));
}

TEST(key_tag_is_the_whole_key_unless_braces_hold_something)
{
    static const char *const whole[] = {"", "plain", "{}", "foo{}{bar}", "{open", "close}", "}{"};
    for (size_t i = 0; i < ARRAY_COUNT(whole); i++)
        CU_ASSERT(slice_equal(key_tag(slice_of_string(whole[i])), slice_of_string(whole[i])));
    CU_ASSERT(slice_equal(key_tag(slice_of_string("foo{{bar}}zap")), slice_of_string("{bar")));
    CU_ASSERT(slice_equal(key_tag(slice_of_string("a{b}{c}")), slice_of_string("b")));
}

TEST(error_names_numbers_and_sentences_are_unique)
{
    static const int codes[] = {
#define CODE(name, number, sentence) TORC_E_##name,
        TORC_ERROR_LIST(CODE)
#undef CODE
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        CU_ASSERT_EQUAL(error_of_status(error_to_status(codes[i])), codes[i]);
        for (size_t j = 0; j < i; j++) {
            CU_ASSERT_NOT_EQUAL(codes[i], codes[j]);
            CU_ASSERT_NOT_EQUAL(strcmp(error_name(codes[i]), error_name(codes[j])), 0);
            CU_ASSERT_NOT_EQUAL(strcmp(error_sentence(codes[i]), error_sentence(codes[j])), 0);
        }
    }
    CU_ASSERT_STRING_EQUAL(error_name(-2), "SYSTEM");
    CU_ASSERT_EQUAL(error_to_status(-2), (uint8_t)(-TORC_E_STORAGE - 1000));
    CU_ASSERT_EQUAL(error_to_status(0), 0);
    CU_ASSERT_PTR_NOT_NULL(error_sentence(-123456));
}

TEST(integers_are_stored_as_the_formats_say)
{
    uint8_t bytes[9] = {0};
    store_u32le(bytes + 1, 0x01020304);
    CU_ASSERT(memcmp(bytes + 1, "\4\3\2\1", 4) == 0);
    store_u16be(bytes + 1, 0x0102);
    CU_ASSERT(memcmp(bytes + 1, "\1\2", 2) == 0);
    store_u64le(bytes + 1, 0x8877665544332211);
    CU_ASSERT_EQUAL(load_u64le(bytes + 1), 0x8877665544332211);
    CU_ASSERT_EQUAL(bytes[0], 0);
    CU_ASSERT_EQUAL(bytes[1], 0x11);
}

TEST(list_keeps_order_and_takes_a_second_remove)
{
    struct list list, links[3];
    list_init(&list);
    CU_ASSERT_PTR_NULL(list_pop_front(&list));
    for (int i = 0; i < 3; i++)
        list_push_back(&list, &links[i]);
    list_remove(&links[1]);
    list_remove(&links[1]);
    CU_ASSERT_PTR_EQUAL(list_pop_front(&list), &links[0]);
    CU_ASSERT_PTR_EQUAL(list_pop_front(&list), &links[2]);
    CU_ASSERT(list_is_empty(&list));
}

TEST(histogram_buckets_touch_and_are_narrow)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        uint64_t low = histogram_bucket_low(i), high = histogram_bucket_high(i);
        CU_ASSERT_EQUAL(histogram_bucket(low), i);
        CU_ASSERT_EQUAL(histogram_bucket(high), i);
        CU_ASSERT(high - low <= low / HISTOGRAM_SUB_COUNT);
        CU_ASSERT(i == 0 || histogram_bucket_high(i - 1) + 1 == low);
    }
    CU_ASSERT_EQUAL(histogram_bucket_high(HISTOGRAM_BUCKET_COUNT - 1),
                    ((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1);
    CU_ASSERT_EQUAL(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKET_COUNT - 1);
}

TEST(histogram_percentiles_are_upper_bounds_within_a_64th)
{
    static struct histogram h;
    histogram_reset(&h);
    CU_ASSERT_EQUAL(histogram_percentile(&h, 99), 0);
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_record(&h, v);
    for (unsigned p = 1; p <= 100; p++) {
        uint64_t exact = p * 1000, got = histogram_percentile(&h, p);
        CU_ASSERT(got >= exact && got <= exact + exact / 64);
    }
    CU_ASSERT_EQUAL(histogram_percentile(&h, 100), 100000);
    CU_ASSERT_EQUAL(histogram_percentile(&h, 0), 1);
    CU_ASSERT_EQUAL(histogram_min(&h), 1);
    CU_ASSERT_EQUAL(histogram_count(&h), 100000);
    CU_ASSERT_DOUBLE_EQUAL(histogram_mean(&h), 50000.5, 0.001);
}

TEST(histogram_merge_is_recording_both)
{
    static struct histogram a, b, both;
    histogram_reset(&a), histogram_reset(&b), histogram_reset(&both);
    for (uint64_t v = 3; v < 1u << 30; v = v * 5 / 3 + 1) {
        histogram_record_many(v & 1 ? &a : &b, v, 3);
        histogram_record_many(&both, v, 3);
    }
    histogram_record(&b, UINT64_MAX);
    histogram_record(&both, UINT64_MAX);
    histogram_merge(&a, &b);
    CU_ASSERT(memcmp(&a, &both, sizeof a) == 0);
    CU_ASSERT_EQUAL(histogram_percentile(&a, 100), UINT64_MAX);
    uint64_t total = 0;
    for (struct histogram_iterator i = {0}; histogram_next(&a, &i);)
        total += i.count;
    CU_ASSERT_EQUAL(total, histogram_count(&a));
}
