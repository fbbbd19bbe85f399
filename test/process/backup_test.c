/* backup_test.c - snapshots, backups and restores of a real server, as an operator makes them. */
#include "client/torc.h"
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 2000, KEY_BYTES = 32, VALUE_BYTES = 400, TOOL_MS = 60000, TIME_BYTES = 40 };

enum exit_code { GOOD, DAMAGED, FAILED };

static const char *const options[] = {"--cores", "2", "--memtable-bytes", "1M", "--segment-bytes",
                                      "4M",      NULL};

/* Runs torc, prepared as the server is. Returns: its exit code; *out is what it wrote and *errors what it
 * complained of, freed by the caller. */
static int torc_complaining(const struct server *s, const char *const *arguments, char **out, char **errors)
{
    const char *argv[16];
    char path[PROCESS_PATH_BYTES];
    struct process p;
    size_t count = 0;
    argv[count++] = process_program("torc", path);
    argv[count++] = "--server";
    argv[count++] = s->address;
    for (size_t i = 0; arguments[i]; i++)
        argv[count++] = arguments[i];
    argv[count] = NULL;
    *out = *errors = NULL;
    if (!process_start(&p, &(struct process_options){.argv = argv,
                                                     .directory = test_directory(),
                                                     .prepare = s->prepare}))
        return -1;
    int code = process_end(&p, TOOL_MS);
    *out = process_read_file(p.out, NULL);
    *errors = process_read_file(p.err, NULL);
    return code;
}

/* Does it end with that code? If not, what it complained of is printed. *out is freed by the caller. */
static bool torc(const struct server *s, const char *const *arguments, int expected, char **out)
{
    char *errors;
    int code = torc_complaining(s, arguments, out, &errors);
    if (code != expected)
        fprintf(stderr, "\ntorc %s %s: exit code %d, not %d: %s\n", arguments[0], arguments[1], code,
                expected, errors ? errors : "");
    free(errors);
    return code == expected;
}

static bool ends_with(const struct server *s, const char *const *arguments, int expected)
{
    char *out;
    bool is_expected = torc(s, arguments, expected, &out);
    free(out);
    return is_expected;
}

static bool run(const struct server *s, const char *const *arguments)
{
    return ends_with(s, arguments, GOOD);
}

/* Does it fail, and say why? */
static bool is_refused(const struct server *s, const char *const *arguments, const char *why)
{
    char *out, *errors;
    int code = torc_complaining(s, arguments, &out, &errors);
    bool is_said = code > 0 && errors && strstr(errors, why);
    free(out);
    free(errors);
    return is_said;
}

static bool is_backup_refused(const struct server *s, const char *target, const char *why)
{
    const char *const backup[] = {"backup", target, NULL};
    return is_refused(s, backup, why);
}

/* The number before `word` in what a command wrote. */
static long number_before(const char *text, const char *word)
{
    const char *at = text ? strstr(text, word) : NULL;
    if (!at)
        return -1;
    while (at > text && at[-1] != '\t')
        at--;
    return strtol(at, NULL, 10);
}

static void put_all(const struct server *s, char letter, unsigned first, unsigned end)
{
    struct raw raw;
    char key[KEY_BYTES], value[VALUE_BYTES];
    memset(value, letter, sizeof value);
    CU_ASSERT_FATAL(raw_connect(&raw, s->port, FRAME_CORE_ANY));
    for (unsigned i = first; i < end; i++) {
        snprintf(key, sizeof key, "key-%06u", i);
        CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string(key), slice_of(value, sizeof value)), 0);
    }
    raw_close(&raw);
}

/* Every key of the range has this letter; '-': it is not there. */
static void check_all(const struct server *s, char letter, unsigned first, unsigned end)
{
    struct raw raw;
    char key[KEY_BYTES], value[VALUE_BYTES];
    unsigned wrong = 0;
    memset(value, letter, sizeof value);
    CU_ASSERT_FATAL(raw_connect(&raw, s->port, FRAME_CORE_ANY));
    for (unsigned i = first; i < end; i++) {
        snprintf(key, sizeof key, "key-%06u", i);
        struct slice name = slice_of_string(key);
        bool is_right = letter == '-' ? raw_exists(&raw, name) == TORC_E_NOT_FOUND
                                      : raw_get_expect(&raw, name, slice_of(value, sizeof value)) == 0;
        wrong += !is_right;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    raw_close(&raw);
}

static void now_text(char to[TIME_BYTES])
{
    struct timespec now;
    struct tm parts;
    char date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(to, TIME_BYTES, "%s.%03uZ", date, (unsigned)(now.tv_nsec / 1000000) % 1000);
}

/* Restores and starts what was restored. */
static bool start_restored(const struct server *from, struct server *s, const char *const *restore,
                           const char *data)
{
    if (!run(from, restore))
        return false;
    server_init(s, data, options);
    return server_start(s);
}

/* Named from the root. */
static void target_path(char target[600])
{
    char *root = realpath(test_directory(), NULL);
    snprintf(target, 600, "%s/backups", root ? root : "");
    free(root);
}

TEST(a_server_that_was_killed_is_restored_to_a_time_between_two_backups)
{
    struct server s, restored;
    char target[600], data[600], place[600], between[TIME_BYTES], *out;
    const char *arguments[16];
    target_path(target);
    snprintf(data, sizeof data, "%s/restored", test_directory());
    size_t count = 0;
    for (; options[count]; count++)
        arguments[count] = options[count];
    arguments[count++] = "--archive";
    arguments[count++] = target;
    arguments[count++] = "--backup-root";
    arguments[count++] = target;
    arguments[count] = NULL;
    snprintf(place, sizeof place, "%s/data", test_directory());
    server_init(&s, place, arguments);
    if (!server_start(&s))
        return;
    put_all(&s, 'a', 0, KEYS);
    const char *const backup[] = {"backup", target, NULL};
    CU_ASSERT(torc(&s, backup, GOOD, &out));
    long first_files = number_before(out, " new files"), files = number_before(out, " files");
    CU_ASSERT(first_files > 0 && first_files == files);
    free(out);
    put_all(&s, 'b', 0, KEYS / 2);
    now_text(between);
    struct timespec moment = {.tv_nsec = 3000000}; /* the next write is of a later millisecond */
    nanosleep(&moment, NULL);
    put_all(&s, 'c', 0, KEYS / 4);
    char mine[700], unfinished[700];
    snprintf(mine, sizeof mine, "%s/backup-of-mine", target);
    snprintf(unfinished, sizeof unfinished, "%s/backup-00000000000000ff", target);
    CU_ASSERT(mkdir(mine, 0777) == 0 && mkdir(unfinished, 0777) == 0);
    CU_ASSERT(torc(&s, backup, GOOD, &out));
    CU_ASSERT(access(mine, F_OK) == 0 && access(unfinished, F_OK) != 0);
    CU_ASSERT(number_before(out, " new files") < number_before(out, " files") ||
              number_before(out, " new bytes") > 0);
    free(out);
    server_crash(&s);

    const char *const verify[] = {"backup", "verify", target, NULL};
    CU_ASSERT(run(&s, verify));
    const char *const astray[] = {"restore", target,   "--to", between, "--archive",
                                  s.data,    "--data", data,   NULL};
    CU_ASSERT(ends_with(&s, astray, FAILED)); /* and not the backup alone */
    const char *const restore[] = {"restore", target, "--to", between, "--data", data, NULL};
    if (start_restored(&s, &restored, restore, data)) {
        check_all(&restored, 'b', 0, KEYS / 2);
        check_all(&restored, 'a', KEYS / 2, KEYS);
        put_all(&restored, 'd', KEYS, KEYS + 10);
        server_stop(&restored);
    }
    CU_ASSERT(ends_with(&s, restore, FAILED)); /* what is there is left alone */
    snprintf(data, sizeof data, "%s/all", test_directory());
    const char *const all[] = {"restore", target, "--archive", target, "--data", data, NULL};
    CU_ASSERT(torc(&s, all, GOOD, &out));
    CU_ASSERT(out && strstr(out, "is as of 20") && !strstr(out, "ends before"));
    free(out);
}

TEST(a_snapshot_is_made_listed_restored_and_deleted)
{
    struct server s, restored;
    char snapshot[700], data[600], *out;
    server_init(&s, NULL, options);
    if (!server_start(&s))
        return;
    put_all(&s, 'a', 0, KEYS);
    const char *const create[] = {"snapshot", "create", "one", NULL};
    const char *const list[] = {"snapshot", "list", NULL};
    const char *const delete[] = {"snapshot", "delete", "one", NULL};
    CU_ASSERT(run(&s, create));
    CU_ASSERT(is_refused(&s, create, "there is a snapshot of that name")); /* there is one of that name */
    put_all(&s, 'b', 0, KEYS + 100);
    CU_ASSERT(torc(&s, list, GOOD, &out));
    CU_ASSERT(out && strstr(out, "one\t") == out);
    free(out);
    snprintf(snapshot, sizeof snapshot, "%s/snapshots/one", s.data);
    snprintf(data, sizeof data, "%s/restored", test_directory());
    const char *const restore[] = {"restore", snapshot, "--data", data, NULL};
    if (start_restored(&s, &restored, restore, data)) {
        check_all(&restored, 'a', 0, KEYS);
        check_all(&restored, '-', KEYS, KEYS + 100);
        server_stop(&restored);
    }
    CU_ASSERT(run(&s, delete));
    const char *const again[] = {"snapshot", "create", "two", NULL};
    const char *const delete_two[] = {"snapshot", "delete", "two", NULL};
    CU_ASSERT(run(&s, again));
    snprintf(snapshot, sizeof snapshot, "%s/snapshots/two/CATALOGUE", s.data);
    CU_ASSERT_EQUAL(truncate(snapshot, 20), 0);
    CU_ASSERT(is_refused(&s, again, "cannot be read"));
    CU_ASSERT(run(&s, delete_two));
    CU_ASSERT(torc(&s, list, GOOD, &out));
    CU_ASSERT(out && out[0] == '\0');
    free(out);
    check_all(&s, 'b', 0, KEYS + 100);
    server_stop(&s);
}

/* A file of some steps of a removal, and a symbolic link to it. */
static bool make_linked(const char *file, const char *link)
{
    static char bytes[8 << 20];
    FILE *f = fopen(file, "w");
    memset(bytes, 'x', sizeof bytes);
    bool is_written = f && fwrite(bytes, sizeof bytes, 1, f) == 1;
    is_written = f && fclose(f) == 0 && is_written;
    char *whole = realpath(file, NULL);
    bool is_linked = is_written && whole && symlink(whole, link) == 0;
    free(whole);
    return is_linked;
}

static bool is_whole(const char *file)
{
    struct stat info;
    return stat(file, &info) == 0 && (uint64_t)info.st_blocks * 512 >= 8 << 20;
}

TEST(a_start_removes_what_is_left_of_snapshots_and_nothing_else)
{
    static const char *const names[] = {"", "/half", "/half/shard-000", "/.backup", "/mine", "/mine/notes"};
    struct server s;
    char path[700], outside[700];
    server_init(&s, NULL, options);
    if (!server_start(&s))
        return;
    server_stop(&s);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/snapshots%s", s.data, names[i]);
        CU_ASSERT_EQUAL(mkdir(path, 0777), 0);
    }
    snprintf(path, sizeof path, "%s/snapshots/half/shard-000/link", s.data);
    snprintf(outside, sizeof outside, "%s/outside", test_directory());
    CU_ASSERT(make_linked(outside, path) && is_whole(outside));
    const char *const create[] = {"snapshot", "create", "half", NULL};
    const char *const delete[] = {"snapshot", "delete", "half", NULL};
    if (!server_start(&s))
        return;
    CU_ASSERT(run(&s, create) && run(&s, delete));
    const char *const create_mine[] = {"snapshot", "create", "mine", NULL};
    CU_ASSERT(is_refused(&s, create_mine, "that is no snapshot"));
    for (size_t i = 1; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/snapshots%s", s.data, names[i]);
        CU_ASSERT_EQUAL(access(path, F_OK) == 0, strncmp(names[i], "/mine", 5) == 0);
    }
    CU_ASSERT(is_whole(outside));
    server_stop(&s);
}

TEST(a_list_of_many_snapshots_shows_all_of_them)
{
    enum { SNAPSHOTS = 2500 }; /* more than an answer holds */
    struct server s;
    char path[700], *out;
    unsigned shown = 0;
    server_init(&s, NULL, options);
    if (!server_start(&s))
        return;
    const char *const create[] = {"snapshot", "create", "first", NULL};
    const char *const list[] = {"snapshot", "list", NULL};
    CU_ASSERT(run(&s, create));
    for (unsigned i = 0; i < SNAPSHOTS; i++) {
        snprintf(path, sizeof path, "%s/snapshots/half-%06u", s.data, i);
        CU_ASSERT_EQUAL(mkdir(path, 0777), 0);
    }
    CU_ASSERT(torc(&s, list, GOOD, &out));
    CU_ASSERT(out && strstr(out, "first\t") == out);
    for (const char *at = out; at && (at = strstr(at, "\nhalf-")) != NULL; at++, shown++)
        CU_ASSERT_EQUAL(strtoul(at + 6, NULL, 10), shown);
    CU_ASSERT_EQUAL(shown, SNAPSHOTS);
    free(out);
    server_stop(&s);
}

/* Asks one thing of a server. Returns: the code; *job is the number in the answer, 0 when there is none. */
static int ask(const struct server *s, const char *command, const char *argument, unsigned long long *job)
{
    torc_client *client;
    char *json = NULL;
    *job = 0;
    if (torc_open(&(struct torc_options){.address = s->address}, &client) != 0)
        return -1;
    int rc = torc_admin(client, (torc_bytes){command, strlen(command)},
                        (torc_bytes){argument, strlen(argument)}, &json);
    if (rc == 0 && json)
        sscanf(json, "{\"job\":%llu", job);
    torc_free(json);
    torc_close(client);
    return rc;
}

TEST(a_job_of_a_server_that_was_started_anew_is_not_taken_for_another)
{
    struct server s;
    unsigned long long before, after, same;
    char number[32];
    server_init(&s, NULL, options);
    if (!server_start(&s))
        return;
    CU_ASSERT_EQUAL(ask(&s, "snapshot-list", "", &before), 0);
    snprintf(number, sizeof number, "%llu", before);
    CU_ASSERT_EQUAL(ask(&s, "job", number, &same), 0);
    CU_ASSERT_EQUAL(same, before);
    server_crash(&s);
    if (!server_start(&s))
        return;
    CU_ASSERT_EQUAL(ask(&s, "snapshot-list", "", &after), 0);
    CU_ASSERT(before > 0 && after > before);
    CU_ASSERT_EQUAL(ask(&s, "job", number, &same), TORC_NOT_FOUND);
    server_stop(&s);
}

TEST(a_backup_goes_to_the_directory_of_the_configuration_or_below_and_nowhere_else)
{
    struct server s, other;
    char target[600], path[700], place[600], data[600];
    target_path(target);
    snprintf(place, sizeof place, "%s/data", test_directory());
    server_init(&s, place, options);
    if (!server_start(&s))
        return;
    CU_ASSERT(is_backup_refused(&s, target, "--backup-root"));
    server_stop(&s);
    const char *const rooted[] = {"--cores", "2", "--backup-root", target, NULL};
    server_init(&s, place, rooted);
    if (!server_start(&s))
        return;
    snprintf(path, sizeof path, "%s-other", target);
    CU_ASSERT(is_backup_refused(&s, path, "does not lie below"));
    snprintf(path, sizeof path, "%s-\xff", target); /* the client finds text in the answer all the same */
    CU_ASSERT(is_backup_refused(&s, path, "does not lie below"));
    snprintf(path, sizeof path, "%s/../backups", target);
    CU_ASSERT(is_backup_refused(&s, path, "named from the root"));
    const char *const backup[] = {"backup", target, NULL};
    CU_ASSERT(run(&s, backup));
    CU_ASSERT(run(&s, backup)); /* again, by the same server */
    snprintf(data, sizeof data, "%s/other", test_directory());
    server_init(&other, data, rooted);
    if (server_start(&other)) {
        CU_ASSERT(is_backup_refused(&other, target, "another data directory"));
        server_stop(&other);
    }
    server_stop(&s);
}

TEST(backups_and_the_data_directory_do_not_lie_in_each_other)
{
    struct server s;
    char *root = realpath(test_directory(), NULL);
    char data[600], path[700];
    snprintf(data, sizeof data, "%s/data", root ? root : "");
    const char *const rooted[] = {"--backup-root", root, NULL};
    server_init(&s, data, rooted);
    if (server_start(&s)) {
        CU_ASSERT(is_backup_refused(&s, root, "the data directory lies in it"));
        CU_ASSERT(is_backup_refused(&s, data, "the data directory lies in it"));
        snprintf(path, sizeof path, "%s/snapshots", data);
        CU_ASSERT(is_backup_refused(&s, path, "in a data directory"));
        server_stop(&s);
    }
    free(root);
}

enum { DESCRIPTORS = 32, LARGE_VALUES = 1000, LARGE_BYTES = 60000 }; /* a value log a megabyte */

static bool lower_soft_limit(void)
{
    struct rlimit limit;
    bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
    limit.rlim_cur = DESCRIPTORS;
    return is_known && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static bool lower_hard_limit(void)
{
    struct rlimit limit = {.rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void put_large(const struct server *s, unsigned count)
{
    static uint8_t value[LARGE_BYTES];
    struct raw raw;
    char key[KEY_BYTES];
    CU_ASSERT_FATAL(raw_connect(&raw, s->port, FRAME_CORE_ANY));
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "key-%06u", i);
        CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string(key), slice_of(value, sizeof value)), 0);
    }
    raw_close(&raw);
}

TEST(more_files_than_the_soft_limit_of_descriptors_are_backed_up_verified_checked_and_restored)
{
    struct server s;
    char target[600], data[600], place[600], *out;
    target_path(target);
    snprintf(place, sizeof place, "%s/data", test_directory());
    snprintf(data, sizeof data, "%s/restored", test_directory());
    const char *const rooted[] = {
        "--memtable-bytes", "1M", "--segment-bytes", "4M", "--backup-root", target, NULL};
    server_init(&s, place, rooted);
    s.prepare = lower_soft_limit;
    if (!server_start(&s))
        return;
    put_large(&s, LARGE_VALUES);
    const char *const backup[] = {"backup", target, NULL};
    CU_ASSERT(torc(&s, backup, GOOD, &out));
    CU_ASSERT(number_before(out, " files") > 3 * DESCRIPTORS / 2);
    free(out);
    server_stop(&s);
    const char *const verify[] = {"backup", "verify", target, NULL};
    const char *const check[] = {"check", place, NULL};
    const char *const restore[] = {"restore", target, "--data", data, NULL};
    CU_ASSERT(run(&s, verify) && run(&s, check));
    s.prepare = lower_hard_limit;
    CU_ASSERT(is_refused(&s, restore, "ulimit -n"));
    s.prepare = lower_soft_limit;
    CU_ASSERT(run(&s, restore));
}

/* ---- what becomes of a damaged backup, and of a disk that is full ---- */

/* The first file of that pattern below the directory of backups. */
static bool find_file(const char *target, const char *pattern, char path[900])
{
    glob_t found;
    char all[800];
    snprintf(all, sizeof all, "%s/%s", target, pattern);
    bool is_found = glob(all, 0, NULL, &found) == 0;
    if (is_found)
        snprintf(path, 900, "%s", found.gl_pathv[0]);
    globfree(&found);
    CU_ASSERT(is_found);
    return is_found;
}

static void flip(const char *path, off_t offset)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CU_ASSERT_EQUAL(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x10;
    CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* A server with large values, backed up to `target` and stopped. */
static bool make_backup_of(struct server *s, const char *target, const char *memtable_bytes)
{
    static char place[600], root[600];
    snprintf(place, sizeof place, "%s/data", test_directory());
    snprintf(root, sizeof root, "%s", target);
    const char *const rooted[] = {
        "--memtable-bytes", memtable_bytes, "--segment-bytes", "4M", "--backup-root", root, NULL};
    server_init(s, place, rooted);
    if (!server_start(s))
        return false;
    put_all(s, 'a', 0, KEYS);
    put_large(s, 30);
    const char *const backup[] = {"backup", target, NULL};
    bool is_made = run(s, backup);
    server_stop(s);
    CU_ASSERT(is_made);
    return is_made;
}

static bool make_backup(struct server *s, const char *target)
{
    return make_backup_of(s, target, "1M");
}

static bool is_verified_as(const struct server *s, const char *target, int code)
{
    const char *const arguments[] = {"backup", "verify", target, NULL};
    return ends_with(s, arguments, code);
}

TEST(a_backup_with_a_file_that_is_gone_cut_or_changed_is_verified_as_damaged)
{
    static const char *const patterns[] = {"files/table-*", "files/values-*", "backup-*/shard-000/MANIFEST-A",
                                           "backup-*/shard-000/wal-*", "backup-*/CATALOGUE"};
    struct server s;
    struct stat status;
    char target[600], path[900], aside[910];
    target_path(target);
    if (!make_backup(&s, target))
        return;
    for (size_t i = 0; i < ARRAY_COUNT(patterns); i++) {
        if (!find_file(target, patterns[i], path) || stat(path, &status) != 0)
            return;
        bool is_catalogue = i == ARRAY_COUNT(patterns) - 1; /* without one it is no backup */
        snprintf(aside, sizeof aside, "%s.aside", path);
        CU_ASSERT_EQUAL(rename(path, aside), 0);
        CU_ASSERT(is_verified_as(&s, target, is_catalogue ? FAILED : DAMAGED));
        CU_ASSERT_EQUAL(rename(aside, path), 0);
        flip(path, status.st_size / 2);
        CU_ASSERT(is_verified_as(&s, target, DAMAGED));
        flip(path, status.st_size / 2);
    }
    CU_ASSERT(is_verified_as(&s, target, GOOD));
    for (size_t i = 0; i < ARRAY_COUNT(patterns); i++) {
        if (!find_file(target, patterns[i], path) || stat(path, &status) != 0)
            return;
        CU_ASSERT_EQUAL(truncate(path, status.st_size / 2), 0);
        CU_ASSERT(is_verified_as(&s, target, DAMAGED));
    }
}

static bool limit_file_size(void)
{
    struct rlimit limit = {.rlim_cur = 256 << 10, .rlim_max = 256 << 10};
    return signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

/* Of what has become tables, or is in the log only. */
static void restore_without_room(const char *memtable_bytes)
{
    struct server s;
    char target[600], data[600], *out, *errors;
    target_path(target);
    snprintf(data, sizeof data, "%s/restored", test_directory());
    if (!make_backup_of(&s, target, memtable_bytes))
        return;
    s.prepare = limit_file_size;
    const char *const restore[] = {"restore", target, "--data", data, NULL};
    CU_ASSERT_EQUAL(torc_complaining(&s, restore, &out, &errors), FAILED);
    bool is_blamed = errors && strstr(errors, "restored.restoring/") && !strstr(errors, "another backup") &&
                     !strstr(errors, "backup-");
    CU_ASSERT(is_blamed);
    if (!is_blamed)
        fprintf(stderr, "\ntorc restore: %s\n", errors ? errors : "");
    free(out);
    free(errors);
}

TEST(a_restore_that_cannot_be_written_blames_its_place_and_not_the_backup)
{
    restore_without_room("1M");
}

TEST(a_restore_whose_log_cannot_be_written_blames_its_place_and_not_the_backup)
{
    restore_without_room("256M");
}

TEST(a_restore_to_where_it_cannot_get_its_name_is_refused_before_it_begins)
{
    struct server s;
    char target[600], link[600], empty[600], work[700];
    target_path(target);
    snprintf(link, sizeof link, "%s/link", test_directory());
    snprintf(empty, sizeof empty, "%s/empty", test_directory());
    snprintf(work, sizeof work, "%s.restoring", link);
    server_init(&s, NULL, options);
    CU_ASSERT(mkdir(empty, 0777) == 0 && symlink("empty", link) == 0);
    const char *const restore[] = {"restore", target, "--data", link, NULL}; /* no backup is there, either */
    CU_ASSERT(is_refused(&s, restore, "mount point"));
    CU_ASSERT(access(work, F_OK) != 0 && access(empty, F_OK) == 0);
    CU_ASSERT_EQUAL(mkdir(work, 0777), 0);
    CU_ASSERT(is_refused(&s, restore, "under way"));
    CU_ASSERT_EQUAL(rmdir(work), 0); /* of others: left alone */
}

TEST(of_two_restores_to_one_place_one_succeeds_and_is_whole)
{
    struct server s, restored;
    struct process both[2];
    char target[600], data[600], program[PROCESS_PATH_BYTES], place[ARRAY_COUNT(both)][600];
    unsigned done = 0;
    target_path(target);
    snprintf(data, sizeof data, "%s/restored/", test_directory());
    if (!make_backup(&s, target))
        return;
    const char *const argv[] = {process_program("torc", program), "restore", target, "--data", data, NULL};
    for (size_t i = 0; i < ARRAY_COUNT(both); i++) {
        snprintf(place[i], sizeof place[i], "%s/tool-%zu", test_directory(), i);
        CU_ASSERT_FATAL(
            mkdir(place[i], 0777) == 0 &&
            process_start(&both[i], &(struct process_options){.argv = argv, .directory = place[i]}));
    }
    for (size_t i = 0; i < ARRAY_COUNT(both); i++)
        done += process_end(&both[i], TOOL_MS) == GOOD;
    CU_ASSERT_EQUAL(done, 1);
    for (size_t i = 0; done != 1 && i < ARRAY_COUNT(both); i++) {
        char *errors = process_read_file(both[i].err, NULL);
        fprintf(stderr, "\ntorc restore %zu: %s\n", i, errors ? errors : "");
        free(errors);
    }
    server_init(&restored, data, NULL);
    if (!server_start(&restored))
        return;
    check_all(&restored, 'a', 30, KEYS);
    server_stop(&restored);
}

TEST(a_backup_of_a_damaged_block_is_refused_or_verified_as_damaged)
{
    struct server s;
    char target[600], table[900];
    target_path(target);
    if (!make_backup(&s, target) || !find_file(s.data, "layout-1/shard-000/table-*", table))
        return;
    flip(table, 200);
    const char *const backup[] = {"backup", target, NULL};
    CU_ASSERT(is_verified_as(&s, target, DAMAGED)); /* it has links */
    s.arguments[6] = "--scrub-interval";
    s.arguments[7] = "1s";
    if (!server_start(&s))
        return;
    CU_ASSERT(process_wait_for_error(&s.process, "scrub_found_damage", TOOL_MS));
    CU_ASSERT(is_refused(&s, backup, "a table or a value log is damaged"));
    server_stop(&s);
    s.arguments[7] = "0s"; /* not found again */
    if (!server_start(&s))
        return;
    CU_ASSERT(run(&s, backup));
    server_stop(&s);
    CU_ASSERT(is_verified_as(&s, target, DAMAGED));
}

TEST(a_backup_whose_catalogue_cannot_be_opened_is_not_passed_over_for_an_older_one)
{
    struct server s;
    char target[600], path[700], catalogue[720];
    target_path(target);
    if (!make_backup(&s, target))
        return;
    snprintf(path, sizeof path, "%s/backup-fffffffffffffff0", target);
    snprintf(catalogue, sizeof catalogue, "%s/CATALOGUE", path);
    CU_ASSERT(mkdir(path, 0777) == 0 && symlink("CATALOGUE", catalogue) == 0); /* a loop */
    const char *const arguments[] = {"backup", "verify", target, NULL};
    CU_ASSERT(is_refused(&s, arguments, "backup-fffffffffffffff0/CATALOGUE"));
}
