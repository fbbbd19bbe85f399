/* read.c - point reads: the newest version wins, wherever it is.
 *
 * Most reads end at the active memtable: its versions are above all that older places hold, and
 * `older_clock_max` says so without looking. Otherwise every place that could hold a newer version than the
 * one found is asked, from the newest, and the search stops when none is left. */
#include "engine/engine_internal.h"
#include "engine/values_read.h"
#include "reactor/base/mark.h"

void engine_key_init(const struct engine *e, struct engine_key *k, const struct record_key *key)
{
    k->key = *key;
    k->hash = memtable_hash(e->seed, key);
    k->lead.tables = 0;
}

void engine_prefetch_slot(const struct engine *e, const struct engine_key *k)
{
    memtable_prefetch_slot(e->active, k->key.vnode, k->hash);
    row_cache_prefetch_slot(e->rows, k->hash);
}

void engine_prefetch_entry(const struct engine *e, const struct engine_key *k)
{
    memtable_prefetch_entry(e->active, k->key.vnode, k->hash);
    if (e->tables->run_count > 0)
        row_cache_prefetch_entry(e->rows, k->hash);
}

/* Whether what was found is served. */
static int judge(struct engine *e, bool is_found, const struct record *record, uint64_t now_ms)
{
    if (__builtin_expect(e->quarantine_clock != 0, 0) &&
        (!is_found || record->version.clock <= e->quarantine_clock)) {
        MARK(key_that_may_be_lost_answers_unknown);
        return TORC_E_UNKNOWN;
    }
    if (!is_found)
        return ENGINE_ABSENT;
    if (!entry_verify(record)) {
        if (record->flags & RECORD_SEPARATED) { /* its value was not read, for it is dead */
            ASSERT(!record_is_live(record, now_ms));
            return ENGINE_ABSENT;
        }
        return TORC_E_CORRUPT;
    }
    return record_is_live(record, now_ms) ? ENGINE_FOUND : ENGINE_ABSENT;
}

/* What is bad in memory only is counted apart: no damage is left when it was read again. */
static void count_damage(struct engine *e, int answer)
{
    if (__builtin_expect(answer == TORC_E_CORRUPT, 0))
        e->counters.corruptions++;
}

/* The block that the record is in. The caller holds the set of tables. */
static void forget_block(const struct table_set *set, const struct record *record)
{
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct table_ref *t = table_run_find(&set->runs[i], &record->key);
        if (t)
            table_forget(t->table, record);
    }
}

/* The newest version in the memtables. Returns: found; *is_final when no table can hold a newer one. */
static bool get_memtables(const struct engine *e, const struct engine_key *k, struct record *out,
                          bool *is_final)
{
    bool is_found = memtable_get(e->active, k, out);
    for (uint32_t i = e->frozen_count; i-- > 0;) {
        struct record other;
        const struct memtable *m = e->frozen[i].memtable;
        if (is_found && out->version.clock > memtable_clock_max(m))
            continue;
        if (memtable_get(m, k, &other) && (!is_found || version_compare(other.version, out->version) > 0)) {
            *out = other;
            is_found = true;
        }
    }
    *is_final = e->tables->run_count == 0 || (is_found && out->version.clock > e->tables->runs[0].clock_max);
    return is_found;
}

/* What the tables hold of the key, when it was read from them before. Returns: whether that is known;
 * *is_newer when it is what the read is to answer. */
static bool get_row(struct engine *e, const struct engine_key *k, bool is_found, struct record *out,
                    bool *is_newer)
{
    struct record row;
    if (!row_cache_get(e->rows, k, &row))
        return false;
    if (__builtin_expect(!entry_header_is_sound(entry_of_decoded(&row).data), 0)) {
        e->counters.bad_rows++;
        row_cache_remove(e->rows, memtable_tag(k->hash));
        return false;
    }
    *is_newer = !is_found || version_compare(row.version, out->version) > 0;
    if (*is_newer)
        *out = row;
    return true;
}

/* Asks the tables from run to run. Returns: 0, with *is_found when `*out` is of a table now; else what
 * engine_get is to answer. */
static int ask_tables(struct engine *e, struct engine_key *k, bool *is_found, struct record *out)
{
    bool was_found = *is_found;
    uint64_t hash = table_key_hash(&k->key);
    *is_found = false;
    for (uint32_t i = 0; i < e->tables->run_count; i++) {
        bool has_any = was_found || *is_found;
        if (has_any && out->version.clock > e->tables->runs[i].clock_max)
            break;
        const struct table_ref *t = table_run_find(&e->tables->runs[i], &k->key);
        if (!t || (has_any && out->version.clock > t->clock_max))
            continue;
        struct record other;
        uint32_t block;
        int answer = table_get_cached(t->table, (struct table_wanted){&k->key, hash}, &other, &block);
        if (answer == TABLE_WAITS && !has_any)
            k->lead = (struct engine_lead){e->tables->number, hash, t, i, block};
        if (answer == TABLE_WAITS)
            return ENGINE_WAITS;
        if (answer < 0)
            return answer;
        if (answer == TABLE_FOUND && (!has_any || version_compare(other.version, out->version) > 0)) {
            *out = other;
            *is_found = true;
        }
    }
    return 0;
}

/* It went bad in memory, or else whoever reads it from the disk will see. */
static void forget_bad(struct engine *e, const struct engine_key *k, const struct record *record, bool is_row)
{
    if (is_row) {
        e->counters.bad_rows++;
        row_cache_remove(e->rows, memtable_tag(k->hash));
    } else {
        forget_block(e->tables, record);
    }
}

static int get_older(struct engine *e, struct engine_key *k, uint64_t now_ms, struct record *out)
{
    bool is_final;
    bool is_found = get_memtables(e, k, out, &is_final);
    bool is_of_table = false;
    bool is_row = !is_final && get_row(e, k, is_found, out, &is_of_table);
    k->lead.tables = 0;
    if (!is_final && !is_row) {
        is_of_table = is_found;
        int rc = ask_tables(e, k, &is_of_table, out);
        if (rc)
            return rc;
    }
    is_found |= is_of_table;
    bool is_separated = is_found && (out->flags & RECORD_SEPARATED);
    if (is_separated && record_is_live(out, now_ms))
        return ENGINE_WAITS;
    int answer = judge(e, is_found, out, now_ms);
    if (__builtin_expect(answer == TORC_E_CORRUPT && is_of_table, 0)) {
        forget_bad(e, k, out, is_row);
        return ENGINE_WAITS; /* a table has it */
    }
    if (is_of_table && !is_row && !is_separated && answer >= 0)
        row_cache_add(e->rows, k, out);
    e->counters.gets++;
    e->counters.gets_memtable += is_found && !is_of_table;
    e->counters.gets_table += is_of_table;
    count_damage(e, answer);
    return answer;
}

int engine_get(struct engine *e, struct engine_key *k, uint64_t now_ms, struct record *out)
{
    if (__builtin_expect(!memtable_get(e->active, k, out) || out->version.clock <= e->older_clock_max, 0))
        return get_older(e, k, now_ms, out);
    e->counters.gets++;
    e->counters.gets_memtable++;
    int answer = judge(e, true, out, now_ms);
    count_damage(e, answer);
    return answer;
}

/* ---- with waiting ---- */

/* The best version so far. Nothing of the engine's is held across a wait but the set of tables and, by pins,
 * blocks of the cache; what is in a memtable is copied. */
struct found {
    struct record record;
    struct engine_hold hold;
    bool is_any;
    bool is_forgotten; /* it is bad, and so is its block in the cache: the disk's may be better */
};

/* Is it in a block that was in memory before? Then it may have gone bad there. */
static bool is_stale(const struct found *f)
{
    return f->hold.pin.data && !f->hold.pin.is_fresh;
}

void engine_release(struct engine *e, struct engine_hold *hold)
{
    cache_unpin(&hold->pin);
    reactor_free(e->reactor, hold->buffer);
    hold->buffer = NULL;
}

static uint8_t *copy_key(uint8_t *to, struct record_key *key)
{
    uint8_t *subkey = slice_put(to, key->key);
    uint8_t *end = slice_put(subkey, key->subkey);
    key->key.data = to;
    key->subkey.data = subkey;
    return end;
}

static int keep(struct engine *e, struct found *f, const struct record *record)
{
    size_t key_bytes = record->key.key.bytes + record->key.subkey.bytes;
    uint8_t *buffer = reactor_alloc(e->reactor, key_bytes + record->value.bytes + 1);
    if (!buffer)
        return TORC_E_NO_MEMORY;
    *f = (struct found){.record = *record, .hold.buffer = buffer, .is_any = true};
    uint8_t *value = copy_key(buffer, &f->record.key);
    slice_put(value, record->value);
    f->record.value.data = value;
    return 0;
}

static int note_answer(int answer)
{
    ASSERT(answer != TABLE_WAITS);
    if (answer == TORC_E_CORRUPT)
        MARK(get_meets_a_bad_block);
    else if (answer == TORC_E_STORAGE)
        MARK(get_meets_a_read_error);
    return answer < 0 ? answer : 0;
}

/* Asks one table; what it has counts when it is newer. */
static int ask_table(struct engine *e, const struct table_ref *t, struct table_wanted wanted, struct found *f)
{
    struct found other = {.is_any = true};
    int answer = table_get(t->table, wanted.key, wanted.hash, &other.record, &other.hold.pin);
    int rc = note_answer(answer);
    if (rc || answer != TABLE_FOUND)
        return rc;
    bool is_newer = !f->is_any || version_compare(other.record.version, f->record.version) > 0;
    engine_release(e, is_newer ? &f->hold : &other.hold);
    if (is_newer)
        *f = other;
    return 0;
}

/* Asks the tables of a set that the caller holds, newest first, from a run on. */
static int search_runs(struct engine *e, const struct table_set *set, uint32_t first,
                       struct table_wanted wanted, struct found *f)
{
    for (uint32_t i = first; i < set->run_count; i++) {
        if (f->is_any && f->record.version.clock > set->runs[i].clock_max)
            return 0;
        const struct table_ref *t = table_run_find(&set->runs[i], wanted.key);
        if (!t || (f->is_any && f->record.version.clock > t->clock_max))
            continue;
        int rc = ask_table(e, t, wanted, f);
        if (rc)
            return rc;
    }
    return 0;
}

/* The block that engine_get has not found in memory, then the runs behind that. */
static int follow_lead(struct engine *e, const struct table_set *set, const struct engine_key *k,
                       struct found *f)
{
    const struct engine_lead *lead = &k->lead;
    struct table_wanted wanted = {&k->key, lead->hash};
    int answer = table_get_block(lead->table->table, wanted, lead->block, &f->record, &f->hold.pin);
    int rc = note_answer(answer);
    f->is_any = answer == TABLE_FOUND;
    return rc ? rc : search_runs(e, set, lead->run + 1, wanted, f);
}

static int search_all(struct engine *e, const struct table_set *set, const struct engine_key *k,
                      struct found *f)
{
    return search_runs(e, set, 0, (struct table_wanted){&k->key, table_key_hash(&k->key)}, f);
}

/* Reads the value that the record found points to, when it is to be served. The key goes behind it, so that
 * both are in one buffer. The caller holds the set of tables. */
static int fetch_value(struct engine *e, struct found *f, uint64_t now_ms)
{
    if (!f->is_any || !(f->record.flags & RECORD_SEPARATED) || !record_is_live(&f->record, now_ms) ||
        f->record.version.clock <= e->quarantine_clock)
        return 0;
    struct value_buffer value = {.spare = f->record.key.key.bytes + f->record.key.subkey.bytes,
                                 .is_suspicion = is_stale(f)};
    int rc = values_resolve(e, &f->record, &value);
    if (rc) {
        value_buffer_deinit(e->reactor, &value);
        return rc;
    }
    copy_key(value.data + value.capacity - value.spare, &f->record.key);
    engine_release(e, &f->hold);
    f->hold.buffer = value.data;
    task_yield_if_due(e->reactor); /* a value of 1 MiB was hashed */
    return 0;
}

static void keep_row(struct engine *e, const struct engine_key *k, const struct found *f)
{
    if (f->record.flags & RECORD_SEPARATED)
        return; /* its value was not read, for it is dead */
    if (f->hold.pin.data)
        row_cache_offer(e->rows, k, &f->record);
    else
        row_cache_add(e->rows, k, &f->record); /* its value is of a log, and in no block */
}

/* Waits. Judges what was found, with its value. The caller holds the set of tables. */
static int serve(struct engine *e, const struct table_set *set, struct found *f, uint64_t now_ms)
{
    int rc = fetch_value(e, f, now_ms);
    bool is_judged = rc == 0; /* else it was counted where the value is */
    if (is_judged)
        rc = judge(e, f->is_any, &f->record, now_ms);
    f->is_forgotten = rc == TORC_E_CORRUPT && is_stale(f);
    if (f->is_forgotten)
        forget_block(set, &f->record);
    else if (is_judged)
        count_damage(e, rc);
    return rc;
}

/* Waits. Returns: what engine_get_wait does, with the record, if any, in `*f`. */
static int look(struct engine *e, const struct engine_key *k, uint64_t now_ms, struct found *f,
                bool *is_of_memtable)
{
    struct table_set *set = e->tables;
    struct record newest;
    bool has_lead = k->lead.tables == set->number;
    bool is_final = false;
    *f = (struct found){.is_any = false};
    int rc = !has_lead && get_memtables(e, k, &newest, &is_final) ? keep(e, f, &newest) : 0;
    *is_of_memtable = f->is_any;
    table_set_hold(set);
    if (rc == 0 && !is_final)
        rc = has_lead ? follow_lead(e, set, k, f) : search_all(e, set, k, f);
    if (rc == 0)
        rc = serve(e, set, f, now_ms);
    /* Unless a flush was done meanwhile, this is what the tables hold. */
    if (rc >= 0 && f->is_any && !*is_of_memtable && e->tables == set)
        keep_row(e, k, f);
    table_set_release(set);
    return rc;
}

int engine_get_wait(struct engine *e, const struct engine_key *k, uint64_t now_ms, struct record *out,
                    struct engine_hold *hold)
{
    struct found f;
    bool is_of_memtable;
    int rc = look(e, k, now_ms, &f, &is_of_memtable);
    if (f.is_forgotten) {
        engine_release(e, &f.hold);
        rc = look(e, k, now_ms, &f, &is_of_memtable);
    }
    e->counters.gets++;
    e->counters.gets_memtable += is_of_memtable;
    e->counters.gets_table += f.is_any && !is_of_memtable;
    *hold = (struct engine_hold){.buffer = NULL};
    if (rc == ENGINE_FOUND) {
        *out = f.record;
        *hold = f.hold;
    } else {
        engine_release(e, &f.hold);
    }
    return rc;
}
