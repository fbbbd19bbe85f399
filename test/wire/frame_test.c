/* frame_test.c - the native frame: what goes in comes out, what lies is refused, nothing is read past the
 * end.
 *
 * What is parsed stands in memory of exactly its size, so that a sanitizer sees every byte read beyond it. */
#include "wire/frame.h"

#include "test/test.h"

#include <stdlib.h>

enum { SAMPLE_BYTES_MAX = 4096 };

/* ---- a sample and exact memory ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Freed by the caller. */
static uint8_t *exact_copy(const void *bytes, size_t count)
{
    uint8_t *copy = malloc(count ? count : 1);
    ASSERT(copy);
    if (count)
        memcpy(copy, bytes, count);
    return copy;
}

static int parse_exact(const void *bytes, size_t count, size_t *needed)
{
    uint8_t *copy = exact_copy(bytes, count);
    struct frame f;
    int rc = frame_parse(slice_of(copy, count), FRAME_BYTES_MAX, &f, needed);
    free(copy);
    return rc;
}

static struct frame_parts sample_parts(struct slice extensions)
{
    struct frame_parts parts = {
        .op = FRAME_PUT,
        .flags = FRAME_WANT_VERSION,
        .request_id = 0x1122334455667788,
        .key = slice_of_string("user:1234"),
        .value = slice_of_string("the value"),
        .extensions = extensions,
    };
    parts.record_checksum = checksum_record(parts.key, parts.value);
    return parts;
}

/* A put with two extensions. Returns: its bytes, written to `to`. */
static size_t sample(uint8_t to[SAMPLE_BYTES_MAX])
{
    uint8_t extensions[FRAME_EXTENSION_BYTES_MAX];
    struct frame_extensions e = {.expiry_ms = 60000, .namespace_name = slice_of_string("default")};
    size_t bytes = frame_extensions_encode(extensions, &e);
    struct frame_parts parts = sample_parts(slice_of(extensions, bytes));
    return frame_encode(to, &parts);
}

/* ---- frames ---- */

TEST(frame_comes_back_as_it_was_encoded)
{
    uint8_t bytes[SAMPLE_BYTES_MAX];
    size_t count = sample(bytes);
    uint8_t *copy = exact_copy(bytes, count);
    struct frame f;
    size_t needed;
    CU_ASSERT_EQUAL(frame_parse(slice_of(copy, count), FRAME_BYTES_MAX, &f, &needed), 1);
    CU_ASSERT_EQUAL(f.length, count);
    CU_ASSERT_EQUAL(f.op, FRAME_PUT);
    CU_ASSERT_EQUAL(f.flags, FRAME_WANT_VERSION);
    CU_ASSERT_FALSE(f.is_response);
    CU_ASSERT_EQUAL(f.request_id, 0x1122334455667788);
    CU_ASSERT(slice_equal(f.key, slice_of_string("user:1234")));
    CU_ASSERT(slice_equal(f.value, slice_of_string("the value")));
    CU_ASSERT(f.bytes == copy);
    CU_ASSERT(frame_is_intact(&f, checksum_record(f.key, f.value)));
    struct frame_extensions e;
    CU_ASSERT_EQUAL(frame_extensions_parse(f.extensions, &e), 0);
    CU_ASSERT_EQUAL(e.expiry_ms, 60000);
    CU_ASSERT(slice_equal(e.namespace_name, slice_of_string("default")));
    free(copy);
}

TEST(frame_header_has_the_bytes_of_the_picture)
{
    uint8_t bytes[SAMPLE_BYTES_MAX];
    struct frame_parts parts = sample_parts(slice_of(NULL, 0));
    size_t count = frame_encode(bytes, &parts);
    static const uint8_t head[20] = {42,   0,    0,    0,    4,    1,    9, 0, 0x88, 0x77,
                                     0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 9, 0, 0,    0};
    CU_ASSERT_EQUAL(count, 42);
    CU_ASSERT_EQUAL(frame_bytes(&parts), 42);
    CU_ASSERT(memcmp(bytes, head, sizeof head) == 0);
    CU_ASSERT(memcmp(bytes + FRAME_HEADER_BYTES, "user:1234the value", 18) == 0);
}

TEST(frame_response_carries_its_bit_and_its_status)
{
    uint8_t bytes[SAMPLE_BYTES_MAX];
    struct frame_parts parts = {.op = FRAME_GET, .flags = 1, .is_response = true, .request_id = 7};
    parts.record_checksum = checksum_record(slice_of(NULL, 0), slice_of(NULL, 0));
    size_t count = frame_encode(bytes, &parts), needed;
    struct frame f;
    CU_ASSERT_EQUAL(frame_parse(slice_of(bytes, count), FRAME_RESPONSE_BYTES_MAX, &f, &needed), 1);
    CU_ASSERT(f.is_response);
    CU_ASSERT_EQUAL(f.op, FRAME_GET);
    CU_ASSERT_EQUAL(f.flags, 1);
    CU_ASSERT(frame_is_intact(&f, parts.record_checksum));
}

TEST(frame_cut_at_any_length_asks_for_more)
{
    uint8_t bytes[SAMPLE_BYTES_MAX];
    size_t count = sample(bytes);
    for (size_t cut = 0; cut < count; cut++) {
        size_t needed = 0;
        CU_ASSERT_EQUAL(parse_exact(bytes, cut, &needed), 0);
        CU_ASSERT_EQUAL(needed, cut < FRAME_HEADER_BYTES ? FRAME_HEADER_BYTES : count);
        CU_ASSERT(needed > cut);
    }
}

TEST(frames_in_a_row_are_taken_one_by_one)
{
    uint8_t bytes[SAMPLE_BYTES_MAX];
    size_t count = sample(bytes), needed;
    memcpy(bytes + count, bytes, count);
    struct frame f;
    CU_ASSERT_EQUAL(frame_parse(slice_of(bytes, 2 * count), FRAME_BYTES_MAX, &f, &needed), 1);
    CU_ASSERT_EQUAL(f.length, count);
    CU_ASSERT_EQUAL(f.extensions.data + f.extensions.bytes, bytes + count);
}

TEST(frame_finds_every_flipped_bit)
{
    uint8_t bytes[SAMPLE_BYTES_MAX];
    size_t count = sample(bytes), needed;
    for (size_t bit = 0; bit < count * 8; bit++) {
        uint8_t *copy = exact_copy(bytes, count);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct frame f;
        int rc = frame_parse(slice_of(copy, count), FRAME_BYTES_MAX, &f, &needed);
        /* A longer length is only found out when the bytes do not come; all else by lengths or check. */
        if (rc == 1)
            CU_ASSERT_FALSE(frame_is_intact(&f, checksum_record(f.key, f.value)));
        if (rc == 0)
            CU_ASSERT(bit < 32 && needed > count);
        free(copy);
    }
}

TEST(frame_refuses_lengths_that_lie)
{
    uint8_t good[SAMPLE_BYTES_MAX], bytes[SAMPLE_BYTES_MAX];
    size_t count = sample(good), needed;
    uint32_t body = (uint32_t)count - FRAME_HEADER_BYTES;
    for (uint32_t length = 0; length < FRAME_HEADER_BYTES; length++) {
        memcpy(bytes, good, count);
        store_u32le(bytes, length);
        CU_ASSERT_EQUAL(parse_exact(bytes, count, &needed), TORC_E_FRAME_LENGTH);
        CU_ASSERT_EQUAL(parse_exact(bytes, 4, &needed), TORC_E_FRAME_LENGTH);
    }
    memcpy(bytes, good, count);
    store_u16le(bytes + 6, (uint16_t)(body + 1));
    CU_ASSERT_EQUAL(parse_exact(bytes, count, &needed), TORC_E_FRAME_LENGTH);
    CU_ASSERT_EQUAL(parse_exact(bytes, FRAME_HEADER_BYTES, &needed), TORC_E_FRAME_LENGTH);
    static const uint32_t values[] = {0x7fffffff, 0x80000000, 0xfffffff7, 0xffffffff};
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        memcpy(bytes, good, count);
        store_u32le(bytes + 16, values[i]);
        CU_ASSERT_EQUAL(parse_exact(bytes, count, &needed), TORC_E_FRAME_LENGTH);
    }
    memcpy(bytes, good, count);
    store_u32le(bytes + 16, body - 9 + 1);
    CU_ASSERT_EQUAL(parse_exact(bytes, count, &needed), TORC_E_FRAME_LENGTH);
}

TEST(frame_length_is_refused_before_anything_is_waited_for)
{
    uint8_t bytes[FRAME_HEADER_BYTES] = {0};
    size_t needed;
    store_u32le(bytes, FRAME_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(parse_exact(bytes, 4, &needed), TORC_E_FRAME_TOO_LARGE);
    store_u32le(bytes, UINT32_MAX);
    CU_ASSERT_EQUAL(parse_exact(bytes, 4, &needed), TORC_E_FRAME_TOO_LARGE);
    struct frame f;
    store_u32le(bytes, FRAME_BYTES_MAX + 1);
    store_u32le(bytes + 16, FRAME_BYTES_MAX + 1 - FRAME_HEADER_BYTES);
    CU_ASSERT_EQUAL(frame_parse(slice_of(bytes, sizeof bytes), FRAME_RESPONSE_BYTES_MAX, &f, &needed), 0);
    CU_ASSERT_EQUAL(needed, FRAME_BYTES_MAX + 1);
}

TEST(frame_takes_extensions_up_to_their_limit_and_no_more)
{
    uint8_t bytes[SAMPLE_BYTES_MAX] = {0};
    size_t needed;
    store_u32le(bytes, FRAME_HEADER_BYTES + FRAME_EXTENSION_BYTES_MAX);
    CU_ASSERT_EQUAL(parse_exact(bytes, FRAME_HEADER_BYTES + FRAME_EXTENSION_BYTES_MAX, &needed), 1);
    store_u32le(bytes, FRAME_HEADER_BYTES + FRAME_EXTENSION_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(parse_exact(bytes, FRAME_HEADER_BYTES + FRAME_EXTENSION_BYTES_MAX + 1, &needed),
                    TORC_E_FRAME_LENGTH);
}

TEST(frame_of_the_largest_size_is_taken)
{
    uint8_t *memory = calloc(1, FRAME_BYTES_MAX);
    ASSERT(memory);
    struct frame_parts parts = {
        .op = FRAME_PUT,
        .key = slice_of(memory, FRAME_KEY_BYTES_MAX),
        .value = slice_of(memory, FRAME_VALUE_BYTES_MAX),
    };
    uint8_t *bytes = malloc(FRAME_BYTES_MAX);
    ASSERT(bytes);
    size_t count = frame_encode(bytes, &parts), needed;
    struct frame f;
    CU_ASSERT_EQUAL(count, FRAME_BYTES_MAX - FRAME_EXTENSION_BYTES_MAX);
    CU_ASSERT_EQUAL(frame_parse(slice_of(bytes, count), FRAME_BYTES_MAX, &f, &needed), 1);
    CU_ASSERT_EQUAL(f.key.bytes, FRAME_KEY_BYTES_MAX);
    CU_ASSERT_EQUAL(f.value.bytes, FRAME_VALUE_BYTES_MAX);
    free(bytes);
    free(memory);
}

TEST(frame_parser_never_reads_past_random_bytes)
{
    uint64_t state = 0x746f7263;
    for (unsigned round = 0; round < 50000; round++) {
        uint8_t bytes[128];
        size_t count = next_random(&state) % (sizeof bytes + 1), needed;
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)next_random(&state);
        if (count >= 4 && next_random(&state) % 4 != 0)
            store_u32le(bytes, (uint32_t)(next_random(&state) % 160)); /* else nearly all are too large */
        if (count >= 20 && next_random(&state) % 2 == 0) {
            store_u16le(bytes + 6, (uint16_t)(next_random(&state) % 64));
            store_u32le(bytes + 16, (uint32_t)(next_random(&state) % 64));
        }
        uint8_t *copy = exact_copy(bytes, count);
        struct frame f;
        int rc = frame_parse(slice_of(copy, count), FRAME_BYTES_MAX, &f, &needed);
        CU_ASSERT(rc == 1 || rc == 0 || rc == TORC_E_FRAME_LENGTH || rc == TORC_E_FRAME_TOO_LARGE);
        if (rc == 0)
            CU_ASSERT(needed > count && needed <= FRAME_BYTES_MAX);
        if (rc == 1) {
            CU_ASSERT(f.length <= count);
            frame_is_intact(&f, checksum_record(f.key, f.value)); /* touches every byte of it */
            struct frame_extensions e;
            int parsed = frame_extensions_parse(f.extensions, &e);
            CU_ASSERT(parsed == 0 || parsed == TORC_E_MALFORMED);
        }
        free(copy);
    }
}

/* ---- extensions ---- */

static int parse_extensions(const void *bytes, size_t count, struct frame_extensions *out)
{
    uint8_t *copy = exact_copy(bytes, count);
    int rc = frame_extensions_parse(slice_of(copy, count), out);
    free(copy);
    return rc;
}

TEST(extensions_of_all_kinds_come_back)
{
    uint8_t bytes[FRAME_EXTENSION_BYTES_MAX];
    struct frame_extensions in = {
        .expiry_ms = 1,
        .deadline_ms = 2,
        .limit = FRAME_SCAN_LIMIT_MAX,
        .namespace_name = slice_of_string("sixty-four bytes of a name, which is as long as one may be, now!"),
        .has_version = true,
        .version_clock = 0xfedcba9876543210,
        .version_node = 0x1234,
    };
    CU_ASSERT_EQUAL(in.namespace_name.bytes, 64);
    size_t count = frame_extensions_encode(bytes, &in);
    struct frame_extensions out;
    CU_ASSERT_EQUAL(frame_extensions_parse(slice_of(bytes, count), &out), 0);
    CU_ASSERT_EQUAL(out.expiry_ms, in.expiry_ms);
    CU_ASSERT_EQUAL(out.deadline_ms, in.deadline_ms);
    CU_ASSERT_EQUAL(out.limit, in.limit);
    CU_ASSERT(slice_equal(out.namespace_name, in.namespace_name));
    CU_ASSERT(out.has_version);
    CU_ASSERT_EQUAL(out.version_clock, in.version_clock);
    CU_ASSERT_EQUAL(out.version_node, in.version_node);
    bool is_boundary[FRAME_EXTENSION_BYTES_MAX] = {false};
    for (size_t at = 0; at < count; at += 2u + bytes[at + 1])
        is_boundary[at] = true;
    for (size_t cut = 0; cut < count; cut++)
        CU_ASSERT_EQUAL(parse_extensions(bytes, cut, &out), is_boundary[cut] ? 0 : TORC_E_MALFORMED);
}

TEST(extensions_that_are_absent_are_zero)
{
    struct frame_extensions out;
    memset(&out, 0xff, sizeof out);
    CU_ASSERT_EQUAL(frame_extensions_parse(slice_of(NULL, 0), &out), 0);
    CU_ASSERT_EQUAL(out.expiry_ms, 0);
    CU_ASSERT_EQUAL(out.deadline_ms, 0);
    CU_ASSERT_EQUAL(out.limit, 0);
    CU_ASSERT_EQUAL(out.namespace_name.bytes, 0);
    CU_ASSERT_FALSE(out.has_version);
}

TEST(extension_given_twice_is_refused)
{
    static const uint8_t bytes[] = {FRAME_EXT_LIMIT, 4, 1, 0, 0, 0, FRAME_EXT_LIMIT, 4, 1, 0, 0, 0};
    struct frame_extensions out;
    CU_ASSERT_EQUAL(parse_extensions(bytes, 6, &out), 0);
    CU_ASSERT_EQUAL(parse_extensions(bytes, sizeof bytes, &out), TORC_E_MALFORMED);
}

TEST(extension_of_unknown_kind_or_wrong_length_is_refused)
{
    struct frame_extensions out;
    for (unsigned kind = 0; kind < 256; kind++) {
        for (unsigned bytes = 0; bytes <= 66; bytes++) {
            uint8_t text[2 + 66] = {(uint8_t)kind, (uint8_t)bytes, 1};
            bool is_sound = (kind == FRAME_EXT_EXPIRY_MS && bytes == 8) ||
                            (kind == FRAME_EXT_NAMESPACE && bytes >= 1 && bytes <= 64) ||
                            (kind == FRAME_EXT_DEADLINE_MS && bytes == 4) ||
                            (kind == FRAME_EXT_LIMIT && bytes == 4) ||
                            (kind == FRAME_EXT_VERSION && bytes == 10);
            CU_ASSERT_EQUAL(parse_extensions(text, 2 + bytes, &out), is_sound ? 0 : TORC_E_MALFORMED);
        }
    }
}

TEST(extension_values_have_limits)
{
    struct frame_extensions out;
    uint8_t limit[6] = {FRAME_EXT_LIMIT, 4}, expiry[10] = {FRAME_EXT_EXPIRY_MS, 8};
    uint8_t deadline[6] = {FRAME_EXT_DEADLINE_MS, 4};
    CU_ASSERT_EQUAL(parse_extensions(limit, sizeof limit, &out), TORC_E_MALFORMED);
    store_u32le(limit + 2, FRAME_SCAN_LIMIT_MAX);
    CU_ASSERT_EQUAL(parse_extensions(limit, sizeof limit, &out), 0);
    store_u32le(limit + 2, FRAME_SCAN_LIMIT_MAX + 1);
    CU_ASSERT_EQUAL(parse_extensions(limit, sizeof limit, &out), TORC_E_MALFORMED);
    CU_ASSERT_EQUAL(parse_extensions(expiry, sizeof expiry, &out), TORC_E_MALFORMED);
    CU_ASSERT_EQUAL(parse_extensions(deadline, sizeof deadline, &out), TORC_E_MALFORMED);
}
