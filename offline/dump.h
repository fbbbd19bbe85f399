/* dump.h - what `torc dump --raw` prints of each kind of file. */
#ifndef OFFLINE_DUMP_H
#define OFFLINE_DUMP_H

#include "reactor/reactor.h"

/* All wait and return an enum offline_exit. */
int dump_table(struct reactor *r, const char *path);
int dump_log(struct reactor *r, const char *path);
int dump_values(struct reactor *r, const char *path, uint64_t number); /* of the file */
int dump_manifest(struct reactor *r, const char *path);

/* Reads the first TABLE_UNIT_BYTES of the file, or the last. Waits. Returns: 0, TORC_E_CORRUPT when it is too
 * short, or an error. */
MUST_CHECK int dump_read_unit(struct reactor *r, const char *path, bool is_last, uint8_t *unit);

#endif
