/* main.c - runs the tests with CUnit, and counts them in its last line for tools/run-tests.
 *
 *   build/test/unit [WORD ...]     only tests whose "suite.name" contains one of the words */
#include "test/test.h"

#include <CUnit/Basic.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TESTS_MAX = 4096, DIRECTORIES_MAX = 1024 };

static struct test {
    const char *file;
    const char *name;
    void (*run)(void);
} tests[TESTS_MAX];
static size_t test_count;

static char *directories[DIRECTORIES_MAX];
static size_t directory_count;
static size_t directories_made; /* so many of them are in the reactor too */

static struct reactor *running; /* the reactor a test's body runs in; null outside of one */

void test_register(const char *file, const char *name, void (*run)(void))
{
    ASSERT(test_count < TESTS_MAX);
    tests[test_count++] = (struct test){file, name, run};
}

/* A simulated reactor has a disk of its own: the directories of the tests have to be there too. */
static void make_in_reactor(struct reactor *r)
{
    for (; directories_made < directory_count; directories_made++) {
        const char *const steps[] = {"build", directories[directories_made]};
        for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
            int rc = directory_create(r, steps[i]);
            ASSERT(rc == 0 || rc == -EEXIST);
        }
    }
}

struct body {
    void (*run)(struct reactor *r);
};

static int run_body(struct reactor *r, void *context)
{
    const struct body *body = context;
    running = r;
    make_in_reactor(r);
    body->run(r);
    running = NULL;
    reactor_stop(r);
    return 0;
}

void test_run_in_reactor(void (*run)(struct reactor *r))
{
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    struct body body = {run};
    char why[256] = "";
    int rc = reactor_run(&options, run_body, &body, why, sizeof why);
    CU_ASSERT_EQUAL(rc, 0);
    if (rc)
        fprintf(stderr, "reactor_run: %s: %s\n", error_sentence(rc), why);
}

const char *test_directory(void)
{
    ASSERT(directory_count < DIRECTORIES_MAX);
    char *path = NULL;
    ASSERT(mkdir("build", 0777) == 0 || access("build", W_OK) == 0);
    ASSERT(asprintf(&path, "build/test-XXXXXX") > 0);
    ASSERT(mkdtemp(path));
    directories[directory_count++] = path;
    if (running)
        make_in_reactor(running);
    return path;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void remove_directories(void)
{
    for (size_t i = 0; i < directory_count; i++) {
        nftw(directories[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(directories[i]);
    }
}

static bool is_wanted(const struct test *t, int word_count, char **words)
{
    char full[512];
    snprintf(full, sizeof full, "%s.%s", t->file, t->name);
    for (int i = 0; i < word_count; i++)
        if (strstr(full, words[i]))
            return true;
    return word_count == 0;
}

static int by_file(const void *a, const void *b)
{
    const struct test *x = a, *y = b;
    return strcmp(x->file, y->file);
}

int main(int argc, char **argv)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    qsort(tests, test_count, sizeof tests[0], by_file);
    CU_pSuite suite = NULL;
    for (size_t i = 0; i < test_count; i++) {
        if (i == 0 || strcmp(tests[i].file, tests[i - 1].file) != 0)
            suite = CU_add_suite(tests[i].file, NULL, NULL);
        if (!suite ||
            (is_wanted(&tests[i], argc - 1, argv + 1) && !CU_add_test(suite, tests[i].name, tests[i].run)))
            return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned run = CU_get_number_of_tests_run();
    unsigned failed = CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    remove_directories();
    const char *slash = strrchr(argv[0], '/');
    printf("%s: %u passed, %u failed\n", slash ? slash + 1 : argv[0], run - failed, failed);
    return failed == 0 && run > 0 ? 0 : 1;
}
