/* process_test.c - what the system sees of a reactor: signals, processors, descriptors, locks, queues. */
#include "test/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t SECOND = 1000 * 1000 * 1000;
static const uint64_t PATIENCE = 20 * SECOND;

static void run_on_cores(unsigned count, reactor_main_fn *main, void *context)
{
    char why[256] = "";
    struct reactor_options options = {.core_count = count, .first_cpu = -1};
    CU_ASSERT_EQUAL(reactor_run(&options, main, context, why, sizeof why), 0);
    CU_ASSERT_STRING_EQUAL(why, "");
}

/* ---- signals and processors ---- */

struct stopping {
    struct reactor *reactor;
    unsigned asked;
    struct event done;
};

static void on_stop(void *context)
{
    struct stopping *s = context;
    CU_ASSERT_PTR_NULL(task_current(s->reactor));
    s->asked++;
    event_set(s->reactor, &s->done, 0);
}

TEST_IN_REACTOR(the_stop_handler_runs_each_time_the_process_is_asked_to_end)
{
    struct stopping s = {.reactor = r};
    reactor_set_stop_handler(r, on_stop, &s);
    raise(SIGTERM);
    CU_ASSERT_EQUAL(event_wait(r, &s.done, PATIENCE), 0);
    raise(SIGINT);
    CU_ASSERT_EQUAL(event_wait(r, &s.done, PATIENCE), 0);
    CU_ASSERT_EQUAL(s.asked, 2);
}

static int ask_from_core_1(struct reactor *r, void *context)
{
    struct stopping *s = context;
    if (reactor_core(r) == 1) {
        reactor_stop(r);
        return 0;
    }
    s->reactor = r;
    reactor_set_stop_handler(r, on_stop, s);
    kill(getpid(), SIGTERM);
    int rc = event_wait(r, &s->done, PATIENCE);
    reactor_stop(r);
    return rc;
}

TEST(a_signal_to_the_process_reaches_core_0)
{
    struct stopping s = {0};
    run_on_cores(2, ask_from_core_1, &s);
    CU_ASSERT_EQUAL(s.asked, 1);
}

/* The second request is not read any more when the loop ends, and does not end the process. */
static int give_up_when_asked(struct reactor *r, void *context)
{
    bool *has_gone_on = context;
    if (reactor_core(r) == 1) {
        task_sleep(r, SECOND / 10);
        *has_gone_on = true;
        reactor_stop(r);
        return 0;
    }
    struct stopping s = {.reactor = r};
    reactor_set_stop_handler(r, on_stop, &s);
    kill(getpid(), SIGTERM);
    CU_ASSERT_EQUAL(event_wait(r, &s.done, PATIENCE), 0);
    reactor_set_stop_handler(r, NULL, NULL);
    kill(getpid(), SIGTERM);
    reactor_give_up(r, TORC_E_TIMEOUT);
    return 0;
}

TEST(a_core_that_gives_up_ends_the_process_with_its_error_and_the_others_go_on)
{
    bool has_gone_on = false;
    char why[256] = "";
    struct reactor_options options = {.core_count = 2, .first_cpu = -1};
    CU_ASSERT_EQUAL(reactor_run(&options, give_up_when_asked, &has_gone_on, why, sizeof why), TORC_E_TIMEOUT);
    CU_ASSERT_TRUE(has_gone_on);
    CU_ASSERT_STRING_EQUAL(why, error_sentence(TORC_E_TIMEOUT));
}

static int give_up_at_once(struct reactor *r, void *context)
{
    bool *has_begun = context;
    if (reactor_core(r) == 0) {
        reactor_give_up(r, TORC_E_TIMEOUT);
        return 0;
    }
    *has_begun = true;
    reactor_stop(r);
    return 0;
}

/* Core 0 may be done before the other has seen that all are there. */
TEST(a_core_that_gives_up_at_once_keeps_no_other_from_beginning)
{
    enum { RUNS = 200 };
    struct reactor_options options = {.core_count = 2, .first_cpu = -1};
    char why[256];
    unsigned begun = 0;
    for (unsigned i = 0; i < RUNS; i++) {
        bool has_begun = false;
        CU_ASSERT_EQUAL(reactor_run(&options, give_up_at_once, &has_begun, why, sizeof why), TORC_E_TIMEOUT);
        begun += has_begun;
    }
    CU_ASSERT_EQUAL(begun, RUNS);
}

static int end_at_once(struct reactor *r, void *context)
{
    (void)context;
    reactor_stop(r);
    return 0;
}

TEST(a_core_that_cannot_be_pinned_says_so)
{
    char why[256] = "";
    struct reactor_options options = {.core_count = 1, .first_cpu = 100000};
    CU_ASSERT_EQUAL(reactor_run(&options, end_at_once, NULL, why, sizeof why), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "pinned"));
}

/* ---- nothing is left ---- */

static const char *lock_directory;

static void take_lock(struct reactor *r)
{
    CU_ASSERT_EQUAL(directory_lock(r, lock_directory), 0);
}

TEST(a_lock_ends_with_its_core)
{
    lock_directory = test_directory();
    test_run_in_reactor(take_lock);
    test_run_in_reactor(take_lock);
}

struct acceptor {
    struct reactor *reactor;
    struct socket *socket;
    int64_t answer;
    struct event came;
    struct event detached;
};

static void acceptor_on_accept(void *context, struct socket *s)
{
    struct acceptor *d = context;
    d->socket = s;
    event_set(d->reactor, &d->came, 0);
}

static unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *directory = opendir(path);
    ASSERT(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void ignore_data(void *owner, struct slice bytes)
{
    (void)owner;
    (void)bytes;
}

static void leave_handle(void *owner, int64_t handle)
{
    struct acceptor *d = owner;
    d->answer = handle;
    event_set(d->reactor, &d->detached, 0);
}

/* Stops with a file, a lock, a listener, two connections, a detached one, and a task in a wait. */
static int litter(struct reactor *r, void *context)
{
    static const struct socket_handlers handlers = {ignore_data, NULL, NULL};
    struct address address = {.host = "127.0.0.1"};
    struct acceptor *d = reactor_alloc_zeroed(r, sizeof *d);
    struct listener *listener;
    struct socket *client;
    struct file *f;
    char path[256];
    snprintf(path, sizeof path, "%s/f%u", (const char *)context, reactor_core(r));
    d->reactor = r;
    int rc = file_open(r, path, FILE_WRITE | FILE_CREATE, &f);
    if (rc == 0)
        rc = socket_listen(r, &address, 16, acceptor_on_accept, d, &listener);
    for (int i = 0; rc == 0 && i < 2; i++) {
        address.port = listener_port(listener);
        rc = socket_connect(r, &address, PATIENCE, &client);
        if (rc == 0)
            rc = event_wait(r, &d->came, PATIENCE);
        if (rc == 0)
            socket_start(d->socket, &handlers, d);
    }
    if (rc)
        return rc;
    if (reactor_core(r) == 0 && directory_lock(r, context))
        return TORC_E_IN_USE;
    socket_detach(d->socket, leave_handle);
    rc = event_wait(r, &d->detached, PATIENCE);
    if (rc == 0 && d->answer <= 0)
        rc = (int)d->answer;
    reactor_stop(r);
    if (rc == 0)
        task_sleep(r, PATIENCE);
    return rc;
}

TEST(a_run_leaves_no_descriptor_and_no_thread)
{
    const char *directory = test_directory();
    run_on_cores(2, litter, (void *)(uintptr_t)directory);
    unsigned before = entries("/proc/self/fd");
    for (int i = 0; i < 20; i++)
        run_on_cores(2, litter, (void *)(uintptr_t)directory);
    CU_ASSERT_EQUAL(entries("/proc/self/fd"), before);
}

/* ---- shortage ---- */

TEST_IN_REACTOR(accepting_rests_when_descriptors_are_out_and_then_goes_on)
{
    struct address address = {.host = "127.0.0.1"};
    struct acceptor d = {.reactor = r};
    struct listener *listener;
    struct socket *client;
    struct rlimit limit, tight;
    CU_ASSERT_EQUAL_FATAL(socket_listen(r, &address, 16, acceptor_on_accept, &d, &listener), 0);
    address.port = listener_port(listener);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    close(next);
    tight = limit;
    tight.rlim_cur = (rlim_t)next + 1; /* one more: the client's */
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
    uint64_t turns = reactor_counters(r).turns;
    CU_ASSERT_EQUAL(socket_connect(r, &address, PATIENCE, &client), 0);
    CU_ASSERT_EQUAL(event_wait(r, &d.came, SECOND / 20), TORC_E_TIMEOUT);
    CU_ASSERT(reactor_counters(r).accept_errors >= 1);
    CU_ASSERT(reactor_counters(r).turns - turns < 50);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_EQUAL(event_wait(r, &d.came, PATIENCE), 0);
}

TEST_IN_REACTOR(a_connect_that_nobody_answers_times_out)
{
    struct address address = {.host = "127.0.0.1"};
    struct socket *sockets[64];
    unsigned count = 0;
    int rc = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* listens and never accepts: its queue fills */
    CU_ASSERT_FATAL(fd >= 0 && listen(fd, 0) == 0);
    struct {
        uint16_t family, port;
        uint8_t rest[28];
    } name = {0};
    socklen_t length = sizeof name;
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)(void *)&name, &length), 0);
    address.port = (uint16_t)((name.port >> 8) | (name.port << 8));
    while (count < ARRAY_COUNT(sockets) && rc == 0)
        rc = socket_connect(r, &address, SECOND / 20, &sockets[count++]);
    CU_ASSERT_EQUAL(rc, TORC_E_TIMEOUT);
    CU_ASSERT_EQUAL(reactor_counters(r).sockets_open, count - 1);
    close(fd);
}

/* ---- the log ---- */

enum { LOG_LINES = 200 };

TEST_IN_REACTOR(a_log_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_counted)
{
    static char text[1 << 16];
    char line[100];
    int pipe_fds[2], before = dup(STDERR_FILENO);
    memset(line, 'x', sizeof line);
    CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
    CU_ASSERT(fcntl(pipe_fds[1], F_SETPIPE_SZ, 4096) >= 4096);
    CU_ASSERT(dup2(pipe_fds[1], STDERR_FILENO) == STDERR_FILENO);
    alarm(20); /* it would wait for ever */
    for (unsigned i = 0; i < LOG_LINES; i++)
        reactor_log_line(r, line, sizeof line);
    uint64_t lost = reactor_counters(r).log_lines_lost;
    ssize_t taken = read(pipe_fds[0], text, sizeof text);
    reactor_log_line(r, line, sizeof line);
    alarm(0);
    CU_ASSERT(dup2(before, STDERR_FILENO) == STDERR_FILENO);
    CU_ASSERT(lost > 0 && lost < LOG_LINES);
    CU_ASSERT_EQUAL((uint64_t)taken, (LOG_LINES - lost) * (sizeof line + 1));
    CU_ASSERT_EQUAL(reactor_counters(r).log_lines_lost, lost);
    CU_ASSERT_EQUAL(read(pipe_fds[0], text, sizeof text), sizeof line + 1);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(before);
}
