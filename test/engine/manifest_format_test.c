/* manifest_format_test.c - manifests whose checksums are right and whose words contradict each other: each is
 * refused, and none leads the decoder out of its bytes.
 *
 *   header: magic, version, generation, content bytes, content checksum, 0, checksum     | 48 bytes
 *   numbers: bits and vnodes, six u64, table count, files and history of the log         | 96 bytes
 *   table 1: bytes, eleven u64, vnodes, level, bytes of values, smallest, largest, values
 *   table 2 */
#include "engine/manifest_format.h"

#include "engine/values_format.h"
#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    /* of the header */
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_GENERATION = 8,
    AT_CONTENT_BYTES = 16,
    AT_CONTENT_CHECKSUM = 24,
    AT_HEADER_CHECKSUM = MANIFEST_HEADER_BYTES - 8,
    /* of the numbers */
    AT_LOG_SEQUENCE = MANIFEST_HEADER_BYTES + 16,
    AT_FILE_COUNTER = MANIFEST_HEADER_BYTES + 24,
    AT_TABLE_COUNT = MANIFEST_HEADER_BYTES + 56,
    /* of a table, and of a key in it */
    AT_TABLES = MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES,
    IN_NUMBER = 4,
    IN_VNODE_FIRST = 92,
    IN_VALUES_BYTES = 100,
    IN_SMALLEST = MANIFEST_TABLE_BYTES,
    IN_KEY_BYTES = 6,
    IN_SUBKEY_BYTES = 8,
    SMALLEST_BYTES = MANIFEST_KEY_BYTES + 2, /* "a" and "s" */
    TABLES = 2,
    BYTES_MAX = 1024,
};

struct copy {
    uint8_t bytes[BYTES_MAX];
    size_t count;
};

static void encode(struct copy *c)
{
    struct manifest_table tables[TABLES];
    for (uint64_t i = 0; i < TABLES; i++)
        tables[i] = (struct manifest_table){
            .number = (i + 3) << MANIFEST_NUMBER_VNODE_BITS,
            .vnode_first = 1,
            .vnode_last = 2,
            .entries = 10,
            .smallest = {.vnode = 1, .key = slice_of_string("a"), .subkey = slice_of_string("s")},
            .largest = {.vnode = 2, .key = slice_of_string("zebra")},
            .values = slice_of_string("values"),
        };
    struct manifest_state state = {
        .generation = 5,
        .numbers = {.vnode_bits = 4,
                    .vnode_count = 16,
                    .log_start = {.segment = 2, .sequence = 9},
                    .file_counter = 10},
        .tables = tables,
        .table_count = TABLES,
    };
    c->count = manifest_encoded_bytes(&state);
    ASSERT(c->count <= sizeof c->bytes);
    manifest_encode(c->bytes, &state);
}

/* Makes both checksums right, where the content is as long as it says. */
static void mend(struct copy *c)
{
    uint64_t content = load_u64le(c->bytes + AT_CONTENT_BYTES);
    if (content <= c->count - MANIFEST_HEADER_BYTES)
        store_u64le(c->bytes + AT_CONTENT_CHECKSUM,
                    checksum_bytes(c->bytes + MANIFEST_HEADER_BYTES, content));
    store_u64le(c->bytes + AT_HEADER_CHECKSUM, checksum_bytes(c->bytes, AT_HEADER_CHECKSUM));
}

/* From memory of exactly its size. */
static int decode(const struct copy *c)
{
    struct manifest_table *tables = calloc(MANIFEST_TABLES_MAX, sizeof tables[0]);
    uint8_t *bytes = malloc(c->count);
    struct manifest_state state;
    ASSERT(tables && bytes);
    memcpy(bytes, c->bytes, c->count);
    int rc = manifest_decode(slice_of(bytes, c->count), tables, &state);
    CU_ASSERT(rc || state.table_count <= MANIFEST_TABLES_MAX);
    free(bytes);
    free(tables);
    return rc;
}

struct word {
    size_t at;
    size_t bytes;
    uint64_t value;
};

static int decode_changed(struct word w)
{
    struct copy c;
    encode(&c);
    for (size_t i = 0; i < w.bytes; i++)
        c.bytes[w.at + i] = (uint8_t)(w.value >> 8 * i);
    mend(&c);
    return decode(&c);
}

TEST(a_manifest_that_contradicts_itself_is_corrupt)
{
    static const struct word words[] = {
        {AT_MAGIC, 1, 0},
        {AT_GENERATION, 8, 0},
        {AT_CONTENT_BYTES, 8, MANIFEST_NUMBERS_BYTES - 1},
        {AT_CONTENT_BYTES, 8, BYTES_MAX}, /* more than there is */
        {AT_CONTENT_BYTES, 8, MANIFEST_BYTES_MAX},
        {AT_CONTENT_BYTES, 8, MANIFEST_NUMBERS_BYTES}, /* and no table */
        {AT_LOG_SEQUENCE, 8, 0},
        {AT_FILE_COUNTER, 8, 3}, /* a table has that number already */
        {AT_TABLE_COUNT, 4, TABLES + 1},
        {AT_TABLE_COUNT, 4, TABLES - 1}, /* and bytes behind it */
        {AT_TABLE_COUNT, 4, MANIFEST_TABLES_MAX + 1},
        {AT_TABLES, 4, 20},                                                    /* of the first table */
        {AT_TABLES + IN_NUMBER, 8, UINT64_C(4) << MANIFEST_NUMBER_VNODE_BITS}, /* the second one's */
        {AT_TABLES + IN_VNODE_FIRST, 2, 3},                                    /* after the last */
        {AT_TABLES + IN_VALUES_BYTES, 4, MANIFEST_VALUES_BYTES_MAX + 1},
        {AT_TABLES + IN_VALUES_BYTES, 4, 5},
        {AT_TABLES + IN_VALUES_BYTES, 4, 1000}, /* more than there is */
        {AT_TABLES + IN_SMALLEST + IN_KEY_BYTES, 2, KEY_BYTES_MAX + 1},
        {AT_TABLES + IN_SMALLEST + IN_KEY_BYTES, 2, 900},
        {AT_TABLES + IN_SMALLEST + IN_SUBKEY_BYTES, 2, SUBKEY_BYTES_MAX + 1},
        {AT_TABLES + IN_SMALLEST + IN_SUBKEY_BYTES, 2, 900},
        {AT_TABLES + IN_SMALLEST + SMALLEST_BYTES + IN_KEY_BYTES, 2, 900},
        {AT_TABLES + IN_SMALLEST + SMALLEST_BYTES + IN_SUBKEY_BYTES, 2, SUBKEY_BYTES_MAX + 1},
    };
    CU_ASSERT_EQUAL(decode_changed((struct word){0}), 0);
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        if (decode_changed(words[i]) != TORC_E_CORRUPT) {
            fprintf(stderr, "word %zu of the manifests\n", i);
            CU_FAIL("a manifest that contradicts itself was taken");
        }
}

TEST(a_manifest_of_another_version_is_told_from_damage)
{
    CU_ASSERT_EQUAL(decode_changed((struct word){AT_VERSION, 4, MANIFEST_FORMAT_VERSION + 1}),
                    TORC_E_DATA_FORMAT);
}

TEST(a_manifest_cut_anywhere_is_corrupt)
{
    struct copy c;
    encode(&c);
    size_t whole = c.count;
    CU_ASSERT_EQUAL(decode(&c), 0);
    for (c.count = 0; c.count < whole; c.count++)
        CU_ASSERT_EQUAL(decode(&c), TORC_E_CORRUPT);
    /* and one that says that it is no longer */
    for (c.count = AT_TABLES; c.count < whole; c.count++) {
        store_u64le(c.bytes + AT_CONTENT_BYTES, c.count - MANIFEST_HEADER_BYTES);
        mend(&c);
        CU_ASSERT_EQUAL(decode(&c), TORC_E_CORRUPT);
    }
}

TEST(a_manifest_with_any_flipped_byte_is_not_taken)
{
    struct copy c;
    encode(&c);
    for (size_t at = 0; at < c.count; at++) {
        c.bytes[at] ^= 0x20;
        CU_ASSERT_EQUAL(decode(&c), TORC_E_CORRUPT);
        c.bytes[at] ^= 0x20;
    }
}

/* ---- what a table says of value logs ---- */

TEST(references_of_a_table_that_are_not_in_order_or_too_large_are_corrupt)
{
    static const struct {
        struct value_reference first, second;
        int count;
    } rows[] = {
        {{1, 10, 20, 0}, {2, 20, 20, 0}, 2},
        {{2, 10, 20, 0}, {1, 10, 20, 0}, TORC_E_CORRUPT},
        {{1, 10, 20, 0}, {1, 10, 20, 0}, TORC_E_CORRUPT},
        {{1, 21, 20, 0}, {2, 10, 20, 0}, TORC_E_CORRUPT},  /* more than the file has */
        {{1, 10, 20, 21}, {2, 10, 20, 0}, TORC_E_CORRUPT}, /* a share of more than that */
        {{1, 10, 20, 0}, {2, 10, VALUE_FILE_BYTES_MAX + 1, 0}, TORC_E_CORRUPT},
    };
    uint8_t bytes[2 * VALUE_REFERENCE_BYTES];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        value_reference_encode(bytes, &rows[i].first);
        value_reference_encode(bytes + VALUE_REFERENCE_BYTES, &rows[i].second);
        CU_ASSERT_EQUAL(value_reference_count(slice_of(bytes, sizeof bytes)), rows[i].count);
        CU_ASSERT_EQUAL(value_reference_count(slice_of(bytes, sizeof bytes - 1)), TORC_E_CORRUPT);
    }
}
