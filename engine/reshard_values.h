/* reshard_values.h - the value logs that the tables of a new shard point into, each once. */
#ifndef ENGINE_RESHARD_VALUES_H
#define ENGINE_RESHARD_VALUES_H

#include "reactor/reactor.h"

struct reshard_value_log {
    uint64_t number;
    bool is_linked; /* into the new shard */
};

struct reshard_values {
    struct reactor *reactor;
    struct reshard_value_log *logs; /* by number */
    uint32_t count;
    uint32_t capacity;
};

/* Finds or adds the log. Returns: it, until the next call; null when memory is out. */
struct reshard_value_log *reshard_values_at(struct reshard_values *v, uint64_t number);
void reshard_values_deinit(struct reshard_values *v);

#endif
