/* disk_names.c - a directory: an array of (name, id of an inode), sorted by the bytes of the names.
 *
 * Names and arrays are counted and shared between layers and clones; who changes an array that others hold
 * copies it first. */
#include "reactor/sim/disk.h"

#include <string.h>

enum { NAMES_FIRST = 8 };

struct disk_name *disk_name_new(const char *text, size_t bytes)
{
    struct disk_name *name = sim_realloc(NULL, sizeof *name + bytes + 1);
    name->references = 1;
    name->bytes = (uint32_t)bytes;
    memcpy(name->text, text, bytes);
    name->text[bytes] = 0;
    return name;
}

struct disk_name *disk_name_acquire(struct disk_name *name)
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
            copy->entries[i] =
                (struct disk_entry){disk_name_acquire(n->entries[i].name), n->entries[i].inode};
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

uint64_t disk_names_find(const struct disk_names *n, const char *text, size_t bytes)
{
    uint32_t place = place_of(n, text, bytes);
    bool is_there = n && place < n->count && compare(n->entries[place].name, text, bytes) == 0;
    return is_there ? n->entries[place].inode : 0;
}

uint64_t disk_names_set(struct disk_names **slot, struct disk_name *name, uint64_t inode)
{
    uint64_t before = disk_names_find(*slot, name->text, name->bytes);
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
        *entry = (struct disk_entry){disk_name_acquire(name), inode};
    }
    return before;
}
