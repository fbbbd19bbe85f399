/* reshard_values.c - value logs in an array by number; see reshard_values.h. */
#include "engine/reshard_values.h"

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

void reshard_values_deinit(struct reshard_values *v)
{
    reactor_free(v->reactor, v->logs);
    *v = (struct reshard_values){.reactor = v->reactor};
}
