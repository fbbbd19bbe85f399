/* check_table.c - every byte of a table: footer, index, filter, blocks, records, and that they agree. */
#include "engine/entry.h"
#include "engine/table_visit.h"
#include "offline/check.h"

#include <errno.h>
#include <stdio.h>

struct look {
    struct check *check;
    struct check_shard *shard;
    const char *path;
    struct table *table;
    struct table_visit visit;
    uint32_t block;            /* that is looked at */
    int error;                 /* keeps from looking further; says nothing of the block */
    struct table_summary seen; /* counted from the records; without keys */
    struct record_key last;    /* of the record before; its bytes are ours */
    bool has_last;
    uint8_t key[KEY_BYTES_MAX];
    uint8_t subkey[SUBKEY_BYTES_MAX];
};

static void count(struct table_summary *s, const struct record *r)
{
    s->entries++;
    s->tombstones += (r->flags & RECORD_TOMBSTONE) != 0;
    s->clock_min = r->version.clock < s->clock_min ? r->version.clock : s->clock_min;
    s->clock_max = r->version.clock > s->clock_max ? r->version.clock : s->clock_max;
    if (!(r->flags & RECORD_EXPIRING))
        return;
    s->expiring++;
    s->expiry_min_ms = r->expiry_ms < s->expiry_min_ms ? r->expiry_ms : s->expiry_min_ms;
    s->expiry_max_ms = r->expiry_ms > s->expiry_max_ms ? r->expiry_ms : s->expiry_max_ms;
}

static void remember(struct look *l, const struct record_key *k)
{
    l->last = *k;
    l->last.key.data = memcpy(l->key, k->key.data, k->key.bytes);
    if (k->subkey.bytes)
        l->last.subkey.data = memcpy(l->subkey, k->subkey.data, k->subkey.bytes);
    l->has_last = true;
}

static int look_at_record(void *owner, const struct record *record, bool is_sound)
{
    struct look *l = owner;
    const struct record_key *k = &record->key;
    uint64_t at = l->visit.offset;
    if (!is_sound)
        check_problem(l->check, l->path, at,
                      "the checksum of a record does not hold: its key answers CORRUPT");
    if (l->has_last && record_key_compare(&l->last, k) >= 0)
        check_problem(l->check, l->path, at,
                      "records are not in the order of their keys: some are not found");
    if (!table_may_contain(l->table, table_key_hash(k)))
        check_problem(l->check, l->path, at, "the filter does not know a record: it is not found");
    if (table_visit_find(l->table, k) != l->block)
        check_problem(l->check, l->path, at, "the index does not lead to a record: it is not found");
    count(&l->seen, record);
    remember(l, k);
    l->check->records++;
    if (record->flags & RECORD_SEPARATED)
        l->error = check_value(l->shard, l->path, at, record);
    return l->error;
}

/* Returns: an error that keeps from looking further. */
static int look_at_blocks(struct look *l)
{
    uint64_t before = l->check->problems;
    uint32_t blocks = table_visit_blocks(l->table);
    for (uint32_t i = 0; i < blocks; i++) {
        l->block = i;
        int rc = table_visit_block(&l->visit, i, look_at_record, l);
        if (l->error || (rc && !error_is_loss(rc)))
            return rc;
        if (rc)
            check_problem(l->check, l->path, l->visit.offset,
                          "a block of %llu bytes: %s; keys in it answer CORRUPT",
                          (unsigned long long)l->visit.bytes, error_sentence(rc));
        l->check->table_bytes += l->visit.bytes;
    }
    const struct table_summary *s = table_summary(l->table), *seen = &l->seen;
    bool is_as_told = s->entries == seen->entries && s->tombstones == seen->tombstones &&
                      s->expiring == seen->expiring && s->clock_min == seen->clock_min &&
                      s->clock_max == seen->clock_max && s->expiry_min_ms == seen->expiry_min_ms &&
                      s->expiry_max_ms == seen->expiry_max_ms;
    if (before == l->check->problems && !is_as_told)
        check_problem(l->check, l->path, s->bytes - CACHE_UNIT_BYTES,
                      "the footer does not say what is in the table");
    return 0;
}

static bool is_described(const struct manifest_table *d, const struct table_summary *s)
{
    return d->bytes == s->bytes && d->entries == s->entries && d->clock_min == s->clock_min &&
           d->clock_max == s->clock_max && record_key_compare(&d->smallest, &s->smallest) == 0 &&
           record_key_compare(&d->largest, &s->largest) == 0;
}

static int look_at(struct check_shard *s, const struct manifest_table *d, const char *path,
                   struct table *table)
{
    if (!is_described(d, table_summary(table)))
        check_problem(s->check, path, UINT64_MAX,
                      "this is not the table that the manifest names: keys in its range answer CORRUPT");
    struct look *l = reactor_alloc_zeroed(s->check->reactor, sizeof *l);
    if (!l)
        return TORC_E_NO_MEMORY;
    l->check = s->check;
    l->shard = s;
    l->path = path;
    l->table = table;
    l->seen.clock_min = l->seen.expiry_min_ms = UINT64_MAX;
    table_visit_init(&l->visit, table);
    int rc = look_at_blocks(l);
    table_visit_deinit(&l->visit);
    reactor_free(s->check->reactor, l);
    s->check->tables++;
    return rc;
}

int check_table(struct check_shard *s, const struct manifest_table *d)
{
    char path[CHECK_PATH_BYTES];
    struct table *table = NULL;
    snprintf(path, sizeof path, "%s/table-%016llx.sst", s->directory, (unsigned long long)d->number);
    int rc = table_open(s->check->reactor, NULL, path, d->origin, &table);
    if (rc && !error_is_loss(rc))
        return rc;
    if (rc) {
        check_problem(s->check, path, UINT64_MAX,
                      "%s: %llu records are lost in it, and keys in its range answer CORRUPT",
                      rc == -ENOENT ? "the table is missing" : "footer, index or filter cannot be used",
                      (unsigned long long)d->entries);
        return 0;
    }
    rc = look_at(s, d, path, table);
    table_close(table);
    return rc;
}
