/* options.h - the command line of build/sim. */
#ifndef TEST_SIM_OPTIONS_H
#define TEST_SIM_OPTIONS_H

#include "test/sim/crash.h"
#include "test/sim/kind.h"

struct sim_options {
    uint64_t first_seed;
    uint64_t last_seed; /* included */
    bool is_single;     /* --seed: in this process, and the story is told */
    uint64_t seconds;   /* 0: as many seeds as there are; else from first_seed on until so long has passed */
    unsigned jobs;
    const struct history_kind *kind; /* null: all */
    struct fault_filter filter;
    uint8_t heap_fill;
    bool is_verbose;
    bool wants_again;
    bool is_trace_only; /* the second run of --again */
    bool wants_counters;
    bool requires_all;
    uint64_t operations_min; /* fewer of them in all histories prove too little */
    uint64_t corruptions_min;
    bool ends_at_failure;
    bool is_fault_list;
    bool is_crash_points;
    struct crash_options crash;
};

/* Ends the process when they are wrong or --help is among them. */
void options_parse(struct sim_options *o, int argc, char **argv);

/* The options that make another run draw the same, after --seed and --kind: " --without kill"; "" when
 * there are none. Returns: to. */
const char *options_filter_text(const struct fault_filter *filter, char *to, size_t bytes);

#endif
