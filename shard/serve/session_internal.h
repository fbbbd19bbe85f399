/* session_internal.h - what session.c and session_input.c share. */
#ifndef SHARD_SERVE_SESSION_INTERNAL_H
#define SHARD_SERVE_SESSION_INTERNAL_H

#include "shard/serve/session.h"

/* A place in the table for a new connection. Returns: null when the table or memory is full. */
struct session *session_open(struct shard *s, struct socket *socket);
/* At once; the session is gone when it returns. */
void session_close(struct session *session);
/* At the end of the turn, when what is in the output has been sent; the session is still there when it returns. */
void session_begin_close(struct session *session);
/* Its place in the table is free, its buffers too; the socket is somebody else's. */
void session_release(struct session *session);
void session_on_sent(void *session, int result);
void session_pause(struct session *session);
bool session_is_congested(const struct session *session);

void carry_release(struct session *session);

#endif
