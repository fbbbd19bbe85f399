/* values_build.c - separates, copies and moves the values of one table; see values_build.h. */
#include "engine/values_build.h"

#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "engine/values_ahead.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <string.h>

enum {
    DAMAGED_MAX = 16, /* places kept for files whose values cannot be moved */
    FILES_USUAL_MAX = VALUE_REFERENCES_MAX - DAMAGED_MAX - 1,
    FILES_MAX = VALUE_REFERENCES_MAX - 1, /* and the own one */
    READ_TRIES = 3,                       /* before a value is given up */
};

static_assert(VALUE_REFERENCES_MAX * VALUE_REFERENCE_BYTES <= MANIFEST_VALUES_BYTES_MAX,
              "the manifest has room for what a table points into");

static const uint8_t zeros[VALUE_STEP_BYTES];

void values_build_init(struct values_build *b, struct engine *e, struct disk_share share)
{
    *b = (struct values_build){.engine = e, .share = share};
    value_reader_init(&b->reader, e, DISK_COMPACTION);
}

static void drop_file(struct values_build *b)
{
    struct engine *e = b->engine;
    char path[ENGINE_PATH_MAX];
    if (b->has_output)
        table_output_deinit(&b->output);
    b->has_output = false;
    if (!b->has_file)
        return;
    b->has_file = false;
    values_path(e, b->number, path);
    int rc = file_remove(e->reactor, path);
    if (rc && rc != -ENOENT)
        engine_tell(e, "values_not_removed", "%s is removed at the next start", path);
}

void values_build_deinit(struct values_build *b)
{
    drop_file(b);
    reactor_free(b->engine->reactor, b->row);
    value_reader_deinit(&b->reader);
    b->row = NULL;
}

void values_build_begin(struct values_build *b, uint64_t number)
{
    drop_file(b);
    b->number = number;
    b->bytes = b->pointed_bytes = 0;
    b->count = b->latest = 0;
}

/* ---- pointers ---- */

/* The file's place in the row; count when it has none. */
static uint32_t find_place(const struct values_build *b, const struct value_file *f)
{
    if (b->count > 0 && b->row[b->latest].file == f->number)
        return b->latest;
    uint32_t place = 0;
    while (place < b->count && b->row[place].file != f->number)
        place++;
    return place;
}

bool values_build_moves(const struct values_build *b, const struct value_file *f)
{
    return values_is_collected(b->engine, f) || (b->count >= FILES_USUAL_MAX && find_place(b, f) == b->count);
}

/* Finds or makes the file's place in the row. Returns: null when there are `count_max`. */
static struct value_reference *refer(struct values_build *b, const struct value_file *f, uint32_t count_max)
{
    uint32_t place = find_place(b, f);
    if (place == b->count && b->count >= count_max)
        return NULL;
    b->latest = place;
    if (place < b->count)
        return &b->row[place];
    b->count++;
    b->row[b->latest] =
        (struct value_reference){.file = f->number, .file_bytes = f->bytes, .share_bytes = f->share_bytes};
    return &b->row[b->latest];
}

static bool copy_pointer(struct values_build *b, const struct value_file *f, const struct value_pointer *p,
                         uint32_t count_max)
{
    struct value_reference *reference = refer(b, f, count_max);
    if (!reference)
        return false;
    reference->bytes += value_stored_bytes(p->bytes);
    b->pointed_bytes += value_stored_bytes(p->bytes);
    return true;
}

/* Waits. Returns: as value_reader_resolve. */
static int read_value(struct values_build *b, struct record *record, const struct value_pointer *p)
{
    const uint8_t *stored = b->ahead ? values_ahead_find(b->ahead, p) : NULL;
    if (stored && value_accept(record, p, stored) == 0)
        return 0;
    int rc = value_reader_resolve(&b->reader, record);
    for (int i = 1; i < READ_TRIES && b->gives_up && rc == TORC_E_STORAGE; i++)
        rc = value_reader_resolve(&b->reader, record);
    return rc;
}

/* The version stays: so what is older stays hidden, wherever it is. */
static void give_up(struct values_build *b, struct record *record)
{
    MARK(value_that_is_lost_is_given_up);
    b->engine->values_given_up++;
    record->value = slice_of(b->pointer, 0);
    record->flags = RECORD_TOMBSTONE;
    record->expiry_ms = 0;
    record->checksum = entry_checksum(&record->key, record->value);
}

/* Waits. *is_changed: the record has its value again, or is a tombstone; else its pointer is in the row. */
static int take_pointer(struct values_build *b, struct record *record, bool *is_changed)
{
    struct engine *e = b->engine;
    struct value_pointer p;
    const struct value_file *f = values_find_pointed(e->values, record, &p);
    *is_changed = false;
    if (!f)
        return TORC_E_CORRUPT;
    bool is_given_up = b->gives_up && value_file_is_lost(f);
    if (!is_given_up && !values_is_collected(e, f) && copy_pointer(b, f, &p, FILES_USUAL_MAX))
        return 0;
    int rc = read_value(b, record, &p);
    *is_changed = rc == 0;
    if (rc != TORC_E_CORRUPT && rc != TORC_E_STORAGE)
        return rc;
    if (is_given_up) {
        give_up(b, record);
        *is_changed = true;
        return 0;
    }
    MARK(value_that_cannot_be_moved_stays);
    return copy_pointer(b, f, &p, FILES_MAX) ? 0 : TORC_E_CORRUPT;
}

/* ---- the own file ---- */

/* Waits. */
static int begin_file(struct values_build *b)
{
    char path[ENGINE_PATH_MAX];
    if (b->has_file)
        return 0;
    values_path(b->engine, b->number, path);
    b->has_file = b->has_output = true;
    int rc = table_output_init(&b->output, b->engine->reactor, path);
    b->output.share = b->share;
    return rc;
}

/* Waits. */
static int separate(struct values_build *b, struct record *record)
{
    uint8_t header[VALUE_HEADER_BYTES];
    struct value_pointer p = {
        .file = b->number,
        .place = (uint32_t)(b->bytes / VALUE_STEP_BYTES),
        .bytes = (uint32_t)record->value.bytes,
    };
    uint64_t stored = value_stored_bytes(p.bytes);
    int rc = begin_file(b);
    if (rc)
        return rc;
    task_yield_if_due(b->engine->reactor); /* a value of 1 MiB was hashed to verify it, and is once more */
    value_header_encode(header, &p, record->value);
    task_yield_if_due(b->engine->reactor);
    rc = table_output_append(&b->output, header, sizeof header);
    if (rc == 0)
        rc = table_output_append(&b->output, record->value.data, p.bytes);
    if (rc == 0)
        rc = table_output_append(&b->output, zeros, stored - VALUE_HEADER_BYTES - p.bytes);
    if (rc)
        return rc;
    b->bytes += stored;
    b->pointed_bytes += stored;
    value_pointer_encode(b->pointer, &p);
    record->value = slice_of(b->pointer, sizeof b->pointer);
    record->flags |= RECORD_SEPARATED;
    return 0;
}

int values_build_take(struct values_build *b, struct record *record, bool *is_changed)
{
    struct engine *e = b->engine;
    *is_changed = false;
    if (!b->row) {
        b->row = reactor_alloc_zeroed(e->reactor, VALUE_REFERENCES_MAX * sizeof b->row[0]);
        if (!b->row)
            return TORC_E_NO_MEMORY;
    }
    if (record->flags & RECORD_SEPARATED) {
        int rc = take_pointer(b, record, is_changed);
        if (rc || !*is_changed || (record->flags & RECORD_TOMBSTONE))
            return rc;
        MARK(value_is_moved_out_of_a_collected_log);
        e->counters.value_bytes_moved += record->value.bytes;
        b->moved_bytes += record->value.bytes;
    }
    if (record->value.bytes < e->options.value_log_bytes_min)
        return 0;
    *is_changed = true;
    e->counters.value_bytes_written += record->value.bytes;
    return separate(b, record);
}

int values_build_finish(struct values_build *b)
{
    if (!b->has_output)
        return 0;
    uint64_t rest = (VALUE_UNIT_BYTES - b->bytes % VALUE_UNIT_BYTES) % VALUE_UNIT_BYTES;
    uint8_t padding[VALUE_UNIT_BYTES];
    memset(padding, VALUE_PADDING, rest);
    int rc = table_output_append(&b->output, padding, rest);
    if (rc == 0)
        rc = table_output_finish(&b->output);
    table_output_deinit(&b->output);
    b->has_output = false;
    return rc;
}

/* ---- the table is done ---- */

static void sort_row(struct values_build *b)
{
    for (uint32_t i = 1; i < b->count; i++) {
        struct value_reference moved = b->row[i];
        uint32_t at = i;
        for (; at > 0 && b->row[at - 1].file > moved.file; at--)
            b->row[at] = b->row[at - 1];
        b->row[at] = moved;
    }
}

int values_build_attach(struct values_build *b, struct value_refs *out)
{
    struct engine *e = b->engine;
    uint8_t row[VALUE_REFERENCES_MAX * VALUE_REFERENCE_BYTES];
    ASSERT(!b->has_output);
    if (b->has_file)
        b->row[b->count++] = (struct value_reference){.file = b->number,
                                                      .bytes = b->bytes,
                                                      .file_bytes = b->bytes,
                                                      .share_bytes = b->bytes};
    sort_row(b);
    for (uint32_t i = 0; i < b->count; i++)
        value_reference_encode(row + (size_t)i * VALUE_REFERENCE_BYTES, &b->row[i]);
    int rc = values_hold(e, slice_of(row, (size_t)b->count * VALUE_REFERENCE_BYTES), b->number, out);
    b->has_file &= rc != 0;
    return rc;
}
