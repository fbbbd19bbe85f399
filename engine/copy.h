/* copy.h - copies of files that nobody changes any more: for snapshots, backups and the archive of the log.
 *
 * The content checksum is that of the file in pieces of COPY_PIECE_BYTES, the last one shorter: c = 0, then
 * for each piece c = hash(piece, c). So a file is hashed as it goes by, in bounded memory. */
#ifndef ENGINE_COPY_H
#define ENGINE_COPY_H

#include "engine/disk.h"
#include "reactor/reactor.h"

enum { COPY_PIECE_BYTES = 256 << 10 };

struct copy_options {
    const char *from;
    const char *to;      /* made, durable with its size, its name not; must not be there. Null: only read */
    uint64_t bytes_max;  /* no more than so many from the beginning; 0: all */
    bool is_trimmed;     /* of zeros at the end, pieces behind the first `zeros_kept` bytes are left out */
    uint64_t zeros_kept; /* as many as may belong to what is before them */
    struct disk *disk;   /* in whose share it is read; null: without limits */
    enum disk_class class;
    const bool *is_cancelled; /* looked at between pieces; may be null */
};

struct copied {
    uint64_t bytes;
    uint64_t checksum;
    bool is_of_target; /* after an error: it is one of `to` */
};

/* Waits. Returns: 0; TORC_E_CANCELLED; TORC_E_NO_MEMORY; -errno. After an error nothing is left of `to`. *out
 * is filled in any case. */
MUST_CHECK int copy_file(struct reactor *r, const struct copy_options *options, struct copied *out);

/* Waits. A second name for the file when both are on one file system, else a copy; must not be there. */
MUST_CHECK int copy_or_link(struct reactor *r, const struct copy_options *options);

/* Waits. Writes a small file durably under its name: aside first, so that what is there under the name is
 * whole. `path` is at most COPY_PATH_MAX - 5 bytes. */
enum { COPY_PATH_MAX = 4096 };
MUST_CHECK int copy_bytes_to_file(struct reactor *r, struct slice bytes, const char *path);

/* Waits. Reads a whole file of at most `bytes_max`; a zero byte is put behind it. Owns: the caller, by
 * reactor_free. Returns: TORC_E_CORRUPT when it is longer. */
MUST_CHECK int copy_file_to_bytes(struct reactor *r, const char *path, uint64_t bytes_max, uint8_t **data,
                                  size_t *bytes);
/* The same of a file that is open, FILE_DIRECT or not. */
MUST_CHECK int copy_open_file_to_bytes(struct reactor *r, struct file *f, uint64_t bytes_max, uint8_t **data,
                                       size_t *bytes);

#endif
