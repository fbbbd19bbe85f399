/* cursor_test.c - scans: their order, where they begin, and what happens around them meanwhile. */
#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "engine/memtable_internal.h"
#include "engine/view.h"
#include "test/engine/engine_rig.h"

#include <stdlib.h>

static void put(struct engine_rig *rig, uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
}

static struct engine_cursor *open_at(struct engine_rig *rig, uint16_t vnode, const char *key)
{
    struct engine_cursor *c = NULL;
    struct record_key from = {.vnode = vnode, .key = slice_of_string(key)};
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &c), 0);
    return c;
}

static uint32_t count_rest(struct engine_cursor *c)
{
    struct record record;
    uint32_t count = 0;
    while (engine_cursor_next(c, &record) == 1)
        count++;
    return count;
}

/* So many keys in tables, frozen memtables and the active one. */
static void fill(struct engine_rig *rig, uint32_t keys)
{
    for (uint32_t key = 0; key < keys; key++) {
        put(rig, key, 60 + key % 90);
        if (key % 50 == 0)
            engine_rig_await(rig);
    }
    engine_rig_await(rig);
}

TEST_IN_REACTOR(cursor_begins_where_it_is_told)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill(rig, 2000);
    engine_rig_await_flushes(rig, 1);
    struct engine_cursor *c = open_at(rig, 0, ""); /* below the shard */
    CU_ASSERT_EQUAL(count_rest(c), 2000);
    engine_cursor_close(c);
    uint32_t sum = 0;
    for (uint16_t i = RIG_VNODES; i-- > 0;) {
        struct record record;
        c = open_at(rig, (uint16_t)(RIG_VNODE_FIRST + i), "");
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
        CU_ASSERT_EQUAL(record.key.vnode, RIG_VNODE_FIRST + i);
        uint32_t rest = 1 + count_rest(c);
        CU_ASSERT(rest > sum);
        sum = rest;
        engine_cursor_close(c);
    }
    CU_ASSERT_EQUAL(sum, 2000);
    c = open_at(rig, RIG_VNODE_FIRST + RIG_VNODES, ""); /* behind it */
    CU_ASSERT_EQUAL(count_rest(c), 0);
    engine_cursor_close(c);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(cursor_seeks_forward_only)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill(rig, 3000);
    for (uint32_t round = 0; round < 200; round++) {
        char a[RIG_KEY_BYTES_MAX], b[RIG_KEY_BYTES_MAX], at[RIG_KEY_BYTES_MAX];
        struct record_key from = engine_rig_key(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS), a);
        struct record_key to = engine_rig_key(rig, (uint32_t)engine_rig_random(rig, RIG_KEYS), b);
        struct engine_cursor *c;
        struct record record;
        CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &c), 0);
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
        CU_ASSERT_EQUAL(record_key_compare(&record.key, &from), 0);
        CU_ASSERT_EQUAL(engine_cursor_seek(c, &to), 0);
        int rc = engine_cursor_next(c, &record);
        if (record_key_compare(&to, &from) > 0) {
            CU_ASSERT_EQUAL(rc, 1);
            CU_ASSERT_EQUAL(record_key_compare(&record.key, &to), 0);
        } else if (rc == 1) {
            CU_ASSERT(record_key_compare(&record.key, &from) > 0);
        }
        from = engine_rig_key(rig, 0, at);
        from.vnode = RIG_VNODE_FIRST + RIG_VNODES;
        CU_ASSERT_EQUAL(engine_cursor_seek(c, &from), 0);
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 0);
        from.vnode = RIG_VNODE_FIRST;
        CU_ASSERT_EQUAL(engine_cursor_seek(c, &from), 0);
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 0);
        engine_cursor_close(c);
    }
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(cursor_gives_out_bytes_that_no_write_changes)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    put(rig, 1, 90);
    engine_rig_await(rig);
    struct engine_cursor *c = open_at(rig, RIG_VNODE_FIRST, "");
    struct record record;
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
    put(rig, 1, 80);
    engine_rig_await(rig);
    engine_rig_put(rig, &(struct rig_put){
                            .key = 1, .value_bytes = 70, .flags = RECORD_EXPIRING, .expiry_ms = UINT64_MAX});
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_allows(rig, 1, &record, 1));
    CU_ASSERT_EQUAL(record.version.clock, 1);
    CU_ASSERT_EQUAL(count_rest(c), 0);
    engine_cursor_close(c);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* Even keys are left alone while odd ones are written and erased. */
static void write_odd(struct engine_rig *rig, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)engine_rig_random(rig, RIG_KEYS / 2) * 2 + 1;
        bool is_long = engine_rig_random(rig, 3) == 0;
        uint8_t flags = engine_rig_random(rig, 4) == 0 ? RECORD_TOMBSTONE : 0;
        engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = is_long ? 900 : 90, .flags = flags});
    }
}

TEST_IN_REACTOR(cursor_sees_what_lives_all_along_through_flushes_and_merges)
{
    struct engine_rig *rig = engine_rig_make();
    uint8_t *seen = calloc(RIG_KEYS, 1);
    ASSERT(seen);
    engine_rig_open(rig, r);
    fill(rig, RIG_KEYS);
    struct engine_counters before = engine_counters(rig->engine);
    struct engine_cursor *c = open_at(rig, RIG_VNODE_FIRST, "");
    struct record record;
    uint32_t even = 0, wrong = 0, previous = 0;
    while (engine_cursor_next(c, &record) == 1) {
        uint32_t key = engine_rig_key_number(&record.key);
        wrong += seen[key]++ != 0;
        even += key % 2 == 0;
        wrong += !engine_rig_allows(rig, key, &record, 1);
        if (++previous % 3 == 0)
            write_odd(rig, 12);
        if (previous % 100 == 0)
            engine_rig_await(rig);
    }
    struct engine_counters after = engine_counters(rig->engine);
    CU_ASSERT_EQUAL(even, RIG_KEYS / 2);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(after.flushes > before.flushes + 8);
    CU_ASSERT(after.compactions > before.compactions + 1);
    engine_cursor_close(c);
    engine_rig_await(rig);
    CU_ASSERT(engine_rig_check_scan(rig));
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
    free(seen);
}

/* ---- ranges, forward and backward ---- */

enum { SEEN_MAX = RIG_KEYS };

static uint32_t list_range(struct engine_rig *rig, struct engine_range range, uint32_t *seen)
{
    struct engine_cursor *c;
    struct record record;
    uint32_t count = 0;
    range.now_ms = engine_rig_now_ms(rig);
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
    while (engine_cursor_next(c, &record) == ENGINE_CURSOR_RECORD && count < SEEN_MAX) {
        seen[count++] = engine_rig_key_number(&record.key);
        CU_ASSERT(engine_rig_allows(rig, seen[count - 1], &record, 1));
    }
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), ENGINE_CURSOR_END);
    engine_cursor_close(c);
    return count;
}

/* The place of a key among all; `count` when it is not one of them. */
static uint32_t place_of(const uint32_t *all, uint32_t count, uint32_t key)
{
    uint32_t i = 0;
    while (i < count && all[i] != key)
        i++;
    return i;
}

static void check_reversed(const uint32_t *forward, const uint32_t *backward, uint32_t count)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < count; i++)
        wrong += forward[i] != backward[count - 1 - i];
    CU_ASSERT_EQUAL(wrong, 0);
}

static void check_ranges(struct engine_rig *rig)
{
    static uint32_t all[SEEN_MAX], some[SEEN_MAX], back[SEEN_MAX];
    struct engine_range range = {.to = {.vnode = ENGINE_VNODE_END}};
    uint32_t count = list_range(rig, range, all);
    range.is_backward = true;
    CU_ASSERT_EQUAL(list_range(rig, range, back), count);
    check_reversed(all, back, count);
    for (uint32_t round = 0; round < 60; round++) {
        char a[RIG_KEY_BYTES_MAX], b[RIG_KEY_BYTES_MAX];
        uint32_t first = (uint32_t)engine_rig_random(rig, count);
        uint32_t end = (uint32_t)engine_rig_random(rig, count);
        range = (struct engine_range){.from = engine_rig_key(rig, all[first], a),
                                      .to = engine_rig_key(rig, all[end], b)};
        uint32_t expected = end > first ? end - first : 0;
        CU_ASSERT_EQUAL_FATAL(list_range(rig, range, some), expected);
        CU_ASSERT(expected == 0 || place_of(all, count, some[0]) == first);
        range.is_backward = true;
        CU_ASSERT_EQUAL_FATAL(list_range(rig, range, back), expected);
        check_reversed(some, back, expected);
    }
}

TEST_IN_REACTOR(cursor_of_a_range_has_the_same_keys_forward_and_backward)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill(rig, RIG_KEYS);
    write_odd(rig, 4000); /* some are dead, some in several tables */
    engine_rig_await(rig);
    check_ranges(rig);
    engine_rig_settle(rig);
    check_ranges(rig);
    engine_rig_close(rig);
    engine_rig_open(rig, r); /* nothing of it in memory */
    check_ranges(rig);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(cursor_backward_seeks_down_only)
{
    struct engine_rig *rig = engine_rig_make();
    static uint32_t all[SEEN_MAX];
    engine_rig_open(rig, r);
    fill(rig, 2000);
    struct engine_range range = {.to = {.vnode = ENGINE_VNODE_END}};
    uint32_t count = list_range(rig, range, all);
    range.is_backward = true;
    for (uint32_t round = 0; round < 20; round++) {
        struct engine_cursor *c;
        struct record record;
        uint32_t next = count; /* nothing at or above it comes any more */
        CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
        while (next > 0) {
            char memory[RIG_KEY_BYTES_MAX];
            uint32_t below = (uint32_t)engine_rig_random(rig, count);
            struct record_key to = engine_rig_key(rig, all[below], memory);
            CU_ASSERT_EQUAL(engine_cursor_seek(c, &to), 0);
            next = below < next ? below : next;
            CU_ASSERT_EQUAL_FATAL(engine_cursor_next(c, &record), next > 0);
            if (next > 0)
                CU_ASSERT_EQUAL(engine_rig_key_number(&record.key), all[--next]);
        }
        engine_cursor_close(c);
    }
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(cursor_says_how_far_it_is_in_a_row_of_dead_records)
{
    struct engine_rig *rig = engine_rig_make();
    enum { DEAD_MAX = 10 };
    engine_rig_open(rig, r);
    fill(rig, 1000);
    for (uint32_t key = 0; key < 1000; key++)
        if (key != 7)
            engine_rig_put(rig, &(struct rig_put){.key = key, .flags = RECORD_TOMBSTONE});
    engine_rig_await(rig);
    for (int backward = 0; backward < 2; backward++) {
        struct engine_range range = {.to = {.vnode = ENGINE_VNODE_END}, .is_backward = backward != 0};
        range.dead_max = DEAD_MAX;
        struct engine_cursor *c;
        struct record record;
        uint32_t live = 0, reports = 0;
        int rc;
        CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
        while ((rc = engine_cursor_next(c, &record)) > 0) {
            live += rc == ENGINE_CURSOR_RECORD;
            reports += rc == ENGINE_CURSOR_DEAD;
            CU_ASSERT_EQUAL(engine_rig_key_number(&record.key) == 7, rc == ENGINE_CURSOR_RECORD);
            CU_ASSERT_EQUAL(record.flags & RECORD_TOMBSTONE, rc == ENGINE_CURSOR_DEAD);
        }
        CU_ASSERT_EQUAL(rc, 0);
        CU_ASSERT_EQUAL(live, 1);
        CU_ASSERT(reports >= 5 && reports <= 999 / DEAD_MAX);
        engine_cursor_close(c);
    }
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* ---- views ---- */

static struct engine_view *open_view(struct engine_rig *rig)
{
    static const bool is_cancelled = false;
    struct engine_view *view = NULL;
    CU_ASSERT_EQUAL_FATAL(engine_view_open(rig->engine, &view), 0);
    CU_ASSERT_EQUAL_FATAL(engine_view_fix(view, rig->count, engine_rig_now_ms(rig), &is_cancelled), 0);
    return view;
}

/* Writes down the version of each key. Returns: how many there are. */
static uint32_t list_versions(struct engine_rig *rig, const struct engine_view *view, bool is_backward,
                              uint64_t *versions)
{
    struct engine_range range = {.to = {.vnode = ENGINE_VNODE_END}, .is_backward = is_backward};
    struct engine_cursor *c;
    struct record record;
    uint32_t count = 0;
    range.now_ms = engine_rig_now_ms(rig);
    range.view = view;
    memset(versions, 0, RIG_KEYS * sizeof *versions);
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
    for (; engine_cursor_next(c, &record) == ENGINE_CURSOR_RECORD; count++) {
        CU_ASSERT(entry_verify(&record));
        versions[engine_rig_key_number(&record.key)] = record.version.clock;
    }
    engine_cursor_close(c);
    return count;
}

TEST_IN_REACTOR(cursor_of_a_view_sees_its_moment_through_writes_flushes_and_merges)
{
    enum { VIEWS = 3 };
    static uint64_t expected[VIEWS][RIG_KEYS], seen[RIG_KEYS];
    struct engine_rig *rig = engine_rig_make();
    struct engine_view *views[VIEWS];
    uint32_t counts[VIEWS];
    engine_rig_open(rig, r);
    uint64_t flushes = engine_counters(rig->engine).flushes;
    fill(rig, RIG_KEYS);
    for (uint32_t i = 0; i < VIEWS; i++) {
        views[i] = open_view(rig);
        counts[i] = list_versions(rig, NULL, false, expected[i]);
        write_odd(rig, 3000);
        engine_rig_await(rig);
    }
    engine_rig_settle(rig); /* until the last of them holds a memtable that the engine does not need */
    for (uint32_t i = 0; i < VIEWS; i++) {
        for (int backward = 0; backward < 2; backward++) {
            CU_ASSERT_EQUAL(list_versions(rig, views[i], backward != 0, seen), counts[i]);
            CU_ASSERT_EQUAL(memcmp(seen, expected[i], sizeof seen), 0);
        }
        CU_ASSERT(engine_view_bytes(views[i]) > 0);
        engine_view_close(views[i]);
    }
    CU_ASSERT(engine_counters(rig->engine).flushes > flushes + 3);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(views_that_share_a_memtable_count_it_once)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill(rig, 100);
    struct engine_view *first = open_view(rig), *second = open_view(rig);
    CU_ASSERT_EQUAL(engine_view_bytes(first), 0); /* the engine has it, too */
    write_odd(rig, 3000);
    engine_rig_await(rig);
    engine_rig_settle(rig);
    uint64_t of_both = engine_view_bytes(first) + engine_view_bytes(second);
    CU_ASSERT(of_both > 0); /* how much depends on the log: a file of it that is full ends a memtable, too */
    engine_view_close(first);
    uint64_t of_one = engine_view_bytes(second);
    CU_ASSERT(of_one >= of_both && of_one < of_both + 16);
    engine_view_close(second);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(view_has_what_is_overwritten_between_its_opening_and_its_moment)
{
    static const bool is_cancelled = false;
    static uint64_t expected[RIG_KEYS], seen[RIG_KEYS];
    struct engine_rig *rig = engine_rig_make();
    struct engine_view *view;
    engine_rig_open(rig, r);
    fill(rig, 1000);
    CU_ASSERT_EQUAL_FATAL(engine_view_open(rig->engine, &view), 0);
    write_odd(rig, 500);
    engine_rig_await(rig);
    uint64_t clock = rig->count;
    uint32_t count = list_versions(rig, NULL, false, expected);
    write_odd(rig, 300); /* applied before it is fixed, but above its clock: memtables are flushed, too */
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_view_fix(view, clock, engine_rig_now_ms(rig), &is_cancelled), 0);
    write_odd(rig, 3000);
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(list_versions(rig, view, false, seen), count);
    CU_ASSERT_EQUAL(memcmp(seen, expected, sizeof seen), 0);
    engine_view_close(view);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* ---- pages ---- */

/* Goes on behind `last`. Returns: there was one more at least. */
static bool read_page(struct engine_rig *rig, const struct engine_view *view, struct record_key *last,
                      uint8_t bytes[RIG_KEY_BYTES_MAX + 1], uint64_t *versions)
{
    enum { PAGE = 40 };
    struct engine_range range = {.from = *last, .to = {.vnode = ENGINE_VNODE_END}, .view = view};
    struct engine_cursor *c;
    struct record record;
    uint32_t count = 0;
    range.now_ms = engine_rig_now_ms(rig);
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, &range, &c), 0);
    for (; count < PAGE && engine_cursor_next(c, &record) == ENGINE_CURSOR_RECORD; count++) {
        versions[engine_rig_key_number(&record.key)] = record.version.clock;
        *last = record.key;
        slice_put(bytes, record.key.key);
        bytes[record.key.key.bytes] = 0;
        last->key = slice_of(bytes, record.key.key.bytes + 1);
        last->subkey = slice_of(NULL, 0);
    }
    engine_cursor_close(c);
    return count > 0;
}

static const struct memtable_lists *begin_pages(struct engine_rig *rig, struct reactor *r)
{
    rig->options.memtable_bytes = 8 << 20;
    rig->options.list_shared_min = 2;
    engine_rig_open(rig, r);
    fill(rig, 2000);
    return &rig->engine->active->lists;
}

TEST_IN_REACTOR(pages_of_a_view_sort_what_is_written_meanwhile_once)
{
    static uint64_t expected[RIG_KEYS], seen[RIG_KEYS];
    struct engine_rig *rig = engine_rig_make();
    const struct memtable_lists *lists = begin_pages(rig, r);
    list_versions(rig, NULL, false, expected);
    struct engine_view *view = open_view(rig);
    uint8_t bytes[RIG_KEY_BYTES_MAX + 1];
    struct record_key last = {.vnode = 0};
    uint64_t begun = lists->begun, sorted = lists->sorted;
    memset(seen, 0, sizeof seen);
    while (read_page(rig, view, &last, bytes, seen)) {
        write_odd(rig, 5);
        engine_rig_await(rig);
    }
    CU_ASSERT_EQUAL(memcmp(seen, expected, sizeof seen), 0);
    CU_ASSERT(lists->begun - begun <= RIG_VNODES && lists->begun > begun);
    CU_ASSERT(lists->sorted - sorted <= 2000 + 50 * 5);
    engine_view_close(view);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(pages_sort_what_was_written_since_the_page_before)
{
    static uint64_t seen[RIG_KEYS];
    struct engine_rig *rig = engine_rig_make();
    const struct memtable_lists *lists = begin_pages(rig, r);
    uint8_t bytes[RIG_KEY_BYTES_MAX + 1];
    struct record_key last = {.vnode = 0};
    uint64_t sorted = lists->sorted;
    uint32_t lost = 0;
    memset(seen, 0, sizeof seen);
    for (uint32_t key = 0; read_page(rig, NULL, &last, bytes, seen); key += 2) {
        write_odd(rig, 5);
        put(rig, key, 900); /* an even one: it moves, and is always there */
        engine_rig_await(rig);
    }
    CU_ASSERT(lists->sorted - sorted <= 2 * 2000);
    for (uint32_t key = 0; key < 2000; key += 2)
        lost += seen[key] == 0;
    CU_ASSERT_EQUAL(lost, 0);
    engine_rig_close(rig);
    engine_rig_free(rig);
}
