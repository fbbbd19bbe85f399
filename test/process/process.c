/* process.c - starting programs, waiting for them with a deadline, ending them; see process.h. */
#include "test/process/process.h"

#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 512 };

uint64_t process_clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const char *process_program(const char *name, char path[PROCESS_PATH_BYTES])
{
    const char *build = getenv("TORC_BUILD");
    snprintf(path, PROCESS_PATH_BYTES, "%s/%s", build ? build : "build", name);
    return path;
}

/* ---- the child ---- */

static bool redirect(const char *path, int fd)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    return file >= 0 && dup2(file, fd) == fd && close(file) == 0;
}

static char *const *child_environment(const char *one_more)
{
    static char *environment[ENVIRONMENT_MAX + 2];
    size_t count = 0;
    for (char **p = environ; *p && count < ENVIRONMENT_MAX; p++)
        if (strncmp(*p, "TORC_", 5) != 0)
            environment[count++] = *p;
    if (one_more)
        environment[count++] = strdup(one_more);
    environment[count] = NULL;
    return environment;
}

/* Between fork and exec in a program of one thread. */
static _Noreturn void become(const struct process *p, const struct process_options *options, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);
    bool is_ready = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && null >= 0 &&
                    dup2(null, STDIN_FILENO) == STDIN_FILENO && redirect(p->out, STDOUT_FILENO) &&
                    redirect(p->err, STDERR_FILENO);
    if (is_ready && (!options->prepare || options->prepare()))
        execve(options->argv[0], (char *const *)(uintptr_t)options->argv,
               child_environment(options->environment));
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", options->argv[0], strerror(errno));
    _exit(127);
}

bool process_start(struct process *p, const struct process_options *options)
{
    *p = (struct process){.pidfd = -1};
    snprintf(p->out, sizeof p->out, "%s/out.txt", options->directory);
    snprintf(p->err, sizeof p->err, "%s/err.txt", options->directory);
    unlink(p->out);
    unlink(p->err);
    /* There before the child is, so that it can be watched. */
    int err = open(p->err, O_WRONLY | O_CREAT, 0666);
    if (err >= 0)
        close(err);
    pid_t parent = getpid();
    fflush(NULL);
    p->pid = fork();
    if (p->pid == 0)
        become(p, options, parent);
    if (p->pid > 0)
        p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd >= 0)
        return true;
    CU_FAIL("a program cannot be started");
    return false;
}

/* ---- waiting ---- */

static bool reap(struct process *p)
{
    int status = 0;
    if (waitpid(p->pid, &status, WNOHANG) != p->pid)
        return false;
    close(p->pidfd);
    p->pidfd = -1;
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return true;
}

bool process_wait(struct process *p, int timeout_ms)
{
    if (p->pidfd < 0)
        return true;
    struct pollfd end = {.fd = p->pidfd, .events = POLLIN};
    return poll(&end, 1, timeout_ms) == 1 && reap(p);
}

int process_end(struct process *p, int timeout_ms)
{
    if (!process_wait(p, timeout_ms)) {
        CU_FAIL("a program has not ended in its time");
        process_kill(p);
    }
    return p->code;
}

void process_kill(struct process *p)
{
    if (p->pidfd < 0)
        return;
    ASSERT(kill(p->pid, SIGKILL) == 0);
    bool is_gone = process_wait(p, 20000);
    if (!is_gone)
        CU_FAIL("a killed program has not ended");
}

char *process_read_file(const char *path, size_t *bytes)
{
    size_t capacity = 65536, used = 0;
    char *text = malloc(capacity);
    ASSERT(text);
    FILE *f = fopen(path, "re");
    size_t got;
    while (f && (got = fread(text + used, 1, capacity - 1 - used, f)) > 0) {
        used += got;
        if (used + 1 == capacity) {
            capacity *= 2;
            text = realloc(text, capacity);
            ASSERT(text);
        }
    }
    if (f)
        fclose(f);
    text[used] = '\0';
    if (bytes)
        *bytes = used;
    return text;
}

static bool has_line_with(const char *path, const char *text)
{
    char *all = process_read_file(path, NULL);
    const char *at = strstr(all, text);
    bool is_there = at && strchr(at, '\n');
    free(all);
    return is_there;
}

bool process_wait_for_error(struct process *p, const char *text, int timeout_ms)
{
    uint64_t end_ms = process_clock_ms() + (uint64_t)timeout_ms, now_ms;
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ASSERT(watch >= 0 && inotify_add_watch(watch, p->err, IN_MODIFY) >= 0);
    bool is_there = false;
    while (!(is_there = has_line_with(p->err, text)) && (now_ms = process_clock_ms()) < end_ms) {
        struct pollfd fds[] = {{.fd = watch, .events = POLLIN}, {.fd = p->pidfd, .events = POLLIN}};
        poll(fds, 2, (int)(end_ms - now_ms));
        if (fds[1].revents) {
            is_there = has_line_with(p->err, text);
            break;
        }
        char events[4096];
        while (read(watch, events, sizeof events) > 0) {
        }
    }
    close(watch);
    return is_there;
}
