/* info.h - what a node says of itself: counters of all its cores, as JSON.
 *
 * The core that is asked sends each other core a report to fill; when all are back it adds them up and
 * answers. The sections: "" for all of it, "server", "operations", "reactor", "engine", "memory",
 * "stages". */
#ifndef SHARD_SERVE_INFO_H
#define SHARD_SERVE_INFO_H

#include "shard/request.h"

struct shard;
struct info_report;

void info_start(struct shard *s, const struct reply *reply, struct slice section);
/* On another core: fills the report; on the core that asked: takes it back. */
void info_fill(struct shard *s, struct info_report *report);
void info_done(struct shard *s, struct info_report *report);

#endif
