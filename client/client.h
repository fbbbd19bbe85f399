/* client.h - the inside of libtorc: a client, its connections and what they share. Private to client/.
 *
 * One connection leads to each core of the server (or a few, by option): connections[core *
 * connections_per_core + n]. The first is to core 0 and learns from the hello how many cores there are; the
 * others are made then.
 *
 *            retry is due            connected, hello sent          hello answered
 *   +------+ -----------> +------------+ ----------------> +-------+ --------------> +-------+
 *   | DOWN |              | CONNECTING |                   | HELLO |                 | READY |
 *   +------+ <----------- +------------+ <---------------- +-------+                 +-------+
 *       ^      refused, or connect_timeout_ms passed                                     | lost, or does not
 *       +--------------------------------------------------------------------------------+ speak as it should
 *
 * In READY the output is sent whenever the client is polled. In the other states it only gathers: its
 * frames have never been sent, so they survive a failed attempt, and a request that waits for longer than
 * connect_timeout_ms is certain not to have happened. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "client/address.h"
#include "client/output.h"
#include "client/request.h"
#include "client/torc.h"
#include "wire/wire.h"

enum {
    CLIENT_CORES_MAX = 1024,
    CLIENT_CONNECTIONS_PER_CORE_MAX = 64,
    CLIENT_PIPELINE_MAX = 1 << 20,
    CLIENT_TEXT_BYTES = 400, /* of torc_problem and torc_message */
};

enum connection_state {
    CONNECTION_DOWN,
    CONNECTION_CONNECTING,
    CONNECTION_HELLO,
    CONNECTION_READY,
};

struct input {
    uint8_t *data;
    size_t capacity;
    size_t end; /* bytes 0 to end are the beginning of what was not yet parsed */
};

struct connection {
    struct torc_client *client;
    uint32_t index;
    uint32_t serial; /* of the attempt: events of an older socket are told apart */
    int fd;          /* -1 in CONNECTION_DOWN */
    uint8_t state;
    bool is_dirty;       /* in the client's list of those with something to send */
    bool waits_for_room; /* the socket took only a part: EPOLLOUT is asked for */
    int send_code;       /* not 0: it sends no more, and ends when all that has come is received */
    uint32_t failures;   /* attempts in a row that failed */
    uint32_t address;    /* the one of the client's addresses to try next */
    uint64_t due_ms;     /* DOWN: the next attempt; CONNECTING, HELLO: the end of this one */
    struct connection *next_dirty;
    struct output output;
    struct input input;
};

struct torc_client {
    struct torc_options settings; /* nothing is 0 any more; the address is not used */
    struct requests requests;
    struct connection **connections;
    struct connection *dirty;
    uint32_t connection_count;
    uint32_t unready_count;
    uint32_t core_count; /* 0: not yet known */
    uint8_t vnode_bits;
    uint32_t answering; /* index of the connection whose answers are being handed out; UINT32_MAX: none */
    uint32_t turn;      /* of the connections of a core, the one used last */
    bool is_in_callback;
    bool is_closing;
    bool has_lost; /* a connection since the last look: frames that nobody waits for are to be dropped */
    int epoll_fd;
    int refusal; /* the code with which the server refused a hello, 0: it did not */
    uint64_t now_ms;
    uint64_t random_state;
    uint64_t empty_key_hash;
    struct torc_counters counters;
    struct addresses addresses;
    char problem[CLIENT_TEXT_BYTES];
    char message[CLIENT_TEXT_BYTES];
};

/* ---- client.c ---- */

/* Returns: 0, TORC_KEY_TOO_LONG or TORC_MALFORMED. */
MUST_CHECK int client_check_page(const struct torc_page *page);

/* Ends the request, then calls back. */
void client_complete(struct torc_client *client, struct request *r, const struct torc_result *result);
/* The same for an outcome made here: the message is the sentence of the code. */
void client_fail(struct torc_client *client, struct request *r, int code);

/* Requests in flight with this `user` will not be called back: it is about to go. */
void client_abandon(struct torc_client *client, const void *user);

/* Some output is still to be sent, maybe of requests whose time is over. */
bool client_has_unsent(const struct torc_client *client);

/* Keeps for torc_problem: what, to which address, and the sentence of the code. */
void client_set_problem(struct torc_client *client, const char *what, int code);

/* A pseudo-random number below `bound`, which is at least 1. */
uint64_t client_random(struct torc_client *client, uint64_t bound);

/* ---- blocking.c ---- */

/* Keeps for torc_message. */
void client_set_message(struct torc_client *client, torc_bytes message);
/* `rc`: what starting a request said. Where it found no room: polls, and it can be tried again, for
 * request_timeout_ms at most, since callbacks may take all the room there comes to be. *since_ms is 0 at
 * first. */
MUST_CHECK bool client_makes_room(struct torc_client *client, int rc, uint64_t *since_ms);

/* ---- topology.c ---- */

/* The connection on which a request for this key goes: one that leads to the core of the key. Of several it
 * is the one whose answers are being handed out, so that what the callbacks of one receive start goes out in
 * one send; otherwise they take turns. */
static inline struct connection *client_route(struct torc_client *client, struct slice key);

/* What a hello on connection 0 said. Makes and ends connections accordingly. Returns: 0 or TORC_NO_MEMORY. */
MUST_CHECK int client_set_topology(struct torc_client *client, uint16_t core_count, uint8_t vnode_bits);
/* Puts every unsent frame of this connection on the connection where it belongs now, and drops those whose
 * requests are over. Requires: no frame of it is sent in part. */
void client_refile(struct torc_client *client, struct connection *connection);
/* Room for the first connection; called once. */
MUST_CHECK int client_init_topology(struct torc_client *client);
void client_deinit_topology(struct torc_client *client);

/* ---- connection.c ---- */

/* Returns: a connection in CONNECTION_DOWN whose first attempt is due at once; null without memory. */
struct connection *client_connection_new(struct torc_client *client, uint32_t index);
/* Closes its socket; its requests are someone else's matter. */
void client_connection_free(struct connection *connection);
/* What epoll said of it. */
void client_connection_on_event(struct connection *connection, uint32_t events);
/* Sends what has gathered, with one call; calls nobody back. Requires: CONNECTION_READY. */
void client_connection_send(struct connection *connection);
/* Begins an attempt that is due, ends one that takes too long. */
void client_connection_upkeep(struct connection *connection);
/* The connection is of no use any more: requests that were sent complete with `code`, and why is kept for
 * torc_problem. */
void client_connection_break(struct connection *connection, int code);

/* It has something to send. */
static inline void client_connection_mark_dirty(struct connection *connection)
{
    if (connection->is_dirty)
        return;
    connection->is_dirty = true;
    connection->next_dirty = connection->client->dirty;
    connection->client->dirty = connection;
}

/* ---- response.c ---- */

/* Pairs a response with its request and completes that. Returns: 0, or a code when the peer does not speak
 * as it should: the connection is to be broken. */
MUST_CHECK int client_response_take(struct connection *connection, const struct frame *f);

/* ---- inline ---- */

#include "reactor/base/crc16.h"

static inline struct connection *client_route(struct torc_client *client, struct slice key)
{
    if (client->core_count == 0)
        return client->connections[0];
    uint32_t core = 0;
    if (client->core_count > 1)
        core = frame_core_of_slot(key_slot(key), client->vnode_bits, (uint16_t)client->core_count);
    uint32_t per_core = client->settings.connections_per_core;
    uint32_t first = core * per_core;
    if (client->answering - first < per_core)
        return client->connections[client->answering];
    if (++client->turn >= per_core)
        client->turn = 0;
    return client->connections[first + client->turn];
}

#endif
