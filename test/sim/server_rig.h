/* server_rig.h - for tests of a server in a world: one server, one client that asks what the test says.
 *
 * The body of a test is a task of the client's core; between bodies the test may change the faults, kill the
 * server or lose its power. */
#ifndef TEST_SIM_SERVER_RIG_H
#define TEST_SIM_SERVER_RIG_H

#include "test/sim/client.h"
#include "test/sim/server_node.h"
#include "test/test.h"

enum { RIG_ANSWERS_MAX = 1024, RIG_VALUE_BYTES_MAX = 4096 };

struct rig_answer {
    int code; /* 1: none yet */
    unsigned count;
    uint64_t asked_ns;
    uint64_t answered_ns;
    uint64_t version_clock; /* 0: it has none */
    uint32_t value_bytes;
    uint8_t value[RIG_VALUE_BYTES_MAX];
};

struct server_rig {
    struct sim_world *world;
    struct server_node server;
    struct sim_node *client_node;
    struct client client;
    struct reactor *reactor; /* of the client, while a body runs */
    void (*body)(struct server_rig *rig);
    struct rig_answer *answers; /* by request id - 1; those of this body */
    unsigned asked;
    unsigned answered;
    unsigned mistakes; /* answers to what was not asked or was answered before */
    bool has_ended;
    struct event progress;
    const char *awaited_line; /* the test sets it: in a line of the server's log */
    unsigned lines;           /* that had it */
};

void server_rig_open(struct server_rig *rig, unsigned cores);
void server_rig_close(struct server_rig *rig);
/* Values to 256 KiB, and files to match. Before a start. */
void server_rig_allow_large_values(struct server_rig *rig, uint64_t log_bytes_max);

void server_rig_set_fault(struct server_rig *rig, enum sim_fault fault,
                          uint32_t per_million); /* all others off */
void server_rig_start(struct server_rig *rig);   /* and runs until it serves */
void server_rig_stop(struct server_rig *rig);    /* as SIGTERM; runs until it is down */
/* The same, while its disk does not answer: it is down within that time, with TORC_E_TIMEOUT. */
void server_rig_stop_in_vain(struct server_rig *rig, uint64_t within_ns);
void server_rig_sleep(struct server_rig *rig, uint64_t ns);

/* Connects, says hello, runs `body`. */
void server_rig_run(struct server_rig *rig, void (*body)(struct server_rig *rig));

/* The same in two steps, for what the server is to meet while the body runs. */
void server_rig_begin(struct server_rig *rig, void (*body)(struct server_rig *rig));
void server_rig_finish(struct server_rig *rig);

/* For bodies. A request goes out; its answer comes at its place. Returns: the place. */
struct rig_request {
    uint8_t op;
    uint8_t flags;
    const char *key;
    struct slice value;
    uint64_t expiry_ms;
    uint32_t deadline_ms;
    uint32_t limit;
};
unsigned rig_ask(struct server_rig *rig, const struct rig_request *q);
void rig_await(struct server_rig *rig); /* Waits: until all are answered or the connection has ended */
int rig_ask_now(struct server_rig *rig, const struct rig_request *q); /* Waits. Returns: the code */
/* Waits. The number of that name in a section of INFO. */
uint64_t rig_info_number(struct server_rig *rig, const char *section, const char *name);
unsigned rig_core_of(const struct server_rig *rig, const char *key);

#endif
