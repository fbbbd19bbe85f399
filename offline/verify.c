/* verify.c - `torc backup verify`: a backup is restored, and what comes out is compared with what went in.
 *
 *   files of the backup --compared--> catalogue
 *   files of the backup --restored--> engine --scan--------+
 *            |                                             +-- key by key: version, flags, checksum
 *            +-- tables and log, merged right here --------+
 *
 * The two ways have the formats in common and neither manifests nor recovery. Values are verified by the scan
 * against the checksums that clients have made. */
#include "offline/offline.h"

#include "engine/cache.h"
#include "engine/copy.h"
#include "engine/entry.h"
#include "engine/manifest_format.h"
#include "engine/memtable.h"
#include "engine/merge.h"
#include "offline/restore.h"
#include "offline/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CACHE_BYTES = 16 << 20, RECORDS_PER_YIELD = 64, SEED = 1 };

/* What the files of one shard say. */
struct shard_files {
    struct reactor *reactor;
    const struct source *source;
    unsigned shard;
    uint8_t *manifest; /* its bytes; the tables point into them */
    struct manifest_table *descriptions;
    struct manifest_state state;
    struct cache *cache;
    struct table_ref *refs; /* one a table */
    struct table_ref **sorted;
    struct table_run *runs;
    uint32_t open_count;
    uint32_t run_count;
    struct memtable *memtable; /* of the log */
    uint8_t *entry;            /* ENTRY_BYTES_MAX */
    struct merge merge;
    bool has_merge;
};

/* ---- the tables ---- */

static const struct catalogue_file *find_file(const struct shard_files *f, const char *name)
{
    const struct catalogue *c = &f->source->catalogue;
    for (uint32_t i = 0; i < c->file_count; i++)
        if (c->files[i].shard == f->shard && strcmp(c->files[i].name, name) == 0)
            return &c->files[i];
    return NULL;
}

static int path_of(const struct shard_files *f, const char *name, char path[DATADIR_PATH_MAX])
{
    const struct catalogue_file *file = find_file(f, name);
    return file ? source_path(f->source, file, path) : -ENOENT;
}

static int read_manifest(struct shard_files *f)
{
    char path[DATADIR_PATH_MAX];
    size_t bytes;
    int rc = path_of(f, "MANIFEST-A", path);
    if (rc == 0)
        rc = copy_file_to_bytes(f->reactor, path, MANIFEST_BYTES_MAX, &f->manifest, &bytes);
    if (rc == 0 && bytes < MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES)
        rc = TORC_E_CORRUPT;
    if (rc)
        return rc;
    struct slice image = slice_of(f->manifest, bytes);
    uint32_t count = manifest_table_count(image) + 1;
    f->descriptions = reactor_alloc_zeroed(f->reactor, count * sizeof f->descriptions[0]);
    f->refs = reactor_alloc_zeroed(f->reactor, count * sizeof f->refs[0]);
    f->sorted = reactor_alloc_zeroed(f->reactor, count * sizeof(struct table_ref *));
    f->runs = reactor_alloc_zeroed(f->reactor, count * sizeof f->runs[0]);
    if (!f->descriptions || !f->refs || !f->sorted || !f->runs)
        return TORC_E_NO_MEMORY;
    return manifest_decode(image, f->descriptions, &f->state);
}

static int open_table(struct shard_files *f, uint32_t i)
{
    const struct manifest_table *d = &f->descriptions[i];
    struct table_ref *ref = &f->refs[i];
    char name[CATALOGUE_NAME_BYTES], path[DATADIR_PATH_MAX];
    snprintf(name, sizeof name, "table-%016" PRIx64 ".sst", d->number);
    int rc = path_of(f, name, path);
    if (rc == 0)
        rc = table_open(f->reactor, f->cache, path, d->origin, &ref->table);
    if (rc)
        return rc;
    const struct catalogue_shard *s = &f->source->catalogue.shards[f->shard];
    uint16_t last = (uint16_t)(s->vnode_first + s->vnode_count - 1);
    table_limit(ref->table, d->vnode_first > s->vnode_first ? d->vnode_first : s->vnode_first,
                d->vnode_last < last ? d->vnode_last : last);
    ref->number = d->number;
    ref->run = d->order ? d->order : d->number;
    return 0;
}

/* By run, and by key within one. */
static bool is_before(const struct table_ref *a, const struct table_ref *b)
{
    if (a->run != b->run)
        return a->run < b->run;
    return record_key_compare(&table_summary(a->table)->smallest, &table_summary(b->table)->smallest) < 0;
}

static void sort_tables(struct shard_files *f)
{
    for (uint32_t i = 0; i < f->open_count; i++) {
        uint32_t at = i;
        for (; at > 0 && is_before(&f->refs[i], f->sorted[at - 1]); at--)
            f->sorted[at] = f->sorted[at - 1];
        f->sorted[at] = &f->refs[i];
    }
    for (uint32_t i = 0; i < f->open_count; i++) {
        bool is_first = i == 0 || f->sorted[i]->run != f->sorted[i - 1]->run;
        if (is_first)
            f->runs[f->run_count++] = (struct table_run){.tables = &f->sorted[i]};
        f->runs[f->run_count - 1].count++;
    }
}

/* ---- the log ---- */

static int take_record(void *owner, const struct record *record, uint64_t sequence)
{
    struct shard_files *f = owner;
    (void)sequence;
    if (record->version.clock > f->source->catalogue.clock)
        return 0;
    size_t bytes = entry_encode(f->entry, record);
    uint64_t hash = memtable_hash(SEED, &record->key);
    int rc = memtable_put(f->memtable, hash, record, slice_of(f->entry, bytes));
    return rc == TORC_E_SUPERSEDED ? 0 : rc;
}

static int read_log(struct shard_files *f)
{
    const struct catalogue_shard *s = &f->source->catalogue.shards[f->shard];
    struct memtable_options options = {
        .seed = SEED,
        .vnode_first = s->vnode_first,
        .vnode_count = s->vnode_count,
    };
    char directory[DATADIR_PATH_MAX], why[RESTORE_WHY_BYTES];
    struct wal_recovery found;
    snprintf(directory, sizeof directory, "%.4000s/shard-%03u", f->source->directory, f->shard);
    struct wal_recovery_options recovery = {
        .directory = directory,
        .start = {s->start_segment, s->start_sequence},
        .replay = take_record,
        .owner = f,
        .is_read_only = true,
    };
    f->entry = reactor_alloc(f->reactor, ENTRY_BYTES_MAX);
    int rc = f->entry ? memtable_new(f->reactor, &options, &f->memtable) : TORC_E_NO_MEMORY;
    if (rc || s->end_sequence < s->start_sequence)
        return rc;
    rc = wal_recover(f->reactor, &recovery, &found, why, sizeof why);
    if (rc == 0)
        wal_recovery_deinit(f->reactor, &found);
    return rc;
}

/* ---- all of a shard ---- */

static int files_open(struct shard_files *f)
{
    const struct catalogue_shard *s = &f->source->catalogue.shards[f->shard];
    int rc = read_manifest(f);
    if (rc == 0)
        rc = cache_open(f->reactor, CACHE_BYTES, &f->cache);
    for (uint32_t i = 0; rc == 0 && i < f->state.table_count; i++) {
        rc = open_table(f, i);
        f->open_count += rc == 0;
    }
    if (rc == 0)
        rc = read_log(f);
    if (rc == 0)
        rc = merge_init(&f->merge, f->reactor, f->open_count + 1);
    if (rc)
        return rc;
    f->has_merge = true;
    sort_tables(f);
    for (uint32_t i = 0; i < f->run_count; i++)
        merge_add_run(&f->merge, &f->runs[i], TABLE_CURSOR_BULK);
    merge_add_memtable(&f->merge, f->memtable, s->vnode_first, (uint32_t)s->vnode_first + s->vnode_count);
    return merge_seek(&f->merge, &(struct record_key){.vnode = s->vnode_first});
}

static void files_close(struct shard_files *f)
{
    if (f->has_merge)
        merge_deinit(&f->merge);
    for (uint32_t i = 0; i < f->open_count; i++)
        table_close(f->refs[i].table);
    memtable_release(f->memtable);
    if (f->cache)
        cache_close(f->cache);
    reactor_free(f->reactor, f->entry);
    reactor_free(f->reactor, f->runs);
    reactor_free(f->reactor, f->sorted);
    reactor_free(f->reactor, f->refs);
    reactor_free(f->reactor, f->descriptions);
    reactor_free(f->reactor, f->manifest);
}

/* ---- the comparison ---- */

static int next_live(struct shard_files *f, uint64_t now_ms, struct record *out)
{
    int rc;
    unsigned count = 0;
    while ((rc = merge_next(&f->merge, out)) == 1 && !record_is_live(out, now_ms))
        if (++count % RECORDS_PER_YIELD == 0)
            task_yield_if_due(f->reactor);
    return rc;
}

static bool is_same(const struct record *a, const struct record *b)
{
    enum { COMPARED = RECORD_TOMBSTONE | RECORD_EXPIRING };
    return record_key_compare(&a->key, &b->key) == 0 && version_compare(a->version, b->version) == 0 &&
           (a->flags & COMPARED) == (b->flags & COMPARED) && a->expiry_ms == b->expiry_ms &&
           a->checksum == b->checksum;
}

static int tell_difference(const struct shard_files *f, const struct record *expected,
                           const struct record *found)
{
    printf("shard %u: what was restored differs from the backup's files\n", f->shard);
    if (expected) {
        printf("  in the files:\n");
        offline_print_record(expected, 0, true);
    }
    if (found) {
        printf("  restored:\n");
        offline_print_record(found, 0, true);
    }
    return OFFLINE_DAMAGED;
}

static int complain(unsigned shard, int error)
{
    char what[32];
    snprintf(what, sizeof what, "shard %u of the backup", shard);
    return source_complain(what, error);
}

/* Each record of the one side is asked for before a wait of the other ends what it points to: the key is held
 * by the engine's cursor, and the merge is asked last. */
static int compare(struct shard_files *f, struct engine_cursor *cursor, uint64_t now_ms, uint64_t *records)
{
    struct record found, expected;
    while (true) {
        int has_found = engine_cursor_next(cursor, &found);
        int has_expected = next_live(f, now_ms, &expected);
        if (has_found < 0 || has_expected < 0)
            return complain(f->shard, has_found < 0 ? has_found : has_expected);
        if (!has_found && !has_expected)
            return OFFLINE_GOOD;
        if (!has_found || !has_expected || !is_same(&found, &expected))
            return tell_difference(f, has_expected ? &expected : NULL, has_found ? &found : NULL);
        ++*records;
        task_yield_if_due(f->reactor);
    }
}

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    (void)owner;
    (void)ticket;
    (void)result;
    (void)times;
}

static int compare_with_engine(struct shard_files *f, const char *data, uint64_t now_ms, uint64_t *records)
{
    char directory[DATADIR_PATH_MAX], why[RESTORE_WHY_BYTES] = "";
    struct engine_options options = restore_engine_options(&f->source->catalogue, data, f->shard, directory);
    struct engine *engine;
    struct engine_cursor *cursor;
    options.on_durable = on_durable;
    int rc = engine_open(f->reactor, &options, &engine, why, sizeof why);
    if (rc)
        return offline_complain("shard %u: %s", f->shard, why[0] ? why : error_sentence(rc));
    rc = engine_cursor_open(engine, &(struct record_key){.vnode = options.vnode_first}, now_ms, &cursor);
    if (rc == 0) {
        rc = compare(f, cursor, now_ms, records);
        engine_cursor_close(cursor);
    } else {
        rc = offline_complain("shard %u: %s", f->shard, error_sentence(rc));
    }
    engine_close(engine);
    return rc;
}

static int verify_shard(struct reactor *r, const struct restore *restore, unsigned shard, uint64_t *records)
{
    struct shard_files *f = reactor_alloc_zeroed(r, sizeof *f);
    if (!f)
        return offline_complain("%s", error_sentence(TORC_E_NO_MEMORY));
    f->reactor = r;
    f->source = restore->source;
    f->shard = shard;
    int rc = files_open(f);
    if (rc)
        rc = complain(shard, rc);
    else
        rc = compare_with_engine(f, restore->data, reactor_wall_ms(r), records);
    files_close(f);
    reactor_free(r, f);
    return rc;
}

/* ---- the command ---- */

struct verify {
    const char *backup;
    const char *scratch;
};

static int verify_source(struct reactor *r, const struct source *source, const char *scratch)
{
    char moment[SOURCE_TIME_BYTES];
    uint64_t records = 0, bytes = 0;
    struct restore restore = {.source = source, .clock = source->catalogue.clock, .data = scratch};
    int rc = restore_run(r, &restore);
    for (unsigned shard = 0; rc == 0 && shard < source->catalogue.identity.cores; shard++)
        rc = verify_shard(r, &restore, shard, &records);
    for (uint32_t i = 0; i < source->catalogue.file_count; i++)
        bytes += source->catalogue.files[i].bytes;
    if (rc == 0)
        printf("%s is good: of %s, %" PRIu32 " files of %" PRIu64 " bytes, %" PRIu64 " records restored and "
               "compared\n",
               source->directory, source_time(source->catalogue.clock, moment), source->catalogue.file_count,
               bytes, records);
    return rc;
}

static int run(struct reactor *r, void *context)
{
    const struct verify *v = context;
    struct source source;
    int rc = directory_create(r, v->scratch);
    if (rc)
        return offline_complain("%s: %s; name a directory that is not there with --data", v->scratch,
                                error_sentence(rc));
    rc = source_open(r, v->backup, UINT64_MAX, &source);
    if (rc == 0) {
        rc = verify_source(r, &source, v->scratch);
        source_deinit(r, &source);
    }
    int removed = directory_remove_all(r, v->scratch, NULL);
    if (removed)
        offline_complain("%s could not be removed: %s", v->scratch, error_sentence(removed));
    return rc;
}

int offline_verify(const char *backup, const char *scratch)
{
    struct verify verify = {backup, scratch};
    return offline_run(run, &verify);
}
