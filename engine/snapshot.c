/* snapshot.c - a copy of a shard as it is at one moment, made of hard links; see snapshot.h.
 *
 * Tables and value logs never change, so a second name is a copy, whatever becomes of the first. Files of the
 * log are written to and used again: they are copied, and held until then. No more than what was durable when
 * the copy began: behind that, a record may be there without the one before it. */
#include "engine/snapshot.h"

#include "engine/copy.h"
#include "engine/engine_internal.h"
#include "engine/manifest_format.h"
#include "engine/wal_format.h"

#include <errno.h>
#include <stdio.h>

struct engine_snapshot {
    struct engine *engine;
    const bool *is_cancelled;
    struct table_set *set;
    uint8_t *manifest;
    uint64_t manifest_bytes;
    struct wal_start log_start;
    struct wal_hold hold;
    struct engine_snapshot_facts facts;
    char from[ENGINE_PATH_MAX];
    char to[ENGINE_PATH_MAX];
};

/* ---- begin ---- */

static bool has_table(const struct table_set *set, uint64_t number)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->tables[i]->number == number)
            return true;
    return false;
}

/* Returns: 0 when the shard is whole, and what the manifest names is what is held. */
static int check_whole(const struct engine *e)
{
    const struct manifest_state *m = manifest_state(e->manifest);
    if (e->is_failed || !e->wal)
        return TORC_E_STORAGE;
    if (e->is_closing)
        return TORC_E_CANCELLED;
    if (e->quarantine_clock != 0)
        return TORC_E_UNKNOWN;
    for (uint32_t i = 0; i < e->tables->count; i++) {
        const struct table_ref *t = e->tables->tables[i];
        if (t->is_damaged || t->is_suspect || value_refs_lost_bytes(&t->values) > 0)
            return TORC_E_CORRUPT;
    }
    if (m->table_count != e->tables->count)
        return TORC_E_OVERLOADED; /* a change is on its way to the readers */
    for (uint32_t i = 0; i < m->table_count; i++)
        if (!has_table(e->tables, m->tables[i].number))
            return TORC_E_OVERLOADED;
    return 0;
}

/* The manifest of the copy: it names no file of the log, since not all it had named are copied. */
static int encode_manifest(struct engine_snapshot *s, struct engine *e)
{
    struct manifest_state state = *manifest_state(e->manifest);
    state.numbers.log_files = (struct wal_named){{0}};
    s->manifest_bytes = manifest_encoded_bytes(&state);
    s->manifest = reactor_alloc(e->reactor, s->manifest_bytes);
    if (s->manifest)
        manifest_encode(s->manifest, &state);
    return s->manifest ? 0 : TORC_E_NO_MEMORY;
}

int engine_snapshot_begin(struct engine *e, struct engine_snapshot **out, uint64_t *clock)
{
    *out = NULL;
    int rc = check_whole(e);
    if (rc)
        return rc;
    struct engine_snapshot *s = reactor_alloc_zeroed(e->reactor, sizeof *s);
    rc = s ? encode_manifest(s, e) : TORC_E_NO_MEMORY;
    if (rc) {
        reactor_free(e->reactor, s);
        return rc;
    }
    const struct manifest_numbers *n = &manifest_state(e->manifest)->numbers;
    s->engine = e;
    s->log_start = n->log_start;
    s->facts = (struct engine_snapshot_facts){
        .log_history = n->log_history,
        .start_segment = n->log_start.segment,
        .start_sequence = n->log_start.sequence,
        .vnode_first = n->vnode_first,
        .vnode_count = n->vnode_count,
    };
    s->set = e->tables;
    table_set_hold(s->set);
    wal_hold(e->wal, &s->hold, n->log_start.segment);
    e->snapshot_count++;
    *clock = engine_version_clock_max(e);
    *out = s;
    return 0;
}

void engine_snapshot_end(struct engine_snapshot *s)
{
    if (!s)
        return;
    struct engine *e = s->engine;
    ASSERT(e->snapshot_count > 0);
    e->snapshot_count--;
    wal_release(e->wal, &s->hold);
    table_set_release(s->set);
    reactor_free(e->reactor, s->manifest);
    reactor_free(e->reactor, s);
    engine_task_over(e);
}

/* ---- write ---- */

static void count_file(struct engine_snapshot *s, uint64_t bytes)
{
    s->facts.files++;
    s->facts.bytes += bytes;
}

static int path_to(struct engine_snapshot *s, const char *directory, const char *name)
{
    int length = snprintf(s->to, sizeof s->to, "%s/%s", directory, name);
    return length > 0 && (size_t)length < sizeof s->to ? 0 : -ENAMETOOLONG;
}

/* A second name for the file s->from. */
static int link_file(struct engine_snapshot *s, const char *directory, uint64_t bytes)
{
    struct engine *e = s->engine;
    int rc = path_to(s, directory, strrchr(s->from, '/') + 1);
    if (rc == 0)
        rc = file_link(e->reactor, s->from, s->to);
    if (rc == 0)
        count_file(s, bytes);
    return rc;
}

/* The value logs of a table; several may point into one, which is linked once. */
static int link_values(struct engine_snapshot *s, const char *directory, const struct value_refs *refs)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < refs->count; i++) {
        const struct value_file *f = refs->uses[i].file;
        values_path(s->engine, f->number, s->from);
        rc = link_file(s, directory, f->bytes);
        rc = rc == -EEXIST ? 0 : rc;
    }
    return rc;
}

static int link_tables(struct engine_snapshot *s, const char *directory)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < s->set->count; i++) {
        const struct table_ref *ref = s->set->tables[i];
        engine_table_path(s->engine, ref->number, s->from);
        rc = *s->is_cancelled || s->engine->is_closing
                 ? TORC_E_CANCELLED
                 : link_file(s, directory, table_summary(ref->table)->bytes);
        if (rc == 0)
            rc = link_values(s, directory, &ref->values);
    }
    return rc;
}

static int copy_segment(struct engine_snapshot *s, const char *directory, const struct wal_extent *x)
{
    struct engine *e = s->engine;
    char name[WAL_NAME_BYTES];
    struct copied copied;
    wal_segment_name(name, x->id);
    int length = snprintf(s->from, sizeof s->from, "%s/%s", e->directory, name);
    ASSERT(length > 0 && (size_t)length < sizeof s->from);
    int rc = path_to(s, directory, name);
    struct copy_options options = {
        .from = s->from,
        .to = s->to,
        .class = DISK_BACKUP,
        .disk = e->disk,
        .is_cancelled = s->is_cancelled,
    };
    if (rc == 0)
        rc = wal_extent_copy(e->reactor, x, &options, &copied);
    if (rc == 0)
        count_file(s, copied.bytes);
    return rc;
}

static int copy_log(struct engine_snapshot *s, const char *directory)
{
    struct engine *e = s->engine;
    struct wal_extent *extents;
    uint32_t count;
    int rc = wal_extents(e->wal, s->log_start.segment, &extents, &count);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = copy_segment(s, directory, &extents[i]);
    reactor_free(e->reactor, extents);
    return rc;
}

static int write_manifest(struct engine_snapshot *s, const char *directory)
{
    int rc = path_to(s, directory, "MANIFEST-A");
    if (rc == 0)
        rc = copy_bytes_to_file(s->engine->reactor, slice_of(s->manifest, s->manifest_bytes), s->to);
    if (rc == 0)
        count_file(s, s->manifest_bytes);
    return rc;
}

int engine_snapshot_write(struct engine_snapshot *s, const char *directory, const bool *is_cancelled,
                          struct engine_snapshot_facts *facts)
{
    struct engine *e = s->engine;
    s->is_cancelled = is_cancelled ? is_cancelled : &e->is_closing;
    int rc = directory_create(e->reactor, directory);
    if (rc == 0)
        rc = link_tables(s, directory);
    if (rc == 0)
        rc = wal_settle(e->wal, s->is_cancelled);
    if (rc == 0) {
        wal_retire_current(e->wal);
        struct wal_end end = wal_end(e->wal);
        s->facts.end_segment = end.segment;
        s->facts.end_sequence = end.sequence;
        s->facts.end_checksum = end.checksum;
        rc = copy_log(s, directory);
    }
    if (rc == 0)
        rc = write_manifest(s, directory);
    if (rc == 0)
        rc = directory_sync(e->reactor, directory);
    *facts = s->facts;
    return rc;
}
