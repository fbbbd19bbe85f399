/* catalogue.h - the text that makes a snapshot or a backup whole: what is in it, written last.
 *
 *   torc backup
 *   format 2
 *   node 1
 *   cores 2
 *   vnode-bits 10
 *   clock 0193a5b2c4d6ffff
 *   shard 0 vnodes 0 512 history 6b1f0a55c2d93e71 log 3 40 5 122 81c4f6a02b7d9e35
 *   file 0 4096 9d3b6a01f2c4e875 MANIFEST-A shard-000/MANIFEST-A
 *   ...
 *   check 51e0b7a2c3d4f586
 *
 * `clock` is the version clock of its moment: a restore leaves higher versions of the logs away. A shard's
 * `log` is the segment and sequence of the first log record that no table has, and of the last acknowledged
 * one, and the checksum of that. A file: shard, bytes, content checksum (0: not known), its name in the
 * shard's directory, and where it is, below the directory of the catalogue or in ../files/. The check is the
 * hash of all lines before it. */
#ifndef SHARD_CATALOGUE_H
#define SHARD_CATALOGUE_H

#include "engine/snapshot.h"
#include "shard/datadir.h"

enum {
    CATALOGUE_FORMAT = 2,
    CATALOGUE_BYTES_MAX = 64 << 20,
    CATALOGUE_NAME_BYTES = 64,
    CATALOGUE_PATH_BYTES = 192,
};

/* Text that grows. All zeros is empty. */
struct catalogue_text {
    char *data; /* reactor_alloc'ed */
    size_t bytes;
    size_t capacity;
};
MUST_CHECK int catalogue_text_add(struct reactor *r, struct catalogue_text *t, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

MUST_CHECK int catalogue_text_append(struct reactor *r, struct catalogue_text *t, struct slice lines);

struct catalogue_file {
    unsigned shard;
    uint64_t bytes;
    uint64_t checksum;
    char name[CATALOGUE_NAME_BYTES];
    char path[CATALOGUE_PATH_BYTES];
};

struct catalogue_shard {
    uint16_t vnode_first;
    uint16_t vnode_count;
    uint64_t log_history;
    uint64_t start_segment;
    uint64_t start_sequence;
    uint64_t end_segment;
    uint64_t end_sequence;
    uint64_t end_checksum;
};

struct catalogue {
    struct datadir_identity identity;
    uint64_t clock;
    struct catalogue_shard *shards; /* identity.cores of them */
    struct catalogue_file *files;
    uint32_t file_count;
};

/* The lines of one shard, and of one file. */
MUST_CHECK int catalogue_add_shard(struct reactor *r, struct catalogue_text *t, unsigned shard,
                                   const struct engine_snapshot_facts *facts);
MUST_CHECK int catalogue_add_file(struct reactor *r, struct catalogue_text *t,
                                  const struct catalogue_file *f);

/* Waits. Writes the catalogue durably to `path`: the head, then the lines, then the check. */
MUST_CHECK int catalogue_write(struct reactor *r, const char *path, const struct datadir_identity *identity,
                               uint64_t clock, struct slice lines);

/* Waits. Reads one. `text` ends with a zero byte. Returns: 0, and catalogue_deinit is due;
 * TORC_E_DATA_FORMAT for another format; TORC_E_CORRUPT when it is not whole; TORC_E_NO_MEMORY. */
MUST_CHECK int catalogue_parse(struct reactor *r, const char *text, size_t bytes, struct catalogue *out);
/* Waits. The same for a file; -ENOENT when there is none. */
MUST_CHECK int catalogue_read(struct reactor *r, const char *path, struct catalogue *out);
void catalogue_deinit(struct reactor *r, struct catalogue *c);

#endif
