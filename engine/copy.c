/* copy.c - copies of files that nobody changes any more; see copy.h.
 *
 * Source and copy are read and written past the page cache, in whole blocks: a backup of everything must not
 * push out what is served. The copy gets its length at the end. */
#include "engine/copy.h"

#include "reactor/base/checksum.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct copying {
    struct reactor *reactor;
    const struct copy_options *options;
    struct file *from;
    struct file *to;
    uint8_t *piece;     /* COPY_PIECE_BYTES */
    uint64_t bytes;     /* to be copied */
    uint64_t held_from; /* zeros from here to the present place are not yet part of the copy */
    uint64_t checksum;  /* of what is before held_from */
    bool is_of_target;  /* the error */
};

static int of_target(struct copying *c, int rc)
{
    c->is_of_target |= rc != 0;
    return rc;
}

static size_t piece_at(const struct copying *c, uint64_t offset)
{
    uint64_t left = c->bytes - offset;
    return left < COPY_PIECE_BYTES ? (size_t)left : COPY_PIECE_BYTES;
}

static bool is_zeros(const uint8_t *data, size_t bytes)
{
    return bytes > 0 && data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0;
}

static size_t whole_blocks(size_t bytes)
{
    return (bytes + FILE_ALIGNMENT - 1) / FILE_ALIGNMENT * FILE_ALIGNMENT;
}

/* Waits. In the share of the disk; what is written is not: where it goes may hang, and a share that is held
 * keeps flushes and merges waiting. */
static int read_piece(struct copying *c, uint64_t offset, size_t bytes)
{
    const struct copy_options *o = c->options;
    int rc = disk_acquire(o->disk, o->class, (uint32_t)bytes);
    if (rc)
        return rc;
    int64_t got = file_read(c->reactor, c->from, c->piece, whole_blocks(bytes), offset);
    disk_release(o->disk, o->class, (uint32_t)bytes);
    if (got >= 0 && (size_t)got < bytes)
        return -EIO; /* it has become shorter, and nobody may do that */
    return got < 0 ? (int)got : 0;
}

/* Waits. */
static int write_piece(struct copying *c, uint64_t offset, size_t bytes)
{
    size_t padded = whole_blocks(bytes);
    memset(c->piece + bytes, 0, padded - bytes);
    c->checksum = XXH3_64bits_withSeed(c->piece, bytes, c->checksum);
    return c->to ? of_target(c, file_write(c->reactor, c->to, c->piece, padded, offset, false)) : 0;
}

/* Zeros that were held back and are not left out: what is never written of a file is zeros. */
static void take_held(struct copying *c, uint64_t end)
{
    memset(c->piece, 0, COPY_PIECE_BYTES);
    while (c->held_from < end) {
        size_t bytes = piece_at(c, c->held_from);
        c->checksum = XXH3_64bits_withSeed(c->piece, bytes, c->checksum);
        c->held_from += bytes;
        task_yield_if_due(c->reactor);
    }
}

static int copy_piece(struct copying *c, uint64_t offset)
{
    size_t bytes = piece_at(c, offset);
    int rc = read_piece(c, offset, bytes);
    bool is_held = rc == 0 && c->options->is_trimmed && is_zeros(c->piece, bytes);
    if (rc == 0 && !is_held && c->held_from < offset) {
        take_held(c, offset);
        rc = read_piece(c, offset, bytes);
    }
    if (rc == 0 && !is_held) {
        rc = write_piece(c, offset, bytes);
        c->held_from = offset + bytes;
    }
    return rc;
}

static int copy_pieces(struct copying *c)
{
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < c->bytes; at += piece_at(c, at)) {
        bool is_cancelled = c->options->is_cancelled && *c->options->is_cancelled;
        rc = is_cancelled ? TORC_E_CANCELLED : copy_piece(c, at);
        task_yield_if_due(c->reactor);
    }
    uint64_t left = c->bytes - c->held_from;
    if (rc == 0)
        take_held(c, c->held_from + (left < c->options->zeros_kept ? left : c->options->zeros_kept));
    if (rc == 0 && c->to) {
        rc = file_truncate(c->reactor, c->to, c->held_from);
        rc = of_target(c, rc ? rc : file_sync(c->reactor, c->to));
    }
    return rc;
}

static int open_both(struct copying *c)
{
    const struct copy_options *o = c->options;
    int rc = file_open(c->reactor, o->from, FILE_READ | FILE_DIRECT, &c->from);
    if (rc == 0)
        rc = file_size(c->reactor, c->from, &c->bytes);
    if (o->bytes_max && c->bytes > o->bytes_max)
        c->bytes = o->bytes_max;
    if (rc == 0 && o->to)
        rc = of_target(c, file_open(c->reactor, o->to,
                                    FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE | FILE_DIRECT, &c->to));
    return rc;
}

int copy_file(struct reactor *r, const struct copy_options *options, struct copied *out)
{
    struct copying c = {.reactor = r, .options = options};
    c.piece = reactor_alloc_aligned(r, COPY_PIECE_BYTES, FILE_ALIGNMENT);
    int rc = c.piece ? open_both(&c) : TORC_E_NO_MEMORY;
    bool is_made = c.to != NULL;
    if (rc == 0)
        rc = copy_pieces(&c);
    file_close(r, c.to);
    file_close(r, c.from);
    reactor_free(r, c.piece);
    *out = (struct copied){c.held_from, c.checksum, c.is_of_target};
    if (rc && is_made && file_remove(r, options->to) != 0)
        return rc; /* what is left is no copy: its name never says that it is one */
    return rc;
}

int copy_or_link(struct reactor *r, const struct copy_options *options)
{
    struct copied copied;
    int rc = file_link(r, options->from, options->to);
    if (rc == -EXDEV || rc == -EPERM || rc == -EMLINK || rc == -EOPNOTSUPP)
        rc = copy_file(r, options, &copied);
    return rc;
}

/* ---- small files ---- */

static int write_aside(struct reactor *r, struct slice bytes, const char *path)
{
    struct file *f;
    int rc = file_remove(r, path); /* of a try that was cut short; never written to, it may be a link */
    if (rc == 0 || rc == -ENOENT)
        rc = file_open(r, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &f);
    if (rc)
        return rc;
    rc = file_write(r, f, bytes.data, bytes.bytes, 0, false);
    if (rc == 0)
        rc = file_sync(r, f);
    file_close(r, f);
    return rc;
}

int copy_bytes_to_file(struct reactor *r, struct slice bytes, const char *path)
{
    char *aside = reactor_alloc(r, COPY_PATH_MAX);
    if (!aside)
        return TORC_E_NO_MEMORY;
    int length = snprintf(aside, COPY_PATH_MAX, "%s.new", path);
    int rc = length > 0 && length < COPY_PATH_MAX ? write_aside(r, bytes, aside) : -ENAMETOOLONG;
    if (rc == 0)
        rc = file_rename(r, aside, path);
    if (rc == 0)
        rc = directory_sync_parent(r, path);
    reactor_free(r, aside);
    return rc;
}

int copy_open_file_to_bytes(struct reactor *r, struct file *f, uint64_t bytes_max, uint8_t **data,
                            size_t *bytes)
{
    uint64_t size = 0;
    *data = NULL;
    int rc = file_size(r, f, &size);
    if (rc == 0 && size > bytes_max)
        rc = TORC_E_CORRUPT;
    uint64_t padded = (size / FILE_ALIGNMENT + 1) * FILE_ALIGNMENT;
    if (rc == 0) {
        *data = reactor_alloc_aligned(r, padded + FILE_ALIGNMENT, FILE_ALIGNMENT);
        rc = *data ? 0 : TORC_E_NO_MEMORY;
    }
    int64_t got = rc == 0 ? file_read(r, f, *data, padded, 0) : rc;
    if (got < 0) {
        reactor_free(r, *data);
        *data = NULL;
        return (int)got;
    }
    (*data)[got] = 0;
    *bytes = (size_t)got;
    return 0;
}

int copy_file_to_bytes(struct reactor *r, const char *path, uint64_t bytes_max, uint8_t **data, size_t *bytes)
{
    struct file *f;
    *data = NULL;
    int rc = file_open(r, path, FILE_READ, &f);
    if (rc)
        return rc;
    rc = copy_open_file_to_bytes(r, f, bytes_max, data, bytes);
    file_close(r, f);
    return rc;
}
