/* request.h - a request between its parsing and its answer, and where the answer goes. */
#ifndef SHARD_REQUEST_H
#define SHARD_REQUEST_H

#include "engine/engine.h"
#include "wire/wire.h"

enum reply_owner { REPLY_TO_SESSION, REPLY_TO_BATCH, REPLY_TO_GATHER };

/* Where an answer goes: a connection of a core, or a place in a batch or a gather of that core. Three words,
 * so it rides in an engine_ticket. Owners are named by index and generation: one that is gone is noticed,
 * never written to. */
struct reply {
    uint32_t owner; /* index of the session, batch or gather */
    uint32_t generation;
    uint64_t request_id;
    uint16_t core;        /* that holds the owner */
    uint8_t op;           /* enum frame_op */
    uint8_t owner_kind;   /* enum reply_owner */
    uint32_t batch_place; /* 0 to the count of the batch, or of the gather, - 1 */
};
static_assert(sizeof(struct reply) == sizeof(((struct engine_ticket *)0)->words),
              "a reply rides in a ticket");

/* What an answer says. */
struct answer {
    int code;       /* 0 or an error code; its sentence is added when it is sent */
    bool is_record; /* the value is that of the requested key: record_checksum goes with it, as stored */
    uint64_t record_checksum;
    struct slice value;
    struct slice extensions;
};

/* When the time of a request began, and what bounds it beside its own extensions. */
struct arrival {
    uint64_t at_ns;
    uint64_t limit_ns;   /* of a part of a batch: the deadline of the batch; 0: none */
    uint64_t sampled_ns; /* received, when it is sampled for the stages, else 0 */
};

struct request {
    struct reply reply;
    struct frame frame; /* points into bytes that live until the batch of requests has run */
    struct frame_extensions extensions;
    uint64_t record_checksum; /* of (key, value), verified */
    struct engine_key key;
    struct arrival arrival;
    uint64_t parsed_ns;
    int error; /* found in preparing it */
};

#endif
