/* backup_files.c - the files of a snapshot into a backup; see backup_files.h.
 *
 * A file comes under a name of its own, is hashed on the way, and gets its name when it is durable: so a name
 * in files/ always stands for a whole file. */
#include "shard/backup_files.h"

#include "engine/copy.h"
#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    NAMES_FIRST = 256,
    NAMES_MAX = 1 << 20,
    SUMS_FORMAT = 1,
    SUMS_LINE_BYTES = 160,
    STORED_BYTES = CATALOGUE_PATH_BYTES - 16, /* of a name in files/ */
};

/* The names in files/, in byte order. */
struct names {
    struct reactor *reactor;
    struct catalogue_text text; /* each with a zero byte */
    uint32_t *at;
    uint32_t count;
    uint32_t capacity;
};

struct bringing {
    struct backup_files *files;
    struct names names;
    struct names sums;               /* "NAME IDENTITY CHECKSUM" of files that were read before */
    struct catalogue_text sums_next; /* the same of the files of this snapshot, as it is written */
    char from[DATADIR_PATH_MAX];
    char to[DATADIR_PATH_MAX];
    char incoming[DATADIR_PATH_MAX];
    uint8_t *block; /* FILE_ALIGNMENT, aligned */
};

/* ---- what is there ---- */

static int note_name(void *context, const char *name)
{
    struct names *n = context;
    if (n->count == n->capacity) {
        uint32_t capacity = n->capacity ? n->capacity * 2 : NAMES_FIRST;
        uint32_t *grown =
            capacity <= NAMES_MAX ? reactor_realloc(n->reactor, n->at, capacity * sizeof *grown) : NULL;
        if (!grown)
            return TORC_E_NO_MEMORY;
        n->at = grown;
        n->capacity = capacity;
    }
    n->at[n->count] = (uint32_t)n->text.bytes;
    int rc = catalogue_text_append(n->reactor, &n->text, slice_of(name, strlen(name) + 1));
    n->count += rc == 0;
    return rc;
}

static const char *name_at(const struct names *n, uint32_t i)
{
    return n->text.data + n->at[i];
}

/* The first name that begins with `prefix`; null when none does. */
static const char *find_name(const struct names *n, const char *prefix)
{
    size_t bytes = strlen(prefix);
    uint32_t low = 0, high = n->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strncmp(name_at(n, middle), prefix, bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool is_there = low < n->count && strncmp(name_at(n, low), prefix, bytes) == 0;
    return is_there ? name_at(n, low) : NULL;
}

/* ---- content checksums that are known ---- */

static int sums_head(const struct bringing *b, char text[SUMS_LINE_BYTES])
{
    return snprintf(text, SUMS_LINE_BYTES, "torc sums\nformat %d\nhistory %016" PRIx64 "\n", SUMS_FORMAT,
                    b->files->history);
}

/* A text that is whole and of this history; else all files are read again. */
static int take_sums(struct bringing *b, char *text, size_t bytes)
{
    enum { CHECK_BYTES = 6 + 16 + 1 };
    char head[SUMS_LINE_BYTES];
    size_t head_bytes = (size_t)sums_head(b, head);
    uint64_t check;
    if (bytes < head_bytes + CHECK_BYTES || strlen(text) != bytes || memcmp(text, head, head_bytes) != 0)
        return 0;
    char *last = text + bytes - CHECK_BYTES;
    if (sscanf(last, "check %16" SCNx64, &check) != 1 || check != checksum_bytes(text, (size_t)(last - text)))
        return 0;
    int rc = 0;
    for (char *line = text + head_bytes, *end; rc == 0 && line < last; line = end + 1) {
        end = strchr(line, '\n');
        ASSERT(end); /* the check stands behind it */
        *end = '\0';
        rc = note_name(&b->sums, line);
        task_yield_if_due(b->files->reactor);
    }
    return rc;
}

/* Waits. */
static int read_sums(struct bringing *b)
{
    uint8_t *data;
    size_t bytes;
    if (!b->files->sums)
        return 0;
    int rc = copy_file_to_bytes(b->files->reactor, b->files->sums, CATALOGUE_BYTES_MAX, &data, &bytes);
    if (rc)
        return rc == TORC_E_NO_MEMORY ? rc : 0;
    rc = take_sums(b, (char *)data, bytes);
    reactor_free(b->files->reactor, data);
    return rc;
}

/* Waits. */
static int write_sums(struct bringing *b)
{
    struct reactor *r = b->files->reactor;
    struct catalogue_text text = {0};
    char head[SUMS_LINE_BYTES];
    if (!b->files->sums)
        return 0;
    int head_bytes = sums_head(b, head);
    int rc = catalogue_text_append(r, &text, slice_of(head, (size_t)head_bytes));
    if (rc == 0)
        rc = catalogue_text_append(r, &text, slice_of(b->sums_next.data, b->sums_next.bytes));
    if (rc == 0)
        rc = catalogue_text_add(r, &text, "check %016" PRIx64 "\n", checksum_bytes(text.data, text.bytes));
    if (rc == 0)
        rc = copy_bytes_to_file(r, slice_of(text.data, text.bytes), b->files->sums);
    reactor_free(r, text.data);
    return rc;
}

static bool is_known(const struct bringing *b, const char *name, uint64_t identity, uint64_t *checksum)
{
    char prefix[SUMS_LINE_BYTES];
    snprintf(prefix, sizeof prefix, "%.63s %016" PRIx64 " ", name, identity);
    const char *line = find_name(&b->sums, prefix);
    return line && sscanf(line + strlen(prefix), "%16" SCNx64, checksum) == 1;
}

/* ---- one file ---- */

static int join(char to[DATADIR_PATH_MAX], const char *directory, const char *name)
{
    int length = snprintf(to, DATADIR_PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < DATADIR_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* A disk that fails is named by a file on it: that of the data, or that of the backup. */
static void tell(struct bringing *b, const char *act, const char *path, int rc)
{
    if (rc && rc != TORC_E_CANCELLED && rc != TORC_E_NO_MEMORY)
        snprintf(b->files->why, BACKUP_FILES_WHY_BYTES, "cannot %s %.400s: %s", act, path,
                 error_sentence(rc));
}

/* Waits. */
static int copy(struct bringing *b, const struct copy_options *options, struct copied *out)
{
    int rc = copy_file(b->files->reactor, options, out);
    tell(b, out->is_of_target ? "write" : "read", out->is_of_target ? options->to : options->from, rc);
    return rc;
}

/* Waits. */
static int hash_block(struct bringing *b, struct file *f, uint64_t offset, uint64_t *hash)
{
    int64_t got = file_read(b->files->reactor, f, b->block, FILE_ALIGNMENT, offset);
    if (got >= 0)
        *hash = XXH3_64bits_withSeed(b->block, (size_t)got, *hash);
    return got < 0 ? (int)got : 0;
}

/* Waits. */
static int identify(struct bringing *b, uint64_t *bytes, uint64_t *identity)
{
    struct reactor *r = b->files->reactor;
    struct file *f;
    int rc = file_open(r, b->from, FILE_READ | FILE_DIRECT, &f);
    if (rc == 0)
        rc = file_size(r, f, bytes);
    uint8_t length[8];
    store_u64le(length, rc == 0 ? *bytes : 0);
    *identity = checksum_bytes(length, sizeof length);
    if (rc == 0)
        rc = hash_block(b, f, 0, identity);
    if (rc == 0 && *bytes > FILE_ALIGNMENT)
        rc = hash_block(b, f, (*bytes - 1) / FILE_ALIGNMENT * FILE_ALIGNMENT, identity);
    file_close(r, f);
    tell(b, "read", b->from, rc);
    return rc;
}

/* Waits. The file b->from as b->to: linked and read for its checksum, or copied. */
static int bring(struct bringing *b, struct copied *out)
{
    struct backup_files *f = b->files;
    struct copy_options options = {
        .from = b->from,
        .to = b->to,
        .disk = f->disk,
        .class = DISK_BACKUP,
        .is_cancelled = f->is_cancelled,
    };
    int rc = file_remove(f->reactor, b->to); /* of a try that was cut short */
    if (rc && rc != -ENOENT)
        return rc;
    rc = f->prefers_copies ? -EXDEV : file_link(f->reactor, b->from, b->to);
    bool is_linked = rc == 0;
    if (rc && rc != -EXDEV && rc != -EPERM && rc != -EMLINK && rc != -EOPNOTSUPP)
        return rc;
    if (is_linked)
        options.to = NULL;
    rc = copy(b, &options, out);
    if (rc == 0) {
        f->new_files++;
        f->new_bytes += out->bytes;
    }
    return rc;
}

static int add_line(struct bringing *b, const char *name, const struct copied *copied, const char *directory,
                    const char *stored)
{
    struct catalogue_file line = {
        .shard = b->files->shard,
        .bytes = copied->bytes,
        .checksum = copied->checksum,
    };
    snprintf(line.name, sizeof line.name, "%s", name);
    int length = snprintf(line.path, sizeof line.path, "%s%s", directory, stored);
    ASSERT(length > 0 && (size_t)length < sizeof line.path);
    b->files->files++;
    b->files->bytes += copied->bytes;
    return catalogue_add_file(b->files->reactor, b->files->lines, &line);
}

/* Manifest and log: of this backup alone. */
static int bring_own(struct bringing *b, const char *name)
{
    char own[CATALOGUE_PATH_BYTES];
    struct copied copied;
    snprintf(own, sizeof own, "shard-%03u/%.63s", b->files->shard, name);
    int length = snprintf(b->to, sizeof b->to, "%s/%s/%s", b->files->target, b->files->backup, own);
    if (length < 0 || (size_t)length >= sizeof b->to)
        return -ENAMETOOLONG;
    int rc = bring(b, &copied);
    return rc ? rc : add_line(b, name, &copied, "", own);
}

static int bring_new(struct bringing *b, const char *prefix, struct copied *copied, char stored[STORED_BYTES])
{
    char files[DATADIR_PATH_MAX];
    int rc = join(files, b->files->target, "files");
    memcpy(b->to, b->incoming, sizeof b->to);
    if (rc == 0)
        rc = bring(b, copied);
    if (rc)
        return rc;
    snprintf(stored, STORED_BYTES, "%.120s%016" PRIx64, prefix, copied->checksum);
    rc = join(b->to, files, stored);
    return rc ? rc : file_rename(b->files->reactor, b->incoming, b->to);
}

/* Waits. Is the file in files/ already? Where one looks the same and this one was never read, it is now. */
static int find_stored(struct bringing *b, const char *name, uint64_t identity, struct copied *copied,
                       char stored[STORED_BYTES])
{
    struct copy_options options = {
        .from = b->from,
        .disk = b->files->disk,
        .class = DISK_BACKUP,
        .is_cancelled = b->files->is_cancelled,
    };
    int length = snprintf(stored, STORED_BYTES, "%.63s-%016" PRIx64 "-", name, identity);
    if (!find_name(&b->names, stored))
        return -ENOENT;
    if (!is_known(b, name, identity, &copied->checksum)) {
        int rc = copy(b, &options, copied);
        if (rc)
            return rc;
    }
    snprintf(stored + length, STORED_BYTES - (size_t)length, "%016" PRIx64, copied->checksum);
    return find_name(&b->names, stored) ? 0 : -ENOENT;
}

/* Tables and value logs. */
static int bring_shared(struct bringing *b, const char *name)
{
    char prefix[STORED_BYTES], stored[STORED_BYTES];
    struct copied copied = {0};
    uint64_t identity;
    int rc = identify(b, &copied.bytes, &identity);
    if (rc)
        return rc;
    snprintf(prefix, sizeof prefix, "%.63s-%016" PRIx64 "-", name, identity);
    rc = find_stored(b, name, identity, &copied, stored);
    if (rc == -ENOENT)
        rc = bring_new(b, prefix, &copied, stored);
    if (rc == 0)
        rc = catalogue_text_add(b->files->reactor, &b->sums_next, "%.63s %016" PRIx64 " %016" PRIx64 "\n",
                                name, identity, copied.checksum);
    return rc ? rc : add_line(b, name, &copied, "../files/", stored);
}

static int bring_one(void *context, const char *name)
{
    struct bringing *b = context;
    bool is_shared = strncmp(name, "table-", 6) == 0 || strncmp(name, "values-", 7) == 0;
    if (*b->files->is_cancelled)
        return TORC_E_CANCELLED;
    if (strlen(name) >= CATALOGUE_NAME_BYTES)
        return -ENAMETOOLONG;
    int rc = join(b->from, b->files->from, name);
    if (rc == 0)
        rc = is_shared ? bring_shared(b, name) : bring_own(b, name);
    return rc;
}

/* ---- all of them ---- */

static int sync_directories(struct bringing *b)
{
    const struct backup_files *f = b->files;
    int rc = join(b->to, f->target, "files");
    if (rc == 0)
        rc = directory_sync(f->reactor, b->to);
    if (rc == 0) {
        int length = snprintf(b->to, sizeof b->to, "%s/%s/shard-%03u", f->target, f->backup, f->shard);
        rc = length > 0 && (size_t)length < sizeof b->to ? directory_sync(f->reactor, b->to) : -ENAMETOOLONG;
    }
    return rc;
}

static int bring_all(struct bringing *b)
{
    struct backup_files *f = b->files;
    int length = snprintf(b->incoming, sizeof b->incoming, "%s/files/incoming-%03u", f->target, f->shard);
    int rc =
        length > 0 && (size_t)length < sizeof b->incoming ? join(b->to, f->target, "files") : -ENAMETOOLONG;
    if (rc == 0)
        rc = directory_list(f->reactor, b->to, note_name, &b->names);
    if (rc == 0)
        rc = read_sums(b);
    if (rc == 0)
        rc = directory_list(f->reactor, f->from, bring_one, b);
    if (rc == 0)
        rc = sync_directories(b);
    return rc ? rc : write_sums(b);
}

int backup_files_bring(struct backup_files *f)
{
    struct reactor *r = f->reactor;
    struct bringing *b = reactor_alloc_zeroed(r, sizeof *b);
    if (!b)
        return TORC_E_NO_MEMORY;
    b->files = f;
    b->names.reactor = b->sums.reactor = r;
    b->block = reactor_alloc_aligned(r, FILE_ALIGNMENT, FILE_ALIGNMENT);
    int rc = b->block ? bring_all(b) : TORC_E_NO_MEMORY;
    reactor_free(r, b->names.text.data);
    reactor_free(r, b->names.at);
    reactor_free(r, b->sums.text.data);
    reactor_free(r, b->sums.at);
    reactor_free(r, b->sums_next.data);
    reactor_free(r, b->block);
    reactor_free(r, b);
    return rc;
}
