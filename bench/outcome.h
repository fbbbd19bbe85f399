/* outcome.h - errors counted by code, and what to call them. */
#ifndef BENCH_OUTCOME_H
#define BENCH_OUTCOME_H

#include <stdint.h>

enum { OUTCOME_KINDS_MAX = 16 };

/* All zeros is empty. What finds no row is counted in the last one, under its own code. */
struct outcome_counts {
    uint32_t kinds;
    struct outcome_row {
        int code;
        uint64_t count;
    } rows[OUTCOME_KINDS_MAX];
};

void outcome_add(struct outcome_counts *o, int code, uint64_t count);
void outcome_merge(struct outcome_counts *into, const struct outcome_counts *from);

/* "OVERLOADED", "WRONG_VALUE", "ERROR_REPLY", for -errno "SYSTEM". */
const char *outcome_name(int code);
const char *outcome_sentence(int code);

#endif
