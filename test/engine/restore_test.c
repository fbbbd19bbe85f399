/* restore_test.c - a shard made anew of a snapshot and of the archive of the log, as of any moment. */
#include "engine/restore.h"

#include "engine/copy.h"
#include "engine/engine_internal.h"
#include "engine/snapshot.h"
#include "test/engine/damage.h"
#include "test/engine/engine_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 300 };

static const char *path_of(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", test_directory(), name);
    return path;
}

static void write_some(struct engine_rig *rig, uint32_t count)
{
    static const struct rig_mix mix = {.keys = KEYS, .value_bytes_end = 4000, .deleting_one_in = 6};
    engine_rig_put_mix(rig, &mix, count);
    engine_rig_await(rig);
}

static uint32_t *remember(const struct engine_rig *rig)
{
    uint32_t *last = malloc(sizeof rig->last);
    ASSERT(last);
    return memcpy(last, rig->last, sizeof rig->last);
}

/* Where all that is made stands, and the facts of the snapshot. */
struct place {
    char snapshot[256];
    char manifest[300];
    char archive[256];
    char history[300];
    char restored[256];
    struct engine_snapshot_facts facts;
    struct engine_options options; /* of the restored shard */
};

static void place_init(struct place *p)
{
    path_of(p->snapshot, "snapshot");
    path_of(p->archive, "archive");
    path_of(p->restored, "restored");
    snprintf(p->manifest, sizeof p->manifest, "%s/MANIFEST-A", p->snapshot);
}

static void take_snapshot(struct engine_rig *rig, struct place *p)
{
    struct engine_snapshot *snapshot;
    uint64_t clock;
    CU_ASSERT_EQUAL_FATAL(engine_snapshot_begin(rig->engine, &snapshot, &clock), 0);
    CU_ASSERT_EQUAL_FATAL(engine_snapshot_write(snapshot, p->snapshot, NULL, &p->facts), 0);
    engine_snapshot_end(snapshot);
    snprintf(p->history, sizeof p->history, "%s/log/%016llx", p->archive,
             (unsigned long long)p->facts.log_history);
}

struct linking {
    struct reactor *reactor;
    const struct place *place;
};

static int link_table(void *context, const char *name)
{
    struct linking *l = context;
    char from[600], to[600];
    if (strncmp(name, "table-", 6) != 0 && strncmp(name, "values-", 7) != 0)
        return 0;
    snprintf(from, sizeof from, "%s/%s", l->place->snapshot, name);
    snprintf(to, sizeof to, "%s/%s", l->place->restored, name);
    return file_link(l->reactor, from, to);
}

/* Returns: what engine_restore did; the restored directory is there. */
static int restore(struct reactor *r, const struct engine_rig *rig, struct place *p,
                   struct engine_restore *out)
{
    struct linking linking = {r, p};
    p->options = rig->options;
    p->options.directory = p->restored;
    p->options.archive = NULL;
    CU_ASSERT_EQUAL(directory_remove_all(r, p->restored, NULL), 0);
    CU_ASSERT_EQUAL(directory_create(r, p->restored), 0);
    CU_ASSERT_EQUAL(directory_list(r, p->snapshot, link_table, &linking), 0);
    out->options = &p->options;
    out->manifest = p->manifest;
    out->log = p->snapshot;
    out->start_segment = p->facts.start_segment;
    out->start_sequence = p->facts.start_sequence;
    out->end_segment = p->facts.end_segment;
    out->end_sequence = p->facts.end_sequence;
    out->end_checksum = p->facts.end_checksum;
    return engine_restore(r, out);
}

/* Every key is as it was when `last` was remembered. */
static void check(struct reactor *r, struct engine_rig *rig, const struct place *p, const uint32_t *last)
{
    struct engine_rig *copy = engine_rig_make();
    char why[256] = "";
    copy->reactor = r;
    copy->options.directory = p->restored;
    CU_ASSERT_EQUAL_FATAL(engine_open(r, &copy->options, &copy->engine, why, sizeof why), 0);
    uint32_t wrong = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        struct record record;
        struct engine_hold hold = {.buffer = NULL};
        int answer = engine_rig_get(copy, key, &record, &hold);
        bool is_dead = last[key] == 0 || rig->writes[last[key]].flags & RECORD_TOMBSTONE;
        if (is_dead)
            wrong += answer != ENGINE_ABSENT;
        else
            wrong += answer != ENGINE_FOUND || record.version.clock != last[key];
        engine_release(copy->engine, &hold);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    engine_close(copy->engine);
    engine_rig_free(copy);
}

/* A shard whose log is archived, after so many writes. */
static struct engine_rig *begin_archived(struct reactor *r, struct place *p, uint32_t count)
{
    struct engine_rig *rig = engine_rig_make();
    place_init(p);
    rig->options.archive = p->archive;
    engine_rig_open(rig, r);
    write_some(rig, count);
    return rig;
}

TEST_IN_REACTOR(a_shard_is_restored_as_it_was_at_any_moment_of_the_archive)
{
    struct place p;
    uint32_t *lasts[4];
    uint64_t clocks[4];
    struct engine_rig *rig = begin_archived(r, &p, 3000);
    lasts[0] = remember(rig);
    clocks[0] = rig->count; /* the rig's versions are the numbers of its writes */
    take_snapshot(rig, &p);
    for (int i = 1; i < 4; i++) {
        write_some(rig, 2500);
        if (i == 2) { /* another life of the same log */
            engine_rig_close(rig);
            engine_rig_open(rig, r);
        }
        lasts[i] = remember(rig);
        clocks[i] = rig->count;
    }
    write_some(rig, 10);
    for (unsigned i = 0; i < 3000 && engine_counters(rig->engine).log_archived == 0; i++)
        task_sleep(r, 10 * 1000 * 1000);
    CU_ASSERT(engine_counters(rig->engine).log_archived > 0);
    engine_rig_close(rig); /* archives the rest */
    for (int i = 0; i < 4; i++) {
        struct engine_restore restored = {.archive = p.history, .clock_max = clocks[i]};
        CU_ASSERT_EQUAL_FATAL(restore(r, rig, &p, &restored), 0);
        CU_ASSERT(restored.is_reached);
        CU_ASSERT(restored.clock_reached <= clocks[i]);
        check(r, rig, &p, lasts[i]);
        free(lasts[i]);
    }
    engine_rig_free(rig);
}

/* After a start, and written to since. Closed. *last is freed by the caller. */
static struct engine_rig *begin_copied_when_idle(struct reactor *r, struct place *p, uint32_t **last)
{
    struct engine_rig *rig = begin_archived(r, p, 100);
    engine_rig_reopen(rig);
    take_snapshot(rig, p);
    write_some(rig, 100);
    *last = remember(rig);
    engine_rig_close(rig);
    return rig;
}

TEST_IN_REACTOR(an_idle_shard_is_copied_after_a_start_and_the_archive_goes_on_from_there)
{
    struct place p;
    uint32_t *last;
    struct engine_rig *rig = begin_copied_when_idle(r, &p, &last);
    char file[400];
    snprintf(file, sizeof file, "%s/wal-%016llx.log", p.history, (unsigned long long)p.facts.end_segment);
    CU_ASSERT_EQUAL(file_probe(r, file), 0); /* what connects the two */
    struct engine_restore restored = {.archive = p.history, .clock_max = UINT64_MAX};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), 0);
    check(r, rig, &p, last);
    free(last);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(a_restore_without_an_archive_is_of_the_snapshot)
{
    struct engine_rig *rig = engine_rig_make();
    struct place p;
    place_init(&p);
    engine_rig_open(rig, r);
    write_some(rig, 2000);
    uint32_t *last = remember(rig);
    uint64_t clock = rig->count;
    take_snapshot(rig, &p);
    write_some(rig, 2000);
    engine_rig_close(rig);
    struct engine_restore restored = {.clock_max = clock};
    CU_ASSERT_EQUAL_FATAL(restore(r, rig, &p, &restored), 0);
    CU_ASSERT(!restored.is_reached);
    check(r, rig, &p, last);
    free(last);
    engine_rig_free(rig);
}

/* What is in the archive from before the backup, and as many files as there are of it, is no matter. */
TEST_IN_REACTOR(a_restore_does_not_look_into_the_archive_of_before_the_backup)
{
    char path[400];
    struct place p;
    uint32_t *last;
    struct engine_rig *rig = begin_copied_when_idle(r, &p, &last);
    CU_ASSERT_FATAL(p.facts.end_segment > 0);
    snprintf(path, sizeof path, "%s/wal-%016llx.log", p.history, 0ull);
    int rc = file_remove(r, path);
    CU_ASSERT(rc == 0 || rc == -ENOENT);
    CU_ASSERT_EQUAL(directory_create(r, path), 0); /* which cannot be read as a file */
    struct engine_restore restored = {.archive = p.history, .clock_max = UINT64_MAX};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), 0);
    check(r, rig, &p, last);
    free(last);
    engine_rig_free(rig);
}

static void cut_manifest(struct reactor *r, const struct place *p, uint64_t bytes)
{
    struct file *f;
    CU_ASSERT_EQUAL_FATAL(file_open(r, p->manifest, FILE_WRITE, &f), 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, bytes), 0);
    file_close(r, f);
}

static void check_refused(struct reactor *r, const struct engine_rig *rig, struct place *p, int wanted)
{
    struct engine_restore restored = {.clock_max = UINT64_MAX};
    CU_ASSERT_EQUAL(restore(r, rig, p, &restored), wanted);
    CU_ASSERT(restored.why[0] != '\0');
}

TEST_IN_REACTOR(a_restore_of_a_manifest_that_is_damaged_or_missing_is_refused)
{
    static const uint64_t places[] = {0, 9, 40, 60, 130}; /* of header and content */
    struct engine_rig *rig = engine_rig_make();
    struct place p;
    place_init(&p);
    engine_rig_open(rig, r);
    write_some(rig, 2000);
    take_snapshot(rig, &p);
    engine_rig_close(rig);
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        damage_flip(r, p.manifest, places[i], 1);
        check_refused(r, rig, &p, TORC_E_CORRUPT);
        damage_flip(r, p.manifest, places[i], 1);
    }
    cut_manifest(r, &p, 140);
    check_refused(r, rig, &p, TORC_E_CORRUPT);
    cut_manifest(r, &p, 20);
    check_refused(r, rig, &p, TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(file_remove(r, p.manifest), 0);
    check_refused(r, rig, &p, -ENOENT);
    engine_rig_free(rig);
}

struct first {
    const char *prefix;
    char name[64];
};

static int find_first(void *context, const char *name)
{
    struct first *f = context;
    bool is_it = strncmp(name, f->prefix, strlen(f->prefix)) == 0;
    if (is_it)
        snprintf(f->name, sizeof f->name, "%s", name);
    return is_it;
}

static void halve_first(struct reactor *r, const struct place *p, const char *prefix)
{
    struct first first = {.prefix = prefix};
    struct file *f;
    char path[400];
    uint64_t bytes;
    CU_ASSERT_EQUAL_FATAL(directory_list(r, p->snapshot, find_first, &first), 1);
    snprintf(path, sizeof path, "%s/%s", p->snapshot, first.name);
    CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE, &f), 0);
    CU_ASSERT_EQUAL(file_size(r, f, &bytes), 0);
    CU_ASSERT_EQUAL(file_truncate(r, f, bytes / 2), 0);
    file_close(r, f);
}

TEST_IN_REACTOR(a_restore_of_a_table_or_a_value_log_that_cannot_be_opened_is_refused)
{
    static const char *const prefixes[] = {"values-", "table-"};
    struct engine_rig *rig = engine_rig_make();
    struct place p;
    place_init(&p);
    engine_rig_open(rig, r);
    write_some(rig, 2000);
    CU_ASSERT_EQUAL(engine_flush(rig->engine), 0);
    take_snapshot(rig, &p);
    engine_rig_close(rig);
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
        struct engine_restore restored = {.clock_max = UINT64_MAX};
        halve_first(r, &p, prefixes[i]);
        CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), TORC_E_CORRUPT);
        CU_ASSERT(strstr(restored.why, prefixes[i]) != NULL);
    }
    engine_rig_free(rig);
}

TEST_IN_REACTOR(a_restore_into_a_shard_of_other_vnodes_is_refused)
{
    struct engine_rig *rig = engine_rig_make();
    struct place p;
    place_init(&p);
    engine_rig_open(rig, r);
    write_some(rig, 200); /* in the log alone */
    take_snapshot(rig, &p);
    engine_rig_close(rig);
    rig->options.vnode_first = RIG_VNODE_FIRST + 1;
    check_refused(r, rig, &p, TORC_E_CONFIGURATION);
    engine_rig_free(rig);
}

/* The file of the archive at that place, from 1. */
struct search {
    uint64_t place;
    char name[64];
};

static int find_place(void *context, const char *name)
{
    struct search *o = context;
    snprintf(o->name, sizeof o->name, "%s", name);
    return --o->place == 0;
}

static void lose_file(struct reactor *r, const struct place *p, uint64_t place)
{
    struct search o = {.place = place};
    char path[400];
    CU_ASSERT_EQUAL_FATAL(directory_list(r, p->history, find_place, &o), 1);
    snprintf(path, sizeof path, "%s/%s", p->history, o.name);
    CU_ASSERT_EQUAL(file_remove(r, path), 0);
}

TEST_IN_REACTOR(a_restore_finds_that_a_file_of_the_archive_is_missing)
{
    struct place p;
    struct engine_rig *rig = begin_archived(r, &p, 100);
    take_snapshot(rig, &p);
    write_some(rig, 12000);
    engine_rig_close(rig);
    lose_file(r, &p, 2);
    struct engine_restore restored = {.archive = p.history, .clock_max = UINT64_MAX};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), TORC_E_CORRUPT);
    CU_ASSERT(strstr(restored.why, "missing") != NULL);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(a_restore_to_a_time_before_a_gap_of_the_archive_does_not_mind_it)
{
    struct place p;
    struct engine_rig *rig = begin_archived(r, &p, 100);
    take_snapshot(rig, &p);
    write_some(rig, 10);
    uint32_t *last = remember(rig);
    uint64_t clock = rig->count;
    write_some(rig, 12000);
    engine_rig_close(rig);
    lose_file(r, &p, 4);
    struct engine_restore restored = {.archive = p.history, .clock_max = clock};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), 0);
    CU_ASSERT(restored.is_reached);
    check(r, rig, &p, last);
    restored = (struct engine_restore){.archive = p.history, .clock_max = UINT64_MAX};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), TORC_E_CORRUPT);
    free(last);
    engine_rig_free(rig);
}

struct copying {
    struct reactor *reactor;
    const char *from;
    const char *to;
};

static int copy_one(void *context, const char *name)
{
    struct copying *c = context;
    struct copied copied;
    char from[600], to[600];
    snprintf(from, sizeof from, "%s/%s", c->from, name);
    snprintf(to, sizeof to, "%s/%s", c->to, name);
    return copy_file(c->reactor, &(struct copy_options){.from = from, .to = to}, &copied);
}

static void copy_directory(struct reactor *r, const char *from, const char *to)
{
    struct copying c = {r, from, to};
    CU_ASSERT_EQUAL(directory_remove_all(r, to, NULL), 0);
    CU_ASSERT_EQUAL(directory_create(r, to), 0);
    CU_ASSERT_EQUAL_FATAL(directory_list(r, from, copy_one, &c), 0);
}

TEST_IN_REACTOR(an_archive_does_not_take_the_log_of_another_past)
{
    struct place p;
    char older[256];
    struct engine_rig *rig = begin_archived(r, &p, 100);
    path_of(older, "older");
    engine_rig_close(rig);
    copy_directory(r, rig->options.directory, older);
    engine_rig_open(rig, r);
    write_some(rig, 100);
    engine_rig_reopen(rig); /* the same past: what is there is known, and no reason to complain */
    CU_ASSERT(engine_counters(rig->engine).log_archived == 0 && rig->events == 0);
    write_some(rig, 10);
    engine_rig_close(rig);
    copy_directory(r, older, rig->options.directory);
    engine_rig_open(rig, r);
    write_some(rig, 100);
    engine_rig_reopen(rig);
    for (int i = 0; i < 3000 && rig->events == 0; i++)
        task_sleep(r, 1000000);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "archive_failed");
    CU_ASSERT_EQUAL(engine_counters(rig->engine).log_archived, 0);
    int rc = -1;
    for (int i = 0; i < 10 && rc; i++) /* a try to archive may be under way in it */
        rc = directory_remove_all(r, p.archive, NULL);
    CU_ASSERT_EQUAL(rc, 0); /* moved away: it begins anew */
    for (int i = 0; i < 3000 && engine_counters(rig->engine).log_archived == 0; i++)
        task_sleep(r, 1000000);
    CU_ASSERT_STRING_EQUAL(rig->last_event, "archive_goes_on");
    engine_rig_close(rig);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(a_backup_is_not_restored_with_the_archive_of_another_past)
{
    struct engine_rig *rig = engine_rig_make();
    struct place p;
    char older[256];
    place_init(&p);
    path_of(older, "older");
    engine_rig_open(rig, r);
    write_some(rig, 100);
    engine_rig_close(rig);
    copy_directory(r, rig->options.directory, older);
    engine_rig_open(rig, r);
    write_some(rig, 30);
    uint32_t *last = remember(rig);
    uint64_t clock = rig->count;
    take_snapshot(rig, &p);
    CU_ASSERT(p.facts.end_checksum != 0);
    engine_rig_close(rig);
    copy_directory(r, older, rig->options.directory);
    rig->options.archive = p.archive; /* only the second past is in it, from where they part */
    engine_rig_open(rig, r);
    write_some(rig, 200);
    engine_rig_close(rig);
    struct engine_restore restored = {.archive = p.history, .clock_max = UINT64_MAX};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), TORC_E_CORRUPT);
    CU_ASSERT(strstr(restored.why, "set back to an older copy") != NULL);
    restored = (struct engine_restore){.clock_max = clock};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), 0);
    check(r, rig, &p, last);
    free(last);
    engine_rig_free(rig);
}

/* Both pasts have the file in which they part, and the second has not come as far as the backup. */
TEST_IN_REACTOR(a_backup_is_not_restored_with_the_archive_of_another_past_that_is_shorter)
{
    struct place p;
    char older[256];
    struct engine_rig *rig = begin_archived(r, &p, 100);
    path_of(older, "older");
    task_sleep(r, 50000000); /* until the log rests */
    copy_directory(r, rig->options.directory, older);
    for (int i = 0; i < 30; i++)
        write_some(rig, 1);
    take_snapshot(rig, &p);
    engine_rig_close(rig);
    copy_directory(r, older, rig->options.directory);
    engine_rig_open(rig, r);
    write_some(rig, 3);
    engine_rig_close(rig);
    struct engine_restore restored = {.archive = p.history, .clock_max = UINT64_MAX};
    CU_ASSERT_EQUAL(restore(r, rig, &p, &restored), TORC_E_CORRUPT);
    CU_ASSERT(strstr(restored.why, "set back to an older copy") != NULL);
    engine_rig_free(rig);
}

TEST_IN_REACTOR(a_log_that_cannot_be_archived_is_kept)
{
    struct engine_rig *rig = engine_rig_make();
    struct file *f;
    char path[256];
    /* A file stands where the directory is to be. */
    CU_ASSERT_EQUAL_FATAL(file_open(r, path_of(path, "archive"), FILE_WRITE | FILE_CREATE, &f), 0);
    file_close(r, f);
    rig->options.archive = path;
    engine_rig_open(rig, r);
    write_some(rig, 6000);
    struct engine_counters c = engine_counters(rig->engine);
    CU_ASSERT(c.flushes > 0); /* so they have files of the log behind them */
    CU_ASSERT(c.log_segments_kept > 0);
    CU_ASSERT_EQUAL(c.log_archived, 0);
    CU_ASSERT_EQUAL(file_remove(r, path), 0);
    for (int i = 0; i < 3000 && engine_counters(rig->engine).log_segments_kept > 0; i++)
        task_sleep(r, 1000000);
    c = engine_counters(rig->engine);
    CU_ASSERT_EQUAL(c.log_segments_kept, 0);
    CU_ASSERT(c.log_archived > 0);
    CU_ASSERT(engine_rig_check_all(rig));
    engine_rig_close(rig);
    engine_rig_free(rig);
}
