/* wal_delivery.c - what became of log records goes back to the writers, in order and a little at a time.
 *
 *   in flight --durable, or failed--> delivering --all its tickets are back--> free
 *
 * A full record holds thousands of entries, which take milliseconds to apply. So it is given back in
 * portions, one a turn: other work comes between, and whatever was durable or failed meanwhile queues behind
 * it. */
#include "engine/wal_internal.h"
#include "reactor/base/mark.h"

enum {
    PORTION_BYTES_MAX = 128 << 10,
    BYTES_PER_ITEM = 1024, /* so many take as long as one item more */
};

static struct wal_buffer *first_of(struct wal *wal)
{
    return CONTAINER_OF(wal->delivering.next, struct wal_buffer, link);
}

/* How many items from the first that is still to be given back make a portion. At least one, if there is. */
static uint32_t portion_of(const struct wal *wal, const struct wal_buffer *b)
{
    uint32_t left = b->item_count - b->delivered_count;
    uint32_t count = left < wal->options.deliver_items_max ? left : wal->options.deliver_items_max;
    const struct wal_item *items = b->items + b->delivered_count;
    while (count > 1 && items[count - 1].offset - items[0].offset > PORTION_BYTES_MAX)
        count /= 2;
    return count;
}

static uint32_t end_of(const struct wal_buffer *b, uint32_t item)
{
    return item + 1 < b->item_count ? b->items[item + 1].offset : b->payload_bytes;
}

/* Returns: how long it took, in items. */
static uint32_t deliver_portion(struct wal *wal, struct wal_buffer *b)
{
    uint32_t count = portion_of(wal, b), cost = 1;
    if (count)
        cost = count + (end_of(b, b->delivered_count + count - 1) - b->items[b->delivered_count].offset) /
                           BYTES_PER_ITEM;
    struct wal_batch batch = {
        .result = b->result,
        .sequence = b->header.sequence,
        .payload = slice_of(wal_buffer_payload(b), b->payload_bytes),
        .items = b->items + b->delivered_count,
        .item_count = count,
        .is_last = b->delivered_count + count == b->item_count,
        .submitted_ns = b->submitted_ns,
        .durable_ns = b->durable_ns,
    };
    b->delivered_count += count;
    wal->answered_entries += count;
    wal->options.on_durable(wal->options.owner, &batch);
    if (batch.is_last) {
        list_remove(&b->link);
        wal_buffer_release(wal, b);
    }
    return cost;
}

static void go_on(struct timer *t);

/* Until that has taken as long as so many items, or nothing is left. */
static void deliver_up_to(struct wal *wal, uint64_t cost_max)
{
    uint64_t cost = 0;
    wal->is_delivering = true;
    while (!list_is_empty(&wal->delivering) && cost < cost_max)
        cost += deliver_portion(wal, first_of(wal));
    wal->is_delivering = false;
    if (list_is_empty(&wal->delivering))
        event_set(wal->reactor, &wal->progress, 0);
}

/* One portion a turn, but where records are short: those are given back together. */
static void deliver_some(struct wal *wal)
{
    deliver_up_to(wal, wal->options.deliver_items_max);
    if (list_is_empty(&wal->delivering))
        return;
    MARK(log_record_is_applied_in_portions);
    if (timer_start(wal->reactor, &wal->deliver, 0, go_on) != 0)
        deliver_up_to(wal, UINT64_MAX); /* no memory for a timer: a long turn is the lesser evil */
}

static void go_on(struct timer *t)
{
    deliver_some(CONTAINER_OF(t, struct wal, deliver));
}

void wal_deliver(struct wal *wal, struct wal_buffer *b, int result)
{
    b->result = result;
    b->delivered_count = 0;
    b->durable_ns = reactor_clock_ns(wal->reactor);
    list_push_back(&wal->delivering, &b->link);
    if (!wal->is_delivering && wal->deliver.heap_index == 0)
        deliver_some(wal);
}
