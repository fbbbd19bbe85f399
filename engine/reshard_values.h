/* reshard_values.h - the value logs that the tables of a shard point into, each once.
 *
 *   source   log 7: [ live, 60 of ours | live, 20 of others | garbage, 40 ]   shares: 90 ours, 30 the others'
 *
 * A log is linked into every shard that has tables with pointers into it, so each has a share of it: what its
 * own tables point to, and as much of the garbage. Else what the others point to would look like garbage. A
 * value that two tables point to, as when a round has passed an upper run, counts once in it. How much a
 * table points to within some of its vnodes is not known: it is taken to be spread evenly. */
#ifndef ENGINE_RESHARD_VALUES_H
#define ENGINE_RESHARD_VALUES_H

#include "reactor/reactor.h"

struct reshard_value_log {
    uint64_t number;
    uint64_t bytes; /* that tables point to; one value may count twice */
    uint64_t share; /* of the bytes in use; of the new shard only */
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

/* What a table of a shard points into. Returns: 0; TORC_E_CORRUPT when the bytes are no row of references;
 * TORC_E_NO_MEMORY. */
MUST_CHECK int reshard_values_add(struct reshard_values *v, struct slice row);

/* A table of `source`, of which all tables were added, is taken over with `part` of its `whole` vnodes:
 * encodes its row, without shares yet, to `to`, which has room for it. Returns: as above. */
struct reshard_part {
    uint32_t part;
    uint32_t whole;
};
MUST_CHECK int reshard_values_take(struct reshard_values *v, struct reshard_values *source,
                                   struct reshard_part vnodes, struct slice row, uint8_t *to);
/* When all tables were taken: sets the shares in such a row. */
void reshard_values_set_shares(struct reshard_values *v, uint8_t *row, size_t bytes);

void reshard_values_deinit(struct reshard_values *v);

#endif
