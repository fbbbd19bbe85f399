/* build.c - writes the records of a merge into a new table; see build.h. */
#include "engine/build.h"

static int write_records(struct engine *e, struct build *b, struct table_writer *w)
{
    struct record record;
    int rc = merge_seek(b->merge, &(struct record_key){.vnode = e->options.vnode_first});
    if (rc == 0)
        rc = 1;
    while (rc == 1 && !e->is_closing) {
        rc = merge_next(b->merge, &record);
        if (rc != 1)
            break;
        task_yield_if_due(e->reactor);
        if (b->drops_dead && !record_is_live(&record, b->now_ms))
            continue;
        if (!entry_verify(&record)) {
            e->counters.corruptions++;
            b->is_input_bad = true;
            return TORC_E_CORRUPT;
        }
        int added = table_writer_add(w, &record);
        if (added)
            return added;
        b->records++;
    }
    b->is_input_bad = rc < 0;
    if (rc < 0)
        return rc;
    return e->is_closing ? TORC_E_CANCELLED : 0;
}

static int open_built(struct engine *e, const struct build *b, const char *path, uint64_t number,
                      struct table_ref **out)
{
    struct table *table;
    int rc = directory_sync(e->reactor, e->directory);
    if (rc)
        return TORC_E_STORAGE;
    rc = table_open(e->reactor, e->cache, path, number, &table);
    if (rc)
        return rc;
    *out = table_ref_new(e, table, b->level);
    if (*out)
        return 0;
    table_close(table);
    return TORC_E_NO_MEMORY;
}

int engine_build_table(struct engine *e, struct build *b, struct table_ref **out)
{
    char path[ENGINE_PATH_MAX];
    struct table_writer *w;
    struct table_summary summary;
    uint64_t number = manifest_next_number(e->manifest);
    *out = NULL;
    engine_table_path(e, number, path);
    int rc = table_writer_open(e->reactor, path, number, &w);
    if (rc)
        return rc;
    rc = write_records(e, b, w);
    bool is_wanted = rc == 0 && b->records > 0;
    if (is_wanted)
        rc = table_writer_finish(w, &summary);
    table_writer_close(w);
    if (rc || !is_wanted)
        return rc;
    rc = open_built(e, b, path, number, out);
    if (rc && file_remove(e->reactor, path) != 0)
        engine_tell(e, "table_not_removed", "%s is removed at the next start", path);
    return rc;
}

/* ---- what counts ---- */

static int commit(struct engine *e, const struct tables_change *change)
{
    uint64_t removed[COMPACTION_TABLES_MAX];
    struct manifest_table description;
    struct manifest_change m = {
        .removed = removed,
        .removed_count = change->removed_count,
        .edit = change->edit,
        .context = change->context,
    };
    ASSERT(change->removed_count <= ARRAY_COUNT(removed));
    for (uint32_t i = 0; i < change->removed_count; i++)
        removed[i] = change->removed[i]->number;
    if (change->added) {
        const struct table_summary *s = table_summary(change->added->table);
        description = table_description(s, change->added->level, change->created_ms);
        m.added = &description;
        m.added_count = 1;
    }
    return manifest_commit(e->manifest, &m);
}

/* A table that nobody came to hold. Its file stays when the manifest may name it. */
static void let_go(struct engine *e, struct table_ref *ref, int code)
{
    if (!ref)
        return;
    ASSERT(ref->references == 0);
    ref->is_obsolete = code != TORC_E_STORAGE;
    list_push_back(&e->graveyard, &ref->link);
    engine_wake_burial(e);
}

int engine_change_tables(struct engine *e, const struct tables_change *change)
{
    struct table_set_change set_change = {
        .added = &change->added,
        .added_count = change->added ? 1 : 0,
        .removed = change->removed,
        .removed_count = change->removed_count,
    };
    int rc = commit(e, change);
    if (rc) {
        e->is_failed |= rc == TORC_E_STORAGE;
        let_go(e, change->added, rc);
        return rc;
    }
    /* The manifest has changed: from here on there is no way back. A few hundred bytes are to be had, or the shard
     * stops and starts again from the manifest. */
    struct table_set *set = table_set_make(e->reactor, e->tables, &set_change);
    ASSERT(set);
    for (uint32_t i = 0; i < change->removed_count; i++)
        change->removed[i]->is_obsolete = true;
    struct table_set *old = e->tables;
    e->tables = set;
    table_set_release(old);
    engine_refresh_clock(e);
    return 0;
}

/* ---- failures ---- */

void engine_tell_failure(struct engine *e, const char *what, int code)
{
    if (e->has_told_full && !e->is_failed)
        return;
    e->has_told_full = true;
    engine_tell(e, what, "%s; %s", error_sentence(code),
                e->is_failed ? "nothing more is written until the next start" : "it is tried again every second");
}

void engine_tell_recovered(struct engine *e)
{
    if (e->has_told_full)
        engine_tell(e, "storage_recovered", "tables are written again");
    e->has_told_full = false;
}

void engine_pause(struct engine *e, struct event *wake)
{
    if (e->is_closing)
        return;
    event_init(wake);
    int rc = event_wait(e->reactor, wake, RETRY_NS);
    (void)rc; /* woken or not, it is time to look again */
}
