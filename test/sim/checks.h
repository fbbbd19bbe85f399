/* checks.h - questions to an engine, and the model's opinion of its answers. */
#ifndef TEST_SIM_CHECKS_H
#define TEST_SIM_CHECKS_H

#include "test/sim/subject.h"

/* Waits. What the engine has of q->key. Returns: as engine_get_wait; then engine_release of *hold. */
int checks_ask(struct engine *e, const struct model *m, const struct model_question *q, struct record *out,
               struct engine_hold *hold);

/* Waits. Gets the key. */
void checks_get(struct subject *s, uint32_t key);

struct checks_scan {
    uint32_t from; /* a key; key_count: from the beginning */
    uint32_t to;   /* no key from it on; key_count: to the end */
    bool is_backward;
    uint32_t count_max;      /* records; 0: to the end */
    struct sim_dice *pauses; /* when not null: sleeps now and then, so that writes come between */
};
/* Waits. Scans in order, or in the reverse order. */
void checks_scan(struct subject *s, const struct checks_scan *scan);

/* Waits. Everything: each key by a get, then all by a scan. `is_after_start`: nothing was put since, so
 * what has come back of the last life must be a beginning of it. */
void checks_audit(struct subject *s, bool is_after_start);

#endif
