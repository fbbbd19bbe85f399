/* listing_test.c - a directory that hangs, or has many names, keeps nobody waiting but who asked for it.
 *
 * The tests' own readdir stands before that of the system, and waits while it is told to. */
#include "test/test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

static const uint64_t MILLISECOND = 1000 * 1000;

enum { HANG_SECONDS_MAX = 5 }; /* then a core that waits itself goes on, and the test fails */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool must_hang;
    bool hangs;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};

struct dirent *readdir(DIR *directory)
{
    struct dirent *(*next)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");
    pthread_mutex_lock(&gate.lock);
    gate.hangs = gate.must_hang;
    pthread_cond_broadcast(&gate.changed);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += HANG_SECONDS_MAX;
    while (gate.must_hang && pthread_cond_timedwait(&gate.changed, &gate.lock, &until) == 0)
        ;
    gate.hangs = false;
    pthread_mutex_unlock(&gate.lock);
    return next(directory);
}

static void set_hanging(bool must_hang)
{
    pthread_mutex_lock(&gate.lock);
    gate.must_hang = must_hang;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static bool is_hanging(void)
{
    pthread_mutex_lock(&gate.lock);
    bool hangs = gate.hangs;
    pthread_mutex_unlock(&gate.lock);
    return hangs;
}

static void await_hanging(struct reactor *r)
{
    for (unsigned i = 0; i < 1000 * HANG_SECONDS_MAX && !is_hanging(); i++)
        task_sleep(r, MILLISECOND);
}

struct asker {
    const char *directory;
    unsigned names;
    int result;
    bool is_over;
};

static int count_name(void *context, const char *name)
{
    struct asker *a = context;
    (void)name;
    a->names++;
    return 0;
}

static void list(struct reactor *r, void *context)
{
    struct asker *a = context;
    a->result = directory_list(r, a->directory, count_name, a);
    a->is_over = true;
}

static void make_files(struct reactor *r, const char *directory, unsigned count)
{
    char path[256];
    struct file *f;
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/file-%u", directory, i);
        CU_ASSERT_EQUAL_FATAL(file_open(r, path, FILE_WRITE | FILE_CREATE, &f), 0);
        file_close(r, f);
    }
}

TEST_IN_REACTOR(a_directory_that_hangs_keeps_only_those_waiting_who_list_it)
{
    struct asker askers[2] = {{.directory = test_directory()}, {.directory = test_directory()}};
    make_files(r, askers[0].directory, 3);
    set_hanging(true);
    for (unsigned i = 0; i < 2; i++)
        CU_ASSERT_EQUAL_FATAL(task_spawn(r, list, &askers[i]), 0);
    await_hanging(r);
    for (unsigned i = 0; i < 5; i++)
        task_sleep(r, MILLISECOND);
    CU_ASSERT(is_hanging());
    CU_ASSERT(!askers[0].is_over && !askers[1].is_over);
    set_hanging(false);
    while (!askers[0].is_over || !askers[1].is_over)
        task_sleep(r, MILLISECOND);
    CU_ASSERT_EQUAL(askers[0].result, 0);
    CU_ASSERT_EQUAL(askers[0].names, 3);
    CU_ASSERT_EQUAL(askers[1].result, 0);
    CU_ASSERT_EQUAL(askers[1].names, 0);
}

static int end_while_it_hangs(struct reactor *r, void *context)
{
    struct asker *a = context;
    int rc = task_spawn(r, list, a);
    if (rc == 0)
        await_hanging(r);
    reactor_stop(r);
    return rc;
}

TEST(a_core_ends_while_a_directory_hangs)
{
    char why[256] = "";
    struct reactor_options options = {.core_count = 1, .first_cpu = -1};
    struct asker a = {.directory = "."};
    set_hanging(true);
    CU_ASSERT_EQUAL(reactor_run(&options, end_while_it_hangs, &a, why, sizeof why), 0);
    CU_ASSERT(is_hanging());
    CU_ASSERT(!a.is_over);
    set_hanging(false);
}

struct slices {
    struct reactor *reactor;
    unsigned turns; /* that others had */
    unsigned turns_at_first;
    unsigned names;
    bool is_over;
};

static int spend_time(void *context, const char *name)
{
    struct slices *s = context;
    uint64_t begin = reactor_clock_ns(s->reactor);
    (void)name;
    if (s->names++ == 0)
        s->turns_at_first = s->turns;
    while (reactor_clock_ns(s->reactor) - begin < REACTOR_SLICE_NS / 32)
        ;
    return 0;
}

static void run_beside(struct reactor *r, void *context)
{
    struct slices *s = context;
    for (; !s->is_over; s->turns++)
        task_yield(r);
}

TEST_IN_REACTOR(many_names_are_handed_out_in_slices)
{
    enum { NAMES = 512 };
    struct slices s = {.reactor = r};
    const char *directory = test_directory();
    make_files(r, directory, NAMES);
    CU_ASSERT_EQUAL_FATAL(task_spawn(r, run_beside, &s), 0);
    CU_ASSERT_EQUAL(directory_list(r, directory, spend_time, &s), 0);
    CU_ASSERT_EQUAL(s.names, NAMES);
    CU_ASSERT(s.turns - s.turns_at_first >= NAMES / 64 - 1);
    s.is_over = true;
    task_yield(r);
}
