/* engine.c - a shard's storage from open to close, and its writes; see engine.h.
 *
 * The log hands back each group commit when it is durable; only then are its records applied to the active
 * memtable and their tickets returned. When the memtable is full it is frozen at that boundary, so each
 * frozen memtable holds exactly the log records up to a sequence number, and once it is a table the log up to
 * there is not needed any more. */
#include "engine/engine_internal.h"
#include "engine/view.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    MEMTABLE_BYTES_DEFAULT = 64 << 20,
    LOG_BYTES_MAX_DEFAULT = 512 << 20,
    CACHE_BYTES_DEFAULT = 64 << 20,
    TABLE_BYTES_MAX_DEFAULT = 64 << 20,
    RUNS_MAX_DEFAULT = 40,
    SEGMENT_BYTES_USUAL = 64 << 20,
    SEGMENT_BYTES_SMALL = 4 << 20,
    VALUE_LOG_BYTES_MIN_DEFAULT = 2 << 10,
    SPARES_LEAST = 2,    /* log files kept to be used again */
    SEGMENTS_BESIDE = 4, /* besides those and what log_bytes_max fills */
    EVENT_TEXT_BYTES = 512,
    BATCH_BYTES_MIN = 16 << 10,
    DELETES_MEMTABLES_MAX = 2, /* so large the active one may grow by deletes on a full disk */
    GATHER_BATCHES = 16,       /* so many of them may wait, and no more than: */
    GATHER_BYTES_MAX = 16 << 20,
    IDLE_MERGE_RATE_DEFAULT = 128 << 20, /* bytes a second, of all cores */
    IDLE_MERGE_RATE_LEAST = 4 << 20,
    PRESSED_SHARE = 4,               /* of its size at which a memtable is frozen while memory is short */
    TABLE_BYTES_MAX_LEAST = 8 << 10, /* more than an empty table has */
};

static void on_durable(void *owner, const struct wal_batch *batch);

/* ---- small things ---- */

void engine_tell(struct engine *e, const char *event, const char *format, ...)
{
    char text[EVENT_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (e->options.on_event)
        e->options.on_event(e->options.owner, event, text);
}

void engine_table_path(const struct engine *e, uint64_t number, char path[ENGINE_PATH_MAX])
{
    snprintf(path, ENGINE_PATH_MAX, "%s/table-%016llx.sst", e->directory, (unsigned long long)number);
}

uint64_t engine_version_clock_max(const struct engine *e)
{
    uint64_t highest = e->recovered_clock_max;
    highest = e->older_clock_max > highest ? e->older_clock_max : highest;
    return memtable_clock_max(e->active) > highest ? memtable_clock_max(e->active) : highest;
}

/* It never goes back: the newest record may be a tombstone that no table needs. */
void engine_refresh_clock(struct engine *e)
{
    uint64_t highest = e->older_clock_max;
    for (uint32_t i = 0; i < e->frozen_count; i++) {
        uint64_t clock = memtable_clock_max(e->frozen[i].memtable);
        highest = clock > highest ? clock : highest;
    }
    if (e->tables && e->tables->run_count > 0 && e->tables->runs[0].clock_max > highest)
        highest = e->tables->runs[0].clock_max;
    e->older_clock_max = highest;
}

static int new_memtable(struct engine *e, struct memtable **out)
{
    uint64_t hint = e->active ? memtable_entries(e->active) : 0;
    struct memtable_options options = {
        .seed = e->seed,
        .vnode_first = e->options.vnode_first,
        .vnode_count = e->options.vnode_count,
        .entries_hint = hint < UINT32_MAX ? (uint32_t)hint : UINT32_MAX,
        .list_shared_min = e->options.list_shared_min,
    };
    return memtable_new(e->reactor, &options, out);
}

/* ---- freezing ---- */

/* A log is as long as one memtable or two, in whole files, and has some to use again beside: where memtables
 * are small, large files would be mostly room that nothing is in. But each file is a change of the manifest.
 * A power of two, so that it is seldom another one at the next start, which uses only files of its own length
 * again. */
static uint64_t usual_segment_bytes(const struct engine *e)
{
    uint64_t memtable = e->options.memtable_bytes, most = e->options.log_bytes_max;
    uint64_t bytes = SEGMENT_BYTES_USUAL;
    while ((bytes > memtable || bytes > most / 2) && bytes > SEGMENT_BYTES_SMALL)
        bytes /= 2;
    return bytes;
}

/* What a flush frees at once is used again: else as much would be filled with zeros anew. */
static uint32_t log_spares(const struct engine *e)
{
    uint64_t bytes = e->options.memtable_bytes, most = e->options.log_bytes_max;
    uint64_t freed = (bytes < most ? bytes : most) / e->options.segment_bytes + 1;
    return (uint32_t)(freed < SPARES_LEAST ? SPARES_LEAST : freed < WAL_SPARES_MAX ? freed : WAL_SPARES_MAX);
}

/* Every start begins a new log file, so a server that is often restarted and seldom written has many, almost
 * empty. */
static bool has_many_segments(const struct engine *e)
{
    uint64_t usual = e->options.log_bytes_max / e->options.segment_bytes + SEGMENTS_BESIDE + log_spares(e);
    struct wal_counters w = wal_counters(e->wal);
    return e->frozen_count == 0 && w.segments - w.kept_segments > usual;
}

/* The log finds no room for another file, and has some that the memtable alone needs. */
static bool frees_room(const struct engine *e, uint64_t log_bytes)
{
    return e->frozen_count == 0 && wal_is_out_of_room(e->wal) &&
           log_bytes - e->active_log_begin >= e->options.segment_bytes;
}

static bool is_full(const struct engine *e, uint64_t log_bytes)
{
    uint64_t limit = e->options.memtable_bytes / (e->is_pressed ? PRESSED_SHARE : 1);
    if (memtable_used_bytes(e->active) >= limit)
        return true;
    bool is_log_long = log_bytes - e->active_log_begin >= e->options.log_bytes_max;
    return memtable_entries(e->active) > 0 &&
           (is_log_long || has_many_segments(e) || frees_room(e, log_bytes));
}

int engine_freeze(struct engine *e, uint64_t last_sequence, uint64_t log_bytes)
{
    ASSERT(e->frozen_count < FROZEN_COUNT_MAX);
    struct memtable *fresh;
    int rc = new_memtable(e, &fresh);
    if (rc)
        return rc;
    e->frozen[e->frozen_count++] = (struct frozen){e->active, last_sequence};
    e->active = fresh;
    e->active_log_begin = log_bytes;
    engine_refresh_clock(e);
    engine_views_begin_memtable(e, fresh);
    return 0;
}

void engine_freeze_if_full(struct engine *e)
{
    uint64_t log_bytes = wal_bytes(e->wal);
    if (!is_full(e, log_bytes) || e->frozen_count >= FROZEN_KEPT_MAX || e->is_closing)
        return;
    int rc = engine_freeze(e, e->last_sequence, log_bytes);
    if (rc && !e->has_told_memtable)
        engine_tell(e, "memory", "no memory for a new memtable; the old one grows on");
    e->has_told_memtable = rc != 0;
    engine_wake_flush(e);
}

static bool has_backlog(const struct engine *e)
{
    return e->frozen_count >= FROZEN_KEPT_MAX && is_full(e, wal_bytes(e->wal)) && !e->is_closing;
}

/* Flushes cannot keep up though writers are slowed: the log is held back, and with it the answers to writers,
 * until one is done. When there will be none any more, or none before the disk has room again, what was taken
 * still becomes durable, and nothing more is taken. */
static bool is_held_back(const struct engine *e)
{
    return !e->is_failed && !e->is_out_of_room && has_backlog(e);
}

static void on_hold_over(struct timer *t)
{
    (void)t; /* the turn that it makes submits */
}

/* How long the log rests after so many bytes. */
static uint64_t pause_behind(const struct engine *e, uint64_t bytes)
{
    struct pace_debt flush_debt = {
        .bytes = e->frozen_count * e->options.memtable_bytes + memtable_used_bytes(e->active),
        .free = (FROZEN_KEPT_MAX + 1) * e->options.memtable_bytes / 2,
        .limit = (FROZEN_KEPT_MAX + 1) * e->options.memtable_bytes,
        .rate = e->pace.flush_rate,
    };
    uint64_t flush_ns = pace_delay_ns(&flush_debt, bytes);
    uint64_t merge_ns = pace_delay_ns(&e->pace.merge_debt, bytes);
    return flush_ns > merge_ns ? flush_ns : merge_ns;
}

static void hold_a_piece(struct engine *e, uint64_t now_ns)
{
    uint64_t piece_ns = e->hold_owed_ns < PACE_PIECE_NS ? e->hold_owed_ns : PACE_PIECE_NS;
    e->hold_owed_ns -= piece_ns;
    e->hold_until_ns = now_ns + piece_ns;
    e->counters.write_delay_ns += piece_ns;
}

/* Writers are slowed: each batch is followed by a pause. Returns: it is not over. */
static bool is_slowed(struct engine *e)
{
    uint64_t now_ns = reactor_now_ns(e->reactor);
    if (now_ns >= e->hold_until_ns && e->hold_owed_ns > 0) {
        if (pause_behind(e, GATHER_BYTES_MAX) == 0)
            e->hold_owed_ns = 0; /* the debt is gone */
        hold_a_piece(e, now_ns);
    }
    if (now_ns >= e->hold_until_ns || e->is_closing)
        return false;
    if (e->hold_timer.heap_index != 0)
        return true;
    return timer_start(e->reactor, &e->hold_timer, e->hold_until_ns - now_ns, on_hold_over) == 0;
}

/* Behind what was written since the last time. */
static void slow_down(struct engine *e)
{
    uint64_t bytes = e->pace.ingested - e->held_ingested;
    if (bytes == 0)
        return;
    e->held_ingested = e->pace.ingested;
    e->hold_owed_ns = pause_behind(e, bytes);
    if (e->hold_owed_ns == 0)
        return;
    MARK(writers_are_slowed_by_debt);
    e->counters.write_delays++;
    hold_a_piece(e, reactor_now_ns(e->reactor));
}

/* ---- applying ---- */

/* Looks for a version at least as new in the frozen memtables: TORC_E_SUPERSEDED when there is a newer one.
 * Tables are not read for it: versions are stamped in ascending order, above engine_version_clock_max, so
 * what comes from the log is newer. Should one come that is not, reads still answer the newest, since they
 * compare versions everywhere. */
static int compare_frozen(const struct engine *e, const struct engine_key *k, struct version version,
                          bool *is_held)
{
    struct record held;
    for (uint32_t i = e->frozen_count; i-- > 0;) {
        const struct memtable *m = e->frozen[i].memtable;
        if (memtable_clock_max(m) < version.clock || !memtable_get(m, k, &held))
            continue;
        int order = version_compare(held.version, version);
        *is_held |= order == 0;
        if (order > 0)
            return TORC_E_SUPERSEDED;
    }
    return 0;
}

static int apply_one(struct engine *e, const struct record *record, uint64_t hash, struct slice entry)
{
    bool is_held = false;
    if (__builtin_expect(record->version.clock <= e->older_clock_max, 0)) {
        struct engine_key k = {.key = record->key, .hash = hash};
        int rc = compare_frozen(e, &k, record->version, &is_held);
        if (rc || is_held)
            return rc;
    }
    return memtable_put(e->active, hash, record, entry);
}

/* The cache misses of a group overlap: first all slots are touched, then all entries, then each is put. */
void engine_apply(struct engine *e, const uint8_t *const *entries, uint32_t count, int *results)
{
    struct record records[ENGINE_APPLY_MAX];
    uint64_t hashes[ENGINE_APPLY_MAX];
    ASSERT(count <= ENGINE_APPLY_MAX);
    for (uint32_t i = 0; i < count; i++) {
        entry_decode_trusted(entries[i], &records[i]);
        hashes[i] = memtable_hash(e->seed, &records[i].key);
        memtable_prefetch_slot(e->active, records[i].key.vnode, hashes[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        memtable_prefetch_entry(e->active, records[i].key.vnode, hashes[i]);
    for (uint32_t i = 0; i < count; i++) {
        struct slice entry = slice_of(entries[i], entry_bytes(&records[i]));
        results[i] = apply_one(e, &records[i], hashes[i], entry);
    }
}

static void apply_some(struct engine *e, const struct wal_batch *batch, uint32_t first, uint32_t count)
{
    const uint8_t *entries[ENGINE_APPLY_MAX];
    int results[ENGINE_APPLY_MAX];
    struct engine_write_times times = {batch->submitted_ns, batch->durable_ns};
    for (uint32_t i = 0; i < count; i++)
        entries[i] = batch->payload.data + batch->items[first + i].offset;
    engine_apply(e, entries, count, results);
    for (uint32_t i = 0; i < count; i++) {
        if (__builtin_expect(batch->items[first + i].is_answered, 0))
            continue;
        const struct engine_ticket *ticket = &batch->items[first + i].ticket;
        /* It is in the log and comes back with the next start. */
        int result = results[i] == TORC_E_NO_MEMORY ? TORC_E_UNKNOWN : results[i];
        e->options.on_durable(e->options.owner, ticket, result, ticket->stamp_ns ? &times : NULL);
    }
}

static void on_durable(void *owner, const struct wal_batch *batch)
{
    struct engine *e = owner;
    if (batch->result) {
        for (uint32_t i = 0; i < batch->item_count; i++)
            if (!batch->items[i].is_answered)
                e->options.on_durable(e->options.owner, &batch->items[i].ticket, batch->result, NULL);
        return;
    }
    for (uint32_t i = 0; i < batch->item_count; i += ENGINE_APPLY_MAX) {
        uint32_t left = batch->item_count - i;
        apply_some(e, batch, i, left < ENGINE_APPLY_MAX ? left : ENGINE_APPLY_MAX);
    }
    if (!batch->is_last)
        return;
    e->last_sequence = batch->sequence;
    engine_freeze_if_full(e);
}

/* ---- writes ---- */

/* Deletes go on where puts wait for room: that is how room is made. Until memory is out of it, too. */
static bool is_delete_with_room(const struct engine *e, const struct record *record)
{
    return record->flags & RECORD_TOMBSTONE &&
           memtable_used_bytes(e->active) < DELETES_MEMTABLES_MAX * e->options.memtable_bytes;
}

int engine_put(struct engine *e, const struct record *record, const struct engine_ticket *ticket)
{
    ASSERT((uint16_t)(record->key.vnode - e->options.vnode_first) < e->options.vnode_count);
    ASSERT(record->value.bytes <= e->options.value_bytes_max && !(record->flags & RECORD_SEPARATED));
    if (e->is_failed || !e->wal) {
        MARK(put_is_refused_by_a_failed_engine);
        return TORC_E_STORAGE;
    }
    if (__builtin_expect(e->is_out_of_room, 0) && has_backlog(e) && !is_delete_with_room(e, record)) {
        MARK(put_is_refused_until_a_flush_finds_room);
        e->counters.disk_full_refusals++;
        return TORC_E_DISK_FULL;
    }
    int rc = wal_append(e->wal, record, ticket);
    if (rc)
        return rc;
    e->counters.puts++;
    e->pace.ingested += entry_bytes(record);
    e->counters.user_bytes += record->key.key.bytes + record->key.subkey.bytes + record->value.bytes;
    return 0;
}

void engine_submit(struct engine *e)
{
    if (!e->wal)
        return;
    if (is_held_back(e)) {
        MARK(log_is_held_back_until_a_flush_is_done);
        e->counters.log_hold_turns++;
        engine_wake_flush(e); /* there may have been no task for it before */
    } else if (!is_slowed(e)) {
        wal_submit(e->wal);
        slow_down(e);
    }
}

bool engine_is_congested(const struct engine *e)
{
    return e->wal && !wal_is_late(e->wal) && wal_gathered_bytes(e->wal) > e->gather_bytes_max / 2;
}

bool engine_expire(struct engine *e, uint64_t now_ns)
{
    return e->wal && wal_expire(e->wal, now_ns);
}

uint64_t engine_deadline_ns(const struct engine *e)
{
    return e->wal ? wal_deadline_ns(e->wal) : UINT64_MAX;
}

static void on_late(void *owner, const struct engine_ticket *ticket)
{
    struct engine *e = owner;
    e->options.on_durable(e->options.owner, ticket, TORC_E_TIMEOUT, NULL);
}

static void on_room(void *owner)
{
    struct engine *e = owner;
    if (e->options.on_room)
        e->options.on_room(e->options.owner);
}

static void edit_log_files(void *context, struct manifest_numbers *n)
{
    const struct wal_named *named = context;
    n->log_files = *named;
}

/* Waits. */
static int on_prepared(void *owner, const struct wal_named *named)
{
    struct engine *e = owner;
    struct wal_named files = *named;
    int rc =
        manifest_commit(e->manifest, &(struct manifest_change){.edit = edit_log_files, .context = &files});
    e->is_failed |= rc == TORC_E_STORAGE;
    engine_manifest_changed(e);
    return rc;
}

static void on_wal_event(void *owner, const char *event, const char *text)
{
    engine_tell(owner, event, "%s", text);
}

/* ---- open ---- */

/* A batch is applied in one go: the smaller, the shorter. The largest record must fit. */
static void size_log_buffers(struct engine *e)
{
    uint32_t largest = ENTRY_BYTES_MAX - VALUE_BYTES_MAX + e->options.value_bytes_max;
    e->batch_bytes_max = largest < BATCH_BYTES_MIN ? BATCH_BYTES_MIN : largest;
    uint64_t gather = (uint64_t)e->batch_bytes_max * GATHER_BATCHES;
    e->gather_bytes_max = gather < GATHER_BYTES_MAX ? (uint32_t)gather : GATHER_BYTES_MAX;
}

static int copy_options(struct engine *e, const struct engine_options *o)
{
    size_t bytes = strlen(o->directory) + 1;
    e->options = *o;
    e->directory = reactor_alloc(e->reactor, bytes);
    if (!e->directory)
        return TORC_E_NO_MEMORY;
    memcpy(e->directory, o->directory, bytes);
    e->options.directory = e->directory;
    if (!e->options.memtable_bytes)
        e->options.memtable_bytes = MEMTABLE_BYTES_DEFAULT;
    if (!e->options.log_bytes_max)
        e->options.log_bytes_max = LOG_BYTES_MAX_DEFAULT;
    if (!e->options.segment_bytes)
        e->options.segment_bytes = usual_segment_bytes(e);
    if (!e->options.cache_bytes)
        e->options.cache_bytes = CACHE_BYTES_DEFAULT;
    if (!e->options.table_bytes_max)
        e->options.table_bytes_max = TABLE_BYTES_MAX_DEFAULT;
    if (!e->options.runs_max)
        e->options.runs_max = RUNS_MAX_DEFAULT;
    if (!e->options.value_bytes_max)
        e->options.value_bytes_max = VALUE_BYTES_MAX;
    if (!e->options.value_log_bytes_min)
        e->options.value_log_bytes_min = VALUE_LOG_BYTES_MIN_DEFAULT;
    e->pace.idle_rate = e->options.idle_merge_rate;
    if (!e->pace.idle_rate) {
        uint64_t share = IDLE_MERGE_RATE_DEFAULT / reactor_core_count(e->reactor);
        e->pace.idle_rate = share > IDLE_MERGE_RATE_LEAST ? share : IDLE_MERGE_RATE_LEAST;
    }
    ASSERT(e->options.table_bytes_max <= UINT64_C(2) << 30);
    ASSERT(e->options.table_bytes_max >= TABLE_BYTES_MAX_LEAST);
    ASSERT(e->options.value_bytes_max <= VALUE_BYTES_MAX);
    size_log_buffers(e);
    return 0;
}

static void free_engine(struct engine *e)
{
    struct reactor *r = e->reactor;
    for (uint32_t i = 0; i < e->frozen_count; i++)
        memtable_release(e->frozen[i].memtable);
    memtable_release(e->active);
    e->is_burying = true; /* closed right here, not by a task */
    table_set_release(e->tables);
    struct list *link;
    while ((link = list_pop_front(&e->graveyard)) != NULL) {
        struct table_ref *ref = CONTAINER_OF(link, struct table_ref, link);
        table_close(ref->table);
        values_release(e, &ref->values, false);
        reactor_free(r, ref);
    }
    values_close(e->values);
    row_cache_close(e->rows);
    cache_close(e->cache);
    manifest_close(e->manifest);
    disk_close(e->disk);
    reactor_free(r, e->directory);
    reactor_free(r, e);
}

static struct engine *new_engine(struct reactor *r, const struct engine_options *options)
{
    struct engine *e = reactor_alloc_zeroed(r, sizeof *e);
    if (!e)
        return NULL;
    e->reactor = r;
    e->seed = reactor_random(r);
    list_init(&e->graveyard);
    list_init(&e->views);
    e->flushing.name = "flush";
    e->compacting.name = "compaction";
    event_init(&e->flush_wake);
    event_init(&e->compaction_wake);
    event_init(&e->scrub.wake);
    event_init(&e->closed);
    if (copy_options(e, options) == 0)
        return e;
    reactor_free(r, e);
    return NULL;
}

/* Its name is durable before anything in it is acknowledged; always, since the start before may have crashed
 * here. */
static int make_directory(struct engine *e)
{
    int rc = directory_create(e->reactor, e->directory);
    return rc && rc != -EEXIST ? rc : directory_sync_parent(e->reactor, e->directory);
}

static int open_parts(struct engine *e, char *why, size_t why_bytes)
{
    int rc = make_directory(e);
    if (rc) {
        snprintf(why, why_bytes, "cannot make %s: %s", e->directory, error_sentence(rc));
        return rc;
    }
    rc = disk_open(e->reactor, &(struct disk_options){0}, &e->disk);
    if (rc)
        return rc;
    struct manifest_shard shard = {e->options.vnode_bits, e->options.vnode_first, e->options.vnode_count};
    rc = manifest_open(e->reactor, e->directory, &shard, &e->manifest, why, why_bytes);
    if (rc == 0)
        rc = cache_open(e->reactor, e->options.cache_bytes / 2, &e->cache);
    if (rc == 0)
        rc = row_cache_open(e->reactor, e->options.cache_bytes / 2, e->seed, &e->rows);
    if (rc == 0)
        rc = values_open(e->reactor, &e->values);
    if (rc == 0)
        rc = new_memtable(e, &e->active);
    return rc ? rc : engine_recover(e, why, why_bytes);
}

int engine_open(struct reactor *r, const struct engine_options *options, struct engine **out, char *why,
                size_t why_bytes)
{
    ASSERT(options->on_durable && options->vnode_count > 0);
    *out = NULL;
    struct engine *e = new_engine(r, options);
    if (!e)
        return TORC_E_NO_MEMORY;
    int rc = open_parts(e, why, why_bytes);
    if (rc) {
        free_engine(e);
        return rc;
    }
    engine_wake_flush(e);
    compaction_refresh_debt(e);
    engine_wake_compaction(e);
    engine_look_later(e);
    engine_wake_scrub(e);
    *out = e;
    return 0;
}

int engine_open_wal(struct engine *e, struct wal_recovery *recovery)
{
    char archive[ENGINE_PATH_MAX];
    bool is_archived = e->options.archive && e->options.archive[0];
    uint64_t history = manifest_state(e->manifest)->numbers.log_history;
    snprintf(archive, sizeof archive, "%s/log/%016llx", is_archived ? e->options.archive : "",
             (unsigned long long)history);
    struct wal_options options = {
        .directory = e->directory,
        .archive = is_archived ? archive : NULL,
        .archive_patience_ns = e->options.archive_patience_ns,
        .disk = e->disk,
        .segment_bytes = e->options.segment_bytes,
        .batch_bytes_max = e->batch_bytes_max,
        .gather_bytes_max = e->gather_bytes_max,
        .writes_in_flight_max = e->options.log_writes_in_flight,
        .padding_parts = e->options.log_padding_parts,
        .spare_segments_max = log_spares(e),
        .deliver_items_max = e->options.apply_at_once,
        .shard = e->options.vnode_first + 1u,
        .owner = e,
        .on_durable = on_durable,
        .on_late = on_late,
        .on_prepared = on_prepared,
        .on_room = on_room,
        .on_event = on_wal_event,
    };
    return wal_open(e->reactor, &options, recovery, &e->wal);
}

/* ---- close ---- */

static bool has_tasks(const struct engine *e)
{
    return e->is_flushing || e->is_compacting || e->is_burying || e->scrub.is_running ||
           e->snapshot_count > 0;
}

void engine_task_over(struct engine *e)
{
    if (e->is_closing && !has_tasks(e))
        event_set(e->reactor, &e->closed, 0);
}

enum engine_archived engine_close(struct engine *e)
{
    e->is_closing = true;
    disk_stop(e->disk);
    timer_stop(e->reactor, &e->hold_timer);
    timer_stop(e->reactor, &e->look_timer);
    event_set(e->reactor, &e->flush_wake, 0);
    event_set(e->reactor, &e->compaction_wake, 0);
    event_set(e->reactor, &e->scrub.wake, 0);
    if (has_tasks(e)) {
        int rc = event_wait(e->reactor, &e->closed, EVENT_FOREVER);
        ASSERT(rc == 0 && !has_tasks(e));
    }
    enum engine_archived archived = wal_close(e->wal);
    if (archived == ENGINE_ARCHIVE_HANGING)
        return archived; /* the copy has a share of the disk, and may still give it back */
    e->wal = NULL;
    free_engine(e);
    return archived;
}

const char *engine_close_awaits(const struct engine *e)
{
    if (e->is_flushing || e->is_compacting)
        return "a table";
    if (has_tasks(e))
        return e->snapshot_count > 0 ? "a snapshot" : "a file";
    return e->wal ? wal_close_awaits(e->wal) : "a file";
}

struct disk *engine_disk(const struct engine *e)
{
    return e->disk;
}

/* ---- memory ---- */

void engine_resize_caches(struct engine *e, uint64_t bytes)
{
    cache_resize(e->cache, bytes / 2);
    row_cache_resize(e->rows, bytes / 2);
}

bool engine_trim(struct engine *e)
{
    bool has_more_rows = row_cache_trim(e->rows);
    return cache_trim(e->cache) || has_more_rows;
}

void engine_press(struct engine *e, bool is_short)
{
    e->is_pressed = is_short;
    if (is_short && e->wal)
        engine_freeze_if_full(e);
}

uint64_t engine_cache_bytes(const struct engine *e)
{
    return cache_counters(e->cache).bytes + row_cache_counters(e->rows).bytes;
}

uint64_t engine_list_bytes(const struct engine *e)
{
    uint64_t bytes = memtable_list_bytes_in_use(e->active);
    for (uint32_t i = 0; i < e->frozen_count; i++)
        bytes += memtable_list_bytes_in_use(e->frozen[i].memtable);
    return bytes;
}

/* ---- counters ---- */

static void count_tables(const struct engine *e, struct engine_counters *c)
{
    c->tables = e->tables ? e->tables->count : 0;
    c->runs = e->tables ? e->tables->run_count : 0;
    for (uint32_t i = 0; i < c->tables; i++) {
        const struct table *t = e->tables->tables[i]->table;
        struct table_counters tc = table_counters(t);
        c->table_bytes += table_summary(t)->bytes;
        c->tables_damaged += e->tables->tables[i]->is_damaged || e->tables->tables[i]->is_suspect;
        c->table_pinned_bytes += table_pinned_bytes(t);
        c->table_block_reads += tc.block_reads;
        c->corruptions += tc.corruptions;
    }
}

static void count_values(const struct engine *e, struct engine_counters *c)
{
    struct values_totals t = values_totals(e->values);
    c->value_files = t.files;
    c->value_bytes = t.bytes;
    c->value_live_bytes = t.live_bytes;
    c->value_files_damaged = t.files_damaged;
}

static void count_memtable(const struct memtable *m, struct engine_counters *c)
{
    c->memtable_bytes += memtable_used_bytes(m) + memtable_index_bytes(m) + memtable_list_bytes(m);
    c->memtable_entries += memtable_entries(m);
    c->memtable_index_bytes += memtable_index_bytes(m);
}

struct engine_counters engine_counters(const struct engine *e)
{
    struct engine_counters c = e->counters;
    struct wal_counters w = e->wal ? wal_counters(e->wal) : (struct wal_counters){0};
    struct cache_counters cache = cache_counters(e->cache);
    c.log_writes = w.writes;
    c.log_bytes = w.bytes;
    c.log_records = w.entries;
    c.log_buffer_bytes = w.buffer_bytes;
    c.log_segments = w.segments;
    c.log_segments_kept = w.kept_segments;
    c.log_archived = w.archived;
    c.log_archived_bytes = w.archived_bytes;
    c.disk_full_refusals += w.refusals;
    c.cache_hits = cache.hits;
    c.cache_misses = cache.misses;
    c.bad_blocks = cache.forgotten;
    struct row_cache_counters rows = row_cache_counters(e->rows);
    c.row_cache_hits = rows.hits;
    c.row_cache_misses = rows.misses;
    c.row_cache_entries = rows.entries;
    c.row_cache_bytes = rows.bytes;
    c.block_cache_bytes = cache.bytes;
    c.quarantined = manifest_state(e->manifest)->numbers.quarantine_count;
    c.merge_debt_bytes = e->pace.merge_debt.bytes;
    c.merge_debt_limit_bytes = e->pace.merge_debt.limit;
    c.merge_rate = e->pace.merge_rate;
    c.flush_rate = e->pace.flush_rate;
    count_tables(e, &c);
    count_values(e, &c);
    count_memtable(e->active, &c);
    for (uint32_t i = 0; i < e->frozen_count; i++)
        count_memtable(e->frozen[i].memtable, &c);
    return c;
}
