/* damage.h - what tests do to the files of an engine behind its back. All wait. */
#ifndef TEST_ENGINE_DAMAGE_H
#define TEST_ENGINE_DAMAGE_H

#include "reactor/base/slice.h"
#include "reactor/reactor.h"

/* Changes these bits of one byte; a second time makes it good again. */
void damage_flip(struct reactor *r, const char *path, uint64_t offset, uint8_t bits);
void damage_overwrite(struct reactor *r, const char *path, uint64_t offset, struct slice with);

#endif
