/* loss.c - an operator gives up what was lost; see engine_accept_loss.
 *
 * What is still in memtables came from the damaged log, in part saved from the very stretches that are
 * given up. It becomes tables first, and the log begins behind it: so no later start meets the same damage
 * again.
 *
 * Then all value logs are read, since a start does not look into them, and all tables that can be opened:
 * those with something in them that cannot be read, or that point into a value log that is damaged or
 * missing, are written anew one by one, by the task of compaction (compaction_lost.c). What can be read
 * moves. A record whose value cannot becomes a tombstone of its version, so nothing older comes to light; of
 * a block that cannot be read nobody knows what was in it, so its keys answer as those of a table that is
 * gone. A crash between two tables leaves some for the next time. At the end no table names a lost log, and
 * it goes. */
#include "engine/compaction.h"
#include "engine/values_visit.h"
#include "reactor/base/mark.h"

#include <errno.h>

enum {
    LOOK_NS = 10 * 1000 * 1000,
    FAILING_LOOKS_MAX = 1000, /* 10 s of flushes that fail */
};

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

static int accept_log_and_tables(struct engine *e)
{
    uint64_t sequence;
    if (!has_lost(e))
        return 0;
    int rc = e->quarantine_clock ? wal_begin(e->wal) : 0; /* else the next start meets the damage again */
    if (rc == 0)
        rc = flush_all(e, &sequence);
    if (rc == 0) {
        struct table_ref **lost =
            reactor_alloc(e->reactor, (e->tables->count + 1) * sizeof(struct table_ref *));
        rc = lost ? give_up(e, sequence, lost) : TORC_E_NO_MEMORY;
        reactor_free(e->reactor, lost);
    }
    return rc;
}

/* ---- value logs ---- */

/* Waits. Returns: 0 with *is_whole, or an error when that cannot be told. */
static int look_at_values(struct engine *e, uint64_t number, uint64_t bytes, bool *is_whole)
{
    char path[ENGINE_PATH_MAX];
    struct values_visit visit;
    struct values_found found;
    values_path(e, number, path);
    int rc = values_visit_open(&visit, e->reactor, path, number);
    *is_whole = rc == 0 ? visit.bytes >= bytes : !error_is_loss(rc);
    for (bool has_more = rc == 0; has_more && *is_whole && !e->is_closing;) {
        rc = values_visit_next(&visit, &found);
        has_more = rc == 1;
        *is_whole = !has_more || found.is_sound;
    }
    values_visit_close(&visit);
    return rc == 1 || error_is_loss(rc) ? 0 : rc;
}

/* Waits. Files come and go meanwhile: each is looked up again. */
static int find_damaged_values(struct engine *e)
{
    struct value_file *f;
    int rc = 0;
    for (uint64_t next = 0; rc == 0 && (f = values_find_next(e->values, next)) != NULL;) {
        uint64_t number = f->number;
        bool is_whole = true;
        next = number + 1;
        if (!value_file_is_lost(f))
            rc = look_at_values(e, number, f->bytes, &is_whole);
        f = is_whole ? NULL : values_find(e->values, number);
        if (f) {
            MARK(damaged_value_log_is_found_before_it_is_given_up);
            f->is_damaged = true;
        }
        if (e->is_closing)
            rc = TORC_E_CANCELLED;
    }
    return rc;
}

/* ---- tables that can be opened ---- */

/* Waits: until the task of compaction has looked at all of them. */
static int give_up_in_tables(struct engine *e)
{
    int rc = 0;
    e->giving_up = (struct giving_up){.is_on = true};
    while (rc == 0 && !e->giving_up.is_done) {
        rc = e->is_closing ? TORC_E_CANCELLED : e->is_failed ? TORC_E_STORAGE : 0;
        engine_wake_compaction(e);
        task_sleep(e->reactor, LOOK_NS);
    }
    e->giving_up.is_on = false;
    return rc;
}

static uint64_t bytes_in_lost_values(const struct engine *e)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < e->tables->count; i++)
        bytes += value_refs_lost_bytes(&e->tables->tables[i]->values);
    return bytes;
}

static void tell_values(struct engine *e, uint64_t bytes, uint64_t values)
{
    uint64_t left = bytes_in_lost_values(e);
    if (left < bytes) {
        MARK(lost_value_logs_are_given_up);
        engine_tell(
            e, "loss_accepted",
            "%llu values of the %llu bytes in value logs that are damaged or gone are given up: their "
            "keys answer as deleted",
            (unsigned long long)values, (unsigned long long)bytes);
    }
    if (left > 0)
        engine_tell(e, "loss_remains",
                    "%llu bytes in value logs that are damaged or gone are named by tables that stay as they "
                    "are: keys with values there answer CORRUPT",
                    (unsigned long long)left);
}

static int accept_values_and_blocks(struct engine *e)
{
    int rc = find_damaged_values(e);
    uint64_t bytes = bytes_in_lost_values(e), before = e->values_given_up;
    if (rc == 0)
        rc = give_up_in_tables(e);
    if (rc == 0 && bytes > 0)
        tell_values(e, bytes, e->values_given_up - before);
    return rc;
}

int engine_accept_loss(struct engine *e)
{
    if (e->is_failed || !e->wal)
        return TORC_E_STORAGE;
    if (e->is_accepting)
        return TORC_E_OVERLOADED;
    e->is_accepting = true;
    int rc = accept_log_and_tables(e);
    if (rc == 0)
        rc = accept_values_and_blocks(e);
    e->is_accepting = false;
    return rc;
}

int engine_flush(struct engine *e)
{
    uint64_t sequence;
    return e->is_failed || !e->wal ? TORC_E_STORAGE : flush_all(e, &sequence);
}
