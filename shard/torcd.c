/* torcd.c - the server: options, then one shard on each core. */
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Descriptors of a core that are not for connections: its tables, value logs and log, and what it copies. */
enum { EXIT_WRONG = 1, EXIT_USAGE = 2, FILES_PER_CORE = 1024 };

/* A server of many connections wants all the descriptors that the system gives it, and its storage some of
 * them whoever connects. Returns: how many there are, when connections get fewer for it; else 0. */
static uint64_t divide_descriptors(struct options *o)
{
    uint64_t allowed = reactor_raise_descriptors(), each = allowed / o->cores;
    if (each == 0 || each >= (uint64_t)o->connections_max + FILES_PER_CORE)
        return 0;
    uint64_t room = each > 2 * FILES_PER_CORE ? each - FILES_PER_CORE : each / 2;
    if (room >= o->connections_max)
        return 0;
    o->connections_max = room ? (uint32_t)room : 1;
    return allowed;
}

int main(int argc, char **argv)
{
    struct options options;
    char why[OPTIONS_WHY_BYTES] = "";
    switch (options_load(&options, argc, argv, environ, why, sizeof why)) {
    case OPTIONS_DONE:
        return EXIT_SUCCESS;
    case OPTIONS_WRONG:
        fprintf(stderr, "torcd: %s\n", why);
        return EXIT_USAGE;
    case OPTIONS_RUN:
        break;
    }
    struct shard_context context = {.options = &options};
    context.files_allowed = divide_descriptors(&options);
    struct reactor_options reactor = {.core_count = options.cores, .first_cpu = options.pin_first_cpu};
    int rc = reactor_run(&reactor, shard_main, &context, why, sizeof why);
    if (rc == 0)
        return EXIT_SUCCESS;
    if (!context.has_started) /* else the core that failed has said why */
        fprintf(stderr, "torcd: %s: %s\n", error_sentence(rc), why);
    return EXIT_WRONG;
}
