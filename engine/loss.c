/* loss.c - an operator gives up what was lost; see engine_accept_loss.
 *
 * What is still in memtables came from the damaged log, in part saved from the very stretches that are
 * given up. It becomes tables first, and the log begins behind it: so no later start meets the same damage
 * again. */
#include "engine/build.h"
#include "reactor/base/mark.h"

enum { LOOK_NS = 10 * 1000 * 1000, FAILING_LOOKS_MAX = 1000 }; /* 10 s of flushes that fail */

/* Waits: until all up to `sequence` is in tables. */
static int flush_up_to(struct engine *e, uint64_t sequence)
{
    unsigned failing_looks = 0;
    while (e->frozen_count > 0 && e->frozen[0].last_sequence <= sequence) {
        failing_looks = e->flushing.has_told ? failing_looks + 1 : 0;
        if (e->is_closing)
            return TORC_E_CANCELLED;
        if (e->is_failed || failing_looks > FAILING_LOOKS_MAX)
            return TORC_E_STORAGE;
        if (e->is_out_of_room)
            return TORC_E_DISK_FULL;
        engine_wake_flush(e);
        task_sleep(e->reactor, LOOK_NS);
    }
    return 0;
}

static int flush_all(struct engine *e, uint64_t *sequence)
{
    *sequence = e->last_sequence;
    if (memtable_entries(e->active) > 0) {
        if (e->frozen_count == FROZEN_COUNT_MAX)
            return TORC_E_OVERLOADED;
        int rc = engine_freeze(e, e->last_sequence, wal_bytes(e->wal));
        if (rc)
            return rc;
    }
    return flush_up_to(e, *sequence);
}

struct acceptance {
    struct engine *engine;
    uint64_t sequence; /* all up to it is in tables */
};

static void edit_accepted(void *context, struct manifest_numbers *n)
{
    const struct acceptance *a = context;
    if (n->quarantine_clock > n->clock_max)
        n->clock_max = n->quarantine_clock; /* new versions stay above those that were lost */
    n->quarantine_clock = 0;
    n->quarantine_count = 0;
    if (n->log_start.sequence <= a->sequence)
        n->log_start = wal_start_at(a->engine->wal, a->sequence + 1);
}

static uint32_t find_unreadable(const struct engine *e, struct table_ref **out, uint64_t *records)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->tables->count; i++) {
        struct table_ref *ref = e->tables->tables[i];
        if (!table_is_unreadable(ref->table))
            continue;
        *records += table_summary(ref->table)->entries;
        out[count++] = ref;
    }
    return count;
}

/* `lost` has room for all tables there are. */
static int give_up(struct engine *e, uint64_t sequence, struct table_ref **lost)
{
    uint64_t stretches = manifest_state(e->manifest)->numbers.quarantine_count;
    uint64_t records = 0;
    uint32_t count = find_unreadable(e, lost, &records);
    struct acceptance acceptance = {e, sequence};
    int rc = engine_change_tables(e, &(struct tables_change){
                                         .removed = lost,
                                         .removed_count = count,
                                         .edit = edit_accepted,
                                         .context = &acceptance,
                                     });
    if (rc)
        return rc;
    MARK(loss_is_accepted);
    e->quarantine_clock = 0;
    engine_tell(
        e, "loss_accepted",
        "%llu stretches of the log and %u tables of %llu records are given up: their keys answer with "
        "what is left",
        (unsigned long long)stretches, count, (unsigned long long)records);
    return 0;
}

static bool has_lost(const struct engine *e)
{
    for (uint32_t i = 0; i < e->tables->count; i++)
        if (table_is_unreadable(e->tables->tables[i]->table))
            return true;
    return e->quarantine_clock != 0;
}

int engine_accept_loss(struct engine *e)
{
    if (e->is_failed || !e->wal)
        return TORC_E_STORAGE;
    if (e->is_accepting)
        return TORC_E_OVERLOADED;
    if (!has_lost(e))
        return 0;
    uint64_t sequence;
    e->is_accepting = true;
    int rc = e->quarantine_clock ? wal_begin(e->wal) : 0; /* else the next start meets the damage again */
    if (rc == 0)
        rc = flush_all(e, &sequence);
    if (rc == 0) {
        struct table_ref **lost =
            reactor_alloc(e->reactor, (e->tables->count + 1) * sizeof(struct table_ref *));
        rc = lost ? give_up(e, sequence, lost) : TORC_E_NO_MEMORY;
        reactor_free(e->reactor, lost);
    }
    e->is_accepting = false;
    return rc;
}

int engine_flush(struct engine *e)
{
    uint64_t sequence;
    return e->is_failed || !e->wal ? TORC_E_STORAGE : flush_all(e, &sequence);
}
