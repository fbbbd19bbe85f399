/* copies.h - snapshots of an engine under test, and what can be restored of them.
 *
 * A snapshot is taken while others write, so it is of no moment that anybody has chosen. What is restored of
 * it must be what the model was when it began: nothing that was acknowledged by then is missing, nothing put
 * since is there. That the disk fails may keep a snapshot from being made; it may not make it less.
 *
 * Of a shard with an archive a snapshot is kept, also over starts, until it is restored with the archive as
 * of the moment of a later one. */
#ifndef TEST_SIM_COPIES_H
#define TEST_SIM_COPIES_H

#include "engine/restore.h"
#include "test/sim/subject.h"

/* Waits. Takes one, restores it or the one that was kept in a directory of its own, compares, and removes
 * what it made. */
void copies_prove(struct subject *s);

/* The task that does so now and then; its argument is the subject. */
void copies_drive(struct reactor *r, void *argument);

/* The life in which one was made is over. */
void copies_forget(struct subject *s);

/* Waits. Makes a shard in the directory `to`, which is emptied first, of the files of a snapshot in `from`.
 * Requires: all of *one but its manifest and log. Returns: as engine_restore; -errno, then one->why is
 * empty. */
int copies_restore(struct reactor *r, const char *from, const char *to, struct engine_restore *one);

#endif
