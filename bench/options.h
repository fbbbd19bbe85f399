/* options.h - what the user asked for, checked. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "bench/driver.h"
#include "bench/keyspace.h"

enum {
    OPTIONS_CONNECTIONS_MAX = 60000,
    OPTIONS_DEPTH_MAX = 65536,
    OPTIONS_SLOTS_MAX = 1 << 24, /* connections * depth */
    OPTIONS_THREADS_MAX = 256,
    OPTIONS_HOST_BYTES_MAX = 256,
    OPTIONS_PORT_BYTES_MAX = 16,
};

struct options {
    const struct driver_class *class;
    char host[OPTIONS_HOST_BYTES_MAX];
    char port[OPTIONS_PORT_BYTES_MAX];
    struct workload workload;
    double read_ratio;
    double theta;
    bool has_distribution;
    enum distribution_kind distribution;
    uint64_t keys;
    struct byte_range key_bytes, value_bytes;
    double value_novel;
    struct keyspace keyspace;
    uint32_t connections, depth, threads;
    double rate;         /* 0: closed loop */
    double duration_s;   /* 0: by operations */
    uint64_t operations; /* 0: by duration */
    uint64_t seed;
    bool does_load, does_run;
    bool is_verifying, wants_stages, wants_progress;
    int server_pid; /* 0: not given */
    const char *json_path, *html_path;
    const char *workload_name;
};

/* Ends the process with a message when the arguments make no sense. */
void options_parse(struct options *o, int argc, char **argv);

#endif
