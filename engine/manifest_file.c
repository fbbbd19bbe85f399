/* manifest_file.c - reads and writes one copy of the manifest; see manifest_file.h.
 *
 * A copy is overwritten in place: the other one is whole meanwhile. Blocks are allocated before the first
 * byte changes, so a full disk is found while both copies are still what they were. */
#include "engine/manifest_file.h"

#include "engine/patience.h"
#include "reactor/base/checksum.h"
#include "reactor/base/mark.h"

#include <errno.h>

enum { SHORTAGE_TRIES_MAX = 100, SHORTAGE_TRY_NS = 100 * 1000 * 1000 };

static uint64_t padded(uint64_t bytes)
{
    return (bytes + MANIFEST_BLOCK_BYTES - 1) / MANIFEST_BLOCK_BYTES * MANIFEST_BLOCK_BYTES;
}

/* ---- load ---- */

static int read_whole(struct reactor *r, struct file *f, struct manifest_image *image)
{
    uint64_t bytes = 0;
    int rc = file_size(r, f, &bytes);
    if (rc)
        return TORC_E_CORRUPT;
    if (bytes < MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES || bytes > MANIFEST_BYTES_MAX)
        return TORC_E_CORRUPT;
    image->padded = padded(bytes);
    image->data = reactor_alloc_aligned(r, image->padded, FILE_ALIGNMENT);
    if (!image->data)
        return TORC_E_NO_MEMORY;
    int64_t got = read_patiently(r, f, image->data, image->padded, 0);
    if (got < 0)
        MARK(manifest_copy_cannot_be_read);
    if (got < 0 || (uint64_t)got < bytes)
        return TORC_E_CORRUPT; /* what cannot be read is as good as damaged: the other copy decides */
    memset(image->data + got, 0, image->padded - (uint64_t)got);
    image->bytes = bytes;
    return 0;
}

/* Returns: 0, TORC_E_CORRUPT or TORC_E_DATA_FORMAT. */
static int verify(struct manifest_image *image, struct manifest_copy *copy)
{
    struct manifest_header header;
    int rc = manifest_header_decode(image->data, &header);
    if (rc)
        return rc;
    if (header.content_bytes > image->bytes - MANIFEST_HEADER_BYTES ||
        checksum_bytes(image->data + MANIFEST_HEADER_BYTES, header.content_bytes) != header.content_checksum)
        return TORC_E_CORRUPT;
    image->bytes = MANIFEST_HEADER_BYTES + header.content_bytes;
    copy->generation = header.generation;
    return 0;
}

static bool is_of_another(const struct manifest_image *image, const struct manifest_shard *shard)
{
    return shard && !manifest_is_of(slice_of(image->data, image->bytes), shard);
}

int manifest_file_load(struct reactor *r, struct manifest_copy *copy, const struct manifest_shard *shard,
                       struct manifest_image *image)
{
    *image = (struct manifest_image){0};
    copy->state = MANIFEST_COPY_ABSENT;
    struct file *f = NULL;
    int rc = file_open(r, copy->path, FILE_READ | FILE_WRITE | FILE_DIRECT, &f);
    if (rc == -ENOENT)
        return 0;
    if (rc && rc != -EIO)
        return rc;
    rc = rc ? TORC_E_CORRUPT : read_whole(r, f, image);
    if (rc == 0)
        rc = verify(image, copy);
    copy->state = MANIFEST_COPY_WHOLE;
    bool is_ours = rc == 0 && !is_of_another(image, shard);
    if (is_ours && file_write(r, f, image->data, image->padded, 0, true) != 0) {
        MARK(manifest_copy_cannot_be_made_durable);
        copy->state = MANIFEST_COPY_FAILED;
    }
    file_close(r, f);
    if (rc == 0)
        return 0;
    reactor_free(r, image->data);
    *image = (struct manifest_image){0};
    copy->state = rc == TORC_E_DATA_FORMAT ? MANIFEST_COPY_OTHER_VERSION : MANIFEST_COPY_BAD;
    return rc == TORC_E_DATA_FORMAT || rc == TORC_E_CORRUPT ? 0 : rc;
}

/* ---- write ---- */

static int make_room(struct reactor *r, struct file *f, const struct manifest_image *image)
{
    uint64_t bytes = 0;
    int rc = file_size(r, f, &bytes);
    if (rc == 0 && bytes > MANIFEST_BYTES_MAX) /* the next start would not read it */
        rc = file_truncate(r, f, image->padded);
    if (rc == 0 && bytes < image->padded)
        rc = file_allocate(r, f, bytes, image->padded - bytes);
    return rc == -EOPNOTSUPP ? 0 : rc;
}

int manifest_file_reserve(struct reactor *r, struct manifest_copy *copy, const struct manifest_image *image,
                          struct file **out)
{
    *out = NULL;
    if (copy->state == MANIFEST_COPY_FAILED) {
        MARK(failed_manifest_copy_is_made_anew);
        int rc = file_remove(r, copy->path);
        if (rc && rc != -ENOENT)
            return rc;
        copy->state = MANIFEST_COPY_ABSENT;
    }
    struct file *f = NULL;
    int rc = file_open(r, copy->path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT, &f);
    if (rc == 0)
        rc = make_room(r, f, image);
    if (rc) {
        file_close(r, f);
        return error_is_disk_full(rc) ? TORC_E_DISK_FULL : rc;
    }
    *out = f;
    return 0;
}

/* Nothing else says which generation a copy should have: a write that the disk reported and did not make
 * would be found by nobody. */
static int check_written(struct reactor *r, struct file *f, const struct manifest_image *image)
{
    uint8_t *back = image->data + image->padded;
    int64_t got = read_patiently(r, f, back, image->padded, 0);
    bool is_same = got == (int64_t)image->padded && memcmp(back, image->data, image->padded) == 0;
    if (is_same)
        return 0;
    MARK(manifest_does_not_read_back);
    return TORC_E_CORRUPT;
}

/* What was written may count already: there is no way back, so this waits a while for a descriptor. */
static int make_name_durable(struct reactor *r, const char *directory)
{
    int rc = directory_sync(r, directory);
    for (unsigned i = 0; error_is_shortage(rc) && i < SHORTAGE_TRIES_MAX; i++) {
        MARK(manifest_waits_for_a_descriptor);
        task_sleep(r, SHORTAGE_TRY_NS);
        rc = directory_sync(r, directory);
    }
    return rc;
}

int manifest_file_write(struct reactor *r, struct manifest_copy *copy, struct file *f,
                        const struct manifest_image *image, const char *directory)
{
    bool is_new = copy->state != MANIFEST_COPY_WHOLE;
    int rc = file_write(r, f, image->data, image->padded, 0, true);
    if (rc == 0)
        rc = check_written(r, f, image);
    file_close(r, f);
    if (rc == 0 && is_new)
        rc = make_name_durable(r, directory);
    copy->state = rc ? MANIFEST_COPY_FAILED : MANIFEST_COPY_WHOLE;
    return rc;
}
