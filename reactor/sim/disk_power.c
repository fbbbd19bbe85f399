/* disk_power.c - a loss of power: each thing that is pending is kept, dropped or torn, chosen or drawn. */
#include "reactor/sim/disk.h"

/* Makes sectors `first` to `last` - 1 of a write durable. */
static void make_sectors(struct disk_pending *p, uint64_t first, uint64_t last)
{
    uint64_t base = p->begin / SIM_SECTOR_BYTES;
    uint64_t begin = (base + first) * SIM_SECTOR_BYTES, end = (base + last) * SIM_SECTOR_BYTES;
    begin = begin > p->begin ? begin : p->begin;
    end = end < p->end ? end : p->end;
    (void)disk_content_write(&p->inode->durable, p->write, begin, end);
}

static uint64_t sectors_of(const struct disk_pending *p)
{
    return (p->end - 1) / SIM_SECTOR_BYTES - p->begin / SIM_SECTOR_BYTES + 1;
}

static void begin_loss(struct sim_disk *d)
{
    ASSERT(list_is_empty(&d->in_flight));
    d->is_reloading = true;
}

static void end_loss(struct sim_disk *d)
{
    while (!list_is_empty(&d->pending))
        disk_pending_drop(d, disk_pending_of(d->pending.next));
    d->stuck_until_ns = 0;
    disk_reload(d);
    d->is_reloading = false;
    disk_changed(d);
}

void sim_disk_lose_power(struct sim_disk *d, const struct sim_choice *choices)
{
    begin_loss(d);
    for (struct list *link = d->pending.next; link != &d->pending; link = link->next) {
        struct disk_pending *p = disk_pending_of(link);
        const struct sim_choice *choice = choices++;
        ASSERT(choice->what != SIM_TEAR || p->kind == SIM_PENDING_WRITE);
        if (choice->what == SIM_KEEP)
            disk_pending_apply(d, p);
        if (choice->what == SIM_TEAR)
            make_sectors(p, choice->sector_begin, choice->sector_end);
    }
    end_loss(d);
}

static void tear(struct disk_pending *p, struct sim_dice *dice)
{
    uint64_t sectors = sectors_of(p);
    if (sim_dice_below(dice, 2) == 0) {
        uint64_t first = sim_dice_below(dice, sectors);
        make_sectors(p, first, sim_dice_between(dice, first + 1, sectors));
        return;
    }
    uint64_t bits = 0;
    for (uint64_t i = 0; i < sectors; i++) {
        bits = i % 64 ? bits >> 1 : sim_dice_next(dice);
        if (bits & 1)
            make_sectors(p, i, i + 1);
    }
}

void disk_on_power_loss(struct sim_disk *d, struct sim_world *w)
{
    struct sim_dice *torn = &disk_dice(d, w, DISK_DRAW_REST)->fault[SIM_TORN_WRITE];
    begin_loss(d);
    for (struct list *link = d->pending.next; link != &d->pending; link = link->next) {
        struct disk_pending *p = disk_pending_of(link);
        enum sim_fault fault = p->kind == SIM_PENDING_NAME ? SIM_DROPPED_NAME : SIM_DROPPED_WRITE;
        bool is_dropped = disk_draws_fault(d, w, DISK_DRAW_REST, fault);
        bool can_tear = p->kind == SIM_PENDING_WRITE && sectors_of(p) > 1;
        bool is_torn = can_tear && sim_dice_hits(torn, w->options.faults.per_million[SIM_TORN_WRITE]);
        if (is_torn && !is_dropped) {
            sim_fault_count(w, SIM_TORN_WRITE);
            tear(p, torn);
        } else if (!is_dropped)
            disk_pending_apply(d, p);
    }
    end_loss(d);
}
