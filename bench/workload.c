/* workload.c - the mixes by name. */
#include "bench/workload.h"

#include "reactor/base/assert.h"

#include <stddef.h>
#include <string.h>

static const struct workload workloads[] = {
    {.name = "a",
     .description = "YCSB A: 50 % get, 50 % put",
     .share = {[OPERATION_GET] = 0.5, [OPERATION_PUT] = 0.5},
     .distribution = DISTRIBUTION_ZIPFIAN},
    {.name = "b",
     .description = "YCSB B: 95 % get, 5 % put",
     .share = {[OPERATION_GET] = 0.95, [OPERATION_PUT] = 0.05},
     .distribution = DISTRIBUTION_ZIPFIAN},
    {.name = "c",
     .description = "YCSB C: gets only",
     .share = {[OPERATION_GET] = 1.0},
     .distribution = DISTRIBUTION_ZIPFIAN},
    {.name = "d",
     .description = "YCSB D: 95 % get, 5 % insert",
     .share = {[OPERATION_GET] = 0.95, [OPERATION_INSERT] = 0.05},
     .distribution = DISTRIBUTION_LATEST},
    {.name = "e",
     .description = "YCSB E: 95 % scan, 5 % insert",
     .share = {[OPERATION_SCAN] = 0.95, [OPERATION_INSERT] = 0.05},
     .distribution = DISTRIBUTION_ZIPFIAN},
    {.name = "f",
     .description = "YCSB F: 50 % get, 50 % read-modify-write",
     .share = {[OPERATION_GET] = 0.5, [OPERATION_MODIFY] = 0.5},
     .distribution = DISTRIBUTION_ZIPFIAN},
    {.name = "get",
     .description = "gets only",
     .share = {[OPERATION_GET] = 1.0},
     .distribution = DISTRIBUTION_UNIFORM},
    {.name = "put",
     .description = "puts of existing keys",
     .share = {[OPERATION_PUT] = 1.0},
     .distribution = DISTRIBUTION_UNIFORM},
    {.name = "delete",
     .description = "deletes",
     .share = {[OPERATION_DELETE] = 1.0},
     .distribution = DISTRIBUTION_UNIFORM},
    {.name = "absent",
     .description = "gets of keys that are not there",
     .share = {[OPERATION_GET] = 1.0},
     .distribution = DISTRIBUTION_UNIFORM,
     .asks_absent = true},
    {.name = "scan",
     .description = "short ranges only",
     .share = {[OPERATION_SCAN] = 1.0},
     .distribution = DISTRIBUTION_ZIPFIAN},
    {.name = "walk",
     .description = "scans of all keys",
     .share = {[OPERATION_SCAN] = 1.0},
     .distribution = DISTRIBUTION_UNIFORM,
     .walks_all = true},
    {.name = "mixed",
     .description = "gets and puts by --read-ratio",
     .share = {0},
     .distribution = DISTRIBUTION_UNIFORM},
};

const char *operation_name(enum operation op)
{
    switch (op) {
    case OPERATION_GET:
        return "get";
    case OPERATION_PUT:
        return "put";
    case OPERATION_INSERT:
        return "insert";
    case OPERATION_SCAN:
        return "scan";
    case OPERATION_MODIFY:
        return "read_modify_write";
    case OPERATION_DELETE:
        return "delete";
    case OPERATION_COUNT:
        break;
    }
    return "?";
}

bool workload_find(const char *name, double read_ratio, struct workload *out)
{
    ASSERT(read_ratio >= 0.0 && read_ratio <= 1.0);
    for (size_t i = 0; i < ARRAY_COUNT(workloads); i++) {
        if (strcmp(workloads[i].name, name) != 0)
            continue;
        *out = workloads[i];
        if (strcmp(name, "mixed") == 0) {
            out->share[OPERATION_GET] = read_ratio;
            out->share[OPERATION_PUT] = 1.0 - read_ratio;
        }
        return true;
    }
    return false;
}

void workload_mix_init(struct workload_mix *m, const struct workload *w)
{
    double sum = 0.0;
    int last = -1;
    for (int op = 0; op < OPERATION_COUNT; op++) {
        sum += w->share[op];
        /* A word is of this kind when it is at most `below`; a share of nothing has no word, not even 0. */
        m->below[op] = sum >= 1.0 - 1e-12 ? UINT64_MAX : (uint64_t)(sum * 0x1p64);
        if (w->share[op] > 0.0)
            last = op;
    }
    ASSERT(last >= 0 && sum > 0.999 && sum < 1.001);
}
