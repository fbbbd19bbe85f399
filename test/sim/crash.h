/* crash.h - crash points, exhaustively: every image that a loss of power can leave of a short workload is
 * built and recovered.
 *
 *   workload --recorded--> states --each unsynced write: keep, drop, tear--> images --recovered--> verdicts
 *
 * A state is what the disk and the client had between two changes of the disk. An image is a state after a
 * loss of power with one choice, keep, drop or tear, for each operation that was not yet durable. Images are
 * numbered, so each can be built again alone. Of some images the recovery itself is recorded and crashed
 * again: a place is then a path, "12/3" for the first state and the second. Everything follows from the
 * workload: there is no seed. */
#ifndef TEST_SIM_CRASH_H
#define TEST_SIM_CRASH_H

#include <stdbool.h>
#include <stdint.h>

struct crash_options {
    const char *workload; /* only the one of this name; null: all */
    const char *state;    /* with `image`: only this one, "N" or "N/N"; null: all */
    const char *image;
    unsigned jobs;         /* processes at once; 0 means 1 */
    bool is_verbose;       /* each state with what was pending, each failure in full */
    bool is_small;         /* a few images a state: for the unit tests */
    bool is_until_failure; /* ends at the first one */
};

/* Runs what the options name, prints a line a workload and a total, and each failure with the command that
 * replays it. Returns: 0 when every image was recovered as it must be; 1 when one was not; 2 for a name that
 * does not exist. */
int crash_points_run(const struct crash_options *options);

#endif
