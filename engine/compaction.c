/* compaction.c - the task that merges, one thing at a time; see compaction.h.
 *
 * A tombstone, or a record that has expired, is dropped when no run outside of the merge may hold an older
 * version of its key: the filters tell. What is in memtables is newer than what is in tables, since versions
 * are stamped in ascending order. */
#include "engine/compaction.h"
#include "reactor/base/mark.h"

#include <math.h>

enum {
    TIER_RUNS = 8,       /* merged at once, at most */
    TIER_RUNS_LEAST = 4, /* at least, */
    IDLE_TIER_RUNS = 2,  /* or while nothing is written: a get asks fewer filters */
    TIER_FACTOR = 8,
    TIERS_MAX = 16,
    TRIGGER_MEMTABLES = 4,
    DEBT_PER_CENT = 140, /* of what slows nobody: upper runs never hold more */
    TIER_ROOM_MEMTABLES = 2,
    FRAGMENTS_PER_TURN = 16,     /* of what makes room */
    IDLE_SHARE = 64,             /* of a memtable: less than that is nothing */
    TABLE_BYTES_LEAST = 16 << 10 /* of a table of few records: block, index, filter, footer */
};

/* Of the live data: what upper runs and garbage in value logs may take together, about. */
static const double SPARE_PER_CENT = 26, SPARE_PER_CENT_OF_TABLES = 34;

#define LOOK_NS UINT64_C(5000000000) /* between looks whether anything is written */

/* ---- runs ---- */

bool compaction_is_damaged(const struct table_run *run)
{
    for (uint32_t i = 0; i < run->count; i++)
        if (run->tables[i]->is_damaged)
            return true;
    return false;
}

bool compaction_is_upper(const struct table_run *run)
{
    return !table_run_is_bottom(run) && !compaction_is_damaged(run);
}

/* Upper runs of a share t of the bottom cost about b / 2t bytes of merging for a byte written, where tables
 * hold the share b of the bottom, and value logs with a share g of garbage 1 / 2g of moving. Where t and g
 * have one sum both together are least with t / g = sqrt(b): half of it without value logs, a sixth of it
 * where tables are 4 % of all. Value logs are above their share while the garbage in them is moved, so they
 * leave less. */
static double trigger_per_cent(const struct table_run *bottom)
{
    double tables = (double)bottom->bytes / (double)table_run_full_bytes(bottom), root = sqrt(tables);
    double spare = SPARE_PER_CENT + (SPARE_PER_CENT_OF_TABLES - SPARE_PER_CENT) * tables;
    return spare * root / (1 + root);
}

static uint64_t trigger_least(const struct engine *e)
{
    uint64_t memtable = e->options.memtable_bytes;
    return TRIGGER_MEMTABLES * (memtable > TABLE_BYTES_LEAST ? memtable : TABLE_BYTES_LEAST);
}

uint64_t compaction_trigger_bytes(const struct engine *e)
{
    uint64_t least = trigger_least(e);
    const struct table_run *bottom = table_set_bottom(e->tables);
    if (!bottom)
        return least;
    uint64_t share = (uint64_t)((double)(table_run_full_bytes(bottom) / 100) * trigger_per_cent(bottom));
    return share > least ? share : least;
}

uint64_t compaction_upper_bytes(const struct engine *e)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        if (compaction_is_upper(&e->tables->runs[i]))
            bytes += table_run_full_bytes(&e->tables->runs[i]);
    return bytes;
}

/* The trigger falls with the bottom, as when much of that has expired: nobody has made that debt, so what is
 * free falls no faster than upper runs. */
static uint64_t free_debt(const struct engine *e, uint64_t trigger, uint64_t upper)
{
    uint64_t before = e->pace.merge_debt.free;
    uint64_t held = before < upper ? before : upper;
    return trigger > held ? trigger : held;
}

static uint64_t debt_limit(const struct engine *e, uint64_t free_bytes)
{
    uint64_t share = free_bytes / 100 * DEBT_PER_CENT;
    uint64_t least = free_bytes + trigger_least(e);
    return share > least ? share : least;
}

/* A stretch takes twice the share of upper runs through the bottom that they have over all: at what rate? */
void compaction_refresh_debt(struct engine *e)
{
    uint64_t trigger = compaction_trigger_bytes(e), upper = compaction_upper_bytes(e);
    const struct table_run *bottom = table_set_bottom(e->tables);
    double ahead = 2.0 * (double)(upper > trigger ? upper : trigger);
    double all = ahead + (bottom ? (double)table_run_full_bytes(bottom) : 0);
    uint64_t free_bytes = free_debt(e, trigger, upper);
    e->pace.merge_debt = (struct pace_debt){
        .bytes = upper,
        .free = free_bytes,
        .limit = debt_limit(e, free_bytes),
        .rate = (uint64_t)((double)e->pace.merge_rate * ahead / all),
    };
}

/* ---- one merge ---- */

int merging_init(struct engine *e, struct merging *m)
{
    struct table_set *set = e->tables;
    *m = (struct merging){.set = set};
    table_set_hold(set);
    m->inputs = reactor_alloc(e->reactor, (set->run_count + 1) * sizeof *m->inputs);
    m->older = reactor_alloc(e->reactor, (2 * set->run_count + 1) * sizeof *m->older);
    m->removed = reactor_alloc(e->reactor, (set->count + 1) * sizeof(struct table_ref *));
    return m->inputs && m->older && m->removed ? 0 : TORC_E_NO_MEMORY;
}

void merging_deinit(struct engine *e, struct merging *m)
{
    reactor_free(e->reactor, m->inputs);
    reactor_free(e->reactor, m->older);
    reactor_free(e->reactor, (void *)m->removed);
    table_set_release(m->set);
}

struct table_run merging_part(const struct table_run *run, uint32_t first, uint32_t end)
{
    ASSERT(first <= end && end <= run->count);
    struct table_run part = {.tables = run->tables + first, .count = end - first};
    for (uint32_t i = first; i < end; i++) {
        part.clock_max =
            run->tables[i]->clock_max > part.clock_max ? run->tables[i]->clock_max : part.clock_max;
        part.bytes += run->tables[i]->bytes;
        part.value_bytes += value_refs_bytes(&run->tables[i]->values);
    }
    return part;
}

void compaction_set_aside(struct engine *e, const struct merge *merge, int code)
{
    struct table_ref *ref = merge->sources[merge->place.source].run->tables[merge->place.table];
    char path[ENGINE_PATH_MAX];
    engine_table_path(e, ref->number, path);
    MARK(table_that_a_merge_cannot_read_is_set_aside);
    ref->is_damaged = true;
    engine_tell(e, "table_damaged",
                "%s: %s; what is whole of it is served, and it is not merged until the next start", path,
                error_sentence(code));
}

/* As they are paid for when they are read: not compressed, and without what surrounds them. */
static uint64_t bytes_of_entries(const struct table_summary *s)
{
    return s->payload_bytes + s->entries * ENTRY_HEADER_BYTES + s->expiring * ENTRY_EXPIRY_BYTES;
}

void merging_count(const struct engine *e, struct merging *m, const struct table_ref *ref, double share)
{
    uint64_t moved = values_collectable_bytes(e, &ref->values);
    uint64_t spent = bytes_of_entries(table_summary(ref->table)) + moved;
    m->bytes += (uint64_t)(share * (double)(ref->bytes + moved));
    m->work += (uint64_t)(share * (double)spent);
}

void merging_count_run(const struct engine *e, struct merging *m, const struct table_run *run)
{
    for (uint32_t i = 0; i < run->count; i++)
        merging_count(e, m, run->tables[i], 1);
}

static bool is_room_wanted(const struct engine *e)
{
    return e->is_out_of_room || wal_is_out_of_room(e->wal);
}

/* Waits. The bytes that a merge may write. */
static uint64_t room_on_disk(struct engine *e)
{
    bool is_wanted = is_room_wanted(e);
    uint64_t kept = is_wanted ? e->options.segment_bytes : 0, free_bytes = 0;
    int rc = directory_free_bytes(e->reactor, e->directory, &free_bytes);
    if (rc)
        return is_wanted ? 0 : UINT64_MAX; /* not known: the merge finds out */
    return free_bytes > kept ? free_bytes - kept : 0;
}

/* A merge that does not fit would fill the disk, fail, and do so again. While the log or a flush waits for
 * room a merge takes none of it: what it may write, and a file of the log, must both find a place. */
bool compaction_fits(struct engine *e, const struct merging *m)
{
    e->is_room_short = room_on_disk(e) < m->bytes;
    if (!e->is_room_short)
        return true;
    if (is_room_wanted(e))
        MARK(merge_leaves_the_room_to_the_log);
    return false;
}

/* Of the largest input: the bottom's, where it has one. */
static uint64_t entry_bytes_of(const struct merging *m)
{
    const struct table_run *largest = &m->inputs[0];
    for (uint32_t i = 1; i < m->input_count; i++)
        largest = m->inputs[i].bytes > largest->bytes ? &m->inputs[i] : largest;
    return build_entry_bytes(largest->tables, largest->count);
}

static int build_tables(struct engine *e, struct merging *m, struct build *b)
{
    struct merge merge;
    int rc = merge_init(&merge, e->reactor, m->input_count);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < m->input_count; i++)
        merge_add_run(&merge, &m->inputs[i], TABLE_CURSOR_BULK);
    if (b->losses)
        merge_give_up(&merge, b->losses);
    b->merge = &merge;
    b->pace = &e->pace;
    b->entry_bytes = entry_bytes_of(m);
    b->older = m->older;
    b->older_count = m->older_count;
    rc = engine_build_tables(e, b);
    if (b->is_input_bad) {
        compaction_set_aside(e, &merge, rc);
        rc = TORC_E_CANCELLED; /* told; other tables may be merged at once */
    }
    merge_deinit(&merge);
    return rc;
}

static void count(struct engine *e, const struct build *b, uint64_t bytes)
{
    e->counters.compactions++;
    e->counters.compacted_bytes += bytes;
    if (b->level == TABLE_LEVEL_BOTTOM)
        e->counters.compacted_bottom_bytes += bytes;
    else
        e->counters.compacted_tier_bytes += bytes;
}

int compaction_merge(struct engine *e, struct merging *m, struct build *b)
{
    int rc = 0;
    if (m->input_count > 0)
        rc = compaction_fits(e, m) ? build_tables(e, m, b) : TORC_E_OVERLOADED;
    if (rc == 0) {
        uint64_t bytes = build_bytes(b);
        rc = engine_change_tables(e, &(struct tables_change){
                                         .added = b->tables,
                                         .added_count = b->count,
                                         .removed = m->removed,
                                         .removed_count = m->removed_count,
                                     });
        if (rc == 0)
            count(e, b, bytes);
    }
    build_deinit(e, b);
    return rc;
}

/* ---- tiers ---- */

struct tier {
    const struct table_run *runs[TIER_RUNS]; /* of the set there is, oldest first */
    uint32_t count;
    uint32_t tier;
    uint64_t bytes; /* of all of them, and what they point to */
};

/* What a memtable becomes is of tier 1. Tier 0 is for what is far smaller, as when the log is full of writes
 * of one key: it need not be merged with those. */
static uint32_t tier_of(const struct engine *e, const struct table_run *run)
{
    uint64_t limit = e->options.memtable_bytes * 2 / TIER_FACTOR;
    uint32_t tier = 0;
    for (; tier + 1 < TIERS_MAX && table_run_full_bytes(run) > limit; tier++)
        limit *= TIER_FACTOR;
    return tier;
}

/* Rounds take whatever there is, so a byte need not be merged before: but for the places that gets and scans
 * must ask. Returns: so many of one tier are merged; 0: none. */
static uint32_t runs_wanted(const struct engine *e)
{
    if (e->is_idle)
        return IDLE_TIER_RUNS;
    return e->tables->run_count > e->options.runs_max ? TIER_RUNS_LEAST : 0;
}

static void drop_oldest(struct tier *t)
{
    t->bytes -= table_run_full_bytes(t->runs[0]);
    memmove(&t->runs[0], &t->runs[1], --t->count * sizeof t->runs[0]);
}

/* The oldest of the tier that follow each other in it and together stay below half of what begins a round. */
static bool pick_of_tier(const struct engine *e, uint32_t tier, uint32_t wanted, struct tier *t)
{
    const struct table_set *set = e->tables;
    uint64_t room = compaction_trigger_bytes(e) / 2;
    *t = (struct tier){.tier = tier};
    for (uint32_t i = set->run_count; i-- > 0 && t->count < TIER_RUNS;) {
        const struct table_run *run = &set->runs[i];
        uint64_t bytes = table_run_full_bytes(run);
        if (!compaction_is_upper(run) || tier_of(e, run) != tier)
            continue;
        if (t->bytes + bytes > room && t->count >= wanted)
            break;
        while (t->bytes + bytes > room && t->count > 0)
            drop_oldest(t);
        if (bytes > room)
            continue;
        t->bytes += bytes;
        t->runs[t->count++] = run;
    }
    return t->count >= wanted;
}

static bool pick_tier(const struct engine *e, struct tier *t)
{
    uint32_t wanted = runs_wanted(e);
    for (uint32_t tier = 0; wanted > 0 && tier < TIERS_MAX; tier++)
        if (pick_of_tier(e, tier, wanted, t))
            return true;
    return false;
}

static bool is_picked(const struct tier *t, const struct table_run *run)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->runs[i] == run)
            return true;
    return false;
}

static void plan_tier(const struct engine *e, struct merging *m, const struct tier *t)
{
    for (uint32_t i = 0; i < m->set->run_count; i++) {
        const struct table_run *run = &m->set->runs[i];
        if (!is_picked(t, run)) {
            m->older[m->older_count++] = *run;
            continue;
        }
        m->inputs[m->input_count++] = *run;
        merging_count_run(e, m, run);
        for (uint32_t j = 0; j < run->count; j++)
            m->removed[m->removed_count++] = run->tables[j];
    }
}

static int merge_tier(struct engine *e, const struct tier *t)
{
    struct merging m;
    struct build build = {.level = t->tier + 1};
    int rc = merging_init(e, &m);
    if (rc == 0) {
        plan_tier(e, &m, t);
        build.table_bytes = build_table_bytes_of_run(e, t->bytes);
        pace_plan(&e->pace, m.work, TIER_ROOM_MEMTABLES * e->options.memtable_bytes);
        rc = compaction_merge(e, &m, &build);
    }
    merging_deinit(e, &m);
    return rc;
}

/* ---- one table ---- */

/* The table that holds most of what is to leave value logs that are collected: it is written again where it
 * stands, and its values move. Of those of which both take no more than `room`. */
static bool pick_for_values(const struct engine *e, uint64_t room, struct compaction_place *p)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < e->tables->run_count; i++)
        for (uint32_t j = 0; j < e->tables->runs[i].count; j++) {
            const struct table_ref *ref = e->tables->runs[i].tables[j];
            uint64_t bytes = ref->is_damaged ? 0 : values_collectable_bytes(e, &ref->values);
            if (bytes <= most || ref->bytes + bytes > room)
                continue;
            most = bytes;
            *p = (struct compaction_place){&e->tables->runs[i], j};
        }
    return most > 0;
}

/* No other table of the run can have its keys. */
static void plan_table(const struct engine *e, struct merging *m, const struct compaction_place *p)
{
    for (uint32_t i = 0; i < m->set->run_count; i++)
        if (&m->set->runs[i] != p->run)
            m->older[m->older_count++] = m->set->runs[i];
    m->inputs[m->input_count++] = merging_part(p->run, p->table, p->table + 1);
    m->removed[m->removed_count++] = p->run->tables[p->table];
    merging_count_run(e, m, &m->inputs[0]);
}

int compaction_merge_table(struct engine *e, const struct compaction_place *p, struct table_losses *losses)
{
    const struct table_ref *ref = p->run->tables[p->table];
    struct merging m;
    struct build build = {.level = ref->level, .run = ref->run, .losses = losses};
    int rc = merging_init(e, &m);
    if (rc == 0) {
        plan_table(e, &m, p);
        m.bytes += losses ? value_refs_lost_bytes(&ref->values) : 0;
        pace_plan(&e->pace, m.work, e->options.memtable_bytes);
        rc = compaction_merge(e, &m, &build);
    }
    merging_deinit(e, &m);
    return rc;
}

/* ---- the task ---- */

void engine_suspect_table(struct engine *e, uint64_t number)
{
    for (uint32_t i = 0; i < e->tables->count; i++)
        if (e->tables->tables[i]->number == number)
            e->tables->tables[i]->is_suspect = true;
}

/* Between two merges: nothing counts on their runs. */
static void believe_suspicions(struct engine *e)
{
    for (uint32_t i = 0; i < e->tables->count; i++)
        e->tables->tables[i]->is_damaged |= e->tables->tables[i]->is_suspect;
}

/* Takes a table that cannot be read whole out of a run of many, so that the others go on. Returns: 1 when
 * there was one, 0, or an error. */
static int separate_damaged(struct engine *e)
{
    const struct table_set *set = e->tables;
    for (uint32_t i = 0; i < set->run_count; i++)
        for (uint32_t j = 0; j < set->runs[i].count; j++) {
            const struct table_run *run = &set->runs[i];
            if (!run->tables[j]->is_damaged || (run->count == 1 && !table_run_is_bottom(run)))
                continue;
            if (e->is_accepting) /* it may be about to go */
                return TORC_E_OVERLOADED;
            MARK(damaged_table_becomes_a_run_of_its_own);
            int rc = engine_separate_table(e, run->tables[j]);
            return rc ? rc : 1;
        }
    return 0;
}

/* Returns: as compact_once. */
static int merge_for_values(struct engine *e)
{
    struct compaction_place place;
    if (!pick_for_values(e, UINT64_MAX, &place))
        return 0;
    int rc = compaction_merge_table(e, &place, NULL);
    if (rc == TORC_E_OVERLOADED && pick_for_values(e, room_on_disk(e), &place))
        rc = compaction_merge_table(e, &place, NULL);
    return rc ? rc : 1;
}

/* Of something to do: it is done, or why not. Of nothing (0): what was before. */
static int either(int before, int rc)
{
    return rc ? rc : before;
}

static bool may_try_more(int rc)
{
    return rc == 0 || rc == TORC_E_OVERLOADED;
}

/* What makes room: in value logs, or in the bottom. Under load there is always something else to do, so both
 * have a turn now and then. Returns: as compact_once. */
static int merge_for_room(struct engine *e, uint64_t now_ms)
{
    e->is_room_turn = false;
    int values = merge_for_values(e);
    if (values < 0 && values != TORC_E_OVERLOADED)
        return values;
    int expired = compaction_merge_expired(e, now_ms);
    return may_try_more(expired) ? either(expired, values) : expired;
}

static int merge_fragment(struct engine *e)
{
    int rc = round_merge_fragment(e);
    if (rc == 0 && ++e->round.fragments % FRAGMENTS_PER_TURN == 0)
        e->is_room_turn = true;
    return rc ? rc : 1;
}

static int merge_some_tier(struct engine *e)
{
    struct tier tier;
    if (!pick_tier(e, &tier))
        return 0;
    int rc = merge_tier(e, &tier);
    return rc ? rc : 1;
}

/* What is due, and of that the first that fits on the disk: a fragment may where a tier does not, and what
 * makes room must not wait behind both. Returns: as compact_once. */
static int merge_what_fits(struct engine *e, uint64_t now_ms)
{
    bool is_due = round_is_due(e);
    bool is_first = is_due && e->is_idle; /* before tiers: what it takes need not be merged twice */
    int rc = is_first ? merge_fragment(e) : 0;
    if (may_try_more(rc))
        rc = either(rc, merge_some_tier(e));
    if (may_try_more(rc) && is_due && !is_first)
        rc = merge_fragment(e);
    if (may_try_more(rc))
        rc = either(rc, merge_for_room(e, now_ms));
    return rc;
}

/* Does one thing. Returns: 1 when there was something to do, 0, or an error; TORC_E_OVERLOADED when the disk
 * has no room for any of it, or something else must come first. */
static int compact_once(struct engine *e)
{
    uint64_t now_ms = reactor_wall_ms(e->reactor);
    believe_suspicions(e);
    round_end_when_nothing_is_left(e);
    bool is_giving_up = e->giving_up.is_on && !e->giving_up.is_done;
    int rc = is_giving_up ? compaction_give_up(e) : 0;
    if (rc == 0)
        rc = compaction_drop_expired(e, now_ms); /* first: it makes room */
    if (rc == 0)
        rc = separate_damaged(e);
    if (rc)
        return rc;
    if (e->is_room_turn)
        rc = merge_for_room(e, now_ms);
    return may_try_more(rc) ? either(rc, merge_what_fits(e, now_ms)) : rc;
}

static void compact(struct reactor *r, void *context)
{
    struct engine *e = context;
    int rc = 1;
    task_lower(r);
    pace_resume(&e->pace, reactor_clock_ns(r));
    while (!e->is_closing && !e->is_failed && rc) {
        rc = compact_once(e);
        if (rc > 0) {
            engine_tell_recovered(e, &e->compacting);
        } else if (rc == TORC_E_OVERLOADED) {
            engine_pause(e, &e->compaction_wake, RETRY_NS);
        } else if (rc < 0 && rc != TORC_E_CANCELLED) {
            MARK(compaction_failed_and_is_tried_again);
            engine_tell_failure(e, &e->compacting, rc);
            engine_pause(e, &e->compaction_wake, RETRY_NS);
        }
    }
    e->is_compacting = false;
    engine_task_over(e);
}

void engine_wake_compaction(struct engine *e)
{
    if (e->is_compacting || e->is_closing || e->is_failed)
        return;
    e->is_compacting = task_spawn(e->reactor, compact, e) == 0; /* else after the next flush */
}

/* ---- when nothing is written ---- */

static void look(struct timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, look_timer);
    e->is_idle = e->pace.ingested - e->looked_ingested < e->options.memtable_bytes / IDLE_SHARE;
    e->looked_ingested = e->pace.ingested;
    engine_wake_burial(e);    /* there was no task for it */
    engine_freeze_if_full(e); /* a log without room takes nothing that would ask for it */
    if (e->is_idle && e->tables->count > 0)
        engine_wake_compaction(e);
    engine_look_later(e);
}

void engine_look_later(struct engine *e)
{
    if (e->is_closing || e->look_timer.heap_index != 0)
        return;
    int rc = timer_start(e->reactor, &e->look_timer, LOOK_NS, look);
    (void)rc; /* without memory for it: after the next flush */
}
