/* dump_manifest.c - prints one copy of a manifest. */
#include "engine/manifest_format.h"
#include "offline/dump.h"
#include "offline/offline.h"
#include "offline/run.h"

#include <stdio.h>

static void print_key(const char *what, const struct record_key *k)
{
    printf(" %s %u/%u/", what, k->vnode, k->namespace_id);
    offline_print_bytes(k->key);
    if (k->subkey.bytes)
        offline_print_bytes(k->subkey);
}

static void print_table(const struct manifest_table *t)
{
    printf("  table %016llx origin %016llx vnodes %u to %u level %u run %llx: %llu bytes, %llu entries, "
           "%llu tombstones, %llu expiring, clocks %llx to %llx",
           (unsigned long long)t->number, (unsigned long long)t->origin, t->vnode_first, t->vnode_last,
           t->level, (unsigned long long)t->order, (unsigned long long)t->bytes,
           (unsigned long long)t->entries, (unsigned long long)t->tombstones, (unsigned long long)t->expiring,
           (unsigned long long)t->clock_min, (unsigned long long)t->clock_max);
    print_key("from", &t->smallest);
    print_key("to", &t->largest);
    putchar('\n');
}

static void print_state(const struct manifest_state *s)
{
    const struct manifest_numbers *n = &s->numbers;
    printf("manifest: generation %llu, vnodes %u to %u of 2^%u, %u tables\n",
           (unsigned long long)s->generation, n->vnode_first, n->vnode_first + n->vnode_count - 1u,
           n->vnode_bits, s->table_count);
    printf("  log from segment %llx record %llu, files %llx %llx %llx; next file counter %llx\n",
           (unsigned long long)n->log_start.segment, (unsigned long long)n->log_start.sequence,
           (unsigned long long)n->log_files.ids[0], (unsigned long long)n->log_files.ids[1],
           (unsigned long long)n->log_files.ids[2], (unsigned long long)n->file_counter);
    printf("  highest clock %llx; quarantine: clock %llx, %llu stretches\n", (unsigned long long)n->clock_max,
           (unsigned long long)n->quarantine_clock, (unsigned long long)n->quarantine_count);
    for (uint32_t i = 0; i < s->table_count; i++)
        print_table(&s->tables[i]);
}

static int print_image(struct reactor *r, const char *path, struct slice image)
{
    struct manifest_header header;
    int rc = manifest_header_decode(image.data, &header);
    if (rc == 0 && (header.content_bytes > image.bytes - MANIFEST_HEADER_BYTES ||
                    header.content_bytes < MANIFEST_NUMBERS_BYTES))
        rc = TORC_E_CORRUPT;
    struct manifest_table *tables = NULL;
    struct manifest_state state;
    if (rc == 0) {
        tables = reactor_alloc_zeroed(r, (manifest_table_count(image) + 1) * sizeof tables[0]);
        rc = tables ? manifest_decode(image, tables, &state) : TORC_E_NO_MEMORY;
    }
    if (rc == 0)
        print_state(&state);
    reactor_free(r, tables);
    if (rc == TORC_E_CORRUPT) {
        printf("%s: DAMAGED: the checksum of the manifest does not hold\n", path);
        return OFFLINE_DAMAGED;
    }
    return rc ? offline_complain("%s: %s", path, error_sentence(rc)) : OFFLINE_GOOD;
}

int dump_manifest(struct reactor *r, const char *path)
{
    struct file *f = NULL;
    uint64_t bytes = 0;
    int rc = file_open(r, path, FILE_READ, &f);
    if (rc == 0)
        rc = file_size(r, f, &bytes);
    bool is_short = rc == 0 && (bytes < MANIFEST_HEADER_BYTES + MANIFEST_NUMBERS_BYTES);
    uint8_t *image = rc == 0 && bytes <= MANIFEST_BYTES_MAX ? reactor_alloc(r, bytes + 1) : NULL;
    if (rc == 0 && !image)
        rc = TORC_E_NO_MEMORY;
    int64_t got = rc == 0 ? file_read(r, f, image, bytes, 0) : rc;
    file_close(r, f);
    int code = OFFLINE_DAMAGED;
    if (got < 0)
        code = offline_complain("%s: %s", path, error_sentence((int)got));
    else if (is_short || (uint64_t)got < bytes)
        printf("%s: DAMAGED: too short for a manifest\n", path);
    else
        code = print_image(r, path, slice_of(image, bytes));
    reactor_free(r, image);
    return code;
}
