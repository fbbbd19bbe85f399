/* options.c - reads the command line; see options.h. */
#include "test/sim/options.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>

enum option_key {
    OPTION_SEED = 256,
    OPTION_SEEDS,
    OPTION_KIND,
    OPTION_JOBS,
    OPTION_SECONDS,
    OPTION_VERBOSE,
    OPTION_WITHOUT,
    OPTION_ONLY,
    OPTION_AGAIN,
    OPTION_HEAP_FILL,
    OPTION_TRACE_ONLY,
    OPTION_LIST_FAULTS,
    OPTION_COUNTERS,
    OPTION_REQUIRE_ALL,
    OPTION_OPERATIONS_MIN,
    OPTION_CORRUPTIONS_MIN,
    OPTION_UNTIL_FAILURE,
    OPTION_CRASH_POINTS,
    OPTION_WORKLOAD,
    OPTION_STATE,
    OPTION_IMAGE,
};

enum { JOBS_MAX = 64, SEEDS_DEFAULT = 100 };

static const struct argp_option options[] = {
    {"seed", OPTION_SEED, "N", 0, "run this one and tell what happened", 0},
    {"seeds", OPTION_SEEDS, "N|FROM..TO", 0, "run many: 1 to N, or FROM to TO", 0},
    {"seconds", OPTION_SECONDS, "N", 0, "run seeds, from the first one on, for so long", 0},
    {"kind", OPTION_KIND, "NAME", 0, "histories of this kind only: engine, server; all by default", 0},
    {"jobs", OPTION_JOBS, "N", 0, "processes at once; 2 by default", 0},
    {"verbose", OPTION_VERBOSE, NULL, 0, "tell each step", 0},
    {"without", OPTION_WITHOUT, "FAULT", 0, "never this class of faults; may be given again", 1},
    {"only", OPTION_ONLY, "FAULT", 0, "no other classes than those given so", 1},
    {"list-faults", OPTION_LIST_FAULTS, NULL, 0, "list the classes of faults", 1},
    {"again", OPTION_AGAIN, NULL, 0, "run it a second time, in another process, and compare the traces", 2},
    {"counters", OPTION_COUNTERS, NULL, 0, "list every class of faults and every mark with its hits", 2},
    {"require-all", OPTION_REQUIRE_ALL, NULL, 0, "fail when a class or a mark was never hit", 2},
    {"operations-min", OPTION_OPERATIONS_MIN, "N", 0, "fail when all histories did fewer operations", 2},
    {"corruptions-min", OPTION_CORRUPTIONS_MIN, "N", 0, "fail when they injected fewer corruptions", 2},
    {"until-failure", OPTION_UNTIL_FAILURE, NULL, 0, "end at the first history that fails", 2},
    {"crash-points", OPTION_CRASH_POINTS, NULL, 0, "every crash image of short workloads, instead of seeds",
     3},
    {"workload", OPTION_WORKLOAD, "NAME", 0, "with --crash-points: this one only", 3},
    {"state", OPTION_STATE, "N", 0, "with --crash-points and --image: this state only", 3},
    {"image", OPTION_IMAGE, "N", 0, "with --crash-points and --state: this image only", 3},
    {"heap-fill", OPTION_HEAP_FILL, "N", OPTION_HIDDEN, "what new memory is filled with", 4},
    {"trace-only", OPTION_TRACE_ONLY, NULL, OPTION_HIDDEN, "print the trace hash and nothing else", 4},
    {0},
};

static uint64_t parse_number(struct argp_state *state, const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 0);
    if (end == text || *end)
        argp_error(state, "%s is not a number", text);
    return value;
}

static void parse_seeds(struct argp_state *state, struct sim_options *o, const char *text)
{
    char *end;
    o->first_seed = 1;
    o->last_seed = strtoull(text, &end, 0);
    if (strncmp(end, "..", 2) == 0) {
        o->first_seed = o->last_seed;
        o->last_seed = strtoull(end + 2, &end, 0);
    }
    if (end == text || *end || o->last_seed < o->first_seed)
        argp_error(state, "%s is neither a count nor FROM..TO", text);
}

static uint64_t parse_fault(struct argp_state *state, const char *name)
{
    unsigned fault = fault_of_option_name(name);
    if (fault == SIM_FAULT_COUNT)
        argp_error(state, "there is no fault %s; --list-faults lists them", name);
    return UINT64_C(1) << fault;
}

static void parse_kind(struct argp_state *state, struct sim_options *o, const char *name)
{
    o->kind = history_kind_find(name);
    if (!o->kind && strcmp(name, "all") != 0)
        argp_error(state, "there is no kind of histories %s", name);
}

static void parse_jobs(struct argp_state *state, struct sim_options *o, const char *text)
{
    uint64_t jobs = parse_number(state, text);
    if (jobs < 1 || jobs > JOBS_MAX)
        argp_error(state, "--jobs is 1 to %d", JOBS_MAX);
    o->jobs = (unsigned)jobs;
}

/* lint: long: one case for each option */
static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct sim_options *o = state->input;
    switch (key) {
    case OPTION_SEED:
        o->first_seed = o->last_seed = parse_number(state, argument);
        o->is_single = true;
        return 0;
    case OPTION_SEEDS:
        parse_seeds(state, o, argument);
        return 0;
    case OPTION_SECONDS:
        o->seconds = parse_number(state, argument);
        return 0;
    case OPTION_KIND:
        parse_kind(state, o, argument);
        return 0;
    case OPTION_JOBS:
        parse_jobs(state, o, argument);
        return 0;
    case OPTION_VERBOSE:
        o->is_verbose = true;
        return 0;
    case OPTION_WITHOUT:
        o->filter.without |= parse_fault(state, argument);
        return 0;
    case OPTION_ONLY:
        o->filter.only |= parse_fault(state, argument);
        return 0;
    case OPTION_AGAIN:
        o->wants_again = true;
        return 0;
    case OPTION_HEAP_FILL:
        o->heap_fill = (uint8_t)parse_number(state, argument);
        return 0;
    case OPTION_TRACE_ONLY:
        o->is_trace_only = true;
        return 0;
    case OPTION_LIST_FAULTS:
        o->is_fault_list = true;
        return 0;
    case OPTION_COUNTERS:
        o->wants_counters = true;
        return 0;
    case OPTION_REQUIRE_ALL:
        o->requires_all = true;
        return 0;
    case OPTION_OPERATIONS_MIN:
        o->operations_min = parse_number(state, argument);
        return 0;
    case OPTION_CORRUPTIONS_MIN:
        o->corruptions_min = parse_number(state, argument);
        return 0;
    case OPTION_UNTIL_FAILURE:
        o->ends_at_failure = true;
        return 0;
    case OPTION_CRASH_POINTS:
        o->is_crash_points = true;
        return 0;
    case OPTION_WORKLOAD:
        o->crash.workload = argument;
        return 0;
    case OPTION_STATE:
        o->crash.state = argument;
        return 0;
    case OPTION_IMAGE:
        o->crash.image = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void options_parse(struct sim_options *o, int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "Runs histories of simulated nodes whose disks, clocks and power fail, and checks that nothing "
            "acknowledged is lost.\vbuild/sim --seed 42 tells what happens in one; build/sim --seeds 2000 "
            "runs "
            "many. A seed that fails prints the command that replays it.",
    };
    *o = (struct sim_options){.first_seed = 1, .last_seed = SEEDS_DEFAULT, .jobs = 2};
    argp_parse(&argp, argc, argv, 0, NULL, o);
    if (o->seconds)
        o->last_seed = UINT64_MAX / 8;
    o->crash.jobs = o->jobs;
    o->crash.is_verbose = o->is_verbose;
    o->crash.is_until_failure = o->ends_at_failure;
}

static size_t add_set(char *to, size_t bytes, size_t at, const char *option, uint64_t set)
{
    char name[64];
    for (unsigned i = 0; i < SIM_FAULT_COUNT && at < bytes; i++)
        if (set >> i & 1) {
            fault_option_name((enum sim_fault)i, name, sizeof name);
            at += (size_t)snprintf(to + at, bytes - at, " %s %s", option, name);
        }
    return at;
}

const char *options_filter_text(const struct fault_filter *filter, char *to, size_t bytes)
{
    to[0] = '\0';
    size_t at = add_set(to, bytes, 0, "--only", filter->only);
    add_set(to, bytes, at, "--without", filter->without);
    return to;
}
