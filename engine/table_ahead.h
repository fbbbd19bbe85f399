/* table_ahead.h - the read of a bulk cursor's next window, under way while the one before is consumed.
 *
 *   file:    | window, consumed now | ahead: being read | ...
 *
 * A merge takes a little of many tables in turn, so without it each window of each of them would be waited
 * for. */
#ifndef ENGINE_TABLE_AHEAD_H
#define ENGINE_TABLE_AHEAD_H

#include "engine/table_internal.h"

/* Makes room for so many units; what was in the window is lost. Returns: 0 or TORC_E_NO_MEMORY. */
MUST_CHECK int table_window_reserve(struct table_window *w, struct reactor *r, uint32_t units);

/* Waits: until the share of the disk allows it. Starts to read so many units; when there is no memory, or the
 * disk is stopped, it does nothing. Requires: `*a` is zeroed, or its last read was taken. */
void table_ahead_start(struct table_ahead *a, struct table *t, struct disk_share share, uint32_t position,
                       uint32_t units);

/* Waits: for the read under way. Returns: whether there was one, of this position, and it is whole; then `*w`
 * is what was read, and its memory is for the next one. */
MUST_CHECK bool table_ahead_take(struct table_ahead *a, struct table *t, uint32_t position,
                                 struct table_window *w);

/* Waits: for the read under way. */
void table_ahead_deinit(struct table_ahead *a, struct reactor *r);

#endif
