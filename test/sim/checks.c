/* checks.c - asks an engine and compares; see checks.h. */
#include "test/sim/checks.h"

#include "engine/engine_internal.h"
#include "test/sim/truth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct tally *tally_of(struct subject *s)
{
    return &s->history->outcome->tally;
}

/* An answer that is an error: is it true? `floor` is that of the key when it was asked. */
static void judge_error(struct subject *s, const char *how, const struct model_question *q, int error)
{
    uint32_t key = q->key, floor = q->floor;
    s->errors++;
    s->wants += error == TORC_E_NO_MEMORY || error == -ENOMEM;
    tally_of(s)->detections++;
    sim_trace(s->history->world, key, (uint64_t)(int64_t)error);
    story_detail(&s->history->outcome->story, history_now_ns(s->history), "core %u: %s of key %u answers %s",
                 s->core, how, key, error_name(error));
    if (!truth_explains(s, TRUTH_READ, error, floor))
        subject_fail(
            s,
            "%s of key %u answers %s, and nothing had happened that explains it; it has write %u (version "
            "%llx, log record %llu); versions to %llx are in doubt",
            how, key, error_name(error), floor, (unsigned long long)s->model.writes[floor].clock,
            (unsigned long long)s->model.writes[floor].sequence,
            (unsigned long long)s->engine->quarantine_clock);
    else if (error == TORC_E_CORRUPT && key < s->model.key_count && !truth_explains_corrupt_key(s, key))
        subject_fail(s, "%s of key %u answers CORRUPT, and no table that may hold it is damaged", how, key);
}

static void tell_finding(struct subject *s, const char *how, uint32_t key, const struct model_finding *f)
{
    const struct model_write *got = &s->model.writes[f->got], *expected = &s->model.writes[f->expected];
    subject_fail(
        s,
        "%s of key %u answers %s: write %u (version %llx, life %u, state %u), expected write %u (version "
        "%llx, life %u, state %u, log record %llu) or a later one; its newest is %u, this is life %u",
        how, key, model_verdict_words(f->verdict), f->got, (unsigned long long)got->clock, got->life,
        got->state, f->expected, (unsigned long long)expected->clock, expected->life, expected->state,
        (unsigned long long)expected->sequence, s->model.keys[key].last, s->model.life);
}

static void judge(struct subject *s, const char *how, const struct model_question *q,
                  const struct record *answer)
{
    struct model_finding f = model_judge(&s->model, q, answer);
    tally_of(s)->checks++;
    tally_of(s)->excused += f.excused;
    sim_trace(s->history->world, q->key, f.got);
    if (f.excused)
        story_say(&s->history->outcome->story, history_now_ns(s->history),
                  "core %u: key %u is back at write %u: the disk had not made what came after", s->core,
                  q->key, f.got);
    if (!model_verdict_is_good(f.verdict))
        tell_finding(s, how, q->key, &f);
}

/* ---- gets ---- */

int checks_ask(struct engine *e, const struct model *m, const struct model_question *q, struct record *out,
               struct engine_hold *hold)
{
    char memory[MODEL_KEY_BYTES_MAX];
    struct record_key record_key = model_key(m, q->key, memory);
    struct engine_key k;
    engine_key_init(e, &k, &record_key);
    engine_prefetch_slot(e, &k);
    engine_prefetch_entry(e, &k);
    int answer = engine_get(e, &k, q->now_ms, out);
    return answer == ENGINE_WAITS ? engine_get_wait(e, &k, q->now_ms, out, hold) : answer;
}

void checks_get(struct subject *s, uint32_t key)
{
    struct model_question q = {.key = key, .floor = model_floor(&s->model, key), .now_ms = subject_now_ms(s)};
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    int answer = checks_ask(s->engine, &s->model, &q, &record, &hold);
    q.dead_ms = s->history->wall_max_ms;
    tally_of(s)->gets++;
    if (answer < 0)
        judge_error(s, "get", &q, answer);
    else
        judge(s, "get", &q, answer == ENGINE_FOUND ? &record : NULL);
    engine_release(s->engine, &hold);
}

/* ---- scans ---- */

struct scan_walk {
    struct subject *subject;
    const struct checks_scan *options;
    uint64_t now_ms;
    uint32_t *floors; /* of each key when it began */
    bool *seen;
    uint32_t before; /* the key given out last; key_count: none */
    uint32_t count;
    struct engine_range range;
    uint32_t sought; /* where an error has sent the scan: to this vnode, or backward to the one before */
    uint64_t holes;  /* by vnode: an error was answered there, its keys may have been passed over */
    bool is_at_end;
};

static struct engine_range scan_range(struct subject *s, const struct checks_scan *scan,
                                      char from[MODEL_KEY_BYTES_MAX], char to[MODEL_KEY_BYTES_MAX])
{
    struct engine_range range = {.from = {.vnode = s->options.vnode_first},
                                 .to = {.vnode = ENGINE_VNODE_END},
                                 .is_backward = scan->is_backward};
    if (scan->from < s->model.key_count)
        range.from = model_key(&s->model, scan->from, from);
    if (scan->to < s->model.key_count)
        range.to = model_key(&s->model, scan->to, to);
    return range;
}

static void take(struct scan_walk *w, const struct record *record)
{
    struct subject *s = w->subject;
    char memory[MODEL_KEY_BYTES_MAX];
    uint32_t key = model_key_number(&s->model, &record->key);
    w->count++;
    if (key == s->model.key_count) {
        subject_fail(s, "a scan gives out a key that was never written");
        return;
    }
    if (record_key_compare(&record->key, &w->range.from) < 0 ||
        record_key_compare(&record->key, &w->range.to) >= 0)
        subject_fail(s, "a scan gives out key %u, which is out of its range", key);
    struct record_key before = {.vnode = 0};
    bool has_before = w->before < s->model.key_count;
    if (has_before)
        before = model_key(&s->model, w->before, memory);
    int order = has_before ? record_key_compare(&before, &record->key) : 0;
    if (w->seen[key] || (w->options->is_backward ? order < 0 : order > 0))
        subject_fail(s, "a scan gives out key %u after key %u", key, w->before);
    w->seen[key] = true;
    w->before = key;
    struct model_question q = {
        .key = key,
        .floor = w->floors[key],
        .now_ms = w->now_ms,
        .dead_ms = s->history->wall_max_ms,
    };
    judge(s, "scan", &q, record);
}

/* After an error a scan stays where it is; it can go on behind it. Returns: whether there is anything
 * behind. */
static bool go_behind(struct scan_walk *w, struct engine_cursor *c, int error)
{
    struct subject *s = w->subject;
    char memory[MODEL_KEY_BYTES_MAX];
    judge_error(s, "scan", &(struct model_question){.key = s->model.key_count}, error);
    uint32_t vnode = w->options->is_backward ? w->range.to.vnode : w->range.from.vnode;
    if (w->before < s->model.key_count)
        vnode = model_key(&s->model, w->before, memory).vnode;
    uint32_t first = s->options.vnode_first, last = first + s->options.vnode_count - 1u;
    if (w->options->is_backward)
        vnode = vnode < w->sought ? vnode : w->sought - 1u;
    else
        vnode = vnode > w->sought ? vnode : w->sought;
    w->holes |= UINT64_C(1) << (vnode - first);
    bool is_last = w->options->is_backward ? vnode == first : vnode == last;
    w->sought = w->options->is_backward ? vnode : vnode + 1;
    struct record_key to = {.vnode = (uint16_t)w->sought};
    return !is_last && engine_cursor_seek(c, &to) == 0;
}

static void walk(struct scan_walk *w, struct engine_cursor *c)
{
    enum { ERRORS_MAX = 64, PAUSE_IN = 8, PAUSE_NS_MAX = 2000000 };
    struct record record;
    unsigned errors = 0;
    while (w->options->count_max == 0 || w->count < w->options->count_max) {
        int rc = engine_cursor_next(c, &record);
        if (rc == 1)
            take(w, &record);
        w->is_at_end = rc == 0;
        if (rc == 0 || (rc < 0 && (!go_behind(w, c, rc) || ++errors > ERRORS_MAX)))
            return;
        if (history_has_failed(w->subject->history))
            return;
        if (w->options->pauses && sim_dice_below(w->options->pauses, PAUSE_IN) == 0)
            task_sleep(w->subject->reactor, sim_dice_below(w->options->pauses, PAUSE_NS_MAX));
    }
}

/* Was it due? A key with nothing but lost versions is not. */
static void judge_missing(struct scan_walk *w, uint32_t key)
{
    struct subject *s = w->subject;
    char memory[MODEL_KEY_BYTES_MAX], last_memory[MODEL_KEY_BYTES_MAX];
    struct record_key own = model_key(&s->model, key, memory);
    if (record_key_compare(&own, &w->range.from) < 0 || record_key_compare(&own, &w->range.to) >= 0 ||
        w->holes >> (own.vnode - s->options.vnode_first) & 1)
        return;
    if (!w->is_at_end) {
        if (w->before == s->model.key_count)
            return;
        struct record_key last = model_key(&s->model, w->before, last_memory);
        int order = record_key_compare(&own, &last);
        if (w->options->is_backward ? order < 0 : order > 0)
            return;
    }
    uint32_t floor = w->floors[key];
    if (truth_explains(s, TRUTH_READ, TORC_E_UNKNOWN, floor))
        return;
    struct model_question q = {.key = key,
                               .floor = floor,
                               .now_ms = w->now_ms,
                               .dead_ms = s->history->wall_max_ms};
    judge(s, "a scan that passes over it", &q, NULL);
}

static void finish_scan(struct scan_walk *w)
{
    struct subject *s = w->subject;
    if (history_has_failed(s->history))
        return;
    for (uint32_t key = 0; key < s->model.key_count; key++)
        if (!w->seen[key])
            judge_missing(w, key);
}

void checks_scan(struct subject *s, const struct checks_scan *scan)
{
    char from[MODEL_KEY_BYTES_MAX], to[MODEL_KEY_BYTES_MAX];
    struct scan_walk w = {.subject = s,
                          .options = scan,
                          .now_ms = subject_now_ms(s),
                          .range = scan_range(s, scan, from, to),
                          .before = s->model.key_count};
    struct engine_cursor *c = NULL;
    uint32_t vnode_end = (uint32_t)s->options.vnode_first + s->options.vnode_count;
    w.sought = scan->is_backward ? vnode_end : 0;
    w.range.now_ms = w.now_ms;
    w.floors = reactor_alloc(s->reactor, s->model.key_count * sizeof w.floors[0]);
    w.seen = reactor_alloc_zeroed(s->reactor, s->model.key_count * sizeof w.seen[0]);
    ASSERT(w.floors && w.seen);
    for (uint32_t key = 0; key < s->model.key_count; key++)
        w.floors[key] = model_floor(&s->model, key);
    int rc = engine_cursor_open_range(s->engine, &w.range, &c);
    if (rc) {
        judge_error(s, "scan", &(struct model_question){.key = s->model.key_count}, rc);
    } else {
        walk(&w, c);
        engine_cursor_close(c);
        finish_scan(&w);
    }
    reactor_free(s->reactor, w.floors);
    reactor_free(s->reactor, w.seen);
    tally_of(s)->scans++;
}

/* ---- everything ---- */

static void check_prefix(struct subject *s)
{
    uint32_t there, missing;
    bool is_exact = !s->model.is_soft && s->errors == 0;
    if (is_exact && !model_is_prefix(&s->model, &there, &missing))
        subject_fail(s, "write %u has come back, and write %u, which was put before it, has not", there,
                     missing);
}

/* New versions must be above all that are there. */
static void check_clock(struct subject *s)
{
    const struct model_write *w = &s->model.writes[s->model.acked_last];
    if (s->model.acked_last == 0 || w->state != WRITE_ACKED ||
        model_may_be_lost(&s->model, s->model.acked_last))
        return;
    if (engine_version_clock_max(s->engine) < w->clock)
        subject_fail(s, "the highest version found is %llx, below that of write %u, %llx",
                     (unsigned long long)engine_version_clock_max(s->engine), s->model.acked_last,
                     (unsigned long long)w->clock);
}

void checks_audit(struct subject *s, bool is_after_start)
{
    s->errors = s->wants = 0;
    for (uint32_t key = 0; key < s->model.key_count && !history_has_failed(s->history); key++)
        checks_get(s, key);
    if (is_after_start)
        check_prefix(s);
    check_clock(s);
    if (!history_has_failed(s->history))
        checks_scan(s, &(struct checks_scan){.from = s->model.key_count, .to = s->model.key_count});
}
