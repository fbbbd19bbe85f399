/* merge_test.c - several memtables as one sorted source: the newest version of each key, once, in order,
 * wherever it begins and whatever is written meanwhile. */
#include "engine/merge.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 600, VNODES = 5, VNODE_FIRST = 40, SOURCES = 4, SEED = 11 };

struct fixture {
    struct reactor *reactor;
    struct memtable *memtables[SOURCES];
    uint64_t newest[KEYS]; /* version clock; 0: never written */
    uint64_t clock;
    uint64_t random;
    uint8_t entry[4096];
};

static uint64_t random_below(struct fixture *f, uint64_t below)
{
    f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (f->random >> 33) % below;
}

/* Keys ascend with their number within a vnode, and so do vnodes. */
static struct record_key key_of(uint32_t number, char to[32])
{
    int bytes = snprintf(to, 32, "%05u%s", number, number % 3 ? "" : "-tail");
    return (struct record_key){
        .vnode = (uint16_t)(VNODE_FIRST + number / (KEYS / VNODES)),
        .key = slice_of(to, (size_t)bytes),
    };
}

static void write_version(struct fixture *f, struct memtable *m, uint32_t number, uint64_t clock)
{
    static uint8_t value[512];
    char memory[32];
    uint32_t value_bytes = (uint32_t)(clock % 300);
    memset(value, (int)(clock % 251), sizeof value);
    struct record record = {
        .key = key_of(number, memory),
        .version = {.clock = clock, .node = 1},
        .flags = clock % 7 == 0 ? RECORD_TOMBSTONE : 0,
        .value = slice_of(value, value_bytes),
    };
    record.checksum = entry_checksum(&record.key, record.value);
    struct slice entry = slice_of(f->entry, entry_encode(f->entry, &record));
    int rc = memtable_put(m, memtable_hash(SEED, &record.key), &record, entry);
    CU_ASSERT(rc == 0 || rc == TORC_E_SUPERSEDED);
    if (clock > f->newest[number])
        f->newest[number] = clock;
}

static void begin(struct fixture *f, struct reactor *r)
{
    struct memtable_options options = {.seed = SEED, .vnode_first = VNODE_FIRST, .vnode_count = VNODES};
    *f = (struct fixture){.reactor = r, .random = 5};
    for (unsigned i = 0; i < SOURCES; i++)
        CU_ASSERT_EQUAL_FATAL(memtable_new(r, &options, &f->memtables[i]), 0);
    for (uint32_t i = 0; i < 3 * KEYS; i++) {
        /* The third vnode stays empty. Versions go to memtables without any order. */
        uint32_t number = (uint32_t)random_below(f, KEYS);
        if (number / (KEYS / VNODES) != 2)
            write_version(f, f->memtables[random_below(f, SOURCES)], number, ++f->clock);
    }
}

static void begin_merge(struct fixture *f, struct merge *m)
{
    CU_ASSERT_EQUAL_FATAL(merge_init(m, f->reactor, SOURCES), 0);
    for (unsigned i = 0; i < SOURCES; i++)
        merge_add_memtable(m, f->memtables[i], VNODE_FIRST, VNODE_FIRST + VNODES);
}

static void end(struct fixture *f)
{
    for (unsigned i = 0; i < SOURCES; i++)
        memtable_release(f->memtables[i]);
}

/* The first key not below `number` that was ever written; KEYS when there is none. */
static uint32_t next_written(const struct fixture *f, uint32_t number)
{
    while (number < KEYS && f->newest[number] == 0)
        number++;
    return number;
}

static bool is_newest(const struct fixture *f, const struct record *record, uint32_t number)
{
    char memory[32];
    struct record_key key = key_of(number, memory);
    return record_key_compare(&record->key, &key) == 0 && record->version.clock == f->newest[number] &&
           entry_verify(record);
}

static bool is_entry_of(struct slice entry, const struct record *record)
{
    struct record decoded;
    size_t consumed = 0;
    return entry_decode(entry, &decoded, &consumed) == 0 && consumed == entry.bytes &&
           entry_header_is_sound(entry.data) && record_key_compare(&decoded.key, &record->key) == 0 &&
           version_compare(decoded.version, record->version) == 0 &&
           slice_equal(decoded.value, record->value);
}

TEST_IN_REACTOR(merge_gives_the_newest_version_of_each_key_in_order)
{
    uint64_t heap_bytes = reactor_counters(r).heap_bytes;
    struct fixture f;
    struct merge m;
    struct record record;
    begin(&f, r);
    begin_merge(&f, &m);
    CU_ASSERT_EQUAL(merge_seek(&m, &(struct record_key){.vnode = 0}), 0);
    uint32_t number = 0;
    while ((number = next_written(&f, number)) < KEYS) {
        CU_ASSERT_EQUAL_FATAL(merge_next(&m, &record), 1);
        CU_ASSERT(is_newest(&f, &record, number));
        CU_ASSERT(is_entry_of(merge_entry(&m), &record));
        number++;
    }
    CU_ASSERT_EQUAL(merge_next(&m, &record), 0);
    CU_ASSERT_EQUAL(merge_next(&m, &record), 0);
    end(&f); /* the merge holds its memtables */
    CU_ASSERT_EQUAL(merge_seek(&m, &(struct record_key){.vnode = 0}), 0);
    CU_ASSERT_EQUAL(merge_next(&m, &record), 0);
    merge_deinit(&m);
    CU_ASSERT_EQUAL(reactor_counters(r).heap_bytes, heap_bytes);
}

/* The last key below `number` that was ever written; KEYS when there is none. */
static uint32_t previous_written(const struct fixture *f, uint32_t number)
{
    while (number > 0 && f->newest[number - 1] == 0)
        number--;
    return number > 0 ? number - 1 : KEYS;
}

TEST_IN_REACTOR(merge_backward_gives_the_newest_version_of_each_key_in_reverse)
{
    struct fixture f;
    struct merge m;
    struct record record;
    char memory[32];
    begin(&f, r);
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t number = round == 0 ? KEYS : (uint32_t)random_below(&f, KEYS);
        struct record_key to = key_of(number, memory);
        CU_ASSERT_EQUAL_FATAL(merge_init(&m, r, SOURCES), 0);
        merge_go_backward(&m);
        for (unsigned i = 0; i < SOURCES; i++)
            merge_add_memtable(&m, f.memtables[i], VNODE_FIRST, VNODE_FIRST + VNODES);
        CU_ASSERT_EQUAL(merge_seek(&m, &to), 0);
        uint32_t steps = 0;
        while ((number = previous_written(&f, number)) < KEYS) {
            CU_ASSERT_EQUAL_FATAL(merge_next(&m, &record), 1);
            CU_ASSERT(is_newest(&f, &record, number));
            CU_ASSERT(is_entry_of(merge_entry(&m), &record));
            if (round > 0 && ++steps % 7 == 0) { /* on, or where it stands already */
                uint32_t below = number - (uint32_t)random_below(&f, number < 20 ? number + 1 : 20);
                to = key_of(below, memory);
                CU_ASSERT_EQUAL(merge_seek(&m, &to), 0);
                number = below;
                to = key_of(KEYS - 1, memory); /* never back */
                CU_ASSERT_EQUAL(merge_seek(&m, &to), 0);
            }
        }
        CU_ASSERT_EQUAL(merge_next(&m, &record), 0);
        merge_deinit(&m);
    }
    end(&f);
}

TEST_IN_REACTOR(merge_seeks_to_what_is_not_below_and_never_back)
{
    struct fixture f;
    struct merge m;
    struct record record;
    char memory[32];
    begin(&f, r);
    for (uint32_t round = 0; round < 50; round++) {
        begin_merge(&f, &m);
        uint32_t number = 0; /* nothing below it comes any more */
        for (int rc = 1; rc == 1;) {
            uint32_t to = (uint32_t)random_below(&f, KEYS);
            struct record_key key = key_of(to, memory);
            key.key.bytes -= round % 2; /* a prefix, too */
            CU_ASSERT_EQUAL(merge_seek(&m, &key), 0);
            if (round % 2)
                to -= to % 10; /* the last digit is gone, or the tail of a tail */
            bool is_tail = round % 2 && key.key.bytes > 5;
            if (is_tail)
                to = (uint32_t)strtoul(memory, NULL, 10);
            number = next_written(&f, to > number ? to : number);
            rc = merge_next(&m, &record);
            CU_ASSERT_EQUAL(rc, number < KEYS);
            CU_ASSERT(rc == 0 || is_newest(&f, &record, number));
            number++;
        }
        CU_ASSERT_EQUAL(merge_seek(&m, &(struct record_key){.vnode = VNODE_FIRST}), 0);
        CU_ASSERT_EQUAL(merge_next(&m, &record), 0);
        merge_deinit(&m);
    }
    end(&f);
}

TEST_IN_REACTOR(merge_goes_on_in_order_while_its_memtables_are_written)
{
    struct fixture f;
    struct merge m;
    struct record record;
    char memory[32];
    begin(&f, r);
    uint64_t at_first[KEYS];
    memcpy(at_first, f.newest, sizeof at_first);
    begin_merge(&f, &m);
    CU_ASSERT_EQUAL(merge_seek(&m, &(struct record_key){.vnode = VNODE_FIRST}), 0);
    uint32_t before = UINT32_MAX, wrong = 0, seen = 0;
    while (merge_next(&m, &record) == 1) {
        memcpy(memory, record.key.key.data, 5);
        memory[5] = '\0';
        uint32_t number = (uint32_t)strtoul(memory, NULL, 10);
        wrong += before != UINT32_MAX && number <= before;
        wrong += !entry_verify(&record) || record.version.clock < at_first[number] ||
                 record.version.clock > f.newest[number];
        for (uint32_t i = before + 1; i < number; i++)
            wrong += at_first[i] != 0; /* passed over */
        before = number;
        seen++;
        for (int i = 0; i < 8; i++) {
            uint32_t other = (uint32_t)random_below(&f, KEYS);
            write_version(&f, f.memtables[SOURCES - 1], other, ++f.clock);
        }
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(seen >= next_written(&f, 0) && seen <= KEYS);
    CU_ASSERT(seen > KEYS / 2);
    merge_deinit(&m);
    end(&f);
}
