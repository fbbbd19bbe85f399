/* catalogue.c - the text that makes a snapshot or a backup whole; see catalogue.h. */
#include "shard/catalogue.h"

#include "engine/copy.h"
#include "reactor/base/checksum.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_FIRST = 4096, LINE_BYTES = 512, FILES_MAX = 1 << 20 };

/* ---- writing ---- */

static int reserve(struct reactor *r, struct catalogue_text *t, size_t bytes)
{
    if (t->capacity - t->bytes >= bytes)
        return 0;
    size_t capacity = t->capacity ? t->capacity * 2 : TEXT_FIRST;
    if (capacity < t->bytes + bytes)
        capacity = t->bytes + bytes;
    char *grown = capacity <= CATALOGUE_BYTES_MAX ? reactor_realloc(r, t->data, capacity) : NULL;
    if (!grown)
        return TORC_E_NO_MEMORY;
    t->data = grown;
    t->capacity = capacity;
    return 0;
}

int catalogue_text_add(struct reactor *r, struct catalogue_text *t, const char *format, ...)
{
    va_list arguments;
    int rc = reserve(r, t, LINE_BYTES);
    if (rc)
        return rc;
    va_start(arguments, format);
    int length = vsnprintf(t->data + t->bytes, LINE_BYTES, format, arguments);
    va_end(arguments);
    ASSERT(length >= 0 && length < LINE_BYTES);
    t->bytes += (size_t)length;
    return 0;
}

int catalogue_text_append(struct reactor *r, struct catalogue_text *t, struct slice lines)
{
    int rc = reserve(r, t, lines.bytes + LINE_BYTES);
    if (rc == 0 && lines.bytes)
        memcpy(t->data + t->bytes, lines.data, lines.bytes);
    t->bytes += rc == 0 ? lines.bytes : 0;
    return rc;
}

int catalogue_add_shard(struct reactor *r, struct catalogue_text *t, unsigned shard,
                        const struct engine_snapshot_facts *f)
{
    return catalogue_text_add(r, t,
                              "shard %u vnodes %u %u history %016" PRIx64 " log %" PRIu64 " %" PRIu64
                              " %" PRIu64 " %" PRIu64 " %016" PRIx64 "\n",
                              shard, f->vnode_first, f->vnode_count, f->log_history, f->start_segment,
                              f->start_sequence, f->end_segment, f->end_sequence, f->end_checksum);
}

int catalogue_add_file(struct reactor *r, struct catalogue_text *t, const struct catalogue_file *f)
{
    return catalogue_text_add(r, t, "file %u %" PRIu64 " %016" PRIx64 " %s %s\n", f->shard, f->bytes,
                              f->checksum, f->name, f->path);
}

static int compose(struct reactor *r, struct catalogue_text *t, const struct datadir_identity *id,
                   uint64_t clock, struct slice lines)
{
    int rc =
        catalogue_text_add(r, t,
                           "torc backup\nformat %d\nnode %u\ncores %u\nvnode-bits %u\nclock %016" PRIx64 "\n",
                           CATALOGUE_FORMAT, id->node, id->cores, id->vnode_bits, clock);
    if (rc == 0)
        rc = catalogue_text_append(r, t, lines);
    return rc ? rc : catalogue_text_add(r, t, "check %016" PRIx64 "\n", checksum_bytes(t->data, t->bytes));
}

int catalogue_write(struct reactor *r, const char *path, const struct datadir_identity *identity,
                    uint64_t clock, struct slice lines)
{
    struct catalogue_text t = {0};
    int rc = compose(r, &t, identity, clock, lines);
    if (rc == 0)
        rc = copy_bytes_to_file(r, slice_of(t.data, t.bytes), path);
    reactor_free(r, t.data);
    return rc;
}

/* ---- reading ---- */

static int parse_shard(const char *line, struct catalogue *c)
{
    unsigned number, first, count;
    struct catalogue_shard s = {0};
    int fields = sscanf(line,
                        "shard %u vnodes %u %u history %" SCNx64 " log %" SCNu64 " %" SCNu64 " %" SCNu64
                        " %" SCNu64 " %" SCNx64,
                        &number, &first, &count, &s.log_history, &s.start_segment, &s.start_sequence,
                        &s.end_segment, &s.end_sequence, &s.end_checksum);
    uint32_t vnodes = UINT32_C(1) << c->identity.vnode_bits;
    if (fields != 9 || number >= c->identity.cores || first >= vnodes || count == 0 ||
        count > vnodes - first || s.start_sequence == 0)
        return TORC_E_CORRUPT;
    s.vnode_first = (uint16_t)first;
    s.vnode_count = (uint16_t)count;
    c->shards[number] = s;
    return 0;
}

/* Requires: there is room for one more. */
static int parse_file(const char *line, struct catalogue *c)
{
    struct catalogue_file *f = &c->files[c->file_count];
    int fields = sscanf(line, "file %u %" SCNu64 " %" SCNx64 " %63s %191s", &f->shard, &f->bytes,
                        &f->checksum, f->name, f->path);
    static_assert(CATALOGUE_NAME_BYTES == 64 && CATALOGUE_PATH_BYTES == 192, "the widths above");
    const char *path = f->path + (strncmp(f->path, "../files/", 9) == 0 ? 9 : 0);
    bool is_inside = fields == 5 && !strchr(f->name, '/') && !strstr(path, "..") && path[0] != '/';
    if (!is_inside || f->shard >= c->identity.cores)
        return TORC_E_CORRUPT;
    c->file_count++;
    return 0;
}

static int parse_head(struct reactor *r, struct slice text, struct catalogue *c, struct slice *rest)
{
    char head[LINE_BYTES];
    unsigned format = 0;
    int length = 0;
    size_t bytes = text.bytes < sizeof head ? text.bytes : sizeof head - 1;
    memcpy(head, text.data, bytes);
    head[bytes] = '\0';
    if (sscanf(head, "torc backup\nformat %u\n", &format) != 1)
        return TORC_E_CORRUPT;
    if (format != CATALOGUE_FORMAT)
        return TORC_E_DATA_FORMAT;
    struct datadir_identity *id = &c->identity;
    int fields = sscanf(head, "torc backup\nformat %u\nnode %u\ncores %u\nvnode-bits %u\nclock %" SCNx64 "%n",
                        &format, &id->node, &id->cores, &id->vnode_bits, &c->clock, &length);
    if (fields != 5 || head[length] != '\n' || id->vnode_bits > DATADIR_VNODE_BITS_MAX || id->cores == 0 ||
        id->cores > REACTOR_CORES_MAX || id->cores > 1u << id->vnode_bits)
        return TORC_E_CORRUPT;
    *rest = slice_of(text.data + length + 1, text.bytes - (size_t)length - 1);
    c->shards = reactor_alloc_zeroed(r, id->cores * sizeof c->shards[0]);
    return c->shards ? 0 : TORC_E_NO_MEMORY;
}

/* Takes the first line off `rest`, as text of its own: sscanf looks for the end of what it is given before it
 * reads a word. */
static int take_line(struct slice *rest, char line[LINE_BYTES])
{
    const uint8_t *end = memchr(rest->data, '\n', rest->bytes);
    ASSERT(end); /* reserve_files has seen it */
    size_t bytes = (size_t)(end - rest->data);
    if (bytes >= LINE_BYTES || memchr(rest->data, 0, bytes))
        return TORC_E_CORRUPT;
    memcpy(line, rest->data, bytes);
    line[bytes] = '\0';
    *rest = slice_of(end + 1, rest->bytes - bytes - 1);
    return 0;
}

/* Room for all files at once: to grow would copy megabytes in one slice. */
static int reserve_files(struct reactor *r, struct slice lines, struct catalogue *c)
{
    uint32_t count = 0;
    for (const uint8_t *at = lines.data, *end = at + lines.bytes; at < end; count++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (!at || count == FILES_MAX)
            return TORC_E_CORRUPT;
        at++;
        task_yield_if_due(r);
    }
    c->files = reactor_alloc(r, count * sizeof c->files[0]);
    return c->files ? 0 : TORC_E_NO_MEMORY;
}

static int parse_lines(struct reactor *r, struct slice lines, struct catalogue *c)
{
    char line[LINE_BYTES];
    int rc = reserve_files(r, lines, c);
    while (rc == 0 && lines.bytes > 0) {
        rc = take_line(&lines, line);
        if (rc == 0 && strncmp(line, "file ", 5) == 0)
            rc = parse_file(line, c);
        else if (rc == 0)
            rc = strncmp(line, "shard ", 6) == 0 ? parse_shard(line, c) : TORC_E_CORRUPT;
        task_yield_if_due(r);
    }
    for (unsigned i = 0; rc == 0 && i < c->identity.cores; i++)
        if (c->shards[i].vnode_count == 0)
            rc = TORC_E_CORRUPT;
    return rc;
}

int catalogue_parse(struct reactor *r, const char *text, size_t bytes, struct catalogue *out)
{
    enum { CHECK_BYTES = 6 + 16 + 1 };
    uint64_t check;
    *out = (struct catalogue){.clock = 0};
    if (bytes < CHECK_BYTES)
        return TORC_E_CORRUPT;
    const char *last = text + bytes - CHECK_BYTES;
    struct slice lines = slice_of(text, (size_t)(last - text));
    if (sscanf(last, "check %" SCNx64, &check) != 1 || last[CHECK_BYTES - 1] != '\n' ||
        check != checksum_bytes(lines.data, lines.bytes))
        return TORC_E_CORRUPT;
    int rc = parse_head(r, lines, out, &lines);
    if (rc == 0)
        rc = parse_lines(r, lines, out);
    if (rc)
        catalogue_deinit(r, out);
    return rc;
}

int catalogue_read(struct reactor *r, const char *path, struct catalogue *out)
{
    uint8_t *data;
    size_t bytes;
    *out = (struct catalogue){.clock = 0};
    int rc = copy_file_to_bytes(r, path, CATALOGUE_BYTES_MAX, &data, &bytes);
    if (rc)
        return rc;
    rc = catalogue_parse(r, (const char *)data, bytes, out);
    reactor_free(r, data);
    return rc;
}

void catalogue_deinit(struct reactor *r, struct catalogue *c)
{
    reactor_free(r, c->shards);
    reactor_free(r, c->files);
    *c = (struct catalogue){.clock = 0};
}
