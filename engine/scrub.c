/* scrub.c - reads all tables again and again; see scrub.h.
 *
 * A table is opened a second time here, so nothing is held of the engine's while the task waits: a merge may
 * replace it meanwhile, and its file stays readable until it is closed. */
#include "engine/scrub.h"

#include "engine/engine_internal.h"
#include "engine/table_visit.h"
#include "engine/values_visit.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>

enum {
    PIECE_BYTES = 256 << 10, /* between two rests */
    TOLD_MAX = 4,            /* damages of one table that are told one by one */
    RESTS_MIN = 64,          /* no rest is longer than this part of the interval */
    NS_PER_MS = 1000000,
};

/* One table on its way. */
struct pass {
    struct engine *engine;
    struct table_visit visit;
    uint64_t number;
    uint32_t damages;
    char path[ENGINE_PATH_MAX];
};

static uint64_t all_bytes(const struct engine *e)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < e->tables->count; i++)
        bytes += table_summary(e->tables->tables[i]->table)->bytes;
    return bytes + values_totals(e->values).bytes;
}

static struct table_ref *find(const struct engine *e, uint64_t number)
{
    for (uint32_t i = 0; i < e->tables->count; i++)
        if (e->tables->tables[i]->number == number)
            return e->tables->tables[i];
    return NULL;
}

/* The table with the lowest number not below `number` that is not known as damaged; null: none. Looks at all:
 * once a table that is read. */
static struct table_ref *find_next(const struct engine *e, uint64_t number)
{
    struct table_ref *next = NULL;
    for (uint32_t i = 0; i < e->tables->count; i++) {
        struct table_ref *t = e->tables->tables[i];
        if (!t->is_damaged && !t->is_suspect && t->number >= number && (!next || t->number < next->number))
            next = t;
    }
    return next;
}

/* Waits: the share of the interval that belongs to so many bytes, or until the engine closes. */
static void rest(struct engine *e, uint64_t bytes)
{
    if (e->is_closing)
        return;
    uint64_t interval_ns = e->options.scrub_interval_ms * NS_PER_MS;
    uint64_t all = all_bytes(e);
    double share = all > bytes ? (double)bytes / (double)all : 1;
    uint64_t ns = (uint64_t)((double)interval_ns * 0.75 * share);
    uint64_t longest = interval_ns / RESTS_MIN + 1;
    event_init(&e->scrub.wake);
    int rc = event_wait(e->reactor, &e->scrub.wake, ns < longest ? ns : longest);
    (void)rc; /* woken or not, it is time to look again */
}

static void add_bytes(struct engine *e, uint64_t bytes)
{
    e->counters.scrubbed_bytes += bytes;
    e->counters.scrub_pass_bytes += bytes;
}

/* ---- one table ---- */

static void tell(struct pass *p, const char *what)
{
    struct engine *e = p->engine;
    MARK(scrubbing_finds_damage);
    e->counters.scrub_damages++;
    if (++p->damages <= TOLD_MAX)
        engine_tell(e, "scrub_found_damage", "%s: %s", p->path, what);
}

static int look_at_record(void *owner, const struct record *record, bool is_sound)
{
    (void)record;
    if (!is_sound)
        tell(owner, "the checksum of a record does not hold; its key answers CORRUPT");
    return 0;
}

/* Something could not be looked at, and that says nothing of it: the pass is not counted, and the next one
 * looks again. */
static void miss(struct engine *e)
{
    MARK(scrubbing_passes_over_what_it_cannot_look_at);
    e->scrub.has_missed = true;
}

/* Blocks from *block on, about PIECE_BYTES. Returns: the bytes read. */
static uint64_t look_at_piece(struct pass *p, uint32_t *block, uint32_t count)
{
    struct engine *e = p->engine;
    uint64_t bytes = 0;
    while (*block < count && bytes < PIECE_BYTES && !e->is_closing) {
        int rc = table_visit_block(&p->visit, (*block)++, look_at_record, p);
        bytes += p->visit.bytes;
        if (rc && !error_is_loss(rc)) {
            miss(e);
        } else if (rc) {
            char text[128];
            snprintf(text, sizeof text, "byte %llu, %llu bytes: %s; keys in them answer CORRUPT",
                     (unsigned long long)p->visit.offset, (unsigned long long)p->visit.bytes,
                     error_sentence(rc));
            tell(p, text);
            engine_suspect_table(e, p->number);
        }
    }
    add_bytes(e, bytes);
    return bytes;
}

static void look_at_blocks(struct pass *p)
{
    struct engine *e = p->engine;
    uint32_t count = table_visit_blocks(p->visit.table);
    for (uint32_t block = 0; block < count && !e->is_closing;) {
        if (disk_acquire(e->disk, DISK_SCRUB, PIECE_BYTES) != 0)
            return;
        uint64_t bytes = look_at_piece(p, &block, count);
        disk_release(e->disk, DISK_SCRUB, PIECE_BYTES);
        rest(e, bytes);
    }
}

/* What could not be opened is in use and serves on; the next start would miss it. `damage` is what an error
 * of the data means. */
static void tell_unopened(struct pass *p, int error, bool is_in_use, const char *damage)
{
    if (!is_in_use)
        return; /* it was replaced meanwhile */
    if (!error_is_loss(error))
        miss(p->engine);
    else
        tell(p, error == -ENOENT ? "the file is gone; the next start cannot open it" : damage);
}

static void look_at_table(struct engine *e, uint64_t number, uint64_t origin)
{
    struct pass *p = reactor_alloc_zeroed(e->reactor, sizeof *p);
    struct table *table = NULL;
    if (!p) {
        miss(e);
        return;
    }
    p->engine = e;
    p->number = number;
    engine_table_path(e, number, p->path);
    int rc = table_open(e->reactor, NULL, p->path, origin, &table);
    if (rc == 0) {
        add_bytes(e, table_pinned_bytes(table));
        table_visit_init(&p->visit, table);
        look_at_blocks(p);
        table_visit_deinit(&p->visit);
        e->counters.corruptions += table_counters(table).corruptions;
        table_close(table);
    } else {
        tell_unopened(p, rc, find(e, number),
                      "footer, index or filter are damaged; the next start cannot open it");
        rest(e, PIECE_BYTES);
    }
    reactor_free(e->reactor, p);
}

/* ---- one value log ---- */

/* Returns: whether there is more. */
static bool look_at_some_values(struct pass *p, struct values_visit *v)
{
    struct engine *e = p->engine;
    struct values_found found;
    uint64_t bytes = 0;
    int rc = 1;
    if (disk_acquire(e->disk, DISK_SCRUB, PIECE_BYTES) != 0)
        return false;
    while (bytes < PIECE_BYTES && !e->is_closing && (rc = values_visit_next(v, &found)) == 1) {
        char text[128];
        bytes += found.bytes;
        if (found.is_sound)
            continue;
        snprintf(text, sizeof text,
                 "byte %llu, %llu bytes: no whole value; keys with values there answer CORRUPT",
                 (unsigned long long)found.offset, (unsigned long long)found.bytes);
        tell(p, text);
    }
    if (rc < 0)
        miss(e);
    disk_release(e->disk, DISK_SCRUB, PIECE_BYTES);
    add_bytes(e, bytes);
    rest(e, bytes);
    return rc == 1 && !e->is_closing;
}

static void check_length(struct pass *p, const struct values_visit *v)
{
    char text[128];
    const struct value_file *f = values_find(p->engine->values, p->number);
    if (!f || v->bytes >= f->bytes)
        return;
    snprintf(text, sizeof text, "%llu bytes of %llu are left; keys whose values are missing answer CORRUPT",
             (unsigned long long)v->bytes, (unsigned long long)f->bytes);
    tell(p, text);
}

static void look_at_values(struct engine *e, uint64_t number)
{
    struct pass *p = reactor_alloc_zeroed(e->reactor, sizeof *p);
    struct values_visit v;
    if (!p) {
        miss(e);
        return;
    }
    p->engine = e;
    p->number = number;
    values_path(e, number, p->path);
    int rc = values_visit_open(&v, e->reactor, p->path, number);
    if (rc == 0)
        check_length(p, &v);
    else
        tell_unopened(p, rc, values_find(e->values, number), "the disk does not give it");
    for (bool has_more = rc == 0; has_more;)
        has_more = look_at_some_values(p, &v);
    values_visit_close(&v);
    if (rc)
        rest(e, PIECE_BYTES);
    reactor_free(e->reactor, p);
}

/* ---- all of them ---- */

static uint64_t less(uint64_t bytes, uint64_t passed)
{
    return bytes > passed ? bytes - passed : 0;
}

uint64_t scrub_skip_tables(const struct manifest_table *tables, uint32_t count, uint64_t *bytes)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (*bytes == 0)
            break;
        ASSERT(tables[i].number >= number);
        *bytes = less(*bytes, tables[i].bytes);
        number = tables[i].number + 1;
    }
    return number;
}

/* Where a pass that began with the interval would be now: tables first, which the manifest has by number,
 * then value logs. */
static void begin(struct engine *e)
{
    const struct manifest_state *m = manifest_state(e->manifest);
    uint64_t into_ms = reactor_wall_ms(e->reactor) % e->options.scrub_interval_ms;
    double share = (double)into_ms / (double)e->options.scrub_interval_ms;
    uint64_t skip = (uint64_t)(share * (double)all_bytes(e));
    const struct value_file *f;
    e->scrub.next_number = scrub_skip_tables(m->tables, m->table_count, &skip);
    while (skip > 0 && (f = values_find_next(e->values, e->scrub.next_values)) != NULL) {
        skip = less(skip, f->bytes);
        e->scrub.next_values = f->number + 1;
    }
    e->scrub.has_begun = true;
}

static void scrub(struct reactor *r, void *context)
{
    struct engine *e = context;
    (void)r;
    if (!e->scrub.has_begun)
        begin(e);
    while (!e->is_closing && !e->is_failed) {
        const struct table_ref *t = find_next(e, e->scrub.next_number);
        const struct value_file *f;
        if (t) {
            e->scrub.next_number = t->number + 1;
            look_at_table(e, t->number, table_summary(t->table)->number);
        } else if ((f = values_find_next(e->values, e->scrub.next_values)) != NULL) {
            e->scrub.next_values = f->number + 1;
            look_at_values(e, f->number);
        } else {
            e->counters.scrub_passes += !e->scrub.has_missed;
            e->scrub.has_missed = false;
            e->counters.scrub_pass_bytes = 0;
            e->scrub.next_number = e->scrub.next_values = 0;
            rest(e, PIECE_BYTES);
        }
    }
    e->scrub.is_running = false;
    engine_task_over(e);
}

void engine_wake_scrub(struct engine *e)
{
    if (e->scrub.is_running || e->is_closing || e->options.scrub_interval_ms == 0)
        return;
    e->scrub.is_running = task_spawn(e->reactor, scrub, e) == 0; /* else after the next flush */
}
