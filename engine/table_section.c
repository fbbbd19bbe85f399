/* table_section.c - see table_section.h. */
#include "engine/table_section.h"

void table_section_begin(struct table_section *s, struct table_output *output)
{
    s->output = output;
    s->bytes = 0;
    XXH3_64bits_reset(&s->hash);
}

int table_section_append(struct table_section *s, const void *from, size_t bytes)
{
    const uint8_t *rest = from;
    while (bytes > 0) {
        size_t part = bytes < TABLE_OUTPUT_BUFFER_BYTES ? bytes : TABLE_OUTPUT_BUFFER_BYTES;
        XXH3_64bits_update(&s->hash, rest, part);
        int rc = table_output_append(s->output, rest, part);
        if (rc)
            return rc;
        s->bytes += part;
        rest += part;
        bytes -= part;
    }
    return 0;
}

int table_section_append_u32(struct table_section *s, uint64_t value)
{
    uint8_t word[4];
    ASSERT(value <= UINT32_MAX);
    store_u32le(word, (uint32_t)value);
    return table_section_append(s, word, sizeof word);
}

int table_section_append_pieces(struct table_section *s, const struct table_pieces *pieces)
{
    int rc = 0;
    for (const struct table_piece *p = pieces->first; p && rc == 0; p = p->next)
        rc = table_section_append(s, p->bytes, p->used);
    return rc;
}

int table_section_end(struct table_section *s, uint64_t *bytes, uint64_t *checksum)
{
    static const uint8_t zeros[TABLE_UNIT_BYTES];
    *bytes = s->bytes;
    int rc = table_section_append(s, zeros, table_padded(s->bytes) - s->bytes);
    *checksum = XXH3_64bits_digest(&s->hash);
    return rc;
}
