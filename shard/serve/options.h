/* options.h - what torcd is told when it starts.
 *
 * Every option is one row of the table in config_table.c; from it come the flags, the environment
 * variables, the keys of the configuration file, --help, --print-config, the sample file, the man page and
 * docs/configuration.md. A flag wins over the environment (TORC_ and the name in capitals), that over the
 * file (--config), that over the default. */
#ifndef SHARD_SERVE_OPTIONS_H
#define SHARD_SERVE_OPTIONS_H

#include "reactor/reactor.h"
#include "shard/serve/log.h"

enum {
    OPTIONS_PATH_BYTES = 1024,
    OPTIONS_WHY_BYTES = 512,
    OPTIONS_COUNT = 27, /* rows of the table */
};

/* Of `memory`, for each core; with less it could not hold the largest values of a few requests. */
#define OPTIONS_MEMORY_MIN (UINT64_C(64) << 20)

enum option_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct option_source {
    enum option_origin origin;
    unsigned line; /* in the file */
};

enum compression { COMPRESSION_NONE, COMPRESSION_ZSTD };

/* All values are within the ranges of the table and agree with each other. Plain memory, read only after
 * the load. */
struct options {
    char config[OPTIONS_PATH_BYTES]; /* empty: no file */
    bool accepts_loss;               /* of what damage has made UNKNOWN or unreadable, at this start */
    char data[OPTIONS_PATH_BYTES];   /* the data directory of the node */
    uint16_t node_id;
    uint8_t vnode_bits; /* fixed for the life of a data directory */

    struct address listen;
    bool is_insecure;            /* listening beyond loopback was asked for */
    uint32_t connections_max;    /* of one core */
    uint64_t request_timeout_ms; /* 0: never, as the next two */
    uint64_t idle_timeout_ms;
    uint64_t write_timeout_ms;
    uint64_t shutdown_timeout_ms;

    uint32_t cores;
    int pin_first_cpu; /* -1: cores are not pinned */

    uint64_t memory; /* of the node: to 100 it is a percentage of what the process may use, else bytes */
    uint64_t memtable_bytes; /* of a core, as the next two; 0: a part of `memory` */
    uint64_t log_bytes_max;
    uint64_t segment_bytes;
    uint64_t cache_bytes; /* of the node, divided over the cores; 0: what is left of `memory` */
    enum compression compression;
    uint64_t scrub_interval_ms;       /* 0: never */
    uint64_t value_log_min;           /* bytes of a value that goes to a value log; 0: as the engine says */
    char archive[OPTIONS_PATH_BYTES]; /* of the log; empty: none */
    char backup_root[OPTIONS_PATH_BYTES]; /* where backups may be made; empty: nowhere */

    enum log_level log_level;
    enum log_format log_format;
    uint32_t stage_sample; /* one request in so many is timed; 0: none */

    struct option_source sources[OPTIONS_COUNT]; /* of each value, by row */
};

enum options_next {
    OPTIONS_RUN,   /* start with these options */
    OPTIONS_DONE,  /* --help or the like was printed to stdout: exit 0 */
    OPTIONS_WRONG, /* `why` says in one line what, where, what was expected and what was found: exit 2 */
};

/* Reads defaults, file, environment and flags. `argv` and `environment` (NAME=VALUE, ended by null) are
 * only read. `why` has at least OPTIONS_WHY_BYTES. */
MUST_CHECK enum options_next options_load(struct options *o, int argc, char **argv, char **environment,
                                          char *why, size_t why_bytes);

#endif
