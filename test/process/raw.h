/* raw.h - a client that speaks in frames over a blocking socket, rightly or wrongly as the test wants it.
 *
 * Nothing waits longer than RAW_TIMEOUT_MS. Checks of answers are verified against what was asked. */
#ifndef TEST_PROCESS_RAW_H
#define TEST_PROCESS_RAW_H

#include "wire/wire.h"

enum { RAW_TIMEOUT_MS = 20000 };

struct raw {
    int fd;
    uint64_t next_id;
    struct frame_hello hello; /* what the server answered */
    uint8_t *in;              /* in[in_start] to in[in_end - 1] came and is not taken yet */
    size_t in_start, in_end, in_capacity;
};

struct raw_request {
    uint8_t op;
    uint8_t flags;
    struct slice key, value, extensions;
    uint64_t id; /* 0: the next of the connection */
};

/* Connects, without a hello. Fails the test and returns false when that does not work. */
bool raw_open(struct raw *raw, uint16_t port);
/* Connects and says hello, asking for `core`. */
bool raw_connect(struct raw *raw, uint16_t port, uint16_t core);
void raw_close(struct raw *raw);

/* Writes the frame to `to`, which has room for it. Returns: its bytes. */
size_t raw_encode(struct raw *raw, const struct raw_request *request, uint8_t *to);
/* The frame of a hello for `core`; `to` has 64 bytes. */
size_t raw_encode_hello(struct raw *raw, uint16_t core, uint8_t *to);

bool raw_send(struct raw *raw, const void *bytes, size_t count);
bool raw_request(struct raw *raw, const struct raw_request *request);

/* Returns: 0 and the next answer, which lives until the next call; TORC_E_CLOSED or TORC_E_TIMEOUT. */
MUST_CHECK int raw_receive(struct raw *raw, struct frame *answer);
/* Sends and receives one. Returns: the code of the answer (0, TORC_E_NOT_FOUND, ...), or as raw_receive. */
MUST_CHECK int raw_call(struct raw *raw, const struct raw_request *request, struct frame *answer);
/* Is the check of `answer` that of the answer to `request`? */
bool raw_is_answer(const struct raw_request *request, const struct frame *answer);

/* The server closes the connection, without another frame. */
bool raw_is_closed(struct raw *raw);

/* One request each. Return: the code. */
int raw_put(struct raw *raw, struct slice key, struct slice value);
int raw_delete(struct raw *raw, struct slice key);
int raw_exists(struct raw *raw, struct slice key);
/* The value must be `value` when the code is 0. */
int raw_get_expect(struct raw *raw, struct slice key, struct slice value);
int raw_ping(struct raw *raw);

#endif
