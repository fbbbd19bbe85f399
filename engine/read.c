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
        e->counters.corruptions++;
        return TORC_E_CORRUPT;
    }
    return record_is_live(record, now_ms) ? ENGINE_FOUND : ENGINE_ABSENT;
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
    *is_newer = !is_found || version_compare(row.version, out->version) > 0;
    if (*is_newer)
        *out = row;
    return true;
}

static int get_older(struct engine *e, const struct engine_key *k, uint64_t now_ms, struct record *out)
{
    bool is_final;
    bool is_found = get_memtables(e, k, out, &is_final);
    bool is_of_table = false;
    bool is_row = !is_final && get_row(e, k, is_found, out, &is_of_table);
    is_final |= is_row;
    is_found |= is_of_table;
    uint64_t hash = is_final ? 0 : table_key_hash(&k->key);
    for (uint32_t i = 0; !is_final && i < e->tables->run_count; i++) {
        if (is_found && out->version.clock > e->tables->runs[i].clock_max)
            break;
        const struct table_ref *t = table_run_find(&e->tables->runs[i], &k->key);
        if (!t || (is_found && out->version.clock > t->clock_max))
            continue;
        struct record other;
        int answer = table_get_cached(t->table, &k->key, hash, &other);
        if (answer == TABLE_WAITS)
            return ENGINE_WAITS;
        if (answer < 0)
            return answer;
        if (answer == TABLE_FOUND && (!is_found || version_compare(other.version, out->version) > 0)) {
            *out = other;
            is_found = is_of_table = true;
        }
    }
    bool is_separated = is_found && (out->flags & RECORD_SEPARATED);
    if (is_separated && record_is_live(out, now_ms))
        return ENGINE_WAITS;
    if (is_of_table && !is_row && !is_separated)
        row_cache_add(e->rows, k, out);
    e->counters.gets++;
    e->counters.gets_memtable += is_found && !is_of_table;
    e->counters.gets_table += is_of_table;
    return judge(e, is_found, out, now_ms);
}

int engine_get(struct engine *e, const struct engine_key *k, uint64_t now_ms, struct record *out)
{
    if (__builtin_expect(!memtable_get(e->active, k, out) || out->version.clock <= e->older_clock_max, 0))
        return get_older(e, k, now_ms, out);
    e->counters.gets++;
    e->counters.gets_memtable++;
    return judge(e, true, out, now_ms);
}

/* ---- with waiting ---- */

/* The best version so far, copied: nothing of the engine's is held across a wait but the set of tables. */
struct found {
    struct record record;
    void *buffer;
};

static int keep(struct engine *e, struct found *f, const struct record *record)
{
    size_t key_bytes = record->key.key.bytes, subkey_bytes = record->key.subkey.bytes;
    uint8_t *buffer = reactor_alloc(e->reactor, key_bytes + subkey_bytes + record->value.bytes + 1);
    if (!buffer)
        return TORC_E_NO_MEMORY;
    memcpy(buffer, record->key.key.data, key_bytes);
    if (subkey_bytes)
        memcpy(buffer + key_bytes, record->key.subkey.data, subkey_bytes);
    if (record->value.bytes)
        memcpy(buffer + key_bytes + subkey_bytes, record->value.data, record->value.bytes);
    reactor_free(e->reactor, f->buffer);
    f->buffer = buffer;
    f->record = *record;
    f->record.key.key.data = buffer;
    f->record.key.subkey.data = buffer + key_bytes;
    f->record.value.data = buffer + key_bytes + subkey_bytes;
    return 0;
}

/* Asks the tables of a set that the caller holds, newest first. */
static int search_tables(struct engine *e, const struct table_set *set, const struct engine_key *k,
                         struct found *f)
{
    uint64_t hash = table_key_hash(&k->key);
    for (uint32_t i = 0; i < set->run_count; i++) {
        if (f->buffer && f->record.version.clock > set->runs[i].clock_max)
            return 0;
        const struct table_ref *t = table_run_find(&set->runs[i], &k->key);
        if (!t || (f->buffer && f->record.version.clock > t->clock_max))
            continue;
        struct record record;
        struct cache_pin pin = {0};
        int answer = table_get(t->table, &k->key, hash, &record, &pin);
        ASSERT(answer != TABLE_WAITS);
        int rc = answer < 0 ? answer : 0;
        if (rc == TORC_E_CORRUPT)
            MARK(get_meets_a_bad_block);
        else if (rc == TORC_E_STORAGE)
            MARK(get_meets_a_read_error);
        if (answer == TABLE_FOUND && (!f->buffer || version_compare(record.version, f->record.version) > 0))
            rc = keep(e, f, &record);
        cache_unpin(&pin);
        if (rc)
            return rc;
    }
    return 0;
}

/* Reads the value that the record found points to, when it is to be served. The key moves behind it, so that
 * both are in one buffer. The caller holds the set of tables. */
static int fetch_value(struct engine *e, struct found *f, uint64_t now_ms)
{
    if (!f->buffer || !(f->record.flags & RECORD_SEPARATED) || !record_is_live(&f->record, now_ms) ||
        f->record.version.clock <= e->quarantine_clock)
        return 0;
    struct slice key = f->record.key.key, subkey = f->record.key.subkey;
    struct value_buffer value = {.spare = key.bytes + subkey.bytes};
    int rc = values_resolve(e, &f->record, &value);
    if (rc) {
        value_buffer_deinit(e->reactor, &value);
        return rc;
    }
    uint8_t *end = value.data + value.capacity - value.spare;
    f->record.key.key.data = end;
    end = slice_put(end, key);
    f->record.key.subkey.data = end;
    slice_put(end, subkey);
    reactor_free(e->reactor, f->buffer);
    f->buffer = value.data;
    task_yield_if_due(e->reactor); /* a value of 1 MiB was hashed */
    return 0;
}

int engine_get_wait(struct engine *e, const struct engine_key *k, uint64_t now_ms, struct record *out,
                    void **buffer)
{
    struct found f = {.buffer = NULL};
    bool is_final;
    *buffer = NULL;
    int rc = get_memtables(e, k, out, &is_final) ? keep(e, &f, out) : 0;
    bool is_of_memtable = f.buffer != NULL;
    if (rc == 0 && !is_final) {
        struct table_set *set = e->tables;
        table_set_hold(set);
        rc = search_tables(e, set, k, &f);
        if (rc == 0)
            rc = fetch_value(e, &f, now_ms);
        /* Unless a flush was done meanwhile, this is what the tables hold. */
        if (rc == 0 && f.buffer && !is_of_memtable && e->tables == set &&
            !(f.record.flags & RECORD_SEPARATED))
            row_cache_add(e->rows, k, &f.record);
        table_set_release(set);
    }
    e->counters.gets++;
    e->counters.gets_memtable += is_of_memtable;
    e->counters.gets_table += f.buffer && !is_of_memtable;
    if (rc == 0)
        rc = judge(e, f.buffer != NULL, &f.record, now_ms);
    if (rc == ENGINE_FOUND) {
        *out = f.record;
        *buffer = f.buffer;
    } else {
        reactor_free(e->reactor, f.buffer);
    }
    return rc;
}
