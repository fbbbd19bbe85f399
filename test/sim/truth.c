/* truth.c - what explains which error; see truth.h.
 *
 *   DISK_FULL   the disk was full not long ago, or a file could not be opened for want of descriptors
 *   STORAGE     a write or a sync failed since the start; for reads: a read failed, or a sector is bad
 *   CORRUPT     a table or a value log it points into is damaged by a fault, and the key is in its range; for
 *               the start: a manifest is
 *               damaged, or could not be read or synced
 *   UNKNOWN     damage in the log was told, and the newest write known of the key is not above it, or is
 *               lost too; for writes: a write or a sync failed */
#include "test/sim/truth.h"

#include "engine/engine_internal.h"
#include "engine/tables.h"
#include "test/sim/rot.h"

#include <errno.h>
#include <stdio.h>

/* How long after there is room again an engine may take to see it: it looks every second, and a slow disk
 * takes its time. */
static const uint64_t full_grace_ns = UINT64_C(130) * 1000 * 1000 * 1000;

static bool was_full(const struct history *h)
{
    return h->is_full || (h->full_end_ns && history_now_ns(h) < h->full_end_ns + full_grace_ns);
}

static bool lacks_descriptors(const struct history *h)
{
    return history_hits(h, SIM_NO_DESCRIPTORS) > 0;
}

static bool lacks_memory_to_read(const struct history *h, int error)
{
    return (error == TORC_E_NO_MEMORY || error == -ENOMEM) && history_hits(h, SIM_NO_READ_MEMORY) > 0;
}

static bool has_failed_writes(const struct history *h)
{
    return history_hits(h, SIM_WRITE_ERROR) > 0 || history_hits(h, SIM_SYNC_ERROR) > 0;
}

static bool has_failed_reads(const struct subject *s)
{
    return history_hits(s->history, SIM_READ_ERROR) > 0 || s->damage.bad_sectors > 0;
}

/* A copy of the manifest that is older than the engine thought names an older log and older tables. */
bool truth_explains_damaged_log(const struct subject *s)
{
    return s->damage.log > 0 || s->damage.manifests > 0 || has_failed_reads(s);
}

static bool explains_unknown(const struct subject *s, uint32_t floor)
{
    const struct model_write *w = &s->model.writes[floor];
    bool is_above = floor && w->clock > s->engine->quarantine_clock;
    /* Answered with an error, and saved from a damaged record: nothing vouches for that one. */
    bool is_salvage = floor && w->may_have_failed;
    return s->quarantined > 0 && (!is_above || is_salvage || model_may_be_lost(&s->model, floor));
}

/* A table that cannot be opened is set aside until the next start. */
static bool explains_corrupt(const struct subject *s)
{
    return s->damage.lost_tables > 0 || s->damage.lost_values > 0 ||
           history_hits(s->history, SIM_READ_ERROR) > 0 || rot_damage_here(s, "table-") > 0 ||
           rot_damage_here(s, "values-") > 0;
}

/* Is one of the files damaged that the table or its values are in? */
static bool is_damaged(const struct subject *s, const struct table_ref *t)
{
    char name[64];
    snprintf(name, sizeof name, "table-%016llx.sst", (unsigned long long)t->number);
    if (rot_damage_here(s, name) > 0)
        return true;
    for (uint32_t i = 0; i < t->values.count; i++) {
        snprintf(name, sizeof name, "values-%016llx.log", (unsigned long long)t->values.uses[i].file->number);
        if (rot_damage_here(s, name) > 0)
            return true;
    }
    return false;
}

bool truth_explains_corrupt_key(const struct subject *s, uint32_t key)
{
    char memory[MODEL_KEY_BYTES_MAX];
    struct record_key record_key = model_key(&s->model, key, memory);
    const struct table_set *set = s->engine->tables;
    if (s->damage.lost_tables > 0 || s->damage.lost_values > 0 ||
        history_hits(s->history, SIM_READ_ERROR) > 0)
        return true;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct table_ref *t = table_run_find(&set->runs[i], &record_key);
        if (t && is_damaged(s, t))
            return true;
    }
    return false;
}

/* Of the copies of the manifest that are there now; one that was written since is whole. */
static bool has_damaged_manifest(const struct subject *s)
{
    return s->damage.has_lost_manifest || rot_damage_here(s, "MANIFEST") > 0;
}

static bool explains_read(const struct subject *s, int error, uint32_t floor)
{
    if (error == TORC_E_CORRUPT)
        return explains_corrupt(s);
    if (error == TORC_E_STORAGE || error == -EIO)
        return has_failed_reads(s);
    return lacks_memory_to_read(s->history, error) || (error == TORC_E_UNKNOWN && explains_unknown(s, floor));
}

static bool explains_write(const struct subject *s, int error)
{
    if (error == TORC_E_DISK_FULL)
        return was_full(s->history) || lacks_descriptors(s->history);
    if (error == TORC_E_UNKNOWN)
        return has_failed_writes(s->history);
    bool has_lied = s->damage.manifests > 0; /* a copy that does not read back is one that failed */
    return error == TORC_E_STORAGE && (has_lied || has_failed_writes(s->history) || has_failed_reads(s));
}

static bool explains_open(const struct subject *s, int error)
{
    if (error == TORC_E_CORRUPT)
        return has_damaged_manifest(s) || history_hits(s->history, SIM_READ_ERROR) > 0 ||
               has_failed_writes(s->history);
    if (error == TORC_E_CONFIGURATION) /* a misdirected write of another shard's, and no better copy */
        return has_damaged_manifest(s);
    if (error == TORC_E_DISK_FULL || error == -ENOSPC)
        return was_full(s->history);
    if (error == -EMFILE)
        return lacks_descriptors(s->history);
    if (lacks_memory_to_read(s->history, error))
        return true;
    bool has_failed = s->damage.manifests > 0 || has_failed_writes(s->history) || has_failed_reads(s);
    return (error == TORC_E_STORAGE || error == -EIO) && has_failed;
}

bool truth_explains(const struct subject *s, enum truth_place place, int error, uint32_t floor)
{
    if (error == 0)
        return true;
    switch (place) {
    case TRUTH_PUT:
    case TRUTH_WRITE:
        return explains_write(s, error);
    case TRUTH_READ:
        return explains_read(s, error, floor);
    case TRUTH_OPEN:
        return explains_open(s, error);
    case TRUTH_LOSS:
        return explains_write(s, error) || (error == -EMFILE && lacks_descriptors(s->history)) ||
               lacks_memory_to_read(s->history, error);
    }
    return false;
}
