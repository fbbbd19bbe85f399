/* peer.h - for tests of the network: a world with a few nodes, and ends of connections that check what they
 * get.
 *
 * What a peer sends are the bytes of a pattern that its number seeds, from the first one on; what it gets is
 * compared with the pattern of the other's number. So any loss, change of order or mixing shows. */
#ifndef TEST_SIM_PEER_H
#define TEST_SIM_PEER_H

#include "reactor/sim/sim.h"
#include "test/test.h"

#define MICROSECOND_NS 1000ull
#define MILLISECOND_NS 1000000ull
#define SECOND_NS 1000000000ull

struct peer {
    struct reactor *reactor;
    struct socket *socket;
    unsigned number;    /* of its pattern */
    unsigned other;     /* number of the one it hears */
    uint64_t out_bytes; /* given to socket_send so far */
    uint8_t *out;       /* of the send under way */
    uint64_t got_bytes;
    uint64_t wanted_bytes; /* data_came is set once so much is there */
    size_t largest_piece;
    unsigned data_calls;
    unsigned sent_calls;
    unsigned end_calls;
    unsigned closed_calls;
    unsigned mistakes; /* wrong bytes, calls from within a task, calls after the close */
    int sent_result;
    int end_reason;
    struct event data_came;
    struct event sent;
    struct event ended;
    struct event closed;
};

/* Zeroes it. Takes a socket and starts it. */
void peer_start(struct peer *p, struct reactor *r, struct socket *s, unsigned number, unsigned other);
/* The next bytes of its pattern, in parts. Requires: no send under way. */
void peer_send(struct peer *p, size_t bytes);
/* Waits. Returns: what on_sent said, or TORC_E_TIMEOUT. */
MUST_CHECK int peer_send_and_wait(struct peer *p, size_t bytes, uint64_t timeout_ns);
/* Waits: until it has got so many bytes in all. */
MUST_CHECK int peer_wait_for(struct peer *p, uint64_t bytes, uint64_t timeout_ns);
MUST_CHECK int peer_wait_for_end(struct peer *p, uint64_t timeout_ns); /* Waits. Returns: the reason */
void peer_close(struct peer *p);
void peer_close_and_wait(struct peer *p); /* Waits */

/* ---- a listener that keeps what it gets ---- */

enum { DOOR_SOCKETS_MAX = 256 };

struct door {
    struct reactor *reactor;
    struct listener *listener;
    struct address address;
    struct socket *sockets[DOOR_SOCKETS_MAX];
    unsigned count;
    unsigned mistakes;
    struct event came; /* set by each */
};

/* Returns: what socket_listen said. */
MUST_CHECK int door_open(struct door *d, struct reactor *r, const char *host, uint16_t port);
/* Waits: for the next connection. */
struct socket *door_wait(struct door *d);

/* ---- a world ---- */

enum { TOWN_NODES = 3 };

/* Node i has the address 10.0.0.<i + 1>. */
struct town;
typedef void town_body(struct reactor *r, struct town *t);
struct town {
    struct sim_world *world;
    struct sim_node *nodes[TOWN_NODES];
    bool is_done; /* a body sets it: town_run returns */
    void *context;
    struct town_start {
        struct town *town;
        town_body *body;
    } starts[TOWN_NODES];
};

void town_open(struct town *t, const struct sim_world_options *options, void *context);
void town_close(struct town *t);
/* Runs `body` as a task on each core of a node, which stays up when it returns. */
void town_start(struct town *t, unsigned node, unsigned cores, town_body *body);
/* Until somebody is done. Returns: whether that was within `seconds` of virtual time. */
bool town_run(struct town *t, unsigned seconds);
struct address town_address(unsigned node, uint16_t port);

#endif
