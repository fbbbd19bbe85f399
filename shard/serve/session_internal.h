/* session_internal.h - what session.c and session_input.c share. */
#ifndef SHARD_SERVE_SESSION_INTERNAL_H
#define SHARD_SERVE_SESSION_INTERNAL_H

#include "shard/serve/session.h"

/* A place in the table for a new connection. Returns: null when the table or memory is full. */
struct session *session_open(struct shard *s, struct socket *socket);
/* At once; the session is gone when it returns. */
void session_close(struct session *session);
/* At the end of the turn, when what is in the output has been sent; the session is still there when it
 * returns. */
void session_begin_close(struct session *session);
/* Its place in the table is free, its buffers too; the socket is somebody else's. */
void session_release(struct session *session);
void session_on_sent(void *session, int result);
void session_pause(struct session *session);
/* It has as much unanswered or unsent as one connection may have: its frames wait. */
bool session_is_full(const struct session *session);
/* How much of SESSION_READS_MAX an operation takes. */
uint32_t session_read_weight(uint8_t op);
/* Handles the frames that waited in the carry buffer. */
void session_continue(struct session *session);
/* Answers those of them whose time is over, or all on a core that ends, and finds the earliest deadline of
 * the others. */
void session_expire(struct session *session, uint64_t now_ns);

void carry_release(struct session *session);

#endif
