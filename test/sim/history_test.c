/* history_test.c - the tester tested: the model finds what it is fed with, and histories are what they
 * claim. */
#include "test/sim/history.h"
#include "test/sim/model.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 8, VALUE_BYTES = 40, NOW_MS = 1000 };

struct fed {
    struct model model;
    char memory[MODEL_KEY_BYTES_MAX];
    uint8_t value[VALUE_BYTES];
};

static void feed_begin(struct fed *f)
{
    model_init(&f->model, KEYS, 42);
    f->model.vnode_count = 4;
}

static uint32_t put_kind(struct fed *f, uint32_t key, uint8_t flags, uint64_t expiry_ms)
{
    struct model_put put = {.key = key, .flags = flags, .expiry_ms = expiry_ms};
    put.value_bytes = flags & RECORD_TOMBSTONE ? 0 : VALUE_BYTES;
    (void)model_record(&f->model, &put, f->memory, f->value);
    return model_taken(&f->model, &put);
}

static uint32_t put(struct fed *f, uint32_t key)
{
    return put_kind(f, key, 0, 0);
}

static uint32_t put_acked(struct fed *f, uint32_t key)
{
    uint32_t number = put(f, key);
    model_answered(&f->model, number, 0, number);
    return number;
}

/* The record of a write, made as it was made then. */
static struct record record_of(struct fed *f, uint32_t number)
{
    struct model_write *w = &f->model.writes[number];
    uint64_t last = f->model.clock_last;
    f->model.clock_last = w->clock - 1;
    struct model_put p = {.key = w->key,
                          .value_bytes = w->value_bytes,
                          .flags = w->flags,
                          .expiry_ms = w->expiry_ms};
    struct record record = model_record(&f->model, &p, f->memory, f->value);
    f->model.clock_last = last;
    return record;
}

static enum model_verdict judge(struct fed *f, uint32_t key, const struct record *answer)
{
    struct model_question q = {.key = key,
                               .floor = model_floor(&f->model, key),
                               .now_ms = NOW_MS,
                               .dead_ms = NOW_MS};
    return model_judge(&f->model, &q, answer).verdict;
}

static enum model_verdict judge_write(struct fed *f, uint32_t key, uint32_t number)
{
    struct record record = record_of(f, number);
    return judge(f, key, &record);
}

TEST(model_accepts_what_is_right)
{
    struct fed f;
    feed_begin(&f);
    CU_ASSERT_EQUAL(judge(&f, 1, NULL), MODEL_RIGHT);
    uint32_t first = put_acked(&f, 1);
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_RIGHT);
    uint32_t second = put_acked(&f, 1);
    CU_ASSERT_EQUAL(judge_write(&f, 1, second), MODEL_RIGHT);
    uint32_t deleted = put_kind(&f, 1, RECORD_TOMBSTONE, 0);
    CU_ASSERT_EQUAL(judge_write(&f, 1, second), MODEL_RIGHT); /* not acknowledged yet */
    model_answered(&f.model, deleted, 0, deleted);
    CU_ASSERT_EQUAL(judge(&f, 1, NULL), MODEL_RIGHT);
    model_deinit(&f.model);
}

TEST(model_finds_a_lost_write)
{
    struct fed f;
    feed_begin(&f);
    uint32_t first = put_acked(&f, 1);
    put_acked(&f, 1);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge(&f, 1, NULL), MODEL_MISSING);
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_STALE);
    model_deinit(&f.model);
}

TEST(model_finds_a_version_that_goes_back)
{
    struct fed f;
    feed_begin(&f);
    uint32_t first = put_acked(&f, 1);
    uint32_t second = put(&f, 1);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge_write(&f, 1, second), MODEL_RIGHT); /* the crash has kept it */
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_STALE);  /* and so it stays */
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_STALE);
    model_deinit(&f.model);
}

TEST(model_finds_a_key_that_comes_back)
{
    struct fed f;
    feed_begin(&f);
    uint32_t first = put_acked(&f, 1);
    uint32_t deleted = put_kind(&f, 1, RECORD_TOMBSTONE, 0);
    model_answered(&f.model, deleted, 0, deleted);
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_STALE);
    uint32_t expired = put_kind(&f, 2, RECORD_EXPIRING, NOW_MS);
    model_answered(&f.model, expired, 0, expired);
    CU_ASSERT_EQUAL(judge_write(&f, 2, expired), MODEL_EXPIRED);
    CU_ASSERT_EQUAL(judge(&f, 2, NULL), MODEL_RIGHT);
    CU_ASSERT_EQUAL(judge_write(&f, 1, deleted), MODEL_DELETED);
    model_deinit(&f.model);
}

TEST(model_finds_a_write_that_was_lost_and_is_there_again)
{
    struct fed f;
    feed_begin(&f);
    uint32_t first = put_acked(&f, 1);
    uint32_t second = put(&f, 1);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_RIGHT);
    CU_ASSERT_EQUAL(judge_write(&f, 1, second), MODEL_CAME_BACK);
    model_deinit(&f.model);
}

TEST(model_finds_what_a_crash_would_take_back)
{
    struct fed f;
    feed_begin(&f);
    uint32_t flying = put(&f, 1);
    CU_ASSERT_EQUAL(judge_write(&f, 1, flying), MODEL_NOT_DURABLE);
    model_answered(&f.model, flying, TORC_E_UNKNOWN, 0);
    CU_ASSERT_EQUAL(judge_write(&f, 1, flying), MODEL_FAILED_APPLIED);
    put_acked(&f, 2);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge_write(&f, 1, flying), MODEL_CAME_BACK); /* the log went on without it */
    model_deinit(&f.model);
}

/* What said so may be what the disk did not write. */
TEST(model_excuses_what_comes_back_where_a_lie_of_the_disk_may_have_hidden_that_the_log_went_on)
{
    struct fed f;
    feed_begin(&f);
    uint32_t failed = put(&f, 1);
    model_answered(&f.model, failed, TORC_E_UNKNOWN, 0);
    uint32_t next = put_acked(&f, 2);
    model_lied(&f.model, next - 1);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge_write(&f, 1, failed), MODEL_RIGHT);
    model_deinit(&f.model);
}

TEST(model_finds_what_was_said_not_to_be_written)
{
    struct fed f;
    feed_begin(&f);
    uint32_t unknown = put(&f, 1), refused = put(&f, 2);
    model_answered(&f.model, unknown, TORC_E_UNKNOWN, 0);
    model_answered(&f.model, refused, TORC_E_STORAGE, 0);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge_write(&f, 1, unknown), MODEL_RIGHT);
    CU_ASSERT_EQUAL(judge_write(&f, 2, refused), MODEL_CAME_BACK);
    model_deinit(&f.model);
}

TEST(model_finds_what_was_never_written)
{
    struct fed f;
    feed_begin(&f);
    uint32_t one = put_acked(&f, 1), two = put_acked(&f, 2);
    struct record record = record_of(&f, one);
    record.version.clock = 1 << 30;
    CU_ASSERT_EQUAL(judge(&f, 1, &record), MODEL_NEVER_WRITTEN);
    CU_ASSERT_EQUAL(judge_write(&f, 1, two), MODEL_OTHER_KEY);
    record = record_of(&f, one);
    f.value[VALUE_BYTES / 2] ^= 1;
    CU_ASSERT_EQUAL(judge(&f, 1, &record), MODEL_WRONG_BYTES);
    record = record_of(&f, one);
    record.checksum ^= 1;
    CU_ASSERT_EQUAL(judge(&f, 1, &record), MODEL_WRONG_BYTES);
    model_deinit(&f.model);
}

TEST(model_finds_a_hole_in_what_has_come_back)
{
    struct fed f;
    uint32_t there, missing;
    feed_begin(&f);
    uint32_t first = put(&f, 1), second = put(&f, 2), third = put(&f, 3);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_RIGHT);
    CU_ASSERT_EQUAL(judge(&f, 3, NULL), MODEL_RIGHT);
    CU_ASSERT(model_is_prefix(&f.model, &there, &missing));
    CU_ASSERT_EQUAL(judge(&f, 2, NULL), MODEL_RIGHT);
    CU_ASSERT(model_is_prefix(&f.model, &there, &missing));
    model_end_life(&f.model);
    model_deinit(&f.model);
    feed_begin(&f);
    first = put(&f, 1), second = put(&f, 2), third = put(&f, 3);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge(&f, 1, NULL), MODEL_RIGHT);
    CU_ASSERT_EQUAL(judge_write(&f, 3, third), MODEL_RIGHT);
    CU_ASSERT_FALSE(model_is_prefix(&f.model, &there, &missing));
    CU_ASSERT(there == third && missing == first && second == 2);
    model_deinit(&f.model);
}

TEST(model_excuses_just_what_a_lie_has_cost)
{
    struct fed f;
    feed_begin(&f);
    uint32_t covered = put_acked(&f, 1);
    for (uint32_t i = 0; i < 5; i++)
        put_acked(&f, 2);
    uint32_t lost = put(&f, 3);
    model_lied(&f.model, lost - 1);
    model_answered(&f.model, lost, 0, lost);
    for (uint32_t i = 0; i < 5; i++)
        put_acked(&f, 4);
    uint32_t later = put_acked(&f, 5);
    model_end_life(&f.model);
    CU_ASSERT_EQUAL(judge(&f, 3, NULL), MODEL_EXCUSED);
    CU_ASSERT_EQUAL(judge(&f, 1, NULL), MODEL_MISSING);
    CU_ASSERT_EQUAL(judge(&f, 5, NULL), MODEL_MISSING);
    CU_ASSERT(covered < lost && lost < later);
    model_deinit(&f.model);
}

TEST(model_goes_back_with_the_disk)
{
    struct fed f;
    struct model then;
    feed_begin(&f);
    uint32_t first = put_acked(&f, 1);
    model_copy(&then, &f.model);
    uint32_t second = put_acked(&f, 1);
    model_end_life(&f.model);
    model_roll_back(&f.model, &then);
    CU_ASSERT_EQUAL(judge_write(&f, 1, second), MODEL_CAME_BACK);
    CU_ASSERT_EQUAL(judge_write(&f, 1, first), MODEL_RIGHT);
    CU_ASSERT_EQUAL(judge(&f, 1, NULL), MODEL_MISSING);
    model_wipe(&f.model);
    CU_ASSERT_EQUAL(judge(&f, 1, NULL), MODEL_RIGHT);
    model_deinit(&then);
    model_deinit(&f.model);
}

/* ---- histories ---- */

static uint64_t run(uint64_t seed, uint8_t heap_fill, struct tally *tally)
{
    struct history_outcome *out = calloc(1, sizeof *out);
    struct history_request request = {.seed = seed, .heap_fill = heap_fill};
    ASSERT(out);
    history_run(&request, out);
    CU_ASSERT_EQUAL(out->story.failures, 0);
    if (out->story.failures)
        fprintf(stderr, "%s", out->story.text);
    uint64_t hash = out->trace_hash;
    *tally = out->tally;
    story_deinit(&out->story);
    free(out);
    return hash;
}

TEST(histories_do_something_and_are_determined_by_their_seed)
{
    struct tally once, twice;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t hash = run(seed, 0, &once);
        CU_ASSERT_EQUAL(run(seed, 0x5c, &twice), hash);
        CU_ASSERT_NOT_EQUAL(run(seed + 1, 0, &twice), hash);
        CU_ASSERT(once.operations > 100 && once.acknowledged > 10 && once.starts >= 3 && once.checks > 100);
    }
}

TEST(leaving_out_a_fault_leaves_the_others)
{
    struct sim_faults all, some;
    struct fault_filter none = {0}, without = {.without = FAULT_BIT(WRITE_ERROR)};
    struct fault_filter only = {.only = FAULT_BIT(WRITE_ERROR)};
    for (uint64_t seed = 1; seed < 100; seed++) {
        swarm_draw(seed, HISTORY_FAULTS, &none, &all);
        swarm_draw(seed, HISTORY_FAULTS, &without, &some);
        CU_ASSERT_EQUAL(some.per_million[SIM_WRITE_ERROR], 0);
        some.per_million[SIM_WRITE_ERROR] = all.per_million[SIM_WRITE_ERROR];
        CU_ASSERT_EQUAL(memcmp(&all, &some, sizeof all), 0);
        swarm_draw(seed, HISTORY_FAULTS, &only, &some);
        CU_ASSERT_EQUAL(some.per_million[SIM_WRITE_ERROR], all.per_million[SIM_WRITE_ERROR]);
        CU_ASSERT_EQUAL(some.per_million[SIM_KILL], 0);
    }
}
