/* recover.c - from what is on the disk to an engine that serves.
 *
 * Manifest, tables, log: everything is read and verified before anything is changed. Then the manifest is
 * written, if the shard is new or damage was found, files that nothing names are removed, and the log is
 * opened for writing. What the log holds becomes memtables, frozen as they fill up and flushed when the shard
 * already serves. */
#include "engine/engine_internal.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>

enum { REPLAY_BUFFER_BYTES = 64 * 1024 };

/* ---- tables ---- */

/* The very table that the manifest names: its number was never given to another, but a disk may keep what was
 * there before. */
static int open_named(struct engine *e, const struct manifest_table *d, const char *path, struct table **out)
{
    int rc = table_open(e->reactor, e->cache, path, d->origin, out);
    if (rc)
        return rc;
    const struct table_summary *s = table_summary(*out);
    if (s->bytes == d->bytes && s->entries == d->entries && s->clock_min == d->clock_min &&
        s->clock_max == d->clock_max)
        return 0;
    table_close(*out);
    return TORC_E_CORRUPT;
}

static int quarantine(struct engine *e, const struct manifest_table *d, int error, struct table **out)
{
    struct table_summary known = {
        .number = d->origin,
        .bytes = d->bytes,
        .entries = d->entries,
        .tombstones = d->tombstones,
        .expiring = d->expiring,
        .clock_min = d->clock_min,
        .clock_max = d->clock_max,
        .expiry_min_ms = d->expiry_min_ms,
        .expiry_max_ms = d->expiry_max_ms,
        .smallest = d->smallest,
        .largest = d->largest,
    };
    char path[ENGINE_PATH_MAX];
    engine_table_path(e, d->number, path);
    if (error == -ENOENT)
        MARK(missing_table_is_quarantined);
    else
        MARK(unreadable_table_is_quarantined);
    engine_tell(e, "table_unreadable",
                "%s: %s; %llu records are lost in it: keys and scans in its range answer CORRUPT, unless a "
                "newer version is held",
                path, error_sentence(error), (unsigned long long)d->entries);
    return table_stand_in(e->reactor, &known, out);
}

/* A file that was linked from another shard holds more than what is of this one. */
static void limit_table(const struct engine *e, const struct manifest_table *d, struct table *t)
{
    uint16_t first = e->options.vnode_first;
    uint16_t last = (uint16_t)(first + e->options.vnode_count - 1);
    first = d->vnode_first > first ? d->vnode_first : first;
    last = d->vnode_last < last ? d->vnode_last : last;
    if (d->smallest.vnode < first || d->largest.vnode > last) {
        MARK(table_holds_keys_of_other_shards);
        table_limit(t, first, last);
    }
}

static int open_table(struct engine *e, const struct manifest_table *description, struct table_ref **out,
                      char *why, size_t why_bytes)
{
    char path[ENGINE_PATH_MAX];
    struct table *table;
    engine_table_path(e, description->number, path);
    int rc = open_named(e, description, path, &table);
    if (rc == TORC_E_STORAGE || rc == -EIO) /* a second look: it stays closed until the next start */
        rc = open_named(e, description, path, &table);
    bool is_damaged = error_is_loss(rc);
    if (is_damaged)
        rc = quarantine(e, description, rc, &table);
    if (rc) {
        snprintf(why, why_bytes, "cannot open the table %s: %s", path, error_sentence(rc));
        return rc;
    }
    limit_table(e, description, table);
    uint64_t run = description->order ? description->order : description->number;
    *out = table_ref_new(e, table, run, description->level);
    if (!*out) {
        table_close(table);
        return TORC_E_NO_MEMORY;
    }
    (*out)->number = description->number;
    (*out)->is_damaged = is_damaged;
    rc = values_hold(e, description->values, 0, &(*out)->values);
    if (rc == 0)
        return 0;
    snprintf(why, why_bytes, "cannot open the value logs of the table %s: %s", path, error_sentence(rc));
    table_close(table);
    reactor_free(e->reactor, *out);
    return rc;
}

static void discard_refs(struct engine *e, struct table_ref **refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        table_close(refs[i]->table);
        values_release(e, &refs[i]->values, false);
        reactor_free(e->reactor, refs[i]);
    }
}

static int open_tables(struct engine *e, char *why, size_t why_bytes)
{
    const struct manifest_state *state = manifest_state(e->manifest);
    struct table_ref **refs =
        reactor_alloc_zeroed(e->reactor, (state->table_count + 1) * sizeof(struct table_ref *));
    if (!refs)
        return TORC_E_NO_MEMORY;
    int rc = 0;
    uint32_t count = 0;
    for (; rc == 0 && count < state->table_count; count += rc == 0)
        rc = open_table(e, &state->tables[count], &refs[count], why, why_bytes);
    if (rc == 0) {
        struct table_set_change change = {.added = refs, .added_count = count};
        e->tables = table_set_make(e->reactor, NULL, &change);
        rc = e->tables ? 0 : TORC_E_NO_MEMORY;
    }
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        values_count(e, &refs[i]->values, true);
    if (rc)
        discard_refs(e, refs, count);
    reactor_free(e->reactor, refs);
    return rc;
}

/* ---- the log ---- */

/* Entries on their way into the memtable, gathered so that they are put together. */
struct replay {
    struct engine *engine;
    const struct wal_recovery *recovery; /* as far as it has come */
    uint64_t sequence;                   /* of the log record last seen */
    uint64_t log_bytes;                  /* replayed up to and including it */
    uint8_t *buffer;                     /* REPLAY_BUFFER_BYTES, or more once a larger entry came */
    size_t capacity;
    size_t used;
    uint32_t count;
    const uint8_t *entries[ENGINE_APPLY_MAX];
};

static int apply_gathered(struct replay *p)
{
    int results[ENGINE_APPLY_MAX];
    engine_apply(p->engine, p->entries, p->count, results);
    for (uint32_t i = 0; i < p->count; i++)
        if (results[i] && results[i] != TORC_E_SUPERSEDED)
            return results[i];
    p->count = 0;
    p->used = 0;
    return 0;
}

/* A place for an entry in the buffer, which is emptied first if it is full. */
static int make_room(struct replay *p, size_t bytes)
{
    int rc = p->count == ENGINE_APPLY_MAX || p->used + bytes > p->capacity ? apply_gathered(p) : 0;
    if (rc || bytes <= p->capacity)
        return rc;
    reactor_free(p->engine->reactor, p->buffer);
    p->capacity = bytes > REPLAY_BUFFER_BYTES ? bytes : REPLAY_BUFFER_BYTES;
    p->buffer = reactor_alloc(p->engine->reactor, p->capacity);
    return p->buffer ? 0 : TORC_E_NO_MEMORY;
}

/* Memtables are frozen between log records, so that each holds whole ones. */
static int begin_log_record(struct replay *p, uint64_t sequence)
{
    struct engine *e = p->engine;
    int rc = 0;
    if (memtable_used_bytes(e->active) >= e->options.memtable_bytes &&
        e->frozen_count + 1 < FROZEN_COUNT_MAX) {
        rc = apply_gathered(p);
        if (rc == 0)
            rc = engine_freeze(e, p->sequence, p->log_bytes);
    }
    p->sequence = sequence;
    p->log_bytes = p->recovery->replayed_bytes;
    return rc;
}

static int replay_record(void *owner, const struct record *record, uint64_t sequence)
{
    struct replay *p = owner;
    const struct engine_options *o = &p->engine->options;
    if ((uint16_t)(record->key.vnode - o->vnode_first) >= o->vnode_count)
        return TORC_E_DATA_FORMAT;
    size_t bytes = entry_bytes(record);
    int rc = sequence != p->sequence ? begin_log_record(p, sequence) : 0;
    if (rc == 0)
        rc = make_room(p, bytes);
    if (rc)
        return rc;
    entry_encode(p->buffer + p->used, record);
    p->entries[p->count++] = p->buffer + p->used;
    p->used += bytes;
    return 0;
}

static int replay_log(struct engine *e, struct wal_recovery *recovery, char *why, size_t why_bytes)
{
    struct replay replay = {.engine = e, .recovery = recovery};
    struct wal_recovery_options options = {
        .directory = e->directory,
        .start = manifest_state(e->manifest)->numbers.log_start,
        .replay = replay_record,
        .owner = &replay,
        .named = manifest_state(e->manifest)->numbers.log_files,
        .shard = e->options.vnode_first + 1u,
    };
    uint64_t begin_ns = reactor_clock_ns(e->reactor);
    int rc = wal_recover(e->reactor, &options, recovery, why, why_bytes);
    if (rc == 0) {
        rc = apply_gathered(&replay);
        if (rc)
            wal_recovery_deinit(e->reactor, recovery);
    }
    reactor_free(e->reactor, replay.buffer);
    if (rc)
        return rc;
    e->last_sequence = recovery->last_sequence;
    e->counters.log_replayed_bytes = recovery->replayed_bytes;
    e->counters.log_replay_ns = reactor_clock_ns(e->reactor) - begin_ns;
    return 0;
}

/* ---- what the manifest must say before the log is written ---- */

struct first_edit {
    const struct engine *engine;
    const struct wal_recovery *recovery;
    bool has_new_damage;
};

static void edit_numbers(void *context, struct manifest_numbers *n)
{
    const struct first_edit *f = context;
    const struct engine_options *o = &f->engine->options;
    const struct wal_recovery *w = f->recovery;
    n->vnode_bits = o->vnode_bits;
    n->vnode_first = o->vnode_first;
    n->vnode_count = o->vnode_count;
    n->log_files = (struct wal_named){{w->used_segment}};
    while (n->log_history == 0)
        n->log_history = reactor_random(f->engine->reactor);
    if (!f->has_new_damage)
        return;
    n->quarantine_count += w->damaged_count;
    if (w->missing_clock_bound > n->quarantine_clock)
        n->quarantine_clock = w->missing_clock_bound;
    if (w->is_end_lost && n->clock_max > n->quarantine_clock)
        n->quarantine_clock = n->clock_max;
    if (w->is_end_lost &&
        w->record_count == 0) /* nothing is left of it: the next start is not to miss it again */
        n->log_start = (struct wal_start){.segment = 0, .sequence = w->last_sequence + 1};
}

static int check_numbers(const struct engine *e, char *why, size_t why_bytes)
{
    const struct manifest_state *s = manifest_state(e->manifest);
    const struct engine_options *o = &e->options;
    if (s->generation == 0 ||
        (s->numbers.vnode_bits == o->vnode_bits && s->numbers.vnode_first == o->vnode_first &&
         s->numbers.vnode_count == o->vnode_count))
        return 0;
    snprintf(why, why_bytes, "%s holds vnodes %u to %u of 2^%u, not those asked for", e->directory,
             s->numbers.vnode_first, s->numbers.vnode_first + s->numbers.vnode_count - 1u,
             s->numbers.vnode_bits);
    return TORC_E_CONFIGURATION;
}

static bool names_only(const struct wal_named *named, uint64_t id)
{
    return named->ids[0] == id && named->ids[1] == 0 && named->ids[2] == 0;
}

/* Damage must be known before anything is written over; that files without records are named no more need
 * not: they are left alone then. */
static int settle_manifest(struct engine *e, struct wal_recovery *w, char *why, size_t why_bytes)
{
    const struct manifest_state *s = manifest_state(e->manifest);
    bool is_known = w->damaged_count == 0 || (s->numbers.quarantine_clock >= w->missing_clock_bound);
    bool is_needed = s->generation == 0 || s->numbers.log_history == 0 || !is_known;
    if (!is_needed && names_only(&s->numbers.log_files, w->used_segment) && manifest_copies(e->manifest) == 2)
        return 0;
    struct first_edit edit = {e, w, !is_known};
    int rc = manifest_commit(e->manifest, &(struct manifest_change){.edit = edit_numbers, .context = &edit});
    w->keeps_unused = rc != 0 || manifest_copies(e->manifest) < 2;
    if (rc && !is_needed) {
        e->is_failed = rc == TORC_E_STORAGE;
        engine_tell(e, "manifest_not_written", "%s: %s", e->directory, error_sentence(rc));
        return 0;
    }
    if (rc)
        snprintf(why, why_bytes, "cannot write the manifest in %s: %s", e->directory, error_sentence(rc));
    return rc;
}

/* ---- files that nothing names ---- */

enum { ORPHANS_AT_ONCE = 64 };

struct orphan {
    uint64_t number;
    bool is_values; /* a value log; else a table */
};

struct orphans {
    struct engine *engine;
    struct orphan files[ORPHANS_AT_ONCE];
    uint32_t count;
};

static bool is_in_manifest(const struct engine *e, uint64_t number)
{
    const struct manifest_state *s = manifest_state(e->manifest);
    for (uint32_t i = 0; i < s->table_count; i++)
        if (s->tables[i].number == number)
            return true;
    return false;
}

static int note_orphan(void *context, const char *name)
{
    struct orphans *o = context;
    struct orphan found = {.is_values = true};
    if (o->count == ARRAY_COUNT(o->files))
        return 0;
    if (values_name_parse(name, &found.number)) { /* a table that counts holds each that it points into */
        if (!values_find(o->engine->values, found.number))
            o->files[o->count++] = found;
        return 0;
    }
    unsigned long long number;
    char again[64];
    if (sscanf(name, "table-%16llx.sst", &number) != 1)
        return 0;
    snprintf(again, sizeof again, "table-%016llx.sst", number);
    if (strcmp(again, name) == 0 && !is_in_manifest(o->engine, number))
        o->files[o->count++] = (struct orphan){.number = number};
    return 0;
}

static int remove_some_orphans(struct engine *e, uint32_t *count)
{
    struct orphans o = {.engine = e};
    int rc = directory_list(e->reactor, e->directory, note_orphan, &o);
    for (uint32_t i = 0; i < o.count && rc == 0; i++) {
        char path[ENGINE_PATH_MAX];
        if (o.files[i].is_values) {
            MARK(value_log_that_nothing_names_is_removed);
            values_path(e, o.files[i].number, path);
        } else {
            MARK(table_that_nothing_names_is_removed);
            engine_table_path(e, o.files[i].number, path);
        }
        rc = file_remove(e->reactor, path);
    }
    *count = o.count;
    return rc;
}

/* A table or a value log that a crash left behind before the manifest named it, or when it did no more. That
 * it cannot be removed harms nothing. */
static void remove_orphans(struct engine *e)
{
    uint32_t count = ORPHANS_AT_ONCE;
    int rc = 0;
    if (manifest_copies(e->manifest) < 2) {
        MARK(tables_stay_that_the_other_manifest_copy_may_name);
        return;
    }
    while (rc == 0 && count == ORPHANS_AT_ONCE) /* ends: each time there are fewer */
        rc = remove_some_orphans(e, &count);
    if (rc)
        engine_tell(e, "orphans", "unneeded files in %s could not be removed: %s", e->directory,
                    error_sentence(rc));
}

/* ---- all of it ---- */

static void tell(struct engine *e, const struct wal_recovery *w)
{
    if (w->torn_bytes)
        engine_tell(e, "log_tail_cut",
                    "%llu bytes that were never acknowledged were cut from the end of the log",
                    (unsigned long long)w->torn_bytes);
    if (w->missing_segment)
        engine_tell(e, "log_file_missing",
                    "the file wal-%016llx.log is missing, and with it whatever was written last",
                    (unsigned long long)w->missing_segment);
    if (w->damaged_count)
        engine_tell(
            e, "log_damaged",
            "%llu stretches of acknowledged log are damaged, the first in segment %llx at byte %llu; %llu "
            "entries "
            "of them were saved; keys without a newer version answer UNKNOWN until they are written again",
            (unsigned long long)w->damaged_count, (unsigned long long)w->damaged_segment,
            (unsigned long long)w->damaged_offset, (unsigned long long)w->salvaged_count);
}

static uint64_t highest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

int engine_recover(struct engine *e, char *why, size_t why_bytes)
{
    struct wal_recovery recovery = {0};
    int rc = check_numbers(e, why, why_bytes);
    if (rc == 0)
        rc = open_tables(e, why, why_bytes);
    if (rc == 0)
        rc = replay_log(e, &recovery, why, why_bytes);
    if (rc)
        return rc;
    rc = settle_manifest(e, &recovery, why, why_bytes);
    if (rc == 0) {
        const struct manifest_numbers *n = &manifest_state(e->manifest)->numbers;
        tell(e, &recovery);
        remove_orphans(e);
        e->quarantine_clock = n->quarantine_clock;
        e->recovered_clock_max = highest(n->clock_max, highest(n->quarantine_clock, recovery.clock_max));
        engine_refresh_clock(e);
        rc = engine_open_wal(e, &recovery);
        if (rc)
            snprintf(why, why_bytes, "cannot open the log in %s: %s", e->directory, error_sentence(rc));
    }
    if (rc)
        wal_recovery_deinit(e->reactor, &recovery);
    return rc;
}
