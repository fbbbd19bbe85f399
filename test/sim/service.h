/* service.h - what clients, director and checks of a history share: servers, their registers, the story.
 *
 * It lies in the memory of the world, so a client that is killed leaves what it asked. */
#ifndef TEST_SIM_SERVICE_H
#define TEST_SIM_SERVICE_H

#include "test/sim/kind.h"
#include "test/sim/registers.h"
#include "test/sim/server_node.h"

enum { SERVICE_SERVERS_MAX = 2 };

enum service_phase {
    SERVICE_LOAD,     /* with faults */
    SERVICE_LIVENESS, /* without: each client must get on */
    SERVICE_OVER,     /* clients end */
};

struct service_server {
    struct server_node server;
    struct registers registers;
    bool is_asked_to_end; /* in this run */
    unsigned asked_run;   /* the last one that was; 0: none */
    uint64_t asked_ns;    /* when it was; 0: it was killed since */
    bool is_starved;      /* its cores have so little memory that they read no requests for a while */
    bool has_patience;    /* its shutdown-timeout is longer than any request takes */
    bool was_flooded;     /* in this run: its connections may not be read for a while */
    bool has_unread;      /* in this run: large answers, which others wait for while they are not read */
    bool wants_restart;   /* its log takes no more writes, or a table is set aside */
    bool was_full;        /* its disk, ever */
    bool has_ended_views; /* it said so: they held too much memory */
};

struct service {
    struct sim_world *world;
    struct story *story;
    struct tally *tally;
    struct sim_faults faults; /* of the load */
    enum service_phase phase;
    struct service_server servers[SERVICE_SERVERS_MAX];
    unsigned server_count;
    uint32_t deadline_ms_max; /* of any request */
    uint64_t patience_ns;     /* an answer later than this after its deadline does not come */
    uint64_t way_ns;          /* so long may what is sent be under way */
    bool may_flood;           /* clients write more than a log takes at once */
    bool may_stall;           /* connections may move nothing for long: nothing can be said of lateness */
};

/* The disk, the network, the machine has been seen to fail so in this world. */
static inline bool service_has_seen(const struct service *s, enum sim_fault fault)
{
    return sim_fault_hits(s->world, fault) > 0;
}

#endif
