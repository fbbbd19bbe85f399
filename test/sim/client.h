/* client.h - one connection to a server, from a task of a simulated client: frames out, frames in.
 *
 * It speaks the native protocol with wire/ alone and knows nothing of requests and their answers: that is its
 * owner's, who hears of each frame and of the end. What is sent gathers while a send is under way.
 *
 *   (closed) --client_open--> open --the end came, or bytes that are no frame--> ended
 *       ^                                                                          |
 *       +----------------------------- client_close -------------------------------+ */
#ifndef TEST_SIM_CLIENT_H
#define TEST_SIM_CLIENT_H

#include "reactor/reactor.h"
#include "wire/wire.h"

struct client_handlers {
    /* A response; its slices are borrowed for the call. */
    void (*on_frame)(void *owner, const struct frame *frame);
    /* The connection has ended: TORC_E_CLOSED, -errno, or TORC_E_FRAME_LENGTH for bytes that are no frame. */
    void (*on_end)(void *owner, int reason);
};

struct client_bytes {
    uint8_t *data;
    size_t bytes;
    size_t capacity;
};

struct client {
    struct reactor *reactor;
    struct socket *socket; /* null when closed */
    const struct client_handlers *handlers;
    void *owner;
    struct client_bytes in;
    struct client_bytes gathering;
    struct client_bytes sending;
    struct event closed; /* the kernel has let go of the buffers */
    bool is_sending;
    bool has_ended;
    bool is_paused;
    bool is_sipping; /* until something comes */
};

/* Zeroes it. */
void client_init(struct client *c, struct reactor *r, const struct client_handlers *handlers, void *owner);
void client_deinit(struct client *c); /* Requires: closed */

/* Waits. Returns: 0, or why not. Requires: closed. */
MUST_CHECK int client_open(struct client *c, const struct address *address, uint64_t timeout_ns);
/* Waits: until nothing of it is left. Does nothing when closed. */
void client_close(struct client *c);

/* Each does nothing once the connection has ended. */
void client_send(struct client *c, const struct frame_parts *parts);
void client_send_bytes(struct client *c, struct slice bytes); /* frames, or what is none */
void client_send_hello(struct client *c, uint64_t request_id, uint16_t core);
void client_pause(struct client *c);
void client_resume(struct client *c);
/* Takes what comes first, a few pieces at most, and is paused again. Requires: paused. */
void client_sip(struct client *c);

/* The check of a response: of `key` and its value in the answer to a GET that found it, else of the value. */
bool client_is_intact(const struct frame *frame, struct slice key);

#endif
