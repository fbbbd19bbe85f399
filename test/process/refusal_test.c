/* refusal_test.c - what torcd does not start with: one line that says why, an exit code, and nothing
 * touched. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/process/tree.h"
#include "test/test.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char *const two_cores[] = {"--cores", "2", "--segment-bytes", "4M", NULL};

enum { EXIT_WRONG = 1, EXIT_USAGE = 2 };

static unsigned count_lines(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Runs it: it must end with `code`, say one line with all of `words` in it, and leave its data directory
 * alone. */
static void expect_refusal(struct server *s, int code, const char *const *words)
{
    char *before = tree_describe(s->data), *errors = NULL;
    CU_ASSERT_EQUAL(server_run(s, &errors), code);
    char *after = tree_describe(s->data);
    bool is_said = count_lines(errors) == 1;
    for (size_t i = 0; words[i]; i++)
        is_said &= strstr(errors, words[i]) != NULL;
    CU_ASSERT(is_said);
    if (!is_said)
        printf("\n    expected \"%s\", found: %s", words[0], errors);
    CU_ASSERT_STRING_EQUAL(before, after);
    free(before);
    free(after);
    free(errors);
}

#define EXPECT_REFUSAL(server, code, ...)                                                                    \
    expect_refusal(server, code, (const char *const[]){__VA_ARGS__, NULL})

/* A data directory of two cores with something in it, that nobody uses. */
static bool make_data(struct server *s)
{
    struct raw raw;
    server_init(s, NULL, two_cores);
    if (!server_start(s) || !raw_connect(&raw, s->port, 0))
        return false;
    CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string("key"), slice_of_string("value")), 0);
    raw_close(&raw);
    server_stop(s);
    return true;
}

static void expect_unharmed(struct server *s)
{
    struct raw raw;
    if (!server_start(s) || !raw_connect(&raw, s->port, 0))
        return;
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string("key"), slice_of_string("value")), 0);
    raw_close(&raw);
    server_stop(s);
}

/* ---- the data directory ---- */

TEST(a_data_directory_in_use_is_refused)
{
    struct server first, second;
    if (!make_data(&first) || !server_start(&first))
        return;
    server_init(&second, first.data, two_cores);
    /* It holds the directory, and cannot change it meanwhile by itself. */
    CU_ASSERT_EQUAL(kill(first.process.pid, SIGSTOP), 0);
    EXPECT_REFUSAL(&second, EXIT_WRONG, "in use by another torcd", first.data);
    CU_ASSERT_EQUAL(kill(first.process.pid, SIGCONT), 0);
    server_stop(&first);
    expect_unharmed(&second);
}

TEST(a_data_directory_of_another_format_is_refused)
{
    struct server s;
    char path[PROCESS_PATH_BYTES * 2];
    if (!make_data(&s))
        return;
    snprintf(path, sizeof path, "%s/IDENTITY", s.data);
    char *identity = process_read_file(path, NULL);
    tree_write(s.data, "IDENTITY", "torc data directory\nformat 1\nnode 1\n");
    EXPECT_REFUSAL(&s, EXIT_WRONG, "format 1", "this torcd reads format 2", s.data);
    tree_write(s.data, "IDENTITY",
               "torc data directory\nformat 2\nnode 1\ncores 2\nvnode-bits 10\nlayout 1\ncheck 0\n");
    EXPECT_REFUSAL(&s, EXIT_WRONG, "IDENTITY is damaged", s.data);
    tree_write(s.data, "IDENTITY", identity);
    free(identity);
    expect_unharmed(&s);
}

TEST(a_data_directory_of_another_shape_is_refused)
{
    static const char *const shapes[][3] = {{"--node-id", "2", NULL}, {"--vnode-bits", "12", NULL}};
    struct server s;
    if (!make_data(&s))
        return;
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        struct server other;
        const char *const arguments[] = {"--cores", "2", shapes[i][0], shapes[i][1], NULL};
        server_init(&other, s.data, arguments);
        EXPECT_REFUSAL(&other, EXIT_WRONG, "--node-id 1 --vnode-bits 10", s.data);
    }
    expect_unharmed(&s);
}

/* Root may write everywhere; this takes that from it. For others it does nothing, and need not. */
static bool obey_permissions(void)
{
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
    prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0);
    return true;
}

TEST(a_data_directory_that_lost_a_shard_is_refused_with_any_number_of_cores)
{
    struct server s;
    char shard[PROCESS_PATH_BYTES + 32], aside[PROCESS_PATH_BYTES + 32];
    if (!make_data(&s))
        return;
    snprintf(shard, sizeof shard, "%s/layout-1/shard-001", s.data);
    snprintf(aside, sizeof aside, "%s/aside", s.data);
    CU_ASSERT_EQUAL(rename(shard, aside), 0);
    EXPECT_REFUSAL(&s, EXIT_WRONG, "layout-1/shard-001 is missing");
    s.arguments[1] = "3";
    EXPECT_REFUSAL(&s, EXIT_WRONG, "layout-1/shard-001 is missing");
    s.arguments[1] = "2";
    CU_ASSERT_EQUAL(rename(aside, shard), 0);
    expect_unharmed(&s);
}

TEST(a_data_directory_that_cannot_be_written_is_refused)
{
    struct server s;
    char identity[PROCESS_PATH_BYTES * 2];
    if (!make_data(&s))
        return;
    snprintf(identity, sizeof identity, "%s/IDENTITY", s.data);
    s.prepare = obey_permissions;
    CU_ASSERT_EQUAL(chmod(identity, 0444), 0);
    EXPECT_REFUSAL(&s, EXIT_WRONG, "Permission denied", s.data);
    CU_ASSERT_EQUAL(chmod(identity, 0644), 0);
    expect_unharmed(&s);

    server_init(&s, NULL, two_cores);
    s.prepare = obey_permissions;
    CU_ASSERT_EQUAL(chmod(s.data, 0555), 0);
    EXPECT_REFUSAL(&s, EXIT_WRONG, "Permission denied", s.data);
    CU_ASSERT_EQUAL(chmod(s.data, 0755), 0);
}

TEST(a_data_directory_that_is_none_is_refused)
{
    struct server s;
    char path[PROCESS_PATH_BYTES];
    const char *directory = test_directory();
    tree_write(directory, "file", "text");
    snprintf(path, sizeof path, "%s/file", directory);
    server_init(&s, path, two_cores);
    EXPECT_REFUSAL(&s, EXIT_WRONG, "Not a directory", path);
    snprintf(path, sizeof path, "%s/no/such/place", directory);
    server_init(&s, path, two_cores);
    EXPECT_REFUSAL(&s, EXIT_WRONG, "No such file or directory", path);
    server_init(&s, directory, two_cores);
    EXPECT_REFUSAL(&s, EXIT_WRONG, "is not empty (file)", directory);
}

/* ---- the configuration ---- */

TEST(a_bad_line_of_the_configuration_is_named)
{
    struct server s;
    char config[PROCESS_PATH_BYTES], place[PROCESS_PATH_BYTES + 8];
    const char *directory = test_directory();
    snprintf(config, sizeof config, "%s/torc.conf", directory);
    const char *const arguments[] = {"--config", config, NULL};
    static const char *const files[][2] = {
        {"# a comment\ncores = 1\nmemtable-bytes = many\n", "many"},
        {"cores = 1\n\nmemtable-byte = 1M\n", "memtable-byte"},
        {"cores = 1\n\njust words\n", "expected"},
        {"cores = 1\n\nlog-level = loud\n", "loud"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        tree_write(directory, "torc.conf", files[i][0]);
        server_init(&s, NULL, arguments);
        snprintf(place, sizeof place, "%s:3", config);
        EXPECT_REFUSAL(&s, EXIT_USAGE, place, files[i][1], "expected");
    }
    static const char *const missing[] = {"--config", "build/no-such-file", NULL};
    server_init(&s, NULL, missing);
    EXPECT_REFUSAL(&s, EXIT_USAGE, "build/no-such-file");
}

TEST(bad_flags_are_named)
{
    static const char *const flags[][4] = {{"--cores", "0", "cores", "expected"},
                                           {"--colour", "red", "--colour", "expected"},
                                           {"--listen", "nowhere", "listen", "nowhere"},
                                           {"--segment-bytes", "600M", "log-bytes-max", "segment-bytes"}};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        struct server s;
        const char *const arguments[] = {flags[i][0], flags[i][1], NULL};
        server_init(&s, NULL, arguments);
        EXPECT_REFUSAL(&s, EXIT_USAGE, flags[i][2], flags[i][3]);
    }
}

TEST(listening_beyond_loopback_must_be_asked_for)
{
    static const char *const addresses[] = {"0.0.0.0:0", "[::]:0", "192.0.2.1:0"};
    struct server s;
    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
        const char *const arguments[] = {"--listen", addresses[i], NULL};
        server_init(&s, NULL, arguments);
        EXPECT_REFUSAL(&s, EXIT_USAGE, "is not a loopback address", "--insecure");
    }
    static const char *const insecure[] = {"--listen", "0.0.0.0:0", "--insecure", "--cores", "1", NULL};
    server_init(&s, NULL, insecure);
    if (server_start(&s))
        server_stop(&s);
}

TEST(an_address_in_use_is_refused)
{
    struct server first, second;
    server_init(&first, NULL, two_cores);
    if (!server_start(&first))
        return;
    const char *const arguments[] = {"--cores", "1", "--listen", first.address, NULL};
    char *errors = NULL, port[32];
    server_init(&second, NULL, arguments);
    snprintf(port, sizeof port, "port=%u", first.port);
    CU_ASSERT_EQUAL(server_run(&second, &errors), EXIT_WRONG);
    CU_ASSERT_EQUAL(count_lines(errors), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(errors, "event=listen_failed"));
    CU_ASSERT_PTR_NOT_NULL(strstr(errors, port));
    free(errors);
    server_stop(&first);
}

/* ---- the system ---- */

static bool forbid_io_uring(uint32_t answer)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(filter), .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool without_io_uring(void)
{
    return forbid_io_uring(SECCOMP_RET_ERRNO | EPERM);
}

static bool before_io_uring(void)
{
    return forbid_io_uring(SECCOMP_RET_ERRNO | ENOSYS);
}

TEST(a_system_that_refuses_io_uring_is_told_what_to_change)
{
    struct server s;
    server_init(&s, NULL, two_cores);
    s.prepare = without_io_uring;
    EXPECT_REFUSAL(&s, EXIT_WRONG, "io_uring", "seccomp");
    s.prepare = before_io_uring;
    EXPECT_REFUSAL(&s, EXIT_WRONG, "io_uring", "kernel");
}
