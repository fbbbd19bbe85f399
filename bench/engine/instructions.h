/* instructions.h - the operations whose instructions are counted.
 *
 * An operation is prepared once and then run in rounds, each of the same many operations. The program is run
 * twice under a counter, with few rounds and with more: what one operation costs is the difference divided by
 * how many more there were, so start and preparation drop out (bench/count-instructions). */
#ifndef BENCH_ENGINE_INSTRUCTIONS_H
#define BENCH_ENGINE_INSTRUCTIONS_H

#include "bench/engine/rig.h"

enum { INSTRUCTIONS_ROUNDS_MAX = 8 };

struct harness {
    struct rig rig;
    uint8_t *bytes; /* what an operation works on, prepared; meaning is its own */
    size_t byte_count;
    struct engine_key *keys;
    struct sample_memory *memory; /* of keys or records, one each */
    struct record *records;
    uint32_t count; /* of keys or records */
};

struct counted_operation {
    const char *name;
    const char *what; /* one operation */
    void (*prepare)(struct harness *h);
    uint64_t (*run)(struct harness *h, uint32_t round); /* Returns: operations done */
};

enum { COUNTED_OPERATIONS = 9 };
extern const struct counted_operation counted_operations[COUNTED_OPERATIONS];

/* instructions_wire.c */
void prepare_frames(struct harness *h);
uint64_t run_parse(struct harness *h, uint32_t round);

/* instructions_write.c */
void prepare_puts(struct harness *h);
uint64_t run_put(struct harness *h, uint32_t round);
void prepare_entries(struct harness *h);
uint64_t run_encode(struct harness *h, uint32_t round);
void prepare_runs(struct harness *h);
uint64_t run_merge(struct harness *h, uint32_t round);

/* instructions_read.c */
void prepare_memtable_gets(struct harness *h);
void prepare_block_gets(struct harness *h);
void prepare_row_gets(struct harness *h);
uint64_t run_gets(struct harness *h, uint32_t round);
uint64_t run_block_gets(struct harness *h, uint32_t round);
void prepare_memtable_scan(struct harness *h);
void prepare_table_scan(struct harness *h);
uint64_t run_scan(struct harness *h, uint32_t round);

/* instructions.c: an engine of 20-byte keys and 100-byte values, with memtables that no put fills. */
void harness_open(struct harness *h);
/* Waits until the log, too, has made the files that it wants to have ready. */
void harness_fill(struct harness *h, uint64_t first, uint64_t count);

#endif
