/* directory.c - what both backends can say of directories by the calls they have. */
#include "reactor/reactor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PARENT_BYTES_MAX = 4096, DEPTH_MAX = 8 };

int directory_sync_parent(struct reactor *r, const char *path)
{
    char parent[PARENT_BYTES_MAX];
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/')
        bytes--;
    while (bytes > 0 && path[bytes - 1] != '/')
        bytes--;
    if (bytes >= sizeof parent)
        return -ENAMETOOLONG;
    memcpy(parent, bytes ? path : ".", bytes ? bytes : 1);
    parent[bytes ? bytes : 1] = '\0';
    return directory_sync(r, parent);
}

int file_probe(struct reactor *r, const char *path)
{
    struct file *f;
    int rc = file_open(r, path, FILE_READ, &f);
    if (rc == 0)
        file_close(r, f);
    return rc;
}

static int stop_at_name(void *context, const char *name)
{
    (void)context;
    (void)name;
    return 1;
}

int directory_has_names(struct reactor *r, const char *path)
{
    return directory_list(r, path, stop_at_name, NULL);
}

/* ---- removing all of it ---- */

struct removal {
    struct reactor *reactor;
    size_t bytes; /* of the path of the directory that is listed */
    char path[PARENT_BYTES_MAX];
};

/* Removes a file; stops at a directory, with its path. Returns: 1 then. */
static int remove_one(void *context, const char *name)
{
    struct removal *m = context;
    int length = snprintf(m->path + m->bytes, sizeof m->path - m->bytes, "/%s", name);
    if (length < 0 || (size_t)length >= sizeof m->path - m->bytes)
        return -ENAMETOOLONG;
    int rc = file_remove(m->reactor, m->path);
    if (rc == -EISDIR || rc == -EPERM)
        return 1;
    m->path[m->bytes] = '\0';
    return rc == -ENOENT ? 0 : rc;
}

static int remove_below(struct removal *m, size_t top_bytes)
{
    unsigned depth = 0;
    while (true) { /* ends: each turn removes a directory or goes down, and down at most DEPTH_MAX */
        m->bytes = strlen(m->path);
        int rc = directory_list(m->reactor, m->path, remove_one, m);
        if (rc == 1) {
            if (++depth > DEPTH_MAX)
                return -ENOTEMPTY;
            continue;
        }
        if (rc == 0)
            rc = directory_remove(m->reactor, m->path);
        if (rc || m->bytes == top_bytes)
            return rc;
        *strrchr(m->path, '/') = '\0';
        depth--;
    }
}

int directory_remove_all(struct reactor *r, const char *path)
{
    struct removal *m = reactor_alloc(r, sizeof *m);
    if (!m)
        return TORC_E_NO_MEMORY;
    m->reactor = r;
    int length = snprintf(m->path, sizeof m->path, "%s", path);
    bool fits = length > 0 && (size_t)length < sizeof m->path;
    int rc = fits ? remove_below(m, (size_t)length) : -ENAMETOOLONG;
    reactor_free(r, m);
    return rc == -ENOENT ? 0 : rc;
}
