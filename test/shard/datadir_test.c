/* datadir_test.c - whose a data directory is: made once, opened by its like, refused by all others and
 * then untouched. */
#include "shard/datadir.h"

#include "test/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WHY_BYTES = 512, TEXT_BYTES = 1024 };

static const struct datadir_identity ours = {.node = 3, .cores = 2, .vnode_bits = 10};

static int open_as(struct reactor *r, const char *directory, struct datadir_identity identity,
                   char why[WHY_BYTES])
{
    return datadir_open(r, directory, &identity, why, WHY_BYTES);
}

static void write_text(const char *directory, const char *name, const char *text)
{
    char path[DATADIR_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    ASSERT(f);
    ASSERT(fputs(text, f) >= 0);
    ASSERT(fclose(f) == 0);
}

static void read_identity(const char *directory, char text[TEXT_BYTES])
{
    char path[DATADIR_PATH_MAX];
    snprintf(path, sizeof path, "%s/IDENTITY", directory);
    FILE *f = fopen(path, "r");
    ASSERT(f);
    size_t bytes = fread(text, 1, TEXT_BYTES - 1, f);
    text[bytes] = '\0';
    fclose(f);
}

/* flock is by open file, so a second open in this process is refused as that of another would be: each
 * attempt has a directory that no one has opened yet. */
static const char *made_directory(struct reactor *r)
{
    char why[WHY_BYTES] = "";
    const char *directory = test_directory();
    CU_ASSERT_EQUAL(open_as(r, directory, ours, why), 0);
    CU_ASSERT_STRING_EQUAL(why, "");
    return directory;
}

/* A directory with the identity `text` that nobody holds. */
static const char *directory_with(const char *text)
{
    const char *directory = test_directory();
    write_text(directory, "IDENTITY", text);
    return directory;
}

TEST_IN_REACTOR(datadir_is_made_in_an_empty_directory_and_opened_again)
{
    char text[TEXT_BYTES], why[WHY_BYTES] = "";
    read_identity(made_directory(r), text);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "torc data directory\nformat 2\nnode 3\ncores 2\nvnode-bits 10\nlayout 1\ncheck "));
    CU_ASSERT_EQUAL(open_as(r, directory_with(text), ours, why), 0);
}

TEST_IN_REACTOR(datadir_that_is_missing_is_made)
{
    char path[DATADIR_PATH_MAX], why[WHY_BYTES] = "";
    snprintf(path, sizeof path, "%s/new", test_directory());
    CU_ASSERT_EQUAL(open_as(r, path, ours, why), 0);
    snprintf(path + strlen(path), 32, "/IDENTITY");
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
}

TEST_IN_REACTOR(datadir_in_use_is_refused)
{
    char why[WHY_BYTES] = "";
    const char *directory = made_directory(r);
    CU_ASSERT_EQUAL(open_as(r, directory, ours, why), TORC_E_IN_USE);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, directory));
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "in use"));
}

TEST_IN_REACTOR(datadir_of_another_shape_is_refused_and_says_which)
{
    static const struct datadir_identity others[] = {{4, 2, 10, 0}, {3, 2, 11, 0}};
    char text[TEXT_BYTES], after[TEXT_BYTES];
    read_identity(made_directory(r), text);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        char why[WHY_BYTES] = "";
        const char *directory = directory_with(text);
        CU_ASSERT_EQUAL(open_as(r, directory, others[i], why), TORC_E_CONFIGURATION);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, "--node-id 3 --vnode-bits 10"));
        read_identity(directory, after);
        CU_ASSERT_STRING_EQUAL(text, after);
    }
}

TEST_IN_REACTOR(datadir_of_another_format_is_refused)
{
    char why[WHY_BYTES] = "";
    const char *directory = directory_with("torc data directory\nformat 3\nsomething new\n");
    CU_ASSERT_EQUAL(open_as(r, directory, ours, why), TORC_E_DATA_FORMAT);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "format 3"));
}

TEST_IN_REACTOR(datadir_finds_any_changed_byte_of_its_identity)
{
    char text[TEXT_BYTES], changed[TEXT_BYTES];
    read_identity(made_directory(r), text);
    const char *directory = test_directory();
    for (size_t i = 0; i < strlen(text); i += 5) {
        char why[WHY_BYTES] = "", path[DATADIR_PATH_MAX];
        snprintf(changed, sizeof changed, "%s", text);
        changed[i] = changed[i] == '5' ? '6' : '5';
        snprintf(path, sizeof path, "%s/%zu", directory, i);
        CU_ASSERT_EQUAL(mkdir(path, 0777), 0);
        write_text(path, "IDENTITY", changed);
        int rc = open_as(r, path, ours, why);
        CU_ASSERT(rc == TORC_E_CORRUPT || rc == TORC_E_DATA_FORMAT);
        CU_ASSERT(strlen(why) > 0);
    }
}

TEST_IN_REACTOR(datadir_cut_short_is_refused)
{
    char text[TEXT_BYTES];
    read_identity(made_directory(r), text);
    size_t bytes = strlen(text);
    const char *directory = test_directory();
    for (size_t cut = 0; cut < bytes; cut += 4) {
        char why[WHY_BYTES] = "", path[DATADIR_PATH_MAX];
        text[bytes - 1 - cut] = '\0';
        snprintf(path, sizeof path, "%s/%zu", directory, cut);
        CU_ASSERT_EQUAL(mkdir(path, 0777), 0);
        write_text(path, "IDENTITY", text);
        CU_ASSERT_EQUAL(open_as(r, path, ours, why), TORC_E_CORRUPT);
    }
}

TEST_IN_REACTOR(datadir_with_zero_bytes_behind_its_identity_is_refused)
{
    char text[TEXT_BYTES], path[DATADIR_PATH_MAX], why[WHY_BYTES] = "";
    read_identity(made_directory(r), text);
    const char *directory = directory_with(text);
    snprintf(path, sizeof path, "%s/IDENTITY", directory);
    CU_ASSERT_EQUAL(truncate(path, (off_t)strlen(text) + 5), 0);
    CU_ASSERT_EQUAL(open_as(r, directory, ours, why), TORC_E_CORRUPT);
}

TEST_IN_REACTOR(datadir_never_adopts_a_directory_with_something_else_in_it)
{
    char why[WHY_BYTES] = "", path[DATADIR_PATH_MAX];
    const char *directory = test_directory();
    write_text(directory, "letters.txt", "dear all");
    CU_ASSERT_EQUAL(open_as(r, directory, ours, why), TORC_E_DATA_FORMAT);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "letters.txt"));
    snprintf(path, sizeof path, "%s/IDENTITY", directory);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

TEST_IN_REACTOR(datadir_sees_what_stands_behind_the_names_it_knows)
{
    char why[WHY_BYTES] = "";
    const char *directory = test_directory();
    write_text(directory, "IDENTITY.new", "torc data dir");
    write_text(directory, "lost+found", "");
    write_text(directory, "photos", "dear all");
    CU_ASSERT_EQUAL(open_as(r, directory, ours, why), TORC_E_DATA_FORMAT);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "photos"));
}

TEST_IN_REACTOR(datadir_adopts_what_a_crash_left_of_a_beginning)
{
    char why[WHY_BYTES] = "", text[TEXT_BYTES];
    const char *directory = test_directory();
    write_text(directory, "IDENTITY.new", "torc data dir");
    CU_ASSERT_EQUAL(open_as(r, directory, ours, why), 0);
    read_identity(directory, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "node 3\n"));
}

TEST_IN_REACTOR(datadir_of_another_number_of_cores_is_opened_and_says_which)
{
    char text[TEXT_BYTES], why[WHY_BYTES] = "";
    read_identity(made_directory(r), text);
    struct datadir_identity asked = {.node = 3, .cores = 5, .vnode_bits = 10};
    CU_ASSERT_EQUAL(datadir_open(r, directory_with(text), &asked, why, sizeof why), 0);
    CU_ASSERT_EQUAL(asked.cores, 2);
    CU_ASSERT_EQUAL(asked.layout, 1);
}

TEST_IN_REACTOR(datadir_has_what_was_committed)
{
    char text[TEXT_BYTES], why[WHY_BYTES] = "";
    const char *directory = made_directory(r);
    struct datadir_identity next = {3, 7, 10, 12}, found;
    CU_ASSERT_EQUAL(datadir_commit(r, directory, &next), 0);
    read_identity(directory, text);
    CU_ASSERT_EQUAL(datadir_look(r, directory_with(text), &found, why, sizeof why), 0);
    CU_ASSERT(found.node == 3 && found.cores == 7 && found.vnode_bits == 10 && found.layout == 12);
}

TEST_IN_REACTOR(datadir_that_cannot_be_written_is_looked_at)
{
    char text[TEXT_BYTES], why[WHY_BYTES] = "", path[DATADIR_PATH_MAX];
    struct datadir_identity found;
    const char *directory = test_directory();
    read_identity(made_directory(r), text);
    write_text(directory, "IDENTITY", text);
    snprintf(path, sizeof path, "%s/IDENTITY", directory);
    CU_ASSERT(chmod(path, 0444) == 0 && chmod(directory, 0755) == 0);
    uid_t user = geteuid();
    if (user == 0) /* who may write everything; only this thread asks for files */
        CU_ASSERT_EQUAL(seteuid(65534), 0);
    CU_ASSERT_EQUAL(datadir_look(r, directory, &found, why, sizeof why), 0);
    CU_ASSERT_EQUAL(seteuid(user), 0);
    CU_ASSERT(found.node == 3 && found.cores == 2);
}

TEST_IN_REACTOR(datadir_is_only_looked_at_when_it_is_one)
{
    char why[WHY_BYTES] = "", path[DATADIR_PATH_MAX];
    struct datadir_identity found;
    const char *directory = test_directory();
    CU_ASSERT_EQUAL(datadir_look(r, directory, &found, why, sizeof why), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "no IDENTITY"));
    snprintf(path, sizeof path, "%s/none", directory);
    CU_ASSERT_EQUAL(datadir_look(r, path, &found, why, sizeof why), -ENOENT);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

TEST_IN_REACTOR(datadir_adopts_an_empty_layout_and_none_with_something_in_it)
{
    char why[WHY_BYTES] = "", path[DATADIR_PATH_MAX];
    const char *empty = test_directory(), *full = test_directory();
    datadir_layout_path(path, sizeof path, empty, 1);
    CU_ASSERT_EQUAL(mkdir(path, 0777), 0);
    datadir_shard_path(path, sizeof path, empty, 1, 1);
    CU_ASSERT_EQUAL(mkdir(path, 0777), 0);
    CU_ASSERT_EQUAL(open_as(r, empty, ours, why), 0);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    datadir_shard_path(path, sizeof path, empty, 1, 0);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    datadir_shard_path(path, sizeof path, empty, 1, 2);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    datadir_layout_path(path, sizeof path, full, 1);
    CU_ASSERT_EQUAL(mkdir(path, 0777), 0);
    write_text(path, "table", "data");
    CU_ASSERT_EQUAL(open_as(r, full, ours, why), TORC_E_DATA_FORMAT);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "layout-1"));
}

TEST(datadir_gives_each_core_a_directory)
{
    char path[DATADIR_PATH_MAX];
    datadir_shard_path(path, sizeof path, "data", 1, 0);
    CU_ASSERT_STRING_EQUAL(path, "data/layout-1/shard-000");
    datadir_shard_path(path, sizeof path, "data", 20, 255);
    CU_ASSERT_STRING_EQUAL(path, "data/layout-20/shard-255");
}
