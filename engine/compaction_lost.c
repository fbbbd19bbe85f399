/* compaction_lost.c - tables with something lost in or behind them, when an operator gives that up; see
 * loss.c.
 *
 *   tables by number:  | sound | written anew | sound | not looked at yet ...... | new: left alone
 *                                                     ^ next_number              ^ end_number
 *
 * Each is read whole: damage must not wait until somebody meets it. One with a block or an entry that cannot
 * be read, or that points into a lost value log, is merged by itself and written again where it stands:
 *
 *   a block or an entry that cannot be read -> nothing: its keys have what other tables hold, maybe an older
 *                                              version, or one that was deleted
 *   a value that can be read                -> moves to the table's own log
 *   a value that cannot                     -> a tombstone of its version, or nothing where another table
 *                                              holds that very version
 *
 * That other one may be in a table that a round has passed in part, and so may what is left of a key of a
 * block. None of those may go with this round then: they await the next one from its beginning.
 *
 * Each table counts by itself, so when this is cut short the next time finds the rest. It is a part of the
 * task of compaction, so no other merge carries a damaged entry past it. A table that cannot be written anew
 * is told of and stays as it is; the disk may have room for others. */
#include "engine/compaction.h"
#include "reactor/base/mark.h"

#include <errno.h>

enum { FAILS_MAX = 10 }; /* in a row, a second apart; from then on each table has one try */

/* ---- which ---- */

static bool is_to_be_looked_at(const struct engine *e, const struct table_ref *ref)
{
    const struct giving_up *g = &e->giving_up;
    return ref->number >= g->next_number && ref->number < g->end_number && !table_is_unreadable(ref->table);
}

/* Behind the last of those: a value log that was found damaged meanwhile. */
static bool has_lost_values(const struct table_ref *ref)
{
    return !ref->is_damaged && value_refs_lost_bytes(&ref->values) > 0;
}

/* Looks at all: once a table that is read. */
static struct table_ref *pick(const struct engine *e)
{
    struct table_ref *next = NULL, *other = NULL;
    for (uint32_t i = 0; i < e->tables->count; i++) {
        struct table_ref *ref = e->tables->tables[i];
        if (is_to_be_looked_at(e, ref))
            next = !next || ref->number < next->number ? ref : next;
        else if (has_lost_values(ref))
            other = ref;
    }
    return next ? next : other;
}

static struct compaction_place place_of(const struct engine *e, const struct table_ref *ref)
{
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        for (uint32_t j = 0; j < e->tables->runs[i].count; j++)
            if (e->tables->runs[i].tables[j] == ref)
                return (struct compaction_place){&e->tables->runs[i], j};
    ASSERT(false); /* nobody else takes tables away while this task looks at one */
}

/* ---- looking ---- */

/* Waits. Until something of it is lost. Returns: 0, or why that cannot be told. */
static int read_table(struct engine *e, struct table *t, bool *is_whole)
{
    struct table_cursor c;
    struct table_losses losses;
    struct record record;
    int rc = 1;
    table_cursor_init(&c, t, TABLE_CURSOR_BULK);
    c.share = (struct disk_share){e->disk, DISK_COMPACTION};
    table_cursor_give_up(&c, &losses);
    while (rc == 1 && losses.blocks + losses.records == 0) {
        rc = e->is_closing ? TORC_E_CANCELLED : table_cursor_next(&c, &record);
        task_yield_if_due(e->reactor);
    }
    table_cursor_deinit(&c);
    *is_whole = losses.blocks + losses.records == 0;
    return rc < 0 ? rc : 0;
}

/* Waits. Opens it a second time, as the next start will: what is pinned in memory is not looked at, and keys
 * of other shards are. Returns: as read_table. */
static int look(struct engine *e, const struct table_ref *ref, bool *is_whole)
{
    char path[ENGINE_PATH_MAX];
    struct table *t;
    engine_table_path(e, ref->number, path);
    uint64_t number = table_summary(ref->table)->number;
    int rc = table_open(e->reactor, NULL, path, number, &t);
    if (rc == TORC_E_STORAGE || rc == -EIO) /* a second look, as at a start */
        rc = table_open(e->reactor, NULL, path, number, &t);
    *is_whole = !error_is_loss(rc);
    if (rc)
        return *is_whole ? rc : 0;
    rc = read_table(e, t, is_whole);
    e->counters.corruptions += table_counters(t).corruptions;
    table_close(t);
    return rc;
}

/* ---- one table ---- */

static void pass(struct giving_up *g, uint64_t number)
{
    if (number >= g->next_number && number < g->end_number)
        g->next_number = number + 1;
}

static void tell(struct engine *e, uint64_t number, const struct table_losses *l)
{
    char path[ENGINE_PATH_MAX];
    if (l->blocks + l->records == 0)
        return;
    MARK(table_is_written_anew_without_what_cannot_be_read);
    engine_table_path(e, number, path);
    engine_tell(
        e, "loss_accepted",
        "%s: %llu blocks of %llu bytes and %llu records of others cannot be read and are given up: keys "
        "between vnodes %u and %u answer with what is left",
        path, (unsigned long long)l->blocks, (unsigned long long)l->bytes, (unsigned long long)l->records,
        l->vnode_first, l->vnode_last);
}

/* Waits. */
static int write_anew(struct engine *e, const struct table_ref *ref)
{
    struct table_losses losses = {0};
    struct compaction_place place = place_of(e, ref);
    uint64_t number = ref->number;
    for (uint32_t i = 0; i < e->tables->count; i++)
        e->tables->tables[i]->is_awaited = false;
    int rc = compaction_merge_table(e, &place, &losses);
    if (rc)
        return rc;
    row_cache_clear(e->rows); /* it may hold what was read before it was damaged */
    tell(e, number, &losses);
    return 0;
}

static void leave(struct engine *e, struct table_ref *ref, int code)
{
    char path[ENGINE_PATH_MAX];
    engine_table_path(e, ref->number, path);
    engine_tell(e, "loss_remains", "%s: %s; it stays as it is, and what is lost in it CORRUPT", path,
                error_sentence(code == TORC_E_OVERLOADED ? TORC_E_DISK_FULL : code));
    pass(&e->giving_up, ref->number);
}

/* It was an error that has passed. A round may have gone past it meanwhile without taking it: it awaits the
 * next one. */
static void acquit(struct table_ref *ref)
{
    if (ref->is_damaged || ref->is_suspect)
        ref->is_damaged = ref->is_suspect = ref->is_awaited = false;
}

/* Waits. Returns: 0 with *is_whole; an error when it is to be tried again, TORC_E_CANCELLED when it is left.
 */
static int give_up(struct engine *e, struct table_ref *ref, bool *is_whole)
{
    struct giving_up *g = &e->giving_up;
    *is_whole = value_refs_lost_bytes(&ref->values) == 0;
    int rc = *is_whole ? look(e, ref, is_whole) : 0;
    if (rc == 0 && *is_whole)
        acquit(ref);
    if (rc == 0 && !*is_whole)
        rc = write_anew(e, ref);
    if (rc == 0 || e->is_closing || e->is_failed) {
        g->fails = rc ? g->fails : 0;
        return rc;
    }
    bool is_hopeless = rc == TORC_E_CANCELLED; /* set aside: it contradicts itself */
    if (++g->fails < FAILS_MAX && !is_hopeless)
        return rc;
    ref->is_damaged |= !*is_whole;
    leave(e, ref, is_hopeless ? TORC_E_CORRUPT : rc);
    return TORC_E_CANCELLED;
}

int compaction_give_up(struct engine *e)
{
    struct giving_up *g = &e->giving_up;
    struct table_ref *ref;
    if (g->end_number == 0)
        g->end_number = manifest_next_number(e->manifest);
    while ((ref = pick(e)) != NULL) {
        uint64_t number = ref->number; /* of one that is not there any more afterwards, maybe */
        bool is_whole;
        int rc = give_up(e, ref, &is_whole);
        if (rc)
            return rc;
        pass(g, number);
        if (!is_whole)
            return 1;
    }
    g->is_done = true;
    return 0;
}
