/* client_rig.h - what the tests of the client share: a client to a scripted server, and what came of its
 * requests. */
#ifndef TEST_CLIENT_CLIENT_RIG_H
#define TEST_CLIENT_CLIENT_RIG_H

#include "test/client/fake_server.h"
#include "test/test.h"

#include "client/torc.h"

#include <stdio.h>

enum { ROUNDS_MAX = 5000, OUTCOMES_MAX = 256 };

/* What the callbacks of a test have said, in their order. */
struct outcome {
    int count;
    int statuses[OUTCOMES_MAX];
    char values[OUTCOMES_MAX][32];
    uint64_t version_clock;
    uint16_t version_node;
};

static inline void note(void *user, const struct torc_result *result)
{
    struct outcome *o = user;
    torc_bytes text = result->status == 0 ? result->value : result->message;
    int bytes = text.bytes < 31 ? (int)text.bytes : 31;
    snprintf(o->values[o->count], 32, "%.*s", bytes, bytes ? (const char *)text.data : "");
    o->statuses[o->count++] = result->status;
    if (result->has_version) {
        o->version_clock = result->version_clock;
        o->version_node = result->version_node;
    }
}

static inline torc_client *open_with(struct fake *fake, struct torc_options options)
{
    torc_client *client = NULL;
    options.address = fake->address;
    options.reconnect_min_ms = 1;
    options.reconnect_max_ms = 5;
    CU_ASSERT_EQUAL_FATAL(torc_open(&options, &client), 0);
    return client;
}

static inline torc_client *open_to(struct fake *fake)
{
    return open_with(fake, (struct torc_options){0});
}

/* Moves both sides on until `*count` is `wanted`. */
static inline bool until(torc_client *client, struct fake *fake, const void *count, uint32_t wanted)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        uint32_t now;
        memcpy(&now, count, sizeof now);
        if (now == wanted)
            return true;
        fake_pump(fake);
        torc_poll(client, 1);
    }
    return false;
}

static inline bool until_ready(torc_client *client, struct fake *fake, uint32_t connections)
{
    struct torc_counters counters = {0};
    for (int i = 0; i < ROUNDS_MAX && counters.connects < connections; i++) {
        fake_pump(fake);
        torc_poll(client, 1);
        torc_count(client, &counters);
    }
    return counters.connects >= connections;
}

static inline void until_all_lost(torc_client *client, uint64_t disconnects)
{
    struct torc_counters counters = {0};
    for (int i = 0; i < ROUNDS_MAX && counters.disconnects < disconnects; i++) {
        torc_poll(client, 1);
        torc_count(client, &counters);
    }
    CU_ASSERT_EQUAL(counters.disconnects, disconnects);
}

static inline void start_get(torc_client *client, const char *key, struct outcome *o)
{
    CU_ASSERT_EQUAL(torc_get_async(client, torc_string(key), 0, note, o), 0);
}

static inline void finish(torc_client *client, struct fake *fake)
{
    torc_close(client);
    fake_close(fake);
}

#endif
