/* crash_workload.c - the short workloads; see crash_workload.h.
 *
 * All begin with an empty disk; what comes before `record` prepares the state from which it becomes
 * interesting. A record of 8,000 bytes takes two blocks of the log, so a segment holds seven and the eighth
 * begins the next. */
#include "test/sim/crash_workload.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    EACH_PUT = 1, /* memtable_bytes: one put fills it, and is flushed */
    NO_FLUSH = 1 << 20,
    REST_MS = 50,
};

#define FILL_6                                                                                               \
    "put:0:8000 await put:1:8000 await put:2:8000 await "                                                    \
    "put:3:8000 await put:4:8000 await put:5:8000 await "
#define FILL_7 FILL_6 "put:0:8000 await "
#define FLUSH_6                                                                                              \
    "put:0:8000 await rest put:1:8000 await rest put:2:8000 await rest "                                     \
    "put:3:8000 await rest put:4:8000 await rest put:5:8000 await rest "
#define FLUSH_4 "put:0:8000 await rest put:1:8000 await rest put:2:8000 await rest put:3:8000 await rest "
#define FLUSH_7 FLUSH_6 "put:0:8000 await rest "
#define COLLECT                                                                                              \
    "open put:0:8000 put:1:8000 await rest put:0:100 await rest put:2:100 await rest record put:2:200 "      \
    "await "
#define RESTART "open put:3:100 await rest close "

static const struct crash_workload workloads[] = {
    /* a shard begins */
    {"first_start", "record open rest", {NO_FLUSH, 2, false}, 20},
    {"first_put", "open record put:0:100 await rest", {NO_FLUSH, 2, false}, 20},
    /* writes */
    {"put", "open rest record put:0:100 await rest", {NO_FLUSH, 2, false}, 20},
    {"put_large", "open rest record put:0:8000 await rest", {NO_FLUSH, 2, false}, 20},
    {"put_at_once", "open rest record put:0:100 put:1:8000 put:2:0 await rest", {NO_FLUSH, 2, false}, 40},
    {"put_in_flight",
     "open rest put:2:100 await record put:0:100 turn put:1:8000 await rest",
     {NO_FLUSH, 2, false},
     40},
    {"put_three_in_flight",
     "open rest put:2:100 await record put:0:100 turn put:1:100 turn put:2:8000 await rest",
     {NO_FLUSH, 3, false},
     20},
    {"put_one_by_one",
     "open rest record put:0:100 turn put:1:100 turn put:0:100 await rest",
     {NO_FLUSH, 1, false},
     40},
    {"delete", "open put:0:100 await rest record delete:0 await rest", {NO_FLUSH, 2, false}, 20},
    {"overwrite",
     "open put:0:8000 await rest record put:0:100 turn put:0:8000 await rest",
     {NO_FLUSH, 2, false},
     40},
    {"put_and_delete",
     "open rest record put:0:100 turn delete:0 turn put:0:100 await rest",
     {NO_FLUSH, 2, false},
     40},
    /* tables */
    {"flush", "open rest record put:0:100 await rest", {EACH_PUT, 2, false}, 20},
    {"flush_two", "open rest record put:0:8000 turn put:1:100 await rest", {EACH_PUT, 2, false}, 40},
    {"flush_overwrite", "open put:0:100 await rest record put:0:8000 await rest", {EACH_PUT, 2, false}, 20},
    {"flush_delete", "open put:0:100 await rest record delete:0 await rest", {EACH_PUT, 2, false}, 20},
    {"flush_nothing", "open rest record delete:0 await rest", {EACH_PUT, 2, false}, 20},
    {"compaction",
     "open put:0:100 await rest put:1:8000 await rest put:0:8000 await rest record put:2:100 await rest",
     {EACH_PUT, 2, false},
     40},
    {"compaction_of_deletes",
     "open put:0:100 await rest put:1:8000 await rest delete:0 await rest record delete:1 await rest",
     {EACH_PUT, 2, false},
     40},
    {"compaction_and_puts",
     "open put:0:100 await rest put:1:8000 await rest put:0:8000 await rest put:1:100 await record put:0:100 "
     "turn delete:1 await rest",
     {EACH_PUT, 2, false},
     80},
    /* value logs: two values in one, of which one becomes garbage; the other is moved to a new one */
    {"values", "open rest record put:0:8000 put:1:3000 await rest", {EACH_PUT, 2, false}, 40},
    {"values_after_a_restart",
     "open put:0:8000 put:1:8000 await close record open observe put:0:100 await rest close",
     {EACH_PUT, 2, false},
     40},
    {"values_of_deleted_keys",
     "open put:0:8000 await rest put:1:100 await rest delete:0 await rest record delete:1 await rest",
     {EACH_PUT, 2, false},
     40},
    {"values_collected", COLLECT "rest close", {EACH_PUT, 2, false}, 80},
    {"values_collected_and_closed", COLLECT "turn turn turn turn close", {EACH_PUT, 2, false}, 80},
    {"values_collected_and_killed_at_2000_us",
     COLLECT "kill:2000 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"values_collected_and_killed_at_3500_us",
     COLLECT "kill:3500 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"values_collected_and_killed_at_5000_us",
     COLLECT "kill:5000 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"values_and_a_failed_write",
     "open rest record put:0:8000 put:1:3000 await fail-writes:1:300 rest:2000 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"values_and_a_failed_sync",
     "open rest record put:0:8000 put:1:3000 await fail-syncs:1:300 rest:2000 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    /* segments */
    {"rotation", "open " FILL_7 "rest record put:0:8000 await rest", {NO_FLUSH, 2, false}, 20},
    {"rotation_in_flight",
     "open " FILL_6 "rest record put:0:100 turn put:1:8000 turn put:2:8000 await rest",
     {NO_FLUSH, 3, false},
     40},
    {"truncation", "open " FLUSH_7 "record put:0:8000 await rest", {EACH_PUT, 2, false}, 40},
    {"recycling", "open " FLUSH_7 FLUSH_7 "record put:0:8000 await rest", {EACH_PUT, 2, false}, 40},
    {"recycling_in_flight",
     "open " FLUSH_7 FLUSH_6 "record put:0:8000 turn put:1:8000 turn put:2:100 await rest",
     {EACH_PUT, 3, false},
     80},
    /* the manifest alone */
    {"manifest", "open put:0:100 await close record manifest manifest", {NO_FLUSH, 2, false}, 20},
    {"manifest_of_tables",
     "open put:0:100 await rest put:1:100 await rest put:2:100 await rest close record manifest manifest",
     {EACH_PUT, 2, false},
     20},
    /* copies */
    {"snapshot",
     "open put:0:100 await rest record snapshot rest put:1:100 await rest",
     {NO_FLUSH, 2, false},
     40},
    {"snapshot_and_put", "open put:0:100 await rest record snapshot:1 rest", {NO_FLUSH, 2, false}, 0},
    {"snapshot_of_tables",
     "open put:0:100 await rest put:1:8000 await rest delete:0 await record snapshot put:0:8000 await rest",
     {EACH_PUT, 2, false},
     40},
    {"archive",
     "open snapshot " FILL_6 "rest record put:1:8000 await put:0:8000 await rest put:2:100 await close",
     {NO_FLUSH, 2, true},
     40},
    {"archive_and_recycling",
     "open snapshot " FLUSH_7 FLUSH_6 "record put:0:8000 turn put:1:8000 turn put:2:100 await rest",
     {EACH_PUT, 3, true},
     600},
    {"archive_and_restart",
     "open snapshot put:0:100 await record close open observe put:1:100 await rest",
     {NO_FLUSH, 2, true},
     40},
    {"archive_and_kill",
     "open snapshot " FILL_6
     "rest record put:0:8000 turn put:1:8000 kill:300 open observe put:2:100 await rest",
     {NO_FLUSH, 2, true},
     80},
    {"archive_and_failed_sync",
     "open snapshot put:1:100 await rest record fail-syncs:1 put:0:100 await rest:2000 kill:0 open observe "
     "put:2:100 await rest",
     {NO_FLUSH, 2, true},
     20},
    /* the name in the archive fails to become durable, is found there later, and the file is used again */
    {"archive_and_failed_sync_at_2520_us",
     "open snapshot " FLUSH_4 "put:4:8000 await rest fail-syncs:1:2520 put:5:8000 await rest:1500 " FLUSH_4
     "record put:4:8000 await rest",
     {EACH_PUT, 2, true},
     0},
    {"archive_and_failed_sync_at_2560_us",
     "open snapshot " FLUSH_4 "put:4:8000 await rest fail-syncs:1:2560 put:5:8000 await rest:1500 " FLUSH_4
     "record put:4:8000 await rest",
     {EACH_PUT, 2, true},
     0},
    {"archive_and_failed_sync_at_2600_us",
     "open snapshot " FLUSH_4 "put:4:8000 await rest fail-syncs:1:2600 put:5:8000 await rest:1500 " FLUSH_4
     "record put:4:8000 await rest",
     {EACH_PUT, 2, true},
     0},
    /* errors */
    {"failed_write",
     "open put:1:100 await rest record fail-writes:1 put:0:100 await put:0:8000 await rest",
     {NO_FLUSH, 2, false},
     20},
    {"failed_write_in_flight",
     "open put:1:100 await rest record fail-writes:1 put:0:100 turn put:1:8000 await put:2:100 await rest",
     {NO_FLUSH, 2, false},
     40},
    {"failed_write_after",
     "open put:1:100 await rest record put:0:100 turn fail-writes:1 put:1:8000 await put:2:100 await rest",
     {NO_FLUSH, 2, false},
     40},
    {"failed_writes",
     "open put:1:100 await rest record fail-writes:2 put:0:100 await put:1:100 await put:2:100 await rest",
     {NO_FLUSH, 2, false},
     40},
    {"failed_sync",
     "open put:1:100 await rest record fail-syncs:1 put:0:100 await put:0:8000 await rest",
     {NO_FLUSH, 2, false},
     20},
    {"failed_flush",
     "open rest record put:0:100 await fail-writes:1 rest:2000 put:1:100 await rest",
     {EACH_PUT, 2, false},
     40},
    {"full_log",
     "open " FILL_7 "rest fill-disk:0 record put:0:8000 await rest put:1:100 await free-disk rest:3000 "
     "put:2:8000 await rest",
     {NO_FLUSH, 2, false},
     40},
    {"full_tables",
     "open rest fill-disk:0 record put:0:8000 await rest put:1:100 await free-disk rest:3000",
     {EACH_PUT, 2, false},
     40},
    /* a damaged log: what it lost answers UNKNOWN, whatever happens while that is noted */
    {"damage",
     "open put:0:100 await rest put:1:8000 await rest put:0:8000 await rest close rot:5 record open observe "
     "put:1:100 await rest",
     {NO_FLUSH, 2, false},
     20},
    {"damage_first",
     "open put:0:100 await rest put:1:8000 await rest close rot:1 record open observe put:1:100 await rest",
     {NO_FLUSH, 2, false},
     20},
    {"damage_above_tables",
     "open put:0:100 await rest fill-disk:0 put:0:8000 await rest close free-disk rot:3 record open observe "
     "rest put:1:100 await rest",
     {EACH_PUT, 2, false},
     20},
    {"damage_rotation",
     "open " FILL_7 "put:1:8000 await rest close rot:7 record open observe put:1:100 await rest",
     {NO_FLUSH, 2, false},
     20},
    /* ends and starts */
    {"close", "open put:0:100 await record close", {NO_FLUSH, 2, false}, 40},
    {"close_in_flight", "open rest record put:0:100 turn put:1:8000 close", {NO_FLUSH, 2, false}, 40},
    {"close_and_flush", "open rest put:0:8000 await record close", {EACH_PUT, 2, false}, 20},
    {"close_and_compact",
     "open put:0:100 await rest put:1:8000 await rest put:0:8000 await rest put:2:100 await record turn turn "
     "close",
     {EACH_PUT, 2, false},
     40},
    {"restart",
     "open put:0:100 await close record open observe put:1:100 await close",
     {NO_FLUSH, 2, false},
     40},
    {"restarts",
     RESTART RESTART RESTART RESTART RESTART RESTART RESTART RESTART RESTART RESTART RESTART RESTART RESTART
         RESTART RESTART RESTART "record open observe rest close",
     {NO_FLUSH, 2, false},
     40},
    {"restart_with_tables",
     "open put:0:100 await rest put:1:8000 await rest put:0:100 await close record open observe rest close",
     {EACH_PUT, 2, false},
     40},
    /* errors on the way from a put to a table: the log, the table, names, the manifest */
    {"failed_write_at_300_us",
     "open put:1:100 await rest record fail-writes:1:300 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_write_at_600_us",
     "open put:1:100 await rest record fail-writes:1:600 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_write_at_900_us",
     "open put:1:100 await rest record fail-writes:1:900 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_write_at_1200_us",
     "open put:1:100 await rest record fail-writes:1:1200 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_write_at_1600_us",
     "open put:1:100 await rest record fail-writes:1:1600 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_write_at_2000_us",
     "open put:1:100 await rest record fail-writes:1:2000 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_write_at_2600_us",
     "open put:1:100 await rest record fail-writes:1:2600 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_write_at_3200_us",
     "open put:1:100 await rest record fail-writes:1:3200 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_0_us",
     "open put:1:100 await rest record fail-syncs:1:0 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_300_us",
     "open put:1:100 await rest record fail-syncs:1:300 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_600_us",
     "open put:1:100 await rest record fail-syncs:1:600 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_900_us",
     "open put:1:100 await rest record fail-syncs:1:900 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_1200_us",
     "open put:1:100 await rest record fail-syncs:1:1200 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_1600_us",
     "open put:1:100 await rest record fail-syncs:1:1600 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_2000_us",
     "open put:1:100 await rest record fail-syncs:1:2000 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_sync_at_2600_us",
     "open put:1:100 await rest record fail-syncs:1:2600 put:0:8000 await rest:1500 put:2:100 await rest",
     {EACH_PUT, 2, false},
     80},
    {"failed_syncs_at_0_us",
     "open put:1:100 await rest record put:0:8000 turn fail-syncs:3:0 put:1:8000 await put:2:100 await rest",
     {NO_FLUSH, 3, false},
     80},
    {"failed_syncs_at_200_us",
     "open put:1:100 await rest record put:0:8000 turn fail-syncs:3:200 put:1:8000 await put:2:100 await "
     "rest",
     {NO_FLUSH, 3, false},
     80},
    {"failed_syncs_at_400_us",
     "open put:1:100 await rest record put:0:8000 turn fail-syncs:3:400 put:1:8000 await put:2:100 await "
     "rest",
     {NO_FLUSH, 3, false},
     80},
    /* a process is killed and starts again before the power goes: what it read may be in the cache only */
    {"kill_at_0_us",
     "open rest put:0:100 await record put:0:8000 turn put:1:100 kill:0 open observe put:2:100 await rest",
     {NO_FLUSH, 2, false},
     80},
    {"kill_at_100_us",
     "open rest put:0:100 await record put:0:8000 turn put:1:100 kill:100 open observe put:2:100 await rest",
     {NO_FLUSH, 2, false},
     80},
    {"kill_at_300_us",
     "open rest put:0:100 await record put:0:8000 turn put:1:100 kill:300 open observe put:2:100 await rest",
     {NO_FLUSH, 2, false},
     80},
    {"kill_at_600_us",
     "open rest put:0:100 await record put:0:8000 turn put:1:100 kill:600 open observe put:2:100 await rest",
     {NO_FLUSH, 2, false},
     80},
    {"kill_flush_at_0_us",
     "open rest put:0:8000 await record kill:0 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_flush_at_400_us",
     "open rest put:0:8000 await record kill:400 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_flush_at_800_us",
     "open rest put:0:8000 await record kill:800 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_flush_at_1600_us",
     "open rest put:0:8000 await record kill:1600 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_flush_at_2400_us",
     "open rest put:0:8000 await record kill:2400 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_flush_at_3200_us",
     "open rest put:0:8000 await record kill:3200 open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_compaction_at_1500_us",
     "open put:0:100 await rest put:1:8000 await rest delete:0 await rest put:2:100 await record kill:1500 "
     "open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_compaction_at_2500_us",
     "open put:0:100 await rest put:1:8000 await rest delete:0 await rest put:2:100 await record kill:2500 "
     "open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_compaction_at_3500_us",
     "open put:0:100 await rest put:1:8000 await rest delete:0 await rest put:2:100 await record kill:3500 "
     "open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_compaction_at_5000_us",
     "open put:0:100 await rest put:1:8000 await rest delete:0 await rest put:2:100 await record kill:5000 "
     "open observe rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_recycling_at_0_us",
     "open " FLUSH_7 FLUSH_7 "record put:0:8000 turn put:1:100 kill:0 open observe put:2:8000 await rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_recycling_at_500_us",
     "open " FLUSH_7 FLUSH_7 "record put:0:8000 turn put:1:100 kill:500 open observe put:2:8000 await rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_recycling_at_1000_us",
     "open " FLUSH_7 FLUSH_7 "record put:0:8000 turn put:1:100 kill:1000 open observe put:2:8000 await rest",
     {EACH_PUT, 2, false},
     80},
    {"kill_recycling_at_2000_us",
     "open " FLUSH_7 FLUSH_7 "record put:0:8000 turn put:1:100 kill:2000 open observe put:2:8000 await rest",
     {EACH_PUT, 2, false},
     80},
    {"killed_twice_at_100_us",
     "open rest record put:0:100 turn put:1:8000 kill:50 open kill:100 open observe put:2:100 await rest",
     {NO_FLUSH, 2, false},
     80},
    {"killed_twice_at_1000_us",
     "open rest record put:0:100 turn put:1:8000 kill:50 open kill:1000 open observe put:2:100 await rest",
     {NO_FLUSH, 2, false},
     80},
};

const struct crash_workload *crash_workload_at(uint32_t index)
{
    return index < ARRAY_COUNT(workloads) ? &workloads[index] : NULL;
}

struct crash_workload crash_workload_recovery(const struct crash_workload *of)
{
    return (struct crash_workload){
        .name = of->name,
        .script = "record open observe put:1:100 await rest",
        .knobs = of->knobs,
    };
}

/* ---- scripts ---- */

static const struct {
    const char *text;
    uint32_t a; /* when the script gives no number */
} words[] = {
    [CRASH_END] = {"end", 0},
    [CRASH_OPEN] = {"open", 0},
    [CRASH_CLOSE] = {"close", 0},
    [CRASH_RECORD] = {"record", 0},
    [CRASH_PUT] = {"put", 0},
    [CRASH_DELETE] = {"delete", 0},
    [CRASH_AWAIT] = {"await", 0},
    [CRASH_TURN] = {"turn", 0},
    [CRASH_REST] = {"rest", REST_MS},
    [CRASH_OBSERVE] = {"observe", 0},
    [CRASH_FAIL_WRITES] = {"fail-writes", 1},
    [CRASH_FAIL_SYNCS] = {"fail-syncs", 1},
    [CRASH_FILL_DISK] = {"fill-disk", 0},
    [CRASH_FREE_DISK] = {"free-disk", 0},
    [CRASH_KILL] = {"kill", 0},
    [CRASH_ROT] = {"rot", 1},
    [CRASH_TAKE_SNAPSHOT] = {"snapshot", 0},
    [CRASH_CHANGE_MANIFEST] = {"manifest", 0},
};

const char *crash_act_text(enum crash_act act)
{
    return words[act].text;
}

static struct crash_step parse_step(const char *word, size_t bytes)
{
    size_t name_bytes = strcspn(word, ": ");
    for (uint32_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strlen(words[i].text) != name_bytes || strncmp(words[i].text, word, name_bytes) != 0)
            continue;
        struct crash_step step = {.act = (enum crash_act)i, .a = words[i].a};
        char *end;
        if (name_bytes < bytes) {
            step.a = (uint32_t)strtoul(word + name_bytes + 1, &end, 10);
            if (*end == ':')
                step.b = (uint32_t)strtoul(end + 1, &end, 10);
            ASSERT(end == word + bytes);
        }
        return step;
    }
    ASSERT(!"a word of a script is unknown");
    return (struct crash_step){.act = CRASH_END};
}

uint32_t crash_workload_steps(const struct crash_workload *workload, struct crash_step steps[CRASH_STEPS_MAX])
{
    uint32_t count = 0;
    const char *rest = workload->script + strspn(workload->script, " ");
    while (*rest) {
        size_t bytes = strcspn(rest, " ");
        ASSERT(count + 1 < CRASH_STEPS_MAX);
        steps[count++] = parse_step(rest, bytes);
        rest += bytes;
        rest += strspn(rest, " ");
    }
    steps[count] = (struct crash_step){.act = CRASH_END};
    return count;
}
