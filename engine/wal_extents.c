/* wal_extents.c - what can be copied of the log while it is written to; see wal.h.
 *
 * Only what is durable: of two writes in flight the second may be there without the first, and a copy of that
 * would look damaged. Files that are held are not used again meanwhile. */
#include "engine/copy.h"
#include "engine/wal_format.h"
#include "engine/wal_internal.h"

enum { SETTLE_LOOK_NS = 1000000 };
#define SETTLE_PATIENCE_NS (UINT64_C(30) * 1000 * 1000 * 1000)

void wal_hold(struct wal *wal, struct wal_hold *hold, uint64_t segment)
{
    hold->segment = segment;
    list_push_back(&wal->holds, &hold->link);
}

void wal_release(struct wal *wal, struct wal_hold *hold)
{
    list_remove(&hold->link);
    if (wal)
        wal_segments_wake(wal);
}

static uint32_t count_below(const struct wal *wal, uint64_t id)
{
    uint32_t low = 0, high = wal->info_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (wal->infos[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Not needed any more, and kept all the same. Asked for each record of the log, and there may be many. */
static uint64_t count_kept(const struct wal *wal)
{
    return count_below(wal, wal->truncate_below) - count_below(wal, wal_droppable_below(wal));
}

struct wal_counters wal_counters(const struct wal *wal)
{
    struct wal_counters counters = wal->counters;
    counters.segments = wal->info_count + wal->spare_count + (wal->next ? 1 : 0);
    counters.kept_segments = count_kept(wal);
    counters.gathered_bytes = wal->gathered_bytes;
    return counters;
}

uint64_t wal_droppable_below(const struct wal *wal)
{
    uint64_t below = wal->truncate_below;
    if (wal->archive && below > wal->archived_id + 1)
        below = wal->archived_id + 1;
    for (const struct list *link = wal->holds.next; link != &wal->holds; link = link->next) {
        uint64_t held = CONTAINER_OF(link, const struct wal_hold, link)->segment;
        below = held < below ? held : below;
    }
    return below;
}

int wal_settle(struct wal *wal, const bool *is_cancelled)
{
    uint64_t appended = wal->counters.entries;
    uint64_t until_ns = reactor_now_ns(wal->reactor) + SETTLE_PATIENCE_NS;
    while (wal->answered_entries < appended) {
        if (*is_cancelled)
            return TORC_E_CANCELLED;
        if (reactor_now_ns(wal->reactor) > until_ns)
            return TORC_E_TIMEOUT;
        task_sleep(wal->reactor, SETTLE_LOOK_NS);
    }
    return 0;
}

struct wal_end wal_end(const struct wal *wal)
{
    return wal->end;
}

void wal_note_end(struct wal *wal)
{
    uint32_t at = count_below(wal, wal->end.segment);
    if (at < wal->info_count && wal->infos[at].id == wal->end.segment)
        wal->infos[at].end_bytes = wal->end.offset;
}

struct wal_extent wal_extent_of(const struct wal *wal, const struct wal_segment_info *info)
{
    uint64_t bytes = info->id == wal->end.segment ? wal->end.offset : info->end_bytes;
    return (struct wal_extent){.id = info->id, .bytes = bytes};
}

int wal_extents(const struct wal *wal, uint64_t segment, struct wal_extent **out, uint32_t *count)
{
    *count = 0;
    *out = reactor_alloc(wal->reactor, (wal->info_count + 1) * sizeof(*out)[0]);
    if (!*out)
        return TORC_E_NO_MEMORY;
    for (uint32_t i = 0; i < wal->info_count; i++) {
        const struct wal_segment_info *info = &wal->infos[i];
        if (info->id >= segment && info->id <= wal->end.segment && info->first_sequence != 0)
            (*out)[(*count)++] = wal_extent_of(wal, info);
    }
    return 0;
}

/* The record at the end may end in zeros of its own. */
int wal_extent_copy(struct reactor *r, const struct wal_extent *x, struct copy_options *options,
                    struct copied *out)
{
    options->bytes_max = x->bytes;
    options->is_trimmed = true;
    options->zeros_kept = WAL_RECORD_BYTES_MAX;
    return copy_file(r, options, out);
}
