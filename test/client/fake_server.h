/* fake_server.h - a scripted server for the client's tests, on loopback, in the test's own thread.
 *
 * It answers hellos by itself and keeps every other request until the test answers it, or answers those
 * from a small store as well (is_automatic). The test moves it on with fake_pump, so who speaks first is
 * decided by the test. For the blocking calls fake_run serves from a thread until fake_stop. */
#ifndef TEST_CLIENT_FAKE_SERVER_H
#define TEST_CLIENT_FAKE_SERVER_H

#include "wire/wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum { FAKE_CONNECTIONS_MAX = 64, FAKE_REQUESTS_MAX = 4096, FAKE_STORE_MAX = 64 };

struct fake_connection {
    int fd; /* -1: closed */
    uint16_t core;
    uint8_t *in;
    size_t in_bytes;
    bool is_broken; /* what came was no sound frame: the client's fault */
};

struct fake_request {
    uint32_t connection;
    bool is_answered;
    bool is_intact;
    uint8_t *bytes; /* the frame, owned */
    struct frame frame;
};

struct fake_pair {
    uint8_t *key, *value;
    size_t key_bytes, value_bytes;
};

struct fake {
    int listener;
    char address[32];
    uint16_t core_count;
    uint8_t vnode_bits;
    uint8_t hello_status; /* not 0: hellos are refused with it */
    bool is_mute;         /* hellos are not answered */
    bool is_automatic;
    /* Automatic; 0: none. Each so many-th request is answered OVERLOADED and not done; the request of this
     * number is answered MALFORMED and not done; over that of this one the connection is closed. */
    uint32_t overload_every;
    uint32_t refuse_at;
    uint32_t drop_at;
    uint32_t page_entries; /* of a scan, when the client names no limit */
    /* Automatic: writes page `number`, from 1, of a scan. Returns: its bytes. Null: from the store. */
    size_t (*page)(uint32_t number, uint8_t *to);
    uint32_t page_count;
    const char *admin;  /* automatic: the answer to any command of the operator */
    uint8_t job_status; /* not 0: that of the command `job` */
    uint32_t hello_count;
    uint32_t connection_count;
    uint32_t request_count;
    uint32_t pair_count;
    struct fake_connection connections[FAKE_CONNECTIONS_MAX];
    struct fake_request requests[FAKE_REQUESTS_MAX];
    struct fake_pair pairs[FAKE_STORE_MAX];
    pthread_t thread;
    atomic_bool is_stopping;
};

/* Listens on a port of the system's choice. The caller frees with fake_close. */
struct fake *fake_open(uint16_t core_count);
void fake_close(struct fake *fake);

/* Accepts, receives, answers what it answers by itself. Returns at once. */
void fake_pump(struct fake *fake);

/* Answers request `index` (counted over all connections, in order of arrival). */
void fake_answer(struct fake *fake, uint32_t index, uint8_t status, struct slice value);
/* The bytes of an answer, to be sent whole, in parts or spoilt. `to` has room for it. Returns: how many. */
size_t fake_encode(const struct fake *fake, uint32_t index, struct frame_parts *answer, uint8_t *to);
void fake_send(struct fake *fake, uint32_t connection, const void *bytes, size_t count);
/* Closes one connection, or all, as a crash would; the listener stays. */
void fake_drop(struct fake *fake, uint32_t connection);
void fake_drop_all(struct fake *fake);
/* Stops and begins to listen on the same port. */
void fake_stop_listening(struct fake *fake);
void fake_listen_again(struct fake *fake);

void fake_put(struct fake *fake, struct slice key, struct slice value);

/* Serves from a thread of its own. */
void fake_run(struct fake *fake);
void fake_stop(struct fake *fake);

#endif
