/* truth.h - whether an error that an engine answers is true: whether something happened that explains it. */
#ifndef TEST_SIM_TRUTH_H
#define TEST_SIM_TRUTH_H

#include "test/sim/subject.h"

enum truth_place {
    TRUTH_PUT,   /* engine_put refused */
    TRUTH_WRITE, /* the ticket of a write */
    TRUTH_READ,  /* a get or a scan; `floor` is what the key must have */
    TRUTH_OPEN,  /* engine_open */
    TRUTH_LOSS,  /* engine_accept_loss */
};

/* `floor`: a write of the model, or 0. */
bool truth_explains(const struct subject *s, enum truth_place place, int error, uint32_t floor);
bool truth_explains_damaged_log(const struct subject *s);

/* Is there a damaged table whose range holds the key (or something that damages more than a block)? */
bool truth_explains_corrupt_key(const struct subject *s, uint32_t key);

#endif
