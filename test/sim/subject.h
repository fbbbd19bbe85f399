/* subject.h - one engine under test on a core of the node, its model, and what the history as a whole knows.
 *
 * A subject outlives the lives of its node: in each life an engine is opened in its directory, asked and
 * closed, or lost with the node. All of this is memory of the driver, which a crash does not touch. */
#ifndef TEST_SIM_SUBJECT_H
#define TEST_SIM_SUBJECT_H

#include "engine/restore.h"
#include "test/sim/model.h"
#include "test/sim/plan.h"

struct subject;

/* A task that does operations. */
struct driver {
    struct subject *subject;
    unsigned number;
    uint32_t flying; /* its writes without an answer */
    struct event progress;
    struct sim_dice dice;
};

/* What has damaged a subject's files so far, by what the files are. */
struct damage {
    uint32_t log;
    uint32_t tables;
    uint32_t manifests;
    uint32_t bad_sectors;   /* in any of them */
    uint32_t lost_tables;   /* whole files, or their ends */
    uint32_t values;        /* value logs */
    uint32_t lost_values;   /* of them whole files, or their ends */
    bool has_lost_manifest; /* since it was open last */
};

struct subject {
    struct history *history;
    unsigned core;
    char directory[32];
    struct engine_options options;
    struct model model;
    struct damage damage;
    uint64_t watermark;      /* log records up to it are known as durable from a later durable one */
    uint64_t quarantined;    /* stretches of damaged log when it was opened last */
    uint32_t manifests_lost; /* copies of the manifest that were removed or cut off */
    uint8_t *value;          /* PLAN_VALUE_BYTES_MAX bytes, for the record of a put */
    struct driver drivers[PLAN_DRIVERS_MAX];
    struct sim_dice copier;     /* of copies_drive */
    struct engine_restore kept; /* a snapshot that lies on the disk: its facts, and whose log it is of */
    uint64_t kept_history;
    bool has_kept;
    bool is_giving_up; /* what was lost: a life has ended before it had come to the end of that */

    /* Of this life. */
    struct reactor *reactor;
    struct engine *engine; /* null when it is not open */
    bool is_putting;       /* no ticket may come back meanwhile */
    bool is_closing;
    uint64_t watermark_found; /* by recovery */
    bool must_refuse;         /* to start: both copies of its manifest are damaged */
    bool was_refused;         /* a put was: STORAGE */
    bool has_opened;
    bool has_remains; /* it said that something lost could not be given up */
    uint32_t ticket_last;
    unsigned tasks_alive; /* drivers, and who makes copies */
    struct event tasks_over;
    struct model copied; /* as it was when a snapshot began */
    bool has_copied;
    uint64_t turns;
    uint32_t errors; /* answers that were errors, in this audit */
    uint32_t wants;  /* of memory, among them: they say nothing of the data */
};

struct history {
    const struct history_request *request;
    struct history_outcome *outcome;
    struct plan plan;
    struct sim_world *world;
    struct sim_node *node;
    struct subject subjects[PLAN_CORES_MAX];
    unsigned life;
    bool is_final;    /* the last lives: nothing fails any more */
    bool is_trial;    /* the node is started only to see whether it starts */
    bool is_stopping; /* the node was asked to stop */
    bool is_silent;   /* nothing is asked of it */
    bool is_calm;     /* little is asked of it: time passes with few operations */
    uint32_t life_operations;
    uint64_t wall_max_ms; /* the latest time that a clock of the node has shown */
    uint32_t corruptions_seen;
    uint64_t fault_hits_before[SIM_FAULT_COUNT]; /* when this life began */
    bool is_full;
    uint64_t full_end_ns; /* when the disk had room again */
    struct snapshot *snapshot;
    struct sim_dice dice; /* the director's */
};

/* ---- subject.c ---- */

void subject_init(struct subject *s, struct history *h, unsigned core);
void subject_deinit(struct subject *s);
/* Waits. Opens the engine. Returns: whether it is open; when not, that was truthful or the history has
 * failed. */
bool subject_open(struct subject *s);
/* Waits. */
void subject_close(struct subject *s);
/* Before a life begins: nothing of the last one is left. */
void subject_forget_life(struct subject *s);

/* A task that drivers_run has begun ends. */
void subject_task_over(struct subject *s);

/* The time that reads of this core are asked at. */
uint64_t subject_now_ms(struct subject *s);

/* Makes a write and puts it, once. Returns: as engine_put. */
int subject_put(struct subject *s, const struct model_put *put, struct driver *d);

/* The time for a line of the story. */
uint64_t history_now_ns(const struct history *h);
bool history_has_failed(const struct history *h);
/* Something is wrong with this subject. */
void subject_fail(struct subject *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Looks at the corruptions that were injected since it was called last. From outside or inside of cores. */
void history_note_corruptions(struct history *h);
/* Hits of a fault in this life. */
uint64_t history_hits(const struct history *h, enum sim_fault fault);

#endif
