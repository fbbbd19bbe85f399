/* info.h - what a node says of itself: counters of all its cores, as JSON.
 *
 * The core that is asked sends each other core a report to fill, adds them up as they come back, and answers.
 * Reports take memory and time of all cores: each core asks for one request at a time, others wait.
 * The sections: "" for all of it, "server", "operations", "reactor", "engine", "memory", "stages". */
#ifndef SHARD_SERVE_INFO_H
#define SHARD_SERVE_INFO_H

#include "shard/request.h"

struct shard;
struct info_report;

enum { INFO_SECTION_COUNT = 6, INFO_WAITING_MAX = 256 };

struct info_wait {
    struct reply reply;
    unsigned section;
};

/* Of the requests that this core was asked. */
struct info {
    bool is_gathering;
    unsigned waiting_first, waiting_count;
    struct info_wait waiting[INFO_WAITING_MAX]; /* a ring; more are answered OVERLOADED */
};

void info_start(struct shard *s, const struct reply *reply, struct slice section);
/* On another core: fills the report; on the core that asked: takes it back. */
void info_fill(struct shard *s, struct info_report *report);
void info_done(struct shard *s, struct info_report *report);

#endif
