/* channel.c - messages between the cores of a simulated node: one queue for each ordered pair.
 *
 *   head ......... arriving ......... tail ......... pending
 *    |  published, each with its time   |  queued in this turn, not to be seen yet
 *
 * What a turn queued is published at its end and comes after a drawn delay; what is late holds up what was
 * sent after it, so order is kept. Slots are made as they are needed, up to the capacity. */
#include "reactor/sim/world.h"

#include <string.h>

enum {
    SLOTS_AT_FIRST = 16,
    DELAY_NS_MIN = 50,
    DELAY_NS_MAX = 1000,
    LONG_DELAY_EVERY = 8, /* the receiver slept deep */
    LONG_DELAY_NS_MAX = 20 * 1000,
    FAULT_DELAY_NS_MAX = 10 * 1000 * 1000,
};

struct slot {
    struct message message;
    uint64_t due_ns;
};

struct channel {
    uint32_t head; /* next to be received; counts up and wraps */
    uint32_t tail; /* next to be published */
    uint32_t pending_tail;
    uint32_t slot_count; /* a power of two, 0 at first */
    struct slot *slots;
    struct sim_dice dice;
    struct sim_dice full_dice;
    struct sim_dice delay_dice;
};

struct channels {
    unsigned core_count;
    uint32_t capacity;
    uint32_t *incoming;     /* by receiver: published and not received */
    uint32_t *outgoing;     /* by sender: channels with something pending */
    struct channel pairs[]; /* [from][to] */
};

static struct channel *channel_at(const struct sim_node *n, unsigned from, unsigned to)
{
    return &n->channels->pairs[(size_t)from * n->core_count + to];
}

void channels_open(struct sim_node *n)
{
    size_t cores = n->core_count;
    struct channels *c = sim_alloc(sizeof *c + cores * cores * sizeof c->pairs[0]);
    c->core_count = n->core_count;
    c->capacity = n->options.channel_capacity;
    c->incoming = sim_alloc(cores * sizeof *c->incoming);
    c->outgoing = sim_alloc(cores * sizeof *c->outgoing);
    n->channels = c;
    for (unsigned i = 0; i < cores * cores; i++) {
        uint64_t entity = (core_entity(n, i / n->core_count) << 8) | i % n->core_count;
        stream_dice_init(n->world, &c->pairs[i].dice, SIM_STREAM_CHANNEL, entity);
        fault_dice_init(n->world, &c->pairs[i].full_dice, SIM_CHANNEL_FULL, entity);
        fault_dice_init(n->world, &c->pairs[i].delay_dice, SIM_CHANNEL_DELAY, entity);
    }
}

void channels_close(struct sim_node *n)
{
    struct channels *c = n->channels;
    if (!c)
        return;
    for (unsigned i = 0; i < c->core_count * c->core_count; i++)
        sim_free(c->pairs[i].slots);
    sim_free(c->incoming);
    sim_free(c->outgoing);
    sim_free(c);
    n->channels = NULL;
}

/* ---- sending ---- */

static void grow(struct channel *c)
{
    uint32_t count = c->slot_count ? c->slot_count * 2 : SLOTS_AT_FIRST;
    struct slot *slots = sim_alloc(count * sizeof *slots);
    for (uint32_t i = c->head; i != c->pending_tail; i++)
        slots[i & (count - 1)] = c->slots[i & (c->slot_count - 1)];
    sim_free(c->slots);
    c->slots = slots;
    c->slot_count = count;
}

bool channel_send(struct reactor *r, unsigned core, const struct message *m)
{
    ASSERT(core < r->core.core_count && core != r->core.core);
    struct channels *all = r->node->channels;
    struct channel *c = channel_at(r->node, r->core.core, core);
    uint32_t used = c->pending_tail - c->head;
    if (used == all->capacity || fault_hits(r->world, SIM_CHANNEL_FULL, &c->full_dice))
        return false;
    if (used == c->slot_count)
        grow(c);
    if (c->pending_tail == c->tail)
        all->outgoing[r->core.core]++;
    struct slot *slot = &c->slots[c->pending_tail & (c->slot_count - 1)];
    slot->message = *m;
    slot->message.from = r->core.core;
    c->pending_tail++;
    r->core.counters.messages_sent++;
    return true;
}

static void publish_to(struct reactor *r, struct channel *c, unsigned core)
{
    struct reactor *receiver = r->node->cores[core];
    bool is_long = sim_dice_below(&c->dice, LONG_DELAY_EVERY) == 0;
    uint64_t delay = sim_dice_between(&c->dice, DELAY_NS_MIN, is_long ? LONG_DELAY_NS_MAX : DELAY_NS_MAX);
    if (fault_hits(r->world, SIM_CHANNEL_DELAY, &c->delay_dice))
        delay += sim_dice_below(&c->delay_dice, FAULT_DELAY_NS_MAX);
    uint64_t due = core_clock_ns(r) + delay;
    r->node->channels->incoming[core] += c->pending_tail - c->tail;
    for (; c->tail != c->pending_tail; c->tail++)
        c->slots[c->tail & (c->slot_count - 1)].due_ns = due;
    core_wake(receiver, due - r->world->now_ns);
    r->core.counters.wakeups_sent += receiver->is_asleep;
    receiver->is_asleep = false;
}

void channels_publish(struct reactor *r)
{
    struct channels *all = r->node->channels;
    for (unsigned i = 0; all->outgoing[r->core.core] > 0 && i < all->core_count; i++) {
        struct channel *c = channel_at(r->node, r->core.core, i);
        if (c->pending_tail == c->tail)
            continue;
        publish_to(r, c, i);
        all->outgoing[r->core.core]--;
    }
}

/* ---- receiving ---- */

static unsigned receive_from(struct reactor *r, struct channel *c)
{
    uint32_t end = c->head;
    while (end != c->tail && c->slots[end & (c->slot_count - 1)].due_ns <= r->world->now_ns)
        end++;
    unsigned count = end - c->head;
    for (uint32_t i = c->head; i != end; i++)
        r->core.message_handler(r->core.message_context, &c->slots[i & (c->slot_count - 1)].message);
    c->head = end; /* only now is there room: as with a head that is published once a turn */
    return count;
}

unsigned channels_receive(struct reactor *r)
{
    struct channels *all = r->node->channels;
    unsigned count = 0;
    if (all->incoming[r->core.core] == 0)
        return 0;
    for (unsigned i = 0; r->core.message_handler && i < all->core_count; i++)
        count += receive_from(r, channel_at(r->node, i, r->core.core));
    all->incoming[r->core.core] -= count;
    return count;
}

uint64_t channels_next_due_ns(const struct reactor *r)
{
    const struct channels *all = r->node->channels;
    uint64_t next = UINT64_MAX;
    if (all->incoming[r->core.core] == 0 || !r->core.message_handler)
        return next;
    for (unsigned i = 0; i < all->core_count; i++) {
        const struct channel *c = channel_at(r->node, i, r->core.core);
        if (c->head == c->tail)
            continue;
        uint64_t due = c->slots[c->head & (c->slot_count - 1)].due_ns;
        next = due < next ? due : next;
    }
    return next;
}
