/* offline.h - commands that look into data directories and files of torc without a server.
 *
 * They run the reactor in this process, write what they find to standard output and what keeps them from it
 * to standard error. Nothing that they look at is changed. */
#ifndef OFFLINE_OFFLINE_H
#define OFFLINE_OFFLINE_H

enum offline_exit {
    OFFLINE_GOOD = 0,
    OFFLINE_DAMAGED = 1, /* damage was found and told */
    OFFLINE_FAILED = 2,  /* it could not be looked at */
};

/* Writes what a table, a file of the log or a manifest holds, one line an entry; damaged parts are named and
 * passed over. Returns: an enum offline_exit. */
int offline_dump(const char *path);

#endif
