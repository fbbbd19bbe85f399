/* wal_reader.c - brings one segment of the log into memory, three pieces of 1 MiB ahead; see wal_reader.h.
 *
 * Pieces complete in any order and are handed on in order. A piece that fails is read again block by block,
 * so that one bad block of the disk costs one block of the log. */
#include "engine/wal_reader.h"

#include "engine/patience.h"
#include "reactor/base/mark.h"

void wal_reader_init(struct wal_reader *rd, struct reactor *r)
{
    *rd = (struct wal_reader){.reactor = r};
    event_init(&rd->arrived);
}

void wal_reader_deinit(struct wal_reader *rd)
{
    ASSERT(!rd->file);
    reactor_free(rd->reactor, rd->buffer);
    rd->buffer = NULL;
}

/* Returns: false when it cannot be read, and `to` is zeros. */
static bool read_block(struct reactor *r, struct file *f, uint8_t *to, uint64_t offset)
{
    int64_t got = read_patiently(r, f, to, WAL_BLOCK_BYTES, offset);
    if (got < 0)
        got = file_read(r, f, to, WAL_BLOCK_BYTES, offset);
    size_t good = got > 0 ? (size_t)got : 0;
    memset(to + good, 0, WAL_BLOCK_BYTES - good);
    return got >= 0;
}

uint64_t wal_read_blocks(struct reactor *r, struct file *f, uint8_t *to, size_t bytes, uint64_t offset)
{
    ASSERT(bytes % WAL_BLOCK_BYTES == 0 && offset % WAL_BLOCK_BYTES == 0);
    int64_t got = read_patiently(r, f, to, bytes, offset);
    if (got >= 0) {
        memset(to + got, 0, bytes - (size_t)got);
        return 0;
    }
    MARK(unreadable_log_is_read_block_by_block);
    uint64_t unreadable_end = 0;
    for (size_t at = 0; at < bytes; at += WAL_BLOCK_BYTES)
        if (!read_block(r, f, to + at, offset + at)) {
            MARK(block_of_the_log_cannot_be_read);
            unreadable_end = offset + at + WAL_BLOCK_BYTES;
        }
    return unreadable_end;
}

static size_t piece_bytes(const struct wal_reader *rd, uint64_t offset)
{
    uint64_t left = rd->bytes - offset;
    return left < WAL_READ_BYTES ? (size_t)left : WAL_READ_BYTES;
}

static struct wal_read *read_at(struct wal_reader *rd, uint64_t offset)
{
    return &rd->reads[offset / WAL_READ_BYTES % WAL_READS_AHEAD];
}

static void read_over(struct file_operation *op)
{
    struct wal_read *read = CONTAINER_OF(op, struct wal_read, op);
    read->is_done = true;
    event_set(read->reader->reactor, &read->reader->arrived, 0);
}

static void read_ahead(struct wal_reader *rd)
{
    while (rd->issued < rd->bytes && rd->issued < rd->loaded + (uint64_t)WAL_READS_AHEAD * WAL_READ_BYTES) {
        struct wal_read *read = read_at(rd, rd->issued);
        size_t bytes = piece_bytes(rd, rd->issued);
        *read = (struct wal_read){.op.done = read_over, .reader = rd};
        file_read_start(rd->reactor, rd->file, &read->op, rd->buffer + rd->issued, bytes, rd->issued);
        rd->issued += bytes;
    }
}

/* Takes the next piece, which has arrived. */
static void take_piece(struct wal_reader *rd)
{
    const struct wal_read *read = read_at(rd, rd->loaded);
    size_t bytes = piece_bytes(rd, rd->loaded);
    ASSERT(read->is_done);
    if (read->op.result < 0) {
        uint8_t *to = rd->buffer + rd->loaded;
        uint64_t unreadable_end = wal_read_blocks(rd->reactor, rd->file, to, bytes, rd->loaded);
        rd->unreadable_end = unreadable_end ? unreadable_end : rd->unreadable_end;
    } else {
        memset(rd->buffer + rd->loaded + read->op.result, 0, bytes - (size_t)read->op.result);
    }
    rd->loaded += bytes;
}

static void await_piece(struct wal_reader *rd)
{
    while (!read_at(rd, rd->loaded)->is_done) {
        int rc = event_wait(rd->reactor, &rd->arrived, EVENT_FOREVER);
        ASSERT(rc == 0);
    }
}

static int reserve(struct wal_reader *rd)
{
    if (rd->bytes <= rd->capacity)
        return 0;
    reactor_free(rd->reactor, rd->buffer);
    rd->capacity = 0;
    rd->buffer = reactor_alloc_aligned(rd->reactor, rd->bytes, FILE_ALIGNMENT);
    if (!rd->buffer)
        return TORC_E_NO_MEMORY;
    rd->capacity = rd->bytes;
    return 0;
}

int wal_reader_open(struct wal_reader *rd, const char *path)
{
    ASSERT(!rd->file);
    int rc = file_open(rd->reactor, path, FILE_READ | FILE_DIRECT, &rd->file);
    if (rc)
        return rc;
    uint64_t bytes = 0;
    rc = file_size(rd->reactor, rd->file, &bytes);
    if (rc == 0 && bytes > WAL_SEGMENT_BYTES_MAX)
        bytes = WAL_SEGMENT_BYTES_MAX;
    rd->bytes = (bytes + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    rd->loaded = 0;
    rd->issued = 0;
    rd->unreadable_end = 0;
    if (rc == 0)
        rc = reserve(rd);
    if (rc) {
        file_close(rd->reactor, rd->file);
        rd->file = NULL;
        return rc;
    }
    read_ahead(rd);
    return 0;
}

void wal_reader_need(struct wal_reader *rd, uint64_t end)
{
    ASSERT(end <= rd->bytes);
    while (rd->loaded < end) {
        await_piece(rd);
        take_piece(rd);
        read_ahead(rd);
    }
}

void wal_reader_close(struct wal_reader *rd)
{
    if (!rd->file)
        return;
    while (rd->loaded < rd->issued) { /* the kernel may still write to the buffer */
        await_piece(rd);
        rd->loaded += piece_bytes(rd, rd->loaded);
    }
    file_close(rd->reactor, rd->file);
    rd->file = NULL;
}
