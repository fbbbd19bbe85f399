/* removal.c - files and directories go, at once or a little at a time; see struct removal_pace. */
#include "reactor/base/mark.h"
#include "reactor/reactor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { STEP_BYTES_DEFAULT = 2 << 20, PATH_BYTES_MAX = 4096, DEPTH_MAX = 8 };

/* ---- one file ---- */

/* All but a step of it, from the end on. Returns: what is left, and goes with its name. */
static uint64_t give_back(struct reactor *r, struct file *f, const struct removal_pace *pace)
{
    uint64_t step = pace->step_bytes ? pace->step_bytes : STEP_BYTES_DEFAULT, names, bytes, gone = 0;
    if (file_names(r, f, &names) != 0 || file_size(r, f, &bytes) != 0)
        return 0;
    if (names != 1) {
        MARK(file_with_another_name_is_left_whole);
        return 0;
    }
    while (pace->pause(pace->context, gone, bytes) && bytes > step) {
        uint64_t from = (bytes - 1) / step * step;
        if (file_give_back(r, f, from, bytes - from) != 0)
            break;
        MARK(file_is_removed_in_steps);
        gone = bytes - from;
        bytes = from;
    }
    return bytes;
}

int file_remove_in_steps(struct reactor *r, const char *path, const struct removal_pace *pace)
{
    struct file *f;
    uint64_t left = 0;
    if (file_open(r, path, FILE_WRITE | FILE_NO_LINK, &f) == 0) {
        left = give_back(r, f, pace);
        file_close(r, f);
    }
    int rc = file_remove(r, path);
    if (rc == 0)
        pace->pause(pace->context, left, 0);
    return rc;
}

/* ---- a directory with all that is in it ---- */

struct removal {
    struct reactor *reactor;
    const struct removal_pace *pace; /* null: at once */
    size_t bytes;                    /* of the path of the directory that is listed */
    char path[PATH_BYTES_MAX];
};

/* Removes a file; stops at a directory, with its path. Returns: 1 then. */
static int remove_one(void *context, const char *name)
{
    struct removal *m = context;
    int length = snprintf(m->path + m->bytes, sizeof m->path - m->bytes, "/%s", name);
    if (length < 0 || (size_t)length >= sizeof m->path - m->bytes)
        return -ENAMETOOLONG;
    int rc = m->pace ? file_remove_in_steps(m->reactor, m->path, m->pace) : file_remove(m->reactor, m->path);
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

int directory_remove_all(struct reactor *r, const char *path, const struct removal_pace *pace)
{
    struct removal *m = reactor_alloc(r, sizeof *m);
    if (!m)
        return TORC_E_NO_MEMORY;
    m->reactor = r;
    m->pace = pace;
    int length = snprintf(m->path, sizeof m->path, "%s", path);
    bool fits = length > 0 && (size_t)length < sizeof m->path;
    int rc = fits ? remove_below(m, (size_t)length) : -ENAMETOOLONG;
    reactor_free(r, m);
    return rc == -ENOENT ? 0 : rc;
}
