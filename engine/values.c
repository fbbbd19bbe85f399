/* values.c - the value logs of a shard; see values.h.
 *
 * Files are few and stand in an array by number. What counts as live and as garbage is kept up to date with
 * each change of tables, so that the question whether a file is collected is answered at once: merges ask it
 * for every pointer. */
#include "engine/values.h"

#include "engine/removal.h"
#include "reactor/base/mark.h"

#include <errno.h>
#include <stdio.h>

enum {
    FILES_FIRST = 16,
    MEMTABLE_PART = 4,
    GARBAGE_PER_MILLE = 115, /* of all bytes: files are collected above it; 1.13 bytes for one that lives */
};

struct values {
    struct reactor *reactor;
    struct value_file **files; /* by number */
    uint32_t count;
    uint32_t capacity;
    uint64_t counted_bytes; /* share_bytes of files that tables of the present set point into */
    uint64_t garbage_bytes; /* of them */
};

int values_open(struct reactor *r, struct values **out)
{
    struct values *v = reactor_alloc_zeroed(r, sizeof *v);
    if (!v)
        return TORC_E_NO_MEMORY;
    v->reactor = r;
    *out = v;
    return 0;
}

void values_close(struct values *v)
{
    if (!v)
        return;
    ASSERT(v->count == 0);
    reactor_free(v->reactor, v->files);
    reactor_free(v->reactor, v);
}

/* ---- names ---- */

void values_path(const struct engine *e, uint64_t number, char *path)
{
    snprintf(path, ENGINE_PATH_MAX, "%s/values-%016llx.log", e->directory, (unsigned long long)number);
}

bool values_name_parse(const char *name, uint64_t *number)
{
    unsigned long long found;
    char again[64];
    if (sscanf(name, "values-%16llx.log", &found) != 1)
        return false;
    snprintf(again, sizeof again, "values-%016llx.log", found);
    *number = found;
    return strcmp(again, name) == 0;
}

/* ---- the files that there are ---- */

/* The place of the first file whose number is not below. */
static uint32_t place_of(const struct values *v, uint64_t number)
{
    uint32_t low = 0, high = v->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->files[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct value_file *values_find_next(const struct values *v, uint64_t number)
{
    uint32_t place = place_of(v, number);
    return place < v->count ? v->files[place] : NULL;
}

struct value_file *values_find(const struct values *v, uint64_t number)
{
    uint32_t place = place_of(v, number);
    return place < v->count && v->files[place]->number == number ? v->files[place] : NULL;
}

struct value_file *values_find_pointed(const struct values *v, const struct record *record,
                                       struct value_pointer *p)
{
    ASSERT(record->flags & RECORD_SEPARATED);
    return value_pointer_decode(record->value, p) == 0 ? values_find(v, p->file) : NULL;
}

static int insert(struct values *v, struct value_file *f)
{
    if (v->count == v->capacity) {
        uint32_t capacity = v->capacity ? v->capacity * 2 : FILES_FIRST;
        struct value_file **files = reactor_realloc(v->reactor, v->files, capacity * sizeof *files);
        if (!files)
            return TORC_E_NO_MEMORY;
        v->files = files;
        v->capacity = capacity;
    }
    uint32_t place = place_of(v, f->number);
    memmove(&v->files[place + 1], &v->files[place], (v->count - place) * sizeof v->files[0]);
    v->files[place] = f;
    v->count++;
    return 0;
}

static void take_out(struct values *v, const struct value_file *f)
{
    uint32_t place = place_of(v, f->number);
    ASSERT(place < v->count && v->files[place] == f);
    v->count--;
    memmove(&v->files[place], &v->files[place + 1], (v->count - place) * sizeof v->files[0]);
}

/* ---- opening ---- */

static void tell_lost(struct engine *e, const char *path, int rc)
{
    MARK(lost_value_log_is_quarantined);
    engine_tell(e, "values_unreadable",
                "%s: %s; keys whose values are in it answer CORRUPT, unless a newer version is held", path,
                error_sentence(rc));
}

static void check_length(struct engine *e, struct value_file *f, const char *path)
{
    uint64_t bytes = 0;
    int rc = file_size(e->reactor, f->file, &bytes);
    if (rc || bytes >= f->bytes) /* else reads will tell */
        return;
    MARK(value_log_is_shorter_than_it_was);
    f->is_damaged = true;
    engine_tell(e, "values_unreadable",
                "%s has %llu bytes of %llu; keys whose values are missing answer CORRUPT, unless a newer "
                "version is held",
                path, (unsigned long long)bytes, (unsigned long long)f->bytes);
}

/* Waits. */
static int open_file(struct engine *e, struct value_file *f)
{
    char path[ENGINE_PATH_MAX];
    values_path(e, f->number, path);
    int rc = file_open(e->reactor, path, FILE_READ | FILE_DIRECT, &f->file);
    if (rc == -EIO) /* a second look: it stays closed until the next start */
        rc = file_open(e->reactor, path, FILE_READ | FILE_DIRECT, &f->file);
    if (rc) {
        f->file = NULL;
        if (!error_is_loss(rc))
            return rc;
        tell_lost(e, path, rc);
        return 0;
    }
    check_length(e, f, path);
    return 0;
}

/* Waits. A file just made, of values that are still held elsewhere: it is there and whole, or made again. */
static int open_made(struct engine *e, struct value_file *f)
{
    char path[ENGINE_PATH_MAX];
    uint64_t bytes = 0;
    values_path(e, f->number, path);
    int rc = file_open(e->reactor, path, FILE_READ | FILE_DIRECT, &f->file);
    if (rc)
        f->file = NULL;
    else
        rc = file_size(e->reactor, f->file, &bytes);
    if (rc && !error_is_loss(rc))
        return rc;
    return rc || bytes < f->bytes ? TORC_E_STORAGE : 0;
}

/* Waits. */
static int make_known(struct engine *e, const struct value_reference *reference, bool is_made,
                      struct value_file **out)
{
    struct value_file *f = reactor_alloc_zeroed(e->reactor, sizeof *f);
    if (!f)
        return TORC_E_NO_MEMORY;
    f->number = reference->file;
    f->bytes = reference->file_bytes;
    f->share_bytes = reference->share_bytes;
    int rc = is_made ? open_made(e, f) : open_file(e, f);
    if (rc == 0)
        rc = insert(e->values, f);
    if (rc) {
        file_close(e->reactor, f->file);
        reactor_free(e->reactor, f);
        return rc;
    }
    *out = f;
    return 0;
}

/* ---- who points into them ---- */

static int hold_one(struct engine *e, const uint8_t *encoded, uint64_t made, struct value_use *use)
{
    struct value_reference reference = value_reference_decode(encoded);
    struct value_file *f = values_find(e->values, reference.file);
    int rc = f ? 0 : make_known(e, &reference, reference.file == made, &f);
    if (rc)
        return rc;
    f->references++;
    *use = (struct value_use){.file = f, .bytes = reference.bytes};
    return 0;
}

int values_hold(struct engine *e, struct slice references, uint64_t made, struct value_refs *out)
{
    *out = (struct value_refs){.uses = NULL};
    int count = value_reference_count(references);
    if (count <= 0)
        return count;
    out->uses = reactor_alloc(e->reactor, (size_t)count * sizeof out->uses[0]);
    if (!out->uses)
        return TORC_E_NO_MEMORY;
    for (int i = 0; i < count; i++) {
        int rc = hold_one(e, references.data + (size_t)i * VALUE_REFERENCE_BYTES, made, &out->uses[i]);
        if (rc) {
            values_release(e, out,
                           made != 0); /* what a table holds that counts stays; else the start needs it */
            return rc;
        }
        out->count++;
    }
    return 0;
}

/* Waits. */
static void end_file(struct engine *e, struct value_file *f)
{
    char path[ENGINE_PATH_MAX];
    bool is_removed = !f->is_kept;
    take_out(e->values, f); /* first: nobody is to find it while it goes */
    file_close(e->reactor, f->file);
    values_path(e, f->number, path);
    int rc = is_removed ? engine_remove_file(e, path) : 0;
    if (is_removed && rc == 0) {
        MARK(value_log_without_references_is_removed);
        e->counters.value_bytes_removed += f->bytes;
    } else if (rc && rc != -ENOENT) {
        engine_tell(e, "values_not_removed", "%s: %s; it goes at the next start", path, error_sentence(rc));
    }
    reactor_free(e->reactor, f);
}

void values_release(struct engine *e, struct value_refs *refs, bool is_obsolete)
{
    for (uint32_t i = 0; i < refs->count; i++) {
        struct value_file *f = refs->uses[i].file;
        ASSERT(f->references > 0);
        f->is_kept |= !is_obsolete;
        if (--f->references == 0)
            end_file(e, f);
    }
    reactor_free(e->reactor, refs->uses);
    *refs = (struct value_refs){.uses = NULL};
}

void value_refs_encode(uint8_t *to, const struct value_refs *refs)
{
    for (uint32_t i = 0; i < refs->count; i++) {
        const struct value_file *f = refs->uses[i].file;
        struct value_reference reference = {
            .file = f->number,
            .bytes = refs->uses[i].bytes,
            .file_bytes = f->bytes,
            .share_bytes = f->share_bytes,
        };
        value_reference_encode(to + (size_t)i * VALUE_REFERENCE_BYTES, &reference);
    }
}

/* ---- garbage ---- */

/* Of what is this shard's. None when no table points into it: then it is about to go, or to come. */
static uint64_t garbage_of(const struct value_file *f)
{
    return f->live_bytes > 0 && f->live_bytes < f->share_bytes ? f->share_bytes - f->live_bytes : 0;
}

void values_count(struct engine *e, const struct value_refs *refs, bool is_added)
{
    struct values *v = e->values;
    for (uint32_t i = 0; i < refs->count; i++) {
        struct value_file *f = refs->uses[i].file;
        uint64_t bytes = refs->uses[i].bytes;
        ASSERT(is_added || f->live_bytes >= bytes);
        v->garbage_bytes -= garbage_of(f);
        v->counted_bytes -= f->live_bytes > 0 ? f->share_bytes : 0;
        f->live_bytes = is_added ? f->live_bytes + bytes : f->live_bytes - bytes;
        v->garbage_bytes += garbage_of(f);
        v->counted_bytes += f->live_bytes > 0 ? f->share_bytes : 0;
    }
}

/* Rounded down, and nothing else: of some files one has at least the share of them all, so there is always
 * one to collect. Requires: bytes > 0; part < 2^54, which no disk holds. */
static uint64_t per_mille(uint64_t part, uint64_t bytes)
{
    return part * 1000 / bytes;
}

/* The files with at least the average share of garbage are where most is won for what is moved (as segments
 * are chosen by Rosenblum and Ousterhout, "The Design and Implementation of a Log-Structured File System",
 * 1992). What is small beside a memtable is not worth the while. */
bool values_is_collected(const struct engine *e, const struct value_file *f)
{
    const struct values *v = e->values;
    if (!f->file || f->is_damaged || v->garbage_bytes < e->options.memtable_bytes / MEMTABLE_PART)
        return false;
    uint64_t overall = per_mille(v->garbage_bytes, v->counted_bytes);
    return overall > GARBAGE_PER_MILLE && garbage_of(f) > 0 &&
           per_mille(garbage_of(f), f->share_bytes) >= overall;
}

uint64_t values_collectable_bytes(const struct engine *e, const struct value_refs *refs)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < refs->count; i++)
        if (values_is_collected(e, refs->uses[i].file))
            bytes += refs->uses[i].bytes;
    return bytes;
}

/* ---- totals ---- */

struct values_totals values_totals(const struct values *v)
{
    struct values_totals t = {.files = v->count};
    for (uint32_t i = 0; i < v->count; i++) {
        const struct value_file *f = v->files[i];
        t.bytes += f->bytes;
        t.live_bytes += f->live_bytes < f->bytes ? f->live_bytes : f->bytes;
        t.files_damaged += value_file_is_lost(f);
    }
    return t;
}
