/* offline.h - commands that look into data directories and files of torc without a server.
 *
 * They run the reactor in this process, write what they find to standard output and what keeps them from it
 * to standard error. Nothing that they look at is changed. */
#ifndef OFFLINE_OFFLINE_H
#define OFFLINE_OFFLINE_H

#include <stdarg.h>
#include <stdint.h>

enum offline_exit {
    OFFLINE_GOOD = 0,
    OFFLINE_DAMAGED = 1, /* damage was found and told */
    OFFLINE_FAILED = 2,  /* it could not be looked at */
};

/* Writes what a table, a file of the log or a manifest holds, one line an entry; damaged parts are named and
 * passed over. Returns: an enum offline_exit. */
int offline_dump(const char *path);

struct offline_restore {
    const char *backup;  /* the directory of backups, one of them, or a snapshot */
    const char *data;    /* made; nothing may be there */
    const char *archive; /* where log/ is; null: with the backups */
    uint64_t clock;      /* the moment, as a version clock; UINT64_MAX: that of the newest backup, or, with an
                            archive named, all there is */
};
/* Makes a data directory as it was at a moment. Returns: an enum offline_exit. */
int offline_restore(const struct offline_restore *o);

/* Restores the newest backup into `scratch`, which is made and removed, and compares: each file with the
 * catalogue, each record with what the files say. Returns: an enum offline_exit. */
int offline_verify(const char *backup, const char *scratch);

/* Reads all of a data directory that no server uses and says what is wrong with it. Returns: an enum
 * offline_exit. */
int offline_check(const char *directory);

/* How all of the command line says what keeps it from its work: "torc: ..." and a newline on standard
 * error. */
void offline_say(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

#endif
