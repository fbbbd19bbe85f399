/* directory.c - what both backends can say of directories by the calls they have. */
#include "reactor/reactor.h"

#include <errno.h>
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
