/* removal.h - files go a little at a time, by struct removal_pace of the reactor. */
#ifndef ENGINE_REMOVAL_H
#define ENGINE_REMOVAL_H

#include "engine/engine_internal.h"

/* Waits: longer the larger the file is, unless the engine closes or the disk has no room. Returns: as
 * file_remove_in_steps. */
MUST_CHECK int engine_remove_file(struct engine *e, const char *path);

#endif
