/* manifest_file.h - one copy of the manifest on disk: read whole, or written whole.
 *
 *              write fails                 next write
 *   WHOLE  ------------------>  FAILED  -----------------> WHOLE, in a new file of the same name
 *   ABSENT, BAD: found so at open; the next write makes or overwrites it */
#ifndef ENGINE_MANIFEST_FILE_H
#define ENGINE_MANIFEST_FILE_H

#include "engine/manifest_format.h"

enum manifest_copy_state {
    MANIFEST_COPY_ABSENT,
    MANIFEST_COPY_BAD,
    MANIFEST_COPY_WHOLE,
    MANIFEST_COPY_FAILED, /* a write to it failed: the file is not written again but replaced */
    MANIFEST_COPY_OTHER_VERSION,
};

struct manifest_copy {
    char path[4096];
    enum manifest_copy_state state;
    uint64_t generation; /* when WHOLE */
};

/* Bytes of a copy in memory, aligned and padded to whole blocks, reactor_alloc'ed. */
struct manifest_image {
    uint8_t *data;
    uint64_t bytes; /* without padding */
    uint64_t padded;
};

/* Waits. Reads the copy if it is there, verifies its checksums and sets state and generation. A whole one may
 * have been written just before the process was killed, and a sync may say nothing of what failed in that
 * process: it is written once more as it is, durably, so that what follows can build on it; when that fails
 * it is FAILED. That of another shard than `shard` (null: any will do) is WHOLE, too, and left as it is:
 * nothing is to build on it. *image is filled (and the caller's to free) for WHOLE and FAILED. Returns: an
 * error only when it cannot be told what the copy is. */
MUST_CHECK int manifest_file_load(struct reactor *r, struct manifest_copy *copy,
                                  const struct manifest_shard *shard, struct manifest_image *image);

/* Waits. Opens the copy and makes room for the image, changing nothing that counts. Owns: the caller gets
 * `*out`. Returns: 0, TORC_E_DISK_FULL, -errno. */
MUST_CHECK int manifest_file_reserve(struct reactor *r, struct manifest_copy *copy,
                                     const struct manifest_image *image, struct file **out);
/* Waits. Writes the image durably to the file reserved, reads it back and closes it. After an error the copy
 * is FAILED. Requires: as much memory again behind the padded image, to read into. */
MUST_CHECK int manifest_file_write(struct reactor *r, struct manifest_copy *copy, struct file *f,
                                   const struct manifest_image *image, const char *directory);

#endif
