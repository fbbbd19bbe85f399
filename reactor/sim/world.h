/* world.h - the inside of a simulated world, for the files of reactor/sim.
 *
 *   world.c    events, draws, trace, faults      disk*.c, file.c, directory.c   files and what a crash leaves
 *   node.c     start, kill and end of a node     network.c, socket.c, listener.c  byte streams
 *   core.c     the turns of a core, its clocks   channel.c                      messages between cores
 *   stack.c    stacks of tasks, kept for the next node
 *
 * One turn of a core, as in reactor.h: completions that have come -> messages -> due timers -> ready tasks ->
 * turn hook -> publish. Virtual time stands still while a turn runs, but each look at the clock costs a drawn
 * moment, so that long slices yield; the next turn is no earlier than that. The world's own memory is
 * malloc's: it outlives the crash of a node. What a core's heap holds (tasks, buffers of operations) must not
 * be touched after the kill: whatever is under way for a node is forgotten by the *_on_end calls, before its
 * heaps go. */
#ifndef REACTOR_SIM_WORLD_H
#define REACTOR_SIM_WORLD_H

#include "reactor/core.h"
#include "reactor/sim/sim.h"

/* ---- events (world.c) ---- */

/* Owned by the caller, embedded in what it is about. Runs once, between turns, when its time has come. */
struct sim_event {
    void (*run)(struct sim_event *e);
    uint64_t due_ns;
    uint64_t tie; /* drawn: the order among those of one time */
    uint64_t sequence;
    uint32_t heap_index; /* its place plus 1; 0: not scheduled */
};
/* A scheduled one is moved. */
void event_schedule(struct sim_world *w, struct sim_event *e, uint64_t delay_ns,
                    void (*run)(struct sim_event *e));
void event_cancel(struct sim_world *w, struct sim_event *e); /* does nothing when not scheduled */

/* Whether a fault happens at this opportunity: draws from `d`, counts it, traces it. */
bool fault_hits(struct sim_world *w, enum sim_fault fault, struct sim_dice *d);

/* Numbers of streams (after SIM_STREAMS) that the backend itself draws from. */
enum sim_stream {
    SIM_STREAM_BACKEND = 1 << 20,
    SIM_STREAM_TIE,     /* of the world: the order of what is due at one time */
    SIM_STREAM_SEED,    /* of a core: reactor_random */
    SIM_STREAM_CLOCK,   /* of a core: what a look at the clock costs */
    SIM_STREAM_WAKE,    /* of a core: how long it takes to wake up */
    SIM_STREAM_CHANNEL, /* of a pair of cores: how long messages take */
    SIM_STREAM_DISK,
    SIM_STREAM_NETWORK,
};
/* Of one run of a core. */
uint64_t core_entity(const struct sim_node *n, unsigned core);
/* Dice of a stream that is no fault. */
void stream_dice_init(const struct sim_world *w, struct sim_dice *d, enum sim_stream stream, uint64_t entity);

/* Dice of one fault of one entity; entities are numbered by kind and number so that no two share a stream. */
void fault_dice_init(const struct sim_world *w, struct sim_dice *d, enum sim_fault fault, uint64_t entity);

/* Ends the process with a message when memory is out. */
void *sim_alloc(size_t bytes); /* zeroed */
void *sim_realloc(void *memory, size_t bytes);
void sim_free(void *memory);

/* ---- the parts ---- */

struct sim_disk;
struct sim_network;
struct channels; /* channel.c's, of a node */

struct sim_world {
    struct sim_world_options options;
    uint64_t now_ns;
    struct sim_event **events; /* a binary heap */
    uint32_t event_count;
    uint32_t event_capacity;
    uint64_t event_sequence;
    uint64_t events_run;
    uint64_t trace;
    struct sim_dice tie_dice;
    uint64_t fault_hits[SIM_FAULT_COUNT];
    struct sim_node **nodes;
    uint32_t node_count;
    struct sim_network *network;
    struct list calls;       /* of sim_call_at, not made yet */
    struct reactor *running; /* whose turn it is; null between turns */
};

struct sim_node {
    struct sim_world *world;
    uint32_t number; /* in the world: 0, 1, ... */
    uint32_t run;    /* how often it was started */
    char host[64];
    struct sim_disk *disk;
    struct reactor_options options; /* defaults filled in */
    reactor_main_fn *main;
    void *context;
    struct reactor **cores; /* null when down */
    unsigned core_count;
    unsigned cores_ended;
    int first_error;
    int result;
    struct sim_leaks leaks;
    struct channels *channels;
    /* The wall clock: wall = world's time + offset, drifting. */
    int64_t wall_offset_ns;
    int64_t wall_drift_per_million;
    uint64_t wall_frozen_until_ns;
    uint64_t wall_frozen_at_ns;
    uint64_t wall_drifts_since_ns;
    struct sim_dice wall_dice[3]; /* JUMP, DRIFT, FREEZE */
    unsigned stop_requests;       /* that core 0 has not heard of */
    bool must_stop;               /* a main has failed: no core takes another turn */
};

/* Something that a turn of the core is to hear of: an operation that is over, a segment that came. */
struct sim_completion {
    struct list link; /* list_init'ed when it is not posted */
    void (*done)(struct sim_completion *c);
};

struct reactor {
    struct reactor_core core; /* first: the shared code sees only this */
    struct sim_world *world;
    struct sim_node *node;
    struct sim_event turn;  /* the next one */
    uint64_t elapsed_ns;    /* of the turn that runs: what its looks at the clock have cost */
    uint64_t busy_until_ns; /* the last turn took until then */
    struct list completions;
    bool is_asleep; /* nothing to do, and nobody has woken it */
    bool has_ended;
    uint64_t wall_ms; /* in turn wall_turn */
    uint64_t wall_turn;
    uint64_t heap_bytes_at_start;
    struct sim_dice clock_dice;
    struct sim_dice turn_dice; /* TURN_DELAY */
    struct sim_dice wake_dice; /* how long it takes to wake up */
    struct list files;         /* file.c: every struct file that is open */
    struct list locks;         /* directory.c */
    struct list listings;      /* directory.c */
    struct list sockets;       /* socket.c: every struct socket */
    struct list listeners;     /* listener.c */
};

/* ---- core.c, node.c, channel.c ---- */

/* The core hears of it in its next turn, which comes soon. From events and from turns, of its own or another
 * core. */
void core_post(struct reactor *r, struct sim_completion *c);
void core_unpost(struct sim_completion *c); /* does nothing when it is not posted */
/* Makes sure that a turn comes no later than in `delay_ns`. */
void core_wake(struct reactor *r, uint64_t delay_ns);
/* What a core adds to the trace. */
void core_trace(struct reactor *r, uint64_t what, uint64_t value);
/* World time plus what the running turn has used up: the monotonic clock of every node. */
uint64_t core_clock_ns(struct reactor *r);

/* The core exists and takes its first turn soon; it runs the node's main. */
void core_start(struct reactor *r);
/* It takes no more turns, lets go of files and sockets and adds what it held to the leaks of its node. */
void core_end(struct reactor *r, enum sim_end how);
/* Numbers the node. */
void world_add_node(struct sim_world *w, struct sim_node *n);
void node_free(struct sim_node *n); /* killed where it stands, and its disk */
/* Ends the run of the node once all its cores have ended. Between turns. */
void node_end_if_over(struct sim_node *n);
/* Milliseconds since 1970 as the node sees them now. */
uint64_t node_wall_ms(const struct sim_node *n);
void node_draw_wall_faults(struct sim_node *n); /* once a turn of each core */

void channels_open(struct sim_node *n);
void channels_close(struct sim_node *n);                /* killed or ended */
unsigned channels_receive(struct reactor *r);           /* hands over what has come; returns how many */
void channels_publish(struct reactor *r);               /* at the end of a turn */
uint64_t channels_next_due_ns(const struct reactor *r); /* UINT64_MAX: nothing is under way to it */

/* ---- disk.c, file.c, directory.c ---- */

void files_init(struct reactor *r);
/* Before the heap of a core goes: forgets its operations (writes in flight become cached, in whole, in part
 * or not at all, as drawn: the device may still do them) and its open files.
 * Returns: files that were open. */
uint64_t files_on_end(struct reactor *r);
/* After all cores of the node are gone, at SIM_END_POWER: what is unsynced is kept, dropped or torn, as
 * drawn. */
void disk_on_power_loss(struct sim_disk *d, struct sim_world *w);

/* ---- network.c, socket.c, listener.c ---- */

struct sim_network *network_new(struct sim_world *w);
void network_free(struct sim_network *n);
void sockets_init(struct reactor *r);
/* Before the heap of a core goes: its sockets and listeners. At KILL (and when a node ends by itself) peers
 * see a reset, or an orderly end if nothing was unread; at POWER they see nothing until their own timeout. */
void sockets_on_end(struct reactor *r, enum sim_end how, uint64_t *sockets, uint64_t *listeners);

#endif
