/* engine_rig.c - one engine under test, and a model of what it must hold; see engine_rig.h. */
#include "test/engine/engine_rig.h"

#include "engine/entry.h"
#include "engine/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

enum { POLL_NS = 200 * 1000, POLLS_MAX = 200000 };

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t engine_rig_random(struct engine_rig *rig, uint64_t below)
{
    rig->random += UINT64_C(0x9e3779b97f4a7c15);
    return mix(rig->random) % below;
}

uint64_t engine_rig_now_ms(struct engine_rig *rig)
{
    return reactor_wall_ms(rig->reactor);
}

static void fill_value(struct engine_rig *rig, uint32_t number, uint32_t bytes)
{
    uint64_t word = mix(number);
    uint32_t mixed = rig->has_flat_values ? bytes / 2 : bytes;
    for (uint32_t i = 0; i < bytes; i++) {
        if (i % 8 == 0 && i < mixed)
            word = mix(word + i);
        rig->value[i] = (uint8_t)(word >> (i % 8 * 8));
    }
}

/* ---- life ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct engine_rig *rig = owner;
    (void)times;
    rig->returned++;
    CU_ASSERT_EQUAL(ticket->words[0], rig->returned); /* in the order of the puts */
    CU_ASSERT(!rig->is_putting);
    rig->failed += result != 0;
    rig->writes[ticket->words[0]].is_acknowledged = result == 0;
    event_set(rig->reactor, &rig->progress, 0);
}

static void on_room(void *owner)
{
    struct engine_rig *rig = owner;
    event_set(rig->reactor, &rig->progress, 0);
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct engine_rig *rig = owner;
    (void)text;
    rig->events++;
    snprintf(rig->last_event, sizeof rig->last_event, "%s", event);
}

static void on_turn(void *context)
{
    struct engine_rig *rig = context;
    if (rig->engine)
        engine_submit(rig->engine);
}

struct engine_rig *engine_rig_make(void)
{
    struct engine_rig *rig = calloc(1, sizeof *rig);
    ASSERT(rig);
    rig->writes = calloc(RIG_WRITES_MAX, sizeof *rig->writes);
    rig->value = malloc(RIG_VALUE_BYTES_MAX);
    ASSERT(rig->writes && rig->value);
    rig->options = (struct engine_options){
        .directory = test_directory(),
        .vnode_bits = 10,
        .vnode_first = RIG_VNODE_FIRST,
        .vnode_count = RIG_VNODES,
        .memtable_bytes = 64 << 10,
        .log_bytes_max = 16 << 20,
        .segment_bytes = 4 << 20,
        .cache_bytes = 1 << 20,
        .table_bytes_max = 128 << 10,
        .on_durable = on_durable,
        .on_room = on_room,
        .on_event = on_event,
        .owner = rig,
    };
    return rig;
}

void engine_rig_free(struct engine_rig *rig)
{
    free(rig->writes);
    free(rig->value);
    free(rig);
}

void engine_rig_open(struct engine_rig *rig, struct reactor *r)
{
    engine_rig_open_at(rig, r, rig->count);
}

void engine_rig_open_at(struct engine_rig *rig, struct reactor *r, uint64_t clock_max)
{
    char why[256] = "";
    rig->reactor = r;
    rig->returned = rig->count;
    event_init(&rig->progress);
    int rc = engine_open(r, &rig->options, &rig->engine, why, sizeof why);
    if (rc)
        fprintf(stderr, "engine_open: %s: %s\n", error_sentence(rc), why);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    CU_ASSERT(engine_version_clock_max(rig->engine) <= clock_max);
    reactor_set_turn_hook(r, on_turn, rig);
}

void engine_rig_close(struct engine_rig *rig)
{
    engine_close(rig->engine);
    rig->engine = NULL;
    reactor_set_turn_hook(rig->reactor, NULL, NULL);
    CU_ASSERT_EQUAL(rig->returned, rig->count);
}

void engine_rig_reopen(struct engine_rig *rig)
{
    engine_rig_close(rig);
    engine_rig_open(rig, rig->reactor);
}

void engine_rig_crash(struct engine_rig *rig)
{
    rig->engine = NULL;
}

/* ---- keys ---- */

struct record_key engine_rig_key(const struct engine_rig *rig, uint32_t key, char to[RIG_KEY_BYTES_MAX])
{
    int bytes =
        snprintf(to, RIG_KEY_BYTES_MAX, "%s%06u%s", key % 7 ? "key" : "k", key, key % 11 ? "" : "-and-more");
    uint32_t vnode = rig->is_one_vnode ? 3 : key * 31 / 8 % RIG_VNODES;
    bool has_subkey = key % 5 == 0;
    return (struct record_key){
        .vnode = (uint16_t)(RIG_VNODE_FIRST + vnode),
        .namespace_id = key % 3 == 0 ? 7 : 0,
        .key = slice_of(to, (size_t)bytes),
        .subkey = has_subkey ? slice_of(to, 4) : slice_of(NULL, 0),
    };
}

uint32_t engine_rig_key_number(const struct record_key *key)
{
    uint32_t number = 0;
    for (size_t i = 0, digits = 0; i < key->key.bytes && digits < 6; i++)
        if (key->key.data[i] >= '0' && key->key.data[i] <= '9') {
            number = number * 10 + (uint32_t)(key->key.data[i] - '0');
            digits++;
        }
    return number;
}

/* ---- writes ---- */

static void wait_a_little(struct engine_rig *rig)
{
    int rc = event_wait(rig->reactor, &rig->progress, POLL_NS);
    CU_ASSERT(rc == 0 || rc == TORC_E_TIMEOUT);
}

void engine_rig_put(struct engine_rig *rig, const struct rig_put *put)
{
    char memory[RIG_KEY_BYTES_MAX];
    uint32_t number = rig->count + 1;
    ASSERT(number < RIG_WRITES_MAX && put->key < RIG_KEYS);
    uint32_t value_bytes = put->flags & RECORD_TOMBSTONE ? 0 : put->value_bytes;
    fill_value(rig, number, value_bytes);
    struct record record = {
        .key = engine_rig_key(rig, put->key, memory),
        .version = {.clock = number, .node = 1},
        .flags = put->flags,
        .expiry_ms = put->expiry_ms,
        .value = slice_of(rig->value, value_bytes),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    rig->writes[number] = (struct rig_write){
        .key = put->key,
        .previous = rig->last[put->key],
        .value_bytes = value_bytes,
        .flags = put->flags,
        .expiry_ms = put->expiry_ms,
    };
    rig->last[put->key] = number;
    rig->count = number;
    struct engine_ticket ticket = {.words = {number}};
    rig->is_putting = true;
    int rc = engine_put(rig->engine, &record, &ticket);
    rig->is_putting = false;
    for (int i = 0; rc == TORC_E_OVERLOADED && i < POLLS_MAX; i++) {
        wait_a_little(rig);
        rc = engine_put(rig->engine, &record, &ticket);
    }
    CU_ASSERT_EQUAL_FATAL(rc, 0);
}

void engine_rig_put_mix(struct engine_rig *rig, const struct rig_mix *mix, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct rig_put put = {.key = (uint32_t)engine_rig_random(rig, mix->keys),
                              .value_bytes = (uint32_t)engine_rig_random(rig, mix->value_bytes_end)};
        if (engine_rig_random(rig, mix->deleting_one_in) == 0)
            put = (struct rig_put){.key = put.key, .flags = RECORD_TOMBSTONE};
        engine_rig_put(rig, &put);
        if (i % 16 == 0)
            engine_rig_await(rig);
    }
}

void engine_rig_await(struct engine_rig *rig)
{
    for (int i = 0; rig->returned < rig->count && i < POLLS_MAX; i++)
        wait_a_little(rig);
    CU_ASSERT_EQUAL_FATAL(rig->returned, rig->count);
}

void engine_rig_await_flushes(struct engine_rig *rig, uint64_t count)
{
    for (int i = 0; engine_counters(rig->engine).flushes < count && i < POLLS_MAX; i++)
        wait_a_little(rig);
    CU_ASSERT_FATAL(engine_counters(rig->engine).flushes >= count);
}

void engine_rig_await_compactions(struct engine_rig *rig, uint64_t count)
{
    for (int i = 0; engine_counters(rig->engine).compactions < count && i < POLLS_MAX; i++)
        wait_a_little(rig);
    CU_ASSERT_FATAL(engine_counters(rig->engine).compactions >= count);
}

void engine_rig_settle(struct engine_rig *rig)
{
    uint64_t before = 0, same = 0;
    for (int i = 0; same < 50 && i < POLLS_MAX; i++) {
        wait_a_little(rig);
        struct engine_counters c = engine_counters(rig->engine);
        uint64_t now = c.flushes + c.compactions;
        bool is_busy = reactor_counters(rig->reactor).tasks_alive > 2; /* this test and the log's own */
        same = now == before && !is_busy ? same + 1 : 0;
        before = now;
    }
}

/* ---- the model ---- */

static bool is_dead(struct engine_rig *rig, const struct rig_write *w)
{
    return w->flags & RECORD_TOMBSTONE ||
           (w->flags & RECORD_EXPIRING && w->expiry_ms <= engine_rig_now_ms(rig));
}

static bool is_write(struct engine_rig *rig, uint32_t number, const struct record *record)
{
    const struct rig_write *w = &rig->writes[number];
    fill_value(rig, number, w->value_bytes);
    return record->version.clock == number && record->version.node == 1 && record->flags == w->flags &&
           record->expiry_ms == w->expiry_ms &&
           slice_equal(record->value, slice_of(rig->value, w->value_bytes)) && entry_verify(record);
}

uint32_t engine_rig_acknowledged(const struct engine_rig *rig, uint32_t key)
{
    uint32_t number = rig->last[key];
    while (number != 0 && !rig->writes[number].is_acknowledged)
        number = rig->writes[number].previous;
    return number;
}

bool engine_rig_allows(struct engine_rig *rig, uint32_t key, const struct record *record, uint32_t oldest)
{
    uint32_t number = rig->last[key];
    for (; number != 0 && number >= oldest; number = rig->writes[number].previous)
        if (is_dead(rig, &rig->writes[number]) ? !record : record && is_write(rig, number, record))
            return true;
    return oldest == 0 && !record;
}

static bool complain(const struct engine_rig *rig, const char *how, uint32_t key, uint64_t clock)
{
    fprintf(stderr, "  %s: key %u answers write %llu; its last one is %u\n", how, key,
            (unsigned long long)clock, rig->last[key]);
    return false;
}

int engine_rig_get(struct engine_rig *rig, uint32_t key, struct record *record, struct engine_hold *hold)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key record_key = engine_rig_key(rig, key, memory);
    struct engine_key k;
    engine_key_init(rig->engine, &k, &record_key);
    return engine_get_wait(rig->engine, &k, engine_rig_now_ms(rig), record, hold);
}

int engine_answer(struct engine *e, const struct record_key *key, uint64_t now_ms)
{
    struct engine_key k;
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    engine_key_init(e, &k, key);
    int answer = engine_get_wait(e, &k, now_ms, &record, &hold);
    engine_release(e, &hold);
    return answer;
}

int engine_rig_answer(struct engine_rig *rig, uint32_t key)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key record_key = engine_rig_key(rig, key, memory);
    return engine_answer(rig->engine, &record_key, engine_rig_now_ms(rig));
}

bool engine_rig_check(struct engine_rig *rig, uint32_t key)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key record_key = engine_rig_key(rig, key, memory);
    struct engine_key k;
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    engine_key_init(rig->engine, &k, &record_key);
    engine_prefetch_slot(rig->engine, &k);
    engine_prefetch_entry(rig->engine, &k);
    uint32_t oldest = engine_rig_acknowledged(rig, key);
    int answer = engine_get(rig->engine, &k, engine_rig_now_ms(rig), &record);
    if (answer == ENGINE_WAITS)
        answer = engine_get_wait(rig->engine, &k, engine_rig_now_ms(rig), &record, &hold);
    bool is_good = answer == ENGINE_FOUND || answer == ENGINE_ABSENT;
    bool is_found = answer == ENGINE_FOUND;
    if (is_good)
        is_good = engine_rig_allows(rig, key, is_found ? &record : NULL, oldest);
    if (is_good && is_found)
        is_good = record_key_compare(&record.key, &record_key) == 0;
    if (!is_good)
        complain(rig, answer < 0 ? error_sentence(answer) : "get", key, is_found ? record.version.clock : 0);
    engine_release(rig->engine, &hold);
    return is_good;
}

bool engine_rig_check_all(struct engine_rig *rig)
{
    bool is_good = true;
    for (uint32_t key = 0; key < RIG_KEYS; key++)
        is_good &= engine_rig_check(rig, key);
    return is_good;
}

int engine_rig_try_snapshot(struct engine_rig *rig)
{
    struct engine_snapshot *snapshot = NULL;
    uint64_t clock;
    int rc = engine_snapshot_begin(rig->engine, &snapshot, &clock);
    engine_snapshot_end(snapshot);
    return rc;
}

/* ---- scans ---- */

struct scan {
    uint8_t seen[RIG_KEYS];
    uint32_t oldest[RIG_KEYS]; /* acknowledged when the scan began */
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key before;
    bool has_before;
};

static bool take(struct engine_rig *rig, struct scan *s, const struct record *record)
{
    uint32_t key = engine_rig_key_number(&record->key);
    if (key >= RIG_KEYS || s->seen[key])
        return complain(rig, "scan twice", key % RIG_KEYS, record->version.clock);
    if (s->has_before && record_key_compare(&s->before, &record->key) >= 0)
        return complain(rig, "scan order", key, record->version.clock);
    s->seen[key] = 1;
    s->has_before = true;
    s->before = engine_rig_key(rig, key, s->memory);
    return engine_rig_allows(rig, key, record, s->oldest[key]) ||
           complain(rig, "scan", key, record->version.clock);
}

bool engine_rig_check_scan(struct engine_rig *rig)
{
    struct record_key from = {.vnode = RIG_VNODE_FIRST};
    struct engine_cursor *cursor;
    struct record record;
    struct scan *s = calloc(1, sizeof *s);
    ASSERT(s);
    bool is_good = true;
    for (uint32_t key = 0; key < RIG_KEYS; key++)
        s->oldest[key] = engine_rig_acknowledged(rig, key);
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &cursor), 0);
    int rc;
    while ((rc = engine_cursor_next(cursor, &record)) == 1)
        is_good &= take(rig, s, &record);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(engine_cursor_next(cursor, &record), 0);
    engine_cursor_close(cursor);
    for (uint32_t key = 0; key < RIG_KEYS; key++)
        if (!s->seen[key] && !engine_rig_allows(rig, key, NULL, s->oldest[key]))
            is_good = complain(rig, "scan without", key, 0);
    free(s);
    return is_good && rc == 0;
}
