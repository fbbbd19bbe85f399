/* disk_random_test.c - many random operations on a disk of the simulator, and what has to hold after each.
 *
 * - A loss of power that keeps all leaves what readers saw, unless a sync had failed.
 * - A loss of power that drops all leaves what was synced, and nothing that had no durable name.
 * - What is counted is what is there: space, names and holds of inodes. */
#include "reactor/sim/disk.h"
#include "test/sim/disk_rig.h"

#include <stdio.h>
#include <string.h>

enum { STEPS = 250, FILES = 3, SEEDS = 60, NAMES = 6, STREAM = SIM_STREAMS + 77, BYTES_MAX = 5 * RIG_PAGE };

struct shuffle {
    struct rig rig; /* first */
    struct sim_dice dice;
    struct file *files[FILES];
    bool has_failing_syncs;
};

static uint64_t draw(struct shuffle *s, uint64_t bound)
{
    return sim_dice_below(&s->dice, bound);
}

/* ---- what has to hold ---- */

struct counted {
    uint64_t names;
    uint64_t holds;
};

static void count_entries(const struct disk_names *n, uint64_t inode, uint64_t *count)
{
    for (uint32_t e = 0; n && e < n->count; e++)
        *count += n->entries[e].inode == inode;
}

static struct counted count_of(const struct sim_disk *d, const struct disk_inode *i)
{
    struct counted c = {0};
    for (uint32_t k = 0; k < d->inode_count; k++) {
        count_entries(d->inodes[k]->cached_names, i->id, &c.names);
        count_entries(d->inodes[k]->durable_names, i->id, &c.holds);
    }
    for (struct list *link = d->pending_names.next; link != &d->pending_names; link = link->next)
        c.holds += CONTAINER_OF(link, struct disk_pending, of_inode)->inode == i;
    return c;
}

static void check_counts(const struct sim_disk *d)
{
    uint64_t used = 0, pending = 0;
    for (uint32_t k = 0; k < d->inode_count; k++) {
        const struct disk_inode *i = d->inodes[k];
        struct counted c = count_of(d, i);
        CU_ASSERT_EQUAL_FATAL(i->names, c.names);
        CU_ASSERT_EQUAL_FATAL(i->holds, c.holds);
        CU_ASSERT_EQUAL_FATAL(i->pages, disk_content_pages(&i->cached));
        CU_ASSERT_TRUE_FATAL(i->is_directory || i->names + i->opens + i->holds > 0);
        used += i->names + i->opens > 0 ? i->pages : 0;
    }
    for (struct list *link = d->pending.next; link != &d->pending; link = link->next)
        pending++;
    CU_ASSERT_EQUAL_FATAL(d->used_pages, used);
    CU_ASSERT_EQUAL_FATAL(d->pending_count, pending);
}

static void check_same_files(const struct sim_disk *a, const struct sim_disk *b)
{
    static const size_t bytes = BYTES_MAX + 1;
    uint8_t x[BYTES_MAX + 1], y[BYTES_MAX + 1];
    CU_ASSERT_EQUAL_FATAL(sim_disk_file_count(a), sim_disk_file_count(b));
    for (uint32_t i = 0; i < sim_disk_file_count(a); i++) {
        const char *path = sim_disk_file_at(a, i).path;
        CU_ASSERT_STRING_EQUAL_FATAL(path, sim_disk_file_at(b, i).path);
        int64_t in_a = sim_disk_peek(a, path, x, bytes, 0), in_b = sim_disk_peek(b, path, y, bytes, 0);
        CU_ASSERT_EQUAL_FATAL(in_a, in_b);
        CU_ASSERT_EQUAL_FATAL(memcmp(x, y, (size_t)in_a), 0);
    }
}

static void check(struct shuffle *s)
{
    const struct sim_disk *d = s->rig.disk;
    check_counts(d);
    struct sim_disk *now = sim_disk_clone(d), *kept = disk_after_power_loss(d, SIM_KEEP);
    struct sim_disk *dropped = disk_after_power_loss(d, SIM_DROP);
    check_counts(now);
    check_counts(kept);
    check_counts(dropped);
    CU_ASSERT_EQUAL(sim_disk_pending_count(d), sim_disk_pending_count(now));
    if (!s->has_failing_syncs)
        check_same_files(now, kept);
    sim_disk_free(now);
    struct sim_disk *again = disk_after_power_loss(dropped, SIM_DROP);
    check_same_files(dropped, again);
    sim_disk_free(dropped);
    sim_disk_free(kept);
    sim_disk_free(again);
}

/* ---- operations ---- */

static const char *any_name(struct shuffle *s, char *path)
{
    snprintf(path, 16, "%s%c", draw(s, 2) ? "d/" : "", (char)('a' + draw(s, NAMES)));
    return path;
}

static void change_names(struct reactor *r, struct shuffle *s)
{
    char a[16], b[16];
    any_name(s, a);
    any_name(s, b);
    switch (draw(s, 5)) {
    case 0:
        (void)!file_rename(r, a, b);
        return;
    case 1:
        (void)!file_link(r, a, b);
        return;
    case 2:
        (void)!directory_sync(r, draw(s, 2) ? "d" : "/");
        return;
    case 3:
        (void)!directory_create(r, "d");
        return;
    case 4:
        (void)!file_remove(r, a);
        return;
    }
}

static void change_file(struct reactor *r, struct shuffle *s, struct file *f)
{
    uint64_t offset = draw(s, BYTES_MAX), bytes = draw(s, BYTES_MAX - offset);
    bool is_aligned = draw(s, 2) == 0, is_zero = draw(s, 4) == 0;
    offset = is_aligned ? offset / RIG_PAGE * RIG_PAGE : offset;
    bytes = is_aligned ? bytes / RIG_PAGE * RIG_PAGE : bytes;
    rig_fill(&s->rig, is_zero ? 0 : (uint8_t)draw(s, 256), BYTES_MAX / RIG_PAGE);
    switch (draw(s, 7)) {
    case 0:
        (void)!file_truncate(r, f, draw(s, 3) ? offset : 0);
        return;
    case 1:
        (void)!file_sync(r, f);
        return;
    case 2:
        (void)!file_allocate(r, f, offset, bytes);
        return;
    case 3:
        (void)!file_write(r, f, s->rig.bytes, bytes, offset, true);
        return;
    case 4:
        (void)!file_read(r, f, s->rig.bytes, bytes, offset);
        return;
    default:
        (void)!file_write(r, f, s->rig.bytes, bytes, offset, false);
        return;
    }
}

static void step(struct reactor *r, struct shuffle *s)
{
    char path[16];
    struct file **f = &s->files[draw(s, FILES)];
    if (draw(s, 4) == 0) {
        change_names(r, s);
    } else if (!*f) {
        unsigned flags = FILE_READ | FILE_WRITE | (draw(s, 2) ? FILE_CREATE : 0);
        (void)!file_open(r, any_name(s, path), flags, f);
    } else if (draw(s, 6) == 0) {
        file_close(r, *f);
        *f = NULL;
    } else {
        change_file(r, s, *f);
    }
}

static void shuffle(struct reactor *r, struct rig *rig)
{
    struct shuffle *s = (struct shuffle *)rig;
    for (unsigned i = 0; i < STEPS; i++) {
        step(r, s);
        sim_disk_set_capacity(rig->disk, draw(s, 20) ? 1 << 20 : draw(s, 20) * RIG_PAGE);
        if (draw(s, 3) == 0)
            check(s);
    }
}

static void run_shuffle(uint64_t seed, const struct sim_faults *faults)
{
    struct shuffle s = {.has_failing_syncs = faults->per_million[SIM_SYNC_ERROR] > 0};
    rig_open(&s.rig, seed);
    sim_world_set_faults(s.rig.world, faults);
    sim_dice_init(&s.dice, seed, STREAM, 0);
    for (unsigned round = 0; round < 3; round++) {
        memset(s.files, 0, sizeof s.files);
        rig_run(&s.rig, shuffle);
        rig_kill(&s.rig, round % 2 ? SIM_END_KILL : SIM_END_POWER);
        check(&s);
    }
    rig_close(&s.rig);
}

TEST(a_shuffled_disk_keeps_its_word)
{
    struct sim_faults none = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_shuffle(seed, &none);
}

TEST(a_shuffled_disk_with_all_faults_keeps_its_books)
{
    struct sim_faults faults = {0};
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++)
        faults.per_million[i] = i == SIM_STUCK_DISK ? 1000 : 100000;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_shuffle(seed, &faults);
}
