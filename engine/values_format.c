/* values_format.c - encodes and decodes the parts of value logs; the layouts are in values_format.h. */
#include "engine/values_format.h"

#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"

enum { AT_FILE = 0, AT_PLACE = 8, AT_BYTES = 12, AT_CHECK = 16 };

static_assert((int)AT_CHECK == (int)VALUE_POINTER_BYTES, "a header is a pointer to itself, and a check");
static_assert(AT_CHECK + 8 == VALUE_HEADER_BYTES, "the header has no gaps");
static_assert(VALUE_HEADER_BYTES % VALUE_STEP_BYTES == 0, "an empty value takes whole steps");
static_assert(VALUE_UNIT_BYTES % VALUE_STEP_BYTES == 0, "a unit holds whole steps");
static_assert(VALUE_REFERENCE_BYTES == 4 * 8, "a reference has no gaps");

void value_pointer_encode(uint8_t to[VALUE_POINTER_BYTES], const struct value_pointer *p)
{
    ASSERT(p->bytes <= VALUE_BYTES_MAX);
    store_u64le(to + AT_FILE, p->file);
    store_u32le(to + AT_PLACE, p->place);
    store_u32le(to + AT_BYTES, p->bytes);
}

int value_pointer_decode(struct slice value, struct value_pointer *out)
{
    if (value.bytes != VALUE_POINTER_BYTES)
        return TORC_E_CORRUPT;
    out->file = load_u64le(value.data + AT_FILE);
    out->place = load_u32le(value.data + AT_PLACE);
    out->bytes = load_u32le(value.data + AT_BYTES);
    return out->bytes <= VALUE_BYTES_MAX ? 0 : TORC_E_CORRUPT;
}

static uint64_t check_of(const uint8_t *header, struct slice value)
{
    return checksum_record_of_hash(checksum_bytes(header, AT_CHECK), value);
}

void value_header_encode(uint8_t to[VALUE_HEADER_BYTES], const struct value_pointer *p, struct slice value)
{
    ASSERT(value.bytes == p->bytes);
    value_pointer_encode(to, p);
    store_u64le(to + AT_CHECK, check_of(to, value));
}

bool value_header_is_of(const uint8_t header[VALUE_HEADER_BYTES], const struct value_pointer *p)
{
    return load_u64le(header + AT_FILE) == p->file && load_u32le(header + AT_PLACE) == p->place &&
           load_u32le(header + AT_BYTES) == p->bytes;
}

bool value_header_is_sound(const uint8_t header[VALUE_HEADER_BYTES], struct slice value, uint64_t file,
                           uint32_t place)
{
    struct value_pointer p = {.file = file, .place = place, .bytes = (uint32_t)value.bytes};
    return value_header_is_of(header, &p) && load_u64le(header + AT_CHECK) == check_of(header, value);
}

uint32_t value_header_value_bytes(const uint8_t header[VALUE_HEADER_BYTES])
{
    return load_u32le(header + AT_BYTES);
}

void value_reference_encode(uint8_t to[VALUE_REFERENCE_BYTES], const struct value_reference *v)
{
    store_u64le(to, v->file);
    store_u64le(to + 8, v->bytes);
    store_u64le(to + 16, v->file_bytes);
    store_u64le(to + 24, v->share_bytes);
}

struct value_reference value_reference_decode(const uint8_t from[VALUE_REFERENCE_BYTES])
{
    return (struct value_reference){
        .file = load_u64le(from),
        .bytes = load_u64le(from + 8),
        .file_bytes = load_u64le(from + 16),
        .share_bytes = load_u64le(from + 24),
    };
}

int value_reference_count(struct slice values)
{
    size_t count = values.bytes / VALUE_REFERENCE_BYTES;
    if (values.bytes % VALUE_REFERENCE_BYTES != 0 || count > VALUE_REFERENCES_MAX)
        return TORC_E_CORRUPT;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = values.data + i * VALUE_REFERENCE_BYTES;
        struct value_reference v = value_reference_decode(at);
        if (v.bytes > v.file_bytes || v.share_bytes > v.file_bytes || v.file_bytes > VALUE_FILE_BYTES_MAX ||
            (i > 0 && v.file <= load_u64le(at - VALUE_REFERENCE_BYTES)))
            return TORC_E_CORRUPT;
    }
    return (int)count;
}
