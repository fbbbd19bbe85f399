/* check.c - `torc check DIR`: reads all of a data directory that no server uses, and says what is wrong. */
#include "offline/check.h"

#include "offline/offline.h"
#include "shard/datadir.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { WHY_BYTES = 512 };

void check_begin_file(struct check *c)
{
    if (c->told > CHECK_TOLD_MAX && !c->is_silent)
        printf("  and %u more in that file\n", c->told - CHECK_TOLD_MAX);
    c->told = 0;
}

void check_problem(struct check *c, const char *path, uint64_t offset, const char *format, ...)
{
    c->problems++;
    if (++c->told > CHECK_TOLD_MAX || c->is_silent)
        return;
    printf("%s: ", path);
    if (offset != UINT64_MAX)
        printf("byte %llu: ", (unsigned long long)offset);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static int check_shards(struct check *c, const char *directory, const struct datadir_identity *id)
{
    int rc = 0;
    for (unsigned core = 0; rc == 0 && core < id->cores; core++) {
        char path[DATADIR_PATH_MAX];
        uint32_t first = datadir_first_vnode(id->cores, id->vnode_bits, core);
        uint32_t end = datadir_first_vnode(id->cores, id->vnode_bits, core + 1);
        struct manifest_shard shard = {(uint8_t)id->vnode_bits, (uint16_t)first, (uint16_t)(end - first)};
        datadir_shard_path(path, sizeof path, directory, id->layout, core);
        rc = check_shard(c, path, &shard);
        check_begin_file(c);
        if (rc)
            offline_complain("%s: %s", path, error_sentence(rc));
    }
    return rc;
}

static int check_directory(struct reactor *r, void *context)
{
    const char *directory = context;
    struct check c = {.reactor = r};
    struct datadir_identity id;
    char why[WHY_BYTES] = "";
    int rc = datadir_look(r, directory, &id, why, sizeof why);
    if (rc == TORC_E_CORRUPT) {
        printf("%s: without it nothing else can be looked at\n", why);
        return OFFLINE_DAMAGED;
    }
    if (rc)
        return offline_complain("%s", why);
    printf("%s: node %u, %u cores, 2^%u vnodes, layout %u\n", directory, id.node, id.cores, id.vnode_bits,
           id.layout);
    if (check_shards(&c, directory, &id) != 0)
        return OFFLINE_FAILED;
    printf("%llu records in %llu tables of %llu bytes, %llu records in %llu bytes of log: ",
           (unsigned long long)c.records, (unsigned long long)c.tables, (unsigned long long)c.table_bytes,
           (unsigned long long)c.log_records, (unsigned long long)c.log_bytes);
    if (c.problems == 0) {
        printf("all is good\n");
        return OFFLINE_GOOD;
    }
    printf("%llu %s\n", (unsigned long long)c.problems, c.problems == 1 ? "problem" : "problems");
    return OFFLINE_DAMAGED;
}

int offline_check(const char *directory)
{
    return offline_run(check_directory, (void *)(uintptr_t)directory);
}
