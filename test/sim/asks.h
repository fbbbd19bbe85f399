/* asks.h - the requests of one connection that have no answer yet, and the checks of their answers.
 *
 * Each answer must be to a request that is waiting, once, intact, with a code that has a reason, a TIMEOUT
 * not before its deadline; and what it says of a key must be something that the registers allow. */
#ifndef TEST_SIM_ASKS_H
#define TEST_SIM_ASKS_H

#include "test/sim/client.h"
#include "test/sim/service.h"

enum {
    ASKS_MAX = 64,
    ASKS_FEW = 24, /* with fewer open the server reads a connection on */
    ASK_PARTS_MAX = 8,
    ASK_ECHO = 'e',
};

struct ask {
    uint64_t id; /* of the request; 0: this place is free */
    uint8_t op;
    uint8_t flags;
    bool is_part; /* of a batch */
    uint8_t part_count;
    uint8_t parts[ASK_PARTS_MAX]; /* BATCH: places of its parts, in order */
    uint32_t key;
    uint32_t write;      /* PUT, DELETE: in the registers */
    uint32_t echo_bytes; /* PING: of ASK_ECHO, to come back */
    int expected;        /* it is wrong: the code it must have; 0: it is not */
    uint32_t deadline_ms;
    unsigned run; /* of the server when it was asked */
    uint64_t begin_ns;
};

/* A scan over all keys or a range of them, page by page. */
struct ask_scan {
    bool is_active;
    bool is_broken; /* a page failed: the rest says nothing */
    uint64_t begin_ns;
    uint8_t flags;
    uint8_t cursor[FRAME_CURSOR_BYTES_MAX];
    uint32_t cursor_bytes;
    uint8_t *seen; /* by key */
    /* FRAME_SNAPSHOT: what it shows was so at one moment between its beginning and this; 0: not known yet */
    uint64_t view_ns;
    uint64_t page_ns; /* when its last page came */
    unsigned run;     /* of the server when it began */
    /* FRAME_RANGE */
    char from[REGISTER_KEY_BYTES_MAX];
    char to[REGISTER_KEY_BYTES_MAX];
    uint32_t from_bytes;
    uint32_t to_bytes;
    uint32_t last_key; /* shown last; key_count: none */
};

struct asks {
    struct service *service;
    struct service_server *server;
    unsigned owner; /* number of the connection, for the story */
    struct ask places[ASKS_MAX];
    unsigned count;
    uint64_t sequence;
    struct ask_scan scan;
    bool is_poisoned; /* what is no frame was sent: errors without a request may come */
    bool has_hello;
    uint32_t written_count; /* writes acknowledged */
    uint32_t done_count;    /* answered with success, NOT_FOUND or UNKNOWN */
};

/* Returns: a free place with an id, or null. */
struct ask *asks_new(struct asks *a, uint8_t op, uint64_t now_ns);
/* The answer to one of them. Returns: the connection is still of use. */
bool asks_on_frame(struct asks *a, const struct frame *frame, uint64_t now_ns);
/* The connection is gone: what was asked is lost. */
void asks_lose_all(struct asks *a);
/* Returns: the request that should have had its answer long ago; null: none. */
const struct ask *asks_overdue(const struct asks *a, uint64_t now_ns);

#endif
