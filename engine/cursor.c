/* cursor.c - scans over live records, in order or backward.
 *
 * A cursor merges the memtables and tables that there are when it is opened, and holds them until it is
 * closed: what is flushed or compacted meanwhile changes nothing for it. What it gives out of a memtable is
 * copied, so that no write touches it while the caller waits; what is of a table stays where it is. */
#include "engine/engine_internal.h"
#include "engine/merge.h"
#include "engine/values_read.h"
#include "engine/view.h"
#include "reactor/base/mark.h"

enum { CALLS_PER_YIELD = 32, BYTES_PER_YIELD = 64 * 1024 };

struct engine_cursor {
    struct engine *engine;
    const struct engine_view *view; /* null: of now */
    struct table_set *tables;
    struct merge merge;
    uint64_t now_ms;
    uint32_t calls;
    uint64_t value_bytes; /* of values that were hashed or copied since it last looked at the time */
    uint32_t dead_max;
    bool is_backward;
    bool is_keys_only;
    struct record_key limit; /* forward: nothing at or behind it; backward: nothing below it */
    uint8_t *limit_bytes;
    uint8_t *copy; /* of the entry given out last */
    size_t copy_bytes;
    struct value_reader values; /* from value logs */
};

/* ---- open and close ---- */

static void add_sources(struct engine_cursor *c, uint16_t vnode_first, uint32_t vnode_end)
{
    struct engine *e = c->engine;
    if (c->view)
        engine_view_add_sources(c->view, &c->merge, vnode_first, vnode_end);
    else
        merge_add_memtable(&c->merge, e->active, vnode_first, vnode_end);
    for (uint32_t i = 0; !c->view && i < e->frozen_count; i++)
        merge_add_memtable(&c->merge, e->frozen[i].memtable, vnode_first, vnode_end);
    for (uint32_t i = 0; i < c->tables->run_count; i++)
        merge_add_run(&c->merge, &c->tables->runs[i], TABLE_CURSOR_SCAN);
}

/* The vnodes of this shard that the range touches; an empty range touches the first. */
static void add_sources_of(struct engine_cursor *c, const struct engine_range *range)
{
    const struct engine_options *o = &c->engine->options;
    uint32_t end = (uint32_t)o->vnode_first + o->vnode_count;
    uint32_t first = range->from.vnode > o->vnode_first ? range->from.vnode : o->vnode_first;
    uint32_t to = range->to.key.bytes ? (uint32_t)range->to.vnode + 1 : range->to.vnode;
    end = to < end ? to : end;
    add_sources(c, (uint16_t)first, end > first ? end : first);
}

static int keep_limit(struct engine_cursor *c, const struct record_key *limit)
{
    c->limit = *limit;
    c->limit_bytes = reactor_alloc(c->engine->reactor, limit->key.bytes + limit->subkey.bytes + 1);
    if (!c->limit_bytes)
        return TORC_E_NO_MEMORY;
    uint8_t *end = slice_put(c->limit_bytes, limit->key);
    slice_put(end, limit->subkey);
    c->limit.key.data = c->limit_bytes;
    c->limit.subkey.data = end;
    return 0;
}

/* Tables may hold keys behind the vnodes of their shard: a backward scan begins before them. */
static int seek(struct engine_cursor *c, const struct record_key *to)
{
    const struct engine_options *o = &c->engine->options;
    struct record_key end = {.vnode = (uint16_t)(o->vnode_first + o->vnode_count)};
    return merge_seek(&c->merge, c->is_backward && to->vnode >= end.vnode ? &end : to);
}

int engine_cursor_open_range(struct engine *e, const struct engine_range *range, struct engine_cursor **out)
{
    *out = NULL;
    if (e->quarantine_clock != 0) {
        MARK(scan_that_may_lack_keys_answers_unknown);
        return TORC_E_UNKNOWN;
    }
    struct engine_cursor *c = reactor_alloc_zeroed(e->reactor, sizeof *c);
    if (!c)
        return TORC_E_NO_MEMORY;
    c->engine = e;
    value_reader_init(&c->values, e, DISK_FOREGROUND);
    c->now_ms = range->now_ms;
    c->dead_max = range->dead_max;
    c->is_backward = range->is_backward;
    c->is_keys_only = range->is_keys_only;
    c->view = range->view;
    if (c->view)
        c->now_ms = engine_view_now_ms(c->view);
    c->tables = c->view ? engine_view_tables(c->view) : e->tables;
    table_set_hold(c->tables);
    uint32_t memtables = c->view ? engine_view_memtables(c->view) : 1 + e->frozen_count;
    int rc = merge_init(&c->merge, e->reactor, memtables + c->tables->run_count);
    if (rc == 0)
        rc = keep_limit(c, c->is_backward ? &range->from : &range->to);
    if (rc == 0) {
        if (c->is_backward)
            merge_go_backward(&c->merge);
        add_sources_of(c, range);
        merge_read_until(&c->merge, &c->limit);
        rc = seek(c, c->is_backward ? &range->to : &range->from);
    }
    if (rc)
        engine_cursor_close(c);
    else
        *out = c;
    return rc;
}

int engine_cursor_open(struct engine *e, const struct record_key *from, uint64_t now_ms,
                       struct engine_cursor **out)
{
    struct engine_range range = {.from = *from, .to = {.vnode = ENGINE_VNODE_END}, .now_ms = now_ms};
    return engine_cursor_open_range(e, &range, out);
}

void engine_cursor_close(struct engine_cursor *c)
{
    struct reactor *r = c->engine->reactor;
    merge_deinit(&c->merge);
    table_set_release(c->tables);
    reactor_free(r, c->limit_bytes);
    value_reader_deinit(&c->values);
    reactor_free(r, c->copy);
    reactor_free(r, c);
}

/* ---- going on ---- */

int engine_cursor_seek(struct engine_cursor *c, const struct record_key *to)
{
    return seek(c, to);
}

/* What was given out is copied as it is encoded, without a value that is not wanted. */
static int copy_out(struct engine_cursor *c, struct record *out)
{
    struct slice entry = merge_entry(&c->merge);
    if (c->is_keys_only)
        entry.bytes -= out->value.bytes;
    if (entry.bytes > c->copy_bytes) {
        size_t wanted = entry.bytes > 2 * c->copy_bytes ? entry.bytes : 2 * c->copy_bytes;
        reactor_free(c->engine->reactor, c->copy);
        c->copy = reactor_alloc(c->engine->reactor, wanted);
        c->copy_bytes = c->copy ? wanted : 0;
        if (!c->copy)
            return TORC_E_NO_MEMORY;
    }
    memcpy(c->copy, entry.data, entry.bytes);
    entry_decode_trusted(c->copy, out);
    if (c->is_keys_only)
        out->value = slice_of(NULL, 0);
    return ENGINE_CURSOR_RECORD;
}

/* Waits. The value is in the reader's memory then; the rest is of a table and stays where it is. */
static int give_out_separated(struct engine_cursor *c, struct record *out)
{
    if (c->is_keys_only) {
        out->value = slice_of(NULL, 0);
        out->flags &= (uint8_t)~RECORD_SEPARATED;
        return ENGINE_CURSOR_RECORD;
    }
    c->values.is_suspicion = merge_is_stale(&c->merge);
    int rc = value_reader_resolve(&c->values, out);
    if (rc) {
        MARK(scan_meets_a_value_that_cannot_be_read);
        return rc;
    }
    c->value_bytes += out->value.bytes;
    return ENGINE_CURSOR_RECORD;
}

static int give_out_as_it_is(struct engine_cursor *c, struct record *out)
{
    if (out->flags & RECORD_SEPARATED)
        return give_out_separated(c, out);
    c->value_bytes += out->value.bytes;
    if (!entry_verify(out)) {
        c->engine->counters.corruptions += !merge_is_stale(&c->merge);
        return TORC_E_CORRUPT;
    }
    return merge_is_of_memtable(&c->merge) ? copy_out(c, out) : ENGINE_CURSOR_RECORD;
}

static int give_out(struct engine_cursor *c, struct record *out)
{
    for (;;) { /* twice at most: what was read again is not stale */
        int rc = give_out_as_it_is(c, out);
        if (__builtin_expect(rc != TORC_E_CORRUPT, 1))
            return rc;
        rc = merge_read_again(&c->merge, out);
        if (rc != 1)
            return rc ? rc : TORC_E_CORRUPT;
    }
}

static bool is_beyond(const struct engine_cursor *c, const struct record *record)
{
    int order = record_key_compare(&record->key, &c->limit);
    return c->is_backward ? order < 0 : order >= 0;
}

static int next(struct engine_cursor *c, struct record *out)
{
    int rc;
    uint32_t dead = 0;
    if (++c->calls % CALLS_PER_YIELD == 0 || c->value_bytes >= BYTES_PER_YIELD) {
        c->value_bytes = 0;
        task_yield_if_due(c->engine->reactor);
    }
    while ((rc = merge_next(&c->merge, out)) == 1) {
        if (is_beyond(c, out))
            return ENGINE_CURSOR_END;
        if (record_is_live(out, c->now_ms))
            return give_out(c, out);
        if (++dead == c->dead_max) {
            rc = merge_is_of_memtable(&c->merge) ? copy_out(c, out) : ENGINE_CURSOR_RECORD;
            return rc < 0 ? rc : ENGINE_CURSOR_DEAD;
        }
        task_yield_if_due(c->engine->reactor); /* a long row of dead records */
    }
    if (rc == TORC_E_CORRUPT)
        MARK(scan_meets_a_bad_block);
    return rc;
}

int engine_cursor_next(struct engine_cursor *c, struct record *out)
{
    int rc = next(c, out);
    if (rc < 0)
        c->merge.error = rc; /* until a seek: what could not be given out is not passed over */
    return rc;
}
