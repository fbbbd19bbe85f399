/* loss_test.c - an operator gives up what cannot be read of tables that can be opened.
 *
 * Damage costs the keys of one block, or one key. Those answer with what other tables have of them; all
 * others as ever, and what refuses to work beside damage works again. */
#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "engine/table_format.h"
#include "reactor/base/checksum.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

#include <stdlib.h>

enum { KEYS = 400, VALUE = 150 };

static void put(struct engine_rig *rig, uint32_t key)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = VALUE});
    engine_rig_await(rig);
}

static void put_all(struct engine_rig *rig)
{
    for (uint32_t key = 0; key < KEYS; key++)
        put(rig, key);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    engine_rig_settle(rig);
}

/* A table in the middle of the newest run. */
static struct table_ref *victim(const struct engine_rig *rig)
{
    const struct table_run *run = &rig->engine->tables->runs[0];
    return run->tables[run->count / 2];
}

struct trial {
    struct engine_rig *rig;
    char path[ENGINE_PATH_MAX]; /* of the victim */
    bool is_corrupt[KEYS];      /* the answer of the key before the loss was accepted */
};

static struct trial *begin(struct reactor *r, unsigned versions)
{
    struct trial *t = calloc(1, sizeof *t);
    ASSERT(t);
    t->rig = engine_rig_make();
    t->rig->options.table_bytes_max = 34 << 10;
    engine_rig_open(t->rig, r);
    for (unsigned i = 0; i < versions; i++)
        put_all(t->rig);
    engine_table_path(t->rig->engine, victim(t->rig)->number, t->path);
    return t;
}

static void end(struct trial *t)
{
    engine_rig_close(t->rig);
    engine_rig_free(t->rig);
    free(t);
}

/* Everything else is as it should be. */
static uint32_t note_corrupt(struct trial *t)
{
    uint32_t count = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        t->is_corrupt[key] = engine_rig_answer(t->rig, key) == TORC_E_CORRUPT;
        CU_ASSERT(t->is_corrupt[key] || engine_rig_check(t->rig, key));
        count += t->is_corrupt[key];
    }
    return count;
}

static void accept(struct trial *t, const char *event)
{
    t->rig->last_event[0] = '\0';
    CU_ASSERT_EQUAL(engine_accept_loss(t->rig->engine), 0);
    CU_ASSERT_STRING_EQUAL(t->rig->last_event, event);
}

/* Does it answer with one of its writes, or as absent? */
static bool is_left(struct engine_rig *rig, uint32_t key)
{
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    int answer = engine_rig_get(rig, key, &record, &hold);
    bool is_good =
        answer == ENGINE_ABSENT || (answer == ENGINE_FOUND && engine_rig_allows(rig, key, &record, 0));
    engine_release(rig->engine, &hold);
    return is_good;
}

static uint32_t scan(struct engine_rig *rig)
{
    struct engine_cursor *c;
    struct record record;
    struct record_key from = {.vnode = RIG_VNODE_FIRST};
    uint32_t count = 0;
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &c), 0);
    int rc;
    while ((rc = engine_cursor_next(c, &record)) == 1)
        count++;
    CU_ASSERT_EQUAL(rc, 0);
    engine_cursor_close(c);
    return count;
}

/* Keys that were CORRUPT answer with what is left, and so after a start; `found` of all keys are there. */
static void check_what_is_left(struct trial *t, uint32_t found)
{
    for (int life = 0; life < 2; life++) {
        for (uint32_t key = 0; key < KEYS; key++)
            CU_ASSERT(t->is_corrupt[key] ? is_left(t->rig, key) : engine_rig_check(t->rig, key));
        CU_ASSERT_EQUAL(scan(t->rig), found);
        CU_ASSERT_EQUAL(engine_rig_try_snapshot(t->rig), 0);
        CU_ASSERT_EQUAL(engine_counters(t->rig->engine).tables_damaged, 0);
        engine_rig_reopen(t->rig);
    }
}

/* Of the third block, which is of 4 KiB. */
static void spoil(struct trial *t)
{
    damage_flip(t->rig->reactor, t->path, 2 * TABLE_UNIT_BYTES + 700, 0x10);
}

TEST_IN_REACTOR(keys_of_a_block_that_is_given_up_are_gone_where_no_table_has_them)
{
    struct trial *t = begin(r, 1);
    spoil(t);
    engine_rig_reopen(t->rig);
    uint32_t corrupt = note_corrupt(t);
    CU_ASSERT(corrupt > 0 && corrupt < 40);
    engine_rig_reopen(t->rig); /* nobody has met the damage in this life */
    accept(t, "loss_accepted");
    check_what_is_left(t, KEYS - corrupt);
    end(t);
}

TEST_IN_REACTOR(keys_of_a_block_that_is_given_up_answer_with_an_older_version)
{
    struct trial *t = begin(r, 2);
    spoil(t);
    engine_rig_reopen(t->rig);
    CU_ASSERT(note_corrupt(t) > 0);
    accept(t, "loss_accepted");
    check_what_is_left(t, KEYS);
    for (uint32_t key = 0; key < KEYS; key++) /* and can be written again */
        put(t->rig, key);
    CU_ASSERT(engine_rig_check_all(t->rig));
    end(t);
}

static uint64_t sum_of_numbers(const struct engine_rig *rig)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < rig->engine->tables->count; i++)
        sum += rig->engine->tables->tables[i]->number;
    return sum;
}

TEST_IN_REACTOR(what_is_whole_is_not_written_anew)
{
    struct trial *t = begin(r, 2);
    uint64_t before = sum_of_numbers(t->rig);
    accept(t, "");
    CU_ASSERT_EQUAL(sum_of_numbers(t->rig), before);
    spoil(t);
    accept(t, "loss_accepted");
    uint64_t after = sum_of_numbers(t->rig);
    CU_ASSERT_NOT_EQUAL(after, before);
    accept(t, ""); /* there is none any more */
    engine_rig_reopen(t->rig);
    accept(t, "");
    CU_ASSERT_EQUAL(sum_of_numbers(t->rig), after);
    end(t);
}

/* A value of the first block, which is made to say that it was written so. */
static void spoil_a_record(struct trial *t)
{
    struct reactor *r = t->rig->reactor;
    struct file *f = NULL;
    uint8_t *block = reactor_alloc(r, TABLE_UNIT_BYTES);
    ASSERT(block);
    CU_ASSERT_EQUAL_FATAL(file_open(r, t->path, FILE_READ | FILE_WRITE, &f), 0);
    CU_ASSERT_EQUAL_FATAL(file_read(r, f, block, TABLE_UNIT_BYTES, 0), TABLE_UNIT_BYTES);
    block[ENTRY_HEADER_BYTES + VALUE / 2] ^= 1;
    store_u64le(block + TABLE_UNIT_BYTES - 8, checksum_bytes(block, TABLE_UNIT_BYTES - 8));
    CU_ASSERT_EQUAL(file_write(r, f, block, TABLE_UNIT_BYTES, 0, true), 0);
    file_close(r, f);
    reactor_free(r, block);
}

TEST_IN_REACTOR(a_damaged_record_of_a_whole_block_is_given_up_alone)
{
    struct trial *t = begin(r, 1);
    spoil_a_record(t);
    engine_rig_reopen(t->rig);
    CU_ASSERT_EQUAL(note_corrupt(t), 1);
    accept(t, "loss_accepted");
    check_what_is_left(t, KEYS - 1);
    end(t);
}

TEST_IN_REACTOR(a_block_that_is_given_up_is_not_answered_from_memory)
{
    struct trial *t = begin(r, 1);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(note_corrupt(t), 0); /* rows and blocks are cached */
    spoil(t);
    accept(t, "loss_accepted");
    uint32_t absent = 0, found = scan(t->rig);
    for (uint32_t key = 0; key < KEYS; key++)
        absent += engine_rig_answer(t->rig, key) == ENGINE_ABSENT;
    CU_ASSERT(absent > 0 && found + absent == KEYS);
    end(t);
}

/* What is pinned of an open table serves on; the next start would not open it. */
TEST_IN_REACTOR(a_table_whose_footer_went_bad_while_it_was_open_is_written_anew_whole)
{
    struct trial *t = begin(r, 1);
    const struct table_summary *s = table_summary(victim(t->rig)->table);
    damage_flip(r, t->path, s->bytes - 4000, 0x10);
    accept(t, "");
    engine_rig_reopen(t->rig);
    CU_ASSERT_STRING_EQUAL(t->rig->last_event, "");
    CU_ASSERT(engine_rig_check_all(t->rig));
    end(t);
}

/* A merge has met an error of the disk that has passed; the round has gone past the table since. */
TEST_IN_REACTOR(a_table_that_was_set_aside_for_nothing_is_merged_again)
{
    struct trial *t = begin(r, 1);
    struct table_ref *ref = victim(t->rig);
    ref->is_damaged = ref->is_awaited = true;
    engine_suspect_table(t->rig->engine, ref->number);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(t->rig), TORC_E_CORRUPT);
    accept(t, "");
    CU_ASSERT(!ref->is_damaged && !ref->is_suspect && !ref->is_awaited);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(t->rig), 0);
    end(t);
}

/* Of a table that was linked from another shard: where the keys of this one begin, or before. */
static void lose_a_block_of_another_shard(struct reactor *r, uint32_t block)
{
    struct trial *t = begin(r, 1);
    struct table_ref *ref = t->rig->engine->tables->runs[0].tables[0];
    uint16_t first = RIG_VNODE_FIRST + 1;
    char memory[RIG_KEY_BYTES_MAX];
    engine_table_path(t->rig->engine, ref->number, t->path);
    CU_ASSERT_FATAL(table_summary(ref->table)->largest.vnode > first);
    table_limit(ref->table, first, RIG_VNODE_FIRST + RIG_VNODES - 1);
    damage_flip(r, t->path, block * TABLE_UNIT_BYTES + 700, 0x10);
    CU_ASSERT_EQUAL(engine_accept_loss(t->rig->engine), 0);
    engine_rig_reopen(t->rig); /* with nothing in it that is not of its shard */
    uint32_t absent = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        int answer = engine_rig_answer(t->rig, key);
        CU_ASSERT(answer == ENGINE_FOUND || answer == ENGINE_ABSENT);
        absent += answer == ENGINE_ABSENT && engine_rig_key(t->rig, key, memory).vnode >= first;
    }
    CU_ASSERT(absent < 40);
    CU_ASSERT(scan(t->rig) >= KEYS * 3 / 4);
    accept(t, "");
    end(t);
}

TEST_IN_REACTOR(a_damaged_block_of_keys_of_another_shard_is_given_up)
{
    lose_a_block_of_another_shard(r, 0);
}

TEST_IN_REACTOR(a_damaged_block_where_the_keys_of_this_shard_begin_is_given_up)
{
    lose_a_block_of_another_shard(r, 2);
}
