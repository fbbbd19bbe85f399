/* table_output.h - the bytes of a new file on their way to the disk: two buffers, one being filled and one
 * written.
 *
 *   filling --(256 KiB)--> written in the background --> free, to be filled next
 *
 * So a merge computes while the disk writes, and holds two buffers whatever the size of the table. Writes are
 * O_DIRECT and in order; the first that fails ends the output, since nothing is retried on a file that
 * failed. */
#ifndef ENGINE_TABLE_OUTPUT_H
#define ENGINE_TABLE_OUTPUT_H

#include "engine/table_format.h"

enum { TABLE_OUTPUT_BUFFER_BYTES = 256 * 1024 };
static_assert(TABLE_OUTPUT_BUFFER_BYTES % TABLE_UNIT_BYTES == 0, "a buffer holds whole units");
/* Behind the end of a buffer there is room for the rest of a block that began before it. */
enum { TABLE_OUTPUT_SLACK_BYTES = (TABLE_BLOCK_UNITS_MAX - 1) * TABLE_UNIT_BYTES };

struct table_output {
    struct reactor *r;
    struct disk_share share; /* set after init, if at all */
    struct file *file;
    uint8_t *buffers[2];
    unsigned active;
    uint32_t fill;          /* of the active buffer; below TABLE_OUTPUT_BUFFER_BYTES between calls */
    uint64_t flushed;       /* bytes that went to writes before */
    uint32_t writing_bytes; /* of the write under way */
    bool is_writing;
    struct file_operation op;
    struct event written;
};

/* Waits. Creates or empties the file. When it fails, deinit is still due. */
MUST_CHECK int table_output_init(struct table_output *o, struct reactor *r, const char *path);
void table_output_deinit(struct table_output *o); /* Waits: for the write under way; closes the file. */

static inline uint64_t table_output_bytes(const struct table_output *o)
{
    return o->flushed + o->fill;
}

/* Where the next block is made, in place: room for TABLE_BLOCK_UNITS_MAX units. Requires: the output stands
 * at a whole unit. */
static inline uint8_t *table_output_place(struct table_output *o)
{
    ASSERT(o->fill % TABLE_UNIT_BYTES == 0);
    return o->buffers[o->active] + o->fill;
}
/* Waits when a buffer is full. The units made in place are part of the file now. */
MUST_CHECK int table_output_placed(struct table_output *o, uint32_t units);

/* Waits when a buffer is full. */
MUST_CHECK int table_output_append(struct table_output *o, const void *from, size_t bytes);

/* Waits: until all is written and durable. Requires: whole units. */
MUST_CHECK int table_output_finish(struct table_output *o);

/* What the caller of a write or read that failed is told: ours of the system's, but that there is no
 * descriptor. */
int table_storage_error(int rc);

#endif
