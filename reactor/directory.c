/* directory.c - what both backends can say of directories by the calls they have. */
#include "reactor/reactor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PARENT_BYTES_MAX = 4096 };

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
