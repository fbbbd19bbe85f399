/* copies.c - takes snapshots, restores them and compares; see copies.h. */
#include "test/sim/copies.h"

#include "engine/engine_internal.h"
#include "engine/snapshot.h"
#include "engine/wal_internal.h"
#include "test/sim/checks.h"

#include <stdio.h>

enum {
    PATH_BYTES = 64,
    MS = 1000000,
    PAUSE_NS_MAX = 40 * MS,
    TRIES_MAX = 2000,        /* while tables change */
    ARCHIVE_LOOKS_MAX = 500, /* of MS each: one that fails is no matter of this */
    PER_LIFE_MAX = 2,
};

/* ---- what may go wrong ---- */

/* Has the disk of this history faults that explain why a copy could not be made or read? */
static bool is_excused(const struct subject *s)
{
    static const enum sim_fault which[] = {SIM_READ_ERROR,     SIM_WRITE_ERROR,   SIM_SYNC_ERROR,
                                           SIM_DISK_FULL,      SIM_SLOW_DISK,     SIM_STUCK_DISK,
                                           SIM_NO_DESCRIPTORS, SIM_NO_READ_MEMORY};
    const struct plan *p = &s->history->plan;
    bool has_faults = p->destroys || s->quarantined > 0; /* a loss stays until it is accepted */
    for (unsigned i = 0; i < ARRAY_COUNT(which) && !s->history->is_final; i++)
        has_faults |= p->faults.per_million[which[i]] > 0;
    return has_faults || s->history->is_stopping;
}

static void judge_error(struct subject *s, const char *what, const char *why, int error)
{
    story_detail(&s->history->outcome->story, history_now_ns(s->history), "core %u: %s: %s %s", s->core, what,
                 error_name(error), why);
    if (!is_excused(s))
        subject_fail(s, "%s: %s (%s), and nothing had happened that explains it", what, error_name(error),
                     why);
}

/* ---- taking ---- */

/* Returns: 0, or an error; then nothing is to be made of it. */
static int take(struct subject *s, const char *directory, struct engine_restore *one, uint64_t *log_history)
{
    struct engine_snapshot *snapshot = NULL;
    struct engine_snapshot_facts facts;
    int rc = engine_snapshot_begin(s->engine, &snapshot, &one->clock_max);
    for (unsigned i = 0; rc == TORC_E_OVERLOADED && i < TRIES_MAX && !s->history->is_stopping; i++) {
        task_sleep(s->reactor, MS);
        rc = engine_snapshot_begin(s->engine, &snapshot, &one->clock_max);
    }
    if (rc)
        return rc;
    model_copy(&s->copied, &s->model);
    s->has_copied = true;
    rc = engine_snapshot_write(snapshot, directory, &s->history->is_stopping, &facts);
    engine_snapshot_end(snapshot);
    one->start_segment = facts.start_segment;
    one->start_sequence = facts.start_sequence;
    one->end_segment = facts.end_segment;
    one->end_sequence = facts.end_sequence;
    one->end_checksum = facts.end_checksum;
    *log_history = facts.log_history;
    return rc;
}

/* ---- restoring ---- */

struct linking {
    struct reactor *reactor;
    const char *from;
    const char *to;
};

static int link_file(void *context, const char *name)
{
    const struct linking *l = context;
    char from[256], to[256];
    if (strncmp(name, "table-", 6) != 0 && strncmp(name, "values-", 7) != 0)
        return 0;
    snprintf(from, sizeof from, "%s/%s", l->from, name);
    snprintf(to, sizeof to, "%s/%s", l->to, name);
    return file_link(l->reactor, from, to);
}

int copies_restore(struct reactor *r, const char *from, const char *to, struct engine_restore *one)
{
    struct linking l = {r, from, to};
    char manifest[256];
    snprintf(manifest, sizeof manifest, "%s/MANIFEST-A", from);
    one->manifest = manifest;
    one->log = from;
    one->why[0] = '\0';
    int rc = directory_remove_all(r, to, NULL);
    if (rc == 0)
        rc = directory_create(r, to);
    if (rc == 0)
        rc = directory_list(r, from, link_file, &l);
    return rc ? rc : engine_restore(r, one);
}

/* ---- comparing ---- */

static void on_nothing(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    (void)owner, (void)ticket, (void)result, (void)times;
    ASSERT(!"nothing is put");
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct subject *s = owner;
    story_detail(&s->history->outcome->story, history_now_ns(s->history), "core %u, restored: %s: %s",
                 s->core, event, text);
}

static struct engine_options options_of(struct subject *s, const char *directory)
{
    struct engine_options o = s->options;
    o.directory = directory;
    o.archive = NULL;
    o.on_durable = on_nothing;
    o.on_event = on_event;
    return o;
}

/* What the disk does not write of the restored log is no matter of the model's. */
static bool may_lie(const struct subject *s)
{
    const uint32_t *rates = s->history->plan.faults.per_million;
    bool is_made_now = s->history->is_final && !s->has_kept;
    return !is_made_now && (rates[SIM_LOST_WRITE] || rates[SIM_MISDIRECTED_WRITE]);
}

static void compare_key(struct subject *s, struct engine *e, uint32_t key)
{
    struct model *m = &s->copied;
    struct model_question q = {.key = key, .floor = model_floor(m, key), .now_ms = subject_now_ms(s)};
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    int answer = checks_ask(e, m, &q, &record, &hold);
    q.dead_ms = s->history->wall_max_ms;
    s->history->outcome->tally.checks++;
    if (answer < 0) {
        judge_error(s, "a key of what was restored", "", answer);
    } else {
        struct model_finding f = model_judge(m, &q, answer == ENGINE_FOUND ? &record : NULL);
        if (!model_verdict_is_good(f.verdict) && !may_lie(s))
            subject_fail(s, "restored: key %u answers %s: write %u, expected write %u or a later one", key,
                         model_verdict_words(f.verdict), f.got, f.expected);
    }
    engine_release(e, &hold);
}

static void compare(struct subject *s, const struct engine_options *options)
{
    struct engine *e = NULL;
    char why[256] = "";
    int rc = engine_open(s->reactor, options, &e, why, sizeof why);
    if (rc) {
        judge_error(s, "what was restored does not open", why, rc);
        return;
    }
    for (uint32_t key = 0; key < s->copied.key_count && !history_has_failed(s->history); key++)
        compare_key(s, e, key);
    engine_close(e);
    s->history->outcome->tally.restored++;
}

/* Returns: whether it could be compared with the model. */
static bool try_restore(struct subject *s, const char *from, struct engine_restore *one)
{
    char to[PATH_BYTES];
    snprintf(to, sizeof to, "/restored-%u", s->core);
    struct engine_options options = options_of(s, to);
    one->options = &options;
    model_end_life(&s->copied); /* what was under way may be in it */
    int rc = copies_restore(s->reactor, from, to, one);
    if (rc)
        judge_error(s, "a whole snapshot is not restored", one->why, rc);
    else
        compare(s, &options);
    int removed = directory_remove_all(s->reactor, to, NULL);
    if (removed)
        judge_error(s, "what was restored stays", "", removed);
    return rc == 0;
}

/* ---- with the archive ---- */

static void kept_path(const struct subject *s, char to[PATH_BYTES])
{
    snprintf(to, PATH_BYTES, "/kept-%u", s->core);
}

/* A snapshot that was restored by itself is kept, durably, for a later moment of the archive. */
static void keep(struct subject *s, const char *from, const struct engine_restore *one, uint64_t log_history)
{
    char path[PATH_BYTES];
    kept_path(s, path);
    int rc = directory_remove_all(s->reactor, path, NULL);
    if (rc == 0)
        rc = file_rename(s->reactor, from, path);
    if (rc == 0)
        rc = directory_sync_parent(s->reactor, path);
    if (rc)
        judge_error(s, "a snapshot cannot be kept", "", rc);
    s->kept = *one;
    s->kept_history = log_history;
    s->has_kept = rc == 0;
    story_detail(&s->history->outcome->story, history_now_ns(s->history),
                 "core %u: a snapshot as of %llu is kept, with the log of files %llx to %llx", s->core,
                 (unsigned long long)one->clock_max, (unsigned long long)one->start_segment,
                 (unsigned long long)one->end_segment);
}

static bool await_archive(struct subject *s, uint64_t segment)
{
    for (unsigned i = 0; i < ARCHIVE_LOOKS_MAX && !s->history->is_stopping && !s->is_closing; i++) {
        if (s->engine->wal->archived_id >= segment)
            return true;
        task_sleep(s->reactor, MS);
    }
    return false;
}

/* The snapshot of earlier and the archive make the shard as it was when the one just taken began. */
static void restore_kept(struct subject *s, const struct engine_restore *taken)
{
    enum { FORGET_IN = 2 };
    char path[PATH_BYTES], archive[PATH_BYTES];
    if (!await_archive(s, taken->end_segment))
        return;
    kept_path(s, path);
    snprintf(archive, sizeof archive, "%s/log/%016llx", s->options.archive,
             (unsigned long long)s->kept_history);
    s->kept.archive = taken->end_segment ? archive : NULL; /* there is none when nothing was ever written */
    s->kept.clock_max = taken->clock_max;
    story_detail(&s->history->outcome->story, history_now_ns(s->history),
                 "core %u: it is restored as of %llu, with the archive to file %llx", s->core,
                 (unsigned long long)taken->clock_max, (unsigned long long)taken->end_segment);
    if (try_restore(s, path, &s->kept))
        s->history->outcome->tally.restored_later++;
    if (sim_dice_below(&s->copier, FORGET_IN) == 0)
        s->has_kept = false;
}

/* ---- all of it ---- */

void copies_forget(struct subject *s)
{
    if (s->has_copied)
        model_deinit(&s->copied);
    s->has_copied = false;
}

void copies_prove(struct subject *s)
{
    char from[PATH_BYTES];
    struct engine_restore one = {.archive = NULL};
    uint64_t log_history = 0;
    snprintf(from, sizeof from, "/copy-%u", s->core);
    int rc = directory_remove_all(s->reactor, from, NULL); /* a crash has left it */
    if (rc == 0)
        rc = take(s, from, &one, &log_history);
    if (rc)
        judge_error(s, "no snapshot", "", rc);
    s->history->outcome->tally.copies += rc == 0;
    s->has_kept &= s->kept_history == log_history; /* it begins anew in a data directory that was wiped */
    if (rc == 0 && s->has_kept)
        restore_kept(s, &one);
    else if (rc == 0 && try_restore(s, from, &one) && s->options.archive)
        keep(s, from, &one, log_history);
    copies_forget(s);
    rc = directory_remove_all(s->reactor, from, NULL);
    if (rc)
        judge_error(s, "a copy stays", "", rc);
}

void copies_drive(struct reactor *r, void *argument)
{
    struct subject *s = argument;
    for (unsigned i = 0; i < PER_LIFE_MAX; i++) {
        task_sleep(r, sim_dice_below(&s->copier, PAUSE_NS_MAX));
        if (s->history->is_stopping || s->is_closing || history_has_failed(s->history))
            break;
        copies_prove(s);
    }
    subject_task_over(s);
}
