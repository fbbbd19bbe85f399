/* crash_copy.c - snapshots in crash workloads; see crash_copy.h. */
#include "test/sim/crash_copy.h"

#include "engine/snapshot.h"
#include "shard/catalogue.h"
#include "test/sim/copies.h"

#include <errno.h>
#include <stdio.h>

#define CATALOGUE CRASH_SNAPSHOT_DIRECTORY "/CATALOGUE"
#define FILES CRASH_SNAPSHOT_DIRECTORY "/shard-000"
#define RESTORED "/restored"

/* ---- taking ---- */

static int write_catalogue(struct crash_shard *s, const struct engine_snapshot_facts *facts, uint64_t clock)
{
    struct catalogue_text lines = {0};
    struct datadir_identity identity = {.node = 1, .cores = 1, .vnode_bits = 4};
    int rc = directory_sync(s->reactor, CRASH_SNAPSHOT_DIRECTORY);
    if (rc == 0)
        rc = catalogue_add_shard(s->reactor, &lines, 0, facts);
    if (rc == 0)
        rc = catalogue_write(s->reactor, CATALOGUE, &identity, clock, slice_of(lines.data, lines.bytes));
    reactor_free(s->reactor, lines.data);
    return rc;
}

static void put_late(struct crash_shard *s)
{
    enum { LATE_KEY = 2, LATE_BYTES = 100 };
    crash_shard_put(s, LATE_KEY, LATE_BYTES, false);
    (void)crash_shard_await(s); /* it complains */
}

void crash_copy_take(struct crash_shard *s, bool is_late)
{
    struct engine_snapshot *snapshot;
    struct engine_snapshot_facts facts;
    uint64_t clock;
    s->history->snapshot_count = s->history->count;
    int rc = engine_snapshot_begin(s->engine, &snapshot, &clock);
    if (rc == 0) {
        if (is_late)
            put_late(s);
        rc = directory_create(s->reactor, CRASH_SNAPSHOT_DIRECTORY);
        if (rc == 0)
            rc = directory_sync_parent(s->reactor, CRASH_SNAPSHOT_DIRECTORY);
        if (rc == 0)
            rc = engine_snapshot_write(snapshot, FILES, NULL, &facts);
        engine_snapshot_end(snapshot);
    }
    if (rc == 0)
        rc = write_catalogue(s, &facts, clock);
    if (rc)
        crash_shard_complain(s, "no snapshot: %s", error_sentence(rc));
    s->history->has_snapshot = rc == 0;
}

/* ---- restoring ---- */

static bool restore(struct crash_shard *s, const struct catalogue *c)
{
    const struct catalogue_shard *shard = &c->shards[0];
    struct engine_options options = crash_shard_options(s, RESTORED);
    char history[64];
    options.archive = NULL;
    snprintf(history, sizeof history, CRASH_ARCHIVE_DIRECTORY "/log/%016llx",
             (unsigned long long)shard->log_history);
    struct engine_restore one = {
        .options = &options,
        .archive = s->knobs.has_archive ? history : NULL,
        .start_segment = shard->start_segment,
        .start_sequence = shard->start_sequence,
        .end_segment = shard->end_segment,
        .end_sequence = shard->end_sequence,
        .end_checksum = shard->end_checksum,
        .clock_max = s->knobs.has_archive ? UINT64_MAX : c->clock,
    };
    int rc = copies_restore(s->reactor, FILES, RESTORED, &one);
    return rc == 0 ||
           crash_shard_complain(s, "a whole snapshot is not restored: %s: %s", error_sentence(rc), one.why);
}

static bool compare(struct crash_shard *s)
{
    struct crash_history history = *s->history;
    struct crash_shard restored = {.reactor = s->reactor, .knobs = s->knobs, .history = &history};
    struct crash_view view, expected;
    char why[256] = "", shown[256], wanted[256];
    struct engine_options options = crash_shard_options(&restored, RESTORED);
    options.archive = NULL;
    if (!s->knobs.has_archive)
        history.count = history.snapshot_count;
    if (!crash_history_view(&history, history.count, &expected))
        return crash_shard_complain(s, "the history has no view");
    int rc = engine_open(s->reactor, &options, &restored.engine, why, sizeof why);
    if (rc)
        return crash_shard_complain(s, "what was restored does not open: %s", why);
    bool is_read = crash_shard_read(&restored, &view);
    engine_close(restored.engine);
    if (!is_read)
        return crash_shard_complain(s, "restored: %s", restored.why);
    if (crash_view_equal(&view, &expected))
        return true;
    crash_view_text(&view, shown, sizeof shown);
    crash_view_text(&expected, wanted, sizeof wanted);
    return crash_shard_complain(s, "restored is %s; it was %s", shown, wanted);
}

bool crash_copy_check(struct crash_shard *s)
{
    struct catalogue c;
    int rc = catalogue_read(s->reactor, CATALOGUE, &c);
    if (rc == -ENOENT && !s->history->has_snapshot)
        return true; /* cut short: it is none */
    if (rc)
        return crash_shard_complain(s, "the catalogue of a snapshot: %s", error_sentence(rc));
    bool is_good = restore(s, &c) && compare(s);
    catalogue_deinit(s->reactor, &c);
    rc = directory_remove_all(s->reactor, RESTORED, NULL);
    return is_good && (rc == 0 || crash_shard_complain(s, RESTORED " stays: %s", error_sentence(rc)));
}
