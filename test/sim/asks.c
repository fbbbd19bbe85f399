/* asks.c - requests without an answer, and the checks of their answers; see asks.h. */
#include "test/sim/asks.h"

#include <stdio.h>

enum { NS_PER_MS = 1000000, PLACE_BITS = 8 };

static_assert(ASKS_MAX <= 1 << PLACE_BITS, "a place is part of an id");

static void fail(const struct asks *a, const struct ask *ask, uint64_t now_ns, const char *what)
{
    story_fail(a->service->story, now_ns, "connection %u, request %llx, op %u, key %u of server %u: %s",
               a->owner, (unsigned long long)(ask ? ask->id : 0), ask ? ask->op : 0, ask ? ask->key : 0,
               a->server->registers.server, what);
}

/* ---- places ---- */

struct ask *asks_new(struct asks *a, uint8_t op, uint64_t now_ns)
{
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        struct ask *ask = &a->places[i];
        if (ask->id)
            continue;
        *ask = (struct ask){
            .id = ++a->sequence << PLACE_BITS | i,
            .op = op,
            .begin_ns = now_ns,
            .run = a->server->server.starts,
        };
        a->count++;
        return ask;
    }
    return NULL;
}

static void forget(struct asks *a, struct ask *ask)
{
    ASSERT(ask->id && a->count > 0);
    ask->id = 0;
    a->count--;
}

static struct ask *find(struct asks *a, uint64_t id)
{
    uint64_t place = id & ((1 << PLACE_BITS) - 1);
    return place < ASKS_MAX && id != 0 && a->places[place].id == id ? &a->places[place] : NULL;
}

static bool is_write(const struct ask *ask)
{
    return ask->op == FRAME_PUT || ask->op == FRAME_DELETE;
}

void asks_lose_all(struct asks *a)
{
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        if (a->places[i].id == 0)
            continue;
        if (is_write(&a->places[i]) && !a->places[i].expected)
            registers_lost(&a->server->registers, a->places[i].write);
        forget(a, &a->places[i]);
    }
    a->scan.is_active = false;
    a->has_hello = a->is_poisoned = false;
}

/* What a connection asks behind too much else, or while the log waits for a slow disk, may not be
 * received before that is answered: its time has not begun. */
const struct ask *asks_overdue(const struct asks *a, uint64_t now_ns)
{
    bool may_be_full = a->count >= ASKS_FEW || a->server->was_flooded || a->server->has_unread ||
                       service_has_seen(a->service, SIM_STUCK_DISK) ||
                       service_has_seen(a->service, SIM_SLOW_DISK);
    for (unsigned i = 0; i < ASKS_MAX; i++) {
        const struct ask *ask = &a->places[i];
        uint64_t wait_ms = (uint64_t)ask->deadline_ms + (may_be_full ? a->service->deadline_ms_max : 0);
        if (ask->id && now_ns > ask->begin_ns + wait_ms * NS_PER_MS + a->service->patience_ns)
            return ask;
    }
    return NULL;
}

/* ---- codes ---- */

/* Returns: null, or why this code has no reason. */
static const char *judge_code(const struct asks *a, const struct ask *ask, int code, uint64_t now_ns)
{
    const struct service *s = a->service;
    bool is_faulty = service_has_seen(s, SIM_READ_ERROR) || service_has_seen(s, SIM_WRITE_ERROR) ||
                     service_has_seen(s, SIM_SYNC_ERROR);
    if (ask->expected && code != TORC_E_SHUTTING_DOWN && code != TORC_E_TIMEOUT)
        return code == ask->expected ? NULL : "not the error of a wrong request";
    switch (code) {
    case 0:
    case TORC_E_OVERLOADED:
        return NULL;
    case TORC_E_NOT_FOUND:
        return ask->op == FRAME_GET || ask->op == FRAME_EXISTS ? NULL : "NOT_FOUND is no answer to this";
    case TORC_E_TIMEOUT:
        if (ask->deadline_ms == 0)
            return "TIMEOUT, but it had no deadline";
        return now_ns >= ask->begin_ns + (uint64_t)ask->deadline_ms * NS_PER_MS
                   ? NULL
                   : "TIMEOUT before its deadline";
    case TORC_E_DISK_FULL:
        return (a->server->was_full || service_has_seen(s, SIM_NO_DESCRIPTORS)) && is_write(ask)
                   ? NULL
                   : "DISK_FULL, but the disk never was, nor was there no descriptor";
    case TORC_E_STORAGE:
        return is_faulty || a->server->was_full ? NULL : "STORAGE, but no read, write or sync has failed";
    case TORC_E_NO_MEMORY:
        return service_has_seen(s, SIM_NO_READ_MEMORY) && !is_write(ask) ? NULL
                                                                         : "NO_MEMORY, but there was some";
    case TORC_E_SHUTTING_DOWN:
        return ask->run <= a->server->asked_run ? NULL : "SHUTTING_DOWN, but it was not asked to end";
    case TORC_E_CORRUPT: /* a table that could not be opened is set aside until the next start */
        return service_has_seen(s, SIM_READ_ERROR) && !is_write(ask) ? NULL
                                                                     : "CORRUPT, but no read has failed";
    case TORC_E_UNKNOWN: /* a read: a start has found in the cache what a failed sync has then lost */
        return is_faulty ? NULL : "UNKNOWN, but no write or sync has failed";
    case TORC_E_VIEW_ENDED:
        if (!(ask->flags & FRAME_SNAPSHOT))
            return "VIEW_ENDED, but it has no view";
        return ask->run > a->scan.run || now_ns > a->scan.page_ns + VIEW_LEASE_NS ||
                       a->server->has_ended_views
                   ? NULL
                   : "VIEW_ENDED, but it was used and the server has gone on";
    default:
        return "an error that has no reason";
    }
}

/* ---- answers ---- */

static void judge_register(struct asks *a, const struct ask *ask, const struct register_answer *answer)
{
    uint32_t write;
    const char *wrong = registers_judge(&a->server->registers, answer, &write);
    a->service->tally->checks++;
    if (!wrong)
        return;
    const struct register_write *w = &a->server->registers.writes[write];
    story_fail(a->service->story, answer->end_ns,
               "connection %u, request %llx, op %u, asked at %.3f ms: key %u of server %u answers write %u "
               "(begun at %.3f ms, state %d), found %d: %s",
               a->owner, (unsigned long long)ask->id, ask->op, (double)answer->begin_ns / NS_PER_MS,
               answer->key, a->server->registers.server, write, (double)w->begin_ns / NS_PER_MS,
               (int)w->state, answer->is_found, wrong);
}

static uint64_t version_of(const struct asks *a, const struct ask *ask, const struct frame *frame,
                           uint64_t now_ns)
{
    struct frame_extensions e = {.has_version = false};
    if (frame->extensions.bytes == 0)
        return 0;
    if (frame_extensions_parse(frame->extensions, &e) != 0 || !e.has_version ||
        !(ask->flags & FRAME_WANT_VERSION))
        fail(a, ask, now_ns, "the answer has extensions that were not asked for");
    return e.version_clock;
}

static void on_read(struct asks *a, const struct ask *ask, const struct frame *frame, uint64_t now_ns)
{
    struct register_answer answer = {
        .key = ask->key,
        .begin_ns = ask->begin_ns,
        .end_ns = now_ns,
        .run = ask->run,
        .is_found = frame->flags == 0,
        .has_value = ask->op == FRAME_GET,
        .value = frame->value,
    };
    if (answer.is_found && (ask->flags & FRAME_WANT_VERSION)) {
        answer.version = version_of(a, ask, frame, now_ns);
        if (answer.version == 0)
            fail(a, ask, now_ns, "the version was asked for and is not there");
    }
    judge_register(a, ask, &answer);
}

/* ---- scans ---- */

static bool is_in_scan(const struct ask_scan *scan, struct slice key)
{
    if (!(scan->flags & FRAME_RANGE))
        return true;
    struct slice to = slice_of(scan->to, scan->to_bytes);
    return slice_compare(key, slice_of(scan->from, scan->from_bytes)) >= 0 &&
           (to.bytes == 0 || slice_compare(key, to) < 0);
}

/* In the order of keys, or of the keys of one vnode, which this does not know. */
static void judge_order(struct asks *a, const struct ask *ask, struct slice key, uint64_t now_ns)
{
    const struct registers *g = &a->server->registers;
    char memory[REGISTER_KEY_BYTES_MAX];
    if (!(ask->flags & FRAME_ORDERED) || a->scan.last_key == g->key_count)
        return;
    int order = slice_compare(registers_key(g, a->scan.last_key, memory), key);
    if ((ask->flags & FRAME_REVERSE) ? order <= 0 : order >= 0)
        fail(a, ask, now_ns, "a scan in order showed a key behind a later one");
}

/* When what a scan says of a key was so. */
static void set_time(const struct asks *a, const struct ask *ask, struct register_answer *answer)
{
    if (!(ask->flags & FRAME_SNAPSHOT))
        return;
    answer->begin_ns = a->scan.begin_ns;
    answer->end_ns = a->scan.view_ns;
    answer->run = a->scan.run;
}

static void judge_entry(struct asks *a, const struct ask *ask, struct slice key, struct slice value,
                        uint64_t now_ns)
{
    struct registers *g = &a->server->registers;
    struct register_answer answer = {
        .key = registers_key_number(g, key),
        .begin_ns = ask->begin_ns,
        .end_ns = now_ns,
        .run = ask->run,
        .is_found = true,
        .has_value = !(ask->flags & FRAME_KEYS_ONLY),
        .value = value,
    };
    set_time(a, ask, &answer);
    if (answer.key >= g->key_count) {
        fail(a, ask, now_ns, "a scan found a key that was never written");
        return;
    }
    if (!is_in_scan(&a->scan, key))
        fail(a, ask, now_ns, "a scan showed a key that is out of its range");
    judge_order(a, ask, key, now_ns);
    a->scan.last_key = answer.key;
    if (a->scan.seen[answer.key]++)
        fail(a, ask, now_ns, "a scan showed a key twice");
    judge_register(a, ask, &answer);
}

/* What was not seen may have been absent at some time of the scan. */
static void judge_absent(struct asks *a, const struct ask *ask, uint64_t now_ns)
{
    struct registers *g = &a->server->registers;
    for (uint32_t key = 0; key < g->key_count; key++) {
        char memory[REGISTER_KEY_BYTES_MAX];
        if (a->scan.seen[key] || !is_in_scan(&a->scan, registers_key(g, key, memory)))
            continue;
        struct register_answer answer = {.key = key, .end_ns = now_ns, .run = ask->run};
        answer.begin_ns = a->scan.begin_ns;
        set_time(a, ask, &answer);
        judge_register(a, ask, &answer);
    }
}

static void on_page(struct asks *a, const struct ask *ask, const struct frame *frame, uint64_t now_ns)
{
    struct slice cursor, entries, key, value;
    int rc = frame_page_parse(frame->value, &cursor, &entries);
    a->scan.page_ns = now_ns;
    if (a->scan.view_ns == 0)
        a->scan.view_ns = now_ns;
    while (rc >= 0 && (rc = frame_page_next(&entries, &key, &value)) == 1)
        judge_entry(a, ask, key, value, now_ns);
    if (rc < 0 || cursor.bytes > sizeof a->scan.cursor) {
        fail(a, ask, now_ns, "a page of a scan is no page");
        a->scan.is_active = false;
        return;
    }
    a->scan.cursor_bytes = (uint32_t)cursor.bytes;
    if (cursor.bytes) {
        memcpy(a->scan.cursor, cursor.data, cursor.bytes);
        return;
    }
    judge_absent(a, ask, now_ns);
    a->scan.is_active = false;
    a->service->tally->scans++;
}

/* ---- one answer ---- */

static bool is_echo(const struct ask *ask, struct slice value)
{
    bool is_same = value.bytes == ask->echo_bytes;
    for (size_t i = 0; i < value.bytes && is_same; i++)
        is_same = value.data[i] == ASK_ECHO;
    return is_same;
}

static bool is_intact(struct asks *a, const struct ask *ask, const struct frame *frame)
{
    char key[REGISTER_KEY_BYTES_MAX];
    return client_is_intact(frame, registers_key(&a->server->registers, ask->key, key));
}

static void on_write(struct asks *a, const struct ask *ask, int code, uint64_t now_ns)
{
    registers_answered(&a->server->registers, ask->write, code, now_ns, ask->run);
    a->service->tally->acknowledged += code == 0;
    a->written_count += code == 0;
    a->service->tally->refused += code != 0 && code != TORC_E_TIMEOUT;
    a->server->wants_restart |= code == TORC_E_STORAGE;
}

static bool on_batch(struct asks *a, const struct ask *batch, struct slice frames, uint64_t now_ns);

/* Returns: what it says can be trusted. */
static bool on_answer(struct asks *a, const struct ask *ask, const struct frame *frame, uint64_t now_ns)
{
    int code = error_of_status(frame->flags);
    const char *wrong = NULL;
    if (frame->op != ask->op || frame->key.bytes > 0)
        wrong = "the answer is to another operation";
    else if (!is_intact(a, ask, frame))
        wrong = "the check of the answer is wrong";
    else if (ask->op == FRAME_PING && code == 0 && !is_echo(ask, frame->value))
        wrong = "not what was sent has come back";
    else
        wrong = judge_code(a, ask, code, now_ns);
    if (wrong) {
        char text[200];
        snprintf(text, sizeof text, "%s (%s)", wrong, error_name(code));
        fail(a, ask, now_ns, text);
    }
    bool is_done = code == 0 || code == TORC_E_NOT_FOUND;
    a->done_count += (is_done || code == TORC_E_UNKNOWN) && !ask->is_part;
    a->service->tally->operations += !(ask->op == FRAME_BATCH);
    a->service->tally->gets += ask->op == FRAME_GET;
    a->server->wants_restart |= code == TORC_E_CORRUPT;
    if (ask->expected)
        return true;
    if (is_write(ask))
        on_write(a, ask, code, now_ns);
    else if ((ask->op == FRAME_GET || ask->op == FRAME_EXISTS) && is_done && !wrong)
        on_read(a, ask, frame, now_ns);
    else if (ask->op == FRAME_SCAN && code == 0)
        on_page(a, ask, frame, now_ns);
    else if (ask->op == FRAME_SCAN)
        a->scan.is_active = false;
    else if (ask->op == FRAME_BATCH && code == 0)
        return on_batch(a, ask, frame->value, now_ns);
    else if (ask->op == FRAME_HELLO && code == 0)
        a->has_hello = true;
    return true;
}

/* A batch that was refused as a whole did nothing. */
static void refuse_parts(struct asks *a, const struct ask *batch, int code, uint64_t now_ns)
{
    for (unsigned i = 0; i < batch->part_count; i++) {
        struct ask *part = &a->places[batch->parts[i]];
        if (is_write(part))
            on_write(a, part, code, now_ns);
        forget(a, part);
    }
}

static bool on_batch(struct asks *a, const struct ask *batch, struct slice frames, uint64_t now_ns)
{
    for (unsigned i = 0; i < batch->part_count; i++) {
        struct ask *part = &a->places[batch->parts[i]];
        struct frame frame;
        size_t needed;
        int rc = frame_parse(frames, FRAME_RESPONSE_BYTES_MAX, &frame, &needed);
        if (rc != 1 || !frame.is_response || frame.request_id != part->id) {
            fail(a, batch, now_ns, "the answers of a batch are not those of its parts in their order");
            return false;
        }
        on_answer(a, part, &frame, now_ns);
        forget(a, part);
        frames = slice_of(frames.data + frame.length, frames.bytes - frame.length);
    }
    if (frames.bytes > 0)
        fail(a, batch, now_ns, "a batch has more answers than parts");
    return true;
}

bool asks_on_frame(struct asks *a, const struct frame *frame, uint64_t now_ns)
{
    struct ask *ask = find(a, frame->request_id);
    if (!frame->is_response) {
        fail(a, ask, now_ns, "the server sent a request");
        return false;
    }
    if (!ask || ask->is_part) {
        if (!a->is_poisoned || frame->flags == 0)
            fail(a, ask, now_ns, "an answer to what was not asked, or was answered before");
        return a->is_poisoned;
    }
    struct ask copy = *ask; /* its place may be needed for the next page */
    bool is_fine = on_answer(a, &copy, frame, now_ns);
    if (copy.op == FRAME_BATCH && frame->flags != 0)
        refuse_parts(a, &copy, error_of_status(frame->flags), now_ns);
    if (is_fine)
        forget(a, ask);
    return is_fine;
}
