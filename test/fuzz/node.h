/* node.h - a simulated node with one core and an empty disk, for parsers that read files.
 *
 * Nothing fails in its world, and all of it is gone when the call returns: an iteration is as good as the
 * last. */
#ifndef TEST_FUZZ_NODE_H
#define TEST_FUZZ_NODE_H

#include "reactor/reactor.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_DIRECTORY "data"

/* Runs `body` as the main task of the node, in whose disk the directory FUZZ_DIRECTORY is. Ends the process
 * when the body waits for ever, or leaves a file, a task, a timer or memory behind. */
void fuzz_run_node(void (*body)(struct reactor *r, void *context), void *context);

/* Waits. Makes the file of these bytes. */
void fuzz_write_file(struct reactor *r, const char *path, struct slice bytes);

/* Waits. Returns: the bytes of the file, padded with zeros to whole units of 4 KiB, in memory for
 * reactor_free. */
uint8_t *fuzz_read_file(struct reactor *r, const char *path, size_t *bytes);

#endif
