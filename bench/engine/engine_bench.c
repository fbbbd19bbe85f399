/* engine_bench.c - the engine by itself on one core and the real disk; prints NAME<tab>VALUE<tab>UNIT.
 *
 *   build/engine-bench [--directory DIR] [--records N] [--large N] [--cpu N] [memtable|scans|tables|gets ...]
 *
 * The directory must be on the disk that is to be measured; what is made there is removed at the end. */
#include "bench/engine/engine_bench.h"

#include <argp.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEY_DIRECTORY = 256, KEY_RECORDS, KEY_LARGE, KEY_CPU, KEY_SECONDS, KEY_ASKED, MEASURES = 4 };

static const struct measure {
    const char *name;
    void (*run)(struct bench *b);
} measures[MEASURES] = {
    {"memtable", measure_memtable},
    {"scans", measure_scans},
    {"tables", measure_tables},
    {"gets", measure_gets},
};

struct options {
    const char *parent;
    struct bench bench;
    int cpu;
    bool is_wanted[MEASURES];
    bool is_choosing;
};

static const struct argp_option argp_options[] = {
    {"directory", KEY_DIRECTORY, "DIR", 0, "A folder on the disk to measure (default /var/tmp)", 0},
    {"records", KEY_RECORDS, "N", 0, "Small records, of 100 and 150 bytes (default 1000000)", 0},
    {"large", KEY_LARGE, "N", 0, "Records of 64 and 1,000 bytes (default 200000)", 0},
    {"seconds", KEY_SECONDS, "N", 0, "Of each run of gets from the disk (default 5)", 0},
    {"asked", KEY_ASKED, NULL, 0,
     "Gets run once for each line of standard input, with so many in flight (default: once with 16, 64 and "
     "128)",
     0},
    {"cpu", KEY_CPU, "N", 0, "Pin the core to this CPU (default: none)", 0},
    {0},
};

static uint64_t number(struct argp_state *state, const char *text, uint64_t min, uint64_t max)
{
    char *end = NULL;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end || value < min || value > max)
        argp_error(state, "`%s' is not a number from %lu to %lu", text, min, max);
    return value;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_DIRECTORY:
        o->parent = text;
        return 0;
    case KEY_RECORDS:
        o->bench.small = number(state, text, 1000, 10 * 1000 * 1000);
        return 0;
    case KEY_LARGE:
        o->bench.large = number(state, text, 1000, 10 * 1000 * 1000);
        return 0;
    case KEY_SECONDS:
        o->bench.seconds = number(state, text, 1, 3600);
        return 0;
    case KEY_ASKED:
        o->bench.is_asked = true;
        return 0;
    case KEY_CPU:
        o->cpu = (int)number(state, text, 0, 4095);
        return 0;
    case ARGP_KEY_ARG:
        o->is_choosing = true;
        for (int i = 0; i < MEASURES; i++)
            if (strcmp(text, measures[i].name) == 0) {
                o->is_wanted[i] = true;
                return 0;
            }
        argp_error(state, "`%s' is not one of memtable, scans, tables, gets", text);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

void bench_tell(const char *name, double value, const char *unit)
{
    printf("%s\t%.*f\t%s\n", name, value < 1000 ? 3 : 0, value, unit);
    fflush(stdout);
}

void bench_open(struct bench *b, struct rig *rig, const char *name)
{
    char *path = NULL;
    ASSERT(asprintf(&path, "%s/%s", b->directory, name) > 0);
    if (rig->options.memtable_bytes == 0) {
        rig->options.memtable_bytes = UINT64_C(4) << 30;
        rig->options.log_bytes_max = UINT64_C(16) << 30;
        rig->options.cache_bytes = UINT64_C(1) << 30;
    }
    rig->options.directory = path; /* copied by the engine */
    rig_open(rig, b->reactor);
    rig->options.directory = NULL;
    free(path);
}

static int run_main(struct reactor *r, void *context)
{
    struct options *o = context;
    o->bench.reactor = r;
    for (int i = 0; i < MEASURES; i++)
        if (!o->is_choosing || o->is_wanted[i])
            measures[i].run(&o->bench);
    reactor_stop(r);
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

int main(int argc, char **argv)
{
    static const char doc[] = "Measures the engine of torc by itself, on one core.";
    static const struct argp argp = {argp_options, parse_option, "[memtable|scans|tables|gets ...]",
                                     doc,          NULL,         NULL,
                                     NULL};
    struct options o = {.parent = "/var/tmp",
                        .bench = {.small = 1000000, .large = 200000, .seconds = 5},
                        .cpu = -1};
    char why[256] = "", *directory = NULL;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    ASSERT(asprintf(&directory, "%s/engine-bench-XXXXXX", o.parent) > 0);
    if (!mkdtemp(directory)) {
        fprintf(stderr, "engine-bench: %s: %s\n", directory, error_sentence(-errno));
        free(directory);
        return 2;
    }
    o.bench.directory = directory;
    struct reactor_options options = {.core_count = 1, .first_cpu = o.cpu};
    int rc = reactor_run(&options, run_main, &o, why, sizeof why);
    if (rc)
        fprintf(stderr, "engine-bench: %s: %s\n", error_sentence(rc), why);
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(directory);
    return rc ? 2 : 0;
}
