/* dump.h - what `torc dump --raw` prints of each kind of file. All wait and return an enum offline_exit. */
#ifndef OFFLINE_DUMP_H
#define OFFLINE_DUMP_H

#include "reactor/reactor.h"

int dump_table(struct reactor *r, const char *path);
int dump_log(struct reactor *r, const char *path);
int dump_values(struct reactor *r, const char *path, uint64_t number); /* of the file */
int dump_manifest(struct reactor *r, const char *path);

#endif
