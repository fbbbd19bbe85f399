/* loss_fault_test.c - an operator gives up what cannot be read, on a disk that fails, is full, or loses its
 * power meanwhile.
 *
 * Each table of a shard has a bad block, and one value log a bad value. What was lost then is what answered
 * CORRUPT before, and nothing else, however often it is begun. */
#include "engine/snapshot.h"

#include "engine/table.h"
#include "test/engine/engine_rig.h"
#include "test/sim/shard_trial.h"

#include <stdio.h>
#include <stdlib.h>

enum { CUTS_MAX = 400, PATH_BYTES = 128 };

struct trial {
    struct shard_trial shard;
    bool is_lost[TRIAL_KEYS]; /* answered CORRUPT before */
    uint32_t lost;
    unsigned accepted; /* events of this life */
    unsigned remaining;
};

/* ---- in the life ---- */

static void on_event(void *owner, const char *event, const char *text)
{
    struct trial *t = owner;
    (void)text;
    t->accepted += strcmp(event, "loss_accepted") == 0;
    t->remaining += strcmp(event, "loss_remains") == 0;
}

static void fill(void *owner)
{
    struct trial *t = owner;
    shard_trial_fill(&t->shard);
}

static int answer_of(struct trial *t, uint32_t key)
{
    char text[TRIAL_TEXT_BYTES];
    struct record_key plain = shard_trial_key(key, text);
    return engine_answer(t->shard.engine, &plain, 1);
}

static void look(void *owner)
{
    struct trial *t = owner;
    t->lost = 0;
    for (uint32_t key = 0; key < TRIAL_KEYS; key++) {
        int answer = answer_of(t, key);
        CU_ASSERT(answer == ENGINE_FOUND || answer == TORC_E_CORRUPT || answer == TORC_E_STORAGE);
        t->is_lost[key] = answer != ENGINE_FOUND;
        t->lost += t->is_lost[key];
    }
}

/* What was not lost is there; the rest is given up, or is not yet where that is allowed. */
static void check_answers(struct trial *t, bool may_be_corrupt)
{
    for (uint32_t key = 0; key < TRIAL_KEYS; key++) {
        int answer = answer_of(t, key);
        bool is_error = answer == TORC_E_CORRUPT || answer == TORC_E_STORAGE;
        CU_ASSERT(t->is_lost[key] ? answer == ENGINE_ABSENT || (may_be_corrupt && is_error)
                                  : answer == ENGINE_FOUND);
    }
}

static void check_snapshot(struct trial *t)
{
    struct engine_snapshot *snapshot = NULL;
    struct engine_snapshot_facts facts;
    uint64_t clock;
    CU_ASSERT_EQUAL_FATAL(engine_snapshot_begin(t->shard.engine, &snapshot, &clock), 0);
    CU_ASSERT_EQUAL(engine_snapshot_write(snapshot, "copy", NULL, &facts), 0);
    engine_snapshot_end(snapshot);
}

static void accept(void *owner)
{
    struct trial *t = owner;
    CU_ASSERT_EQUAL(engine_accept_loss(t->shard.engine), 0);
}

static void accept_the_rest(void *owner)
{
    struct trial *t = owner;
    check_answers(t, true);
    accept(t);
    CU_ASSERT_EQUAL(t->remaining, 0);
    check_answers(t, false);
    check_snapshot(t);
}

static void accept_nothing(void *owner)
{
    struct trial *t = owner;
    check_answers(t, false);
    accept(t);
    CU_ASSERT(t->accepted == 0 && t->remaining == 0);
    check_answers(t, false);
}

/* ---- between lives ---- */

static void run_to_the_end(struct trial *t, void (*run)(void *owner))
{
    t->accepted = t->remaining = 0;
    shard_trial_run(&t->shard, run);
}

static bool run_and_lose_power(struct trial *t, void (*run)(void *owner), uint64_t after_ns)
{
    t->accepted = t->remaining = 0;
    return shard_trial_run_and_lose_power(&t->shard, run, after_ns);
}

/* Returns: its number. */
static uint64_t first_table(const struct trial *t, char path[PATH_BYTES])
{
    const struct sim_disk *disk = sim_node_disk(t->shard.node);
    unsigned long long number;
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        snprintf(path, PATH_BYTES, "%s", sim_disk_file_at(disk, i).path);
        const char *name = strstr(path, "table-");
        if (name && sscanf(name, "table-%16llx.sst", &number) == 1)
            return number;
    }
    CU_FAIL_FATAL("there is no table");
    return 0;
}

/* The first block of each table, in turn one that cannot be read and one that is other bytes, and the first
 * value of the first value log. */
static unsigned damage_tables(struct trial *t)
{
    struct sim_disk *disk = sim_node_disk(t->shard.node);
    unsigned tables = 0, logs = 0;
    for (uint32_t i = 0; i < sim_disk_file_count(disk); i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s", file.path);
        if (strstr(path, "values-") && logs++ == 0)
            sim_disk_rot(disk, t->shard.world, path, 512);
        if (!strstr(path, "table-"))
            continue;
        if (tables++ % 2)
            sim_disk_rot(disk, t->shard.world, path, 512);
        else
            sim_disk_break_sector(disk, t->shard.world, path, 512);
    }
    return tables;
}

static struct trial *begin(const struct sim_world_options *options)
{
    struct trial *t = calloc(1, sizeof *t);
    ASSERT(t);
    shard_trial_init(&t->shard, options);
    t->shard.owner = t;
    t->shard.on_event = on_event;
    run_to_the_end(t, fill);
    return t;
}

static struct trial *begin_with_damage(uint64_t seed)
{
    struct trial *t = begin(&(struct sim_world_options){.seed = seed});
    CU_ASSERT_FATAL(damage_tables(t) > 3);
    run_to_the_end(t, look);
    CU_ASSERT(t->lost > 20 && t->lost < TRIAL_KEYS);
    return t;
}

static void end(struct trial *t)
{
    shard_trial_deinit(&t->shard);
    free(t);
}

static void give_disk(struct trial *t, const struct sim_disk *disk)
{
    sim_disk_free(sim_node_take_disk(t->shard.node));
    sim_node_give_disk(t->shard.node, sim_disk_clone(disk));
}

/* ---- what is tried ---- */

TEST(giving_up_blocks_is_cut_short_by_a_loss_of_power_at_any_moment)
{
    struct trial *t = begin_with_damage(1);
    struct sim_disk *damaged = sim_disk_clone(sim_node_disk(t->shard.node));
    bool is_over = false;
    unsigned cuts = 0, in_part = 0;
    for (; !is_over && cuts < CUTS_MAX; cuts++) {
        give_disk(t, damaged);
        is_over = run_and_lose_power(t, accept, cuts * MS * 23 / 10);
        in_part += !is_over && t->accepted > 0;
        run_to_the_end(t, accept_the_rest);
        run_to_the_end(t, accept_nothing);
    }
    CU_ASSERT(is_over && in_part > 5);
    sim_disk_free(damaged);
    end(t);
}

static void accept_without_room(void *owner)
{
    struct trial *t = owner;
    struct sim_disk *disk = sim_node_disk(t->shard.node);
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk));
    accept(t);
    CU_ASSERT(t->remaining > 0);
    check_answers(t, true);
    struct engine_snapshot *snapshot = NULL;
    uint64_t clock;
    CU_ASSERT_EQUAL(engine_snapshot_begin(t->shard.engine, &snapshot, &clock), TORC_E_CORRUPT);
    sim_disk_set_capacity(disk, UINT64_C(1) << 30);
    t->remaining = 0;
    CU_ASSERT(engine_counters(t->shard.engine).tables_damaged > 3);
    accept_the_rest(t); /* the same life can */
}

TEST(blocks_of_tables_for_which_the_disk_has_no_room_are_given_up_when_it_has)
{
    struct trial *t = begin_with_damage(2);
    run_to_the_end(t, accept_without_room);
    run_to_the_end(t, accept_nothing);
    end(t);
}

static void make_room(struct reactor *r, void *context)
{
    struct trial *t = context;
    task_sleep(r, 4000 * MS);
    sim_disk_set_capacity(sim_node_disk(t->shard.node), UINT64_C(1) << 30);
}

static void accept_before_there_is_room(void *owner)
{
    struct trial *t = owner;
    struct sim_disk *disk = sim_node_disk(t->shard.node);
    sim_disk_set_capacity(disk, sim_disk_used_bytes(disk));
    CU_ASSERT_EQUAL(task_spawn(t->shard.r, make_room, t), 0);
    accept_the_rest(t);
}

TEST(blocks_are_given_up_when_the_disk_has_room_again_in_some_seconds)
{
    struct trial *t = begin_with_damage(4);
    run_to_the_end(t, accept_before_there_is_room);
    end(t);
}

/* ---- errors that pass ---- */

static void end_errors(struct reactor *r, void *context)
{
    struct trial *t = context;
    task_sleep(r, 5 * MS);
    sim_world_set_faults(t->shard.world, &(struct sim_faults){{0}});
}

/* Its first read fails, and what is tried some milliseconds later does not. */
static void read_beside_an_error(void *owner)
{
    struct trial *t = owner;
    struct sim_faults faults = {.per_million[SIM_READ_ERROR] = 1000 * 1000};
    struct table_cursor c;
    struct table_losses losses;
    struct record record;
    struct table *table = NULL;
    char path[PATH_BYTES];
    uint64_t number = first_table(t, path);
    CU_ASSERT_EQUAL_FATAL(table_open(t->shard.r, NULL, path, number, &table), 0);
    table_cursor_init(&c, table, TABLE_CURSOR_BULK);
    table_cursor_give_up(&c, &losses);
    sim_world_set_faults(t->shard.world, &faults);
    CU_ASSERT_EQUAL(task_spawn(t->shard.r, end_errors, t), 0);
    uint64_t records = 0;
    int rc;
    while ((rc = table_cursor_next(&c, &record)) == 1)
        records++;
    CU_ASSERT(rc == 0 && records == table_summary(table)->entries);
    CU_ASSERT_EQUAL(losses.blocks, 0);
    CU_ASSERT(sim_fault_hits(t->shard.world, SIM_READ_ERROR) > 0);
    table_cursor_deinit(&c);
    table_close(table);
}

TEST(an_error_of_the_disk_that_passes_costs_no_block)
{
    struct trial *t = begin(&(struct sim_world_options){.seed = 5});
    run_to_the_end(t, read_beside_an_error);
    end(t);
}

static void accept_beside_errors(void *owner)
{
    struct trial *t = owner;
    struct sim_faults faults = {.per_million[SIM_READ_ERROR] = 50 * 1000};
    sim_world_set_faults(t->shard.world, &faults);
    accept(t);
    sim_world_set_faults(t->shard.world, &(struct sim_faults){{0}});
    CU_ASSERT(sim_fault_hits(t->shard.world, SIM_READ_ERROR) > 0);
    CU_ASSERT(t->accepted == 0 && t->remaining == 0);
}

/* It may be that it cannot be told what is lost. */
static void accept_without_memory(void *owner)
{
    struct trial *t = owner;
    struct sim_faults faults = {.per_million[SIM_NO_READ_MEMORY] = 300 * 1000};
    sim_world_set_faults(t->shard.world, &faults);
    for (int i = 0; i < 20; i++) {
        int rc = engine_accept_loss(t->shard.engine);
        CU_ASSERT(rc == 0 || error_is_shortage(rc));
    }
    sim_world_set_faults(t->shard.world, &(struct sim_faults){{0}});
    CU_ASSERT(sim_fault_hits(t->shard.world, SIM_NO_READ_MEMORY) > 0);
    CU_ASSERT_EQUAL(t->accepted, 0);
}

TEST(a_want_of_memory_costs_nothing_when_a_loss_is_accepted)
{
    struct trial *t = begin(&(struct sim_world_options){.seed = 6});
    run_to_the_end(t, accept_without_memory);
    run_to_the_end(t, look);
    CU_ASSERT_EQUAL(t->lost, 0);
    end(t);
}

TEST(errors_of_the_disk_that_pass_cost_nothing_when_a_loss_is_accepted)
{
    struct trial *t = begin(&(struct sim_world_options){.seed = 3});
    run_to_the_end(t, accept_beside_errors);
    run_to_the_end(t, look);
    CU_ASSERT_EQUAL(t->lost, 0);
    end(t);
}
