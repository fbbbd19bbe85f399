/* disk_test.c - files and directories of the simulator, without any fault: what the calls return, what is
 * shared and what it costs. */
#include "test/sim/disk_rig.h"

#include <errno.h>
#include <string.h>

enum { RW = FILE_READ | FILE_WRITE, MAKE = FILE_READ | FILE_WRITE | FILE_CREATE };

static void write_and_read(struct reactor *r, struct rig *rig)
{
    uint8_t got[8];
    struct file *f = must_open(r, "a", MAKE);
    CU_ASSERT_EQUAL(file_write(r, f, "hello", 5, 3, false), 0);
    CU_ASSERT_EQUAL(file_read(r, f, got, sizeof got, 0), 8);
    CU_ASSERT_EQUAL(memcmp(got, "\0\0\0hello", 8), 0);
    CU_ASSERT_EQUAL(file_read(r, f, got, sizeof got, 6), 2);
    CU_ASSERT_EQUAL(file_read(r, f, got, sizeof got, 8), 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, 4), 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, 100), 0);
    CU_ASSERT_EQUAL(file_read(r, f, got, sizeof got, 0), 8);
    CU_ASSERT_EQUAL(memcmp(got, "\0\0\0h\0\0\0\0", 8), 0);
    must_write(r, rig, f, 7, 1);
    uint64_t bytes = 0;
    CU_ASSERT_EQUAL(file_size(r, f, &bytes), 0);
    CU_ASSERT_EQUAL(bytes, 2 * RIG_PAGE);
    CU_ASSERT_EQUAL(file_write(r, f, "", 0, 10 * RIG_PAGE, false), 0);
    CU_ASSERT_EQUAL(file_size(r, f, &bytes), 0);
    CU_ASSERT_EQUAL(bytes, 2 * RIG_PAGE);
    file_close(r, f);
}

TEST(what_is_written_is_read_back)
{
    rig_try(1, write_and_read);
}

static void meet_errors(struct reactor *r, struct rig *rig)
{
    uint8_t byte;
    struct file *f = must_open(r, "a", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE), *other;
    (void)rig;
    CU_ASSERT_EQUAL(file_read(r, f, &byte, 1, 0), -EBADF);
    CU_ASSERT_EQUAL(file_open(r, "a", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &other), -EEXIST);
    CU_ASSERT_PTR_NULL(other);
    CU_ASSERT_EQUAL(file_open(r, "b", FILE_READ, &other), -ENOENT);
    CU_ASSERT_EQUAL(file_open(r, "d/a", MAKE, &other), -ENOENT);
    CU_ASSERT_EQUAL(file_open(r, "a/b", MAKE, &other), -ENOTDIR);
    CU_ASSERT_EQUAL(file_open(r, "", FILE_READ, &other), -ENOENT);
    CU_ASSERT_EQUAL(directory_create(r, "a"), -EEXIST);
    CU_ASSERT_EQUAL(directory_create(r, "d"), 0);
    CU_ASSERT_EQUAL(directory_create(r, "d"), -EEXIST);
    CU_ASSERT_EQUAL(directory_create(r, "x/y"), -ENOENT);
    CU_ASSERT_EQUAL(file_open(r, "d", RW, &other), -EISDIR);
    CU_ASSERT_EQUAL(directory_sync(r, "a"), -ENOTDIR);
    CU_ASSERT_EQUAL(directory_sync(r, "x"), -ENOENT);
    CU_ASSERT_EQUAL(file_rename(r, "x", "y"), -ENOENT);
    CU_ASSERT_EQUAL(file_rename(r, "a", "d"), -EISDIR);
    CU_ASSERT_EQUAL(file_rename(r, "d", "a"), -ENOTDIR);
    CU_ASSERT_EQUAL(file_rename(r, "d", "d/e"), -EINVAL);
    CU_ASSERT_EQUAL(file_link(r, "a", "d"), -EEXIST);
    CU_ASSERT_EQUAL(file_link(r, "d", "e"), -EPERM);
    CU_ASSERT_EQUAL(file_link(r, "x", "y"), -ENOENT);
    CU_ASSERT_EQUAL(file_remove(r, "x"), -ENOENT);
    CU_ASSERT_EQUAL(file_remove(r, "d"), -EISDIR);
    file_close(r, f);
    f = must_open(r, "/./a", FILE_READ);
    CU_ASSERT_EQUAL(file_write(r, f, "x", 1, 0, false), -EBADF);
    CU_ASSERT_EQUAL(file_allocate(r, f, 0, 1), -EBADF);
    CU_ASSERT_EQUAL(file_truncate(r, f, 0), -EINVAL);
    file_close(r, f);
}

TEST(errors_are_those_of_linux)
{
    struct rig rig;
    rig_open(&rig, 2);
    rig_run_and_stop(&rig, meet_errors);
    rig_close(&rig);
}

static int add_text(void *context, const char *name)
{
    strncat(context, name, 64 - strlen(context) - 1);
    return strcmp(name, "stop") == 0;
}

static void use_directories(struct reactor *r, struct rig *rig)
{
    char names[64] = "";
    (void)rig;
    CU_ASSERT_EQUAL(directory_create(r, "d"), 0);
    CU_ASSERT_EQUAL(directory_create(r, "/d/e/"), 0);
    file_close(r, must_open(r, "d/e/z", MAKE));
    file_close(r, must_open(r, "d//b", MAKE));
    file_close(r, must_open(r, "d/a", MAKE));
    file_close(r, must_open(r, "d/ab", MAKE));
    CU_ASSERT_EQUAL(directory_list(r, "d", add_text, names), 0);
    CU_ASSERT_STRING_EQUAL(names, "aabbe");
    CU_ASSERT_EQUAL(file_rename(r, "d/b", "d/stop"), 0);
    CU_ASSERT_EQUAL(file_rename(r, "d/e", "e"), 0);
    names[0] = 0;
    CU_ASSERT_EQUAL(file_link(r, "d/ab", "d/x"), 0);
    CU_ASSERT_EQUAL(directory_list(r, "./d", add_text, names), 1);
    CU_ASSERT_STRING_EQUAL(names, "aabstop");
    CU_ASSERT_EQUAL(directory_list(r, "d/a", add_text, names), -ENOTDIR);
    CU_ASSERT_EQUAL(directory_lock(r, "d"), 0);
    CU_ASSERT_EQUAL(directory_lock(r, "d"), -EWOULDBLOCK);
    CU_ASSERT_EQUAL(directory_lock(r, "/"), 0);
}

static void lock_again(struct reactor *r, struct rig *rig)
{
    (void)rig;
    CU_ASSERT_EQUAL(directory_lock(r, "d"), 0);
}

TEST(directories_nest_list_in_order_and_are_locked_until_the_node_ends)
{
    struct rig rig;
    rig_open(&rig, 3);
    rig_run(&rig, use_directories);
    CU_ASSERT_EQUAL(sim_disk_file_count(rig.disk), 5);
    CU_ASSERT_STRING_EQUAL(sim_disk_file_at(rig.disk, 0).path, "d/a");
    CU_ASSERT_STRING_EQUAL(sim_disk_file_at(rig.disk, 4).path, "e/z");
    CU_ASSERT_EQUAL(sim_disk_file_at(rig.disk, 1).id, sim_disk_file_at(rig.disk, 3).id);
    rig_kill(&rig, SIM_END_KILL);
    rig_run(&rig, lock_again);
    rig_close(&rig);
}

/* ---- space ---- */

static void use_space(struct reactor *r, struct rig *rig)
{
    uint64_t left;
    struct file *f = must_open(r, "a", MAKE), *g;
    CU_ASSERT_EQUAL(file_allocate(r, f, 0, 10 * RIG_PAGE), 0);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 10 * RIG_PAGE);
    must_write(r, rig, f, 1, 3);
    must_write(r, rig, f, 0, 4);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 10 * RIG_PAGE);
    must_write(r, rig, f, 0, 20);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 11 * RIG_PAGE);
    CU_ASSERT_EQUAL(directory_free_bytes(r, "/", &left), 0);
    CU_ASSERT_EQUAL(left, (1 << 20) - 11 * RIG_PAGE);
    CU_ASSERT_EQUAL(file_truncate(r, f, 2 * RIG_PAGE), 0);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 2 * RIG_PAGE);
    sim_disk_set_capacity(rig->disk, 4 * RIG_PAGE);
    CU_ASSERT_EQUAL(file_allocate(r, f, 0, 5 * RIG_PAGE), -ENOSPC);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 2 * RIG_PAGE);
    g = must_open(r, "b", MAKE);
    CU_ASSERT_EQUAL(file_write(r, g, rig_fill(rig, 2, 3), 3 * RIG_PAGE, 0, false), -ENOSPC);
    CU_ASSERT_EQUAL(disk_bytes(rig->disk, "b"), 2 * RIG_PAGE); /* as much as there was room for */
    must_write(r, rig, f, 1, 0);                               /* over pages that it has */
    CU_ASSERT_EQUAL(file_remove(r, "b"), 0);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 4 * RIG_PAGE); /* it is open */
    file_close(r, g);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), 2 * RIG_PAGE);
    sim_disk_set_capacity(rig->disk, RIG_PAGE);
    CU_ASSERT_EQUAL(directory_free_bytes(r, "/", &left), 0);
    CU_ASSERT_EQUAL(left, 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, 0), 0);
    must_write(r, rig, f, 1, 0);
    CU_ASSERT_EQUAL(file_rename(r, "a", "c"), 0);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig->disk), RIG_PAGE);
}

TEST(space_is_counted_by_pages_and_runs_out)
{
    struct rig rig;
    rig_open(&rig, 4);
    rig_run(&rig, use_space);
    rig_kill(&rig, SIM_END_KILL);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig.disk), RIG_PAGE);
    sim_disk_wipe(rig.disk);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig.disk), 0);
    CU_ASSERT_EQUAL(sim_disk_file_count(rig.disk), 0);
    rig_close(&rig);
}

/* ---- operations in flight ---- */

struct burst {
    struct burst_operation {
        struct file_operation op;
        struct burst *burst;
    } ops[RIG_PAGES];
    unsigned order[RIG_PAGES];
    unsigned ended;
    struct event is_over;
    struct reactor *r;
    struct file *f;
};

static void on_moved(struct file_operation *op)
{
    struct burst_operation *o = CONTAINER_OF(op, struct burst_operation, op);
    struct burst *b = o->burst;
    CU_ASSERT_EQUAL(op->result, RIG_PAGE);
    CU_ASSERT_PTR_NULL(task_current(b->r));
    b->order[b->ended++] = (unsigned)(o - b->ops);
    if (b->ended == RIG_PAGES)
        event_set(b->r, &b->is_over, 0);
}

static struct burst *burst_new(struct reactor *r, unsigned flags)
{
    struct burst *b = reactor_alloc_zeroed(r, sizeof *b);
    b->r = r;
    b->f = must_open(r, "a", flags);
    for (unsigned i = 0; i < RIG_PAGES; i++)
        b->ops[i] = (struct burst_operation){.op.done = on_moved, .burst = b};
    return b;
}

static void burst_write(struct burst *b, struct rig *rig, bool is_durable)
{
    for (unsigned i = 0; i < RIG_PAGES; i++) {
        uint8_t *page = rig->bytes + i * RIG_PAGE;
        memset(page, (int)i + 1, RIG_PAGE);
        file_write_start(b->r, b->f, &b->ops[i].op, page, RIG_PAGE, i * RIG_PAGE, is_durable);
    }
}

static void write_burst(struct reactor *r, struct rig *rig)
{
    struct burst *b = burst_new(r, MAKE | FILE_DIRECT);
    burst_write(b, rig, false);
    CU_ASSERT_EQUAL(event_wait(r, &b->is_over, EVENT_FOREVER), 0);
    bool is_in_order = true;
    for (unsigned i = 0; i < RIG_PAGES; i++)
        is_in_order &= b->order[i] == i;
    CU_ASSERT_FALSE(is_in_order);
    CU_ASSERT_EQUAL(disk_bytes(rig->disk, "a"), RIG_PAGES * RIG_PAGE);
    for (unsigned i = 0; i < RIG_PAGES; i++)
        CU_ASSERT_EQUAL(disk_byte(rig->disk, "a", i * RIG_PAGE), (int)i + 1);
    b->ended = 0;
    for (unsigned i = 0; i < RIG_PAGES; i++)
        file_read_start(r, b->f, &b->ops[i].op, rig->bytes + i * RIG_PAGE, RIG_PAGE, i * RIG_PAGE);
    CU_ASSERT_NOT_EQUAL(rig->bytes[0], 1); /* garbage until the read is over */
    CU_ASSERT_EQUAL(event_wait(r, &b->is_over, EVENT_FOREVER), 0);
    for (unsigned i = 0; i < RIG_PAGES; i++)
        CU_ASSERT_EQUAL(rig->bytes[i * RIG_PAGE + RIG_PAGE - 1], i + 1);
    file_close(r, b->f);
    reactor_free(r, b);
}

TEST(operations_in_flight_end_in_any_order)
{
    rig_try(5, write_burst);
}

enum { SLEEPERS = 60 };

struct sleepers {
    struct event wake[SLEEPERS];
    unsigned begun, woken, woken_before;
    unsigned woken_most; /* in one turn */
};

static void sleep_once(struct reactor *r, void *argument)
{
    struct sleepers *s = argument;
    CU_ASSERT_EQUAL(event_wait(r, &s->wake[s->begun++], EVENT_FOREVER), 0);
    s->woken++;
}

static void note_woken(void *context)
{
    struct sleepers *s = context;
    unsigned woken = s->woken - s->woken_before;
    s->woken_most = woken > s->woken_most ? woken : s->woken_most;
    s->woken_before = s->woken;
}

/* Returns: how many of many woken tasks one turn has run, at most. */
static unsigned wake_many(struct reactor *r)
{
    struct sleepers s = {.begun = 0};
    for (unsigned i = 0; i < SLEEPERS; i++)
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, sleep_once, &s), 0);
    task_yield(r);
    CU_ASSERT_EQUAL_FATAL(s.begun, SLEEPERS);
    reactor_set_turn_hook(r, note_woken, &s);
    for (unsigned i = 0; i < SLEEPERS; i++)
        event_set(r, &s.wake[i], 0);
    while (s.woken < SLEEPERS)
        task_yield(r);
    reactor_set_turn_hook(r, NULL, NULL);
    return s.woken_most;
}

static void wake_beside_reads(struct reactor *r, struct rig *rig)
{
    struct burst *b = burst_new(r, MAKE | FILE_DIRECT);
    burst_write(b, rig, false);
    CU_ASSERT_EQUAL(event_wait(r, &b->is_over, EVENT_FOREVER), 0);
    b->ended = 0;
    event_init(&b->is_over);
    for (unsigned i = 0; i < RIG_PAGES; i++)
        file_read_start(r, b->f, &b->ops[i].op, rig->bytes + i * RIG_PAGE, RIG_PAGE, i * RIG_PAGE);
    unsigned woken = wake_many(r);
    CU_ASSERT(woken > RIG_PAGES / 2 && woken <= RIG_PAGES);
    CU_ASSERT_EQUAL(event_wait(r, &b->is_over, EVENT_FOREVER), 0);
    CU_ASSERT_EQUAL(wake_many(r), 2);
    file_close(r, b->f);
    reactor_free(r, b);
}

TEST(a_turn_runs_as_many_woken_tasks_as_keep_the_disk_busy)
{
    rig_try(6, wake_beside_reads);
}

static void start_burst(struct reactor *r, struct rig *rig)
{
    burst_write(burst_new(r, MAKE), rig, true);
}

TEST(what_is_in_flight_is_pending_and_after_a_kill_made_in_part)
{
    struct rig rig;
    unsigned whole = 0, none = 0, part = 0;
    rig_open(&rig, 7);
    rig_run(&rig, start_burst);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig.disk), 1 + 2 * RIG_PAGES); /* a name, sizes and writes */
    CU_ASSERT_EQUAL(disk_bytes(rig.disk, "a"), 0);
    struct sim_disk *copy = disk_after_power_loss(rig.disk, SIM_KEEP);
    CU_ASSERT_EQUAL(disk_byte(copy, "a", 3 * RIG_PAGE), 4);
    sim_disk_free(copy);
    rig_kill(&rig, SIM_END_KILL);
    for (unsigned i = 0; i < RIG_PAGES; i++) {
        bool begins = disk_byte(rig.disk, "a", i * RIG_PAGE) == (int)i + 1;
        bool ends = disk_byte(rig.disk, "a", (i + 1) * RIG_PAGE - 1) == (int)i + 1;
        whole += begins && ends;
        none += !begins;
        part += begins && !ends;
    }
    CU_ASSERT_TRUE(whole >= 3 && none >= 3 && part >= 3);
    rig_close(&rig);
}

/* ---- clones and determinism ---- */

static void write_some(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", MAKE);
    must_write(r, rig, f, 1, 0);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    CU_ASSERT_EQUAL(directory_sync(r, "/"), 0);
    must_write(r, rig, f, 2, 1);
    file_close(r, f);
}

static void write_more(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", RW);
    must_write(r, rig, f, 9, 0);
    must_write(r, rig, f, 9, 2);
    CU_ASSERT_EQUAL(file_rename(r, "a", "b"), 0);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    CU_ASSERT_EQUAL(directory_sync(r, "."), 0);
    file_close(r, f);
}

TEST(a_clone_and_its_origin_go_their_own_ways)
{
    struct rig rig;
    rig_open(&rig, 7);
    rig_run_and_stop(&rig, write_some);
    struct sim_disk *copy = sim_disk_clone(rig.disk);
    rig_run_and_stop(&rig, write_more);
    CU_ASSERT_EQUAL(disk_bytes(rig.disk, "b"), 3 * RIG_PAGE);
    CU_ASSERT_EQUAL(disk_bytes(rig.disk, "a"), -1);
    CU_ASSERT_EQUAL(disk_bytes(copy, "a"), 2 * RIG_PAGE);
    CU_ASSERT_EQUAL(disk_byte(copy, "a", 0), 1);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(copy), 2 * RIG_PAGE);
    CU_ASSERT_EQUAL(sim_disk_pending_count(copy), 2);
    struct sim_disk *origin = sim_node_take_disk(rig.node);
    sim_node_give_disk(rig.node, copy);
    rig.disk = copy;
    rig_run_and_stop(&rig, write_more);
    sim_disk_poke(copy, "b", "x", 1, 0);
    CU_ASSERT_EQUAL(disk_byte(origin, "b", 0), 9);
    CU_ASSERT_EQUAL(disk_byte(copy, "b", 0), 'x');
    sim_disk_free(origin);
    CU_ASSERT_EQUAL(disk_byte(copy, "b", 2 * RIG_PAGE), 9);
    rig_close(&rig);
}

TEST(a_disk_moves_to_a_node_of_another_world)
{
    struct rig a, b;
    rig_open(&a, 20);
    rig_open(&b, 21);
    rig_run_and_stop(&a, write_some);
    sim_disk_free(sim_node_take_disk(b.node));
    b.disk = sim_node_take_disk(a.node);
    sim_node_give_disk(b.node, b.disk);
    rig_close(&a);
    rig_run_and_stop(&b, write_more);
    CU_ASSERT_EQUAL(disk_byte(b.disk, "b", RIG_PAGE), 2);
    CU_ASSERT_EQUAL(disk_byte(b.disk, "b", 2 * RIG_PAGE), 9);
    rig_close(&b);
}

TEST(a_disk_is_changed_by_its_driver_at_rest)
{
    struct rig rig;
    uint8_t byte = 7;
    rig_open(&rig, 8);
    rig_run_and_stop(&rig, write_some);
    sim_disk_poke(rig.disk, "a", &byte, 1, RIG_PAGE - 1);
    struct sim_disk *copy = disk_after_power_loss(rig.disk, SIM_DROP);
    CU_ASSERT_EQUAL(disk_byte(copy, "a", RIG_PAGE - 2), 1);
    CU_ASSERT_EQUAL(disk_byte(copy, "a", RIG_PAGE - 1), 7);
    sim_disk_free(copy);
    sim_disk_truncate_file(rig.disk, "a", 10);
    CU_ASSERT_EQUAL(disk_bytes(rig.disk, "a"), 10);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig.disk), RIG_PAGE);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig.disk), 0);
    sim_disk_remove_file(rig.disk, "a");
    CU_ASSERT_EQUAL(disk_bytes(rig.disk, "a"), -1);
    CU_ASSERT_EQUAL(sim_disk_used_bytes(rig.disk), 0);
    copy = disk_after_power_loss(rig.disk, SIM_KEEP);
    CU_ASSERT_EQUAL(sim_disk_file_count(copy), 0);
    sim_disk_free(copy);
    rig_close(&rig);
}

static void write_and_count_changes(struct reactor *r, struct rig *rig)
{
    struct burst *b = burst_new(r, MAKE);
    CU_ASSERT_EQUAL(file_allocate(r, b->f, 0, RIG_PAGES * RIG_PAGE), 0);
    uint64_t before = sim_disk_change_count(rig->disk);
    CU_ASSERT_EQUAL(file_read(r, b->f, rig->bytes, RIG_PAGE, 0), RIG_PAGE);
    CU_ASSERT_EQUAL(sim_disk_change_count(rig->disk), before);
    b->ended = RIG_PAGES - 1;
    file_write_start(r, b->f, &b->ops[0].op, rig_fill(rig, 1, 1), RIG_PAGE, 0, false);
    uint64_t in_flight = sim_disk_change_count(rig->disk);
    CU_ASSERT_NOT_EQUAL(in_flight, before);
    CU_ASSERT_EQUAL(event_wait(r, &b->is_over, EVENT_FOREVER), 0);
    CU_ASSERT_EQUAL(sim_disk_change_count(rig->disk),
                    in_flight); /* in flight or cached: the images are the same */
    must_write_durably(r, rig, b->f, 2, 0);
    CU_ASSERT_TRUE(sim_disk_change_count(rig->disk) > in_flight + 1); /* in flight, and durable */
}

TEST(changes_are_counted_where_a_loss_of_power_would_leave_something_else)
{
    struct rig rig;
    rig_open(&rig, 22);
    rig_run(&rig, write_and_count_changes);
    rig_close(&rig);
}

static uint64_t trace_of(uint64_t seed)
{
    struct rig rig;
    rig_open(&rig, seed);
    rig_run(&rig, write_burst);
    rig_kill(&rig, SIM_END_POWER);
    uint64_t trace = sim_trace_hash(rig.world);
    rig_close(&rig);
    return trace;
}

TEST(a_seed_gives_the_same_trace_again_and_another_seed_another)
{
    CU_ASSERT_EQUAL(trace_of(11), trace_of(11));
    CU_ASSERT_NOT_EQUAL(trace_of(11), trace_of(12));
}

static void write_zeros(struct reactor *r, struct rig *rig)
{
    struct file *f = must_open(r, "a", MAKE);
    CU_ASSERT_EQUAL(file_allocate(r, f, 0, RIG_PAGES * RIG_PAGE), 0);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    CU_ASSERT_EQUAL(directory_sync(r, "/"), 0);
    uint64_t changes = sim_disk_change_count(rig->disk);
    CU_ASSERT_EQUAL(file_write(r, f, rig_fill(rig, 0, RIG_PAGES), RIG_PAGES * RIG_PAGE, 0, false), 0);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 0);
    CU_ASSERT_EQUAL(sim_disk_change_count(rig->disk), changes);
    must_write(r, rig, f, 1, 0);
    CU_ASSERT_NOT_EQUAL(sim_disk_change_count(rig->disk), changes);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 1);
    must_write(r, rig, f, 0, 0); /* zeros over something that is pending, or durable, do count */
    must_write(r, rig, f, 0, 0); /* and again: the one before may be dropped */
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 3);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    CU_ASSERT_EQUAL(sim_disk_pending_count(rig->disk), 0);
    changes = sim_disk_change_count(rig->disk);
    CU_ASSERT_EQUAL(file_sync(r, f), 0);
    CU_ASSERT_EQUAL(file_read(r, f, rig->bytes, RIG_PAGE, 0), RIG_PAGE);
    CU_ASSERT_EQUAL(sim_disk_change_count(rig->disk), changes);
    file_close(r, f);
}

TEST(zeros_over_zeros_are_nothing_pending)
{
    struct rig rig;
    rig_open(&rig, 9);
    rig_run_and_stop(&rig, write_zeros);
    rig_close(&rig);
}
