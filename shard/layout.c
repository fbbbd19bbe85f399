/* layout.c - data that was divided among some cores is divided among others; see layout.h. */
#include "shard/layout.h"

#include "engine/reshard.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct change {
    struct reactor *reactor;
    const struct layout_change *asked;
    struct datadir_identity old;
    struct datadir_identity new;
    struct reshard_source *sources; /* one an old core; each directory is ours */
    uint64_t file_counter;
    char *why;
    size_t why_bytes;
    char path[DATADIR_PATH_MAX];
};

static uint16_t vnode_first(const struct datadir_identity *id, unsigned core)
{
    return (uint16_t)datadir_first_vnode(id->cores, id->vnode_bits, core);
}

static uint16_t vnode_count(const struct datadir_identity *id, unsigned core)
{
    return (uint16_t)(datadir_first_vnode(id->cores, id->vnode_bits, core + 1) - vnode_first(id, core));
}

/* ---- the old engines ---- */

static void on_durable(void *owner, const struct engine_ticket *ticket, int result,
                       const struct engine_write_times *times)
{
    (void)owner, (void)ticket, (void)result, (void)times;
    ASSERT(!"nothing is put while the layout changes");
}

/* All that the log of a core holds becomes tables, and is in the archive. */
static int flush_core(struct change *c, unsigned core)
{
    struct reshard_source *s = &c->sources[core];
    struct engine_options options = *c->asked->engine;
    options.directory = s->directory;
    options.vnode_bits = (uint8_t)c->old.vnode_bits;
    options.vnode_first = s->vnode_first;
    options.vnode_count = s->vnode_count;
    options.on_durable = on_durable;
    options.on_room = NULL;
    options.scrub_interval_ms = 0;
    options.archive_patience_ns = 0; /* the change wants all of it there */
    struct engine *e;
    int rc = engine_open(c->reactor, &options, &e, c->why, c->why_bytes);
    if (rc)
        return rc;
    rc = engine_flush(e);
    if (rc)
        snprintf(c->why, c->why_bytes, "%s cannot be flushed: %s", s->directory, error_sentence(rc));
    s->clock_max = engine_version_clock_max(e);
    bool is_archived = engine_close(e) == ENGINE_ARCHIVED;
    if (rc == 0 && !is_archived) {
        snprintf(
            c->why, c->why_bytes,
            "%s: files of the log cannot be copied to the archive %s, and a change of cores would remove "
            "them; mend the archive, or start once with the old number of cores",
            s->directory, options.archive);
        rc = TORC_E_STORAGE;
    }
    return rc;
}

static int name_source(struct change *c, unsigned core)
{
    datadir_shard_path(c->path, sizeof c->path, c->asked->directory, c->old.layout, core);
    size_t bytes = strlen(c->path) + 1;
    char *directory = reactor_alloc(c->reactor, bytes);
    if (!directory)
        return TORC_E_NO_MEMORY;
    c->sources[core] = (struct reshard_source){
        .directory = memcpy(directory, c->path, bytes),
        .vnode_first = vnode_first(&c->old, core),
        .vnode_count = vnode_count(&c->old, core),
    };
    return 0;
}

/* ---- the new layout ---- */

static int make_shards(struct change *c)
{
    int rc = 0;
    for (unsigned core = 0; rc == 0 && core < c->new.cores; core++) {
        datadir_shard_path(c->path, sizeof c->path, c->asked->directory, c->new.layout, core);
        struct reshard_target target = {
            .directory = c->path,
            .vnode_bits = (uint8_t)c->new.vnode_bits,
            .vnode_first = vnode_first(&c->new, core),
            .vnode_count = vnode_count(&c->new, core),
            .file_counter = c->file_counter,
        };
        rc = reshard_make(c->reactor, &target, c->sources, c->old.cores, c->why, c->why_bytes);
    }
    return rc;
}

/* Everything in it is durable before IDENTITY names it. */
static int make_layout(struct change *c)
{
    datadir_layout_path(c->path, sizeof c->path, c->asked->directory, c->new.layout);
    int rc = directory_remove_all(c->reactor, c->path, NULL);
    if (rc == 0)
        rc = directory_create(c->reactor, c->path);
    if (rc == 0)
        rc = make_shards(c);
    datadir_layout_path(c->path, sizeof c->path, c->asked->directory, c->new.layout);
    if (rc == 0)
        rc = directory_sync(c->reactor, c->path);
    if (rc == 0)
        rc = directory_sync(c->reactor, c->asked->directory);
    if (rc && c->why[0] == '\0')
        snprintf(c->why, c->why_bytes, "cannot make %s: %s", c->path, error_sentence(rc));
    return rc;
}

static int change_all(struct change *c)
{
    int rc = 0;
    for (unsigned core = 0; rc == 0 && core < c->old.cores; core++)
        rc = name_source(c, core);
    for (unsigned core = 0; rc == 0 && core < c->old.cores; core++)
        rc = flush_core(c, core);
    if (rc == 0)
        rc = reshard_survey(c->reactor, c->sources, c->old.cores, (uint8_t)c->old.vnode_bits,
                            &c->file_counter, c->why, c->why_bytes);
    if (rc == 0)
        rc = make_layout(c);
    if (rc == 0) {
        rc = datadir_commit(c->reactor, c->asked->directory, &c->new);
        if (rc)
            snprintf(c->why, c->why_bytes, "cannot write to %s: %s", c->asked->directory, error_sentence(rc));
    }
    return rc;
}

static void free_change(struct change *c)
{
    struct reactor *r = c->reactor;
    for (unsigned core = 0; c->sources && core < c->old.cores; core++)
        reactor_free(r, (void *)(uintptr_t)c->sources[core].directory);
    reactor_free(r, c->sources);
    reactor_free(r, c);
}

int layout_change(struct reactor *r, const struct layout_change *asked, struct datadir_identity *identity,
                  char *why, size_t why_bytes)
{
    ASSERT(asked->cores > 0 && asked->cores != identity->cores);
    why[0] = '\0';
    struct change *c = reactor_alloc_zeroed(r, sizeof *c);
    if (!c) {
        snprintf(why, why_bytes, "%s", error_sentence(TORC_E_NO_MEMORY));
        return TORC_E_NO_MEMORY;
    }
    c->reactor = r;
    c->asked = asked;
    c->old = c->new = *identity;
    c->new.cores = asked->cores;
    c->new.layout = identity->layout + 1;
    c->why = why;
    c->why_bytes = why_bytes;
    c->sources = reactor_alloc_zeroed(r, c->old.cores * sizeof c->sources[0]);
    int rc = c->sources ? change_all(c) : TORC_E_NO_MEMORY;
    if (rc == 0)
        *identity = c->new;
    else if (why[0] == '\0')
        snprintf(why, why_bytes, "%s", error_sentence(rc));
    free_change(c);
    return rc;
}

/* ---- what a crash has left ---- */

struct leftover {
    unsigned counts; /* the layout that stays */
    unsigned found;  /* another one */
};

static int note_layout(void *context, const char *name)
{
    struct leftover *l = context;
    unsigned layout;
    char again[32];
    if (sscanf(name, "layout-%9u", &layout) != 1)
        return 0;
    snprintf(again, sizeof again, "layout-%u", layout);
    if (strcmp(again, name) != 0)
        return 0;
    if (layout != l->counts)
        l->found = layout;
    return 0;
}

static int check_there(struct reactor *r, const char *path, char *why, size_t why_bytes)
{
    int rc = directory_has_names(r, path);
    if (rc == -ENOENT) {
        snprintf(why, why_bytes, "%s is missing, which IDENTITY names; restore it", path);
        return TORC_E_CORRUPT;
    }
    if (rc < 0)
        snprintf(why, why_bytes, "cannot look into %s: %s", path, error_sentence(rc));
    return rc < 0 ? rc : 0;
}

/* An engine would take a directory that is gone for one that it has to begin. */
static int check_all_there(struct reactor *r, const char *directory, const struct datadir_identity *identity,
                           char *why, size_t why_bytes)
{
    char path[DATADIR_PATH_MAX];
    datadir_layout_path(path, sizeof path, directory, identity->layout);
    int rc = check_there(r, path, why, why_bytes);
    for (unsigned core = 0; rc == 0 && core < identity->cores; core++) {
        datadir_shard_path(path, sizeof path, directory, identity->layout, core);
        rc = check_there(r, path, why, why_bytes);
    }
    return rc;
}

int layout_tidy(struct reactor *r, const char *directory, const struct datadir_identity *identity, char *why,
                size_t why_bytes)
{
    char path[DATADIR_PATH_MAX];
    struct leftover l = {.counts = identity->layout, .found = identity->layout};
    int rc = check_all_there(r, directory, identity, why, why_bytes);
    if (rc)
        return rc;
    do { /* ends: each turn removes one */
        l.found = l.counts;
        rc = directory_list(r, directory, note_layout, &l);
        datadir_layout_path(path, sizeof path, directory, l.found);
        if (rc == 0 && l.found != l.counts) {
            MARK(layout_that_does_not_count_is_removed);
            rc = directory_remove_all(r, path, NULL);
        }
        if (rc) {
            snprintf(why, why_bytes, "cannot tidy %s: %s", path, error_sentence(rc));
            return rc;
        }
    } while (l.found != l.counts);
    return 0;
}
