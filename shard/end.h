/* end.h - how a core stops serving: it answers what is in flight, closes what is open, parts from the others.
 *
 *   RUNNING --end_drain--> DRAINING --answered, or the time is up--> DRAINED to core 0
 *                                                                        |  when all have drained
 *   (stopped) <-- parted <-- engine closed <-- connections closed <--- CLOSE
 *
 * A core parts by sending LAST to each other one, after all that it will ever ask. It stops when it has the
 * LAST of all, its own blocks are back and its own requests answered: so nothing is under way to a core that
 * is gone, and all memory, timers and sockets have been given back.
 *
 * A disk that hangs gets a bounded time. Then the core gives up: it says what it waits for, tells the others
 * with its LAST not to wait for its answers, and its loop stops as it is. What the kernel may still write to
 * is not freed, what was acknowledged is durable, and the process ends with an error, as after a crash. */
#ifndef SHARD_END_H
#define SHARD_END_H

#include <stdbool.h>
#include <stdint.h>

struct shard;

void end_drain(struct shard *s, uint64_t timeout_ms);
void end_watch_drain(struct shard *s); /* in the turn hook */

/* MESSAGE_DRAINED, MESSAGE_CLOSE, MESSAGE_LAST */
void end_on_drained(struct shard *s);
void end_on_close(struct shard *s);
void end_on_last(struct shard *s, bool has_given_up);

#endif
