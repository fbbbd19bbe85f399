/* datadir.h - the data directory of a node: whose it is, and that only one process uses it.
 *
 *   DIR/IDENTITY              text: format, node, cores, vnode bits, layout, and a checksum of these lines
 *   DIR/layout-N/shard-NNN/   one a core: that engine's log, tables and manifest
 *
 * The directories of all shards are there before IDENTITY names their layout: one that is missing was lost.
 *
 * A directory of another format, node or number of vnodes, in use, or not writable is refused before anything
 * in it is touched. Another number of cores makes another layout (layout.h); the one that IDENTITY names
 * counts. */
#ifndef SHARD_DATADIR_H
#define SHARD_DATADIR_H

#include "reactor/reactor.h"

enum { DATADIR_FORMAT = 2, DATADIR_PATH_MAX = 4096, DATADIR_VNODE_BITS_MAX = 14 };

struct datadir_identity {
    unsigned node;
    unsigned cores;
    unsigned vnode_bits;
    unsigned layout; /* 1 in a new directory */
};

/* Waits. Makes the directory when it is missing, locks it until the process ends, and checks or writes the
 * identity, which is durable then, whoever wrote it. In: what is asked for. Out: what the directory has;
 * cores may be others, and layout is filled.
 * Returns: 0; TORC_E_IN_USE, TORC_E_DATA_FORMAT, TORC_E_CONFIGURATION (another node, or other vnodes),
 * TORC_E_CORRUPT, -errno; with one line in `why`. */
MUST_CHECK int datadir_open(struct reactor *r, const char *directory, struct datadir_identity *identity,
                            char *why, size_t why_bytes);

/* Waits. The same for who only looks: the directory must be there and nothing in it is changed. Out: what it
 * has, for whatever node. */
MUST_CHECK int datadir_look(struct reactor *r, const char *directory, struct datadir_identity *out, char *why,
                            size_t why_bytes);

/* Waits. Replaces the identity: when it returns 0 that is durable, after an error either may be there. */
MUST_CHECK int datadir_commit(struct reactor *r, const char *directory,
                              const struct datadir_identity *identity);

/* The directory of a layout, and of one core in it; at most DATADIR_PATH_MAX bytes. */
void datadir_layout_path(char *to, size_t bytes, const char *directory, unsigned layout);
void datadir_shard_path(char *to, size_t bytes, const char *directory, unsigned layout, unsigned core);

/* The first vnode of a core; that of core `cores` is the number of vnodes. */
static inline uint32_t datadir_first_vnode(unsigned cores, unsigned vnode_bits, unsigned core)
{
    return ((core << vnode_bits) + cores - 1) / cores;
}

#endif
