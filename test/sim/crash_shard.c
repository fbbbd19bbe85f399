/* crash_shard.c - one engine and the history of what was written to it; see crash_shard.h. */
#include "test/sim/crash_shard.h"

#include "engine/entry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { AWAIT_NS = 1000 * 1000 * 1000, AWAITS_MAX = 120 };

bool crash_shard_complain(struct crash_shard *s, const char *format, ...)
{
    if (s->why[0])
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->why, sizeof s->why, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- life ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct crash_shard *s = owner;
    struct crash_history *h = s->history;
    (void)times;
    ASSERT(ticket->words[0] < h->count && s->outstanding > 0);
    struct crash_write *w = &h->writes[ticket->words[0]];
    if (w->state != CRASH_SUBMITTED)
        crash_shard_complain(s, "the ticket of write %u came back twice", (unsigned)ticket->words[0]);
    w->state = result == 0 ? CRASH_ACKNOWLEDGED : CRASH_FAILED;
    w->group = (uint8_t)h->failures;
    s->outstanding--;
    event_set(s->reactor, &s->progress, 0);
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct crash_shard *s = owner;
    if (strcmp(event, "log_write_failed") == 0)
        s->history->failures++;
    if (strcmp(event, "log_damaged") == 0 && s->history->unknown_below == 0)
        crash_shard_complain(s, "a loss of power was taken for damage: %s", text);
    snprintf(s->last_event, sizeof s->last_event, "%s: %s", event, text);
}

static void on_turn(void *context)
{
    struct crash_shard *s = context;
    if (s->engine)
        engine_submit(s->engine);
}

struct engine_options crash_shard_options(struct crash_shard *s, const char *directory)
{
    return (struct engine_options){
        .directory = directory,
        .archive = s->knobs.has_archive ? CRASH_ARCHIVE_DIRECTORY : NULL,
        .vnode_bits = 4,
        .vnode_first = CRASH_VNODE_FIRST,
        .vnode_count = CRASH_VNODES,
        .memtable_bytes = s->knobs.memtable_bytes,
        .log_bytes_max = 4 * CRASH_SEGMENT_BYTES,
        .segment_bytes = CRASH_SEGMENT_BYTES,
        .cache_bytes = 64 * 1024,
        .table_bytes_max = 64 * 1024,
        .value_bytes_max = CRASH_VALUE_BYTES_MAX,
        .log_writes_in_flight = s->knobs.writes_in_flight,
        .log_padding_parts = 1,
        .on_durable = on_durable,
        .owner = s,
        .on_event = on_event,
    };
}

int crash_shard_open(struct crash_shard *s, struct reactor *r)
{
    struct engine_options options = crash_shard_options(s, CRASH_DIRECTORY);
    char why[256] = "";
    s->reactor = r;
    s->outstanding = 0;
    event_init(&s->progress);
    int rc = engine_open(r, &options, &s->engine, why, sizeof why);
    if (rc)
        crash_shard_complain(s, "the shard does not open: %s: %s", error_sentence(rc), why);
    else
        reactor_set_turn_hook(r, on_turn, s);
    return rc;
}

void crash_shard_close(struct crash_shard *s)
{
    engine_close(s->engine);
    s->engine = NULL;
    reactor_set_turn_hook(s->reactor, NULL, NULL);
    if (s->outstanding)
        crash_shard_complain(s, "%u tickets were not given back by the close", s->outstanding);
}

void crash_shard_forget(struct crash_shard *s)
{
    s->engine = NULL;
    s->reactor = NULL;
    s->outstanding = 0;
}

/* ---- writes ---- */

void crash_shard_put(struct crash_shard *s, uint32_t key, uint32_t value_bytes, bool is_delete)
{
    char bytes[CRASH_KEY_BYTES];
    uint8_t value[CRASH_VALUE_BYTES_MAX];
    struct crash_write w = {
        .clock = engine_version_clock_max(s->engine) + 1 + s->outstanding,
        .key = (uint8_t)key,
        .is_delete = is_delete,
        .value_bytes = is_delete ? 0 : (uint16_t)value_bytes,
    };
    uint32_t number = crash_history_add(s->history, &w);
    crash_value(number, w.value_bytes, value);
    struct record record = {
        .key = crash_key(key, bytes),
        .version = {.clock = w.clock, .node = 1},
        .flags = is_delete ? RECORD_TOMBSTONE : 0,
        .value = slice_of(value, w.value_bytes),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    struct engine_ticket ticket = {.words = {number}};
    s->outstanding++;
    if (engine_put(s->engine, &record, &ticket) == 0)
        return;
    s->outstanding--;
    s->history->writes[number].state = CRASH_GONE;
}

bool crash_shard_await(struct crash_shard *s)
{
    for (int i = 0; s->outstanding > 0 && i < AWAITS_MAX; i++) {
        event_init(&s->progress);
        int rc = event_wait(s->reactor, &s->progress, AWAIT_NS);
        ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
    }
    return s->outstanding == 0 || crash_shard_complain(s, "%u tickets never came back", s->outstanding);
}

/* ---- reads ---- */

static bool read_key(struct crash_shard *s, uint32_t key, struct crash_view *out)
{
    char bytes[CRASH_KEY_BYTES];
    struct record_key wanted = crash_key(key, bytes);
    struct engine_key k;
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    uint64_t now_ms = reactor_wall_ms(s->reactor);
    engine_key_init(s->engine, &k, &wanted);
    int answer = engine_get(s->engine, &k, now_ms, &record);
    if (answer == ENGINE_WAITS)
        answer = engine_get_wait(s->engine, &k, now_ms, &record, &hold);
    out->shown[key] = CRASH_ABSENT;
    if (answer == ENGINE_FOUND)
        out->shown[key] = crash_history_identify(s->history, key, &record);
    engine_release(s->engine, &hold);
    if (answer == TORC_E_UNKNOWN && s->history->unknown_below > 0)
        out->shown[key] = CRASH_UNKNOWN;
    else if (answer < 0)
        return crash_shard_complain(s, "key %u answers an error: %s", key, error_sentence(answer));
    return true;
}

static bool note_scanned(struct crash_shard *s, const struct record *record, struct crash_view *out)
{
    for (uint32_t key = 0; key < CRASH_KEYS; key++) {
        int shown = crash_history_identify(s->history, key, record);
        if (shown == CRASH_FOREIGN)
            continue;
        if (out->shown[key] != CRASH_ABSENT)
            return crash_shard_complain(s, "a scan shows key %u twice", key);
        out->shown[key] = shown;
        return true;
    }
    return crash_shard_complain(s, "a scan shows what was never written");
}

static bool scan(struct crash_shard *s, struct crash_view *out)
{
    struct record_key from = {.vnode = CRASH_VNODE_FIRST};
    struct engine_cursor *cursor;
    struct record record;
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        out->shown[key] = CRASH_ABSENT;
    int rc = engine_cursor_open(s->engine, &from, reactor_wall_ms(s->reactor), &cursor);
    if (rc)
        return crash_shard_complain(s, "no scan: %s", error_sentence(rc));
    bool is_good = true;
    while (is_good && (rc = engine_cursor_next(cursor, &record)) == 1)
        is_good = note_scanned(s, &record, out);
    engine_cursor_close(cursor);
    if (rc < 0)
        return crash_shard_complain(s, "a scan ends with %s", error_sentence(rc));
    return is_good;
}

bool crash_shard_read(struct crash_shard *s, struct crash_view *out)
{
    struct crash_view scanned;
    for (uint32_t key = 0; key < CRASH_KEYS; key++)
        if (!read_key(s, key, out))
            return false;
    if (s->history->unknown_below > 0)
        return true; /* a scan ends where it meets what may be lost */
    if (!scan(s, &scanned))
        return false;
    if (crash_view_equal(out, &scanned))
        return true;
    char gets[256], scans[256];
    crash_view_text(out, gets, sizeof gets);
    crash_view_text(&scanned, scans, sizeof scans);
    return crash_shard_complain(s, "gets show %s; a scan shows %s", gets, scans);
}

bool crash_shard_observe(struct crash_shard *s)
{
    struct crash_view view;
    uint32_t cut;
    if (!crash_shard_read(s, &view))
        return false;
    if (crash_history_allows(s->history, &view, &cut)) {
        crash_history_settle(s->history, cut);
        return true;
    }
    char shown[256], writes[CRASH_WRITES_MAX + 1];
    crash_view_text(&view, shown, sizeof shown);
    crash_history_text(s->history, writes, sizeof writes);
    return crash_shard_complain(s, "no prefix of the log (%s) shows this: %s", writes, shown);
}
