/* table_output.c - double-buffered writing of a new file; see table_output.h. */
#include "engine/table_output.h"

#include <errno.h>

int table_storage_error(int rc)
{
    if (rc >= 0 || rc <= -1000)
        return rc;
    if (error_is_disk_full(rc))
        return TORC_E_DISK_FULL;
    if (rc == -EMFILE || rc == -ENFILE)
        return rc; /* its own sentence says what to raise */
    return error_is_shortage(rc) ? TORC_E_NO_MEMORY : TORC_E_STORAGE;
}

int table_output_init(struct table_output *o, struct reactor *r, const char *path)
{
    *o = (struct table_output){.r = r};
    event_init(&o->written);
    for (unsigned i = 0; i < ARRAY_COUNT(o->buffers); i++) {
        o->buffers[i] =
            reactor_alloc_aligned(r, TABLE_OUTPUT_BUFFER_BYTES + TABLE_OUTPUT_SLACK_BYTES, FILE_ALIGNMENT);
        if (!o->buffers[i])
            return TORC_E_NO_MEMORY;
    }
    int rc = file_open(r, path, FILE_WRITE | FILE_CREATE | FILE_DIRECT, &o->file);
    if (rc)
        return table_storage_error(rc);
    return table_storage_error(file_truncate(r, o->file, 0));
}

static int await_write(struct table_output *o)
{
    if (!o->is_writing)
        return 0;
    int rc = event_wait(o->r, &o->written, EVENT_FOREVER);
    o->is_writing = false;
    return table_storage_error(rc);
}

void table_output_deinit(struct table_output *o)
{
    (void)await_write(o); /* the buffer is the kernel's until then; a failure no longer matters */
    file_close(o->r, o->file);
    for (unsigned i = 0; i < ARRAY_COUNT(o->buffers); i++)
        reactor_free(o->r, o->buffers[i]);
    *o = (struct table_output){.r = o->r};
}

static void on_written(struct file_operation *op)
{
    struct table_output *o = CONTAINER_OF(op, struct table_output, op);
    disk_release(o->share.disk, o->share.class, o->writing_bytes);
    event_set(o->r, &o->written, op->result < 0 ? (int)op->result : 0);
}

/* Waits for the write before and starts the next one. */
static int flush(struct table_output *o)
{
    int rc = await_write(o);
    if (rc || o->fill == 0)
        return rc;
    rc = disk_acquire(o->share.disk, o->share.class, o->fill);
    if (rc)
        return rc;
    o->writing_bytes = o->fill;
    o->op = (struct file_operation){.done = on_written};
    o->is_writing = true;
    file_write_start(o->r, o->file, &o->op, o->buffers[o->active], o->fill, o->flushed, false);
    o->flushed += o->fill;
    o->fill = 0;
    o->active ^= 1;
    return 0;
}

static int advance(struct table_output *o, uint32_t bytes)
{
    o->fill += bytes;
    ASSERT(o->fill <= TABLE_OUTPUT_BUFFER_BYTES + TABLE_OUTPUT_SLACK_BYTES);
    return o->fill >= TABLE_OUTPUT_BUFFER_BYTES ? flush(o) : 0;
}

int table_output_placed(struct table_output *o, uint32_t units)
{
    ASSERT(units <= TABLE_BLOCK_UNITS_MAX);
    return advance(o, units * TABLE_UNIT_BYTES);
}

int table_output_append(struct table_output *o, const void *from, size_t bytes)
{
    const uint8_t *rest = from;
    while (bytes > 0) {
        size_t room = TABLE_OUTPUT_BUFFER_BYTES - o->fill;
        size_t part = bytes < room ? bytes : room;
        memcpy(o->buffers[o->active] + o->fill, rest, part);
        int rc = advance(o, (uint32_t)part);
        if (rc)
            return rc;
        rest += part;
        bytes -= part;
        task_yield_if_due(o->r);
    }
    return 0;
}

int table_output_finish(struct table_output *o)
{
    ASSERT(o->fill % TABLE_UNIT_BYTES == 0);
    int rc = flush(o);
    if (rc == 0)
        rc = await_write(o);
    return rc ? rc : table_storage_error(file_sync(o->r, o->file));
}
