/* messages_test.c - what stands in the values of frames: hellos, pages of scans, and the core that owns a
 * slot. */
#include "wire/frame.h"

#include "test/test.h"

#include <stdlib.h>

/* ---- hello ---- */

static struct frame_hello sample_hello(void)
{
    return (struct frame_hello){
        .version_min = 1,
        .version_max = 3,
        .core = FRAME_CORE_ANY,
        .core_count = 64,
        .vnode_bits = 14,
        .features = 0xabcdef,
    };
}

TEST(hello_comes_back_as_it_was_encoded)
{
    uint8_t bytes[FRAME_HELLO_BYTES];
    struct frame_hello in = sample_hello(), out;
    frame_hello_encode(bytes, &in);
    CU_ASSERT_EQUAL(frame_hello_parse(slice_of(bytes, sizeof bytes), &out), 0);
    CU_ASSERT_EQUAL(out.version_min, 1);
    CU_ASSERT_EQUAL(out.version_max, 3);
    CU_ASSERT_EQUAL(out.core, FRAME_CORE_ANY);
    CU_ASSERT_EQUAL(out.core_count, 64);
    CU_ASSERT_EQUAL(out.vnode_bits, 14);
    CU_ASSERT_EQUAL(out.features, 0xabcdef);
    CU_ASSERT(memcmp(bytes, "TORC", 4) == 0);
}

TEST(hello_of_another_length_or_magic_is_refused)
{
    uint8_t bytes[FRAME_HELLO_BYTES + 1] = {0};
    struct frame_hello in = sample_hello(), out;
    frame_hello_encode(bytes, &in);
    for (size_t count = 0; count <= sizeof bytes; count++) {
        uint8_t *copy = malloc(count ? count : 1);
        ASSERT(copy);
        memcpy(copy, bytes, count);
        CU_ASSERT_EQUAL(frame_hello_parse(slice_of(copy, count), &out),
                        count == FRAME_HELLO_BYTES ? 0 : TORC_E_MALFORMED);
        free(copy);
    }
    for (unsigned byte = 0; byte < 4; byte++) {
        frame_hello_encode(bytes, &in);
        bytes[byte] ^= 0x20;
        CU_ASSERT_EQUAL(frame_hello_parse(slice_of(bytes, FRAME_HELLO_BYTES), &out), TORC_E_MALFORMED);
    }
}

TEST(hello_that_contradicts_itself_is_refused)
{
    uint8_t bytes[FRAME_HELLO_BYTES];
    struct frame_hello in = sample_hello(), out;
    in.version_min = 4;
    frame_hello_encode(bytes, &in);
    CU_ASSERT_EQUAL(frame_hello_parse(slice_of(bytes, sizeof bytes), &out), TORC_E_MALFORMED);
    in = sample_hello();
    in.vnode_bits = 15;
    frame_hello_encode(bytes, &in);
    CU_ASSERT_EQUAL(frame_hello_parse(slice_of(bytes, sizeof bytes), &out), TORC_E_MALFORMED);
}

/* ---- pages ---- */

enum { PAGE_ENTRIES = 3 };

static size_t sample_page(uint8_t *to)
{
    store_u16le(to, 5);
    memcpy(to + 2, "after", 5);
    size_t bytes = 7;
    bytes += frame_page_encode_entry(to + bytes, slice_of_string("a"), slice_of_string("one"));
    bytes += frame_page_encode_entry(to + bytes, slice_of_string("bb"), slice_of(NULL, 0));
    bytes += frame_page_encode_entry(to + bytes, slice_of_string("ccc"), slice_of_string("three"));
    return bytes;
}

TEST(page_comes_back_as_it_was_encoded)
{
    static const char *const keys[] = {"a", "bb", "ccc"}, *const values[] = {"one", "", "three"};
    uint8_t bytes[256];
    size_t count = sample_page(bytes), seen = 0;
    struct slice cursor, entries, key, value;
    CU_ASSERT_EQUAL(frame_page_parse(slice_of(bytes, count), &cursor, &entries), 0);
    CU_ASSERT(slice_equal(cursor, slice_of_string("after")));
    while (seen < PAGE_ENTRIES && frame_page_next(&entries, &key, &value) == 1) {
        CU_ASSERT(slice_equal(key, slice_of_string(keys[seen])));
        CU_ASSERT(slice_equal(value, slice_of_string(values[seen])));
        seen++;
    }
    CU_ASSERT_EQUAL(seen, PAGE_ENTRIES);
    CU_ASSERT_EQUAL(frame_page_next(&entries, &key, &value), 0);
}

TEST(page_cut_anywhere_is_refused_or_shorter)
{
    uint8_t bytes[256];
    size_t count = sample_page(bytes);
    for (size_t cut = 0; cut < count; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1);
        ASSERT(copy);
        memcpy(copy, bytes, cut);
        struct slice cursor, entries, key, value;
        int rc = frame_page_parse(slice_of(copy, cut), &cursor, &entries);
        CU_ASSERT_EQUAL(rc, cut < 7 ? TORC_E_MALFORMED : 0);
        unsigned seen = 0;
        while (rc == 0 || rc == 1) {
            rc = frame_page_next(&entries, &key, &value);
            if (rc == 0)
                break;
            seen += rc == 1;
        }
        CU_ASSERT(seen < PAGE_ENTRIES);
        CU_ASSERT(rc == 0 || rc == TORC_E_MALFORMED);
        free(copy);
    }
}

TEST(page_with_a_cursor_too_long_or_lying_lengths_is_refused)
{
    static uint8_t bytes[2 + FRAME_CURSOR_BYTES_MAX + 1];
    struct slice cursor, entries, key, value;
    store_u16le(bytes, FRAME_CURSOR_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(frame_page_parse(slice_of(bytes, sizeof bytes), &cursor, &entries), TORC_E_MALFORMED);
    store_u16le(bytes, FRAME_CURSOR_BYTES_MAX);
    CU_ASSERT_EQUAL(frame_page_parse(slice_of(bytes, sizeof bytes), &cursor, &entries), 0);
    static const uint32_t lies[] = {2, 0x7fffffff, 0xfffffffa, 0xffffffff};
    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        uint8_t entry[FRAME_SCAN_ENTRY_HEADER_BYTES + 2] = {1};
        store_u32le(entry + 2, lies[i]);
        entries = slice_of(entry, sizeof entry);
        CU_ASSERT_EQUAL(frame_page_next(&entries, &key, &value), TORC_E_MALFORMED);
    }
}

/* ---- cores ---- */

TEST(slots_are_divided_over_cores_in_equal_contiguous_runs)
{
    static const uint16_t core_counts[] = {1, 2, 3, 7, 64, 256};
    for (size_t i = 0; i < ARRAY_COUNT(core_counts); i++) {
        uint16_t cores = core_counts[i], core_before = 0;
        uint32_t counts[256] = {0};
        for (uint32_t slot = 0; slot < 16384; slot++) {
            uint16_t core = frame_core_of_slot((uint16_t)slot, 10, cores);
            CU_ASSERT(core == core_before || core == core_before + 1);
            CU_ASSERT(core < cores);
            core_before = core;
            counts[core]++;
        }
        for (uint16_t core = 0; core < cores; core++) /* within one vnode of each other */
            CU_ASSERT(counts[core] + 16 >= 16384u / cores && counts[core] <= 16384u / cores + 16);
    }
}

TEST(a_scan_of_a_range_carries_its_end_and_its_cursor)
{
    uint8_t bytes[FRAME_SCAN_VALUE_BYTES_MAX];
    struct frame_scan scan = {.to = slice_of_string("end"), .cursor = slice_of_string("cursor")};
    struct slice value = slice_of(bytes, frame_scan_encode(bytes, &scan));
    CU_ASSERT_EQUAL(value.bytes, 2 + 3 + 6);
    CU_ASSERT_EQUAL_FATAL(frame_scan_parse(FRAME_RANGE, value, &scan), 0);
    CU_ASSERT(slice_equal(scan.to, slice_of_string("end")));
    CU_ASSERT(slice_equal(scan.cursor, slice_of_string("cursor")));
    CU_ASSERT_EQUAL(frame_scan_parse(FRAME_RANGE, slice_of(bytes, 4), &scan), TORC_E_MALFORMED);
    CU_ASSERT_EQUAL(frame_scan_parse(FRAME_RANGE, slice_of(bytes, 1), &scan), TORC_E_MALFORMED);
    CU_ASSERT_EQUAL_FATAL(frame_scan_parse(0, value, &scan), 0); /* without a range all of it is the cursor */
    CU_ASSERT_EQUAL(scan.cursor.bytes, value.bytes);
    CU_ASSERT_EQUAL(scan.to.bytes, 0);
}

TEST(a_scan_with_too_long_a_cursor_or_end_is_malformed)
{
    static uint8_t bytes[FRAME_SCAN_VALUE_BYTES_MAX + 2];
    struct frame_scan scan;
    CU_ASSERT_EQUAL(frame_scan_parse(0, slice_of(bytes, FRAME_CURSOR_BYTES_MAX), &scan), 0);
    CU_ASSERT_EQUAL(frame_scan_parse(0, slice_of(bytes, FRAME_CURSOR_BYTES_MAX + 1), &scan),
                    TORC_E_MALFORMED);
    store_u16le(bytes, FRAME_KEY_BYTES_MAX);
    CU_ASSERT_EQUAL(frame_scan_parse(FRAME_RANGE, slice_of(bytes, 2 + FRAME_KEY_BYTES_MAX), &scan), 0);
    store_u16le(bytes, FRAME_KEY_BYTES_MAX + 1);
    CU_ASSERT_EQUAL(frame_scan_parse(FRAME_RANGE, slice_of(bytes, 2 + FRAME_KEY_BYTES_MAX + 1), &scan),
                    TORC_E_MALFORMED);
}
