/* values_read.c - reads values and verifies them; see values_read.h. */
#include "engine/values_read.h"

#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "engine/table_output.h"
#include "reactor/base/mark.h"

enum {
    AHEAD_BYTES_FIRST = 16 << 10,
    GAP_BYTES_MAX = 64 << 10, /* a larger one ends reading ahead */
    SCAN_WINDOWS = 16,
    SCAN_AHEAD_BYTES_MAX = 64 << 10,
};
static_assert(AHEAD_BYTES_FIRST % VALUE_UNIT_BYTES == 0, "what is read ahead is whole units");

/* ---- memory ---- */

void value_buffer_deinit(struct reactor *r, struct value_buffer *b)
{
    reactor_free(r, b->data);
    *b = (struct value_buffer){.data = NULL};
}

static int reserve(struct reactor *r, struct value_buffer *b, size_t bytes)
{
    if (bytes + b->spare <= b->capacity)
        return 0;
    reactor_free(r, b->data);
    b->capacity = 0;
    b->data = reactor_alloc_aligned(r, bytes + b->spare, FILE_ALIGNMENT);
    if (!b->data)
        return TORC_E_NO_MEMORY;
    b->capacity = bytes + b->spare;
    return 0;
}

/* ---- one record ---- */

static int find(const struct engine *e, const struct record *record, struct value_pointer *p,
                struct value_file **out)
{
    *out = values_find_pointed(e->values, record, p);
    if (*out && (*out)->file)
        return 0;
    MARK(value_of_a_log_that_is_lost_is_asked_for);
    return TORC_E_CORRUPT;
}

int value_accept(struct record *record, const struct value_pointer *p, const uint8_t *stored)
{
    struct record whole = *record;
    whole.value = slice_of(stored + VALUE_HEADER_BYTES, p->bytes);
    whole.flags &= (uint8_t)~RECORD_SEPARATED;
    if (!value_header_is_of(stored, p) || !entry_verify(&whole))
        return TORC_E_CORRUPT;
    *record = whole;
    return 0;
}

/* An error of a value is told once a file, and counted. One read that failed for a user says little of the
 * file, as it does of a table; but a merge would try it for ever. */
static int note(struct engine *e, struct value_file *f, const struct value_pointer *p, int rc,
                enum disk_class class)
{
    char path[ENGINE_PATH_MAX];
    if (rc == TORC_E_CORRUPT) {
        MARK(damaged_value_is_found);
        e->counters.corruptions++;
    } else if (rc == TORC_E_STORAGE) {
        MARK(value_read_failed);
    } else {
        return rc;
    }
    if (f->is_damaged || (rc == TORC_E_STORAGE && class != DISK_COMPACTION))
        return rc;
    f->is_damaged = true;
    values_path(e, f->number, path);
    engine_tell(e, "value_damaged",
                "%s: the value of %u bytes at byte %llu: %s; its key answers so, and the file is not "
                "collected until the next start",
                path, p->bytes, (unsigned long long)value_offset(p), error_sentence(rc));
    return rc;
}

int values_resolve(struct engine *e, struct record *record, struct value_buffer *buffer)
{
    struct value_pointer p;
    struct value_file *f;
    int rc = find(e, record, &p, &f);
    if (rc)
        return rc;
    struct value_extent x = value_extent_of(&p);
    rc = reserve(e->reactor, buffer, x.end - x.begin);
    if (rc)
        return rc;
    uint64_t begun_ns = disk_read_begins(e->reactor);
    int64_t got = file_read(e->reactor, f->file, buffer->data, x.end - x.begin, x.begin);
    disk_read_ends(e->disk, begun_ns);
    e->counters.value_reads++;
    if (got < 0)
        rc = table_storage_error((int)got);
    else if ((uint64_t)got < value_offset(&p) - x.begin + VALUE_HEADER_BYTES + p.bytes)
        rc = TORC_E_CORRUPT;
    if (rc == 0)
        rc = value_accept(record, &p, buffer->data + (value_offset(&p) - x.begin));
    return buffer->is_suspicion && rc == TORC_E_CORRUPT ? rc : note(e, f, &p, rc, DISK_FOREGROUND);
}

/* ---- many, forward ---- */

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void value_reader_init(struct value_reader *v, struct engine *e, enum disk_class class)
{
    *v = (struct value_reader){
        .engine = e,
        .class = class,
        .window_count = class == DISK_COMPACTION ? 1 : SCAN_WINDOWS,
        .ahead_bytes_max = class == DISK_COMPACTION ? 0 : SCAN_AHEAD_BYTES_MAX,
    };
}

void value_reader_deinit(struct value_reader *v)
{
    for (uint32_t i = 0; v->windows && i < v->window_count; i++)
        value_buffer_deinit(v->engine->reactor, &v->windows[i].buffer);
    reactor_free(v->engine->reactor, v->windows);
    v->windows = NULL;
}

/* The file's own, or the one that was not used for longest. */
static struct value_window *window_of(struct value_reader *v, uint64_t file)
{
    struct value_window *found = &v->windows[0];
    for (uint32_t i = 0; i < v->window_count; i++) {
        struct value_window *w = &v->windows[i];
        if (w->file == file)
            return w;
        if (w->used < found->used)
            found = w;
    }
    found->file = 0;
    found->ahead_bytes = 0;
    return found;
}

/* Only one of them is larger than what is read ahead. */
static int reserve_window(struct value_reader *v, struct value_window *w, size_t bytes)
{
    uint64_t usual = 2 * v->ahead_bytes_max;
    for (uint32_t i = 0; i < v->window_count && bytes > usual; i++)
        if (&v->windows[i] != w && v->windows[i].buffer.capacity > usual) {
            value_buffer_deinit(v->engine->reactor, &v->windows[i].buffer);
            v->windows[i].file = 0;
        }
    return reserve(v->engine->reactor, &w->buffer, bytes);
}

/* What is worth reading for the extent: more behind it, or before it when the file is read backward. */
static struct value_extent widen(const struct value_reader *v, const struct value_window *w,
                                 const struct value_file *f, struct value_extent x)
{
    uint64_t more = lesser(w->ahead_bytes ? w->ahead_bytes * 2 : AHEAD_BYTES_FIRST, v->ahead_bytes_max);
    uint64_t rest = f->bytes > x.end ? f->bytes - x.end : 0;
    rest = (rest + VALUE_UNIT_BYTES - 1) / VALUE_UNIT_BYTES * VALUE_UNIT_BYTES;
    if (w->file == 0)
        return x;
    if (x.begin >= w->begin && x.begin <= w->end + GAP_BYTES_MAX)
        x.end += lesser(more, rest);
    else if (x.begin < w->begin && x.end + GAP_BYTES_MAX >= w->begin)
        x.begin -= lesser(more, x.begin);
    return x;
}

/* Waits. Returns: the bytes read, or an error of the system. */
static int64_t read_some(struct value_reader *v, const struct value_file *f, struct value_window *w,
                         struct value_extent x)
{
    struct engine *e = v->engine;
    uint32_t bytes = (uint32_t)(x.end - x.begin);
    uint64_t begun_ns = disk_read_begins(e->reactor);
    int rc = disk_acquire(e->disk, v->class, bytes);
    if (rc)
        return rc;
    int64_t got = file_read(e->reactor, f->file, w->buffer.data, bytes, x.begin);
    disk_release(e->disk, v->class, bytes);
    if (v->class == DISK_FOREGROUND)
        disk_read_ends(e->disk, begun_ns);
    e->counters.value_reads += v->class == DISK_FOREGROUND;
    return got;
}

/* Waits. Reads at least the extent; what is around it must not make the read fail. */
static int fill(struct value_reader *v, const struct value_file *f, struct value_window *w,
                struct value_extent x)
{
    struct value_extent wide = widen(v, w, f, x);
    uint64_t more = (wide.end - wide.begin) - (x.end - x.begin);
    w->file = 0; /* until it is read */
    int rc = reserve_window(v, w, wide.end - wide.begin);
    if (rc)
        return rc;
    int64_t got = read_some(v, f, w, wide);
    if (got < 0 && got != TORC_E_CANCELLED && more > 0) {
        wide = x;
        got = read_some(v, f, w, x);
    }
    if (got < 0)
        return table_storage_error((int)got);
    w->file = f->number;
    w->begin = wide.begin;
    w->end = wide.begin + (uint64_t)got;
    w->ahead_bytes = more;
    return 0;
}

int value_reader_resolve(struct value_reader *v, struct record *record)
{
    struct value_pointer p;
    struct value_file *f;
    int rc = find(v->engine, record, &p, &f);
    if (rc)
        return rc;
    if (!v->windows)
        v->windows = reactor_alloc_zeroed(v->engine->reactor, v->window_count * sizeof v->windows[0]);
    if (!v->windows)
        return TORC_E_NO_MEMORY;
    struct value_extent x = value_extent_of(&p);
    struct value_window *w = window_of(v, f->number);
    uint64_t end = value_offset(&p) + VALUE_HEADER_BYTES + p.bytes;
    w->used = ++v->turn;
    if (w->file == 0 || x.begin < w->begin || end > w->end)
        rc = fill(v, f, w, x);
    if (rc == 0)
        rc = end <= w->end ? value_accept(record, &p, w->buffer.data + (value_offset(&p) - w->begin))
                           : TORC_E_CORRUPT;
    return v->is_suspicion && rc == TORC_E_CORRUPT ? rc : note(v->engine, f, &p, rc, v->class);
}
