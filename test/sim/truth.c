/* truth.c - what explains which error; see truth.h.
 *
 *   DISK_FULL   the disk was full not long ago
 *   STORAGE     a write or a sync failed since the start; for reads: a read failed, or a sector is bad
 *   CORRUPT     a file of that kind was damaged by a fault; for the start: a manifest was, or could
 *               not be read or synced
 *   UNKNOWN     damage in the log was told, and the newest write known of the key is not above it, or is
 *               lost too */
#include "test/sim/truth.h"

#include "engine/engine_internal.h"

#include <errno.h>

/* How long after there is room again an engine may take to see it: it looks every second, and a slow disk
 * takes its time. */
static const uint64_t full_grace_ns = UINT64_C(130) * 1000 * 1000 * 1000;

static bool was_full(const struct history *h)
{
    return h->is_full || (h->full_end_ns && history_now_ns(h) < h->full_end_ns + full_grace_ns);
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
    uint64_t clock = floor ? s->model.writes[floor].clock : 0;
    bool is_above = clock > s->engine->quarantine_clock;
    return s->quarantined > 0 && (!is_above || model_may_be_lost(&s->model, floor));
}

static bool explains_read(const struct subject *s, int error, uint32_t floor)
{
    if (error == TORC_E_CORRUPT)
        return s->damage.tables > 0 || has_failed_reads(s); /* a table that cannot be opened is set aside */
    if (error == TORC_E_STORAGE || error == -EIO)
        return has_failed_reads(s);
    return error == TORC_E_UNKNOWN && explains_unknown(s, floor);
}

static bool explains_write(const struct subject *s, int error)
{
    if (error == TORC_E_DISK_FULL)
        return was_full(s->history);
    bool has_lied = s->damage.manifests > 0; /* a copy that does not read back is one that failed */
    return error == TORC_E_STORAGE && (has_lied || has_failed_writes(s->history) || has_failed_reads(s));
}

static bool explains_open(const struct subject *s, int error)
{
    if (error == TORC_E_CORRUPT)
        return s->damage.manifests > 0 || has_failed_reads(s) || has_failed_writes(s->history);
    if (error == TORC_E_CONFIGURATION) /* a misdirected write of another shard's, and no better copy */
        return s->damage.manifests > 0;
    if (error == TORC_E_DISK_FULL || error == -ENOSPC)
        return was_full(s->history);
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
    }
    return false;
}
