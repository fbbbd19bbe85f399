/* run.h - runs one task on a reactor of its own, and what offline commands print with. */
#ifndef OFFLINE_RUN_H
#define OFFLINE_RUN_H

#include "engine/record.h"
#include "reactor/reactor.h"

/* Runs `run` as a task, to its end. Returns: what it returned, or OFFLINE_FAILED after saying why the reactor
 * did not start. */
int offline_run(int (*run)(struct reactor *r, void *context), void *context);

/* offline_say of the sentence. Returns: OFFLINE_FAILED. */
int offline_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line on standard output about a record at `offset` of its file. `is_sound`: its checksum holds. */
void offline_print_record(const struct record *record, uint64_t offset, bool is_sound);
/* A key as it stands in lines: quoted, with \xNN for what is not plain. No newline. */
void offline_print_bytes(struct slice bytes);

#endif
