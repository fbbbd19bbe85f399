/* server_node.c - a torcd on a simulated node; see server_node.h. */
#include "test/sim/server_node.h"

#include <stdio.h>

static void load_defaults(struct options *o)
{
    char why[OPTIONS_WHY_BYTES];
    char *arguments[] = {(char[]){"torcd"}, (char[]){"--data=/data"}, (char[]){"--insecure"}, NULL};
    char *environment[] = {NULL};
    enum options_next next =
        options_load(o, (int)ARRAY_COUNT(arguments) - 1, arguments, environment, why, sizeof why);
    ASSERT(next == OPTIONS_RUN);
}

void server_node_init(struct server_node *s, struct sim_world *w, const char *host, unsigned cores)
{
    *s = (struct server_node){.node = sim_node_new(w, host, NULL)};
    load_defaults(&s->options);
    struct options *o = &s->options;
    o->cores = cores;
    o->vnode_bits = 6;
    o->connections_max = 64;
    o->memtable_bytes = 64 << 10;
    o->segment_bytes = 256 << 10;
    o->log_bytes_max = 1 << 20;
    o->cache_bytes = 256 << 10;
    s->sizes = (struct engine_options){
        .value_bytes_max = SERVER_VALUE_BYTES_MAX,
        .table_bytes_max = 64 << 10,
        .list_shared_min = 4,
    };
    s->reactor = (struct reactor_options){.core_count = cores, .receive_buffer_count = 16};
    s->address = (struct address){.port = SERVER_PORT};
    snprintf(s->address.host, sizeof s->address.host, "%s", host);
    o->listen = s->address;
}

void server_node_start(struct server_node *s)
{
    s->context = (struct shard_context){.options = &s->options, .sizes = &s->sizes, .scan_looked_max = 64};
    s->reactor.core_count = s->options.cores;
    s->starts++;
    sim_node_start(s->node, &s->reactor, shard_main, &s->context);
}
