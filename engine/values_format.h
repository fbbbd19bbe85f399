/* values_format.h - the bytes of value logs and of what points into them; docs/formats-engine.md has them.
 *
 *   file:     | header, 24 | value | pad to 8 | header | value | ... | ff to 4 KiB |
 *   pointer:  {u64 file, u32 place, u32 bytes}                 the value of an entry with RECORD_SEPARATED
 *
 * A place is an offset in steps of 8 bytes. The header of a value names file, place and length, so a write
 * that went astray is found, and has a check over itself and the value, so that a file can be verified alone.
 * A reader compares the header with the pointer and verifies the record's own checksum, which is that of the
 * true value. */
#ifndef ENGINE_VALUES_FORMAT_H
#define ENGINE_VALUES_FORMAT_H

#include "engine/record.h"
#include "reactor/base/assert.h"
#include "reactor/base/error.h"

#include <stddef.h>

enum {
    VALUE_STEP_BYTES = 8,
    VALUE_UNIT_BYTES = 4096, /* a file is whole units, and they are what is read */
    VALUE_PADDING = 0xff,    /* each byte of the last unit's: a unit that is lost is zeros */
    VALUE_HEADER_BYTES = 24,
    VALUE_POINTER_BYTES = 16,
    VALUE_REFERENCE_BYTES = 32,
    VALUE_REFERENCES_MAX = 128, /* files that one table may point into */
};
#define VALUE_FILE_BYTES_MAX (UINT64_C(8) << 32) /* that places can name; a build stops far below it */

struct value_pointer {
    uint64_t file;  /* its number, as in its name */
    uint32_t place; /* of the header, in steps of VALUE_STEP_BYTES */
    uint32_t bytes; /* of the value; 0 to VALUE_BYTES_MAX */
};

/* The bytes that a value takes in its file, header and padding included. */
static inline uint64_t value_stored_bytes(uint64_t value_bytes)
{
    return (VALUE_HEADER_BYTES + value_bytes + VALUE_STEP_BYTES - 1) / VALUE_STEP_BYTES * VALUE_STEP_BYTES;
}

static inline uint64_t value_offset(const struct value_pointer *p)
{
    return (uint64_t)p->place * VALUE_STEP_BYTES;
}

void value_pointer_encode(uint8_t to[VALUE_POINTER_BYTES], const struct value_pointer *p);
/* The pointer that a record with RECORD_SEPARATED has for its value. Returns: TORC_E_CORRUPT when that is no
 * pointer. */
MUST_CHECK int value_pointer_decode(struct slice value, struct value_pointer *out);

/* `value` has p->bytes bytes. */
void value_header_encode(uint8_t to[VALUE_HEADER_BYTES], const struct value_pointer *p, struct slice value);
/* Is this the header that was written at the pointer's place? The value's bytes are not looked at. */
bool value_header_is_of(const uint8_t header[VALUE_HEADER_BYTES], const struct value_pointer *p);
/* What header and value say by themselves, for whoever reads a file without tables. Returns: false when it is
 * no whole value that was written to `file` at `place`. */
bool value_header_is_sound(const uint8_t header[VALUE_HEADER_BYTES], struct slice value, uint64_t file,
                           uint32_t place);
uint32_t value_header_value_bytes(const uint8_t header[VALUE_HEADER_BYTES]); /* as it says; any number */

/* What a table points into, as the manifest keeps it: manifest_table.values is a row of these, by file. */
struct value_reference {
    uint64_t file;
    uint64_t bytes;      /* of it that the table points to, as value_stored_bytes */
    uint64_t file_bytes; /* that the file has in use, padding at its end not counted */
    /* Of those, this shard's: all in the shard that wrote the file. Where it was linked into several, each
     * has its part, and its part of the garbage that there was. */
    uint64_t share_bytes;
};
void value_reference_encode(uint8_t to[VALUE_REFERENCE_BYTES], const struct value_reference *v);
struct value_reference value_reference_decode(const uint8_t from[VALUE_REFERENCE_BYTES]);
/* Returns: how many; TORC_E_CORRUPT when the bytes are no such row. */
MUST_CHECK int value_reference_count(struct slice values);

#endif
