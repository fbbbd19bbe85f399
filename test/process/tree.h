/* tree.h - what a directory holds, to tell whether someone touched it, and whole trees removed or spoilt. */
#ifndef TEST_PROCESS_TREE_H
#define TEST_PROCESS_TREE_H

#include <stddef.h>

/* A line for each file and directory below: path, mode, size, time of its last change; in byte order.
 * Freed by the caller. */
char *tree_describe(const char *directory);

/* Writes a small text file, anew. */
void tree_write(const char *directory, const char *name, const char *text);

#endif
