/* reshard_values.c - value logs in an array by number; see reshard_values.h. */
#include "engine/reshard_values.h"

#include "engine/values_format.h"

#include <string.h>

enum { LOGS_FIRST = 64 };

static uint32_t place_of(const struct reshard_values *v, uint64_t number)
{
    uint32_t low = 0, high = v->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->logs[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_room(struct reshard_values *v)
{
    if (v->count < v->capacity)
        return true;
    uint32_t capacity = v->capacity ? v->capacity * 2 : LOGS_FIRST;
    struct reshard_value_log *logs = reactor_realloc(v->reactor, v->logs, capacity * sizeof logs[0]);
    if (!logs)
        return false;
    v->logs = logs;
    v->capacity = capacity;
    return true;
}

struct reshard_value_log *reshard_values_at(struct reshard_values *v, uint64_t number)
{
    uint32_t place = place_of(v, number);
    if (place < v->count && v->logs[place].number == number)
        return &v->logs[place];
    if (!has_room(v))
        return NULL;
    memmove(&v->logs[place + 1], &v->logs[place], (v->count - place) * sizeof v->logs[0]);
    v->logs[place] = (struct reshard_value_log){.number = number};
    v->count++;
    return &v->logs[place];
}

int reshard_values_add(struct reshard_values *v, struct slice row)
{
    int count = value_reference_count(row);
    for (int i = 0; i < count; i++) {
        struct value_reference reference =
            value_reference_decode(row.data + (size_t)i * VALUE_REFERENCE_BYTES);
        struct reshard_value_log *log = reshard_values_at(v, reference.file);
        if (!log)
            return TORC_E_NO_MEMORY;
        log->bytes += reference.bytes;
    }
    return count < 0 ? count : 0;
}

int reshard_values_take(struct reshard_values *v, struct reshard_values *source, struct reshard_part vnodes,
                        struct slice row, uint8_t *to)
{
    ASSERT(vnodes.part > 0 && vnodes.part <= vnodes.whole);
    int count = value_reference_count(row);
    for (int i = 0; i < count; i++) {
        size_t at = (size_t)i * VALUE_REFERENCE_BYTES;
        struct value_reference reference = value_reference_decode(row.data + at);
        const struct reshard_value_log *all = reshard_values_at(source, reference.file);
        struct reshard_value_log *log = reshard_values_at(v, reference.file);
        if (!all || !log)
            return TORC_E_NO_MEMORY;
        reference.bytes = (reference.bytes * vnodes.part + vnodes.whole - 1) / vnodes.whole;
        log->bytes += reference.bytes;
        if (all->bytes > 0)
            log->share +=
                (uint64_t)((double)reference.share_bytes * (double)reference.bytes / (double)all->bytes);
        value_reference_encode(to + at, &reference);
    }
    return count < 0 ? count : 0;
}

void reshard_values_set_shares(struct reshard_values *v, uint8_t *row, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += VALUE_REFERENCE_BYTES) {
        struct value_reference reference = value_reference_decode(row + at);
        const struct reshard_value_log *log = reshard_values_at(v, reference.file);
        ASSERT(log); /* it was taken, so nothing is allocated */
        reference.share_bytes = log->share < reference.file_bytes ? log->share : reference.file_bytes;
        value_reference_encode(row + at, &reference);
    }
}

void reshard_values_deinit(struct reshard_values *v)
{
    reactor_free(v->reactor, v->logs);
    *v = (struct reshard_values){.reactor = v->reactor};
}
