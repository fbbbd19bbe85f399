/* manifest.c - the manifest in memory, and its changes.
 *
 * The state is decoded from the very bytes that are on disk and its slices point into them, so what a restart
 * would find is what is in use. A change makes the next generation aside, writes it to the copy that is older
 * or damaged, then to the other, and only then takes the place of the present one. Changes go one at a time;
 * a task that comes meanwhile waits in line and is applied to the outcome of those before it. */
#include "engine/manifest.h"

#include "engine/manifest_file.h"
#include "engine/manifest_format.h"
#include "engine/wal_format.h"
#include "reactor/base/mark.h"

#include <stdio.h>

enum { COPIES = 2, WRITE_TRIES = 3 };

struct manifest {
    struct reactor *reactor;
    char *directory;
    struct manifest_copy copies[COPIES];
    struct manifest_state state;
    struct manifest_table *tables;
    struct manifest_image image; /* the bytes `tables` points into; empty for a new shard */
    struct list waiting;         /* struct waiter, first come first */
    bool is_committing;
    bool has_failed;
};

struct waiter {
    struct list link;
    struct event turn;
};

const struct manifest_state *manifest_state(const struct manifest *m)
{
    return &m->state;
}

uint64_t manifest_next_number(struct manifest *m)
{
    struct manifest_numbers *n = &m->state.numbers;
    return n->file_counter++ << MANIFEST_NUMBER_VNODE_BITS | n->vnode_first;
}

unsigned manifest_copies(const struct manifest *m)
{
    unsigned count = 0;
    for (int i = 0; i < COPIES; i++)
        count += m->copies[i].state == MANIFEST_COPY_WHOLE && m->copies[i].generation == m->state.generation;
    return count;
}

/* ---- open ---- */

static int note_file(void *context, const char *name)
{
    bool *has_data = context;
    uint64_t id;
    size_t length = strlen(name);
    if (wal_segment_name_parse(name, &id) || strncmp(name, "table-", 6) == 0 ||
        strncmp(name, "values-", 7) == 0 || (length > 4 && strcmp(name + length - 4, ".sst") == 0))
        *has_data = true;
    return 0;
}

static int adopt(struct manifest *m, struct manifest_image *image)
{
    uint32_t count = manifest_table_count(slice_of(image->data, image->bytes));
    struct manifest_table *tables = reactor_alloc_zeroed(m->reactor, (count + 1) * sizeof tables[0]);
    if (!tables)
        return TORC_E_NO_MEMORY;
    struct manifest_state state;
    int rc = manifest_decode(slice_of(image->data, image->bytes), tables, &state);
    if (rc) {
        reactor_free(m->reactor, tables);
        return rc;
    }
    if (state.numbers.file_counter < m->state.numbers.file_counter)
        state.numbers.file_counter = m->state.numbers.file_counter; /* given out while it was written */
    reactor_free(m->reactor, m->tables);
    reactor_free(m->reactor, m->image.data);
    m->state = state;
    m->tables = tables;
    m->image = *image;
    *image = (struct manifest_image){0};
    return 0;
}

/* No copy is whole. A directory without data is a new shard; so is one whose very first commit was cut short,
 * which leaves one copy: the second is not made before the first is durable, nor any data before both. */
static int begin_new(struct manifest *m, char *why, size_t why_bytes)
{
    bool has_data = false;
    int rc = directory_list(m->reactor, m->directory, note_file, &has_data);
    if (rc) {
        snprintf(why, why_bytes, "%s: %s", m->directory, error_sentence(rc));
        return rc;
    }
    bool has_first = m->copies[0].state != MANIFEST_COPY_ABSENT;
    bool has_second = m->copies[1].state != MANIFEST_COPY_ABSENT;
    if (has_data && !has_first && !has_second) {
        MARK(manifest_is_missing_beside_data);
        snprintf(why, why_bytes, "%s holds tables or logs but no manifest; restore MANIFEST-A or MANIFEST-B",
                 m->directory);
        return TORC_E_CORRUPT;
    }
    if (has_data || has_second) {
        MARK(no_manifest_copy_is_whole);
        snprintf(why, why_bytes, "%s: no copy of the manifest is whole; restore MANIFEST-A or MANIFEST-B",
                 m->directory);
        return TORC_E_CORRUPT;
    }
    if (has_first)
        MARK(first_manifest_commit_was_cut_short);
    m->state.numbers =
        (struct manifest_numbers){.log_start = {.segment = 0, .sequence = 1}, .file_counter = 1};
    return 0;
}

static void mark_copies(const struct manifest *m, int best)
{
    const struct manifest_copy *other = &m->copies[COPIES - 1 - best];
    if (other->state == MANIFEST_COPY_WHOLE && other->generation < m->copies[best].generation)
        MARK(older_manifest_copy_is_passed_over);
    else if (other->state == MANIFEST_COPY_BAD && best == 1)
        MARK(first_manifest_copy_is_damaged);
    else if (other->state == MANIFEST_COPY_BAD)
        MARK(second_manifest_copy_is_damaged);
    else if (other->state == MANIFEST_COPY_ABSENT)
        MARK(manifest_copy_is_missing);
}

static int choose(struct manifest *m, struct manifest_image images[COPIES], char *why, size_t why_bytes)
{
    int best = -1;
    for (int i = 0; i < COPIES; i++) {
        if (m->copies[i].state == MANIFEST_COPY_OTHER_VERSION) {
            snprintf(why, why_bytes, "%s: %s", m->copies[i].path, error_sentence(TORC_E_DATA_FORMAT));
            return TORC_E_DATA_FORMAT;
        }
        if (images[i].data && (best < 0 || m->copies[i].generation > m->copies[best].generation))
            best = i;
    }
    if (best < 0)
        return begin_new(m, why, why_bytes);
    mark_copies(m, best);
    int rc = adopt(m, &images[best]);
    if (rc)
        snprintf(why, why_bytes, "%s: %s", m->copies[best].path, error_sentence(rc));
    return rc;
}

/* The newest copy is whole and cannot be made durable as it is. Nothing may be built on an older one while it
 * is there: it is replaced, by the next generation. */
static int make_durable(struct manifest *m, char *why, size_t why_bytes)
{
    for (int i = 0; i < COPIES; i++) {
        if (m->copies[i].state != MANIFEST_COPY_FAILED || m->copies[i].generation != m->state.generation)
            continue;
        int rc = manifest_commit(m, &(struct manifest_change){0});
        if (rc)
            snprintf(why, why_bytes, "%s cannot be made durable: %s", m->copies[i].path, error_sentence(rc));
        return rc;
    }
    return 0;
}

static bool is_of(const struct manifest_shard *shard, const struct manifest_image *image)
{
    return manifest_is_of(slice_of(image->data, image->bytes), shard);
}

static void drop_copy_of_another(struct manifest *m, const struct manifest_shard *shard,
                                 struct manifest_image images[COPIES])
{
    for (int i = 0; i < COPIES; i++) {
        int other = COPIES - 1 - i;
        if (images[i].data && images[other].data && !is_of(shard, &images[i]) &&
            is_of(shard, &images[other])) {
            MARK(manifest_copy_of_another_shard_is_passed_over);
            m->copies[i].state = MANIFEST_COPY_BAD;
            reactor_free(m->reactor, images[i].data);
            images[i] = (struct manifest_image){0};
        }
    }
}

static int load(struct manifest *m, const struct manifest_shard *shard, char *why, size_t why_bytes)
{
    struct manifest_image images[COPIES] = {{0}};
    int rc = 0;
    for (int i = 0; rc == 0 && i < COPIES; i++) {
        rc = manifest_file_load(m->reactor, &m->copies[i], shard, &images[i]);
        if (rc)
            snprintf(why, why_bytes, "%s: %s", m->copies[i].path, error_sentence(rc));
    }
    if (rc == 0) {
        rc = directory_sync(m->reactor, m->directory); /* for what a killed process has made */
        if (rc)
            snprintf(why, why_bytes, "%s: %s", m->directory, error_sentence(rc));
    }
    if (rc == 0 && shard)
        drop_copy_of_another(m, shard, images);
    if (rc == 0)
        rc = choose(m, images, why, why_bytes);
    if (rc == 0)
        rc = make_durable(m, why, why_bytes);
    for (int i = 0; i < COPIES; i++)
        reactor_free(m->reactor, images[i].data);
    return rc;
}

static bool paths_init(struct manifest *m, const char *directory)
{
    static const char names[COPIES][12] = {"MANIFEST-A", "MANIFEST-B"};
    for (int i = 0; i < COPIES; i++) {
        struct manifest_copy *copy = &m->copies[i];
        int length = snprintf(copy->path, sizeof copy->path, "%s/%s", directory, names[i]);
        if (length < 0 || (size_t)length >= sizeof copy->path)
            return false;
    }
    return true;
}

int manifest_open(struct reactor *r, const char *directory, const struct manifest_shard *shard,
                  struct manifest **out, char *why, size_t why_bytes)
{
    ASSERT(why_bytes > 0);
    why[0] = '\0';
    struct manifest *m = reactor_alloc_zeroed(r, sizeof *m);
    size_t bytes = strlen(directory) + 1;
    char *copy = reactor_alloc(r, bytes);
    int rc = m && copy ? 0 : TORC_E_NO_MEMORY;
    if (rc == 0) {
        m->reactor = r;
        m->directory = memcpy(copy, directory, bytes);
        list_init(&m->waiting);
        ASSERT(paths_init(m, directory));
        rc = load(m, shard, why, why_bytes);
    } else {
        snprintf(why, why_bytes, "%s", error_sentence(rc));
    }
    if (rc && m && copy) {
        manifest_close(m);
    } else if (rc) {
        reactor_free(r, copy);
        reactor_free(r, m);
    }
    if (rc)
        return rc;
    *out = m;
    return 0;
}

void manifest_close(struct manifest *m)
{
    if (!m)
        return;
    ASSERT(!m->is_committing);
    reactor_free(m->reactor, m->tables);
    reactor_free(m->reactor, m->image.data);
    reactor_free(m->reactor, m->directory);
    reactor_free(m->reactor, m);
}

/* ---- the next generation ---- */

static bool is_removed(const struct manifest_change *change, uint64_t number)
{
    for (uint32_t i = 0; i < change->removed_count; i++)
        if (change->removed[i] == number)
            return true;
    return false;
}

static void insert_table(struct manifest_table *tables, uint32_t count, const struct manifest_table *added)
{
    uint32_t at = count;
    for (; at > 0 && tables[at - 1].number > added->number; at--)
        tables[at] = tables[at - 1];
    ASSERT(at == 0 || tables[at - 1].number != added->number);
    tables[at] = *added;
}

/* Fills `tables` with those that count after the change. Returns: how many. */
static uint32_t merge_tables(const struct manifest *m, const struct manifest_change *change,
                             struct manifest_table *tables)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->state.table_count; i++)
        if (!is_removed(change, m->tables[i].number))
            tables[count++] = m->tables[i];
    ASSERT(count + change->removed_count == m->state.table_count);
    for (uint32_t i = 0; i < change->added_count; i++)
        insert_table(tables, count++, &change->added[i]);
    return count;
}

static int encode(struct reactor *r, const struct manifest_state *next, struct manifest_image *image)
{
    image->bytes = manifest_encoded_bytes(next);
    image->padded = (image->bytes + MANIFEST_BLOCK_BYTES - 1) / MANIFEST_BLOCK_BYTES * MANIFEST_BLOCK_BYTES;
    if (image->padded > MANIFEST_BYTES_MAX) /* no start would take it */
        return TORC_E_SHARD_FULL;
    /* The second half is what is read back into: once the first is written, memory may not be wanting. */
    image->data = reactor_alloc_aligned(r, 2 * image->padded, FILE_ALIGNMENT);
    if (!image->data)
        return TORC_E_NO_MEMORY;
    memset(image->data + image->bytes, 0, image->padded - image->bytes);
    manifest_encode(image->data, next);
    return 0;
}

static int make_image(struct manifest *m, const struct manifest_change *change, struct manifest_image *image)
{
    uint32_t room = m->state.table_count + change->added_count;
    struct manifest_table *tables = reactor_alloc(m->reactor, (room + 1) * sizeof tables[0]);
    if (!tables)
        return TORC_E_NO_MEMORY;
    struct manifest_state next = m->state;
    next.tables = tables;
    next.table_count = merge_tables(m, change, tables);
    if (change->edit)
        change->edit(change->context, &next.numbers);
    ASSERT(next.numbers.log_start.sequence >= m->state.numbers.log_start.sequence);
    for (int i = 0; i < COPIES; i++)
        if (next.generation < m->copies[i].generation)
            next.generation = m->copies[i].generation;
    next.generation++;
    int rc = next.table_count <= MANIFEST_TABLES_MAX ? encode(m->reactor, &next, image) : TORC_E_SHARD_FULL;
    reactor_free(m->reactor, tables);
    return rc;
}

/* ---- commit ---- */

static void await_turn(struct manifest *m)
{
    if (!m->is_committing) {
        m->is_committing = true;
        return;
    }
    struct waiter waiter;
    event_init(&waiter.turn);
    list_push_back(&m->waiting, &waiter.link);
    MARK(manifest_commit_waits_for_another);
    int rc = event_wait(m->reactor, &waiter.turn, EVENT_FOREVER); /* is_committing is handed over */
    ASSERT(rc == 0 && m->is_committing);
}

static void end_turn(struct manifest *m)
{
    struct list *link = list_pop_front(&m->waiting);
    if (link)
        event_set(m->reactor, &CONTAINER_OF(link, struct waiter, link)->turn, 0);
    else
        m->is_committing = false;
}

/* The copy to write first: the one that a restart would not choose. */
static int older_copy(const struct manifest *m)
{
    const struct manifest_copy *a = &m->copies[0], *b = &m->copies[1];
    if (a->state == MANIFEST_COPY_WHOLE && b->state == MANIFEST_COPY_WHOLE)
        return b->generation < a->generation ? 1 : 0;
    if (a->state == MANIFEST_COPY_WHOLE || b->state == MANIFEST_COPY_WHOLE)
        return a->state == MANIFEST_COPY_WHOLE ? 1 : 0;
    /* Found so by the start, which could not write them again. One of them stays: the only one, or of two the
     * older, which was durable before the newer was begun, as A is before B. */
    if (a->state == MANIFEST_COPY_FAILED && b->state == MANIFEST_COPY_FAILED)
        return a->generation > b->generation ? 0 : 1;
    return a->state == MANIFEST_COPY_FAILED ? 1 : 0;
}

static int write_copy(struct manifest *m, int index, struct file *f, const struct manifest_image *image)
{
    struct manifest_copy *copy = &m->copies[index];
    struct manifest_header header;
    int rc = manifest_header_decode(image->data, &header);
    ASSERT(rc == 0);
    rc = manifest_file_write(m->reactor, copy, f, image, m->directory);
    if (rc == 0)
        copy->generation = header.generation;
    return rc;
}

/* Says nothing of the disk, and the change may be made later. */
static bool is_want_of_room(int rc)
{
    return rc == TORC_E_DISK_FULL || error_is_shortage(rc);
}

/* A write that fails is made again, in a new file each time: the other copy is whole meanwhile. */
static int write_first(struct manifest *m, int first, const struct manifest_image *image)
{
    bool is_begun = false;
    for (int i = 0; i < WRITE_TRIES; i++) {
        struct file *f;
        int rc = manifest_file_reserve(m->reactor, &m->copies[first], image, &f);
        if (is_want_of_room(rc) && !is_begun)
            return rc;
        is_begun |= rc == 0;
        rc = rc ? rc : write_copy(m, first, f, image);
        if (rc == 0)
            return 0;
        MARK(manifest_write_failed);
    }
    MARK(manifest_takes_no_more_changes);
    m->has_failed |= is_begun; /* either generation may be what the next start finds */
    return TORC_E_STORAGE;
}

static int write_both(struct manifest *m, const struct manifest_image *image)
{
    int first = older_copy(m);
    int second = COPIES - 1 - first;
    /* A full disk between the two would stay full: what the change drops may go with the second one only. One
     * that is not whole yet must not be there before the first. */
    struct file *f = NULL;
    int rc = m->copies[second].state == MANIFEST_COPY_WHOLE
                 ? manifest_file_reserve(m->reactor, &m->copies[second], image, &f)
                 : 0;
    if (!is_want_of_room(rc)) /* any other error: the change may rest on one copy */
        rc = write_first(m, first, image);
    if (rc == TORC_E_DISK_FULL)
        MARK(manifest_finds_the_disk_full);
    if (rc) {
        file_close(m->reactor, f);
        return rc;
    }
    /* The change is made. Without the second copy it rests on one, until the next change. */
    if (!f)
        rc = manifest_file_reserve(m->reactor, &m->copies[second], image, &f);
    if (rc == 0)
        rc = write_copy(m, second, f, image);
    if (rc)
        MARK(second_manifest_copy_is_not_written); /* manifest_copies tells */
    return 0;
}

int manifest_commit(struct manifest *m, const struct manifest_change *change)
{
    await_turn(m);
    struct manifest_image image = {0};
    int rc = m->has_failed ? TORC_E_STORAGE : make_image(m, change, &image);
    if (rc == 0)
        rc = write_both(m, &image);
    if (rc == 0) {
        rc = adopt(m, &image);
        ASSERT(rc == 0 || rc == TORC_E_NO_MEMORY);
        if (rc) { /* on disk and not in memory: no later change may build on the old state */
            m->has_failed = true;
            rc = TORC_E_STORAGE;
        }
    }
    reactor_free(m->reactor, image.data);
    end_turn(m);
    return rc;
}
