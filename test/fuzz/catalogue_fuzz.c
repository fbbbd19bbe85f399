/* catalogue_fuzz.c - the text that says what a snapshot or a backup is made of: any bytes behind a byte of
 * switches.
 *
 * What is taken is within limits, names no file outside of the backup, and says the same when it is written
 * and read again. */
#include "test/fuzz/node.h"

#include "engine/copy.h"
#include "reactor/base/checksum.h"
#include "shard/catalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char path[] = FUZZ_DIRECTORY "/CATALOGUE";
enum { CHECK_BYTES = 6 + 16 + 1, CHECK_DIGITS_AT = 6, CHECK_DIGITS = 16 };

/* Makes the digits of the last line right, whatever stands around them. */
static void mend(uint8_t *text, size_t bytes)
{
    char digits[CHECK_DIGITS + 1];
    if (bytes < CHECK_BYTES)
        return;
    uint8_t *last = text + bytes - CHECK_BYTES;
    snprintf(digits, sizeof digits, "%016" PRIx64, checksum_bytes(text, bytes - CHECK_BYTES));
    memcpy(last + CHECK_DIGITS_AT, digits, CHECK_DIGITS);
}

static void check_limits(const struct catalogue *c)
{
    ASSERT(c->identity.cores >= 1 && c->identity.cores <= REACTOR_CORES_MAX);
    ASSERT(c->identity.cores <= 1u << c->identity.vnode_bits);
    for (unsigned i = 0; i < c->identity.cores; i++) {
        const struct catalogue_shard *s = &c->shards[i];
        ASSERT(s->vnode_count > 0 && s->start_sequence > 0);
        ASSERT((uint32_t)s->vnode_first + s->vnode_count <= 1u << c->identity.vnode_bits);
    }
    for (uint32_t i = 0; i < c->file_count; i++) {
        const struct catalogue_file *f = &c->files[i];
        ASSERT(f->shard < c->identity.cores && f->name[0] && !strchr(f->name, '/'));
        ASSERT(f->path[0] && f->path[0] != '/' && strlen(f->path) < sizeof f->path);
        ASSERT(!strstr(f->path + (strncmp(f->path, "../files/", 9) == 0 ? 9 : 0), ".."));
    }
}

static void write_again(struct reactor *r, const struct catalogue *c)
{
    struct catalogue_text t = {0};
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < c->identity.cores; i++) {
        const struct catalogue_shard *s = &c->shards[i];
        struct engine_snapshot_facts facts = {
            .log_history = s->log_history,
            .start_segment = s->start_segment,
            .start_sequence = s->start_sequence,
            .end_segment = s->end_segment,
            .end_sequence = s->end_sequence,
            .end_checksum = s->end_checksum,
            .vnode_first = s->vnode_first,
            .vnode_count = s->vnode_count,
        };
        rc = catalogue_add_shard(r, &t, i, &facts);
    }
    for (uint32_t i = 0; rc == 0 && i < c->file_count; i++)
        rc = catalogue_add_file(r, &t, &c->files[i]);
    if (rc == 0)
        rc = catalogue_write(r, path, &c->identity, c->clock, slice_of(t.data, t.bytes));
    ASSERT(rc == 0);
    reactor_free(r, t.data);
}

static void check_again(struct reactor *r, const struct catalogue *c)
{
    struct catalogue again;
    write_again(r, c);
    int rc = catalogue_read(r, path, &again);
    ASSERT(rc == 0 && again.clock == c->clock && again.file_count == c->file_count);
    ASSERT(again.identity.node == c->identity.node && again.identity.cores == c->identity.cores &&
           again.identity.vnode_bits == c->identity.vnode_bits);
    ASSERT(memcmp(again.shards, c->shards, c->identity.cores * sizeof c->shards[0]) == 0);
    for (uint32_t i = 0; i < c->file_count; i++) {
        const struct catalogue_file *a = &again.files[i], *b = &c->files[i];
        ASSERT(a->shard == b->shard && a->bytes == b->bytes && a->checksum == b->checksum);
        ASSERT(strcmp(a->name, b->name) == 0 && strcmp(a->path, b->path) == 0);
    }
    catalogue_deinit(r, &again);
}

static void run_in_node(struct reactor *r, void *context)
{
    const struct slice *text = context;
    struct catalogue c;
    int rc = catalogue_parse(r, (const char *)text->data, text->bytes, &c);
    ASSERT(rc == 0 || rc == TORC_E_CORRUPT || rc == TORC_E_DATA_FORMAT);
    if (rc)
        return;
    check_limits(&c);
    check_again(r, &c);
    catalogue_deinit(r, &c);
}

static void run(struct slice input)
{
    uint8_t switches = fuzz_take_switches(&input);
    uint8_t *text = malloc(input.bytes + 1);
    ASSERT(text);
    slice_put(text, input);
    text[input.bytes] = 0;
    if (switches & FUZZ_CHECKSUMS)
        mend(text, input.bytes);
    struct slice mended = slice_of(text, input.bytes);
    fuzz_run_node(run_in_node, &mended);
    free(text);
}

static void seed(struct fuzz_seeds *to)
{
    static const char check[] = "check 0000000000000000\n";
    static const char *const heads[][2] = {
        {"as_written", "\1torc backup\nformat 2\nnode 1\ncores 2\nvnode-bits 10\nclock 0193a5b2c4d6ffff\n"},
        {"another_format", "\1torc backup\nformat 1\nnode 1\ncores 2\nvnode-bits 10\nclock 01\n"},
        {"one_core", "\1torc backup\nformat 2\nnode 3\ncores 1\nvnode-bits 4\nclock 00\n"},
    };
    static const char lines[] =
        "shard 0 vnodes 0 512 history 6b1f0a55c2d93e71 log 3 40 5 122 81c4f6a02b7d9e35\n"
        "file 0 4096 9d3b6a01f2c4e875 MANIFEST-A shard-000/MANIFEST-A\n"
        "file 0 81920 0000000000000000 table-0000000000010000.sst ../files/table-0000000000010000.sst\n"
        "shard 1 vnodes 512 512 history 0000000000000001 log 1 1 0 0 0000000000000000\n";
    char text[1024];
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        int bytes = snprintf(text, sizeof text, "%s%s%s", heads[i][1], lines, check);
        fuzz_seed(to, heads[i][0], slice_of(text, (size_t)bytes));
    }
    int bytes = snprintf(text, sizeof text, "%s%s", heads[0][1], check);
    fuzz_seed(to, "no_lines", slice_of(text, (size_t)bytes));
}

const struct fuzz_target catalogue_fuzz = {.name = "catalogue", .run = run, .seed = seed};
