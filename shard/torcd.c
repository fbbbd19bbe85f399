/* torcd.c - the server: options, then one shard on each core. */
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EXIT_WRONG = 1, EXIT_USAGE = 2 };

/* A server of many connections wants all the descriptors that the system gives it. */
static void raise_descriptors(const struct options *o)
{
    uint64_t allowed = reactor_raise_descriptors();
    if (allowed < (uint64_t)o->connections_max + 1024)
        fprintf(stderr,
                "torcd: the system allows %llu open files; fewer connections than connections-max fit in\n",
                (unsigned long long)allowed);
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
    raise_descriptors(&options);
    struct shard_context context = {.options = &options};
    struct reactor_options reactor = {.core_count = options.cores, .first_cpu = options.pin_first_cpu};
    int rc = reactor_run(&reactor, shard_main, &context, why, sizeof why);
    if (rc == 0)
        return EXIT_SUCCESS;
    if (!context.has_started) /* else the core that failed has said why */
        fprintf(stderr, "torcd: %s: %s\n", error_sentence(rc), why);
    return EXIT_WRONG;
}
