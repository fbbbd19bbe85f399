/* outcome.c - errors by code. */
#include "bench/outcome.h"

#include "bench/driver.h"

void outcome_add(struct outcome_counts *o, int code, uint64_t count)
{
    uint32_t at = 0;
    while (at < o->kinds && o->rows[at].code != code)
        at++;
    if (at == OUTCOME_KINDS_MAX)
        at--;
    if (at == o->kinds) {
        o->rows[at] = (struct outcome_row){.code = code};
        o->kinds++;
    }
    o->rows[at].count += count;
}

void outcome_merge(struct outcome_counts *into, const struct outcome_counts *from)
{
    for (uint32_t i = 0; i < from->kinds; i++)
        outcome_add(into, from->rows[i].code, from->rows[i].count);
}

const char *outcome_name(int code)
{
    if (code == DRIVER_E_REPLY)
        return "ERROR_REPLY";
    if (code == DRIVER_E_VALUE)
        return "WRONG_VALUE";
    return error_name(code);
}

const char *outcome_sentence(int code)
{
    if (code == DRIVER_E_REPLY)
        return "the server answered with an error of its own";
    if (code == DRIVER_E_VALUE)
        return "a value came back that was never written under its key";
    return error_sentence(code);
}
