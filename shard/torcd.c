/* torcd.c - the server: options, then one shard on each core. */
#include "shard/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_WRONG = 1, EXIT_USAGE = 2 };

/* A server of many connections wants all the descriptors that the system gives it. */
static void raise_descriptor_limit(const struct options *o)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = (rlim_t)o->connections_max + 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        perror("torcd: cannot raise the limit of open files");
    if (limit.rlim_cur < wanted)
        fprintf(stderr,
                "torcd: the system allows %llu open files; fewer connections than connections-max fit in\n",
                (unsigned long long)limit.rlim_cur);
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
    raise_descriptor_limit(&options);
    struct shard_context context = {.options = &options};
    struct reactor_options reactor = {.core_count = options.cores, .first_cpu = options.pin_first_cpu};
    int rc = reactor_run(&reactor, shard_main, &context, why, sizeof why);
    if (rc == 0)
        return EXIT_SUCCESS;
    if (!context.has_started) /* else the core that failed has said why */
        fprintf(stderr, "torcd: %s: %s\n", error_sentence(rc), why);
    return EXIT_WRONG;
}
