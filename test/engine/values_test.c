/* values_test.c - large values of an engine: where they are, when they move, and what becomes of damage. */
#include "engine/values.h"

#include "engine/compaction.h"
#include "engine/snapshot.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

#include <stdio.h>

enum { LARGE = 5000, SMALL = 100, FILES_MAX = 256 };

static void put(struct engine_rig *rig, uint32_t key, uint32_t value_bytes)
{
    engine_rig_put(rig, &(struct rig_put){.key = key, .value_bytes = value_bytes});
    engine_rig_await(rig);
}

/* Large and small values of keys below `keys` until so many more memtables are tables. */
static void flush_some(struct engine_rig *rig, uint32_t keys, uint64_t flushes)
{
    uint64_t end = engine_counters(rig->engine).flushes + flushes;
    for (uint32_t i = 0; engine_counters(rig->engine).flushes < end && i < 20000; i++)
        put(rig, (uint32_t)engine_rig_random(rig, keys), i % 4 == 0 ? SMALL : LARGE);
    engine_rig_settle(rig);
    CU_ASSERT_FATAL(engine_counters(rig->engine).flushes >= end);
}

/* Every key once, so that the one before it is garbage. */
static void put_all(struct engine_rig *rig, uint32_t keys, uint32_t value_bytes)
{
    for (uint32_t key = 0; key < keys; key++)
        put(rig, key, value_bytes);
}

static struct engine_rig *begin(struct reactor *r, uint32_t value_log_bytes_min)
{
    struct engine_rig *rig = engine_rig_make();
    rig->options.value_log_bytes_min = value_log_bytes_min;
    engine_rig_open(rig, r);
    return rig;
}

static void end(struct engine_rig *rig)
{
    engine_rig_close(rig);
    engine_rig_free(rig);
}

struct found_files {
    uint64_t numbers[FILES_MAX];
    uint32_t count;
};

static int note_file(void *context, const char *name)
{
    struct found_files *f = context;
    uint64_t number;
    if (values_name_parse(name, &number) && f->count < FILES_MAX)
        f->numbers[f->count++] = number;
    return 0;
}

static struct found_files files_of(const struct engine_rig *rig)
{
    struct found_files f = {.count = 0};
    CU_ASSERT_EQUAL(directory_list(rig->reactor, rig->options.directory, note_file, &f), 0);
    return f;
}

static void path_of(const struct engine_rig *rig, uint64_t number, char path[512])
{
    snprintf(path, 512, "%s/values-%016llx.log", rig->options.directory, (unsigned long long)number);
}

static void lose_file(struct engine_rig *rig, uint64_t number)
{
    char path[512];
    path_of(rig, number, path);
    CU_ASSERT_EQUAL(file_remove(rig->reactor, path), 0);
}

/* ---- where they are ---- */

TEST_IN_REACTOR(large_values_leave_the_table_when_a_memtable_is_flushed)
{
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, 40, LARGE);
    engine_rig_settle(rig);
    struct engine_counters c = engine_counters(rig->engine);
    uint64_t files = c.value_files;
    CU_ASSERT(files >= 1 && files <= c.tables); /* a table that was made has one file */
    CU_ASSERT(c.value_live_bytes == c.value_bytes && c.value_bytes > 40000);
    CU_ASSERT_EQUAL(files_of(rig).count, files);
    CU_ASSERT(c.table_bytes < c.value_bytes);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    CU_ASSERT(engine_counters(rig->engine).value_reads > 0);
    engine_rig_reopen(rig);
    c = engine_counters(rig->engine);
    CU_ASSERT(c.value_files == files && c.value_live_bytes == c.value_bytes);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    end(rig);
}

TEST_IN_REACTOR(values_stay_in_tables_when_none_is_large_enough)
{
    struct engine_rig *rig = begin(r, UINT32_MAX);
    flush_some(rig, 200, 2);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).value_files, 0);
    CU_ASSERT_EQUAL(files_of(rig).count, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    end(rig);
}

TEST_IN_REACTOR(a_value_read_twice_comes_from_the_row_cache)
{
    struct engine_rig *rig = begin(r, 0);
    put(rig, 1, LARGE);
    flush_some(rig, 200, 1);
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check(rig, 1));
    uint64_t reads = engine_counters(rig->engine).value_reads;
    CU_ASSERT(engine_rig_check(rig, 1));
    CU_ASSERT_EQUAL(engine_counters(rig->engine).value_reads, reads);
    end(rig);
}

TEST_IN_REACTOR(values_of_any_threshold_are_read_whatever_it_is_now)
{
    struct engine_rig *rig = begin(r, UINT32_MAX);
    flush_some(rig, 300, 3);
    engine_rig_close(rig);
    rig->options.value_log_bytes_min = 64;
    engine_rig_open(rig, r);
    flush_some(rig, 300, 6);
    CU_ASSERT(engine_counters(rig->engine).value_files > 0);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    rig->options.value_log_bytes_min = UINT32_MAX;
    engine_rig_open(rig, r);
    CU_ASSERT(engine_rig_check_all(rig));
    flush_some(rig, 300, 6);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    end(rig);
}

TEST_IN_REACTOR(the_largest_values_go_to_logs_and_come_back)
{
    struct engine_rig *rig = begin(r, 0);
    for (uint32_t i = 0; i < 12; i++)
        put(rig, i * 5, VALUE_BYTES_MAX - i * 1000);
    engine_rig_settle(rig);
    CU_ASSERT(engine_counters(rig->engine).value_bytes > 8 * VALUE_BYTES_MAX);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    engine_rig_reopen(rig);
    CU_ASSERT(engine_rig_check_all(rig));
    end(rig);
}

static uint64_t reads_of_a_scan(struct engine_rig *rig)
{
    uint64_t before = engine_counters(rig->engine).value_reads;
    CU_ASSERT(engine_rig_check_scan(rig));
    return engine_counters(rig->engine).value_reads - before;
}

TEST_IN_REACTOR(a_scan_reads_values_of_a_file_ahead)
{
    enum { KEYS = 60 };
    struct engine_rig *rig = begin(r, 0);
    rig->is_one_vnode = true;
    put_all(rig, KEYS, LARGE);
    engine_rig_settle(rig);
    uint64_t files = engine_counters(rig->engine).value_files;
    CU_ASSERT(files > 2);
    CU_ASSERT(reads_of_a_scan(rig) <= KEYS / 2);
    put_all(rig, KEYS, 200 * 1000); /* and the largest of them in one piece each */
    engine_rig_settle(rig);
    CU_ASSERT(reads_of_a_scan(rig) <= KEYS);
    end(rig);
}

/* Returns: the values that it read from the disk. */
static uint64_t scan_range(struct engine_rig *rig, const struct engine_range *range, uint32_t records)
{
    uint64_t before = engine_counters(rig->engine).value_reads;
    struct engine_cursor *c;
    struct record record;
    uint32_t seen = 0;
    CU_ASSERT_EQUAL_FATAL(engine_cursor_open_range(rig->engine, range, &c), 0);
    for (; engine_cursor_next(c, &record) == ENGINE_CURSOR_RECORD; seen++)
        CU_ASSERT(!(record.flags & RECORD_SEPARATED));
    engine_cursor_close(c);
    CU_ASSERT_EQUAL(seen, records);
    return engine_counters(rig->engine).value_reads - before;
}

TEST_IN_REACTOR(a_scan_of_keys_reads_no_value_and_one_backward_reads_ahead)
{
    enum { KEYS = 40 };
    struct engine_rig *rig = begin(r, 0);
    rig->is_one_vnode = true;
    put_all(rig, KEYS, LARGE);
    engine_rig_settle(rig);
    struct engine_range range = {
        .from = {.vnode = RIG_VNODE_FIRST},
        .to = {.vnode = ENGINE_VNODE_END},
        .now_ms = engine_rig_now_ms(rig),
        .is_keys_only = true,
    };
    CU_ASSERT_EQUAL(scan_range(rig, &range, KEYS), 0);
    range.is_keys_only = false;
    range.is_backward = true;
    uint64_t reads = scan_range(rig, &range, KEYS);
    CU_ASSERT(reads > 0 && reads <= KEYS / 2);
    end(rig);
}

static int answer_at(struct engine_rig *rig, uint32_t key, uint64_t now_ms)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key record_key = engine_rig_key(rig, key, memory);
    struct engine_key k;
    struct record record;
    struct engine_hold hold = {.buffer = NULL};
    engine_key_init(rig->engine, &k, &record_key);
    int answer = engine_get_wait(rig->engine, &k, now_ms, &record, &hold);
    engine_release(rig->engine, &hold);
    int at_once = engine_get(rig->engine, &k, now_ms, &record); /* its block is in the cache now */
    CU_ASSERT_EQUAL(at_once, answer);
    return answer;
}

TEST_IN_REACTOR(a_value_that_has_expired_is_not_read)
{
    struct engine_rig *rig = begin(r, 0);
    uint64_t expiry_ms = engine_rig_now_ms(rig) + 1000 * 1000;
    engine_rig_put(rig, &(struct rig_put){.key = 1,
                                          .value_bytes = LARGE,
                                          .flags = RECORD_EXPIRING,
                                          .expiry_ms = expiry_ms});
    for (uint32_t key = 2; key < 30; key++)
        put(rig, key, LARGE);
    engine_rig_settle(rig);
    engine_rig_reopen(rig);
    CU_ASSERT(engine_counters(rig->engine).value_files > 0);
    CU_ASSERT_EQUAL(answer_at(rig, 1, expiry_ms), ENGINE_ABSENT);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).value_reads, 0);
    CU_ASSERT_EQUAL(answer_at(rig, 1, expiry_ms - 1), ENGINE_FOUND); /* as when the clock is set back */
    CU_ASSERT_EQUAL(engine_counters(rig->engine).value_reads, 1);
    CU_ASSERT_EQUAL(answer_at(rig, 1, expiry_ms), ENGINE_ABSENT);
    end(rig);
}

/* ---- merges and garbage ---- */

TEST_IN_REACTOR(values_are_written_in_the_share_of_the_disk_of_their_table)
{
    enum { KEYS = 100, ROUNDS = 8 };
    struct engine_rig *rig = begin(r, 0);
    for (uint32_t i = 0; i < ROUNDS * KEYS; i++)
        put(rig, (uint32_t)engine_rig_random(rig, KEYS), LARGE);
    engine_rig_settle(rig);
    struct engine_counters c = engine_counters(rig->engine);
    struct disk_counters d = disk_counters(rig->engine->disk);
    CU_ASSERT(c.value_bytes_moved > 0);
    CU_ASSERT(d.bytes[DISK_FLUSH] >= c.value_bytes_written - c.value_bytes_moved);
    CU_ASSERT(d.bytes[DISK_COMPACTION] >= 2 * c.value_bytes_moved); /* read and written */
    end(rig);
}

TEST_IN_REACTOR(merges_copy_pointers_and_leave_values_where_they_are)
{
    struct engine_rig *rig = begin(r, 0);
    uint64_t written = 0;
    for (uint32_t key = 0; engine_counters(rig->engine).compactions < 2 && key < RIG_KEYS; key++) {
        put(rig, key, LARGE);
        written += LARGE;
    }
    engine_rig_settle(rig);
    struct engine_counters c = engine_counters(rig->engine);
    CU_ASSERT(c.compactions >= 2);
    CU_ASSERT(c.value_bytes_moved == 0 && c.value_bytes_written <= written);
    CU_ASSERT_EQUAL(c.value_live_bytes, c.value_bytes);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    end(rig);
}

/* The limit of a table counts the values that it points to, so what it is a part of must, too. */
TEST_IN_REACTOR(a_merge_of_a_tier_is_cut_into_few_tables_however_large_values_are)
{
    enum { RUNS = 8, RUN_TABLES = 32, EACH = RIG_KEYS / RUNS };
    struct engine_rig *rig = engine_rig_make();
    rig->options.memtable_bytes = 32 << 20;
    rig->options.log_bytes_max = 64 << 20;
    rig->options.table_bytes_max = 64 << 20;
    rig->options.runs_max = RUNS - 1;
    engine_rig_open(rig, r);
    for (uint32_t run = 0; run < RUNS; run++) {
        for (uint32_t i = 0; i < EACH; i++)
            engine_rig_put(rig, &(struct rig_put){.key = run + i * RUNS, .value_bytes = 12000});
        engine_rig_await(rig);
        CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    }
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL_FATAL(engine_counters(rig->engine).compactions, 1);
    CU_ASSERT_EQUAL(rig->engine->tables->run_count, 1);
    CU_ASSERT(rig->engine->tables->count >= RUN_TABLES && rig->engine->tables->count <= RUN_TABLES + 1);
    CU_ASSERT(engine_rig_check_all(rig));
    end(rig);
}

TEST_IN_REACTOR(garbage_is_collected_and_its_files_are_removed)
{
    enum { KEYS = 100, ROUNDS = 30 };
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    for (uint32_t i = 0; i < ROUNDS * KEYS; i++)
        put(rig, (uint32_t)engine_rig_random(rig, KEYS), LARGE);
    flush_some(rig, KEYS, 1);
    struct engine_counters c = engine_counters(rig->engine);
    CU_ASSERT(c.value_bytes_moved > 0 && c.value_bytes_removed > 0);
    CU_ASSERT(c.value_bytes < 4 * KEYS * LARGE); /* of thirty times as much */
    CU_ASSERT(c.value_bytes - c.value_live_bytes < c.value_bytes / 5 + rig->options.memtable_bytes);
    CU_ASSERT_EQUAL(files_of(rig).count, c.value_files);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_reopen(rig);
    CU_ASSERT_EQUAL(files_of(rig).count, engine_counters(rig->engine).value_files);
    CU_ASSERT(engine_rig_check_all(rig));
    end(rig);
}

/* None of them has less than the average, however it is rounded. */
TEST_IN_REACTOR(files_with_equal_shares_of_garbage_are_collected)
{
    struct engine_rig *rig = begin(r, 0);
    char path[512];
    struct value_file files[] = {{.number = 1, .bytes = 100000, .share_bytes = 100000},
                                 {.number = 2, .bytes = 900, .share_bytes = 900}};
    struct value_use uses[] = {{&files[0], 10000}, {&files[1], 90}};
    struct value_refs refs = {.uses = uses, .count = ARRAY_COUNT(uses)};
    snprintf(path, sizeof path, "%s/MANIFEST-A", rig->options.directory);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_READ, &files[0].file), 0);
    files[1].file = files[0].file;
    values_count(rig->engine, &refs, true);
    CU_ASSERT(values_is_collected(rig->engine, &files[0]));
    CU_ASSERT(values_is_collected(rig->engine, &files[1]));
    CU_ASSERT_EQUAL(values_collectable_bytes(rig->engine, &refs), 10090);
    values_count(rig->engine, &refs, false);
    file_close(r, files[0].file);
    end(rig);
}

TEST_IN_REACTOR(a_file_whose_tables_are_gone_is_removed)
{
    struct engine_rig *rig = begin(r, 0);
    flush_some(rig, 40, 2);
    for (uint32_t key = 0; key < 40; key++)
        engine_rig_put(rig, &(struct rig_put){.key = key, .flags = RECORD_TOMBSTONE});
    uint64_t flushes = engine_counters(rig->engine).flushes + 8;
    for (uint32_t key = 1000; engine_counters(rig->engine).flushes < flushes && key < RIG_KEYS; key++)
        put(rig, key, 500);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(engine_counters(rig->engine).value_live_bytes, 0);
    CU_ASSERT_EQUAL(files_of(rig).count, 0);
    CU_ASSERT(engine_rig_check_all(rig));
    end(rig);
}

TEST_IN_REACTOR(a_table_points_into_a_bounded_number_of_files)
{
    struct engine_rig *rig = engine_rig_make();
    rig->options.memtable_bytes = 4 << 10;
    rig->options.value_log_bytes_min = 64;
    engine_rig_open(rig, r);
    for (uint32_t key = 0; key < 1500; key++)
        put(rig, key * 7 % 1500, 400); /* so that each file has keys of the whole range */
    engine_rig_settle(rig);
    uint32_t most = 0;
    const struct table_set *set = rig->engine->tables;
    for (uint32_t i = 0; i < set->count; i++)
        most = set->tables[i]->values.count > most ? set->tables[i]->values.count : most;
    CU_ASSERT(most > 1 && most <= VALUE_REFERENCES_MAX);
    CU_ASSERT(engine_counters(rig->engine).flushes > VALUE_REFERENCES_MAX);
    CU_ASSERT(engine_rig_check_all(rig));
    CU_ASSERT(engine_rig_check_scan(rig));
    end(rig);
}

TEST_IN_REACTOR(a_new_value_log_that_is_not_there_leaves_others_as_they_were)
{
    struct engine_rig *rig = begin(r, 0);
    flush_some(rig, 100, 1);
    struct value_file *f = values_find_next(rig->engine->values, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    uint8_t row[2 * VALUE_REFERENCE_BYTES];
    const struct value_reference known = {.file = f->number, .bytes = 8, .file_bytes = f->bytes};
    const struct value_reference made = {.file = UINT64_MAX, .bytes = 8, .file_bytes = 8};
    value_reference_encode(row, &known);
    value_reference_encode(row + VALUE_REFERENCE_BYTES, &made);
    uint32_t references = f->references;
    struct value_refs refs;
    int rc = values_hold(rig->engine, slice_of(row, sizeof row), made.file, &refs);
    CU_ASSERT_EQUAL(rc, TORC_E_STORAGE);
    CU_ASSERT_EQUAL(f->references, references);
    CU_ASSERT(!f->is_kept); /* it goes with the last table that points into it */
    CU_ASSERT_PTR_NULL(values_find(rig->engine->values, made.file));
    end(rig);
}

TEST_IN_REACTOR(a_value_log_that_nothing_names_is_removed_at_the_start)
{
    struct engine_rig *rig = begin(r, 0);
    flush_some(rig, 100, 1);
    uint64_t named = engine_counters(rig->engine).value_files;
    engine_rig_close(rig);
    char path[512];
    struct file *f;
    path_of(rig, 0xff, path);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
    file_close(r, f);
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(files_of(rig).count, named);
    CU_ASSERT(engine_rig_check_all(rig));
    end(rig);
}

/* ---- damage ---- */

/* Keys below `keys` that answer CORRUPT; all others are as they should be. */
static uint32_t count_corrupt(struct engine_rig *rig, uint32_t keys)
{
    uint32_t corrupt = 0;
    for (uint32_t key = 0; key < keys; key++) {
        bool is_corrupt = engine_rig_answer(rig, key) == TORC_E_CORRUPT;
        CU_ASSERT(is_corrupt || engine_rig_check(rig, key));
        corrupt += is_corrupt;
    }
    return corrupt;
}

TEST_IN_REACTOR(a_missing_value_log_costs_its_own_keys_only)
{
    enum { KEYS = 60 };
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    for (uint32_t key = 0; key < KEYS; key += 2)
        put(rig, key, SMALL);
    engine_rig_settle(rig);
    engine_rig_close(rig);
    struct found_files files = files_of(rig);
    CU_ASSERT_FATAL(files.count >= 2);
    lose_file(rig, files.numbers[0]);
    engine_rig_open(rig, r);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "values_unreadable");
    CU_ASSERT_EQUAL(engine_counters(rig->engine).value_files_damaged, 1);
    uint32_t corrupt = count_corrupt(rig, KEYS);
    CU_ASSERT(corrupt > 0 && corrupt < KEYS / 2 + 1);
    flush_some(rig, 5, 12); /* and merges, which carry the pointers on */
    CU_ASSERT(engine_counters(rig->engine).compactions > 0);
    uint32_t left = count_corrupt(rig, KEYS);
    CU_ASSERT(left + 5 >= corrupt && left <= corrupt);
    put_all(rig, KEYS, LARGE); /* newer versions */
    CU_ASSERT_EQUAL(count_corrupt(rig, KEYS), 0);
    CU_ASSERT(engine_rig_check_scan(rig));
    end(rig);
}

static void overwrite_some(struct reactor *r, const char *path, uint64_t offset)
{
    static const uint8_t noise[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    damage_overwrite(r, path, offset, slice_of(noise, sizeof noise));
}

/* Some bytes of the first value log. */
static void spoil(struct engine_rig *rig, uint64_t offset)
{
    struct found_files files = files_of(rig);
    char path[512];
    CU_ASSERT_FATAL(files.count > 0);
    path_of(rig, files.numbers[0], path);
    overwrite_some(rig->reactor, path, offset);
}

/* Keys that answered CORRUPT before answer as deleted, all others as ever; and so after a start. */
static void check_given_up(struct engine_rig *rig, uint32_t keys, const bool *was_corrupt)
{
    for (int life = 0; life < 2; life++) {
        for (uint32_t key = 0; key < keys; key++)
            CU_ASSERT(was_corrupt[key] ? engine_rig_answer(rig, key) == ENGINE_ABSENT
                                       : engine_rig_check(rig, key));
        CU_ASSERT_EQUAL(engine_rig_try_snapshot(rig), 0);
        CU_ASSERT_EQUAL(engine_counters(rig->engine).value_files_damaged, 0);
        engine_rig_reopen(rig);
    }
}

static uint32_t note_corrupt(struct engine_rig *rig, uint32_t keys, bool *is_corrupt)
{
    uint32_t count = 0;
    for (uint32_t key = 0; key < keys; key++) {
        is_corrupt[key] = engine_rig_answer(rig, key) == TORC_E_CORRUPT;
        count += is_corrupt[key];
    }
    return count;
}

TEST_IN_REACTOR(a_missing_value_log_is_given_up_and_nothing_older_comes_to_light)
{
    enum { KEYS = 60 };
    bool is_corrupt[KEYS];
    struct engine_rig *rig = begin(r, 0);
    flush_some(rig, KEYS, 3); /* older versions of all keys */
    put_all(rig, KEYS, LARGE);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    engine_rig_settle(rig);
    engine_rig_close(rig);
    struct found_files files = files_of(rig);
    CU_ASSERT_FATAL(files.count >= 3);
    for (uint32_t i = 0; i < files.count; i += 2)
        lose_file(rig, files.numbers[i]);
    engine_rig_open(rig, r);
    CU_ASSERT_FATAL(note_corrupt(rig, KEYS, is_corrupt) > 0);
    CU_ASSERT_EQUAL(engine_rig_try_snapshot(rig), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "loss_accepted");
    check_given_up(rig, KEYS, is_corrupt);
    flush_some(rig, 1, 12); /* and merges */
    is_corrupt[0] = false;
    check_given_up(rig, KEYS, is_corrupt);
    end(rig);
}

TEST_IN_REACTOR(a_damaged_value_log_is_given_up_but_for_the_values_that_are_whole)
{
    enum { KEYS = 20 };
    bool is_corrupt[KEYS];
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    engine_rig_settle(rig);
    engine_rig_close(rig);
    uint64_t spoilt = files_of(rig).numbers[0];
    spoil(rig, 100);
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(note_corrupt(rig, KEYS, is_corrupt), 1);
    engine_rig_reopen(rig); /* nobody has met the damage in this life */
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "loss_accepted");
    check_given_up(rig, KEYS, is_corrupt);
    struct found_files files = files_of(rig);
    for (uint32_t i = 0; i < files.count; i++)
        CU_ASSERT(files.numbers[i] != spoilt);
    rig->last_event[0] = '\0';
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0); /* there is none any more */
    CU_ASSERT_STRING_EQUAL(rig->last_event, "");
    end(rig);
}

TEST_IN_REACTOR(a_lost_value_log_goes_with_the_damaged_blocks_that_point_into_it)
{
    enum { KEYS = 8 };
    char path[512];
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    engine_rig_settle(rig);
    engine_rig_close(rig);
    uint64_t number = files_of(rig).numbers[0]; /* that of its table, too */
    lose_file(rig, number);
    snprintf(path, sizeof path, "%s/table-%016llx.sst", rig->options.directory, (unsigned long long)number);
    overwrite_some(r, path, 100);
    engine_rig_open(rig, r);
    CU_ASSERT(count_corrupt(rig, KEYS) > 0);
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "loss_accepted");
    for (int life = 0; life < 2; life++) {
        for (uint32_t key = 0; key < KEYS; key++)
            CU_ASSERT_NOT_EQUAL(engine_rig_answer(rig, key), TORC_E_CORRUPT);
        CU_ASSERT_EQUAL(engine_rig_try_snapshot(rig), 0);
        engine_rig_reopen(rig);
    }
    end(rig);
}

/* As when a round that moves values is cut short: two tables have all versions, in two value logs. */
static void copy_newest_run(struct engine_rig *rig)
{
    struct engine *e = rig->engine;
    struct table_set *set = e->tables;
    struct value_file *f = set->runs[0].tables[0]->values.uses[0].file;
    struct merge merge;
    struct table_losses losses;
    struct build build = {.merge = &merge, .losses = &losses};
    table_set_hold(set);
    CU_ASSERT_EQUAL_FATAL(merge_init(&merge, e->reactor, 1), 0);
    merge_add_run(&merge, &set->runs[0], TABLE_CURSOR_BULK);
    f->is_damaged = true;
    CU_ASSERT_EQUAL(engine_build_tables(e, &build), 0);
    f->is_damaged = false;
    struct tables_change change = {.added = build.tables, .added_count = build.count};
    CU_ASSERT_EQUAL(engine_change_tables(e, &change), 0);
    build_deinit(e, &build);
    merge_deinit(&merge);
    table_set_release(set);
}

/* Two tables have all keys, and the values of one are lost. */
static struct engine_rig *begin_with_a_lost_copy(struct reactor *r)
{
    enum { KEYS = 8 };
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    engine_rig_settle(rig);
    copy_newest_run(rig);
    engine_rig_close(rig);
    struct found_files files = files_of(rig);
    CU_ASSERT_FATAL(files.count >= 2);
    lose_file(rig, files.numbers[files.count - 2]);
    engine_rig_open(rig, r);
    return rig;
}

TEST_IN_REACTOR(a_value_that_another_table_has_is_not_given_up)
{
    struct engine_rig *rig = begin_with_a_lost_copy(r);
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "loss_accepted");
    for (int life = 0; life < 2; life++) {
        CU_ASSERT(engine_rig_check_all(rig));
        CU_ASSERT(engine_rig_check_scan(rig));
        CU_ASSERT_EQUAL(engine_rig_try_snapshot(rig), 0);
        engine_rig_reopen(rig);
    }
    end(rig);
}

/* The copy that is left is in a table that the round has passed but for its last key. */
TEST_IN_REACTOR(a_round_that_goes_on_leaves_the_only_copy_of_a_value_where_it_is)
{
    struct engine_rig *rig = begin_with_a_lost_copy(r);
    struct engine *e = rig->engine;
    const struct record_key last = table_summary(e->tables->tables[0]->table)->largest;
    round_set_position(e, &last);
    for (uint32_t i = 0; i < e->tables->count; i++)
        e->tables->tables[i]->is_awaited = true;
    CU_ASSERT_EQUAL(engine_accept_loss(e), 0);
    engine_rig_settle(rig);
    e->is_compacting = true; /* by this task */
    e->is_idle = false;      /* a round of idleness would begin anew */
    CU_ASSERT_EQUAL(round_merge_fragment(e), 0);
    e->is_compacting = false;
    CU_ASSERT(engine_rig_check_all(rig));
    end(rig);
}

static int answer_at_once(struct engine_rig *rig, uint32_t key)
{
    char memory[RIG_KEY_BYTES_MAX];
    struct record_key record_key = engine_rig_key(rig, key, memory);
    struct engine_key k;
    struct record record;
    engine_key_init(rig->engine, &k, &record_key);
    return engine_get(rig->engine, &k, engine_rig_now_ms(rig), &record);
}

/* The row cache still has a value that the disk lost meanwhile. */
TEST_IN_REACTOR(a_value_that_is_given_up_is_not_answered_from_memory)
{
    enum { KEYS = 4 };
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    engine_rig_settle(rig);
    for (uint32_t key = 0; key < KEYS; key++) {
        CU_ASSERT_EQUAL(engine_rig_answer(rig, key), ENGINE_FOUND);
        CU_ASSERT_EQUAL(answer_at_once(rig, key), ENGINE_FOUND);
    }
    spoil(rig, 100);
    CU_ASSERT_EQUAL(engine_accept_loss(rig->engine), 0);
    uint32_t absent = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        int at_once = answer_at_once(rig, key);
        bool is_absent = engine_rig_answer(rig, key) == ENGINE_ABSENT;
        CU_ASSERT(!is_absent || at_once != ENGINE_FOUND);
        absent += is_absent;
    }
    CU_ASSERT_EQUAL(absent, 1);
    end(rig);
}

static void try_damage(struct reactor *r, uint64_t offset)
{
    enum { KEYS = 20 };
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    engine_rig_settle(rig);
    engine_rig_close(rig);
    spoil(rig, offset);
    engine_rig_open(rig, r);
    CU_ASSERT_EQUAL(count_corrupt(rig, KEYS), 1);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "value_damaged");
    CU_ASSERT(engine_counters(rig->engine).corruptions > 0);
    /* Overwritten but for those in the file that is damaged: it is not collected, and nothing is lost. */
    for (uint32_t round = 0; round < 20; round++)
        for (uint32_t key = KEYS; key < 2 * KEYS; key++)
            put(rig, key, LARGE);
    engine_rig_settle(rig);
    CU_ASSERT_EQUAL(count_corrupt(rig, 2 * KEYS), 1);
    engine_rig_reopen(rig);
    CU_ASSERT_EQUAL(count_corrupt(rig, 2 * KEYS), 1);
    end(rig);
}

TEST_IN_REACTOR(a_damaged_value_costs_one_key)
{
    try_damage(r, VALUE_HEADER_BYTES + 100);
}

TEST_IN_REACTOR(a_damaged_header_of_a_value_costs_one_key)
{
    try_damage(r, 0);
}

TEST_IN_REACTOR(a_scan_ends_at_a_value_that_cannot_be_read_and_goes_on_behind_it)
{
    enum { KEYS = 20 };
    struct engine_rig *rig = begin(r, 0);
    rig->is_one_vnode = true;
    put_all(rig, KEYS, LARGE);
    engine_rig_settle(rig);
    engine_rig_close(rig);
    spoil(rig, 50);
    engine_rig_open(rig, r);
    struct engine_cursor *c;
    struct record record;
    uint32_t seen = 0;
    int rc = engine_cursor_open(rig->engine, &(struct record_key){.vnode = RIG_VNODE_FIRST},
                                engine_rig_now_ms(rig), &c);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    while ((rc = engine_cursor_next(c, &record)) == 1)
        seen++;
    CU_ASSERT_EQUAL(rc, TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(engine_cursor_next(c, &record), TORC_E_CORRUPT); /* nothing is passed over */
    uint32_t bad = 0;
    while (bad < KEYS && engine_rig_answer(rig, bad) != TORC_E_CORRUPT)
        bad++;
    char memory[RIG_KEY_BYTES_MAX] = "";
    struct record_key behind = engine_rig_key(rig, bad, memory);
    behind.subkey = slice_of_string("~");
    CU_ASSERT_EQUAL(engine_cursor_seek(c, &behind), 0);
    while ((rc = engine_cursor_next(c, &record)) == 1)
        seen++;
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(seen, KEYS - 1);
    engine_cursor_close(c);
    end(rig);
}

TEST_IN_REACTOR(a_value_log_that_was_cut_off_is_told_at_the_start)
{
    enum { KEYS = 20 };
    struct engine_rig *rig = begin(r, 0);
    put_all(rig, KEYS, LARGE);
    engine_rig_settle(rig);
    engine_rig_close(rig);
    struct found_files files = files_of(rig);
    CU_ASSERT_FATAL(files.count > 0);
    struct file *f;
    char path[512];
    path_of(rig, files.numbers[0], path);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE, &f), 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, 2 * LARGE), 0);
    file_close(r, f);
    engine_rig_open(rig, r);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "values_unreadable");
    uint32_t corrupt = count_corrupt(rig, KEYS);
    CU_ASSERT(corrupt > 5 && corrupt < KEYS);
    end(rig);
}
