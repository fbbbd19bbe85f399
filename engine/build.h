/* build.h - a new table from a merge: for flushes and compactions. */
#ifndef ENGINE_BUILD_H
#define ENGINE_BUILD_H

#include "engine/engine_internal.h"
#include "engine/merge.h"

struct build {
    struct merge *merge;   /* not yet sought */
    uint32_t level;
    bool drops_dead;       /* nothing older exists anywhere: tombstones and expired records end here */
    uint64_t now_ms;
    uint64_t created_ms;
    /* Filled: */
    uint64_t records;      /* written */
    bool is_input_bad;     /* the error is of a source, merge->bad_source, or of a record in it */
};

/* Waits. Writes, syncs and opens the table; its name is durable, the manifest does not know it yet. Returns: 0 with *out,
 * a reference without a holder, null when no record was left; TORC_E_CANCELLED when the engine closes meanwhile; an
 * error, and no file is left. */
MUST_CHECK int engine_build_table(struct engine *e, struct build *build, struct table_ref **out);

/* A change of what counts, first in the manifest and then for readers. */
struct tables_change {
    struct table_ref *added; /* without a holder; null: none. It is let go of when the change fails. */
    uint64_t created_ms;
    struct table_ref *const *removed;
    uint32_t removed_count;
    void (*edit)(void *context, struct manifest_numbers *numbers); /* as in manifest_change */
    void *context;
};
/* Waits. Returns: 0; TORC_E_DISK_FULL and TORC_E_NO_MEMORY: nothing was changed; TORC_E_STORAGE: the engine has failed. */
MUST_CHECK int engine_change_tables(struct engine *e, const struct tables_change *change);

/* A flush or a compaction did not succeed: says so once while it lasts, and that it does again. */
void engine_tell_failure(struct engine *e, const char *what, int code);
void engine_tell_recovered(struct engine *e);

/* Waits at most RETRY_NS, or until the engine closes. */
void engine_pause(struct engine *e, struct event *wake);

#endif
