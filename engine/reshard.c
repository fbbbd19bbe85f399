/* reshard.c - a new shard made of files of old ones; see reshard.h.
 *
 * The k-th newest runs of a level, one of each source, become one run: sources have no vnode in common, so
 * their tables are disjoint, and a get asks no more runs than before. */
#include "engine/reshard.h"

#include "engine/manifest.h"
#include "engine/reshard_values.h"
#include "engine/values_format.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>

enum { PATH_BYTES = 4096, PIECES_FIRST = 16 };

/* The bottom's tables are one run of this name in every shard. */
#define ORDER_BOTTOM UINT64_MAX

/* Where a table of the target comes from. */
struct origin {
    uint32_t source;
    uint64_t number;
    uint8_t *values; /* its row in the target */
};

/* A run of a source, as far as the target has tables of it. */
struct run {
    uint32_t source;
    uint32_t level;
    uint64_t order;
    uint64_t clock_max;
    uint64_t name; /* in the target; 0: none yet */
    uint32_t rank; /* how many runs of its source and level are newer */
};

struct reshard {
    struct reactor *reactor;
    const struct reshard_target *target;
    const struct reshard_source *sources;
    uint32_t source_count;
    struct manifest **manifests; /* of the sources that have vnodes of the target; else null */
    struct manifest_table *tables;
    struct origin *origins; /* of tables[i] */
    uint32_t count;
    uint32_t capacity;
    struct run *runs; /* no more than tables */
    uint32_t run_count;
    struct reshard_values values; /* that its tables point into */
    uint64_t file_counter;
    uint64_t clock_max;
    uint64_t quarantine_clock;
    uint64_t quarantine_count;
    char from[PATH_BYTES];
    char to[PATH_BYTES];
};

static int open_source(struct reactor *r, const struct reshard_source *s, uint8_t vnode_bits,
                       struct manifest **out, char *why, size_t why_bytes)
{
    struct manifest_shard shard = {vnode_bits, s->vnode_first, s->vnode_count};
    return manifest_open(r, s->directory, &shard, out, why, why_bytes);
}

int reshard_survey(struct reactor *r, const struct reshard_source *sources, uint32_t count,
                   uint8_t vnode_bits, uint64_t *file_counter, char *why, size_t why_bytes)
{
    *file_counter = 1;
    for (uint32_t i = 0; i < count; i++) {
        struct manifest *m;
        int rc = open_source(r, &sources[i], vnode_bits, &m, why, why_bytes);
        if (rc)
            return rc;
        if (manifest_state(m)->numbers.file_counter > *file_counter)
            *file_counter = manifest_state(m)->numbers.file_counter;
        manifest_close(m);
    }
    return 0;
}

/* ---- which tables ---- */

static bool has_room(struct reshard *h)
{
    if (h->count < h->capacity)
        return true;
    struct reactor *r = h->reactor;
    uint32_t capacity = h->capacity ? h->capacity * 2 : PIECES_FIRST;
    struct manifest_table *tables = reactor_realloc(r, h->tables, capacity * sizeof tables[0]);
    h->tables = tables ? tables : h->tables;
    struct origin *origins = reactor_realloc(r, h->origins, capacity * sizeof origins[0]);
    h->origins = origins ? origins : h->origins;
    struct run *runs = reactor_realloc(r, h->runs, capacity * sizeof runs[0]);
    h->runs = runs ? runs : h->runs;
    if (!tables || !origins || !runs)
        return false;
    h->capacity = capacity;
    return true;
}

static uint64_t next_number(struct reshard *h)
{
    return h->file_counter++ << MANIFEST_NUMBER_VNODE_BITS | h->target->vnode_first;
}

static bool is_taken(const struct reshard *h, uint64_t number)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (h->tables[i].number == number)
            return true;
    return false;
}

static uint16_t higher(uint16_t a, uint16_t b)
{
    return a > b ? a : b;
}

static uint16_t lower(uint16_t a, uint16_t b)
{
    return a < b ? a : b;
}

/* How many vnodes of the table's keys are among these. */
static uint32_t count_vnodes(const struct manifest_table *t, uint16_t first, uint16_t last)
{
    first = higher(first, t->smallest.vnode);
    last = lower(last, t->largest.vnode);
    return first <= last ? (uint32_t)last - first + 1 : 0;
}

static void note_run(struct reshard *h, uint32_t source, const struct manifest_table *t)
{
    uint32_t i = 0;
    while (i < h->run_count && (h->runs[i].source != source || h->runs[i].order != t->order))
        i++;
    if (i == h->run_count)
        h->runs[h->run_count++] = (struct run){.source = source, .level = t->level, .order = t->order};
    if (t->clock_max > h->runs[i].clock_max)
        h->runs[i].clock_max = t->clock_max;
}

/* The row of what it points into, as far as it is the target's. */
static int take_values(struct reshard *h, struct reshard_values *values, struct reshard_part vnodes,
                       struct manifest_table *t, uint8_t **out)
{
    uint8_t *row = reactor_alloc(h->reactor, t->values.bytes + 1);
    if (!row)
        return TORC_E_NO_MEMORY;
    int rc = reshard_values_take(&h->values, values, vnodes, t->values, row);
    if (rc) {
        reactor_free(h->reactor, row);
        return rc;
    }
    t->values.data = *out = row;
    return 0;
}

/* Takes the table with those vnodes of it that count in the source and are the target's, if it may have keys
 * of them. */
static int add_table(struct reshard *h, uint32_t source, struct reshard_values *values,
                     const struct manifest_table *t)
{
    const struct reshard_source *s = &h->sources[source];
    const struct reshard_target *n = h->target;
    uint16_t first = higher(s->vnode_first, t->vnode_first);
    uint16_t last = lower((uint16_t)(s->vnode_first + s->vnode_count - 1), t->vnode_last);
    struct reshard_part vnodes = {.whole = count_vnodes(t, first, last)};
    first = higher(first, n->vnode_first);
    last = lower(last, (uint16_t)(n->vnode_first + n->vnode_count - 1));
    vnodes.part = first <= last ? count_vnodes(t, first, last) : 0;
    if (vnodes.part == 0)
        return 0;
    if (!has_room(h))
        return TORC_E_NO_MEMORY;
    struct manifest_table copy = *t;
    uint8_t *row;
    int rc = take_values(h, values, vnodes, &copy, &row);
    if (rc)
        return rc;
    copy.vnode_first = first;
    copy.vnode_last = last;
    copy.order = t->order ? t->order : t->number;
    if (is_taken(h, t->number)) {
        MARK(table_is_linked_twice_into_a_shard);
        copy.number = next_number(h);
    }
    note_run(h, source, &copy);
    h->origins[h->count] = (struct origin){source, t->number, row};
    h->tables[h->count++] = copy;
    return 0;
}

static int add_tables(struct reshard *h, uint32_t source, const struct manifest_state *state)
{
    struct reshard_values values = {.reactor = h->reactor}; /* of the source */
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < state->table_count; i++)
        rc = reshard_values_add(&values, state->tables[i].values);
    for (uint32_t i = 0; rc == 0 && i < state->table_count; i++)
        rc = add_table(h, source, &values, &state->tables[i]);
    reshard_values_deinit(&values);
    return rc;
}

static int add_source(struct reshard *h, uint32_t source, char *why, size_t why_bytes)
{
    const struct reshard_source *s = &h->sources[source];
    const struct reshard_target *n = h->target;
    h->clock_max = s->clock_max > h->clock_max ? s->clock_max : h->clock_max;
    if (s->vnode_first >= n->vnode_first + n->vnode_count ||
        n->vnode_first >= s->vnode_first + s->vnode_count)
        return 0;
    int rc = open_source(h->reactor, s, n->vnode_bits, &h->manifests[source], why, why_bytes);
    if (rc)
        return rc;
    const struct manifest_state *state = manifest_state(h->manifests[source]);
    const struct manifest_numbers *m = &state->numbers;
    h->clock_max = m->clock_max > h->clock_max ? m->clock_max : h->clock_max;
    if (m->quarantine_clock > h->quarantine_clock)
        h->quarantine_clock = m->quarantine_clock;
    h->quarantine_count += m->quarantine_count;
    rc = add_tables(h, source, state);
    if (rc)
        snprintf(why, why_bytes, "%s", error_sentence(rc));
    return rc;
}

/* ---- runs ---- */

static uint32_t rank_of(const struct reshard *h, const struct run *run)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < h->run_count; i++) {
        const struct run *other = &h->runs[i];
        bool is_newer = other->clock_max > run->clock_max ||
                        (other->clock_max == run->clock_max && other->order > run->order);
        rank += other->source == run->source && other->level == run->level && is_newer;
    }
    return rank;
}

static void name_runs(struct reshard *h)
{
    for (uint32_t i = 0; i < h->run_count; i++)
        h->runs[i].rank = rank_of(h, &h->runs[i]);
    for (uint32_t i = 0; i < h->run_count; i++) {
        struct run *run = &h->runs[i];
        for (uint32_t j = 0; j < i && run->name == 0; j++)
            if (h->runs[j].level == run->level && h->runs[j].rank == run->rank)
                run->name = h->runs[j].name;
        if (run->order == ORDER_BOTTOM)
            run->name = ORDER_BOTTOM;
        if (run->name == 0)
            run->name = next_number(h);
    }
    for (uint32_t i = 0; i < h->count; i++)
        for (uint32_t j = 0; j < h->run_count; j++)
            if (h->runs[j].source == h->origins[i].source && h->runs[j].order == h->tables[i].order) {
                h->tables[i].order = h->runs[j].name;
                break;
            }
}

/* ---- the directory ---- */

static void edit_numbers(void *context, struct manifest_numbers *n)
{
    const struct reshard *h = context;
    n->vnode_bits = h->target->vnode_bits;
    n->vnode_first = h->target->vnode_first;
    n->vnode_count = h->target->vnode_count;
    n->file_counter = h->file_counter;
    n->clock_max = h->clock_max;
    n->quarantine_clock = h->quarantine_clock;
    n->quarantine_count = h->quarantine_count;
}

static int write_manifest(struct reshard *h, char *why, size_t why_bytes)
{
    struct manifest *m;
    for (uint32_t i = 0; i < h->count; i++)
        reshard_values_set_shares(&h->values, h->origins[i].values, h->tables[i].values.bytes);
    struct manifest_change change = {
        .added = h->tables,
        .added_count = h->count,
        .edit = edit_numbers,
        .context = h,
    };
    int rc = manifest_open(h->reactor, h->target->directory, NULL, &m, why, why_bytes);
    if (rc)
        return rc;
    rc = manifest_commit(m, &change);
    if (rc)
        snprintf(why, why_bytes, "cannot write the manifest in %s: %s", h->target->directory,
                 error_sentence(rc));
    manifest_close(m);
    return rc;
}

static int link_file(struct reshard *h, bool *is_linked, char *why, size_t why_bytes)
{
    int rc = file_link(h->reactor, h->from, h->to);
    *is_linked = rc == 0;
    if (rc == -ENOENT) /* it was lost before; the manifest names it, so nothing is silently absent */
        return 0;
    if (rc)
        snprintf(why, why_bytes, "cannot link %s: %s", h->from, error_sentence(rc));
    return rc;
}

static int link_table(struct reshard *h, uint32_t i, char *why, size_t why_bytes)
{
    const char *directory = h->sources[h->origins[i].source].directory;
    snprintf(h->from, sizeof h->from, "%s/table-%016llx.sst", directory,
             (unsigned long long)h->origins[i].number);
    snprintf(h->to, sizeof h->to, "%s/table-%016llx.sst", h->target->directory,
             (unsigned long long)h->tables[i].number);
    bool is_linked;
    return link_file(h, &is_linked, why, why_bytes);
}

/* The value logs that a table points into. Their numbers are the same in every shard: one is linked once, and
 * one that this source has lost may come from another. */
static int link_values(struct reshard *h, uint32_t i, char *why, size_t why_bytes)
{
    struct slice values = h->tables[i].values;
    const char *directory = h->sources[h->origins[i].source].directory;
    int count = value_reference_count(values);
    for (int j = 0; j < count; j++) {
        struct value_reference v = value_reference_decode(values.data + (size_t)j * VALUE_REFERENCE_BYTES);
        struct reshard_value_log *log = reshard_values_at(&h->values, v.file);
        if (!log)
            return TORC_E_NO_MEMORY;
        if (log->is_linked)
            continue;
        snprintf(h->from, sizeof h->from, "%s/values-%016llx.log", directory, (unsigned long long)v.file);
        snprintf(h->to, sizeof h->to, "%s/values-%016llx.log", h->target->directory,
                 (unsigned long long)v.file);
        int rc = link_file(h, &log->is_linked, why, why_bytes);
        if (rc)
            return rc;
    }
    return count < 0 ? count : 0;
}

static int make_directory(struct reshard *h, char *why, size_t why_bytes)
{
    int rc = directory_create(h->reactor, h->target->directory);
    if (rc == 0)
        rc = write_manifest(h, why, why_bytes);
    for (uint32_t i = 0; rc == 0 && i < h->count; i++)
        rc = link_table(h, i, why, why_bytes);
    for (uint32_t i = 0; rc == 0 && i < h->count; i++)
        rc = link_values(h, i, why, why_bytes);
    if (rc == 0)
        rc = directory_sync(h->reactor, h->target->directory);
    if (rc && why[0] == '\0')
        snprintf(why, why_bytes, "cannot make %s: %s", h->target->directory, error_sentence(rc));
    return rc;
}

static void reshard_free(struct reshard *h)
{
    struct reactor *r = h->reactor;
    for (uint32_t i = 0; h->manifests && i < h->source_count; i++)
        manifest_close(h->manifests[i]);
    reactor_free(r, h->manifests);
    for (uint32_t i = 0; i < h->count; i++)
        reactor_free(r, h->origins[i].values);
    reactor_free(r, h->tables);
    reactor_free(r, h->origins);
    reactor_free(r, h->runs);
    reshard_values_deinit(&h->values);
    reactor_free(r, h);
}

int reshard_make(struct reactor *r, const struct reshard_target *target, const struct reshard_source *sources,
                 uint32_t count, char *why, size_t why_bytes)
{
    why[0] = '\0';
    struct reshard *h = reactor_alloc_zeroed(r, sizeof *h);
    if (!h) {
        snprintf(why, why_bytes, "%s", error_sentence(TORC_E_NO_MEMORY));
        return TORC_E_NO_MEMORY;
    }
    h->reactor = h->values.reactor = r;
    h->target = target;
    h->sources = sources;
    h->source_count = count;
    h->file_counter = target->file_counter;
    h->manifests = reactor_alloc_zeroed(r, count * sizeof(struct manifest *));
    int rc = h->manifests ? 0 : TORC_E_NO_MEMORY;
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = add_source(h, i, why, why_bytes);
    if (rc == 0) {
        name_runs(h);
        rc = make_directory(h, why, why_bytes);
    }
    if (rc && why[0] == '\0')
        snprintf(why, why_bytes, "%s", error_sentence(rc));
    reshard_free(h);
    return rc;
}
