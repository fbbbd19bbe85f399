/* network.h - the inside of the simulated network, for network.c, socket.c and listener.c.
 *
 * A connection is two sides, each with a stream to the other. A side is what the kernel of its node keeps
 * of the connection: it is there before anybody has accepted it, while it travels from core to core, and
 * after the process that had it was killed. A `struct socket` is what a core has of it.
 *
 *   socket --- side --- stream: segments under way, then received ---> side --- socket
 *                 <---------------- stream -------------------------
 *
 * Segments arrive in order, each when its time has come. What the receiver has not taken stays within the
 * window of the stream: the sender waits for room. An end (orderly or a reset) travels as a segment behind
 * the bytes. */
#ifndef REACTOR_SIM_NETWORK_H
#define REACTOR_SIM_NETWORK_H

#include "reactor/sim/world.h"

enum {
    SEGMENT_BYTES_MAX = 64 * 1024,
    WINDOW_BYTES_MIN = 64 * 1024,
    WINDOW_BYTES_MAX = 1024 * 1024,
};

/* An address, ready to be compared. */
struct host {
    uint8_t family; /* 4 or 6; 0: none */
    uint8_t bytes[16];
};

enum segment_kind {
    SEGMENT_DATA,
    SEGMENT_END,   /* the orderly end */
    SEGMENT_RESET, /* of one side: the other one hears of it */
    SEGMENT_BREAK, /* NETWORK_RESET: both hear of it */
};

struct segment {
    struct list link; /* in stream.under_way or in stream.received */
    uint64_t due_ns;
    enum segment_kind kind;
    uint32_t taken; /* of its bytes, by the receiver */
    uint32_t bytes;
    uint8_t data[];
};

struct stream {
    struct list under_way; /* segments, in order of their times */
    struct list received;
    uint64_t last_due_ns; /* of the last segment: a later one is no earlier */
    size_t window_bytes;
    size_t used_bytes;    /* under way and received */
    uint64_t taken_bytes; /* by the receiver, since the connection was made */
    size_t received_bytes;
    struct sim_event arrival; /* of the first segment under way */
    struct sim_event opened;  /* the sender hears that there is room */
    bool is_blocked;          /* the sender waits for room */
    uint32_t cuts_left;       /* of the send that is made: how many segments will be short */
    uint32_t cut_bytes_max;
};

enum side_state {
    SIDE_NONE, /* nobody has answered yet */
    SIDE_OPEN,
    SIDE_CLOSED,  /* by its owner, or with the process; its node answers with a reset */
    SIDE_VANISHED /* with the power */
};

enum side_ending {
    ENDING_ORDERLY,
    ENDING_IF_READ, /* orderly, but with a reset when bytes were received that nobody took */
    ENDING_RESET,
};

struct side {
    struct connection *connection;
    struct list link; /* in listener.pending or network.detached */
    enum side_state state;
    struct sim_node *node;
    struct reactor *reactor; /* that has it, or had it before it was detached; null once it is not open */
    struct socket *socket;   /* null: to be accepted or attached, or not open */
    struct stream out;
    int end_reason;           /* what on_end will say after the bytes that were received; 0: goes on */
    int send_error;           /* of every send from now on; 0: none */
    bool has_answered;        /* with a reset, what came after the end */
    struct sim_event timeout; /* nothing of what was sent arrives */
};

struct connection {
    struct list link; /* in network.connections */
    struct sim_network *network;
    uint64_t number; /* in the world: 1, 2, ... */
    struct sim_dice dice;
    struct sim_dice segment_dice; /* NETWORK_SEGMENT of each send, */
    struct sim_dice piece_dice;   /* and of each piece that on_data gets */
    struct sim_dice delay_dice;
    struct sim_dice stall_dice;
    struct sim_dice reset_dice;
    struct sim_dice refuse_dice;
    uint64_t stalled_until_ns;
    struct sim_event handshake;
    struct host host; /* that the connect asks for */
    uint16_t port;
    uint8_t attempts;
    bool is_unheard;  /* nobody will ever answer */
    bool is_answered; /* with connect_result */
    int connect_result;
    struct side sides[2]; /* the one that connected, the one that listened */
};

struct sim_network {
    struct sim_world *world;
    uint64_t connections_made;
    struct list connections;
    struct list listeners; /* of all nodes, as they were opened */
    struct list detached;  /* sides between two cores */
    struct sim_dice port_dice;
    bool *is_dark; /* by number of the node: it lost its power and is not up again */
    uint32_t is_dark_count;
};

/* What a core adds to the trace, and the driver may see in a log of it. */
enum network_trace {
    TRACE_CONNECTED = 0x6e657400,
    TRACE_ACCEPTED,
    TRACE_RECEIVED,
    TRACE_SENDING,
    TRACE_SENT,
    TRACE_ENDED,
    TRACE_CLOSED,
    TRACE_DETACHED,
};

/* ---- network.c ---- */

/* The first side belongs to `r` and is open, the other is not there yet. Owns: side_close of both sides. */
struct connection *connection_new(struct reactor *r);
/* A moment that a segment takes. */
uint64_t connection_latency_ns(struct connection *c);

static inline struct side *side_peer(struct side *s)
{
    return &s->connection->sides[s == &s->connection->sides[0]];
}

static inline struct stream *side_in(struct side *s)
{
    return &side_peer(s)->out;
}

/* A send begins: draws how it is cut. */
void side_begin_send(struct side *s);
/* Returns: how many of the bytes fit into the window and are under way; socket_notice comes when there is
 * room for more. Or send_error. */
int64_t side_send(struct side *s, const uint8_t *data, size_t bytes);
/* Takes bytes that were received. Requires: there are so many. */
void side_receive(struct side *s, uint8_t *to, size_t bytes);
/* The owner lets go of it. May free the connection. */
void side_close(struct side *s, enum side_ending ending);
/* Its node lost power: the other side hears nothing. May free the connection. */
void side_vanish(struct side *s);

/* How a run of the node began or ended. */
void network_set_dark(struct sim_network *n, const struct sim_node *node, bool is_dark);
/* Whether its machine answers nothing at all. */
bool network_is_dark(const struct sim_network *n, const struct sim_node *node);

/* ---- socket.c ---- */

/* A socket for an open side that has none. */
struct socket *socket_new(struct reactor *r, struct side *side);
/* Something has changed on its side: bytes, room, an end, an answer to a connect. */
void socket_notice(struct socket *s);
/* Waits: for the answer to its connect. Returns: connect_result, or TORC_E_TIMEOUT. */
MUST_CHECK int socket_await_connect(struct socket *s, uint64_t timeout_ns);
/* Closes and frees a socket that no owner knows. */
void socket_drop(struct socket *s);

/* ---- listener.c ---- */

/* Returns: false when the text is no address. */
MUST_CHECK bool host_parse(const char *text, struct host *out);
/* Before the heap of a core goes. Returns: how many there were. */
uint64_t listeners_on_end(struct reactor *r, enum sim_end how);

#endif
