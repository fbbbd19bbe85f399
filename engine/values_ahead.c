/* values_ahead.c - batches of records and the values that they will need; see values_ahead.h. */
#include "engine/values_ahead.h"

#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "reactor/base/mark.h"

enum {
    ITEMS_MAX = 4096,
    PIECES_MAX = 256,
    ENTRIES_FIRST = 64 << 10,
    ENTRIES_MAX = 1 << 20, /* bytes; of large entries one may be above it */
    GAP_BYTES_MAX = 16 << 10,
    PIECE_BYTES_MAX = 256 << 10, /* a single value may be larger */
    BATCH_MEMTABLES = 4,
    BATCH_BYTES_LEAST = 256 << 10,
    BATCH_BYTES_MOST = 8 << 20,
};

struct value_piece {
    struct file_operation op;
    struct values_ahead *ahead;
    struct value_file *file;
    struct value_extent extent;
    uint8_t *memory; /* null before its read is begun, and when there was none for it */
    struct event done;
    bool is_reading;
    bool is_whole;
};

struct item {
    uint32_t entry; /* where it begins */
    uint16_t piece; /* PIECES_MAX: none */
    struct merge_place place;
};

struct value_batch {
    uint8_t *entries;
    size_t entry_bytes;
    size_t entry_capacity;
    struct item items[ITEMS_MAX];
    uint32_t count;
    uint32_t next; /* to be given out */
    struct value_piece pieces[PIECES_MAX];
    uint32_t piece_count;
    uint32_t begun; /* of the pieces, in their order */
    uint64_t bytes; /* of the pieces */
    bool is_last;
    int code; /* of the merge behind the last one */
    struct merge_place end;
};

bool values_ahead_pays(const struct merge *merge)
{
    for (uint32_t i = 0; i < merge->count; i++)
        if (merge->sources[i].run && merge->sources[i].run->value_bytes > 0)
            return true;
    return false;
}

int values_ahead_init(struct values_ahead *a, struct engine *e, struct merge *merge,
                      const struct values_build *build)
{
    uint64_t bytes = e->options.memtable_bytes / BATCH_MEMTABLES;
    bytes = bytes > BATCH_BYTES_LEAST ? bytes : BATCH_BYTES_LEAST;
    *a = (struct values_ahead){
        .engine = e,
        .merge = merge,
        .build = build,
        .bytes_max = bytes < BATCH_BYTES_MOST ? bytes : BATCH_BYTES_MOST,
    };
    a->now = reactor_alloc_zeroed(e->reactor, sizeof *a->now);
    a->then = reactor_alloc_zeroed(e->reactor, sizeof *a->then);
    return a->now && a->then ? 0 : TORC_E_NO_MEMORY;
}

/* ---- pieces ---- */

static uint32_t bytes_of(const struct value_piece *p)
{
    return (uint32_t)(p->extent.end - p->extent.begin);
}

static void on_read(struct file_operation *op)
{
    struct value_piece *p = CONTAINER_OF(op, struct value_piece, op);
    struct engine *e = p->ahead->engine;
    p->is_whole = op->result == (int64_t)bytes_of(p);
    disk_release(e->disk, DISK_COMPACTION, bytes_of(p));
    event_set(e->reactor, &p->done, 0);
}

/* Waits, when `may_wait`, for a share of the disk. Returns: false when it is to be tried again. */
static bool begin_read(struct values_ahead *a, struct value_piece *p, bool may_wait)
{
    struct engine *e = a->engine;
    if (!may_wait && !disk_is_free(e->disk, bytes_of(p)))
        return false;
    if (disk_acquire(e->disk, DISK_COMPACTION, bytes_of(p)) != 0)
        return true;
    p->memory = reactor_alloc_aligned(e->reactor, bytes_of(p), FILE_ALIGNMENT);
    if (!p->memory) {
        disk_release(e->disk, DISK_COMPACTION, bytes_of(p));
        return true;
    }
    event_init(&p->done);
    p->is_reading = true;
    p->op = (struct file_operation){.done = on_read};
    file_read_start(e->reactor, p->file->file, &p->op, p->memory, bytes_of(p), p->extent.begin);
    return true;
}

/* As many as the disk has room for. */
static void begin_reads(struct values_ahead *a, struct value_batch *b)
{
    while (b->begun < b->piece_count && begin_read(a, &b->pieces[b->begun], false))
        b->begun++;
}

static void await_read(struct values_ahead *a, struct value_piece *p)
{
    if (!p->is_reading)
        return;
    int rc = event_wait(a->engine->reactor, &p->done, EVENT_FOREVER);
    ASSERT(rc == 0);
    p->is_reading = false;
}

/* The piece that the value comes to lie in. Returns: its number; PIECES_MAX when the value is not to be
 * read. */
static uint16_t plan_piece(struct values_ahead *a, struct value_batch *b, const struct record *record)
{
    struct value_pointer p;
    if (!(record->flags & RECORD_SEPARATED))
        return PIECES_MAX;
    struct value_file *f = values_find_pointed(a->engine->values, record, &p);
    if (!f || value_file_is_lost(f) || !values_build_moves(a->build, f))
        return PIECES_MAX;
    struct value_extent x = value_extent_of(&p);
    b->bytes += x.end - x.begin;
    for (uint32_t i = b->piece_count; i-- > 0;) {
        struct value_piece *piece = &b->pieces[i];
        struct value_extent *y = &piece->extent;
        if (piece->file != f)
            continue;
        if (x.begin < y->begin || x.begin > y->end + GAP_BYTES_MAX || x.end > y->begin + PIECE_BYTES_MAX)
            break;
        b->bytes -= x.end - x.begin;
        b->bytes += x.end > y->end ? x.end - y->end : 0;
        y->end = x.end > y->end ? x.end : y->end;
        return (uint16_t)i;
    }
    b->pieces[b->piece_count] = (struct value_piece){.ahead = a, .file = f, .extent = x};
    return (uint16_t)b->piece_count++;
}

/* ---- batches ---- */

/* Waits for what is being read. */
static void clear(struct values_ahead *a, struct value_batch *b)
{
    for (uint32_t i = 0; i < b->piece_count; i++) {
        await_read(a, &b->pieces[i]);
        reactor_free(a->engine->reactor, b->pieces[i].memory);
    }
    b->entry_bytes = b->bytes = 0;
    b->count = b->next = b->piece_count = b->begun = 0;
    b->is_last = false;
}

static void end_batch(const struct values_ahead *a, struct value_batch *b, int code)
{
    b->is_last = true;
    b->code = code;
    b->end = a->merge->place;
}

static bool has_room(struct values_ahead *a, struct value_batch *b, size_t bytes)
{
    size_t capacity = b->entry_capacity ? b->entry_capacity : ENTRIES_FIRST;
    while (capacity < b->entry_bytes + bytes)
        capacity *= 2;
    if (capacity == b->entry_capacity)
        return true;
    uint8_t *entries = reactor_realloc(a->engine->reactor, b->entries, capacity);
    if (!entries)
        return false;
    b->entries = entries;
    b->entry_capacity = capacity;
    return true;
}

static bool is_full(const struct values_ahead *a, const struct value_batch *b)
{
    return b->count == ITEMS_MAX || b->piece_count == PIECES_MAX || b->entry_bytes >= ENTRIES_MAX ||
           b->bytes >= a->bytes_max;
}

/* Waits. Returns: as merge_next, 0 behind `end`, too. */
static int take_record(struct values_ahead *a, struct value_batch *b)
{
    struct record record;
    if (a->engine->is_closing)
        return TORC_E_CANCELLED;
    int rc = merge_next(a->merge, &record);
    if (rc != 1 || (a->end && record_key_compare(&record.key, a->end) >= 0))
        return rc == 1 ? 0 : rc;
    struct slice entry = merge_entry(a->merge);
    if (!has_room(a, b, entry.bytes))
        return TORC_E_NO_MEMORY;
    memcpy(b->entries + b->entry_bytes, entry.data, entry.bytes);
    b->items[b->count++] = (struct item){
        .entry = (uint32_t)b->entry_bytes,
        .piece = plan_piece(a, b, &record),
        .place = a->merge->place,
    };
    b->entry_bytes += entry.bytes;
    return 1;
}

/* Waits. */
static void fill(struct values_ahead *a, struct value_batch *b)
{
    while (!b->is_last && !is_full(a, b)) {
        int rc = take_record(a, b);
        if (rc != 1)
            end_batch(a, b, rc);
        task_yield_if_due(a->engine->reactor);
    }
    begin_reads(a, b);
}

/* Waits. All of `now` was given out. */
static void turn_over(struct values_ahead *a)
{
    struct value_batch *passed = a->now;
    clear(a, passed);
    a->now = a->then;
    a->then = passed;
    if (a->now->count == 0)
        fill(a, a->now);
    if (!a->now->is_last)
        fill(a, a->then);
}

void values_ahead_restart(struct values_ahead *a)
{
    clear(a, a->now);
    clear(a, a->then);
    a->piece = NULL;
}

void values_ahead_deinit(struct values_ahead *a)
{
    struct value_batch *batches[] = {a->now, a->then};
    for (unsigned i = 0; i < ARRAY_COUNT(batches); i++) {
        if (!batches[i])
            continue;
        clear(a, batches[i]);
        reactor_free(a->engine->reactor, batches[i]->entries);
        reactor_free(a->engine->reactor, batches[i]);
    }
    a->now = a->then = NULL;
}

/* ---- giving out ---- */

int values_ahead_next(struct values_ahead *a, struct record *out, struct slice *entry)
{
    a->piece = NULL;
    if (a->now->next == a->now->count && !a->now->is_last)
        turn_over(a);
    struct value_batch *b = a->now;
    if (b->next == b->count) {
        a->merge->place = b->end;
        return b->code;
    }
    begin_reads(a, b);
    if (b->begun == b->piece_count)
        begin_reads(a, a->then);
    const struct item *item = &b->items[b->next++];
    entry_decode_trusted(b->entries + item->entry, out);
    *entry = entry_of_decoded(out);
    a->merge->place = item->place; /* should it turn out to be wrong */
    a->piece = item->piece < PIECES_MAX ? &b->pieces[item->piece] : NULL;
    return 1;
}

const uint8_t *values_ahead_find(struct values_ahead *a, const struct value_pointer *p)
{
    struct value_piece *piece = a->piece;
    if (!piece)
        return NULL;
    for (struct value_batch *b = a->now; &b->pieces[b->begun] <= piece; b->begun++)
        (void)begin_read(a, &b->pieces[b->begun], true);
    await_read(a, piece);
    if (!piece->is_whole) {
        MARK(values_read_ahead_failed);
        return NULL;
    }
    ASSERT(piece->file->number == p->file && value_offset(p) >= piece->extent.begin);
    return piece->memory + (value_offset(p) - piece->extent.begin);
}
