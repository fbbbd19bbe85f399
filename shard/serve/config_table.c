/* config_table.c - the options of torcd. A new option is a field in options.h, a row here, and `make
 * docs`. */
#include "shard/serve/config_table.h"

#include <ctype.h>
#include <string.h>

#define FIELD(member)                                                                                        \
    .offset = offsetof(struct options, member), .bytes = sizeof(((struct options *)0)->member)

#define KIB (INT64_C(1) << 10)
#define MIB (INT64_C(1) << 20)
#define GIB (INT64_C(1) << 30)
#define TIB (INT64_C(1) << 40)
#define HOUR_MS (INT64_C(60) * 60 * 1000)

/* Compared by address. */
static const char section_node[] = "node", section_network[] = "network", section_storage[] = "storage",
                  section_log[] = "log";

static const char *const compression_words[] = {"none", "zstd", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_words[] = {"logfmt", "json", NULL};

static_assert(LOG_LEVEL_WARN == 1 && LOG_LEVEL_DEBUG == 3 && LOG_FORMAT_JSON == 1,
              "words are in the enum's order");
static_assert(sizeof(enum compression) == 4, "written as 4 bytes");
static_assert(sizeof(enum log_level) == 4 && sizeof(enum log_format) == 4, "written as 4 bytes");

const struct option_row option_table[OPTIONS_COUNT] = {
    {.name = "config",
     .letter = 'c',
     .kind = OPTION_PATH,
     FIELD(config),
     .argument = "FILE",
     .initial = "",
     .help = "Read the configuration file FILE"},
    {.name = "accept-loss",
     .kind = OPTION_BOOL,
     FIELD(accepts_loss),
     .argument = "BOOL",
     .initial = "false",
     .help = "At this start, give up what a damaged log, table, block or value log has lost: all data is "
             "read first, and keys that answered UNKNOWN or CORRUPT answer with what is left, or as deleted"},

    {.name = "data",
     .section = section_node,
     .letter = 'd',
     .kind = OPTION_PATH,
     FIELD(data),
     .argument = "DIR",
     .initial = "./data",
     .help = "Keep the data of this node in the directory DIR, which is made when it is missing"},
    {.name = "node-id",
     .section = section_node,
     .kind = OPTION_NUMBER,
     FIELD(node_id),
     .argument = "N",
     .initial = "1",
     .min = 1,
     .max = 65535,
     .help = "The number of this node, different on every node of a cluster and fixed for a data directory"},
    {.name = "vnode-bits",
     .section = section_node,
     .kind = OPTION_NUMBER,
     FIELD(vnode_bits),
     .argument = "N",
     .initial = "10",
     .min = 0,
     .max = 14,
     .help = "Divide the keys into 2^N vnodes; the same on all nodes of a cluster and fixed for a data "
             "directory"},
    {.name = "cores",
     .section = section_node,
     .letter = 'n',
     .kind = OPTION_NUMBER,
     FIELD(cores),
     .argument = "N",
     .initial = "auto",
     .min = 1,
     .max = REACTOR_CORES_MAX,
     .has_auto = true,
     .help = "Serve with N cores, each with a part of the keys of its own; auto takes all the CPUs this "
             "process may use. With another N than before the data is divided anew at the start"},
    {.name = "pin-first-cpu",
     .section = section_node,
     .kind = OPTION_NUMBER,
     FIELD(pin_first_cpu),
     .argument = "CPU",
     .initial = "-1",
     .min = -1,
     .max = 4095,
     .help = "Pin core i to CPU number CPU + i; -1 leaves the cores to the system's scheduler"},

    {.name = "listen",
     .section = section_network,
     .letter = 'l',
     .kind = OPTION_ADDRESS,
     FIELD(listen),
     .argument = "HOST:PORT",
     .initial = "127.0.0.1:7070",
     .help = "Take connections of clients on this address; an IPv6 address stands in brackets, [::1]:7070"},
    {.name = "insecure",
     .section = section_network,
     .kind = OPTION_BOOL,
     FIELD(is_insecure),
     .argument = "BOOL",
     .initial = "false",
     .help = "Allow to listen on an address other than loopback, though whoever reaches it may read and "
             "change all"
             " data"},
    {.name = "connections-max",
     .section = section_network,
     .kind = OPTION_NUMBER,
     FIELD(connections_max),
     .argument = "N",
     .initial = "16384",
     .min = 1,
     .max = 1000000,
     .help =
         "Refuse connections beyond N on one core; beyond fewer where the system's limit of open files has "
         "no room for them beside the files of the data"},
    {.name = "request-timeout",
     .section = section_network,
     .kind = OPTION_DURATION,
     FIELD(request_timeout_ms),
     .argument = "TIME",
     .initial = "5s",
     .min = 0,
     .max = 720 * HOUR_MS,
     .help =
         "Answer a request TIMEOUT when the disk has kept it waiting for TIME and it brings no deadline of "
         "its own; whether a write took effect is then unknown; 0s waits as long as it takes"},
    {.name = "idle-timeout",
     .section = section_network,
     .kind = OPTION_DURATION,
     FIELD(idle_timeout_ms),
     .argument = "TIME",
     .initial = "0s",
     .min = 0,
     .max = 720 * HOUR_MS,
     .help = "Close a connection that asked for nothing during TIME; 0s never does"},
    {.name = "write-timeout",
     .section = section_network,
     .kind = OPTION_DURATION,
     FIELD(write_timeout_ms),
     .argument = "TIME",
     .initial = "30s",
     .min = 0,
     .max = 720 * HOUR_MS,
     .help =
         "Close a connection that during TIME read nothing of its answers, or sent nothing more of a "
         "request that it has begun to send; 0s never does. While a core has no room for more answers, also "
         "the largest of those that are too slow to read what waits for them within TIME (30s when it is "
         "0s)"},
    {.name = "shutdown-timeout",
     .section = section_network,
     .kind = OPTION_DURATION,
     FIELD(shutdown_timeout_ms),
     .argument = "TIME",
     .initial = "10s",
     .min = 0,
     .max = HOUR_MS,
     .help = "When asked to end, give the requests in flight this long to be answered, and then the archive "
             "this long for the rest of the log (1s at least)"},

    {.name = "memory",
     .section = section_storage,
     .kind = OPTION_MEMORY,
     FIELD(memory),
     .argument = "BYTES",
     .initial = "80%",
     .min = 64 * MIB,
     .max = 64 * TIB,
     .help =
         "Use so much memory, of the whole node, divided over its cores: bytes, or a percentage of what the "
         "process may use, which is the machine's memory or the limit of its control group"},
    {.name = "memtable-bytes",
     .section = section_storage,
     .kind = OPTION_BYTES,
     FIELD(memtable_bytes),
     .argument = "BYTES",
     .initial = "auto",
     .has_auto = true,
     .min = MIB,
     .max = 2 * GIB,
     .help = "Write the memtable of a core to an SSTable when it has this size; auto takes 1/18 of the "
             "memory of a "
             "core, at most 256M"},
    {.name = "log-bytes-max",
     .section = section_storage,
     .kind = OPTION_BYTES,
     FIELD(log_bytes_max),
     .argument = "BYTES",
     .initial = "1G",
     .min = 8 * MIB,
     .max = TIB,
     .help =
         "Write the memtable of a core to an SSTable when its log is this long, which bounds the time of a"
         " recovery"},
    {.name = "segment-bytes",
     .section = section_storage,
     .kind = OPTION_BYTES,
     FIELD(segment_bytes),
     .argument = "BYTES",
     .initial = "auto",
     .has_auto = true,
     .min = 4 * MIB,
     .max = GIB,
     .help = "The size of one file of the log, a multiple of 4K; auto takes memtable-bytes, or half"
             " of log-bytes-max, rounded down to a power of two, 4M to 64M"},
    {.name = "archive",
     .section = section_storage,
     .kind = OPTION_PATH,
     FIELD(archive),
     .argument = "DIR",
     .initial = "",
     .help =
         "Copy files of the log to DIR/log as they fill, before they are used again, so that `torc restore "
         "--to TIME` can go to any time; best the directory of the backups"},
    {.name = "backup-root",
     .section = section_storage,
     .kind = OPTION_PATH,
     FIELD(backup_root),
     .argument = "DIR",
     .initial = "",
     .help =
         "Let `torc backup` write to DIR and to directories below it, and nowhere else; without it backups "
         "are refused"},
    {.name = "cache-bytes",
     .section = section_storage,
     .kind = OPTION_BYTES,
     FIELD(cache_bytes),
     .argument = "BYTES",
     .initial = "auto",
     .has_auto = true,
     .min = MIB,
     .max = 16 * TIB,
     .help = "Memory for data read from disk, of the whole node, divided over its cores, as long as memory "
             "is not "
             "short; auto takes what is left of it"},
    {.name = "scrub-interval",
     .section = section_storage,
     .kind = OPTION_DURATION,
     FIELD(scrub_interval_ms),
     .argument = "TIME",
     .initial = "168h",
     .min = 0,
     .max = 8760 * HOUR_MS,
     .help = "Read all tables and value logs once in TIME, in the background, and tell damage before someone "
             "needs what it took; 0s never does"},
    {.name = "compression",
     .section = section_storage,
     .kind = OPTION_WORD,
     FIELD(compression),
     .argument = "METHOD",
     .initial = "none",
     .words = compression_words,
     .help =
         "How SSTables that come out of merges are compressed; a get that goes to the disk then takes some "
         "10 microseconds more of a core"},
    {.name = "value-log-min",
     .section = section_storage,
     .kind = OPTION_BYTES,
     FIELD(value_log_min),
     .argument = "BYTES",
     .initial = "2K",
     .min = 64,
     .max = 2 * MIB,
     .help = "Values of this size and more are written once to value logs, and merges copy pointers to them; "
             "more "
             "than 1M keeps all values in SSTables"},

    {.name = "log-level",
     .section = section_log,
     .kind = OPTION_WORD,
     FIELD(log_level),
     .argument = "LEVEL",
     .initial = "info",
     .words = level_words,
     .help = "Write log lines of this level and worse"},
    {.name = "log-format",
     .section = section_log,
     .kind = OPTION_WORD,
     FIELD(log_format),
     .argument = "FORMAT",
     .initial = "logfmt",
     .words = format_words,
     .help = "The form of the log lines"},
    {.name = "stage-sample",
     .section = section_log,
     .kind = OPTION_NUMBER,
     FIELD(stage_sample),
     .argument = "N",
     .initial = "1024",
     .min = 0,
     .max = 1000000000,
     .help = "Time the stages of one request in N for the metrics; 0 times none"},
};

unsigned option_find(const char *name)
{
    unsigned i = 0;
    while (i < OPTIONS_COUNT && strcmp(option_table[i].name, name) != 0)
        i++;
    return i;
}

void option_environment_name(const struct option_row *row, char name[OPTION_NAME_BYTES])
{
    snprintf(name, OPTION_NAME_BYTES, "TORC_%s", row->name);
    for (char *p = name; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}
