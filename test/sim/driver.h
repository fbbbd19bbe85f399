/* driver.h - the tasks on a core that do a history's operations. */
#ifndef TEST_SIM_DRIVER_H
#define TEST_SIM_DRIVER_H

#include "test/sim/subject.h"

/* Waits: until the drivers of this subject have ended, because the node is to stop or the history has
 * failed. */
void drivers_run(struct subject *s);

/* ---- one step of a driver ---- */

uint32_t driver_draw_key(struct driver *d);
uint32_t driver_draw_value_bytes(struct driver *d);
/* Waits: while the engine has no room for it. */
void driver_put(struct driver *d, const struct model_put *put);
/* Waits: until fewer than `count` writes of the driver are under way. */
void driver_await(struct driver *d, uint32_t count);

#endif
