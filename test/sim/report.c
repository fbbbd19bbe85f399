/* report.c - totals, counters and what was never hit; see report.h. */
#include "test/sim/report.h"

#include "reactor/base/mark.h"

#include <stdio.h>

static bool is_run(const struct sim_options *o, unsigned index)
{
    return !o->kind || o->kind == history_kind_at(index);
}

static uint64_t possible_faults(const struct sim_options *o)
{
    uint64_t set = 0;
    for (unsigned i = 0; i < history_kind_count(); i++)
        if (is_run(o, i))
            set |= history_kind_at(i)->faults;
    if (o->filter.only)
        set &= o->filter.only;
    return set & ~o->filter.without;
}

void report_faults(void)
{
    char name[64];
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        fault_option_name((enum sim_fault)i, name, sizeof name);
        printf("  %-20s %s\n", name, sim_fault_name((enum sim_fault)i));
    }
}

static void print_faults(const struct sim_options *o, const struct tally *t)
{
    char name[64];
    printf("faults\n");
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        fault_option_name((enum sim_fault)i, name, sizeof name);
        if (possible_faults(o) >> i & 1)
            printf("  %12llu  %s\n", (unsigned long long)t->faults[i], name);
    }
}

#ifdef TORC_MARKS

static bool is_mark_due(const struct sim_options *o, const struct mark *m)
{
    for (unsigned i = 0; i < history_kind_count(); i++)
        if (is_run(o, i)) {
            const char *folder = history_kind_at(i)->folder;
            if (strncmp(m->file, folder, strlen(folder)) == 0)
                return true;
        }
    return false;
}

static void print_marks(const struct sim_options *o, const struct tally *t)
{
    printf("marks\n");
    for (size_t i = 0; i < marks_count(); i++)
        if (is_mark_due(o, mark_at(i)))
            printf("  %12llu  %s (%s:%u)\n", (unsigned long long)t->marks[i], mark_at(i)->name,
                   mark_at(i)->file, mark_at(i)->line);
}

static unsigned missing_marks(const struct sim_options *o, const struct tally *t)
{
    unsigned missing = 0, due = 0;
    for (size_t i = 0; i < marks_count(); i++)
        if (is_mark_due(o, mark_at(i))) {
            due++;
            if (t->marks[i] > 0)
                continue;
            printf("never reached: %s (%s:%u)\n", mark_at(i)->name, mark_at(i)->file, mark_at(i)->line);
            missing++;
        }
    if (due == 0)
        printf("no mark was built in\n");
    return missing + (due == 0);
}

#else

static void print_marks(const struct sim_options *o, const struct tally *t)
{
    (void)o, (void)t;
}

static unsigned missing_marks(const struct sim_options *o, const struct tally *t)
{
    (void)o, (void)t;
    printf("marks were not built in\n");
    return 1;
}

#endif

static void print_one(const char *words, uint64_t value)
{
    if (value)
        printf("  %12llu  %s\n", (unsigned long long)value, words);
}

void report_totals(const struct sim_options *o, const struct tally *t)
{
    printf("totals\n");
#define REPORT_ONE(name, words) print_one(words, t->name);
    TALLY_LIST(REPORT_ONE)
#undef REPORT_ONE
    if (!o->wants_counters)
        return;
    print_faults(o, t);
    print_marks(o, t);
}

unsigned report_missing(const struct sim_options *o, const struct tally *t)
{
    char name[64];
    unsigned missing = 0;
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        if ((possible_faults(o) >> i & 1) && t->faults[i] == 0) {
            fault_option_name((enum sim_fault)i, name, sizeof name);
            printf("never happened: %s\n", name);
            missing++;
        }
    return missing + missing_marks(o, t);
}

static unsigned is_below(const char *words, uint64_t value, uint64_t least)
{
    if (value >= least)
        return 0;
    printf("too few: %llu %s, not %llu\n", (unsigned long long)value, words, (unsigned long long)least);
    return 1;
}

unsigned report_shortfall(const struct sim_options *o, const struct tally *t, uint64_t asked)
{
    uint64_t histories = asked == UINT64_MAX ? 1 : asked;
    return is_below("histories", t->histories, histories) +
           is_below("operations", t->operations, o->operations_min) +
           is_below("corruptions injected", t->corruptions, o->corruptions_min);
}
