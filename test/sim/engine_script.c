/* engine_script.c - lives of a shard by script; see engine_script.h. */
#include "test/sim/engine_script.h"

#include "engine/entry.h"
#include "test/engine/engine_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { WAITS_MAX = 1000 };
#define HOUR_NS (UINT64_C(3600) * 1000 * MS)

/* ---- in the life ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    struct script *s = owner;
    (void)times;
    s->returned++;
    s->failed += result != 0;
    if (ticket->words[0] < SCRIPT_KEYS_MAX)
        s->results[ticket->words[0]] = result;
}

static void on_event(void *owner, const char *event, const char *text)
{
    struct script *s = owner;
    (void)text;
    if (s->event_count < SCRIPT_EVENTS_MAX)
        snprintf(s->events[s->event_count++], sizeof s->events[0], "%s", event);
}

bool script_has_event(const struct script *s, const char *event)
{
    for (uint32_t i = 0; i < s->event_count; i++)
        if (strcmp(s->events[i], event) == 0)
            return true;
    return false;
}

/* The name of a table's value log; false: the file is no table with bytes. */
static bool values_of(const struct sim_file_info *table, char path[64])
{
    static const char begin[] = "shard/table-";
    if (strncmp(table->path, begin, sizeof begin - 1) != 0 || table->bytes == 0)
        return false;
    snprintf(path, 64, "shard/values-%.16s.log", table->path + sizeof begin - 1);
    return true;
}

/* A table is written when its value log is whole and durable. Both are not looked at again before they
 * count. */
static void spoil(struct script *s)
{
    struct sim_disk *disk = sim_node_disk(s->node);
    char path[64];
    uint8_t byte;
    for (uint32_t i = 0; i < sim_disk_file_count(disk) && s->is_spoiling; i++) {
        struct sim_file_info file = sim_disk_file_at(disk, i);
        if (!values_of(&file, path) || sim_disk_peek(disk, path, &byte, 1, 0) != 1)
            continue;
        s->is_spoiling = false;
        if (s->is_removed)
            sim_disk_remove_file(disk, path);
        else
            sim_disk_truncate_file(disk, path, 4096);
    }
}

static void on_turn(void *context)
{
    struct script *s = context;
    spoil(s);
    if (s->engine)
        engine_submit(s->engine);
}

struct record_key script_key(uint32_t key, char text[16])
{
    int bytes = snprintf(text, 16, "key-%u", key);
    return (struct record_key){.vnode = (uint16_t)(key % 4), .key = slice_of(text, (size_t)bytes)};
}

int script_begin_put(struct script *s, uint32_t key, uint8_t flags)
{
    char text[16];
    uint8_t value[SCRIPT_VALUE_BYTES];
    memset(value, (int)key, sizeof value);
    struct record record = {.key = script_key(key, text),
                            .version = {.clock = engine_version_clock_max(s->engine) + 1},
                            .flags = flags,
                            .value = slice_of(value, flags & RECORD_TOMBSTONE ? 0 : sizeof value)};
    record.checksum = entry_checksum(&record.key, record.value);
    int rc = engine_put(s->engine, &record, &(struct engine_ticket){.words = {key}});
    s->puts += rc == 0;
    return rc;
}

void script_await_puts(struct script *s)
{
    for (unsigned i = 0; s->returned < s->puts && i < WAITS_MAX; i++)
        task_sleep(s->r, MS / 10);
    CU_ASSERT_EQUAL(s->returned, s->puts);
}

int script_try_put(struct script *s, uint32_t key, uint8_t flags)
{
    int rc = script_begin_put(s, key, flags);
    script_await_puts(s);
    return rc;
}

void script_put(struct script *s, uint32_t key)
{
    CU_ASSERT_EQUAL_FATAL(script_try_put(s, key, 0), 0);
}

void script_put_ten(struct script *s)
{
    for (uint32_t key = 0; key < 10; key++)
        script_put(s, key);
}

int script_answer(struct script *s, uint32_t key)
{
    char text[16];
    struct record_key plain = script_key(key, text);
    return engine_answer(s->engine, &plain, 1);
}

static int live(struct reactor *r, void *context)
{
    struct script *s = context;
    char why[256];
    struct engine_options options = {
        .directory = "shard",
        .vnode_bits = 2,
        .vnode_count = 4,
        .memtable_bytes = s->memtable_bytes ? s->memtable_bytes : 64 << 10,
        .segment_bytes = SCRIPT_SEGMENT_BYTES,
        .value_bytes_max = SCRIPT_VALUE_BYTES,
        .value_log_bytes_min = s->has_value_logs ? SCRIPT_VALUE_BYTES : UINT32_MAX,
        .archive = s->has_archive ? "archive" : NULL,
        .table_bytes_max = s->table_bytes_max,
        .runs_max = s->runs_max,
        .on_durable = on_durable,
        .on_event = on_event,
        .owner = s,
    };
    s->r = r;
    s->opened = engine_open(r, &options, &s->engine, why, sizeof why);
    if (s->opened == 0) {
        reactor_set_turn_hook(r, on_turn, s);
        s->run(s);
        if (s->is_killed) {
            s->is_over = true;
            return 0;
        }
        engine_close(s->engine);
    }
    s->engine = NULL;
    reactor_set_turn_hook(r, NULL, NULL);
    reactor_stop(r);
    return 0;
}

/* ---- between lives ---- */

struct script *script_new(const struct sim_world_options *options)
{
    struct script *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->world = sim_world_new(options);
    s->node = sim_node_new(s->world, "10.0.0.1", NULL);
    return s;
}

void script_free(struct script *s)
{
    sim_world_free(s->world);
    free(s);
}

static bool is_down(void *context)
{
    return !sim_node_is_up(context);
}

static bool is_over(void *context)
{
    const struct script *s = context;
    return s->is_over;
}

static void begin(struct script *s, void (*run)(struct script *s), bool is_killed)
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    s->run = run;
    s->is_killed = is_killed;
    s->is_over = false;
    s->puts = s->returned = s->failed = s->event_count = 0;
    sim_node_start(s->node, &options, live, s);
}

void script_run_to_the_end(struct script *s, void (*run)(struct script *s))
{
    begin(s, run, false);
    CU_ASSERT(sim_run(s->world, sim_now_ns(s->world) + HOUR_NS, is_down, s->node));
}

void script_run_and_lose_power(struct script *s, void (*run)(struct script *s))
{
    begin(s, run, true);
    CU_ASSERT(sim_run(s->world, sim_now_ns(s->world) + HOUR_NS, is_over, s));
    sim_node_kill(s->node, SIM_END_POWER);
    s->engine = NULL;
}
