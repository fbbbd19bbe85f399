/* table_ahead.c - reading ahead of a bulk cursor; see table_ahead.h. */
#include "engine/table_ahead.h"

#include "reactor/base/mark.h"

int table_window_reserve(struct table_window *w, struct reactor *r, uint32_t units)
{
    w->units = 0;
    if (units <= w->capacity)
        return 0;
    reactor_free(r, w->memory);
    w->memory = reactor_alloc_aligned(r, (size_t)units * TABLE_UNIT_BYTES, FILE_ALIGNMENT);
    w->capacity = w->memory ? units : 0;
    return w->memory ? 0 : TORC_E_NO_MEMORY;
}

static uint32_t bytes_of(const struct table_window *w)
{
    return w->units * TABLE_UNIT_BYTES;
}

static void on_read(struct file_operation *op)
{
    struct table_ahead *a = CONTAINER_OF(op, struct table_ahead, op);
    bool is_whole = op->result == (int64_t)bytes_of(&a->window);
    disk_release(a->share.disk, a->share.class, bytes_of(&a->window));
    event_set(a->reactor, &a->done, is_whole ? 0 : TORC_E_STORAGE);
}

void table_ahead_start(struct table_ahead *a, struct table *t, struct disk_share share, uint32_t position,
                       uint32_t units)
{
    ASSERT(!a->is_reading);
    if (table_window_reserve(&a->window, t->r, units) != 0 ||
        disk_acquire(share.disk, share.class, units * TABLE_UNIT_BYTES) != 0)
        return; /* the cursor reads it when it is there, and says what is wrong */
    a->reactor = t->r;
    a->share = share;
    a->window.position = position;
    a->window.units = units;
    a->is_reading = true;
    event_init(&a->done);
    a->op = (struct file_operation){.done = on_read};
    file_read_start(t->r, t->file, &a->op, a->window.memory, bytes_of(&a->window),
                    (uint64_t)position * TABLE_UNIT_BYTES);
}

/* Returns: whether there was a read, and it is whole. */
static bool await_read(struct table_ahead *a)
{
    if (!a->is_reading)
        return false;
    int rc = event_wait(a->reactor, &a->done, EVENT_FOREVER);
    a->is_reading = false;
    if (rc)
        MARK(read_ahead_of_a_merge_failed);
    return rc == 0;
}

bool table_ahead_take(struct table_ahead *a, struct table *t, uint32_t position, struct table_window *w)
{
    if (!await_read(a) || a->window.position != position)
        return false;
    struct table_window taken = a->window;
    a->window = *w;
    *w = taken;
    t->counters.cursor_reads++;
    t->counters.cursor_read_bytes += bytes_of(w);
    return true;
}

void table_ahead_deinit(struct table_ahead *a, struct reactor *r)
{
    (void)await_read(a); /* the memory is the kernel's until then */
    reactor_free(r, a->window.memory);
    *a = (struct table_ahead){0};
}
