/* check_shard.c - a shard's manifest, and by it its tables and its log.
 *
 * The copies are read here and not by manifest_open, which writes what it reads once more; as there past the
 * page cache. */
#include "engine/copy.h"
#include "engine/manifest_format.h"
#include "offline/check.h"

#include <errno.h>
#include <stdio.h>

enum { COPIES = 2 };

struct copy {
    char path[CHECK_PATH_BYTES];
    uint8_t *image;
    struct manifest_table *tables;
    struct manifest_state state;
    int error; /* why it cannot be used */
    bool is_there;
    bool is_whole;
};

static int decode(struct reactor *r, struct copy *copy, uint64_t bytes)
{
    struct manifest_header header;
    struct slice image = slice_of(copy->image, bytes);
    if (bytes < MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES)
        return TORC_E_CORRUPT;
    int rc = manifest_header_decode(copy->image, &header);
    if (rc)
        return rc;
    if (header.content_bytes > bytes - MANIFEST_HEADER_BYTES)
        return TORC_E_CORRUPT;
    copy->tables = reactor_alloc_zeroed(r, (manifest_table_count(image) + 1) * sizeof copy->tables[0]);
    return copy->tables ? manifest_decode(image, copy->tables, &copy->state) : TORC_E_NO_MEMORY;
}

/* Returns: 0 with is_there, is_whole and error set; an error that is no damage. */
static int load(struct reactor *r, struct copy *copy)
{
    size_t bytes = 0;
    struct file *f = NULL;
    int rc = file_open(r, copy->path, FILE_READ | FILE_DIRECT, &f);
    if (rc == -ENOENT)
        return 0;
    copy->is_there = true;
    if (rc == 0)
        rc = copy_open_file_to_bytes(r, f, MANIFEST_BYTES_MAX, &copy->image, &bytes);
    file_close(r, f);
    if (rc && !error_is_loss(rc))
        return rc;
    if (rc == 0)
        rc = decode(r, copy, bytes);
    copy->error = rc;
    copy->is_whole = rc == 0;
    return rc == TORC_E_NO_MEMORY ? rc : 0;
}

static void tell_unusable(struct check *c, const struct copy copies[COPIES])
{
    for (int i = 0; i < COPIES; i++)
        if (copies[i].error)
            check_problem(c, copies[i].path, UINT64_MAX, "this copy of the manifest cannot be used: %s",
                          error_sentence(copies[i].error));
}

static bool is_of(const struct copy *copy, const struct manifest_shard *shard)
{
    const struct manifest_numbers *n = &copy->state.numbers;
    return n->vnode_bits == shard->vnode_bits && n->vnode_first == shard->vnode_first &&
           n->vnode_count == shard->vnode_count;
}

/* As a start would choose. Null: none can be used. */
static const struct copy *choose(struct check_shard *s, struct copy copies[COPIES])
{
    const struct copy *best = NULL;
    for (int i = 0; i < COPIES; i++) {
        struct copy *copy = &copies[i];
        if (copy->is_whole && !is_of(copy, &s->shard)) {
            check_problem(s->check, copy->path, UINT64_MAX,
                          "this copy of the manifest is of vnodes %u to %u, another shard",
                          copy->state.numbers.vnode_first,
                          copy->state.numbers.vnode_first + copy->state.numbers.vnode_count - 1u);
            copy->is_whole = false;
        }
        if (copy->is_whole && (!best || copy->state.generation > best->state.generation))
            best = copy;
    }
    for (int i = 0; best && i < COPIES; i++)
        if (!copies[i].is_there)
            check_problem(s->check, copies[i].path, UINT64_MAX,
                          "this copy of the manifest is missing; the other is all there is");
    return best;
}

static int note_data(void *context, const char *name)
{
    bool *has_data = context;
    *has_data |=
        strncmp(name, "table-", 6) == 0 || strncmp(name, "wal-", 4) == 0 || strncmp(name, "values-", 7) == 0;
    return 0;
}

/* Without any manifest: a shard that never began, or one that lost it. As a start decides that: a first copy
 * alone, which is not whole, is what a crash has left of the very first commit. */
static int check_without_manifest(struct check_shard *s, const struct copy copies[COPIES])
{
    bool has_data = false;
    int rc = directory_list(s->check->reactor, s->directory, note_data, &has_data);
    if (rc == -ENOENT) {
        check_problem(s->check, s->directory, UINT64_MAX, "the directory of a shard is missing");
        return 0;
    }
    if (rc || (!has_data && !copies[1].is_there))
        return rc;
    tell_unusable(s->check, copies);
    check_problem(s->check, s->directory, UINT64_MAX,
                  "no copy of the manifest can be used: the shard does not start; restore one");
    return 0;
}

static void check_quarantine(struct check_shard *s, const char *path)
{
    const struct manifest_numbers *n = &s->state->numbers;
    if (n->quarantine_clock != 0)
        check_problem(
            s->check, path, UINT64_MAX,
            "%llu stretches of the log were lost before: keys without a newer version answer UNKNOWN",
            (unsigned long long)n->quarantine_count);
}

int check_shard(struct check *c, const char *directory, const struct manifest_shard *shard)
{
    struct check_shard s = {.check = c, .directory = directory, .shard = *shard};
    struct copy *copies = reactor_alloc_zeroed(c->reactor, COPIES * sizeof copies[0]);
    if (!copies)
        return TORC_E_NO_MEMORY;
    int rc = 0;
    for (int i = 0; rc == 0 && i < COPIES; i++) {
        check_begin_file(c);
        snprintf(copies[i].path, sizeof copies[i].path, "%s/MANIFEST-%c", directory, "AB"[i]);
        rc = load(c->reactor, &copies[i]);
    }
    const struct copy *best = rc == 0 ? choose(&s, copies) : NULL;
    if (rc == 0 && !best)
        rc = check_without_manifest(&s, copies);
    if (best) {
        s.state = &best->state;
        tell_unusable(c, copies);
        check_quarantine(&s, best->path);
        for (uint32_t i = 0; rc == 0 && i < s.state->table_count; i++) {
            check_begin_file(c);
            rc = check_table(&s, &s.state->tables[i]);
        }
        check_begin_file(c);
        if (rc == 0)
            rc = check_log(&s);
    }
    file_close(c->reactor, s.values);
    reactor_free(c->reactor, s.value);
    for (int i = 0; i < COPIES; i++) {
        reactor_free(c->reactor, copies[i].tables);
        reactor_free(c->reactor, copies[i].image);
    }
    reactor_free(c->reactor, copies);
    return rc;
}
