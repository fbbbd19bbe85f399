/* values_visit.c - a value log value after value; see values_visit.h. */
#include "engine/values_visit.h"

#include <string.h>

static_assert(VALUES_WINDOW_BYTES % VALUE_UNIT_BYTES == 0 && VALUE_UNIT_BYTES % FILE_ALIGNMENT == 0,
              "it is read directly");

int values_visit_open(struct values_visit *v, struct reactor *r, const char *path, uint64_t number)
{
    *v = (struct values_visit){.reactor = r, .number = number};
    v->window = reactor_alloc_aligned(r, VALUES_WINDOW_BYTES, FILE_ALIGNMENT);
    if (!v->window)
        return TORC_E_NO_MEMORY;
    int rc = file_open(r, path, FILE_READ | FILE_DIRECT, &v->file);
    return rc ? rc : file_size(r, v->file, &v->bytes);
}

void values_visit_close(struct values_visit *v)
{
    file_close(v->reactor, v->file);
    reactor_free(v->reactor, v->window);
    *v = (struct values_visit){0};
}

/* Unit by unit, so that a bad one costs no more than itself. A value may be zeros as well: so it is noted.
 * Returns: 0, or an error that says nothing of what is there. */
static int read_units(struct values_visit *v, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += VALUE_UNIT_BYTES) {
        int64_t got = file_read(v->reactor, v->file, v->window + at, VALUE_UNIT_BYTES, v->window_begin + at);
        if (got < 0 && !error_is_loss((int)got))
            return (int)got;
        uint64_t good = got > 0 ? (uint64_t)got : 0;
        memset(v->window + at + good, 0, VALUE_UNIT_BYTES - good);
        v->is_unreadable[at / VALUE_UNIT_BYTES] = got < 0;
    }
    return 0;
}

/* `bytes` of the file from `offset` on, or as many as there are. Whole units are read: of a file that was cut
 * the last one is short. Returns: how many, or an error that says nothing of what is there. */
static int64_t need(struct values_visit *v, uint64_t offset, uint64_t bytes)
{
    ASSERT(bytes <= VALUE_HEADER_BYTES + VALUE_BYTES_MAX && offset <= v->bytes);
    bytes = v->bytes - offset < bytes ? v->bytes - offset : bytes;
    if (offset >= v->window_begin && offset + bytes <= v->window_end)
        return (int64_t)bytes;
    v->window_begin = offset / VALUE_UNIT_BYTES * VALUE_UNIT_BYTES;
    uint64_t left = v->bytes - v->window_begin;
    uint64_t whole = (left + VALUE_UNIT_BYTES - 1) / VALUE_UNIT_BYTES * VALUE_UNIT_BYTES;
    uint64_t all = whole < VALUES_WINDOW_BYTES ? whole : VALUES_WINDOW_BYTES;
    uint64_t there = left < all ? left : all;
    v->window_end = v->window_begin; /* until it is read */
    memset(v->is_unreadable, 0, sizeof v->is_unreadable);
    if (file_read(v->reactor, v->file, v->window, all, v->window_begin) < (int64_t)there) {
        int rc = read_units(v, all);
        if (rc)
            return rc;
    }
    v->window_end = v->window_begin + there;
    return (int64_t)bytes;
}

static const uint8_t *at(const struct values_visit *v, uint64_t offset)
{
    return v->window + (offset - v->window_begin);
}

/* Whole units: a get reads no less. */
static bool is_readable(const struct values_visit *v, uint64_t offset, uint64_t bytes)
{
    uint64_t begin = (offset - v->window_begin) / VALUE_UNIT_BYTES;
    uint64_t last = (offset + bytes - 1 - v->window_begin) / VALUE_UNIT_BYTES;
    ASSERT(bytes > 0 && last < VALUES_WINDOW_UNITS);
    for (uint64_t i = begin; i <= last; i++)
        if (v->is_unreadable[i])
            return false;
    return true;
}

/* Returns: the bytes that the sound value at `offset` takes, with *value; 0 when there is none; or an error
 * that says nothing of what is there. */
static int64_t look_at(struct values_visit *v, uint64_t offset, struct slice *value)
{
    int64_t there = need(v, offset, VALUE_HEADER_BYTES);
    if (there < VALUE_HEADER_BYTES)
        return there < 0 ? there : 0;
    uint64_t value_bytes = value_header_value_bytes(at(v, offset));
    uint64_t bytes = VALUE_HEADER_BYTES + value_bytes;
    struct value_pointer here = {v->number, (uint32_t)(offset / VALUE_STEP_BYTES), (uint32_t)value_bytes};
    if (value_bytes > VALUE_BYTES_MAX || !value_header_is_of(at(v, offset), &here))
        return 0;
    there = need(v, offset, bytes);
    if (there < (int64_t)bytes || !is_readable(v, offset, bytes))
        return there < 0 ? there : 0;
    *value = slice_of(at(v, offset) + VALUE_HEADER_BYTES, value_bytes);
    bool is_sound = value_header_is_sound(at(v, offset), *value, v->number, here.place);
    return is_sound ? (int64_t)value_stored_bytes(value_bytes) : 0;
}

/* The padding of the last unit. Returns: 1, 0, or an error. */
static int is_end(struct values_visit *v)
{
    uint64_t left = v->bytes - v->offset;
    if (left >= VALUE_UNIT_BYTES)
        return 0;
    int64_t there = need(v, v->offset, left);
    for (int64_t i = 0; i < there; i++)
        if (at(v, v->offset)[i] != VALUE_PADDING)
            return 0;
    return there < 0 ? (int)there : 1;
}

/* From behind the last value on, where there is none: up to the next one, or as far as one call goes. */
static int skip_damage(struct values_visit *v, struct slice *value)
{
    uint64_t begin = v->offset, left = v->bytes - begin;
    uint64_t end = begin + (left < VALUES_STRETCH_BYTES_MAX ? left : VALUES_STRETCH_BYTES_MAX);
    int64_t found = 0;
    while (found == 0 && v->offset < end) {
        uint64_t step = end - v->offset < VALUE_STEP_BYTES ? end - v->offset : VALUE_STEP_BYTES;
        v->offset += step;
        task_yield_if_due(v->reactor);
        found = v->offset < end ? look_at(v, v->offset, value) : 0;
    }
    if (found < 0)
        v->offset = begin; /* to be tried again */
    return found < 0 ? (int)found : 0;
}

int values_visit_next(struct values_visit *v, struct values_found *out)
{
    task_yield_if_due(v->reactor);
    int rc = v->offset < v->bytes ? is_end(v) : 1;
    if (rc)
        return rc < 0 ? rc : 0;
    uint64_t begin = v->offset;
    int64_t bytes = look_at(v, begin, &out->value);
    *out = (struct values_found){.offset = begin, .is_sound = bytes > 0, .value = out->value};
    if (bytes > 0)
        v->offset += (uint64_t)bytes;
    else
        rc = bytes < 0 ? (int)bytes : skip_damage(v, &out->value);
    out->bytes = v->offset - begin;
    return rc ? rc : 1;
}
