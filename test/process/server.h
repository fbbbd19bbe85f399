/* server.h - a torcd under test: started on a port of the system's choice, stopped, killed, started again. */
#ifndef TEST_PROCESS_SERVER_H
#define TEST_PROCESS_SERVER_H

#include "test/process/process.h"

enum { SERVER_START_MS = 30000, SERVER_STOP_MS = 20000, SERVER_ARGUMENTS_MAX = 16 };

struct server {
    struct process process;
    char directory[PROCESS_PATH_BYTES]; /* of its output */
    char data[PROCESS_PATH_BYTES];
    char address[32]; /* 127.0.0.1:PORT */
    uint16_t port;
    const char *arguments[SERVER_ARGUMENTS_MAX + 1];
    bool (*prepare)(void); /* in the child before torcd begins; null from server_init */
};

/* `data` null: a fresh directory under build/. `arguments` are options of torcd, ended by null, or null;
 * borrowed. Starts nothing. */
void server_init(struct server *s, const char *data, const char *const *arguments);

/* Starts it and waits for nothing. */
bool server_launch(struct server *s);
/* Waits until it serves. Fails the test, shows its log and returns false when it does not. */
bool server_start(struct server *s);
/* With SIGKILL. It must have been alive until then. */
void server_crash(struct server *s);
/* With SIGTERM. It must end with 0 in time; fails the test otherwise. */
void server_stop(struct server *s);

/* For a server that refuses to start: runs it until it ends, 10 seconds at most. Returns: its exit code.
 * *errors is what it wrote to standard error; freed by the caller. */
int server_run(struct server *s, char **errors);
/* The same for one whose log is looked at afterwards. */
char *server_log(const struct server *s);

/* A number of its line event=serving: server_said(s, "log_replay_ms"). */
uint64_t server_said(const struct server *s, const char *name);

/* A counter of `torc info`, over a connection of its own: server_counter(s, "reactor", "kernel_enters").
 * Fails the test when there is none. */
double server_counter(const struct server *s, const char *section, const char *name);

#endif
