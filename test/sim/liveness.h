/* liveness.h - when nothing fails any more, all must go on: within bounds, and until nothing is left to
 * do. */
#ifndef TEST_SIM_LIVENESS_H
#define TEST_SIM_LIVENESS_H

#include "test/sim/subject.h"

/* Waits. Nothing fails any more: writes must be acknowledged within bounds, tables written, the log
 * shortened, and no file must be left that nobody needs. */
void liveness_prove(struct subject *s);

/* Of a node that runs on: could this subject be expected to take writes, once the disk is well and has
 * room? */
bool liveness_is_due(const struct subject *s);
/* Does a later record of the log say of the last one with entries that it is durable? */
bool liveness_is_log_covered(const struct subject *s);

#endif
