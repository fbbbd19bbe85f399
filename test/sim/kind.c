/* kind.c - the table of kinds; see kind.h. */
#include "test/sim/kind.h"

#include "reactor/base/slice.h"
#include "test/sim/history.h"
#include "test/sim/server_history.h"

static const struct history_kind kinds[] = {
    {"engine", "engines of one node, driven directly, against a model", "engine/", HISTORY_FAULTS,
     history_run},
    {"server", "servers and their clients, over a network", "shard/", SERVER_HISTORY_FAULTS,
     server_history_run},
};

unsigned history_kind_count(void)
{
    return ARRAY_COUNT(kinds);
}

const struct history_kind *history_kind_at(unsigned index)
{
    ASSERT(index < ARRAY_COUNT(kinds));
    return &kinds[index];
}

const struct history_kind *history_kind_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}
