/* network_chaos_test.c - many conversations between nodes that are killed and started again, with every fault
 * of the network: no byte is wrong, every end is told once, and the same seed does the same again. */
#include "test/sim/peer.h"

#include <stdlib.h>
#include <string.h>

enum {
    PORT = 7070,
    CORES = 2,
    SEEDS = 20,
    KILLS = 12,
    TALKERS = 4,
    SENDS_MAX = 12,
    SEND_BYTES_MAX = 200 * 1000
};
enum { NUMBER_CLIENT = 1, NUMBER_SERVER = 2 };

struct chaos {
    uint64_t bytes; /* that came, in all */
    unsigned talks; /* begun */
    unsigned ends;  /* that on_end told */
    unsigned mistakes;
    unsigned attached;
};

/* One side of a conversation; on the heap of its core, so it goes with the node. */
struct talker {
    struct peer peer;
    struct town *town;
    struct event detached;
    int64_t handle;
};

/* What goes to another core with a connection. */
struct parcel {
    int64_t handle;
    uint64_t got_bytes;
};

static uint64_t below(struct reactor *r, uint64_t bound)
{
    return reactor_random(r) % bound;
}

static struct talker *talker_new(struct reactor *r, struct town *t)
{
    struct talker *k = reactor_alloc_zeroed(r, sizeof *k);
    ASSERT(k);
    k->town = t;
    k->peer.reactor = r;
    return k;
}

/* Waits. */
static void end_talk(struct talker *k)
{
    struct peer *p = &k->peer;
    struct chaos *c = k->town->context;
    peer_close(p);
    int rc = event_wait(p->reactor, &p->closed, SECOND_NS);
    c->mistakes += p->mistakes + (rc != 0) + (p->end_calls > 1) + (p->closed_calls != 1);
    c->bytes += p->got_bytes;
    c->ends += p->end_calls;
    reactor_free(p->reactor, k);
}

/* Waits: sends, sleeps, pauses, and ends when it fails or has said enough. */
static void talk(struct reactor *r, void *argument)
{
    struct talker *k = argument;
    struct peer *p = &k->peer;
    ((struct chaos *)k->town->context)->talks++;
    for (uint64_t left = 1 + below(r, SENDS_MAX); left > 0; left--) {
        size_t bytes = 1 + (size_t)below(r, below(r, 32) ? 1000 : SEND_BYTES_MAX);
        if (below(r, 8) == 0)
            socket_pause(p->socket);
        if (peer_send_and_wait(p, bytes, 1 + below(r, 20 * SECOND_NS)))
            break;
        if (below(r, 2))
            task_sleep(r, below(r, 5 * MILLISECOND_NS));
        socket_resume(p->socket);
    }
    if (below(r, 2) && p->end_calls == 0)
        (void)!peer_wait_for_end(p, below(r, SECOND_NS));
    end_talk(k);
}

static void begin_talk(struct talker *k, struct socket *s, bool is_client)
{
    unsigned other = is_client ? NUMBER_SERVER : NUMBER_CLIENT;
    struct reactor *r = k->peer.reactor;
    peer_start(&k->peer, r, s, is_client ? NUMBER_CLIENT : NUMBER_SERVER, other);
}

static void spawn_talk(struct talker *k)
{
    if (task_spawn(k->peer.reactor, talk, k)) {
        socket_close(k->peer.socket, NULL);
        reactor_free(k->peer.reactor, k);
    }
}

/* ---- handing over ---- */

static void on_detached(void *owner, int64_t handle_or_error)
{
    struct talker *k = CONTAINER_OF(owner, struct talker, peer);
    struct reactor *r = k->peer.reactor;
    struct parcel *parcel = reactor_alloc(r, sizeof *parcel);
    *parcel = (struct parcel){handle_or_error, k->peer.got_bytes};
    struct message m = {.payload = parcel};
    ((struct chaos *)k->town->context)->mistakes += k->peer.mistakes;
    reactor_free(r, k);
    if (handle_or_error < 0) {
        reactor_free(r, parcel);
    } else if (!channel_send(r, 1 - reactor_core(r), &m)) {
        socket_discard_handle(r, handle_or_error);
        reactor_free(r, parcel);
    }
}

struct core {
    struct town *town;
    struct reactor *reactor;
};

static void on_message(void *context, const struct message *m)
{
    struct core *core = context;
    struct parcel *parcel = m->payload;
    struct talker *k = talker_new(core->reactor, core->town);
    struct socket *s;
    int rc = socket_attach(core->reactor, parcel->handle, &s);
    ASSERT(rc == 0);
    ((struct chaos *)core->town->context)->attached++;
    begin_talk(k, s, false);
    k->peer.got_bytes = parcel->got_bytes;
    reactor_free(core->reactor, parcel);
    spawn_talk(k);
}

static void on_accept(void *context, struct socket *s)
{
    struct core *core = context;
    struct talker *k = talker_new(core->reactor, core->town);
    begin_talk(k, s, false);
    if (below(core->reactor, 4) == 0)
        socket_detach(s, on_detached);
    else
        spawn_talk(k);
}

/* ---- nodes ---- */

static void connect_again_and_again(struct reactor *r, void *argument)
{
    struct core *core = argument;
    for (;;) {
        struct address a = town_address((unsigned)below(r, TOWN_NODES), PORT);
        struct socket *s;
        if (socket_connect(r, &a, below(r, 3 * SECOND_NS), &s)) {
            task_sleep(r, below(r, 100 * MILLISECOND_NS));
            continue;
        }
        struct talker *k = talker_new(r, core->town);
        begin_talk(k, s, true);
        talk(r, k);
    }
}

static void live(struct reactor *r, struct town *t)
{
    struct address a = {.host = "::", .port = PORT};
    struct listener *l;
    struct core *core = reactor_alloc(r, sizeof *core);
    *core = (struct core){t, r};
    reactor_set_message_handler(r, on_message, core);
    task_sleep(r, reactor_core(r) * MILLISECOND_NS);
    CU_ASSERT_EQUAL(socket_listen(r, &a, 4, on_accept, core, &l), 0);
    for (unsigned i = 0; i < TALKERS; i++)
        CU_ASSERT_EQUAL(task_spawn(r, connect_again_and_again, core), 0);
}

/* Returns: the trace. */
static uint64_t run_chaos(uint64_t seed, uint8_t heap_fill, struct chaos *c, uint64_t *hits)
{
    struct sim_world_options options = {.seed = seed, .heap_fill = heap_fill};
    struct sim_dice dice;
    struct town t;
    sim_dice_init(&dice, seed, SIM_STREAMS, 1);
    for (unsigned f = SIM_NETWORK_SEGMENT; f <= SIM_NETWORK_REFUSE; f++)
        options.faults.per_million[f] = sim_dice_below(&dice, 2) ? (uint32_t)sim_dice_below(&dice, 20000) : 0;
    town_open(&t, &options, c);
    for (unsigned i = 0; i < TOWN_NODES; i++)
        town_start(&t, i, CORES, live);
    for (unsigned i = 0; i < KILLS; i++) {
        unsigned node = (unsigned)sim_dice_below(&dice, TOWN_NODES);
        uint64_t now_ns = sim_now_ns(t.world);
        sim_run(t.world, now_ns + sim_dice_below(&dice, 300 * MILLISECOND_NS), NULL, NULL);
        sim_node_kill(t.nodes[node], sim_dice_below(&dice, 2) ? SIM_END_KILL : SIM_END_POWER);
        now_ns = sim_now_ns(t.world);
        sim_run(t.world, now_ns + sim_dice_below(&dice, 100 * MILLISECOND_NS), NULL, NULL);
        town_start(&t, node, CORES, live);
    }
    uint64_t trace = sim_trace_hash(t.world);
    for (unsigned f = 0; f < SIM_FAULT_COUNT; f++)
        hits[f] += sim_fault_hits(t.world, (enum sim_fault)f);
    town_close(&t);
    return trace;
}

TEST(no_byte_is_wrong_and_every_end_is_told_once_under_all_faults)
{
    uint64_t hits[SIM_FAULT_COUNT] = {0};
    struct chaos all = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct chaos c = {0};
        (void)run_chaos(seed, 0, &c, hits);
        CU_ASSERT_EQUAL(c.mistakes, 0);
        all.bytes += c.bytes;
        all.talks += c.talks;
        all.ends += c.ends;
        all.attached += c.attached;
    }
    CU_ASSERT(all.bytes > 1000 * 1000);
    CU_ASSERT(all.talks > 100 * SEEDS);
    CU_ASSERT(all.ends > SEEDS);
    CU_ASSERT(all.attached > SEEDS);
    for (unsigned f = SIM_NETWORK_SEGMENT; f <= SIM_NETWORK_REFUSE; f++)
        CU_ASSERT(hits[f] > 0);
}

TEST(a_network_in_chaos_does_the_same_again_from_the_same_seed)
{
    uint64_t hits[SIM_FAULT_COUNT] = {0}, last = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct chaos one = {0}, other = {0};
        uint64_t trace = run_chaos(seed, 0, &one, hits);
        void *elsewhere = malloc(100 * 1000);
        CU_ASSERT_EQUAL(run_chaos(seed, 0x5a, &other, hits), trace);
        CU_ASSERT(memcmp(&one, &other, sizeof one) == 0);
        CU_ASSERT_NOT_EQUAL(trace, last);
        free(elsewhere);
        last = trace;
    }
}
