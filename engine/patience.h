/* patience.h - reads of the log and of manifests, which decide what counts.
 *
 * The system may have no memory for a read, and that passes. It says nothing of what is there, but who went
 * on without would have to take it for damage. */
#ifndef ENGINE_PATIENCE_H
#define ENGINE_PATIENCE_H

#include "reactor/reactor.h"

/* Waits: for a second or two at most, while the system is short of memory or descriptors. Returns: as
 * file_read. */
int64_t read_patiently(struct reactor *r, struct file *f, void *to, size_t bytes, uint64_t offset);

#endif
