/* view.h - a shard as it was at one moment, for scans that go on while it is written.
 *
 *   open:  holds the memtables and the tables that there are; from now on its memtables keep what is
 *          overwritten                                             no wait
 *   fix:   all that was put before is applied; the view shows versions up to a clock, which is above all that
 *          were put before and below all that come                 waits
 *   close
 *
 * Views of several shards that are opened before, and fixed after, one clock is chosen show one moment of all
 * of them. A view costs the memory of its memtables, which live on when they are flushed, and of the versions
 * in them that were overwritten; those written after it was fixed go to memtables that are not its own. */
#ifndef ENGINE_VIEW_H
#define ENGINE_VIEW_H

#include "engine/engine.h"

/* Does not wait. Returns: 0; TORC_E_UNKNOWN after a loss; TORC_E_STORAGE when the engine has failed;
 * TORC_E_OVERLOADED when too much waits to be flushed; TORC_E_NO_MEMORY. Owns: the caller closes. */
MUST_CHECK int engine_view_open(struct engine *e, struct engine_view **out);

/* Waits. What has expired at `now_ms` is not seen. Returns: 0; TORC_E_CANCELLED when *is_cancelled comes
 * true; TORC_E_TIMEOUT when the log does not get on; TORC_E_OVERLOADED when too many memtables began
 * meanwhile. */
MUST_CHECK int engine_view_fix(struct engine_view *v, uint64_t clock, uint64_t now_ms,
                               const bool *is_cancelled);
void engine_view_close(struct engine_view *v); /* Requires: no cursor of it. Null is allowed. */

/* Memory that only views hold: of memtables that the engine has flushed. Of one that several hold, a part. */
uint64_t engine_view_bytes(const struct engine_view *v);

#endif
