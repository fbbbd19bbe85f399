/* reader.c - readers that are slow; see reader.h. */
#include "shard/serve/reader.h"

static const uint64_t MILLISECOND_NS = 1000 * 1000;

/* Judged by what waited for it when the measurement began: what has come since had less time. */
void reader_look(struct reader_pace *p, const struct reader_look *look, uint64_t write_timeout_ms)
{
    uint64_t time_ms = write_timeout_ms ? write_timeout_ms : READER_TIME_MS;
    uint64_t elapsed_ms = (look->now_ns - p->begun_ns) / MILLISECOND_NS;
    if (elapsed_ms < time_ms / READER_LOOKS)
        return;
    elapsed_ms = elapsed_ms < time_ms ? elapsed_ms : time_ms;
    uint64_t owed_bytes = p->held_bytes * elapsed_ms / time_ms;
    p->is_slow = look->held_bytes > 0 && look->taken_bytes - p->taken_bytes < owed_bytes;
    p->begun_ns = look->now_ns;
    p->taken_bytes = look->taken_bytes;
    p->held_bytes = look->held_bytes;
}

void reader_begin_sweep(struct reader_crowd *c, bool is_over)
{
    *c = (struct reader_crowd){
        .is_over = is_over,
        .was_over = c->is_over,
        .largest_bytes = c->largest_now_bytes,
    };
}

void reader_see(struct reader_crowd *c, uint32_t held_bytes)
{
    if (held_bytes > c->largest_now_bytes)
        c->largest_now_bytes = held_bytes;
}

bool reader_is_in_the_way(const struct reader_crowd *c, const struct reader_pace *p, uint32_t held_bytes,
                          uint64_t excess_bytes)
{
    bool is_large = held_bytes > 0 && held_bytes >= c->largest_bytes / 2;
    bool is_enough = excess_bytes <= c->closed_bytes;
    return c->is_over && c->was_over && !is_enough && is_large && p->is_slow;
}
