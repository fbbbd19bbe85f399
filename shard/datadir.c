/* datadir.c - the identity and the lock of a data directory; see datadir.h. */
#include "shard/datadir.h"

#include "reactor/base/mark.h"

#include "reactor/base/checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { IDENTITY_BYTES_MAX = 512, LAYOUT_FIRST = 1 };

void datadir_layout_path(char *to, size_t bytes, const char *directory, unsigned layout)
{
    snprintf(to, bytes, "%s/layout-%u", directory, layout);
}

void datadir_shard_path(char *to, size_t bytes, const char *directory, unsigned layout, unsigned core)
{
    snprintf(to, bytes, "%s/layout-%u/shard-%03u", directory, layout, core);
}

static void identity_path(char *to, const char *directory, const char *suffix)
{
    snprintf(to, DATADIR_PATH_MAX, "%s/IDENTITY%s", directory, suffix);
}

static size_t format_identity(char text[IDENTITY_BYTES_MAX], const struct datadir_identity *id)
{
    int bytes = snprintf(text, IDENTITY_BYTES_MAX,
                         "torc data directory\nformat %d\nnode %u\ncores %u\nvnode-bits %u\nlayout %u\n",
                         DATADIR_FORMAT, id->node, id->cores, id->vnode_bits, id->layout);
    uint64_t check = checksum_bytes(text, (size_t)bytes);
    bytes += snprintf(text + bytes, IDENTITY_BYTES_MAX - (size_t)bytes, "check %016" PRIx64 "\n", check);
    return (size_t)bytes;
}

/* `text` ends with a null byte. */
static int parse_identity(const char *text, const char *directory, struct datadir_identity *out, char *why,
                          size_t why_bytes)
{
    unsigned format = 0;
    if (sscanf(text, "torc data directory\nformat %u\n", &format) != 1) {
        snprintf(why, why_bytes, "%s/IDENTITY is not readable as one of torc's; restore it from a copy",
                 directory);
        return TORC_E_CORRUPT;
    }
    if (format != DATADIR_FORMAT) {
        snprintf(why, why_bytes,
                 "%s has data format %u, this torcd reads format %d; use the torcd that wrote it", directory,
                 format, DATADIR_FORMAT);
        return TORC_E_DATA_FORMAT;
    }
    const char *rest = strstr(text, "node ");
    char again[IDENTITY_BYTES_MAX];
    bool is_whole = rest && sscanf(rest, "node %u\ncores %u\nvnode-bits %u\nlayout %u\n", &out->node,
                                   &out->cores, &out->vnode_bits, &out->layout) == 4;
    if (is_whole)
        format_identity(again, out);
    is_whole = is_whole && strcmp(text, again) == 0 && out->cores > 0 && out->cores <= REACTOR_CORES_MAX &&
               out->layout > 0 && out->vnode_bits <= DATADIR_VNODE_BITS_MAX;
    if (is_whole)
        return 0;
    snprintf(why, why_bytes, "%s/IDENTITY is damaged; restore it from a copy", directory);
    return TORC_E_CORRUPT;
}

/* Another number of cores is no reason to refuse it. */
static int compare_identity(const struct datadir_identity *found, const char *directory,
                            const struct datadir_identity *wanted, char *why, size_t why_bytes)
{
    if (found->node == wanted->node && found->vnode_bits == wanted->vnode_bits)
        return 0;
    snprintf(why, why_bytes,
             "%s was made with --node-id %u --vnode-bits %u; start it so, or name another directory",
             directory, found->node, found->vnode_bits);
    return TORC_E_CONFIGURATION;
}

/* The first name that is neither the file system's own nor an identity that a crash cut off. */
static int first_foreign_name(void *context, const char *name)
{
    if (strcmp(name, "IDENTITY.new") == 0)
        MARK(an_identity_was_cut_off_by_a_crash);
    if (strcmp(name, "IDENTITY.new") == 0 || strcmp(name, "lost+found") == 0)
        return 0;
    snprintf(context, 256, "%s", name);
    return 1;
}

/* The name of the directory, made by this start or by one that crashed, survives a loss of power before
 * anything in it is acknowledged. A parent that may not be read cannot be synced: such a directory was made
 * by others. */
static int sync_parent(struct reactor *r, const char *directory)
{
    int rc = directory_sync_parent(r, directory);
    return rc == -EACCES ? 0 : rc;
}

int datadir_commit(struct reactor *r, const char *directory, const struct datadir_identity *id)
{
    char path[DATADIR_PATH_MAX], temporary[DATADIR_PATH_MAX], text[IDENTITY_BYTES_MAX];
    struct file *f;
    identity_path(path, directory, "");
    identity_path(temporary, directory, ".new");
    size_t bytes = format_identity(text, id);
    int rc = file_open(r, temporary, FILE_WRITE | FILE_CREATE, &f);
    if (rc)
        return rc;
    rc = file_write(r, f, text, bytes, 0, true);
    if (rc == 0)
        rc = file_truncate(r, f, bytes);
    if (rc == 0)
        rc = file_sync(r, f);
    file_close(r, f);
    if (rc == 0)
        rc = file_rename(r, temporary, path);
    return rc ? rc : directory_sync(r, directory);
}

/* The first layout with its shards, all empty, is there before the identity: so what is missing later is
 * known as lost. */
static int make_layout(struct reactor *r, const char *directory, unsigned cores)
{
    char path[DATADIR_PATH_MAX];
    datadir_layout_path(path, sizeof path, directory, LAYOUT_FIRST);
    int rc = directory_create(r, path);
    for (unsigned core = 0; rc == 0 && core < cores; core++) {
        datadir_shard_path(path, sizeof path, directory, LAYOUT_FIRST, core);
        rc = directory_create(r, path);
    }
    datadir_layout_path(path, sizeof path, directory, LAYOUT_FIRST);
    if (rc == 0)
        rc = directory_sync(r, path);
    return rc ? rc : directory_sync(r, directory);
}

struct empty_layout {
    struct reactor *reactor;
    const char *directory;
};

static int remove_empty_shard(void *context, const char *name)
{
    const struct empty_layout *l = context;
    char path[DATADIR_PATH_MAX];
    unsigned core;
    if (sscanf(name, "shard-%3u", &core) != 1)
        return 0;
    datadir_shard_path(path, sizeof path, l->directory, LAYOUT_FIRST, core);
    return directory_remove(l->reactor, path);
}

/* That a start made which crashed before it had an identity; one with something in it stays and is told. */
static void remove_empty_layout(struct reactor *r, const char *directory)
{
    struct empty_layout layout = {r, directory};
    char path[DATADIR_PATH_MAX];
    datadir_layout_path(path, sizeof path, directory, LAYOUT_FIRST);
    if (directory_list(r, path, remove_empty_shard, &layout) != 0)
        return;
    if (directory_remove(r, path) == 0)
        MARK(a_layout_was_made_and_no_identity);
}

/* A directory without an identity is made ours only when there is nothing in it of someone else's. */
static int adopt(struct reactor *r, const char *directory, struct datadir_identity *id, char *why,
                 size_t why_bytes)
{
    char name[256] = "";
    remove_empty_layout(r, directory);
    int rc = directory_list(r, directory, first_foreign_name, name);
    if (rc == 1) {
        snprintf(why, why_bytes, "%s is not empty (%s) and not a torc data directory; name another",
                 directory, name);
        return TORC_E_DATA_FORMAT;
    }
    id->layout = LAYOUT_FIRST;
    rc = rc < 0 ? rc : sync_parent(r, directory);
    if (rc == 0)
        rc = make_layout(r, directory, id->cores);
    if (rc == 0)
        rc = datadir_commit(r, directory, id);
    if (rc)
        snprintf(why, why_bytes, "cannot write to %s: %s", directory, error_sentence(rc));
    return rc;
}

static int read_identity(struct reactor *r, const char *directory, unsigned flags,
                         char text[IDENTITY_BYTES_MAX])
{
    char path[DATADIR_PATH_MAX];
    struct file *f;
    identity_path(path, directory, "");
    int rc = file_open(r, path, flags, &f);
    if (rc)
        return rc;
    int64_t bytes = file_read(r, f, text, IDENTITY_BYTES_MAX - 1, 0);
    file_close(r, f);
    if (bytes < 0)
        return (int)bytes;
    text[bytes] = '\0';
    if (strlen(text) < (size_t)bytes) /* it is text; what stands behind a zero byte would go unseen */
        text[0] = '\0';
    return 0;
}

static int lock(struct reactor *r, const char *directory, char *why, size_t why_bytes)
{
    int rc = directory_lock(r, directory);
    if (rc == -EWOULDBLOCK) {
        snprintf(why, why_bytes, "%s is in use by another torcd; stop that one or name another directory",
                 directory);
        return TORC_E_IN_USE;
    }
    if (rc)
        snprintf(why, why_bytes, "cannot lock the data directory %s: %s", directory, error_sentence(rc));
    return rc;
}

static int load(struct reactor *r, const char *directory, unsigned flags, struct datadir_identity *out,
                char *why, size_t why_bytes)
{
    char text[IDENTITY_BYTES_MAX];
    int rc = read_identity(r, directory, flags, text);
    if (rc == -ENOENT)
        return rc;
    if (rc) {
        snprintf(why, why_bytes, "cannot use %s/IDENTITY: %s", directory, error_sentence(rc));
        return rc;
    }
    return parse_identity(text, directory, out, why, why_bytes);
}

/* Who wrote the identity that was read may have failed, or been killed, before its name was durable. All that
 * is acknowledged from now on depends on it. */
static int keep_identity(struct reactor *r, const char *directory, char *why, size_t why_bytes)
{
    int rc = directory_sync(r, directory);
    if (rc)
        snprintf(why, why_bytes, "cannot make %s/IDENTITY durable: %s", directory, error_sentence(rc));
    return rc;
}

int datadir_open(struct reactor *r, const char *directory, struct datadir_identity *identity, char *why,
                 size_t why_bytes)
{
    struct datadir_identity found;
    int rc = directory_create(r, directory);
    if (rc && rc != -EEXIST) {
        snprintf(why, why_bytes, "cannot make the data directory %s: %s", directory, error_sentence(rc));
        return rc;
    }
    rc = lock(r, directory, why, why_bytes);
    if (rc)
        return rc;
    /* For writing, too: a directory that cannot be written is found out here. */
    rc = load(r, directory, FILE_READ | FILE_WRITE, &found, why, why_bytes);
    if (rc == -ENOENT)
        return adopt(r, directory, identity, why, why_bytes);
    if (rc == 0)
        rc = compare_identity(&found, directory, identity, why, why_bytes);
    if (rc == 0)
        rc = keep_identity(r, directory, why, why_bytes);
    if (rc == 0)
        *identity = found;
    return rc;
}

int datadir_look(struct reactor *r, const char *directory, struct datadir_identity *out, char *why,
                 size_t why_bytes)
{
    int rc = lock(r, directory, why, why_bytes);
    if (rc)
        return rc;
    rc = load(r, directory, FILE_READ, out, why, why_bytes);
    if (rc == -ENOENT)
        snprintf(why, why_bytes, "%s is no data directory of torc: it has no IDENTITY", directory);
    return rc;
}
