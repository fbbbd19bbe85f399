/* engine_damage_test.c - what an engine answers when its files are not what it wrote.
 *
 * Files are damaged between two lives of an engine. What was lost must be said, never made up: UNKNOWN where
 * a newer write may be missing, CORRUPT where a block is bad, and everything else as before. */
#include "engine/engine_internal.h"
#include "engine/entry.h"
#include "engine/snapshot.h"
#include "reactor/base/checksum.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOG_KEYS = 200, LOG_BLOCK_BYTES = 4096 };

static void put(struct engine_rig *rig, uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
}

/* ---- the log ---- */

struct log_files {
    char names[8][64];
    uint32_t count;
};

static int note_log(void *context, const char *name)
{
    struct log_files *files = context;
    if (strncmp(name, "wal-", 4) == 0 && files->count < ARRAY_COUNT(files->names))
        snprintf(files->names[files->count++], sizeof files->names[0], "%s", name);
    return 0;
}

/* Each key is a log record of its own; one block in the middle of the first file is overwritten. */
static void lose_a_stretch_of_log(struct engine_rig *rig, struct reactor *r)
{
    uint8_t *noise = malloc(LOG_BLOCK_BYTES);
    ASSERT(noise);
    memset(noise, 0x55, LOG_BLOCK_BYTES);
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < LOG_KEYS; key++) {
        put(rig, key, 100);
        engine_rig_await(rig);
    }
    engine_rig_close(rig);
    struct log_files files = {.count = 0};
    char path[512];
    CU_ASSERT_EQUAL(directory_list(r, rig->options.directory, note_log, &files), 0);
    CU_ASSERT_FATAL(files.count > 0);
    snprintf(path, sizeof path, "%s/%s", rig->options.directory, files.names[0]);
    damage_overwrite(r, path, 80 * LOG_BLOCK_BYTES, slice_of(noise, LOG_BLOCK_BYTES));
    free(noise);
}

/* Every key answers UNKNOWN or what the model says, and just those below the bound may be unknown. */
static uint32_t count_unknown(struct engine_rig *rig)
{
    uint32_t unknown = 0;
    for (uint32_t key = 0; key < LOG_KEYS; key++) {
        bool is_newer = engine_rig_acknowledged(rig, key) > rig->engine->quarantine_clock;
        bool is_unknown = engine_rig_answer(rig, key) == TORC_E_UNKNOWN;
        CU_ASSERT_EQUAL(is_unknown, !is_newer);
        CU_ASSERT(is_unknown || engine_rig_check(rig, key));
        unknown += is_unknown;
    }
    return unknown;
}

static void fill_tables(struct engine_rig *rig)
{
    uint64_t end = engine_counters(rig->engine).flushes + 6;
    for (uint32_t i = 0; i < 20000 && engine_counters(rig->engine).flushes < end; i++) {
        put(rig, 1000 + i % 1000, 200);
        engine_rig_await(rig);
    }
    engine_rig_settle(rig);
}

TEST_IN_REACTOR(engine_answers_unknown_where_the_log_was_lost)
{
    struct engine_rig *rig = engine_rig_make();
    lose_a_stretch_of_log(rig, r);
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).quarantined, 1);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "log_damaged");
    uint32_t unknown = count_unknown(rig);
    CU_ASSERT(unknown >= 70 && unknown <= 100);
    CU_ASSERT_EQUAL(engine_rig_answer(rig, 2500), TORC_E_UNKNOWN); /* never written, and who knows */
    CU_ASSERT(engine_version_clock_max(rig->engine) >= LOG_KEYS);
    put(rig, 5, 40); /* a newer version is known */
    engine_rig_put(rig, &(struct rig_put){.key = 6, .flags = RECORD_TOMBSTONE});
    engine_rig_await(rig);
    CU_ASSERT_EQUAL(engine_rig_answer(rig, 5), ENGINE_FOUND);
    CU_ASSERT_EQUAL(engine_rig_answer(rig, 6), ENGINE_ABSENT);
    CU_ASSERT_EQUAL(count_unknown(rig), unknown - 2);
    engine_rig_close(rig);
    engine_rig_open(rig, r); /* the damage is there still, and counted once */
    CU_ASSERT_EQUAL(engine_counters(rig->engine).quarantined, 1);
    CU_ASSERT_EQUAL(count_unknown(rig), unknown - 2);
    fill_tables(rig); /* and now that log is not needed any more */
    CU_ASSERT_EQUAL(count_unknown(rig), unknown - 2);
    engine_rig_reopen(rig);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).quarantined, 1);
    CU_ASSERT_EQUAL(count_unknown(rig), unknown - 2);
    CU_ASSERT_EQUAL(engine_rig_answer(rig, 6), ENGINE_ABSENT); /* its tombstone was kept */
    CU_ASSERT_EQUAL(engine_rig_answer(rig, 2500), TORC_E_UNKNOWN);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

static int open_scan(struct engine_rig *rig)
{
    struct engine_cursor *c;
    struct record_key from = {.vnode = RIG_VNODE_FIRST};
    int rc = engine_cursor_open(rig->engine, &from, engine_rig_now_ms(rig), &c);
    if (rc == 0)
        engine_cursor_close(c);
    return rc;
}

TEST_IN_REACTOR(scan_is_not_opened_while_it_may_lack_keys)
{
    struct engine_rig *rig = engine_rig_make();
    lose_a_stretch_of_log(rig, r);
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(open_scan(rig), TORC_E_UNKNOWN);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(loss_that_is_accepted_is_answered_with_what_is_left)
{
    struct engine_rig *rig = engine_rig_make();
    lose_a_stretch_of_log(rig, r);
    engine_rig_open(rig, r);
    CU_ASSERT(count_unknown(rig) >= 70);
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "loss_accepted");
    for (int life = 0; life < 2; life++) { /* the damage is not met again */
        uint32_t lost = 0;
        CU_ASSERT_EQUAL(engine_counters(rig->engine).quarantined, 0);
        for (uint32_t key = 0; key < LOG_KEYS; key++)
            lost += engine_rig_answer(rig, key) == ENGINE_ABSENT;
        CU_ASSERT_EQUAL(lost, 1);
        CU_ASSERT_EQUAL(engine_rig_answer(rig, 2500), ENGINE_ABSENT);
        CU_ASSERT_EQUAL(open_scan(rig), 0);
        CU_ASSERT(engine_version_clock_max(rig->engine) >= LOG_KEYS);
        rig->last_event[0] = '\0';
        engine_rig_close(rig);
        engine_rig_open(rig, r);
        CU_ASSERT_STRING_EQUAL(rig->last_event, "");
    }
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0); /* there is none any more */
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* The last file with records and the one prepared after it. */
static void lose_the_end_of_log(struct engine_rig *rig, struct reactor *r)
{
    struct log_files files = {.count = 0};
    char path[512];
    CU_ASSERT_EQUAL(directory_list(r, rig->options.directory, note_log, &files), 0);
    for (uint32_t i = 0; i < files.count; i++) {
        snprintf(path, sizeof path, "%s/%s", rig->options.directory, files.names[i]);
        CU_ASSERT_EQUAL(file_remove(r, path), 0);
    }
}

TEST_IN_REACTOR(engine_whose_last_log_file_is_gone_says_so_and_answers_unknown)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    fill_tables(rig);
    put(rig, 3, 100);
    put(rig, 1003, 100); /* an older version of it is in a table */
    engine_rig_await(rig);
    engine_rig_close(rig);
    lose_the_end_of_log(rig, r);
    for (int life = 0; life < 3; life++) {
        rig->last_event[0] = '\0';
        engine_rig_open_at(rig, r, UINT64_MAX);
        CU_ASSERT_STRING_EQUAL(rig->last_event, life == 0 ? "log_damaged" : "");
        CU_ASSERT_EQUAL(engine_counters(rig->engine).quarantined, 1);
        CU_ASSERT_EQUAL(engine_rig_answer(rig, 3), TORC_E_UNKNOWN);
        CU_ASSERT_EQUAL(engine_rig_answer(rig, 1003), TORC_E_UNKNOWN);
        CU_ASSERT_EQUAL(engine_rig_answer(rig, 2500), TORC_E_UNKNOWN);
        engine_rig_close(rig);
    }
    engine_rig_free(rig);
}

/* ---- tables ---- */

static void flush_once(struct engine_rig *rig, uint32_t first)
{
    uint64_t end = engine_counters(rig->engine).flushes + 1;
    for (uint32_t i = 0; i < 20000 && engine_counters(rig->engine).flushes < end; i++) {
        put(rig, first + i % 400, 150);
        engine_rig_await(rig);
    }
}

TEST_IN_REACTOR(scan_stays_at_a_bad_block_and_serves_nothing_older)
{
    struct engine_rig *rig = engine_rig_make();
    char path[ENGINE_PATH_MAX];
    engine_rig_open(rig, r);
    flush_once(rig, 0);
    flush_once(rig, 0);
    engine_table_path(rig->engine, rig->engine->tables->runs[0].tables[0]->number, path);
    CU_ASSERT_EQUAL(rig->engine->tables->run_count, 2);
    engine_rig_close(rig);
    damage_flip(r, path, 3 * 4096 + 700, 0x10);
    engine_rig_open(rig, r);
    struct engine_cursor *c;
    struct record record;
    struct record_key at = {.vnode = RIG_VNODE_FIRST};
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(rig->engine, &at, engine_rig_now_ms(rig), &c), 0);
    uint32_t served = 0, wrong = 0;
    int rc;
    while ((rc = engine_cursor_next(c, &record)) == 1) {
        uint32_t key = engine_rig_key_number(&record.key);
        wrong += !engine_rig_allows(rig, key, &record, engine_rig_acknowledged(rig, key));
        served++;
    }
    CU_ASSERT_EQUAL(rc, TORC_E_CORRUPT);
    CU_ASSERT(served > 0 && wrong == 0);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
    at.vnode = RIG_VNODE_FIRST + RIG_VNODES - 1;
    CU_ASSERT_EQUAL(engine_cursor_seek(c, &at), 0); /* past it all is well */
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), 1);
    CU_ASSERT_EQUAL(record.key.vnode, at.vnode);
    engine_cursor_close(c);
    engine_rig_close(rig);
    engine_rig_free(rig);
}

/* ---- a table that cannot be opened ---- */

/* Two runs of the same keys; the newer one is of several tables, of which the one in the middle is lost. */
struct lost_table {
    struct engine_rig *rig;
    char path[ENGINE_PATH_MAX];
    uint64_t bytes;
    uint64_t clock_max;
    struct record_key smallest;
    struct record_key largest;
    char keys[2][RIG_KEY_BYTES_MAX];
};

static void keep_key(const struct engine_rig *rig, const struct record_key *key, struct record_key *to,
                     char memory[RIG_KEY_BYTES_MAX])
{
    *to = engine_rig_key(rig, engine_rig_key_number(key), memory);
}

static struct lost_table *lose_table(struct reactor *r, const char *how)
{
    struct lost_table *t = calloc(1, sizeof *t);
    ASSERT(t);
    t->rig = engine_rig_make();
    t->rig->options.table_bytes_max = 34 << 10;
    engine_rig_open(t->rig, r);
    flush_once(t->rig, 0);
    flush_once(t->rig, 0);
    engine_rig_settle(t->rig);
    const struct table_run *run = &t->rig->engine->tables->runs[0];
    CU_ASSERT_FATAL(t->rig->engine->tables->run_count == 2 && run->count >= 3);
    const struct table_summary *s = table_summary(run->tables[1]->table);
    keep_key(t->rig, &s->smallest, &t->smallest, t->keys[0]);
    keep_key(t->rig, &s->largest, &t->largest, t->keys[1]);
    t->bytes = s->bytes;
    t->clock_max = s->clock_max;
    engine_table_path(t->rig->engine, s->number, t->path);
    engine_rig_close(t->rig);
    if (strcmp(how, "missing") == 0) {
        CU_ASSERT_EQUAL(file_remove(r, t->path), 0);
    } else {
        damage_flip(r, t->path, t->bytes - (strcmp(how, "footer") == 0 ? 4000 : 3 * 4096 - 8), 0x10);
    }
    return t;
}

static bool is_in(const struct lost_table *t, const struct record_key *key)
{
    return record_key_compare(key, &t->smallest) >= 0 && record_key_compare(key, &t->largest) <= 0;
}

/* CORRUPT where the lost table may hold something newer than what is held; as ever elsewhere. */
static void check_gets(struct lost_table *t)
{
    uint32_t corrupt = 0;
    for (uint32_t key = 0; key < 500; key++) {
        char memory[RIG_KEY_BYTES_MAX];
        struct record_key k = engine_rig_key(t->rig, key, memory);
        bool is_newer = engine_rig_acknowledged(t->rig, key) > t->clock_max;
        bool is_lost = is_in(t, &k) && !is_newer;
        corrupt += is_lost;
        CU_ASSERT(is_lost ? engine_rig_answer(t->rig, key) == TORC_E_CORRUPT : engine_rig_check(t->rig, key));
    }
    CU_ASSERT(corrupt > 10);
}

static void check_scan(struct lost_table *t)
{
    struct engine_cursor *c;
    struct record record;
    struct record_key from = {.vnode = RIG_VNODE_FIRST};
    uint32_t served = 0;
    int rc;
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open(t->rig->engine, &from, engine_rig_now_ms(t->rig), &c), 0);
    while ((rc = engine_cursor_next(c, &record)) == 1) {
        CU_ASSERT(record_key_compare(&record.key, &t->smallest) < 0);
        served++;
    }
    CU_ASSERT_EQUAL(rc, TORC_E_CORRUPT);
    CU_ASSERT(served > 10);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(engine_cursor_seek(c, &t->largest), 0); /* its last key */
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT);
    from.vnode = (uint16_t)(t->largest.vnode + 1);
    CU_ASSERT_EQUAL(engine_cursor_seek(c, &from), 0);
    for (served = 0; (rc = engine_cursor_next(c, &record)) == 1; served++)
        ;
    CU_ASSERT(rc == 0 && served > 10);
    engine_cursor_close(c);
}

static void serve_without_table(struct reactor *r, const char *how)
{
    struct lost_table *t = lose_table(r, how);
    for (int life = 0; life < 2; life++) { /* it is no orphan and no secret in the second either */
        engine_rig_open(t->rig, r);
        CU_ASSERT_STRING_EQUAL(t->rig->last_event, "table_unreadable");
        CU_ASSERT_EQUAL(engine_counters(t->rig->engine).tables_damaged, 1);
        check_gets(t);
        check_scan(t);
        put(t->rig, 7 + (uint32_t)life, 30);
        engine_rig_await(t->rig);
        engine_rig_close(t->rig);
    }
    engine_rig_open(t->rig, r); /* merges leave it alone, and its older keys stay hidden */
    for (int i = 0; i < 6; i++)
        flush_once(t->rig, 1000);
    engine_rig_settle(t->rig);
    CU_ASSERT(engine_counters(t->rig->engine).compactions > 0);
    CU_ASSERT_EQUAL(engine_counters(t->rig->engine).tables_damaged, 1);
    check_gets(t);
    engine_rig_close(t->rig);
    engine_rig_free(t->rig);
    free(t);
}

TEST_IN_REACTOR(table_with_a_bad_footer_answers_corrupt_in_its_range)
{
    serve_without_table(r, "footer");
}

TEST_IN_REACTOR(table_with_a_bad_index_answers_corrupt_in_its_range)
{
    serve_without_table(r, "index");
}

TEST_IN_REACTOR(table_that_is_missing_answers_corrupt_in_its_range)
{
    serve_without_table(r, "missing");
}

TEST_IN_REACTOR(there_is_no_snapshot_of_a_shard_that_has_lost_something_until_that_is_accepted)
{
    struct engine_rig *rig = engine_rig_make();
    lose_a_stretch_of_log(rig, r);
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(rig), TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(rig), 0);
    engine_rig_close(rig);
    engine_rig_free(rig);
    struct lost_table *t = lose_table(r, "missing");
    engine_rig_open(t->rig, r);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(t->rig), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(engine_accept_loss(t->rig->engine), 0);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(t->rig), 0);
    engine_rig_close(t->rig);
    engine_rig_free(t->rig);
    free(t);
}

TEST_IN_REACTOR(table_that_is_given_up_leaves_what_is_older)
{
    struct lost_table *t = lose_table(r, "footer");
    engine_rig_open(t->rig, r);
    CU_ASSERT_EQUAL(open_scan(t->rig), 0);
    check_gets(t);
    CU_ASSERT_EQUAL(engine_accept_loss(t->rig->engine), 0);
    for (int life = 0; life < 2; life++) {
        uint32_t found = 0, wrong = 0;
        for (uint32_t key = 0; key < 400; key++) {
            int answer = engine_rig_answer(t->rig, key);
            found += answer == ENGINE_FOUND; /* of the older run, where it is lost */
            wrong += answer != ENGINE_FOUND && engine_rig_acknowledged(t->rig, key) != 0;
        }
        CU_ASSERT(found > 200 && wrong < 50);
        CU_ASSERT_EQUAL(engine_counters(t->rig->engine).tables_damaged, 0);
        engine_rig_close(t->rig);
        engine_rig_open(t->rig, r);
    }
    engine_rig_close(t->rig);
    engine_rig_free(t->rig);
    free(t);
}

TEST_IN_REACTOR(table_that_is_whole_but_another_one_is_not_served)
{
    struct lost_table *t = lose_table(r, "missing");
    unsigned long long number;
    CU_ASSERT_EQUAL_FATAL(sscanf(strrchr(t->path, '/'), "/table-%16llx.sst", &number), 1);
    struct table_writer *w;
    struct table_summary summary;
    CU_ASSERT_EQUAL_FATAL(
        table_writer_open(r, &(struct table_writer_options){.path = t->path, .number = number}, &w), 0);
    struct record record = {.key = t->smallest, .version = {.clock = 5}};
    record.checksum = entry_checksum(&record.key, record.value);
    CU_ASSERT_EQUAL(table_writer_add(w, &record), 0);
    CU_ASSERT_EQUAL(table_writer_finish(w, &summary), 0);
    table_writer_close(w);
    engine_rig_open(t->rig, r);
    CU_ASSERT_STRING_EQUAL(t->rig->last_event, "table_unreadable");
    check_gets(t);
    engine_rig_close(t->rig);
    engine_rig_free(t->rig);
    free(t);
}

/* ---- nothing is touched by an open that fails ---- */

struct sum {
    struct reactor *reactor;
    const char *directory;
    uint64_t hash;
    uint32_t count;
};

static int add_file(void *context, const char *name)
{
    struct sum *sum = context;
    char path[512];
    struct file *f;
    uint64_t bytes = 0;
    snprintf(path, sizeof path, "%s/%s", sum->directory, name);
    CU_ASSERT_EQUAL_FATAL(file_open(sum->reactor, path, FILE_READ, &f), 0);
    CU_ASSERT_EQUAL(file_size(sum->reactor, f, &bytes), 0);
    uint8_t *data = malloc(bytes + 1);
    ASSERT(data);
    CU_ASSERT_EQUAL(file_read(sum->reactor, f, data, bytes, 0), (int64_t)bytes);
    sum->hash = sum->hash * 31 + checksum_bytes(name, strlen(name)) + checksum_bytes(data, bytes);
    sum->count++;
    free(data);
    file_close(sum->reactor, f);
    return 0;
}

static uint64_t sum_of_files(const struct engine_rig *rig, struct reactor *r)
{
    struct sum sum = {.reactor = r, .directory = rig->options.directory};
    CU_ASSERT_EQUAL(directory_list(r, sum.directory, add_file, &sum), 0);
    CU_ASSERT(sum.count >= 4);
    return sum.hash;
}

static int open_error(struct engine_rig *rig, struct reactor *r)
{
    char why[256] = "";
    uint64_t heap_bytes = reactor_counters(r).heap_bytes;
    struct engine *e = NULL;
    int rc = engine_open(r, &rig->options, &e, why, sizeof why);
    CU_ASSERT(rc != 0 && why[0] != '\0');
    CU_ASSERT_PTR_NULL(e);
    CU_ASSERT_EQUAL(reactor_counters(r).heap_bytes, heap_bytes);
    return rc;
}

static void flip_manifests(const struct engine_rig *rig, struct reactor *r)
{
    char path[512];
    for (char copy = 'A'; copy <= 'B'; copy++) {
        snprintf(path, sizeof path, "%s/MANIFEST-%c", rig->options.directory, copy);
        damage_flip(r, path, 60, 0x10);
    }
}

TEST_IN_REACTOR(engine_that_does_not_open_changes_no_file)
{
    struct engine_rig *rig = engine_rig_make();
    engine_rig_open(rig, r);
    flush_once(rig, 0);
    flush_once(rig, 300);
    engine_rig_close(rig);
    uint64_t before = sum_of_files(rig, r);
    rig->options.vnode_first++;
    CU_ASSERT_EQUAL(open_error(rig, r), TORC_E_CONFIGURATION);
    CU_ASSERT_EQUAL(sum_of_files(rig, r), before);
    rig->options.vnode_first--;
    flip_manifests(rig, r);
    uint64_t damaged = sum_of_files(rig, r);
    CU_ASSERT_NOT_EQUAL(damaged, before);
    CU_ASSERT_EQUAL(open_error(rig, r), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(sum_of_files(rig, r), damaged);
    flip_manifests(rig, r);
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}
