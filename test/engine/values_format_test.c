/* values_format_test.c - the bytes of pointers, headers and references of value logs. */
#include "engine/values_format.h"
#include "test/test.h"

static const struct value_pointer sample = {.file = 0x1122334455667788, .place = 0x99aabbcc, .bytes = 5};

TEST(value_pointer_is_read_as_it_was_written)
{
    uint8_t bytes[VALUE_POINTER_BYTES];
    struct value_pointer back;
    value_pointer_encode(bytes, &sample);
    static const uint8_t expected[VALUE_POINTER_BYTES] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
                                                          0xcc, 0xbb, 0xaa, 0x99, 5,    0,    0,    0};
    CU_ASSERT_EQUAL(memcmp(bytes, expected, sizeof bytes), 0);
    CU_ASSERT_EQUAL(value_pointer_decode(slice_of(bytes, sizeof bytes), &back), 0);
    CU_ASSERT(back.file == sample.file && back.place == sample.place && back.bytes == sample.bytes);
    CU_ASSERT_EQUAL(value_offset(&back), UINT64_C(0x99aabbcc) * 8);
}

TEST(value_pointer_that_is_none_is_refused)
{
    uint8_t bytes[VALUE_POINTER_BYTES];
    struct value_pointer back;
    value_pointer_encode(bytes, &sample);
    CU_ASSERT_EQUAL(value_pointer_decode(slice_of(bytes, sizeof bytes - 1), &back), TORC_E_CORRUPT);
    bytes[VALUE_POINTER_BYTES - 1] = 1; /* a length above any value's */
    CU_ASSERT_EQUAL(value_pointer_decode(slice_of(bytes, sizeof bytes), &back), TORC_E_CORRUPT);
}

TEST(value_header_tells_its_value_from_any_other)
{
    uint8_t header[VALUE_HEADER_BYTES];
    struct slice value = slice_of_string("value");
    value_header_encode(header, &sample, value);
    CU_ASSERT_EQUAL(value_header_value_bytes(header), 5);
    CU_ASSERT(value_header_is_of(header, &sample));
    CU_ASSERT(value_header_is_sound(header, value, sample.file, sample.place));
    CU_ASSERT(!value_header_is_sound(header, value, sample.file + 1, sample.place));
    CU_ASSERT(!value_header_is_sound(header, value, sample.file, sample.place + 1));
    CU_ASSERT(!value_header_is_sound(header, slice_of_string("Value"), sample.file, sample.place));
    for (unsigned bit = 0; bit < VALUE_HEADER_BYTES * 8; bit++) {
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CU_ASSERT(!value_header_is_sound(header, value, sample.file, sample.place));
        CU_ASSERT_EQUAL(value_header_is_of(header, &sample), bit >= VALUE_POINTER_BYTES * 8);
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

TEST(values_take_whole_steps)
{
    CU_ASSERT_EQUAL(value_stored_bytes(0), 24);
    CU_ASSERT_EQUAL(value_stored_bytes(1), 32);
    CU_ASSERT_EQUAL(value_stored_bytes(8), 32);
    CU_ASSERT_EQUAL(value_stored_bytes(9), 40);
}

TEST(value_references_are_a_row_by_file)
{
    uint8_t row[2 * VALUE_REFERENCE_BYTES];
    value_reference_encode(row, &(struct value_reference){.file = 7, .bytes = 100, .file_bytes = 200});
    value_reference_encode(row + VALUE_REFERENCE_BYTES,
                           &(struct value_reference){.file = 9, .bytes = 1, .file_bytes = 1});
    CU_ASSERT_EQUAL(value_reference_count(slice_of(row, sizeof row)), 2);
    CU_ASSERT_EQUAL(value_reference_count(slice_of(NULL, 0)), 0);
    struct value_reference back = value_reference_decode(row);
    CU_ASSERT(back.file == 7 && back.bytes == 100 && back.file_bytes == 200);
    CU_ASSERT_EQUAL(value_reference_count(slice_of(row, sizeof row - 1)), TORC_E_CORRUPT);
    row[VALUE_REFERENCE_BYTES] = 7; /* the same file again */
    CU_ASSERT_EQUAL(value_reference_count(slice_of(row, sizeof row)), TORC_E_CORRUPT);
    row[VALUE_REFERENCE_BYTES] = 9;
    CU_ASSERT_EQUAL(value_reference_count(slice_of(row, sizeof row)), 2);
    row[VALUE_REFERENCE_BYTES + 8] = 2; /* more than the file has */
    CU_ASSERT_EQUAL(value_reference_count(slice_of(row, sizeof row)), TORC_E_CORRUPT);
}
