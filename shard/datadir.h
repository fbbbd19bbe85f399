/* datadir.h - the data directory of a node: whose it is, and that only one process uses it.
 *
 *   DIR/IDENTITY     text: format version, node, cores, vnode bits, and a checksum of these lines
 *   DIR/shard-NNN/   one a core: that engine's log, tables and manifest
 *
 * A directory of another format, node or shape, in use, or not writable is refused before anything in it
 * is touched. */
#ifndef SHARD_DATADIR_H
#define SHARD_DATADIR_H

#include "reactor/reactor.h"

enum { DATADIR_FORMAT = 1, DATADIR_PATH_MAX = 4096 };

struct datadir_identity {
    unsigned node;
    unsigned cores;
    unsigned vnode_bits;
};

/* Waits. Makes the directory when it is missing, locks it until the process ends, and checks or writes the
 * identity.
 * Returns: 0; TORC_E_IN_USE, TORC_E_DATA_FORMAT, TORC_E_CONFIGURATION (another node or shape),
 * TORC_E_CORRUPT, -errno; with one line in `why`. */
MUST_CHECK int datadir_open(struct reactor *r, const char *directory, const struct datadir_identity *identity,
                            char *why, size_t why_bytes);

/* The directory of one core; at most DATADIR_PATH_MAX bytes. */
void datadir_shard_path(char *to, size_t bytes, const char *directory, unsigned core);

#endif
