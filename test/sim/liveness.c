/* liveness.c - proves progress; see liveness.h. */
#include "test/sim/liveness.h"

#include "engine/engine_internal.h"
#include "engine/wal_internal.h"
#include "test/sim/driver.h"

#include <stdio.h>

enum { MS = 1000000 };

bool liveness_is_due(const struct subject *s)
{
    const struct engine *e = s->engine;
    return e && !s->is_closing && !e->is_failed && e->wal && wal_refusal(e->wal) != TORC_E_STORAGE;
}

bool liveness_is_log_covered(const struct subject *s)
{
    return s->engine->wal->watermark_durable >= s->engine->wal->entries_durable;
}

/* ---- files ---- */

struct files {
    uint32_t tables;
    uint32_t values;
    uint32_t segments;
    uint32_t manifests;
    uint32_t others;
};

static struct files count_files(const struct subject *s)
{
    const struct sim_disk *disk = sim_node_disk(s->history->node);
    struct files files = {0};
    const char *directory = s->directory + 1;
    size_t bytes = strlen(directory);
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        const char *path = sim_disk_file_at(disk, i).path;
        path += path[0] == '/';
        if (strncmp(path, directory, bytes) != 0 || path[bytes] != '/')
            continue;
        const char *name = path + bytes + 1;
        bool is_table = strncmp(name, "table-", 6) == 0, is_log = strncmp(name, "wal-", 4) == 0;
        bool is_manifest = strncmp(name, "MANIFEST-", 9) == 0, is_values = strncmp(name, "values-", 7) == 0;
        files.tables += is_table;
        files.values += is_values;
        files.segments += is_log;
        files.manifests += is_manifest;
        files.others += !is_table && !is_values && !is_log && !is_manifest;
    }
    return files;
}

/* A table that was lost counts still, and has no file. */
static bool are_files_right(const struct subject *s)
{
    struct files files = count_files(s);
    struct engine_counters c = engine_counters(s->engine);
    bool are_tables_right = s->damage.tables ? files.tables <= c.tables : files.tables == c.tables;
    bool are_values_right = s->damage.values ? files.values <= c.value_files : files.values == c.value_files;
    bool are_segments_right =
        s->damage.log ? files.segments <= c.log_segments : files.segments == c.log_segments;
    return are_tables_right && are_values_right && are_segments_right && files.manifests == 2 &&
           files.others == 0;
}

/* ---- until nothing is left to do ---- */

/* Garbage that is worth a merge has gone, unless something cannot be read. */
static bool is_garbage_bounded(const struct subject *s)
{
    enum { PER_CENT_MAX = 12, MEMTABLE_PART = 4 };
    struct engine_counters c = engine_counters(s->engine);
    uint64_t garbage = c.value_bytes - c.value_live_bytes;
    return garbage <= s->options.memtable_bytes / MEMTABLE_PART ||
           garbage * 100 <= c.value_bytes * PER_CENT_MAX || c.value_files_damaged || c.tables_damaged;
}

/* As short as it is meant to be. Damage may make a file of it another than the one in the archive: then it is
 * kept until an operator moves that away. */
static bool is_log_bounded(const struct subject *s)
{
    enum { SEGMENTS_BESIDE = 6 + 4 };
    uint64_t segments_max = s->options.log_bytes_max / s->options.segment_bytes + SEGMENTS_BESIDE;
    return engine_counters(s->engine).log_segments <= segments_max ||
           (s->damage.log && s->engine->wal->has_told_archive);
}

/* Nothing to do for a flush or a compaction. */
static bool is_settled(const struct subject *s)
{
    const struct engine *e = s->engine;
    return e->frozen_count == 0 && !e->is_flushing && !e->is_compacting && !e->is_burying &&
           is_log_bounded(s) && are_files_right(s) && is_garbage_bounded(s) && liveness_is_log_covered(s);
}

static void tell_unsettled(struct subject *s)
{
    const struct engine *e = s->engine;
    struct engine_counters c = engine_counters(e);
    struct files files = count_files(s);
    subject_fail(s,
                 "it does not settle: %u frozen memtables, %s%s%s%u files of %llu tables, %u of %llu value "
                 "logs, %u of %llu log "
                 "segments, %u manifests, %u other files; the log is durable to %llu, and says so to %llu",
                 e->frozen_count, e->is_flushing ? "flushing, " : "", e->is_compacting ? "compacting, " : "",
                 e->is_burying ? "burying, " : "", files.tables, (unsigned long long)c.tables, files.values,
                 (unsigned long long)c.value_files, files.segments, (unsigned long long)c.log_segments,
                 files.manifests, files.others, (unsigned long long)e->wal->entries_durable,
                 (unsigned long long)e->wal->watermark_durable);
}

static void await_settled(struct subject *s)
{
    enum { WAITS_MAX = 600 };
    for (unsigned i = 0; !is_settled(s) && i < WAITS_MAX; i++)
        task_sleep(s->reactor, 50 * MS);
    if (!is_settled(s))
        tell_unsettled(s);
}

/* ---- writes ---- */

static void write_in_time(struct driver *d)
{
    enum { ANSWER_MS_MAX = 5000 };
    struct subject *s = d->subject;
    struct model_put w = {.key = driver_draw_key(d), .value_bytes = driver_draw_value_bytes(d)};
    uint64_t began_ns = reactor_now_ns(s->reactor);
    driver_put(d, &w);
    driver_await(d, 1);
    if (reactor_now_ns(s->reactor) - began_ns > (uint64_t)ANSWER_MS_MAX * MS)
        subject_fail(s, "nothing fails any more, and a write took %llu ms",
                     (unsigned long long)(reactor_now_ns(s->reactor) - began_ns) / MS);
    enum write_state state = (enum write_state)s->model.writes[s->model.count].state;
    if (state != WRITE_ACKED)
        subject_fail(s, "nothing fails any more, and a write is not acknowledged");
}

void liveness_prove(struct subject *s)
{
    enum { WRITES_MIN = 20, WRITES_MAX = 400 };
    struct driver *d = &s->drivers[0];
    uint64_t flushes = engine_counters(s->engine).flushes;
    for (unsigned i = 0; i < WRITES_MAX && !history_has_failed(s->history); i++) {
        if (i >= WRITES_MIN && engine_counters(s->engine).flushes > flushes)
            break;
        write_in_time(d);
    }
    if (!history_has_failed(s->history))
        await_settled(s);
}
