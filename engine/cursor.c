/* cursor.c - ordered scans over live records.
 *
 * A cursor merges the memtables and tables that there are when it is opened, and holds them until it is
 * closed: what is flushed or compacted meanwhile changes nothing for it. What it gives out is copied, so that
 * no write touches it while the caller waits. */
#include "engine/engine_internal.h"
#include "engine/merge.h"
#include "reactor/base/mark.h"

enum { CALLS_PER_YIELD = 32 };

struct engine_cursor {
    struct engine *engine;
    struct table_set *tables;
    struct merge merge;
    uint64_t now_ms;
    uint32_t calls;
    uint8_t *copy; /* of the record given out last */
    size_t copy_bytes;
};

static void add_sources(struct engine_cursor *c, uint16_t vnode)
{
    struct engine *e = c->engine;
    uint32_t vnode_end = (uint32_t)e->options.vnode_first + e->options.vnode_count;
    merge_add_memtable(&c->merge, e->active, vnode, vnode_end);
    for (uint32_t i = 0; i < e->frozen_count; i++)
        merge_add_memtable(&c->merge, e->frozen[i].memtable, vnode, vnode_end);
    for (uint32_t i = 0; i < c->tables->run_count; i++)
        merge_add_run(&c->merge, &c->tables->runs[i], TABLE_CURSOR_SCAN);
}

int engine_cursor_open(struct engine *e, const struct record_key *from, uint64_t now_ms,
                       struct engine_cursor **out)
{
    *out = NULL;
    if (e->quarantine_clock != 0) {
        MARK(scan_that_may_lack_keys_answers_unknown);
        return TORC_E_UNKNOWN;
    }
    uint16_t vnode = from->vnode > e->options.vnode_first ? from->vnode : e->options.vnode_first;
    struct engine_cursor *c = reactor_alloc_zeroed(e->reactor, sizeof *c);
    if (!c)
        return TORC_E_NO_MEMORY;
    c->engine = e;
    c->now_ms = now_ms;
    c->tables = e->tables;
    table_set_hold(c->tables);
    int rc = merge_init(&c->merge, e->reactor, 1 + e->frozen_count + c->tables->run_count);
    if (rc == 0) {
        add_sources(c, vnode);
        rc = merge_seek(&c->merge, from);
    }
    if (rc)
        engine_cursor_close(c);
    else
        *out = c;
    return rc;
}

void engine_cursor_close(struct engine_cursor *c)
{
    struct reactor *r = c->engine->reactor;
    merge_deinit(&c->merge);
    table_set_release(c->tables);
    reactor_free(r, c->copy);
    reactor_free(r, c);
}

int engine_cursor_seek(struct engine_cursor *c, const struct record_key *to)
{
    return merge_seek(&c->merge, to);
}

static uint8_t *put(uint8_t *to, struct slice *bytes)
{
    if (bytes->bytes)
        memcpy(to, bytes->data, bytes->bytes);
    bytes->data = to;
    return to + bytes->bytes;
}

static int copy_out(struct engine_cursor *c, struct record *out)
{
    size_t bytes = out->key.key.bytes + out->key.subkey.bytes + out->value.bytes;
    if (bytes > c->copy_bytes) {
        size_t wanted = bytes > 2 * c->copy_bytes ? bytes : 2 * c->copy_bytes;
        reactor_free(c->engine->reactor, c->copy);
        c->copy = reactor_alloc(c->engine->reactor, wanted);
        c->copy_bytes = c->copy ? wanted : 0;
        if (!c->copy)
            return TORC_E_NO_MEMORY;
    }
    put(put(put(c->copy, &out->key.key), &out->key.subkey), &out->value);
    return 1;
}

int engine_cursor_next(struct engine_cursor *c, struct record *out)
{
    int rc;
    if (++c->calls % CALLS_PER_YIELD == 0)
        task_yield_if_due(c->engine->reactor);
    while ((rc = merge_next(&c->merge, out)) == 1) {
        if (record_is_live(out, c->now_ms)) {
            if (entry_verify(out))
                return copy_out(c, out);
            c->engine->counters.corruptions++;
            return TORC_E_CORRUPT;
        }
        task_yield_if_due(c->engine->reactor); /* a long row of dead records */
    }
    if (rc == TORC_E_CORRUPT)
        MARK(scan_meets_a_bad_block);
    return rc;
}
