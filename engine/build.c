/* build.c - writes the records of a merge into new tables; see build.h.
 *
 * Records are copied with the checksum they came with, so damage is carried along and found by the reader,
 * never made to look sound. */
#include "engine/build.h"
#include "engine/table_format.h"
#include "engine/table_output.h"
#include "reactor/base/mark.h"

enum {
    TABLES_FIRST = 4,
    TABLE_TRIES = 4,
    MEMORY_TRIES_MAX = 1000,
    MEMORY_TRY_NS = 10 * 1000 * 1000,
    PAY_BYTES = 64 << 10, /* of a merge at once */
    RUN_TABLES = 32,      /* that an upper run is cut into, unless they are too small */
    RUN_TABLE_BYTES_MIN = 1 << 20,
    BOTTOM_TABLES = 128, /* that the bottom is cut into, at least; unless they are too small */
    BOTTOM_TABLE_BYTES_MIN = 8 << 20,
};

/* ---- one table ---- */

/* The table that the record is of; null: it is of a memtable. */
static const struct table_ref *table_of(const struct merge *merge)
{
    const struct table_run *run = merge->sources[merge->place.source].run;
    return run ? run->tables[merge->place.table] : NULL;
}

/* A table that cannot be read has no filter to ask, but it has bounds. `own`, which the record is of, has its
 * key but once. */
static bool may_be_in(const struct table_run *run, const struct table_ref *own, const struct record *record,
                      uint64_t hash)
{
    const struct table_ref *t = table_run_find(run, &record->key);
    if (!t || t == own || t->clock_min > record->version.clock || !table_may_contain(t->table, hash))
        return false;
    const struct table_summary *s = table_summary(t->table);
    return record_key_compare(&s->smallest, &record->key) <= 0 &&
           record_key_compare(&record->key, &s->largest) <= 0;
}

/* Would an older version of the key come to light without this record? While its own table stays it goes on
 * hiding what it hides, and when that goes nothing is left: who else may hold an older version was asked, and
 * what is written from now on is newer. */
static bool is_needed(const struct engine *e, const struct build *b, const struct record *record)
{
    if (record_is_live(record, b->now_ms))
        return true;
    if (e->quarantine_clock != 0) /* writes are missing: it is what is known of its key */
        return true;
    const struct table_ref *own = table_of(b->merge);
    uint64_t hash = table_key_hash(&record->key);
    for (uint32_t i = 0; i < b->older_count; i++)
        if (may_be_in(&b->older[i], own, record, hash)) {
            MARK(dead_record_is_kept_above_an_older_one);
            return true;
        }
    if (record->flags & RECORD_TOMBSTONE)
        MARK(tombstone_is_dropped);
    else
        MARK(expired_record_is_dropped);
    return false;
}

static const struct record_key *last_key(const struct build *b)
{
    return &table_summary(b->tables[b->count - 1]->table)->largest;
}

/* Is it in the table before already? */
static bool is_written(struct build *b, const struct record *record)
{
    if (!b->is_made_again)
        return false;
    b->is_made_again = false;
    return b->count > 0 && record_key_compare(&record->key, last_key(b)) <= 0;
}

static bool is_lost(const struct engine *e, const struct record *record)
{
    struct value_pointer p;
    if (!(record->flags & RECORD_SEPARATED))
        return false;
    const struct value_file *f = values_find_pointed(e->values, record, &p);
    return !f || value_file_is_lost(f);
}

/* Waits. Has another table the very same version, and not lost, since a merge moved its value while this
 * table waited to be passed? Two that differ must not be left. */
static bool is_held_elsewhere(const struct engine *e, const struct build *b, const struct record *record)
{
    uint64_t hash = table_key_hash(&record->key);
    for (uint32_t i = 0; i < b->older_count; i++) {
        struct record other;
        struct cache_pin pin = {0};
        if (!may_be_in(&b->older[i], table_of(b->merge), record, hash))
            continue;
        const struct table_ref *t = table_run_find(&b->older[i], &record->key);
        bool is_same = table_get(t->table, &record->key, hash, &other, &pin) == TABLE_FOUND &&
                       version_compare(other.version, record->version) == 0 && !is_lost(e, &other);
        cache_unpin(&pin);
        if (is_same)
            return true;
    }
    return false;
}

/* Waits sometimes. What comes out of a block was verified with it, and is copied as it is. */
static int add_record(struct engine *e, struct build *b, struct table_writer *w, struct record *record)
{
    bool is_changed;
    if (merge_is_of_memtable(b->merge))
        e->counters.corruptions += !(record->flags & RECORD_SEPARATED) && !entry_verify(record);
    int rc = values_build_take(&b->values, record, &is_changed);
    if (rc)
        return rc;
    if (is_changed && (record->flags & RECORD_TOMBSTONE) && is_held_elsewhere(e, b, record))
        return 0;
    return is_changed ? table_writer_add(w, record) : table_writer_add_entry(w, record, b->entry);
}

/* Waits: until what was merged is paid for. */
static void pay(struct engine *e, struct build *b)
{
    uint64_t begun_ns = reactor_clock_ns(e->reactor);
    uint64_t moved = b->values.moved_bytes - b->paid_moves;
    pace_note_values(b->pace, b->pointed_bytes, moved);
    uint64_t pause_ns = pace_spend(b->pace, b->unpaid_bytes + moved, begun_ns - b->resumed_ns, begun_ns);
    b->unpaid_bytes = b->pointed_bytes = 0;
    b->paid_moves += moved;
    b->resumed_ns = begun_ns;
    while (pause_ns && !e->is_closing) { /* ends: the idle rate pays at last */
        engine_pause(e, &e->compaction_wake, pause_ns);
        b->resumed_ns = reactor_clock_ns(e->reactor);
        pause_ns = pace_earn(b->pace, b->resumed_ns);
    }
    e->counters.compaction_pause_ns += b->resumed_ns - begun_ns;
}

static uint64_t pointed_bytes(const struct record *record)
{
    struct value_pointer p;
    bool is_pointer = (record->flags & RECORD_SEPARATED) && value_pointer_decode(record->value, &p) == 0;
    return is_pointer ? value_stored_bytes(p.bytes) : 0;
}

/* Waits. Returns: as merge_next; 0 at the end of the keys that are asked for, too. */
static int take_record(struct build *b, struct record *record)
{
    if (b->values.ahead)
        return values_ahead_next(b->values.ahead, record, &b->entry);
    int rc = merge_next(b->merge, record);
    if (rc == 1 && b->end && record_key_compare(&record->key, b->end) >= 0)
        return 0;
    if (rc == 1)
        b->entry = merge_entry(b->merge);
    return rc;
}

/* Returns: as take_record. Waits until it is paid for. */
static int next_record(struct engine *e, struct build *b, struct record *record)
{
    if (b->pace && b->unpaid_bytes + b->values.moved_bytes - b->paid_moves >= PAY_BYTES)
        pay(e, b);
    int rc = take_record(b, record);
    b->unpaid_bytes += rc == 1 ? entry_bytes(record) : 0;
    b->pointed_bytes += rc == 1 ? pointed_bytes(record) : 0;
    return rc;
}

/* The values that it points to count: they are moved with it. */
static bool is_full(const struct engine *e, const struct build *b, const struct table_writer *w)
{
    uint64_t bytes_max = b->table_bytes ? b->table_bytes : e->options.table_bytes_max;
    return table_writer_bytes(w) + b->values.pointed_bytes >= bytes_max;
}

/* Until the table is large enough or the merge at its end. */
static int write_records(struct engine *e, struct build *b, struct table_writer *w)
{
    struct record record;
    int rc = 1;
    while (rc == 1 && !is_full(e, b, w)) {
        if (e->is_closing) {
            MARK(table_in_the_making_is_dropped_at_close);
            return TORC_E_CANCELLED;
        }
        rc = next_record(e, b, &record);
        if (rc == 1 && is_written(b, &record))
            continue;
        if (rc == 1 && is_needed(e, b, &record)) {
            int added = add_record(e, b, w, &record);
            if (added) {
                b->is_input_bad = added == TORC_E_CORRUPT;
                return added;
            }
        }
        task_yield_if_due(e->reactor);
    }
    b->is_at_end = rc == 0;
    b->is_input_bad = rc == TORC_E_CORRUPT || rc == TORC_E_STORAGE;
    return rc < 0 ? rc : 0;
}

static struct disk_share share_of(const struct engine *e, const struct build *b)
{
    return (struct disk_share){e->disk, b->pace ? DISK_COMPACTION : DISK_FLUSH};
}

/* Upper runs are small beside the bottom, and a get of an absent key asks every one of them: more bits a key
 * for them cost little and spare much (Monkey: Dayan, Athanassoulis and Idreos, SIGMOD 2017). They are soon
 * merged, so only the bottom is worth compressing. */
static struct table_writer_options writer_options(const struct engine *e, const struct build *b,
                                                  const char *path, uint64_t number)
{
    bool is_bottom = b->level == TABLE_LEVEL_BOTTOM;
    bool is_compressed = is_bottom && e->options.compresses_merges;
    uint32_t units = b->entry_bytes ? table_block_units_for(b->entry_bytes) : 1;
    if (is_compressed && b->entry_bytes * 2 < TABLE_UNIT_BYTES)
        units = 1; /* nothing is wasted */
    return (struct table_writer_options){
        .path = path,
        .number = number,
        .block_units = units,
        .filter_bits_x2 = is_bottom ? 0 : FILTER_BITS_X2_UPPER,
        .share = share_of(e, b),
        .compression = is_compressed ? TABLE_COMPRESSION_ZSTD : TABLE_COMPRESSION_NONE,
        .now_ms = b->now_ms,
    };
}

/* Returns: 0 with *is_kept telling whether there is a file. */
static int write_table(struct engine *e, struct build *b, const char *path, uint64_t number, bool *is_kept)
{
    struct table_writer *w;
    struct table_summary summary;
    uint64_t empty_bytes;
    *is_kept = false;
    struct table_writer_options o = writer_options(e, b, path, number);
    int rc = table_writer_open(e->reactor, &o, &w);
    if (rc)
        return rc;
    empty_bytes = table_writer_bytes(w);
    values_build_begin(&b->values, number);
    rc = write_records(e, b, w);
    if (rc == 0)
        rc = values_build_finish(&b->values);
    if (rc == 0 && table_writer_bytes(w) > empty_bytes) {
        rc = table_writer_finish(w, &summary);
        *is_kept = rc == 0;
    }
    table_writer_close(w);
    return rc;
}

/* ---- all of them ---- */

static int open_table(struct engine *e, struct build *b, const char *path, uint64_t number)
{
    struct table *table;
    int rc = directory_sync(e->reactor, e->directory);
    if (rc) {
        MARK(new_table_has_no_durable_name);
        return table_storage_error(rc);
    }
    rc = table_open(e->reactor, e->cache, path, number, &table);
    if (rc) {
        MARK(new_table_does_not_read_back);
        return rc;
    }
    struct table_ref *ref = table_ref_new(e, table, b->run, b->level);
    if (!ref) {
        table_close(table);
        return TORC_E_NO_MEMORY;
    }
    rc = values_build_attach(&b->values, &ref->values);
    if (rc) {
        table_close(table);
        reactor_free(e->reactor, ref);
        return rc;
    }
    b->tables[b->count++] = ref;
    return 0;
}

static bool has_room(struct engine *e, struct build *b)
{
    if (b->count < b->capacity)
        return true;
    uint32_t capacity = b->capacity ? b->capacity * 2 : TABLES_FIRST;
    struct table_ref **tables = reactor_realloc(e->reactor, b->tables, capacity * sizeof(struct table_ref *));
    if (!tables)
        return false;
    b->tables = tables;
    b->capacity = capacity;
    return true;
}

static int build_next(struct engine *e, struct build *b)
{
    char path[ENGINE_PATH_MAX];
    bool is_kept;
    if (!has_room(e, b))
        return TORC_E_NO_MEMORY;
    uint64_t number = manifest_next_number(e->manifest);
    if (b->run == 0)
        b->run = number;
    engine_table_path(e, number, path);
    int rc = write_table(e, b, path, number, &is_kept);
    if (rc || !is_kept)
        return rc;
    rc = open_table(e, b, path, number);
    if (rc && file_remove(e->reactor, path) != 0)
        engine_tell(e, "table_not_removed", "%s is removed at the next start", path);
    return rc;
}

/* Tables that nobody came to hold. Their files stay when the manifest may name them. */
static void let_go(struct engine *e, struct table_ref *const *tables, uint32_t count, bool is_obsolete)
{
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(tables[i]->references == 0);
        tables[i]->is_obsolete = tables[i]->is_unnamed = is_obsolete;
        list_push_back(&e->graveyard, &tables[i]->link);
    }
    engine_wake_burial(e);
}

/* A new file is another one: a write or a sync that failed is not tried again on its own. */
static bool can_be_made_again(const struct engine *e, const struct build *b, int rc)
{
    return (rc == TORC_E_STORAGE || rc == TORC_E_CORRUPT) && !b->is_input_bad && !e->is_closing;
}

static struct record_key first_key(const struct engine *e, const struct build *b)
{
    return b->from ? *b->from : (struct record_key){.vnode = e->options.vnode_first};
}

static int build_again(struct engine *e, struct build *b)
{
    const struct record_key first = first_key(e, b);
    MARK(table_that_failed_is_made_again);
    b->is_at_end = false;
    b->is_made_again = true;
    if (b->values.ahead)
        values_ahead_restart(b->values.ahead);
    int rc = merge_seek_anew(b->merge, b->count > 0 ? last_key(b) : &first);
    b->is_input_bad = rc == TORC_E_CORRUPT || rc == TORC_E_STORAGE;
    return rc ? rc : build_next(e, b);
}

/* Waits. */
static int begin(struct engine *e, struct build *b)
{
    const struct record_key first = first_key(e, b);
    b->now_ms = reactor_wall_ms(e->reactor);
    merge_use_disk(b->merge, share_of(e, b));
    merge_read_until(b->merge, b->end);
    b->resumed_ns = reactor_clock_ns(e->reactor);
    int rc = 0;
    if (values_ahead_pays(b->merge)) {
        rc = values_ahead_init(&b->ahead, e, b->merge, &b->values);
        b->ahead.end = b->end;
        b->values.ahead = &b->ahead;
    }
    if (rc)
        return rc;
    rc = merge_seek(b->merge, &first);
    b->is_input_bad = rc == TORC_E_CORRUPT || rc == TORC_E_STORAGE;
    return rc;
}

int engine_build_tables(struct engine *e, struct build *b)
{
    values_build_init(&b->values, e, share_of(e, b));
    b->values.gives_up = b->losses != NULL;
    int rc = begin(e, b);
    while (rc == 0 && !b->is_at_end) {
        rc = build_next(e, b);
        for (int i = 1; i < TABLE_TRIES && can_be_made_again(e, b, rc); i++)
            rc = build_again(e, b);
    }
    if (rc) {
        if (b->count > 0)
            MARK(finished_tables_of_a_failed_merge_are_let_go);
        let_go(e, b->tables, b->count, true);
        b->count = 0;
    }
    if (b->values.ahead)
        values_ahead_deinit(b->values.ahead);
    values_build_deinit(&b->values);
    return rc;
}

static uint64_t table_bytes_of(const struct engine *e, uint64_t part, uint64_t least)
{
    uint64_t most = e->options.table_bytes_max;
    part = part > least ? part : least;
    return part < most ? part : most;
}

uint64_t build_table_bytes_of_run(const struct engine *e, uint64_t bytes)
{
    return table_bytes_of(e, bytes / RUN_TABLES, RUN_TABLE_BYTES_MIN);
}

uint64_t build_table_bytes_of_bottom(const struct engine *e, uint64_t bytes)
{
    return table_bytes_of(e, bytes / BOTTOM_TABLES, BOTTOM_TABLE_BYTES_MIN);
}

uint64_t build_entry_bytes(struct table_ref *const *tables, uint32_t count)
{
    uint64_t entries = 0, bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        entries += table_summary(tables[i]->table)->entries;
        bytes += table_summary(tables[i]->table)->payload_bytes;
    }
    return entries ? ENTRY_HEADER_BYTES + bytes / entries : 0;
}

uint64_t build_bytes(const struct build *b)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < b->count; i++)
        bytes += table_summary(b->tables[i]->table)->bytes;
    return bytes;
}

void build_deinit(struct engine *e, struct build *b)
{
    reactor_free(e->reactor, b->tables);
    b->tables = NULL;
}

/* ---- what counts ---- */

/* What the added tables point into goes with them; *out is the caller's to free. */
static int describe_values(struct engine *e, const struct tables_change *change, struct manifest_table *added,
                           uint8_t **out)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < change->added_count; i++)
        bytes += (size_t)change->added[i]->values.count * VALUE_REFERENCE_BYTES;
    *out = reactor_alloc(e->reactor, bytes + 1);
    if (!*out)
        return TORC_E_NO_MEMORY;
    uint8_t *at = *out;
    for (uint32_t i = 0; i < change->added_count; i++) {
        const struct value_refs *refs = &change->added[i]->values;
        added[i].values = slice_of(at, (size_t)refs->count * VALUE_REFERENCE_BYTES);
        value_refs_encode(at, refs);
        at += added[i].values.bytes;
    }
    return 0;
}

static int commit(struct engine *e, const struct tables_change *change)
{
    struct reactor *r = e->reactor;
    uint64_t *removed = reactor_alloc(r, (change->removed_count + 1) * sizeof *removed);
    struct manifest_table *added = reactor_alloc(r, (change->added_count + 1) * sizeof *added);
    uint8_t *values = NULL;
    int rc = removed && added ? 0 : TORC_E_NO_MEMORY;
    if (rc == 0) {
        for (uint32_t i = 0; i < change->removed_count; i++)
            removed[i] = change->removed[i]->number;
        for (uint32_t i = 0; i < change->added_count; i++)
            added[i] = table_description(change->added[i]);
        rc = describe_values(e, change, added, &values);
    }
    if (rc == 0)
        rc = manifest_commit(e->manifest, &(struct manifest_change){
                                              .added = added,
                                              .added_count = change->added_count,
                                              .removed = removed,
                                              .removed_count = change->removed_count,
                                              .edit = change->edit,
                                              .context = change->context,
                                          });
    reactor_free(r, values);
    reactor_free(r, added);
    reactor_free(r, removed);
    return rc;
}

/* Waits. The manifest has changed: from here on there is no way back. A few hundred bytes are to be had in a
 * while, or the shard stops and starts again from the manifest. Meanwhile the tables before the change serve.
 * */
static struct table_set *make_set(struct engine *e, const struct table_set_change *change)
{
    struct table_set *set = table_set_make(e->reactor, e->tables, change);
    for (unsigned i = 0; !set && i < MEMORY_TRIES_MAX; i++) {
        task_sleep(e->reactor, MEMORY_TRY_NS);
        set = table_set_make(e->reactor, e->tables, change); /* others may have changed them meanwhile */
    }
    ASSERT(set);
    return set;
}

static void show(struct engine *e, struct table_set *set)
{
    struct table_set *old = e->tables;
    e->tables = set;
    table_set_release(old);
    engine_manifest_changed(e);
    engine_refresh_clock(e);
    compaction_refresh_debt(e);
}

static void note_failure(struct engine *e, int rc)
{
    if (rc != TORC_E_STORAGE)
        return;
    MARK(engine_fails_with_its_manifest);
    e->is_failed = true;
}

int engine_change_tables(struct engine *e, const struct tables_change *change)
{
    struct table_set_change set_change = {
        .added = change->added,
        .added_count = change->added_count,
        .removed = change->removed,
        .removed_count = change->removed_count,
    };
    int rc = commit(e, change);
    if (rc) {
        note_failure(e, rc);
        let_go(e, change->added, change->added_count, rc != TORC_E_STORAGE);
        return rc;
    }
    struct table_set *set = make_set(e, &set_change);
    for (uint32_t i = 0; i < change->added_count; i++)
        values_count(e, &change->added[i]->values, true);
    for (uint32_t i = 0; i < change->removed_count; i++) {
        change->removed[i]->is_obsolete = true;
        table_ref_keep_counters(change->removed[i]); /* it may be held for minutes */
        values_count(e, &change->removed[i]->values, false);
    }
    show(e, set);
    return 0;
}

static const struct manifest_table *described(const struct engine *e, uint64_t number)
{
    const struct manifest_state *s = manifest_state(e->manifest);
    uint32_t i = 0;
    while (i < s->table_count && s->tables[i].number != number)
        i++;
    ASSERT(i < s->table_count);
    return &s->tables[i];
}

static uint8_t *move_slice(uint8_t *to, struct slice *bytes)
{
    uint8_t *end = slice_put(to, *bytes);
    bytes->data = to;
    return end;
}

/* Its slices are moved to memory of their own: those of the manifest's live until the next commit ends, which
 * may be another's. Returns: that memory, or null. */
static uint8_t *own_slices(struct engine *e, struct manifest_table *d)
{
    struct slice *slices[] = {&d->smallest.key, &d->smallest.subkey, &d->largest.key, &d->largest.subkey,
                              &d->values};
    size_t bytes = 1;
    for (unsigned i = 0; i < ARRAY_COUNT(slices); i++)
        bytes += slices[i]->bytes;
    uint8_t *memory = reactor_alloc(e->reactor, bytes), *to = memory;
    for (unsigned i = 0; memory && i < ARRAY_COUNT(slices); i++)
        to = move_slice(to, slices[i]);
    return memory;
}

int engine_separate_table(struct engine *e, struct table_ref *ref)
{
    struct manifest_table description = *described(e, ref->number);
    uint8_t *memory = own_slices(e, &description);
    if (!memory)
        return TORC_E_NO_MEMORY;
    /* its run may have its own number for a name */
    description.order = manifest_next_number(e->manifest);
    description.level = 0;
    int rc = manifest_commit(e->manifest, &(struct manifest_change){
                                              .added = &description,
                                              .added_count = 1,
                                              .removed = &ref->number,
                                              .removed_count = 1,
                                          });
    reactor_free(e->reactor, memory);
    note_failure(e, rc);
    if (rc)
        return rc;
    struct table_ref *const refs[] = {ref};
    ref->run = description.order;
    ref->level = 0;
    show(e, make_set(e, &(struct table_set_change){refs, 1, refs, 1}));
    return 0;
}

void engine_manifest_changed(struct engine *e)
{
    if (manifest_copies(e->manifest) < 2)
        MARK(log_is_kept_for_the_older_manifest_copy);
    else if (e->wal)
        wal_truncate(e->wal, manifest_state(e->manifest)->numbers.log_start);
    if (!e->is_closing || e->is_flushing || e->is_compacting) /* else nobody waits for the task */
        engine_wake_burial(e);
}

/* ---- failures ---- */

void engine_tell_failure(struct engine *e, struct background *b, int code)
{
    if (b->has_told && !e->is_failed)
        return;
    b->has_told = true;
    engine_tell(e, b->name, "%s; %s", error_sentence(code),
                e->is_failed ? "nothing more is written until the next start"
                             : "it is tried again every second");
}

void engine_tell_recovered(struct engine *e, struct background *b)
{
    if (b->has_told)
        engine_tell(e, "storage_recovered", "%s: tables are written again", b->name);
    b->has_told = false;
}

void engine_pause(struct engine *e, struct event *wake, uint64_t ns)
{
    if (e->is_closing)
        return;
    event_init(wake);
    int rc = event_wait(e->reactor, wake, ns);
    (void)rc; /* woken or not, it is time to look again */
}
