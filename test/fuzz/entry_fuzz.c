/* entry_fuzz.c - records as log, memtable and tables keep them: what decodes encodes to the same bytes. */
#include "test/fuzz/fuzz.h"

#include "engine/entry.h"

#include <stdlib.h>

enum { AT_CHECK = ENTRY_HEADER_BYTES - 4, AT_CHECKSUM = AT_CHECK - 8 };

static void check_entry(const uint8_t *entry, size_t bytes, const struct record *record)
{
    ASSERT(record->key.key.bytes >= 1 && record->key.key.bytes <= KEY_BYTES_MAX);
    ASSERT(record->key.subkey.bytes <= SUBKEY_BYTES_MAX && record->value.bytes <= VALUE_BYTES_MAX);
    ASSERT(record->key.vnode <= ENTRY_VNODE_MAX && entry_bytes(record) == bytes);
    ASSERT(record->value.data + record->value.bytes == entry + bytes);
    uint8_t *encoded = malloc(bytes);
    ASSERT(encoded);
    size_t count = entry_encode(encoded, record);
    ASSERT(count == bytes && memcmp(encoded, entry, AT_CHECK) == 0);
    ASSERT(memcmp(encoded + ENTRY_HEADER_BYTES, entry + ENTRY_HEADER_BYTES, bytes - ENTRY_HEADER_BYTES) == 0);
    ASSERT(entry_header_is_sound(encoded));
    ASSERT(entry_header_is_sound(entry) == (memcmp(encoded, entry, ENTRY_HEADER_BYTES) == 0));
    struct record again = *record;
    again.checksum = entry_checksum(&record->key, record->value);
    ASSERT(entry_verify(&again) && entry_verify(record) == (again.checksum == record->checksum));
    free(encoded);
}

static void run(struct slice input)
{
    struct record record, before = {0};
    size_t consumed = 0;
    bool has_before = false;
    while (entry_decode(input, &record, &consumed) == 0) { /* each takes ENTRY_BYTES_MIN at least */
        ASSERT(consumed >= ENTRY_BYTES_MIN && consumed <= input.bytes);
        check_entry(input.data, consumed, &record);
        if (has_before) {
            int order = record_key_compare(&before.key, &record.key);
            int reverse = record_key_compare(&record.key, &before.key);
            ASSERT((order < 0) == (reverse > 0) && (order == 0) == (reverse == 0));
        }
        before = record;
        has_before = true;
        input = slice_of(input.data + consumed, input.bytes - consumed);
    }
}

static void seed(struct fuzz_seeds *to)
{
    uint8_t bytes[1024];
    struct record record = {
        .key = {.vnode = 77,
                .namespace_id = 1,
                .key = slice_of_string("key"),
                .subkey = slice_of_string("sub")},
        .version = {.clock = UINT64_C(5) << 16, .node = 2},
        .value = slice_of_string("value"),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    size_t count = entry_encode(bytes, &record);
    record.flags = RECORD_EXPIRING;
    record.expiry_ms = 1700000000000;
    count += entry_encode(bytes + count, &record);
    fuzz_seed(to, "plain_and_expiring", slice_of(bytes, count));
    record.flags = RECORD_TOMBSTONE;
    record.key.subkey = record.value = slice_of(NULL, 0);
    count = entry_encode(bytes, &record);
    fuzz_seed(to, "tombstone", slice_of(bytes, count));
    memset(bytes, 0xff, ENTRY_BYTES_MIN);
    fuzz_seed(to, "lengths_beyond_all", slice_of(bytes, ENTRY_BYTES_MIN));
}

const struct fuzz_target entry_fuzz = {.name = "entry", .run = run, .seed = seed};
