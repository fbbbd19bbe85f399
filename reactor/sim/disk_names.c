/* disk_names.c - inodes and the directories that name them.
 *
 * A directory is a sorted array of (name, id of an inode) in two layers. A change of names is made in the cached
 * layer and becomes pending; it carries the inode, so a rename that survives a crash makes its name even when the
 * create before it did not survive. Who counts what: `names` the cached entries, `holds` the durable entries and
 * the pending changes. */
#include "reactor/sim/disk.h"

#include <errno.h>
#include <string.h>

enum { NAMES_FIRST = 8, INODES_FIRST = 32, DEPTH_MAX = 64 };

/* ---- names ---- */

static struct disk_name *name_new(const char *text, size_t bytes)
{
    struct disk_name *name = sim_realloc(NULL, sizeof *name + bytes + 1);
    name->references = 1;
    name->bytes = (uint32_t)bytes;
    memcpy(name->text, text, bytes);
    name->text[bytes] = 0;
    return name;
}

static struct disk_name *name_acquire(struct disk_name *name)
{
    if (name)
        name->references++;
    return name;
}

void disk_name_release(struct disk_name *name)
{
    if (name && --name->references == 0)
        sim_free(name);
}

struct disk_names *disk_names_acquire(struct disk_names *names)
{
    if (names)
        names->references++;
    return names;
}

void disk_names_release(struct disk_names *names)
{
    if (!names || --names->references > 0)
        return;
    for (uint32_t i = 0; i < names->count; i++)
        disk_name_release(names->entries[i].name);
    sim_free(names);
}

static size_t names_bytes(uint32_t capacity)
{
    return sizeof(struct disk_names) + capacity * sizeof(struct disk_entry);
}

/* The list that only this layer holds, with room for one more. */
static struct disk_names *names_own(struct disk_names **slot)
{
    struct disk_names *n = *slot;
    uint32_t count = n ? n->count : 0, capacity = n ? n->capacity : 0;
    if (count == capacity)
        capacity = capacity ? capacity * 2 : NAMES_FIRST;
    if (n && n->references == 1) {
        n = capacity > n->capacity ? sim_realloc(n, names_bytes(capacity)) : n;
    } else {
        struct disk_names *copy = sim_realloc(NULL, names_bytes(capacity));
        *copy = (struct disk_names){.references = 1, .count = count};
        for (uint32_t i = 0; i < count; i++)
            copy->entries[i] = (struct disk_entry){name_acquire(n->entries[i].name), n->entries[i].inode};
        disk_names_release(n);
        n = copy;
    }
    n->capacity = capacity;
    *slot = n;
    return n;
}

static int compare(const struct disk_name *name, const char *text, size_t bytes)
{
    int order = memcmp(name->text, text, name->bytes < bytes ? name->bytes : bytes);
    return order ? order : (name->bytes > bytes) - (name->bytes < bytes);
}

/* Where the name is or would be. */
static uint32_t place_of(const struct disk_names *n, const char *text, size_t bytes)
{
    uint32_t low = 0, high = n ? n->count : 0;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (compare(n->entries[middle].name, text, bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Returns: the inode's id, 0 when there is no such name. */
static uint64_t names_find(const struct disk_names *n, const char *text, size_t bytes)
{
    uint32_t place = place_of(n, text, bytes);
    bool is_there = n && place < n->count && compare(n->entries[place].name, text, bytes) == 0;
    return is_there ? n->entries[place].inode : 0;
}

/* Sets a name to an inode, or takes it out for 0. Returns: what it named before. */
static uint64_t names_set(struct disk_names **slot, struct disk_name *name, uint64_t inode)
{
    uint64_t before = names_find(*slot, name->text, name->bytes);
    if (before == inode)
        return before;
    struct disk_names *n = names_own(slot);
    uint32_t place = place_of(n, name->text, name->bytes);
    struct disk_entry *entry = &n->entries[place];
    if (before && inode) {
        entry->inode = inode;
    } else if (before) {
        disk_name_release(entry->name);
        memmove(entry, entry + 1, (--n->count - place) * sizeof *entry);
    } else {
        memmove(entry + 1, entry, (n->count++ - place) * sizeof *entry);
        *entry = (struct disk_entry){name_acquire(name), inode};
    }
    return before;
}

/* ---- inodes ---- */

static uint32_t inode_place(const struct sim_disk *d, uint64_t id)
{
    uint32_t low = 0, high = d->inode_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (d->inodes[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct disk_inode *disk_inode(const struct sim_disk *d, uint64_t id)
{
    uint32_t place = inode_place(d, id);
    return place < d->inode_count && d->inodes[place]->id == id ? d->inodes[place] : NULL;
}

struct disk_inode *disk_inode_new(struct sim_disk *d, bool is_directory)
{
    struct disk_inode *i = sim_alloc(sizeof *i);
    i->id = d->next_inode++;
    i->is_directory = is_directory;
    list_init(&i->pending);
    if (d->inode_count == d->inode_capacity) {
        d->inode_capacity = d->inode_capacity ? d->inode_capacity * 2 : INODES_FIRST;
        d->inodes = sim_realloc(d->inodes, d->inode_capacity * sizeof(struct disk_inode *));
    }
    d->inodes[d->inode_count++] = i;
    return i;
}

static void drop_pending(struct sim_disk *d, struct disk_inode *i)
{
    while (!list_is_empty(&i->pending))
        disk_pending_drop(d, CONTAINER_OF(i->pending.next, struct disk_pending, of_inode));
}

void disk_inode_destroy(struct sim_disk *d, struct disk_inode *i)
{
    drop_pending(d, i);
    disk_content_free(&i->cached);
    disk_content_free(&i->durable);
    disk_names_release(i->cached_names);
    disk_names_release(i->durable_names);
    sim_free(i);
}

static bool is_counted(const struct disk_inode *i)
{
    return i->names > 0 || i->opens > 0;
}

/* A directory stays until the next loss of power: nothing but a rename can take its name. */
void disk_inode_check(struct sim_disk *d, struct disk_inode *i)
{
    if (i->is_directory || !disk_inode_is_lost(i) || d->is_reloading)
        return;
    drop_pending(d, i);
    if (i->opens > 0)
        return;
    uint32_t place = inode_place(d, i->id);
    ASSERT(place < d->inode_count && d->inodes[place] == i);
    memmove(&d->inodes[place], &d->inodes[place + 1],
            (--d->inode_count - place) * sizeof(struct disk_inode *));
    disk_inode_destroy(d, i);
}

void disk_inode_opened(struct sim_disk *d, struct disk_inode *i)
{
    d->used_pages += is_counted(i) ? 0 : i->pages;
    i->opens++;
}

void disk_inode_closed(struct sim_disk *d, struct disk_inode *i)
{
    ASSERT(i->opens > 0);
    i->opens--;
    d->used_pages -= is_counted(i) ? 0 : i->pages;
    disk_inode_check(d, i);
}

/* Sets a name in the cache: what it named before loses one, `inode` gains one. */
static void set_cached(struct sim_disk *d, uint64_t directory, struct disk_name *name,
                       struct disk_inode *inode)
{
    struct disk_inode *in = disk_inode(d, directory);
    struct disk_inode *before = disk_inode(d, names_set(&in->cached_names, name, inode ? inode->id : 0));
    d->names_version++;
    if (inode) {
        d->used_pages += is_counted(inode) ? 0 : inode->pages;
        inode->names++;
    }
    if (before) {
        before->names--;
        d->used_pages -= is_counted(before) ? 0 : before->pages;
    }
}

static void set_durable(struct sim_disk *d, uint64_t directory, struct disk_name *name,
                        struct disk_inode *inode)
{
    struct disk_inode *in = disk_inode(d, directory);
    if (!in)
        return; /* its own name was lost */
    struct disk_inode *before = disk_inode(d, names_set(&in->durable_names, name, inode ? inode->id : 0));
    if (inode)
        inode->holds++;
    if (before) {
        before->holds--;
        disk_inode_check(d, before);
    }
}

void disk_name_change_apply(struct sim_disk *d, const struct disk_name_change *change, uint64_t inode)
{
    if (change->to)
        set_durable(d, change->to_directory, change->to, disk_inode(d, inode));
    if (change->from)
        set_durable(d, change->from_directory, change->from, NULL);
}

/* Makes a change in the cache, pending. Takes the names over. */
static void make_change(struct sim_disk *d, struct disk_inode *i, struct disk_name_change change)
{
    disk_pending_name(d, i, &change);
    struct disk_inode *replaced = NULL;
    if (change.to) {
        const struct disk_names *n = disk_inode(d, change.to_directory)->cached_names;
        replaced = disk_inode(d, names_find(n, change.to->text, change.to->bytes));
        set_cached(d, change.to_directory, change.to, i);
    }
    if (change.from)
        set_cached(d, change.from_directory, change.from, NULL);
    disk_name_release(change.to);
    disk_name_release(change.from);
    if (replaced && replaced != i)
        disk_inode_check(d, replaced);
}

/* ---- paths ---- */

/* The last component of a path, and the directory that holds it or would. */
struct place {
    struct disk_inode *directory;
    const char *name;
    size_t bytes;             /* 0: the path is the root itself */
    struct disk_inode *inode; /* null: there is no such name */
};

static const char *next_component(const char *path, size_t *bytes)
{
    for (;;) {
        path += strspn(path, "/");
        *bytes = strcspn(path, "/");
        if (*bytes != 1 || path[0] != '.')
            return path;
        path++;
    }
}

/* Returns: 0, even when the last component is missing; -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
static int walk(const struct sim_disk *d, const char *path, struct place *at)
{
    *at = (struct place){.inode = disk_inode(d, DISK_ROOT)};
    if (path[0] == 0)
        return -ENOENT;
    size_t bytes;
    const char *name = next_component(path, &bytes);
    for (unsigned depth = 0; bytes > 0; depth++) {
        if (!at->inode)
            return -ENOENT;
        if (!at->inode->is_directory)
            return -ENOTDIR;
        if (bytes > DISK_NAME_BYTES_MAX || depth > DEPTH_MAX)
            return -ENAMETOOLONG;
        at->directory = at->inode;
        at->name = name;
        at->bytes = bytes;
        at->inode = disk_inode(d, names_find(at->directory->cached_names, name, bytes));
        name = next_component(name + bytes, &bytes);
    }
    return 0;
}

int disk_find(const struct sim_disk *d, const char *path, struct disk_inode **out)
{
    struct place at;
    int rc = walk(d, path, &at);
    *out = rc ? NULL : at.inode;
    return rc || at.inode ? rc : -ENOENT;
}

int disk_find_directory(const struct sim_disk *d, const char *path, struct disk_inode **out)
{
    int rc = disk_find(d, path, out);
    return rc || (*out)->is_directory ? rc : -ENOTDIR;
}

static void add_name(struct sim_disk *d, const struct place *at, struct disk_inode *i)
{
    make_change(d, i,
                (struct disk_name_change){.to_directory = at->directory->id,
                                          .to = name_new(at->name, at->bytes)});
}

int disk_open(struct sim_disk *d, const char *path, unsigned flags, struct disk_inode **out)
{
    struct place at;
    int rc = walk(d, path, &at);
    if (rc)
        return rc;
    if (at.inode && (flags & FILE_CREATE) && (flags & FILE_EXCLUSIVE))
        return -EEXIST;
    if (at.inode && at.inode->is_directory)
        return -EISDIR;
    if (!at.inode && !(flags & FILE_CREATE))
        return -ENOENT;
    if (!at.inode) {
        at.inode = disk_inode_new(d, false);
        add_name(d, &at, at.inode);
    }
    *out = at.inode;
    return 0;
}

int disk_make_directory(struct sim_disk *d, const char *path)
{
    struct place at;
    int rc = walk(d, path, &at);
    if (rc || at.inode)
        return rc ? rc : -EEXIST;
    add_name(d, &at, disk_inode_new(d, true));
    return 0;
}

int disk_link(struct sim_disk *d, const char *from, const char *to)
{
    struct disk_inode *i;
    struct place at;
    int rc = disk_find(d, from, &i);
    rc = rc ? rc : walk(d, to, &at);
    if (rc || at.inode)
        return rc ? rc : -EEXIST;
    if (i->is_directory)
        return -EPERM;
    add_name(d, &at, i);
    return 0;
}

int disk_unlink(struct sim_disk *d, const char *path)
{
    struct place at;
    int rc = walk(d, path, &at);
    if (rc || !at.inode)
        return rc ? rc : -ENOENT;
    if (at.inode->is_directory)
        return -EISDIR;
    make_change(d, at.inode,
                (struct disk_name_change){.from_directory = at.directory->id,
                                          .from = name_new(at.name, at.bytes)});
    return 0;
}

/* Whether `to` is `from` or somewhere below it. */
static bool is_below(const struct sim_disk *d, const struct disk_inode *from, const char *path)
{
    const struct disk_inode *at = disk_inode(d, DISK_ROOT);
    size_t bytes;
    for (const char *name = next_component(path, &bytes); bytes > 0;
         name = next_component(name + bytes, &bytes)) {
        at = disk_inode(d, names_find(at->cached_names, name, bytes));
        if (!at || at == from)
            return at != NULL;
    }
    return false;
}

static int check_rename(const struct sim_disk *d, const struct place *from, const struct place *to,
                        const char *path)
{
    if (!from->inode)
        return -ENOENT;
    if (!from->directory || !to->directory)
        return -EBUSY; /* the root */
    if (!from->inode->is_directory)
        return to->inode && to->inode->is_directory ? -EISDIR : 0;
    if (from->inode != to->inode && is_below(d, from->inode, path))
        return -EINVAL;
    if (to->inode && !to->inode->is_directory)
        return -ENOTDIR;
    bool is_empty = !to->inode || !to->inode->cached_names || to->inode->cached_names->count == 0;
    return is_empty || from->inode == to->inode ? 0 : -ENOTEMPTY;
}

int disk_rename(struct sim_disk *d, const char *from, const char *to)
{
    struct place old, fresh;
    int rc = walk(d, from, &old);
    rc = rc ? rc : walk(d, to, &fresh);
    rc = rc ? rc : check_rename(d, &old, &fresh, to);
    if (rc || old.inode == fresh.inode)
        return rc;
    make_change(d, old.inode,
                (struct disk_name_change){.from_directory = old.directory->id,
                                          .to_directory = fresh.directory->id,
                                          .from = name_new(old.name, old.bytes),
                                          .to = name_new(fresh.name, fresh.bytes)});
    return 0;
}

/* ---- the driver's ---- */

/* Takes all names of `inode` out of one layer of a directory. Returns: how many there were. */
static uint32_t forget_in(struct disk_names **slot, uint64_t inode)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; *slot && i < (*slot)->count;) {
        if ((*slot)->entries[i].inode != inode) {
            i++;
            continue;
        }
        struct disk_name *name = name_acquire((*slot)->entries[i].name);
        names_set(slot, name, 0);
        disk_name_release(name);
        taken++;
    }
    return taken;
}

void disk_forget_file(struct sim_disk *d, struct disk_inode *i)
{
    ASSERT(!i->is_directory);
    i->holds++; /* until the end of this function */
    for (struct list *link = d->pending.next, *next; link != &d->pending; link = next) {
        struct disk_pending *p = CONTAINER_OF(link, struct disk_pending, link);
        next = link->next;
        if (p->inode == i)
            disk_pending_drop(d, p);
    }
    bool was_counted = is_counted(i);
    for (uint32_t k = 0; k < d->inode_count; k++) {
        i->names -= forget_in(&d->inodes[k]->cached_names, i->id);
        i->holds -= forget_in(&d->inodes[k]->durable_names, i->id);
    }
    d->used_pages -= was_counted && !is_counted(i) ? i->pages : 0;
    d->names_version++;
    d->change_count++;
    i->holds--;
    disk_inode_check(d, i);
}

void disk_path_of(const struct sim_disk *d, uint64_t id, char *path, size_t bytes)
{
    size_t at = bytes - 1; /* it is written from its end */
    path[at] = 0;
    for (unsigned depth = 0; id != DISK_ROOT && depth < DEPTH_MAX; depth++) {
        const struct disk_name *name = NULL;
        uint64_t directory = 0;
        for (uint32_t k = 0; !name && k < d->inode_count; k++) {
            const struct disk_names *n = d->inodes[k]->cached_names;
            for (uint32_t e = 0; n && !name && e < n->count; e++)
                name = n->entries[e].inode == id ? n->entries[e].name : NULL;
            directory = d->inodes[k]->id;
        }
        if (!name || at < name->bytes + (path[at] != 0))
            break;
        if (path[at] != 0)
            path[--at] = '/';
        at -= name->bytes;
        memcpy(path + at, name->text, name->bytes);
        id = directory;
    }
    memmove(path, path + at, bytes - at);
}

/* ---- after a loss of power ---- */

/* Marks in `names` what can be reached through durable directories. Parents are found before their children, as the
 * marks are repeated until nothing is new: as often as directories are deep. */
static void mark_reachable(struct sim_disk *d)
{
    bool is_new = true;
    disk_inode(d, DISK_ROOT)->opens = 1; /* a mark, until disk_reload is over */
    while (is_new) {
        is_new = false;
        for (uint32_t k = 0; k < d->inode_count; k++) {
            struct disk_inode *in = d->inodes[k];
            if (in->opens != 1)
                continue;
            in->opens = 2;
            for (uint32_t e = 0; in->durable_names && e < in->durable_names->count; e++) {
                struct disk_inode *i = disk_inode(d, in->durable_names->entries[e].inode);
                ASSERT(i);
                i->names++;
                i->holds++;
                is_new |= i->opens == 0;
                i->opens = i->opens ? i->opens : 1;
            }
        }
    }
}

/* What is in the cache was never there. */
static void forget_cache(struct sim_disk *d, struct disk_inode *i)
{
    (void)disk_content_resize(&i->durable, i->durable.bytes);
    disk_content_free(&i->cached);
    disk_content_share(&i->cached, &i->durable);
    struct disk_names *names = disk_names_acquire(i->durable_names);
    disk_names_release(i->cached_names);
    i->cached_names = names;
    i->pages = disk_content_pages(&i->cached);
    d->used_pages += i->pages;
}

void disk_reload(struct sim_disk *d)
{
    ASSERT(d->pending_count == 0);
    for (uint32_t k = 0; k < d->inode_count; k++) {
        ASSERT(d->inodes[k]->opens == 0);
        d->inodes[k]->names = d->inodes[k]->holds = 0;
        d->inodes[k]->is_locked = false;
    }
    mark_reachable(d);
    uint32_t kept = 0, count = d->inode_count;
    d->used_pages = 0;
    for (uint32_t k = 0; k < count; k++) {
        struct disk_inode *i = d->inodes[k];
        if (i->opens == 0) {
            disk_inode_destroy(d, i);
            continue;
        }
        i->opens = 0;
        forget_cache(d, i);
        d->inodes[kept++] = i;
    }
    d->inode_count = kept;
    d->names_version++;
    d->change_count++;
}
