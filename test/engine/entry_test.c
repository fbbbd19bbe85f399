/* entry_test.c - the encoding of a record: what goes in comes out, and nothing is read past the end. */
#include "engine/entry.h"

#include "test/test.h"

#include <stdlib.h>

static struct record plain_record(void)
{
    struct record r = {
        .key = {.vnode = 513, .namespace_id = 0xdeadbeef, .key = slice_of_string("user:1234")},
        .version = {.clock = 0x0123456789abcdefu, .node = 0xfedc},
        .value = slice_of_string("the value"),
    };
    r.checksum = entry_checksum(&r.key, r.value);
    return r;
}

static struct record full_record(void)
{
    struct record r = plain_record();
    r.flags = RECORD_EXPIRING | 4;
    r.expiry_ms = 1700000000123u;
    r.key.subkey = slice_of_string("field");
    r.checksum = entry_checksum(&r.key, r.value);
    return r;
}

static bool same_record(const struct record *a, const struct record *b)
{
    return record_key_compare(&a->key, &b->key) == 0 && version_compare(a->version, b->version) == 0 &&
           a->flags == b->flags && a->expiry_ms == b->expiry_ms && slice_equal(a->value, b->value) &&
           a->checksum == b->checksum;
}

/* Encodes to memory of exactly that size, so that a sanitizer sees what goes past it. Freed by the caller. */
static uint8_t *encode(const struct record *r, size_t *bytes)
{
    *bytes = entry_bytes(r);
    uint8_t *to = malloc(*bytes);
    ASSERT(to);
    CU_ASSERT_EQUAL(entry_encode(to, r), *bytes);
    return to;
}

static void check_round_trip(const struct record *r)
{
    size_t bytes, consumed = 0;
    uint8_t *encoded = encode(r, &bytes);
    struct record out;
    CU_ASSERT_EQUAL(entry_decode(slice_of(encoded, bytes), &out, &consumed), 0);
    CU_ASSERT_EQUAL(consumed, bytes);
    CU_ASSERT(same_record(r, &out));
    CU_ASSERT(entry_verify(&out));
    CU_ASSERT(entry_header_is_sound(encoded));
    struct record trusted;
    entry_decode_trusted(encoded, &trusted);
    CU_ASSERT(same_record(r, &trusted));
    free(encoded);
}

TEST(entry_comes_back_as_it_was)
{
    struct record plain = plain_record(), full = full_record();
    check_round_trip(&plain);
    check_round_trip(&full);
    CU_ASSERT_EQUAL(entry_bytes(&plain), ENTRY_HEADER_BYTES + 9 + 9);
    CU_ASSERT_EQUAL(entry_bytes(&full), ENTRY_HEADER_BYTES + 8 + 9 + 5 + 9);
}

TEST(entry_has_the_bytes_of_the_format)
{
    static const uint8_t expected_head[] = {
        9,    0,    0,    6,                            /* value bytes, flags */
        9,    0,    5,    0,                            /* key, subkey bytes */
        0xef, 0xbe, 0xad, 0xde, 0x01, 0x02, 0xdc, 0xfe, /* namespace, vnode, node */
        0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, /* clock */
    };
    struct record r = full_record();
    size_t bytes;
    uint8_t *encoded = encode(&r, &bytes);
    CU_ASSERT_EQUAL(memcmp(encoded, expected_head, sizeof expected_head), 0);
    CU_ASSERT_EQUAL(load_u64le(encoded + 24), r.checksum);
    CU_ASSERT_EQUAL(load_u64le(encoded + 36), r.expiry_ms);
    CU_ASSERT_EQUAL(memcmp(encoded + 44, "user:1234fieldthe value", 23), 0);
    free(encoded);
}

TEST(entry_takes_the_largest_record_and_the_smallest)
{
    uint8_t *big = calloc(1, VALUE_BYTES_MAX);
    ASSERT(big);
    struct record r = full_record();
    r.key.vnode = ENTRY_VNODE_MAX;
    r.key.key = slice_of(big, KEY_BYTES_MAX);
    r.key.subkey = slice_of(big, SUBKEY_BYTES_MAX);
    r.value = slice_of(big, VALUE_BYTES_MAX);
    r.checksum = entry_checksum(&r.key, r.value);
    CU_ASSERT_EQUAL(entry_bytes(&r), ENTRY_BYTES_MAX);
    check_round_trip(&r);
    struct record tombstone = {.key = {.key = slice_of_string("k")}, .flags = RECORD_TOMBSTONE};
    tombstone.checksum = entry_checksum(&tombstone.key, tombstone.value);
    CU_ASSERT_EQUAL(entry_bytes(&tombstone), ENTRY_BYTES_MIN);
    check_round_trip(&tombstone);
    free(big);
}

TEST(entry_cut_short_anywhere_is_corrupt)
{
    struct record r = full_record();
    size_t bytes;
    uint8_t *encoded = encode(&r, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *part = malloc(cut + 1);
        ASSERT(part);
        memcpy(part + 1, encoded, cut); /* at the end of its memory: a read past it is seen */
        struct record out;
        size_t consumed;
        CU_ASSERT_EQUAL(entry_decode(slice_of(part + 1, cut), &out, &consumed), TORC_E_CORRUPT);
        free(part);
    }
    free(encoded);
}

static int decode_with_u16(size_t offset, uint16_t value)
{
    uint8_t memory[8192] = {0};
    struct record r = full_record(), out;
    size_t consumed;
    (void)entry_encode(memory, &r);
    store_u16le(memory + offset, value);
    return entry_decode(slice_of(memory, sizeof memory), &out, &consumed);
}

TEST(entry_with_lengths_out_of_limits_is_corrupt)
{
    CU_ASSERT_EQUAL(decode_with_u16(4, 0), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(decode_with_u16(4, KEY_BYTES_MAX), 0);
    CU_ASSERT_EQUAL(decode_with_u16(4, KEY_BYTES_MAX + 1), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(decode_with_u16(6, SUBKEY_BYTES_MAX), 0);
    CU_ASSERT_EQUAL(decode_with_u16(6, SUBKEY_BYTES_MAX + 1), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(decode_with_u16(12, ENTRY_VNODE_MAX), 0);
    CU_ASSERT_EQUAL(decode_with_u16(12, ENTRY_VNODE_MAX + 1), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(decode_with_u16(2, 0x0610), TORC_E_CORRUPT); /* a value of more than 1 MiB */
    CU_ASSERT_EQUAL(decode_with_u16(2, 0x4000), TORC_E_CORRUPT); /* a flag that is not known */
}

TEST(entry_with_any_bit_flipped_is_found_out)
{
    struct record r = full_record();
    size_t bytes;
    uint8_t *encoded = encode(&r, &bytes);
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct record out;
        size_t consumed;
        bool is_good = entry_decode(slice_of(encoded, bytes), &out, &consumed) == 0 &&
                       entry_header_is_sound(encoded) && entry_verify(&out);
        CU_ASSERT_FALSE(is_good);
        encoded[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(encoded);
}

TEST(entry_checksum_tells_key_from_subkey)
{
    struct record_key a = {.key = slice_of_string("ab"), .subkey = slice_of_string("c")};
    struct record_key b = {.key = slice_of_string("a"), .subkey = slice_of_string("bc")};
    struct record_key plain = {.key = slice_of_string("ab")};
    struct slice value = slice_of_string("v");
    CU_ASSERT_NOT_EQUAL(entry_checksum(&a, value), entry_checksum(&b, value));
    CU_ASSERT_EQUAL(entry_checksum(&plain, value), checksum_record(plain.key, value));
}
