/* wal_format_test.c - headers of the log: what was encoded is decoded, anything else is refused. */
#include "engine/wal_format.h"

#include "reactor/base/endian.h"
#include "test/test.h"

#include <string.h>

static void encode_segment(uint8_t *to, uint64_t first_sequence, uint64_t continues_sequence)
{
    struct wal_segment_header h = {.id = 3,
                                   .epoch = 77,
                                   .first_sequence = first_sequence,
                                   .continues_sequence = continues_sequence,
                                   .continues_checksum = 5};
    wal_segment_header_encode(to, &h);
}

/* Sets a field and makes the checksum right again. */
static void forge(uint8_t *header, size_t bytes, size_t at, uint64_t value)
{
    store_u64le(header + at, value);
    store_u64le(header + bytes - 8, checksum_bytes(header, bytes - 8));
}

TEST(wal_segment_header_comes_back_and_no_other_bits_do)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_BYTES];
    struct wal_segment_header h;
    encode_segment(bytes, 9, 8);
    CU_ASSERT_EQUAL(wal_segment_header_decode(bytes, &h), WAL_HEADER_VALID);
    CU_ASSERT(h.id == 3 && h.epoch == 77 && h.first_sequence == 9 && h.continues_sequence == 8);
    CU_ASSERT_EQUAL(h.continues_checksum, 5);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CU_ASSERT_EQUAL(wal_segment_header_decode(bytes, &h), WAL_HEADER_BAD);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

TEST(wal_segment_header_of_another_version_is_told_from_a_damaged_one)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_BYTES];
    struct wal_segment_header h;
    encode_segment(bytes, 9, 8);
    store_u32le(bytes + 4, WAL_FORMAT_VERSION + 1);
    CU_ASSERT_EQUAL(wal_segment_header_decode(bytes, &h), WAL_HEADER_BAD);
    forge(bytes, sizeof bytes, 48, 0);
    CU_ASSERT_EQUAL(wal_segment_header_decode(bytes, &h), WAL_HEADER_OTHER_VERSION);
    CU_ASSERT_EQUAL(h.id, 3);
}

TEST(wal_segment_header_goes_on_upwards_and_not_beyond_all_sequences)
{
    uint8_t bytes[WAL_SEGMENT_HEADER_BYTES];
    struct wal_segment_header h;
    encode_segment(bytes, 8, 8);
    CU_ASSERT_EQUAL(wal_segment_header_decode(bytes, &h), WAL_HEADER_BAD);
    encode_segment(bytes, WAL_SEQUENCE_MAX, 8);
    CU_ASSERT_EQUAL(wal_segment_header_decode(bytes, &h), WAL_HEADER_VALID);
    encode_segment(bytes, UINT64_MAX, 8);
    CU_ASSERT_EQUAL(wal_segment_header_decode(bytes, &h), WAL_HEADER_BAD);
}

TEST(wal_record_header_is_refused_when_its_numbers_cannot_be)
{
    enum { AT_SEQUENCE = 32, AT_WATERMARK = 40 };
    uint8_t bytes[WAL_RECORD_HEADER_BYTES];
    struct wal_record_header h = {.sequence = 7, .watermark = 6}, found;
    wal_record_header_encode(bytes, &h);
    CU_ASSERT(wal_record_header_decode(bytes, &found));
    CU_ASSERT(found.sequence == 7 && found.watermark == 6 && found.checksum == h.checksum);
    forge(bytes, sizeof bytes, AT_WATERMARK, 7);
    CU_ASSERT_FALSE(wal_record_header_decode(bytes, &found));
    forge(bytes, sizeof bytes, AT_SEQUENCE, WAL_SEQUENCE_MAX);
    CU_ASSERT(wal_record_header_decode(bytes, &found));
    forge(bytes, sizeof bytes, AT_SEQUENCE, UINT64_MAX); /* the next one would be 0 */
    CU_ASSERT_FALSE(wal_record_header_decode(bytes, &found));
}

TEST(wal_segment_name_is_read_back_and_no_other_name_is_one)
{
    static const char *const wrong[] = {"wal-0000000000000001.log2", "wal-000000000000001.log",
                                        "WAL-0000000000000001.log",  "wal-000000000000000A.log",
                                        "wal-0000000000000001.lot",  "wal-000000000000 001.log",
                                        "wal-000000000000000g.log",  "",
                                        "table-0000000000000001.sst"};
    char name[WAL_NAME_BYTES];
    uint64_t id = 0;
    wal_segment_name(name, UINT64_C(0x123456789abcdef0));
    CU_ASSERT_STRING_EQUAL(name, "wal-123456789abcdef0.log");
    CU_ASSERT(wal_segment_name_parse(name, &id));
    CU_ASSERT_EQUAL(id, UINT64_C(0x123456789abcdef0));
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        CU_ASSERT_FALSE(wal_segment_name_parse(wrong[i], &id));
}
