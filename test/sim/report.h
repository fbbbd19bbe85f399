/* report.h - what the runner prints when all histories are through. */
#ifndef TEST_SIM_REPORT_H
#define TEST_SIM_REPORT_H

#include "test/sim/options.h"

/* The totals; with --counters each fault and each mark. */
void report_totals(const struct sim_options *o, const struct tally *t);
/* Says where there was less than was asked for. Returns: how many times. `asked`: histories, UINT64_MAX when
 * a time or a failure ended the run. */
unsigned report_shortfall(const struct sim_options *o, const struct tally *t, uint64_t asked);
/* Names each class and each mark that was never hit. Returns: how many. */
unsigned report_missing(const struct sim_options *o, const struct tally *t);
void report_faults(void); /* --list-faults */

#endif
