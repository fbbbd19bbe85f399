/* options_test.c - where torcd's options come from, which wins, and what is refused. */
#include "shard/serve/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/test.h"

enum { ARGUMENTS_MAX = 8 };

struct load {
    struct options options;
    char why[OPTIONS_WHY_BYTES];
    enum options_next next;
};

/* Loads with the flags and the environment given as lists that end with null. */
static void load(struct load *l, const char *const *flags, const char *const *environment)
{
    char *argv[ARGUMENTS_MAX + 2] = {(char[]){"torcd"}};
    int argc = 1;
    for (; flags[argc - 1]; argc++) {
        ASSERT(argc < ARGUMENTS_MAX);
        argv[argc] = (char *)(uintptr_t)flags[argc - 1];
    }
    l->next = options_load(&l->options, argc, argv, (char **)(uintptr_t)environment, l->why, sizeof l->why);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static bool is_refused(const struct load *l, const char *sentence)
{
    bool is_same = l->next == OPTIONS_WRONG && strcmp(l->why, sentence) == 0;
    if (!is_same)
        fprintf(stderr, "next %d, why: %s\n", (int)l->next, l->why);
    return is_same;
}

static const char *write_file(const char *text)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/torc.conf", test_directory());
    FILE *file = fopen(path, "w");
    ASSERT(file && fputs(text, file) >= 0 && fclose(file) == 0);
    return path;
}

TEST(without_any_option_the_defaults_hold)
{
    struct load l;
    load(&l, LIST(), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    CU_ASSERT_STRING_EQUAL(l.options.data, "./data");
    CU_ASSERT_STRING_EQUAL(l.options.listen.host, "127.0.0.1");
    CU_ASSERT_EQUAL(l.options.listen.port, 7070);
    CU_ASSERT_EQUAL(l.options.pin_first_cpu, -1);
    CU_ASSERT(l.options.log_bytes_max >= l.options.memtable_bytes);
    CU_ASSERT_EQUAL(l.options.write_timeout_ms, 30000);
    CU_ASSERT_EQUAL(l.options.log_level, LOG_LEVEL_INFO);
    CU_ASSERT_EQUAL(l.options.node_id, 1);
    CU_ASSERT_FALSE(l.options.is_insecure);
}

TEST(cores_without_a_number_are_the_cpus_at_most_one_a_vnode)
{
    struct load l;
    load(&l, LIST("--vnode-bits=0"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    CU_ASSERT_EQUAL(l.options.cores, 1);
    load(&l, LIST(), LIST());
    CU_ASSERT(l.options.cores >= 1 && l.options.cores <= REACTOR_CORES_MAX);
}

TEST(a_flag_wins_over_the_environment_and_that_over_the_file)
{
    struct load l;
    const char *path = write_file("node-id = 2\ncores = 2\nvnode-bits = 4\n");
    load(&l, LIST("-c", path, "--node-id", "4"), LIST("TORC_NODE_ID=3", "TORC_CORES=3", "TORC_CORESX=9"));
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    CU_ASSERT_EQUAL(l.options.node_id, 4);
    CU_ASSERT_EQUAL(l.options.cores, 3);
    CU_ASSERT_EQUAL(l.options.vnode_bits, 4);
}

TEST(the_file_may_be_named_by_the_environment)
{
    struct load l;
    char variable[300];
    snprintf(variable, sizeof variable, "TORC_CONFIG=%s", write_file("log-format = json\n"));
    load(&l, LIST(), LIST(variable));
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    CU_ASSERT_EQUAL(l.options.log_format, LOG_FORMAT_JSON);
}

TEST(a_wrong_flag_says_what_was_expected_and_found)
{
    struct load l;
    load(&l, LIST("--node-id=0"), LIST());
    CU_ASSERT(is_refused(&l, "--node-id: expected a number from 1 to 65535, found \"0\""));
    load(&l, LIST("--bogus"), LIST());
    CU_ASSERT(is_refused(&l, "expected an option (torcd --help lists them), found \"--bogus\""));
    load(&l, LIST("--data"), LIST());
    CU_ASSERT(is_refused(&l, "--data: expected a value (--data=DIR), found none"));
    load(&l, LIST("stray"), LIST());
    CU_ASSERT(is_refused(&l, "expected an option (torcd --help lists them), found \"stray\""));
}

TEST(the_value_of_a_bool_may_be_the_next_word)
{
    struct load l;
    load(&l, LIST("--accept-loss", "true", "--node-id", "4"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    CU_ASSERT_TRUE(l.options.accepts_loss);
    CU_ASSERT_EQUAL(l.options.node_id, 4);
    load(&l, LIST("--accept-loss", "false"), LIST("TORC_ACCEPT_LOSS=true"));
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    CU_ASSERT_FALSE(l.options.accepts_loss);
    load(&l, LIST("--accept-loss", "--insecure"), LIST());
    CU_ASSERT(l.next == OPTIONS_RUN && l.options.accepts_loss && l.options.is_insecure);
    load(&l, LIST("--accept-loss", "yes"), LIST());
    CU_ASSERT(is_refused(&l, "--accept-loss: expected true or false, found \"yes\""));
    load(&l, LIST("--accept-loss=true", "false"), LIST());
    CU_ASSERT(is_refused(&l, "expected an option (torcd --help lists them), found \"false\""));
    load(&l, LIST("--accept-loss", "true", "false"), LIST());
    CU_ASSERT(is_refused(&l, "expected an option (torcd --help lists them), found \"false\""));
}

TEST(a_wrong_variable_is_named_as_it_is_in_the_environment)
{
    struct load l;
    load(&l, LIST(), LIST("TORC_WRITE_TIMEOUT=30"));
    CU_ASSERT(
        is_refused(&l,
                   "TORC_WRITE_TIMEOUT in the environment: expected a time such as 30s (ms, s, m, h), from "
                   "0s to 720h, found \"30\""));
}

TEST(listening_beyond_loopback_needs_insecure)
{
    struct load l;
    load(&l, LIST("--listen=0.0.0.0:7070"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_WRONG);
    CU_ASSERT_PTR_NOT_NULL(strstr(l.why, "0.0.0.0 is not a loopback address"));
    load(&l, LIST("--listen=[2001:db8::1]:7070"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_WRONG);
    load(&l, LIST("--listen=[::ffff:10.0.0.1]:7070"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_WRONG);
    load(&l, LIST("--listen=0.0.0.0:7070", "--insecure"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    load(&l, LIST("--listen=[::1]:7070"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    load(&l, LIST("--listen=127.9.9.9:7070"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
}

TEST(values_that_contradict_each_other_are_refused)
{
    struct load l;
    load(&l, LIST("--cores=3", "--vnode-bits=1"), LIST());
    CU_ASSERT(
        is_refused(&l, "cores: expected at most one core a vnode, which are 2 with vnode-bits 1, found 3"));
    load(&l, LIST("--segment-bytes=4194305"), LIST());
    CU_ASSERT(is_refused(&l, "segment-bytes: expected a multiple of 4K, found 4194305"));
    load(&l, LIST("--segment-bytes=1G", "--log-bytes-max=1G"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_WRONG);
}

TEST(a_place_for_backups_that_none_can_be_made_in_is_refused)
{
    struct load l;
    load(&l, LIST("--backup-root=/backups/"), LIST());
    CU_ASSERT(is_refused(&l, "backup-root: expected a directory named from the root, without '.', '..' and a "
                             "'/' too many, found \"/backups/\""));
    load(&l, LIST("--backup-root=backups"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_WRONG);
    load(&l, LIST("--backup-root=/mnt/backups"), LIST());
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
}

TEST(a_file_that_is_not_there_is_an_error_not_a_default)
{
    struct load l;
    load(&l, LIST("--config=/nonexistent/torc.conf"), LIST());
    CU_ASSERT(is_refused(&l,
                         "the configuration file /nonexistent/torc.conf cannot be opened: No such file or "
                         "directory"));
}

TEST(the_insecure_flag_takes_a_word_or_none)
{
    struct load l;
    load(&l, LIST("--insecure"), LIST());
    CU_ASSERT_TRUE(l.options.is_insecure);
    load(&l, LIST("--insecure=false"), LIST("TORC_INSECURE=true"));
    CU_ASSERT_EQUAL(l.next, OPTIONS_RUN);
    CU_ASSERT_FALSE(l.options.is_insecure);
    load(&l, LIST("--insecure=yes"), LIST());
    CU_ASSERT(is_refused(&l, "--insecure: expected true or false, found \"yes\""));
}
