/* disk_operation.c - operations in flight: what they meet, how long they take, and what they do.
 *
 * All draws of an operation are made when it begins, so they do not depend on what else is in flight. What it
 * changes is done at its end, in one event; several in flight end in any order. */
#include "reactor/sim/disk_operation.h"

#include "reactor/base/checksum.h"

#include <errno.h>
#include <string.h>

enum {
    FILE_BYTES_MAX_LOG2 = 36, /* a table has a slot for each page */
    DURATION_MIN_NS = 20 * 1000,
    DURATION_MAX_NS = 300 * 1000,
    HICCUP_NS = 5 * 1000 * 1000,
    HICCUP_ONE_IN = 256,
    SLOW_MIN = 10,
    SLOW_MAX = 1000,
    GARBAGE = 0xdb,
    SAMPLE_BYTES = 64,
    TRACE_BEGIN = 0xd1500000, /* plus the kind */
    TRACE_END = 0xd1510000,
    TRACE_DATA = 0xd1520000,
};

static const uint64_t STUCK_MIN_NS = 1000ull * 1000 * 1000;
static const uint64_t STUCK_MAX_NS = 60ull * 1000 * 1000 * 1000;

static struct disk_operation *of_link(struct list *link)
{
    return CONTAINER_OF(link, struct disk_operation, link);
}

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(sim_realloc(NULL, bytes), text, bytes);
}

static void on_completion(struct sim_completion *c);

struct disk_operation *disk_operation_new(struct reactor *r, struct file *f, enum disk_draw kind)
{
    struct disk_operation *o = sim_alloc(sizeof *o);
    o->reactor = r;
    o->disk = r->node->disk;
    o->kind = kind;
    o->trouble = SIM_FAULT_COUNT;
    o->file = f;
    o->inode = f ? f->inode : NULL;
    o->flags = f ? f->flags : 0;
    list_init(&o->link);
    list_init(&o->completion.link);
    o->completion.done = on_completion;
    if (f)
        f->operations++;
    return o;
}

void disk_operation_set_paths(struct disk_operation *o, const char *path, const char *to_path)
{
    o->path = copy_text(path);
    o->to_path = to_path ? copy_text(to_path) : NULL;
}

static void operation_free(struct disk_operation *o)
{
    ASSERT(list_is_empty(&o->completion.link));
    list_remove(&o->link);
    disk_write_release(o->write);
    sim_free(o->path);
    sim_free(o->to_path);
    sim_free(o);
}

/* ---- what it changes ---- */

/* Without any fault, in the cache: what it does in the end, or in a copy made before that. `i` is the file
 * it is about, on disk `d`; null for paths. Returns: its result. */
static int64_t change(struct sim_disk *d, struct disk_operation *o, struct disk_inode *i,
                      struct disk_inode **opened)
{
    switch (o->kind) {
    case DISK_DRAW_WRITE:
        return disk_write(d, i, o->write, o->offset + o->bytes, DISK_CACHED);
    case DISK_DRAW_ALLOCATE:
        return disk_allocate(d, i, o->offset, o->offset + o->bytes);
    case DISK_DRAW_TRUNCATE:
        disk_resize(d, i, o->bytes);
        return 0;
    case DISK_DRAW_OPEN:
        return disk_open_file(d, o->path, o->flags, opened);
    case DISK_DRAW_DIRECTORY_CREATE:
        return disk_make_directory(d, o->path);
    case DISK_DRAW_RENAME:
        return disk_rename(d, o->path, o->to_path);
    case DISK_DRAW_LINK:
        return disk_link(d, o->path, o->to_path);
    case DISK_DRAW_REMOVE:
        return o->is_of_directory ? disk_remove_directory(d, o->path) : disk_unlink(d, o->path);
    case DISK_DRAW_READ:
    case DISK_DRAW_SYNC:
    case DISK_DRAW_CLOSE:
    case DISK_DRAW_DIRECTORY_SYNC:
    case DISK_DRAW_DIRECTORY_LIST:
    case DISK_DRAW_REST:
    case DISK_DRAW_COUNT:
        break;
    }
    return 0;
}

/* Whether its opening, or what the process has left, allows it at all. Returns: 0, -EMFILE, -EBADF, -EINVAL
 * or -EFBIG. */
static int check_access(const struct disk_operation *o)
{
    if (o->trouble == SIM_NO_DESCRIPTORS)
        return -EMFILE;
    if (o->trouble == SIM_NO_READ_MEMORY)
        return -ENOMEM;
    if ((o->offset >> FILE_BYTES_MAX_LOG2 || o->bytes >> FILE_BYTES_MAX_LOG2) && o->kind != DISK_DRAW_READ)
        return -EFBIG;
    if (o->kind == DISK_DRAW_READ)
        return o->flags & FILE_READ ? 0 : -EBADF;
    if (o->kind == DISK_DRAW_WRITE || o->kind == DISK_DRAW_ALLOCATE)
        return o->flags & FILE_WRITE ? 0 : -EBADF;
    if (o->kind == DISK_DRAW_TRUNCATE)
        return o->flags & FILE_WRITE ? 0 : -EINVAL;
    return 0;
}

static bool can_change(const struct disk_operation *o)
{
    static const bool changes[DISK_DRAW_COUNT] = {
        [DISK_DRAW_ALLOCATE] = true, [DISK_DRAW_TRUNCATE] = true, [DISK_DRAW_DIRECTORY_CREATE] = true,
        [DISK_DRAW_RENAME] = true,   [DISK_DRAW_LINK] = true,     [DISK_DRAW_REMOVE] = true,
    };
    if (o->kind == DISK_DRAW_WRITE)
        return o->disk->changing_count > 0 || o->offset + o->bytes > o->inode->cached.bytes ||
               !disk_write_is_idle(o->inode, o->write);
    return o->kind == DISK_DRAW_OPEN ? o->flags & FILE_CREATE : changes[o->kind];
}

void disk_operations_settle(struct sim_disk *copy, const struct sim_disk *d)
{
    for (struct list *link = d->in_flight.next; link != &d->in_flight; link = link->next) {
        struct disk_operation *o = of_link(link);
        struct disk_inode *opened, *i = o->inode ? disk_inode(copy, o->inode->id) : NULL;
        if (check_access(o) == 0)
            (void)change(copy, o, i, &opened);
    }
}

/* ---- what it meets ---- */

static uint64_t trouble_is(struct disk_operation *o, enum sim_fault fault)
{
    o->trouble = fault;
    o->trouble_draw = sim_dice_next(&disk_dice(o->disk, o->reactor->world, o->kind)->fault[fault]);
    return o->trouble_draw;
}

/* Each of them draws, whatever the others drew. The last that hits is what happens. */
static void draw_trouble(struct disk_operation *o)
{
    static const enum sim_fault of_write[] = {SIM_LOST_WRITE, SIM_MISDIRECTED_WRITE, SIM_SYNC_ERROR,
                                              SIM_WRITE_ERROR};
    struct sim_world *w = o->reactor->world;
    if (o->kind == DISK_DRAW_READ && disk_draws_fault(o->disk, w, o->kind, SIM_READ_ERROR))
        trouble_is(o, SIM_READ_ERROR);
    if (o->kind == DISK_DRAW_READ && disk_draws_fault(o->disk, w, o->kind, SIM_NO_READ_MEMORY))
        trouble_is(o, SIM_NO_READ_MEMORY);
    if ((o->kind == DISK_DRAW_SYNC || o->kind == DISK_DRAW_DIRECTORY_SYNC) &&
        disk_draws_fault(o->disk, w, o->kind, SIM_SYNC_ERROR))
        trouble_is(o, SIM_SYNC_ERROR);
    for (unsigned i = 0; o->kind == DISK_DRAW_WRITE && i < ARRAY_COUNT(of_write); i++)
        if ((of_write[i] != SIM_SYNC_ERROR || o->is_durable) &&
            disk_draws_fault(o->disk, w, o->kind, of_write[i]))
            trouble_is(o, of_write[i]);
    if ((o->kind == DISK_DRAW_OPEN || o->kind == DISK_DRAW_DIRECTORY_SYNC) &&
        disk_draws_fault(o->disk, w, o->kind, SIM_NO_DESCRIPTORS))
        trouble_is(o, SIM_NO_DESCRIPTORS);
}

static void on_end(struct sim_event *e);

/* The whole disk stands still: what is in flight ends after that. */
void sim_disk_hold(struct sim_disk *d, struct sim_world *w, uint64_t ns)
{
    struct sim_dice *dice = &disk_dice(d, w, DISK_DRAW_REST)->duration;
    d->stuck_until_ns = w->now_ns + ns;
    for (struct list *link = d->in_flight.next; link != &d->in_flight; link = link->next)
        if (of_link(link)->end.due_ns < d->stuck_until_ns)
            event_schedule(w, &of_link(link)->end, ns + sim_dice_between(dice, 0, DURATION_MAX_NS), on_end);
}

static uint64_t draw_duration(struct disk_operation *o)
{
    struct sim_disk *d = o->disk;
    struct sim_world *w = o->reactor->world;
    struct disk_dice *dice = disk_dice(d, w, o->kind);
    uint64_t ns = sim_dice_between(&dice->duration, DURATION_MIN_NS, DURATION_MAX_NS);
    if (sim_dice_below(&dice->duration, HICCUP_ONE_IN) == 0)
        ns = HICCUP_NS;
    if (o->kind == DISK_DRAW_CLOSE)
        return ns;
    if (disk_draws_fault(d, w, o->kind, SIM_SLOW_DISK))
        ns *= sim_dice_between(&dice->fault[SIM_SLOW_DISK], SLOW_MIN, SLOW_MAX);
    if (disk_draws_fault(d, w, o->kind, SIM_STUCK_DISK)) {
        uint64_t stuck = sim_dice_between(&dice->fault[SIM_STUCK_DISK], STUCK_MIN_NS, STUCK_MAX_NS);
        if (sim_dice_below(&dice->fault[SIM_STUCK_DISK], 2) == 0)
            sim_disk_hold(d, w, stuck);
        ns += stuck;
    }
    uint64_t not_before = d->stuck_until_ns > w->now_ns ? d->stuck_until_ns - w->now_ns : 0;
    return ns > not_before ? ns : not_before + ns;
}

/* ---- its life ---- */

static void trace(const struct disk_operation *o, uint64_t what, uint64_t value)
{
    core_trace(o->reactor, what + o->kind, value);
}

static uint64_t fingerprint(const struct disk_operation *o)
{
    uint64_t parts[] = {o->inode ? o->inode->id : 0, o->offset, o->bytes, o->flags, o->is_durable, 0};
    if (o->write && !o->write->is_zero)
        parts[5] = checksum_bytes(o->from, o->bytes);
    for (const char *path = o->path; path; path = path == o->path ? o->to_path : NULL)
        parts[5] = parts[5] * 31 + checksum_bytes(path, strlen(path));
    return checksum_bytes(parts, sizeof parts);
}

void disk_operation_begin(struct disk_operation *o)
{
    struct sim_disk *d = o->disk;
    if (o->kind == DISK_DRAW_WRITE)
        o->write = disk_write_new(o->from, o->bytes, o->offset);
    if (o->kind == DISK_DRAW_READ)
        memset(o->buffer, GARBAGE, o->bytes);
    o->sequence = d->pending_sequence;
    draw_trouble(o);
    uint64_t ns = draw_duration(o);
    trace(o, TRACE_BEGIN, fingerprint(o));
    o->is_changing = can_change(o);
    if (o->is_changing) {
        d->changing_count++;
        disk_changed(d);
    }
    o->reactor->core.counters.submissions++;
    o->reactor->core.reads_in_flight += o->kind == DISK_DRAW_READ;
    list_push_back(&d->in_flight, &o->link);
    event_schedule(o->reactor->world, &o->end, o->reactor->elapsed_ns + ns, on_end);
}

/* The beginning of each page: what is read is known from what was written, of which all is in the trace. */
static uint64_t sample(const uint8_t *bytes, size_t count)
{
    uint64_t rolled = count;
    for (size_t at = 0; at < count; at += SIM_DISK_PAGE_BYTES)
        rolled =
            rolled * 31 + checksum_bytes(bytes + at, count - at < SAMPLE_BYTES ? count - at : SAMPLE_BYTES);
    return rolled;
}

static int64_t end_read(struct disk_operation *o)
{
    const struct disk_content *c = &o->inode->cached;
    o->inode->buffered_reads += !(o->flags & FILE_DIRECT);
    if (o->trouble == SIM_READ_ERROR || disk_has_bad_sector(o->disk, c, o->offset, o->offset + o->bytes))
        return -EIO;
    int64_t got = (int64_t)disk_content_read(c, o->buffer, o->bytes, o->offset);
    trace(o, TRACE_DATA, sample(o->buffer, (size_t)got));
    return got;
}

/* None of it, all, or the first sectors. */
static int64_t end_failed_write(struct disk_operation *o)
{
    uint64_t sectors = o->bytes / SIM_SECTOR_BYTES, end = o->offset + o->bytes;
    uint64_t made = o->trouble_draw / 3 % (sectors + 1) * SIM_SECTOR_BYTES;
    if (o->trouble_draw % 3 == 1)
        end = o->offset;
    if (o->trouble_draw % 3 == 2)
        end = o->offset + made;
    int rc = disk_write(o->disk, o->inode, o->write, end, DISK_CACHED);
    (void)rc; /* the error is another one */
    disk_changed(o->disk);
    return -EIO;
}

static int64_t end_failed_durable_write(struct disk_operation *o)
{
    bool is_now = o->trouble_draw & 1;
    int rc = is_now ? 0 : disk_write(o->disk, o->inode, o->write, o->offset + o->bytes, DISK_DOOMED);
    (void)rc;
    disk_changed(o->disk);
    return -EIO;
}

static int64_t end_write(struct disk_operation *o)
{
    struct sim_world *w = o->reactor->world;
    int rc = 0;
    if (o->trouble == SIM_WRITE_ERROR)
        return end_failed_write(o);
    if (o->trouble == SIM_SYNC_ERROR)
        return end_failed_durable_write(o);
    if (o->trouble == SIM_LOST_WRITE)
        rc = disk_lose_write(o->disk, w, o->inode, o->write, o->is_durable);
    else if (o->trouble == SIM_MISDIRECTED_WRITE)
        rc = disk_misdirect_write(o->disk, w, o->inode, o->write, o->is_durable);
    else
        rc = disk_write(o->disk, o->inode, o->write, o->offset + o->bytes,
                        o->is_durable ? DISK_DURABLE : DISK_CACHED);
    return rc ? rc : (int64_t)o->bytes;
}

static int64_t end_sync(struct disk_operation *o)
{
    if (o->trouble == SIM_SYNC_ERROR) {
        disk_fail_sync(o->disk, o->inode, o->sequence, o->trouble_draw & 1);
        return -EIO;
    }
    disk_sync(o->disk, o->inode, o->sequence);
    return 0;
}

static int64_t end_sync_directory(struct disk_operation *o)
{
    struct disk_inode *directory;
    int rc = disk_find_directory(o->disk, o->path, &directory);
    if (rc)
        return rc;
    if (o->trouble == SIM_SYNC_ERROR)
        return -EIO;
    disk_sync_directory(o->disk, directory->id, o->sequence);
    return 0;
}

static int64_t perform(struct disk_operation *o)
{
    int64_t rc = check_access(o);
    if (rc)
        return rc;
    if (o->kind == DISK_DRAW_READ)
        return end_read(o);
    if (o->kind == DISK_DRAW_WRITE)
        return end_write(o);
    if (o->kind == DISK_DRAW_SYNC)
        return end_sync(o);
    if (o->kind == DISK_DRAW_DIRECTORY_SYNC)
        return end_sync_directory(o);
    rc = change(o->disk, o, o->inode, &o->inode);
    if (rc == 0 && o->kind == DISK_DRAW_OPEN)
        disk_inode_opened(o->disk, o->inode);
    if (o->kind == DISK_DRAW_CLOSE) {
        disk_inode_closed(o->disk, o->inode);
        o->inode = NULL;
    }
    return rc;
}

static void on_completion(struct sim_completion *c)
{
    struct disk_operation *o = CONTAINER_OF(c, struct disk_operation, completion);
    struct file_operation *caller = o->caller;
    if (o->write)
        ASSERT(
            disk_write_equals(o->write, o->from)); /* the bytes of a write stay as they are until its end */
    if (o->file)
        o->file->operations--;
    o->reactor->core.counters.completions++;
    o->reactor->core.reads_in_flight -= o->kind == DISK_DRAW_READ;
    if (!caller) {
        event_set(o->reactor, &o->is_over, 0);
        return;
    }
    caller->result = o->result;
    operation_free(o);
    caller->done(caller);
}

static void on_end(struct sim_event *e)
{
    struct disk_operation *o = CONTAINER_OF(e, struct disk_operation, end);
    struct sim_disk *d = o->disk;
    uint64_t changes = d->change_count;
    bool is_plain = o->trouble == SIM_FAULT_COUNT && !o->is_durable;
    list_remove(&o->link);
    list_push_back(&d->ended, &o->link);
    d->changing_count -= o->is_changing;
    o->result = perform(o);
    if (o->is_changing && is_plain && d->changing_count == 0)
        d->change_count = changes; /* it is as it was expected when this began */
    if (o->is_changing)
        d->version++;
    trace(o, TRACE_END, (uint64_t)o->result);
    core_post(o->reactor, &o->completion);
}

int64_t disk_operation_wait_open(struct disk_operation *o, struct disk_inode **opened)
{
    event_init(&o->is_over);
    disk_operation_begin(o);
    int rc = event_wait(o->reactor, &o->is_over, EVENT_FOREVER);
    ASSERT(rc == 0);
    int64_t result = o->result;
    *opened = o->inode;
    operation_free(o);
    return result;
}

int64_t disk_operation_wait(struct disk_operation *o)
{
    struct disk_inode *inode;
    return disk_operation_wait_open(o, &inode);
}

/* ---- the end of its node ---- */

/* The device has it and may still do it: all, nothing, or the first sectors of a write. */
static void end_unheard(struct disk_operation *o)
{
    struct sim_disk *d = o->disk;
    struct sim_dice *dice = &disk_dice(d, o->reactor->world, DISK_DRAW_REST)->duration;
    uint64_t made = sim_dice_below(dice, 3), sectors = o->bytes / SIM_SECTOR_BYTES;
    uint64_t part = sim_dice_below(dice, sectors + 1) * SIM_SECTOR_BYTES;
    struct disk_inode *opened;
    struct disk_inode *directory;
    if (made == 0 || check_access(o))
        return;
    if (o->kind == DISK_DRAW_SYNC)
        disk_sync(d, o->inode, o->sequence);
    else if (o->kind == DISK_DRAW_DIRECTORY_SYNC && disk_find_directory(d, o->path, &directory) == 0)
        disk_sync_directory(d, directory->id, o->sequence);
    else if (o->kind == DISK_DRAW_WRITE && made == 2)
        o->result = disk_write(d, o->inode, o->write, o->offset + part, DISK_CACHED);
    else
        o->result = change(d, o, o->inode, &opened);
    trace(o, TRACE_END, made + part);
}

void disk_operations_end(struct reactor *r)
{
    struct sim_disk *d = r->node->disk;
    for (struct list *link = d->in_flight.next, *next; link != &d->in_flight; link = next) {
        struct disk_operation *o = of_link(link);
        next = link->next;
        if (o->reactor != r)
            continue;
        event_cancel(r->world, &o->end);
        end_unheard(o);
        d->changing_count -= o->is_changing;
        if (o->kind == DISK_DRAW_CLOSE)
            disk_inode_closed(d, o->inode);
        operation_free(o);
        disk_changed(d);
    }
    for (struct list *link = d->ended.next, *next; link != &d->ended; link = next) {
        struct disk_operation *o = of_link(link);
        next = link->next;
        if (o->reactor != r)
            continue;
        core_unpost(&o->completion);
        if (o->kind == DISK_DRAW_OPEN && o->result == 0)
            disk_inode_closed(d, o->inode);
        operation_free(o);
    }
}
