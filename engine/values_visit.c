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

/* Unit by unit, so that a bad one costs no more than itself. A value may be zeros as well: so it is noted. */
static void read_units(struct values_visit *v, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += VALUE_UNIT_BYTES) {
        int64_t got = file_read(v->reactor, v->file, v->window + at, VALUE_UNIT_BYTES, v->window_begin + at);
        uint64_t good = got > 0 ? (uint64_t)got : 0;
        memset(v->window + at + good, 0, VALUE_UNIT_BYTES - good);
        v->is_unreadable[at / VALUE_UNIT_BYTES] = got < 0;
    }
}

/* `bytes` of the file from `offset` on, or as many as there are. Whole units are read: of a file that was cut
 * the last one is short. Returns: how many. */
static uint64_t need(struct values_visit *v, uint64_t offset, uint64_t bytes)
{
    ASSERT(bytes <= VALUE_HEADER_BYTES + VALUE_BYTES_MAX && offset <= v->bytes);
    bytes = v->bytes - offset < bytes ? v->bytes - offset : bytes;
    if (offset >= v->window_begin && offset + bytes <= v->window_end)
        return bytes;
    v->window_begin = offset / VALUE_UNIT_BYTES * VALUE_UNIT_BYTES;
    uint64_t left = v->bytes - v->window_begin;
    uint64_t whole = (left + VALUE_UNIT_BYTES - 1) / VALUE_UNIT_BYTES * VALUE_UNIT_BYTES;
    uint64_t all = whole < VALUES_WINDOW_BYTES ? whole : VALUES_WINDOW_BYTES;
    uint64_t there = left < all ? left : all;
    v->window_end = v->window_begin + there;
    memset(v->is_unreadable, 0, sizeof v->is_unreadable);
    if (file_read(v->reactor, v->file, v->window, all, v->window_begin) < (int64_t)there)
        read_units(v, all);
    return bytes;
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

/* Returns: the bytes that the sound value at `offset` takes, with *value; 0 when there is none. */
static uint64_t look_at(struct values_visit *v, uint64_t offset, struct slice *value)
{
    if (need(v, offset, VALUE_HEADER_BYTES) < VALUE_HEADER_BYTES)
        return 0;
    uint64_t value_bytes = value_header_value_bytes(at(v, offset));
    uint64_t bytes = VALUE_HEADER_BYTES + value_bytes;
    struct value_pointer here = {v->number, (uint32_t)(offset / VALUE_STEP_BYTES), (uint32_t)value_bytes};
    if (value_bytes > VALUE_BYTES_MAX || !value_header_is_of(at(v, offset), &here))
        return 0;
    if (need(v, offset, bytes) < bytes || !is_readable(v, offset, bytes))
        return 0;
    *value = slice_of(at(v, offset) + VALUE_HEADER_BYTES, value_bytes);
    bool is_sound = value_header_is_sound(at(v, offset), *value, v->number, here.place);
    return is_sound ? value_stored_bytes(value_bytes) : 0;
}

/* The padding of the last unit. */
static bool is_end(struct values_visit *v)
{
    uint64_t left = v->bytes - v->offset;
    if (left >= VALUE_UNIT_BYTES)
        return false;
    need(v, v->offset, left);
    for (uint64_t i = 0; i < left; i++)
        if (at(v, v->offset)[i] != VALUE_PADDING)
            return false;
    return true;
}

int values_visit_next(struct values_visit *v, struct values_found *out)
{
    task_yield_if_due(v->reactor);
    if (v->offset >= v->bytes || is_end(v))
        return 0;
    uint64_t begin = v->offset;
    uint64_t bytes = look_at(v, begin, &out->value);
    *out = (struct values_found){begin, bytes, bytes > 0, out->value};
    if (bytes > 0) {
        v->offset += bytes;
        return 1;
    }
    do { /* ends: each turn goes a step on */
        v->offset += VALUE_STEP_BYTES;
        task_yield_if_due(v->reactor);
    } while (v->offset < v->bytes && look_at(v, v->offset, &out->value) == 0);
    if (v->offset > v->bytes)
        v->offset = v->bytes;
    out->bytes = v->offset - begin;
    return 1;
}
