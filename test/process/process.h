/* process.h - a program that a test runs, and never leaves behind.
 *
 * Its standard output and error go to files, so it is never held up by a full pipe. Whatever is waited for
 * has a deadline; a program that misses it fails the test and is killed. All children die with the test. */
#ifndef TEST_PROCESS_PROCESS_H
#define TEST_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_PATH_BYTES = 512, PROCESS_ARGUMENTS_MAX = 32, PROCESS_KILLED = -1, PROCESS_LATE = -2 };

struct process {
    pid_t pid;
    int pidfd; /* -1: it is not running */
    char out[PROCESS_PATH_BYTES];
    char err[PROCESS_PATH_BYTES];
    int code; /* when it has ended: 0 to 255, or minus the signal that ended it */
};

struct process_options {
    const char *const *argv; /* ended by null */
    const char *directory;   /* out.txt and err.txt are written there, anew */
    const char *environment; /* one more NAME=VALUE; may be null */
    bool (*prepare)(void);   /* called in the child before the program; may be null */
};

/* The path of a program that is tested: build/NAME, or TORC_BUILD/NAME. Static per call of the same name. */
const char *process_program(const char *name, char path[PROCESS_PATH_BYTES]);

/* The environment's TORC_ variables are not handed on. Fails the test and returns false when it cannot be
 * started. */
bool process_start(struct process *p, const struct process_options *options);

/* Waits until it has ended. Returns: false when it has not within `timeout_ms`. */
bool process_wait(struct process *p, int timeout_ms);
/* As process_wait, but a program that is late fails the test and is killed. Returns: p->code. */
int process_end(struct process *p, int timeout_ms);
/* With SIGKILL, unless it has ended already. */
void process_kill(struct process *p);

/* Waits until its error output holds `text` and the line's end. Returns: false when the program has ended or
 * `timeout_ms` has passed before. */
bool process_wait_for_error(struct process *p, const char *text, int timeout_ms);

/* The whole of a file, with a null byte behind it; freed by the caller. *bytes may be null. */
char *process_read_file(const char *path, size_t *bytes);

uint64_t process_clock_ms(void);

#endif
