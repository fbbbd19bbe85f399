/* main.c - build/sim: histories of nodes in a world that fails on demand.
 *
 *   build/sim --seed 42       one history, and what happened in it
 *   build/sim --seeds 2000    many, as CI runs them
 *   build/sim --crash-points  every crash image of short workloads
 *
 * docs/testing.md says how to read what it prints. */
#include "test/sim/options.h"
#include "test/sim/report.h"
#include "test/sim/runner.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct sim_options o;
    options_parse(&o, argc, argv);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (o.is_fault_list) {
        report_faults();
        return 0;
    }
    if (o.is_crash_points)
        return crash_points_run(&o.crash);
    return o.is_single ? runner_run_one(&o) : runner_run_many(&o);
}
