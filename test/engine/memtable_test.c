/* memtable_test.c - versions, growth and order of the records in memory. */
#include "engine/memtable_internal.h"
#include "test/test.h"

#include <stdio.h>

enum { VNODES = 4, VNODE_FIRST = 100 };

struct sample {
    char key[32];
    uint8_t value[256];
    uint8_t entry[512];
    struct record record;
    struct slice encoded;
    struct engine_key lookup;
};

static const uint64_t seed = 7;

/* The record of s->key. */
static void make_record(struct sample *s, uint16_t vnode, uint64_t clock, uint32_t value_bytes)
{
    memset(s->value, (int)(clock % 251), sizeof s->value);
    s->record = (struct record){
        .key = {.vnode = (uint16_t)(VNODE_FIRST + vnode), .key = slice_of_string(s->key)},
        .version = {.clock = clock, .node = 1},
        .value = slice_of(s->value, value_bytes),
    };
    s->record.checksum = entry_checksum(&s->record.key, s->record.value);
    s->encoded = slice_of(s->entry, entry_encode(s->entry, &s->record));
    s->lookup = (struct engine_key){.key = s->record.key, .hash = memtable_hash(seed, &s->record.key)};
}

/* Record `i` in a vnode, with so many bytes of value. */
static void make(struct sample *s, uint32_t i, uint16_t vnode, uint64_t clock, uint32_t value_bytes)
{
    snprintf(s->key, sizeof s->key, "%u-key", i * 2654435761u);
    make_record(s, vnode, clock, value_bytes);
}

static int put(struct memtable *m, uint32_t i, uint16_t vnode, uint64_t clock, uint32_t value_bytes)
{
    struct sample s;
    make(&s, i, vnode, clock, value_bytes);
    return memtable_put(m, s.lookup.hash, &s.record, s.encoded);
}

/* Returns: the version clock that is held; 0 when there is none. */
static uint64_t held(struct memtable *m, uint32_t i, uint16_t vnode)
{
    struct sample s;
    struct record found;
    make(&s, i, vnode, 1, 0);
    memtable_prefetch_slot(m, s.record.key.vnode, s.lookup.hash);
    memtable_prefetch_entry(m, s.record.key.vnode, s.lookup.hash);
    if (!memtable_get(m, &s.lookup, &found))
        return 0;
    CU_ASSERT(entry_verify(&found));
    CU_ASSERT_EQUAL(record_key_compare(&found.key, &s.record.key), 0);
    return found.version.clock;
}

static struct memtable *begin(struct reactor *r)
{
    struct memtable_options options = {.seed = seed, .vnode_first = VNODE_FIRST, .vnode_count = VNODES};
    struct memtable *m;
    CU_ASSERT_EQUAL_FATAL(memtable_new(r, &options, &m), 0);
    return m;
}

static int fill_since(struct memtable_run *run, struct memtable *m, uint16_t vnode, uint64_t moment)
{
    struct memtable_past past = {.clock_max = UINT64_MAX, .moment = moment};
    return memtable_run_fill(run, m, (uint16_t)(VNODE_FIRST + vnode), &past);
}

/* All that a vnode has now. */
static int fill(struct memtable_run *run, struct memtable *m, uint16_t vnode)
{
    return fill_since(run, m, vnode, memtable_moment(m));
}

TEST_IN_REACTOR(memtable_keeps_the_newest_version)
{
    struct memtable *m = begin(r);
    CU_ASSERT_EQUAL(held(m, 1, 0), 0);
    CU_ASSERT_EQUAL(put(m, 1, 0, 10, 50), 0);
    CU_ASSERT_EQUAL(held(m, 1, 0), 10);
    CU_ASSERT_EQUAL(put(m, 1, 0, 9, 50), TORC_E_SUPERSEDED);
    CU_ASSERT_EQUAL(held(m, 1, 0), 10);
    CU_ASSERT_EQUAL(put(m, 1, 0, 10, 50), 0); /* the same one again */
    CU_ASSERT_EQUAL(put(m, 1, 0, 11, 50), 0);
    CU_ASSERT_EQUAL(held(m, 1, 0), 11);
    CU_ASSERT_EQUAL(memtable_entries(m), 1);
    CU_ASSERT_EQUAL(memtable_clock_max(m), 11);
    CU_ASSERT_EQUAL(held(m, 2, 0), 0);
    CU_ASSERT_EQUAL(held(m, 1, 1), 0); /* each vnode for itself */
    memtable_release(m);
}

/* Every version of the vnode's only key, as of its clock. */
static void check_versions(struct memtable *m, uint64_t clock_max)
{
    struct memtable_run run = {.count = 0};
    struct record found;
    CU_ASSERT_EQUAL_FATAL(fill(&run, m, 0), 0);
    CU_ASSERT_EQUAL_FATAL(run.count, 1);
    for (uint64_t clock = 1; clock <= clock_max; clock += clock < clock_max - 100 ? 97 : 1) {
        CU_ASSERT(memtable_run_get_until(&run, m, 0, clock, &found));
        CU_ASSERT_EQUAL(found.version.clock, clock);
    }
    CU_ASSERT(!memtable_run_get_until(&run, m, 0, 0, &found));
    memtable_run_deinit(&run);
}

TEST_IN_REACTOR(memtable_keeps_all_versions_for_a_view_while_their_table_grows)
{
    struct memtable *m = begin(r);
    uint32_t seen_growing = 0;
    CU_ASSERT_EQUAL(put(m, 1, 0, 1, 20), 0);
    memtable_keep(m);
    for (uint64_t clock = 2; clock <= 5000; clock++) {
        CU_ASSERT_EQUAL_FATAL(put(m, 1, 0, clock, 20), 0);
        if (m->kept.older && seen_growing < clock / 500) {
            seen_growing++;
            check_versions(m, clock);
        }
    }
    CU_ASSERT(seen_growing > 2);
    check_versions(m, 5000);
    CU_ASSERT(memtable_kept_bytes(m) >= 5000 * sizeof(uint64_t));
    memtable_keep_end(m);
    CU_ASSERT_EQUAL(memtable_kept_bytes(m), 0);
    CU_ASSERT_EQUAL(held(m, 1, 0), 5000);
    memtable_release(m);
}

TEST_IN_REACTOR(memtable_writes_over_what_has_room)
{
    struct memtable *m = begin(r);
    CU_ASSERT_EQUAL(put(m, 1, 0, 1, 100), 0);
    uint64_t used = memtable_used_bytes(m);
    for (uint64_t clock = 2; clock < 50; clock++)
        CU_ASSERT_EQUAL(put(m, 1, 0, clock, 100 - (uint32_t)clock / 3), 0);
    CU_ASSERT_EQUAL(held(m, 1, 0), 49);
    CU_ASSERT_EQUAL(memtable_used_bytes(m), used);
    CU_ASSERT_EQUAL(put(m, 1, 0, 50, 250), 0);
    CU_ASSERT(memtable_used_bytes(m) > used + 250);
    CU_ASSERT_EQUAL(held(m, 1, 0), 50);
    memtable_release(m);
}

TEST_IN_REACTOR(memtable_grows_one_vnode_a_little_with_each_put)
{
    enum { COUNT = 200000, GROWN_AT_ONCE_MAX = 32768 + 4096 };
    struct memtable *m = begin(r);
    uint32_t growths = 0, missing = 0;
    uint64_t before = memtable_index_bytes(m);
    for (uint32_t i = 0; i < COUNT; i++) {
        CU_ASSERT_EQUAL_FATAL(put(m, i, 2, i + 1, 8), 0);
        uint64_t now = memtable_index_bytes(m);
        CU_ASSERT(now >= before && now - before <= GROWN_AT_ONCE_MAX);
        growths += now > before;
        before = now;
        if (i % 97 == 0)
            missing += held(m, (i + 1) / 2, 2) != (i + 1) / 2 + 1;
    }
    CU_ASSERT(growths > 50);
    for (uint32_t i = 0; i < COUNT; i++)
        missing += held(m, i, 2) != i + 1;
    CU_ASSERT_EQUAL(missing, 0);
    CU_ASSERT_EQUAL(memtable_entries(m), COUNT);
    memtable_release(m);
}

/* ---- memory ---- */

enum { USUAL_BYTES = 150, OVERHEAD_PERCENT_MAX = 10 };

/* Puts `count` entries of USUAL_BYTES into a memtable of so many vnodes, spread by their keys. Returns: the
 * worst overhead from the fill of `count_min` on, in hundredths of a percent. */
static uint64_t fill_with_usual(struct memtable *m, uint32_t vnodes, uint32_t count_min, uint32_t count)
{
    uint64_t worst = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sample s;
        uint32_t mixed = (i * 2654435761u) >> 16;
        make(&s, i, (uint16_t)(mixed % vnodes), i + 1, 0);
        make(&s, i, (uint16_t)(mixed % vnodes), i + 1, USUAL_BYTES - (uint32_t)s.encoded.bytes);
        CU_ASSERT_EQUAL_FATAL(s.encoded.bytes, USUAL_BYTES);
        CU_ASSERT_EQUAL_FATAL(memtable_put(m, s.lookup.hash, &s.record, s.encoded), 0);
        uint64_t entries_bytes = (uint64_t)(i + 1) * USUAL_BYTES;
        uint64_t over = (memtable_bytes(m) - entries_bytes) * 10000 / entries_bytes;
        worst = i + 1 >= count_min && over > worst ? over : worst;
    }
    return worst;
}

static void check_overhead(struct reactor *r, struct memtable_options options, uint32_t count_min,
                           uint32_t count)
{
    struct memtable *m;
    uint64_t before = reactor_counters(r).heap_bytes;
    options.seed = seed;
    options.vnode_first = VNODE_FIRST;
    CU_ASSERT_EQUAL_FATAL(memtable_new(r, &options, &m), 0);
    uint64_t worst = fill_with_usual(m, options.vnode_count, count_min, count);
    CU_ASSERT(worst < OVERHEAD_PERCENT_MAX * 100);
    uint64_t heap_bytes = reactor_counters(r).heap_bytes - before;
    CU_ASSERT(heap_bytes <= (uint64_t)count * USUAL_BYTES * (100 + OVERHEAD_PERCENT_MAX) / 100);
    memtable_release(m);
}

TEST_IN_REACTOR(memtable_takes_less_than_a_tenth_beyond_its_entries_at_every_fill_level)
{
    check_overhead(r, (struct memtable_options){.vnode_count = 1024}, 100 * 1024, 400 * 1024);
    check_overhead(r, (struct memtable_options){.vnode_count = 1}, 20000, 200000);
    check_overhead(r, (struct memtable_options){.vnode_count = 16}, 20000, 100000);
}

TEST_IN_REACTOR(memtable_as_large_as_the_one_before_takes_less_than_a_tenth_beyond_its_entries)
{
    struct memtable_options options = {.vnode_count = 1024, .entries_hint = 300000};
    check_overhead(r, options, 290000, 300000);
    options.entries_hint = 400000;
    check_overhead(r, options, 390000, 410000);
}

TEST_IN_REACTOR(memtable_lists_a_vnode_in_order)
{
    enum { COUNT = 5000 };
    struct memtable *m = begin(r);
    struct memtable_run run = {0};
    for (uint32_t i = 0; i < COUNT; i++)
        CU_ASSERT_EQUAL(put(m, i, (uint16_t)(i % 3), i + 1, i % 100), 0);
    uint32_t seen = 0;
    for (uint16_t vnode = 0; vnode < VNODES; vnode++) {
        struct record record, previous = {0};
        CU_ASSERT_EQUAL(fill(&run, m, vnode), 0);
        for (uint32_t i = 0; i < run.count; i++) {
            memtable_run_get(&run, m, i, &record);
            CU_ASSERT(i == 0 || record_key_compare(&previous.key, &record.key) < 0);
            CU_ASSERT_EQUAL(memtable_run_find(&run, m, &record.key), i);
            previous = record;
            seen++;
        }
    }
    CU_ASSERT_EQUAL(seen, COUNT);
    struct record_key last = {.vnode = VNODE_FIRST, .key = slice_of_string("z")};
    CU_ASSERT_EQUAL(fill(&run, m, 0), 0);
    CU_ASSERT_EQUAL(memtable_run_find(&run, m, &last), run.count);
    last.key = slice_of_string("");
    CU_ASSERT_EQUAL(memtable_run_find(&run, m, &last), 0);
    memtable_run_deinit(&run);
    memtable_release(m);
}

TEST_IN_REACTOR(memtable_list_stays_in_order_while_writes_go_on)
{
    enum { COUNT = 3000 };
    struct memtable *m = begin(r);
    struct memtable_run run = {0};
    for (uint32_t i = 0; i < COUNT; i++)
        CU_ASSERT_EQUAL(put(m, i, 1, i + 1, 20), 0);
    CU_ASSERT_EQUAL(fill(&run, m, 1), 0);
    for (uint32_t i = 0; i < 3 * COUNT; i++)
        CU_ASSERT_EQUAL(put(m, i, 1, COUNT + i + 1, i % 200), 0);
    struct record record;
    struct sample previous = {0};
    CU_ASSERT_EQUAL(run.count, COUNT);
    for (uint32_t i = 0; i < run.count; i++) {
        memtable_run_get(&run, m, i, &record);
        CU_ASSERT(entry_verify(&record));
        CU_ASSERT(i == 0 || record_key_compare(&previous.record.key, &record.key) < 0);
        memcpy(previous.key, record.key.key.data, record.key.key.bytes);
        previous.record.key = record.key;
        previous.record.key.key.data = (const uint8_t *)previous.key;
    }
    memtable_run_deinit(&run);
    memtable_release(m);
}

/* What is there at the beginning is seen once, wherever growing and splitting have put it meanwhile. */
TEST_IN_REACTOR(memtable_is_walked_while_its_index_grows)
{
    enum { COUNT = 12000, MORE = 12 };
    static uint8_t seen[COUNT * MORE];
    struct memtable *m = begin(r);
    struct memtable_walk walk = {.vnode = VNODE_FIRST + 1};
    uint64_t slots[37];
    uint32_t next = COUNT, before = 0, not_once = 0;
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < COUNT; i++)
        CU_ASSERT_EQUAL(put(m, i, 1, i + 1, 8), 0);
    for (uint32_t count; (count = memtable_walk(m, &walk, slots, ARRAY_COUNT(slots))) > 0;) {
        for (uint32_t i = 0; i < count; i++) {
            struct record record;
            entry_decode_trusted(memtable_entry(m, slot_unit(slots[i])), &record);
            CU_ASSERT_FATAL(record.version.clock <= ARRAY_COUNT(seen));
            CU_ASSERT(slots[i] >> 32 >= before);
            before = (uint32_t)(slots[i] >> 32);
            seen[record.version.clock - 1]++;
        }
        for (uint32_t i = 0; i < 3 * ARRAY_COUNT(slots) && next < ARRAY_COUNT(seen); i++, next++)
            CU_ASSERT_EQUAL(put(m, next, 1, next + 1, 8), 0);
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(seen); i++)
        not_once += i < COUNT ? seen[i] != 1 : seen[i] > 1;
    CU_ASSERT_EQUAL(not_once, 0);
    CU_ASSERT(next > 2 * COUNT);
    memtable_release(m);
}

TEST_IN_REACTOR(memtable_sorts_a_long_vnode_once_until_it_changes)
{
    enum { COUNT = 4000 };
    struct memtable *m = begin(r);
    struct memtable_run a = {0}, b = {0};
    for (uint32_t i = 0; i < COUNT; i++)
        CU_ASSERT_EQUAL(put(m, i, 0, i + 1, 20), 0);
    CU_ASSERT_EQUAL(fill(&a, m, 0), 0);
    CU_ASSERT_EQUAL(put(m, 5, 0, COUNT + 1, 20), 0); /* over the older one: same place */
    CU_ASSERT_EQUAL(put(m, 5, 1, COUNT + 2, 20), 0); /* another vnode */
    CU_ASSERT_EQUAL(fill(&b, m, 0), 0);
    CU_ASSERT_PTR_EQUAL(a.list, b.list);
    CU_ASSERT_EQUAL(put(m, 6, 0, COUNT + 3, 200), 0); /* moves to a larger place */
    CU_ASSERT_EQUAL(fill(&b, m, 0), 0);
    CU_ASSERT_PTR_NOT_EQUAL(a.list, b.list);
    struct record record;
    uint64_t clock_max = 0;
    for (uint32_t i = 0; i < b.count; i++) {
        memtable_run_get(&b, m, i, &record);
        clock_max = record.version.clock > clock_max ? record.version.clock : clock_max;
    }
    CU_ASSERT_EQUAL(clock_max, COUNT + 3);
    memtable_run_deinit(&b);
    memtable_run_deinit(&a);
    memtable_release(m);
}

/* ---- who shares a list ---- */

enum { LONG = 40000 };

static struct memtable *begin_long(struct reactor *r)
{
    struct memtable *m = begin(r);
    for (uint32_t i = 0; i < LONG; i++)
        CU_ASSERT_EQUAL_FATAL(put(m, i, 0, i + 1, 24), 0);
    return m;
}

static int put_named(struct memtable *m, const char *key, uint64_t clock, uint32_t value_bytes)
{
    struct sample s;
    snprintf(s.key, sizeof s.key, "%s", key);
    make_record(&s, 0, clock, value_bytes);
    return memtable_put(m, s.lookup.hash, &s.record, s.encoded);
}

static int put_tagged(struct memtable *m, uint32_t i, uint64_t clock, uint32_t value_bytes)
{
    char key[32];
    snprintf(key, sizeof key, "{tag}-%08x", i * 2654435761u);
    return put_named(m, key, clock, value_bytes);
}

static bool is_as_made_anew(const struct memtable_run *run, struct memtable *m)
{
    struct memtable_list *anew;
    CU_ASSERT_EQUAL_FATAL(memtable_list_make(m, VNODE_FIRST, NULL, &anew), 0);
    const struct memtable_item *a = anew->all.items, *b = run->list->all.items;
    bool is_same = anew->all.count == run->count && anew->common_bytes == run->list->common_bytes &&
                   anew->common_prefix == run->list->common_prefix;
    for (uint32_t i = 0; i < run->count && is_same; i++)
        is_same =
            a[i].unit == b[i].unit && a[i].prefix == b[i].prefix && a[i].namespace_id == b[i].namespace_id;
    memtable_list_free(anew);
    return is_same;
}

TEST_IN_REACTOR(list_that_goes_on_from_an_older_one_is_as_one_made_anew)
{
    enum { KEYS = 3000, ROUNDS = 40, MOST_AT_ONCE = 2 * ROUNDS };
    struct memtable *m = begin(r);
    struct memtable_run run = {0};
    uint64_t clock = 0, sorted = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        CU_ASSERT_EQUAL(put_tagged(m, i, ++clock, 20), 0);
    for (uint32_t round = 0, next = KEYS; round < ROUNDS; round++) {
        uint64_t before = m->lists.sorted;
        CU_ASSERT_EQUAL(fill(&run, m, 0), 0);
        CU_ASSERT(round == 0 || m->lists.sorted - before <= MOST_AT_ONCE);
        sorted = m->lists.sorted;
        CU_ASSERT(is_as_made_anew(&run, m));
        m->lists.sorted = sorted;
        for (uint32_t i = 0; i <= round; i++)
            CU_ASSERT_EQUAL(put_tagged(m, next++, ++clock, 20), 0);
        for (uint32_t i = 0; i < round; i++) /* new ones and old ones move, again and again, or stay */
            CU_ASSERT_EQUAL(put_tagged(m, i * 101 % next, ++clock, 20 + round * (i % 3)), 0);
    }
    CU_ASSERT_EQUAL(m->lists.begun, ROUNDS);
    CU_ASSERT_EQUAL(run.list->common_bytes, 6);
    CU_ASSERT_EQUAL(put_named(m, "{tax}", ++clock, 20), 0); /* begins alike no further */
    CU_ASSERT_EQUAL(fill(&run, m, 0), 0);
    CU_ASSERT_EQUAL(run.list->common_bytes, 3);
    CU_ASSERT(is_as_made_anew(&run, m));
    memtable_run_deinit(&run);
    memtable_release(m);
}

TEST_IN_REACTOR(list_is_given_out_again_to_who_wants_no_more_than_it_has)
{
    struct memtable *m = begin_long(r);
    struct memtable_run a = {0}, b = {0};
    uint64_t before = memtable_moment(m);
    CU_ASSERT_EQUAL(fill(&a, m, 0), 0);
    uint64_t after = memtable_moment(m);
    CU_ASSERT_EQUAL(put(m, LONG, 0, LONG + 1, 24), 0);
    CU_ASSERT_EQUAL(fill_since(&b, m, 0, before), 0);
    CU_ASSERT_PTR_EQUAL(a.list, b.list);
    CU_ASSERT_EQUAL(fill_since(&b, m, 0, after), 0);
    CU_ASSERT_EQUAL(b.count, LONG + 1);
    CU_ASSERT_EQUAL(fill_since(&a, m, 0, before), 0); /* the last one is good, too */
    CU_ASSERT_PTR_EQUAL(a.list, b.list);
    memtable_run_deinit(&a);
    memtable_run_deinit(&b);
    memtable_release(m);
}

struct lister {
    struct memtable *m;
    uint32_t keys; /* that were there when it asked */
    struct memtable_run run;
    struct event has_run;
};

static void list(struct reactor *r, void *argument)
{
    struct lister *l = argument;
    int rc = fill(&l->run, l->m, 0);
    event_set(r, &l->has_run, rc);
}

static bool has_all_before(const struct memtable_run *run, const struct memtable *m, uint32_t keys)
{
    struct record record;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        memtable_run_get(run, m, i, &record);
        seen += record.version.clock <= keys;
    }
    return seen == keys;
}

TEST_IN_REACTOR(tasks_that_list_a_vnode_at_once_share_a_list)
{
    struct memtable *m = begin_long(r);
    struct lister listers[8];
    uint64_t without = memtable_bytes(m), most = 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(listers); i++) {
        CU_ASSERT_EQUAL(put(m, LONG + i, 0, LONG + i + 1, 24), 0);
        listers[i] = (struct lister){.m = m, .keys = LONG + i + 1};
        event_init(&listers[i].has_run);
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, list, &listers[i]), 0);
        task_yield(r);
        most = memtable_list_bytes(m) > most ? memtable_list_bytes(m) : most;
    }
    CU_ASSERT_EQUAL(m->lists.begun, 1);
    CU_ASSERT(most >= LONG * sizeof(struct memtable_item) && most == memtable_list_bytes_in_use(m));
    for (uint32_t i = 0; i < ARRAY_COUNT(listers); i++) {
        CU_ASSERT_EQUAL(event_wait(r, &listers[i].has_run, EVENT_FOREVER), 0);
        CU_ASSERT(has_all_before(&listers[i].run, m, listers[i].keys));
    }
    CU_ASSERT_EQUAL(m->lists.begun, 2);
    CU_ASSERT_PTR_NOT_EQUAL(listers[0].run.list, listers[1].run.list);
    for (uint32_t i = 1; i < ARRAY_COUNT(listers); i++)
        CU_ASSERT_PTR_EQUAL(listers[i].run.list, listers[1].run.list);
    CU_ASSERT(memtable_bytes(m) - without >= 2 * LONG * sizeof(struct memtable_item));
    for (uint32_t i = 0; i < ARRAY_COUNT(listers); i++)
        memtable_run_deinit(&listers[i].run);
    CU_ASSERT_EQUAL(memtable_list_bytes_in_use(m), 0);
    CU_ASSERT(memtable_list_bytes(m) >= LONG * sizeof(struct memtable_item)); /* one is kept */
    memtable_release(m);
}

TEST_IN_REACTOR(lists_of_all_vnodes_are_kept_while_they_take_a_quarter_of_the_entries)
{
    enum { EACH = 2000, LARGE = 100 };
    struct memtable *m = begin(r);
    struct memtable_run run = {0};
    for (uint32_t i = 0; i < 3 * EACH; i++)
        CU_ASSERT_EQUAL(put(m, i, (uint16_t)(i % 3), i + 1, LARGE), 0);
    for (uint16_t i = 0; i < 9; i++)
        CU_ASSERT_EQUAL(fill(&run, m, i % 3), 0);
    CU_ASSERT_EQUAL(m->lists.begun, 3);
    memtable_run_deinit(&run);
    CU_ASSERT(memtable_list_bytes(m) >= 3 * EACH * sizeof(struct memtable_item));
    for (uint32_t i = 0; i < LONG;
         i++) /* small ones: there is no room for a list of them beside the others */
        CU_ASSERT_EQUAL(put(m, i, 3, i + 1, 0), 0);
    CU_ASSERT_EQUAL(fill(&run, m, 3), 0);
    memtable_run_deinit(&run);
    CU_ASSERT(memtable_list_bytes(m) >= LONG * sizeof(struct memtable_item)); /* one is always kept */
    CU_ASSERT(memtable_list_bytes(m) <= m->used_bytes / 4 || m->lists.kept.next == m->lists.kept.previous);
    uint64_t begun = m->lists.begun;
    struct memtable_past once = {.clock_max = UINT64_MAX, .moment = memtable_moment(m), .is_last = true};
    CU_ASSERT_EQUAL(put(m, LONG, 3, LONG + 1, 0), 0);
    uint64_t kept_bytes = m->lists.kept_bytes;
    CU_ASSERT_EQUAL(memtable_run_fill(&run, m, VNODE_FIRST + 3, &once), 0);
    CU_ASSERT_EQUAL(m->lists.begun, begun + 1);
    memtable_run_deinit(&run);
    CU_ASSERT(m->lists.kept_bytes == kept_bytes && memtable_list_bytes(m) == kept_bytes);
    memtable_release(m);
}

TEST_IN_REACTOR(memtable_gives_all_memory_back)
{
    uint64_t before = reactor_counters(r).heap_bytes;
    struct memtable *m = begin(r);
    for (uint32_t i = 0; i < 60000; i++)
        CU_ASSERT_EQUAL_FATAL(put(m, i, 3, i + 1, 200), 0);
    struct memtable_run run = {0};
    CU_ASSERT_EQUAL(fill(&run, m, 3), 0);
    CU_ASSERT_EQUAL(put(m, 60000, 3, 60001, 200), 0);
    CU_ASSERT_EQUAL(fill(&run, m, 3), 0);
    uint64_t held_bytes = reactor_counters(r).heap_bytes - before;
    CU_ASSERT(memtable_bytes(m) <= held_bytes && held_bytes < memtable_bytes(m) * 102 / 100 + 65536);
    CU_ASSERT(memtable_list_bytes(m) > 60000 * sizeof(struct memtable_item));
    memtable_run_deinit(&run);
    memtable_hold(m);
    memtable_release(m);
    CU_ASSERT_EQUAL(held(m, 59999, 3), 60000);
    memtable_release(m);
    CU_ASSERT_EQUAL(reactor_counters(r).heap_bytes, before);
}

/* The largest records, and one vnode for each: chunks are changed in the middle of everything. */
TEST_IN_REACTOR(memtable_holds_the_largest_records)
{
    uint64_t before = reactor_counters(r).heap_bytes;
    struct memtable *m = begin(r);
    uint8_t *entry = reactor_alloc(r, ENTRY_BYTES_MAX), *value = reactor_alloc(r, VALUE_BYTES_MAX);
    CU_ASSERT_FATAL(entry && value);
    for (uint32_t i = 0; i < 24; i++) {
        struct sample s;
        struct record found;
        make(&s, i % 8, (uint16_t)(i % VNODES), i + 1, 0); /* three versions of each */
        memset(value, (int)i, VALUE_BYTES_MAX);
        s.record.value = slice_of(value, VALUE_BYTES_MAX - 24 + i);
        s.record.checksum = entry_checksum(&s.record.key, s.record.value);
        struct slice encoded = slice_of(entry, entry_encode(entry, &s.record));
        CU_ASSERT_EQUAL_FATAL(memtable_put(m, s.lookup.hash, &s.record, encoded), 0);
        CU_ASSERT_FATAL(memtable_get(m, &s.lookup, &found));
        CU_ASSERT(slice_equal(found.value, s.record.value) && entry_verify(&found));
    }
    for (uint32_t i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(held(m, i, (uint16_t)(i % VNODES)), 16 + i + 1);
    CU_ASSERT_EQUAL(memtable_entries(m), 8);
    CU_ASSERT(memtable_bytes(m) >= memtable_used_bytes(m) && memtable_used_bytes(m) > 23u << 20);
    memtable_release(m);
    reactor_free(r, entry);
    reactor_free(r, value);
    CU_ASSERT_EQUAL(reactor_counters(r).heap_bytes, before);
}
