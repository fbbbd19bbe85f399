/* wal_format.c - encodes and decodes the headers of the log; the grammar is in wal_format.h and
 * docs/formats-engine.md.
 *
 * Both headers end in the checksum of all their bytes before it. */
#include "engine/wal_format.h"

#include "reactor/base/assert.h"
#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"

#include <stdio.h>

static_assert(WAL_SEGMENT_HEADER_BYTES == 4 + 4 + 5 * 8 + 8 + 8, "the segment header has no gaps");
static_assert(WAL_RECORD_HEADER_BYTES == 4 + 4 + 4 + 4 + 7 * 8 + 8, "the record header has no gaps");
static_assert(WAL_RECORD_HEADER_BYTES < WAL_BLOCK_BYTES, "a header never straddles blocks");

enum {
    SEGMENT_AT_CHECKSUM = WAL_SEGMENT_HEADER_BYTES - 8,
    RECORD_AT_CHECKSUM = WAL_RECORD_HEADER_BYTES - 8,
};

void wal_segment_header_encode(uint8_t *to, const struct wal_segment_header *h)
{
    store_u32le(to, WAL_SEGMENT_MAGIC);
    store_u32le(to + 4, WAL_FORMAT_VERSION);
    store_u64le(to + 8, h->id);
    store_u64le(to + 16, h->epoch);
    store_u64le(to + 24, h->first_sequence);
    store_u64le(to + 32, h->continues_sequence);
    store_u64le(to + 40, h->continues_checksum);
    store_u64le(to + 48, 0);
    store_u64le(to + SEGMENT_AT_CHECKSUM, checksum_bytes(to, SEGMENT_AT_CHECKSUM));
}

enum wal_header_state wal_segment_header_decode(const uint8_t *from, struct wal_segment_header *out)
{
    if (load_u32le(from) != WAL_SEGMENT_MAGIC ||
        load_u64le(from + SEGMENT_AT_CHECKSUM) != checksum_bytes(from, SEGMENT_AT_CHECKSUM))
        return WAL_HEADER_BAD;
    *out = (struct wal_segment_header){
        .id = load_u64le(from + 8),
        .epoch = load_u64le(from + 16),
        .first_sequence = load_u64le(from + 24),
        .continues_sequence = load_u64le(from + 32),
        .continues_checksum = load_u64le(from + 40),
    };
    if (load_u32le(from + 4) != WAL_FORMAT_VERSION)
        return WAL_HEADER_OTHER_VERSION;
    bool is_sound = out->first_sequence > out->continues_sequence && out->first_sequence <= WAL_SEQUENCE_MAX;
    return is_sound ? WAL_HEADER_VALID : WAL_HEADER_BAD;
}

void wal_record_header_encode(uint8_t *to, struct wal_record_header *h)
{
    ASSERT(h->watermark < h->sequence && h->sequence <= WAL_SEQUENCE_MAX);
    store_u32le(to, WAL_RECORD_MAGIC);
    store_u32le(to + 4, h->entry_count);
    store_u32le(to + 8, h->payload_bytes);
    store_u32le(to + 12, h->block);
    store_u64le(to + 16, h->segment_id);
    store_u64le(to + 24, h->epoch);
    store_u64le(to + 32, h->sequence);
    store_u64le(to + 40, h->watermark);
    store_u64le(to + 48, h->previous_checksum);
    store_u64le(to + 56, h->clock_max);
    store_u64le(to + 64, h->payload_checksum);
    h->checksum = checksum_bytes(to, RECORD_AT_CHECKSUM);
    store_u64le(to + RECORD_AT_CHECKSUM, h->checksum);
}

bool wal_record_header_decode(const uint8_t *from, struct wal_record_header *out)
{
    *out = (struct wal_record_header){
        .entry_count = load_u32le(from + 4),
        .payload_bytes = load_u32le(from + 8),
        .block = load_u32le(from + 12),
        .segment_id = load_u64le(from + 16),
        .epoch = load_u64le(from + 24),
        .sequence = load_u64le(from + 32),
        .watermark = load_u64le(from + 40),
        .previous_checksum = load_u64le(from + 48),
        .clock_max = load_u64le(from + 56),
        .payload_checksum = load_u64le(from + 64),
        .checksum = load_u64le(from + RECORD_AT_CHECKSUM),
    };
    return load_u32le(from) == WAL_RECORD_MAGIC &&
           out->checksum == checksum_bytes(from, RECORD_AT_CHECKSUM) && out->watermark < out->sequence &&
           out->sequence <= WAL_SEQUENCE_MAX;
}

uint64_t wal_payload_checksum(const uint8_t *payload, size_t bytes)
{
    uint64_t checksum = 0;
    size_t at = 0;
    for (; bytes - at >= WAL_CHECKSUM_CHUNK_BYTES; at += WAL_CHECKSUM_CHUNK_BYTES)
        checksum = wal_checksum_chunk(checksum, payload + at, WAL_CHECKSUM_CHUNK_BYTES);
    return wal_checksum_chunk(checksum, payload + at, bytes - at);
}

void wal_segment_name(char *name, uint64_t id)
{
    int length = snprintf(name, WAL_NAME_BYTES, "wal-%016llx.log", (unsigned long long)id);
    ASSERT(length > 0 && length < WAL_NAME_BYTES);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool wal_segment_name_parse(const char *name, uint64_t *id)
{
    enum { DIGITS = 16, PREFIX_BYTES = 4 };
    if (strlen(name) != PREFIX_BYTES + DIGITS + 4 || memcmp(name, "wal-", PREFIX_BYTES) != 0 ||
        memcmp(name + PREFIX_BYTES + DIGITS, ".log", 4) != 0)
        return false;
    uint64_t value = 0;
    for (int i = 0; i < DIGITS; i++) {
        int digit = hex_digit(name[PREFIX_BYTES + i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *id = value;
    return true;
}
