/* manifest_fuzz.c - the two copies of a manifest, with any bytes.
 *
 *   input: | u8 switches | image: MANIFEST-A, MANIFEST-B, a file of the log |
 *
 * A state that is taken is in order and within limits, and encodes to what decodes to the same state. What is
 * committed after it is found by the next open. A directory with data and no whole copy is never a new one.
 * */
#include "test/fuzz/image.h"
#include "test/fuzz/node.h"

#include "engine/manifest.h"
#include "engine/manifest_format.h"
#include "reactor/base/checksum.h"
#include "reactor/base/endian.h"

#include <stdlib.h>

enum switches {
    FITTED = 2,  /* the content is as long as the file says */
    COMMITS = 4, /* a change is committed after the open */
    KNOWN = 8,   /* the shard knows itself: it has the vnodes of the seeds */
};

enum {
    FRONT_BYTES = 1,
    A = 0,
    B = 1,
    SEGMENT = 2,
    AT_CONTENT_BYTES = 16, /* of the header */
    AT_CONTENT_CHECKSUM = 24,
    AT_CHECKSUM = MANIFEST_HEADER_BYTES - 8,
};

struct run {
    struct image image;
    uint8_t switches;
};

static void mend(uint8_t *file, size_t bytes, uint8_t switches)
{
    if (bytes < MANIFEST_HEADER_BYTES)
        return;
    uint64_t content_bytes = bytes - MANIFEST_HEADER_BYTES;
    if (switches & FITTED)
        store_u64le(file + AT_CONTENT_BYTES, content_bytes);
    if (load_u64le(file + AT_CONTENT_BYTES) <= content_bytes)
        store_u64le(file + AT_CONTENT_CHECKSUM,
                    checksum_bytes(file + MANIFEST_HEADER_BYTES, load_u64le(file + AT_CONTENT_BYTES)));
    store_u64le(file + AT_CHECKSUM, checksum_bytes(file, AT_CHECKSUM));
}

/* ---- states ---- */

static bool is_same_key(const struct record_key *a, const struct record_key *b)
{
    return record_key_compare(a, b) == 0;
}

static bool is_same_table(const struct manifest_table *a, const struct manifest_table *b)
{
    return a->number == b->number && a->level == b->level && a->order == b->order && a->bytes == b->bytes &&
           a->entries == b->entries && a->tombstones == b->tombstones && a->clock_min == b->clock_min &&
           a->clock_max == b->clock_max && a->expiry_min_ms == b->expiry_min_ms &&
           a->expiry_max_ms == b->expiry_max_ms && a->expiring == b->expiring && a->origin == b->origin &&
           a->vnode_first == b->vnode_first && a->vnode_last == b->vnode_last &&
           is_same_key(&a->smallest, &b->smallest) && is_same_key(&a->largest, &b->largest) &&
           slice_equal(a->values, b->values);
}

static bool is_same_state(const struct manifest_state *a, const struct manifest_state *b)
{
    const struct manifest_numbers *x = &a->numbers, *y = &b->numbers;
    for (uint32_t i = 0; a->table_count == b->table_count && i < a->table_count; i++)
        if (!is_same_table(&a->tables[i], &b->tables[i]))
            return false;
    return a->table_count == b->table_count && x->vnode_bits == y->vnode_bits &&
           x->vnode_first == y->vnode_first && x->vnode_count == y->vnode_count &&
           x->log_start.segment == y->log_start.segment && x->log_start.sequence == y->log_start.sequence &&
           x->file_counter == y->file_counter && x->clock_max == y->clock_max &&
           x->quarantine_clock == y->quarantine_clock && x->quarantine_count == y->quarantine_count &&
           memcmp(&x->log_files, &y->log_files, sizeof x->log_files) == 0;
}

static void check_order(const struct manifest_state *state)
{
    ASSERT(state->table_count <= MANIFEST_TABLES_MAX && state->numbers.log_start.sequence > 0);
    for (uint32_t i = 0; i < state->table_count; i++) {
        const struct manifest_table *t = &state->tables[i];
        ASSERT(manifest_counter_of(t->number) < state->numbers.file_counter);
        ASSERT(i == 0 || state->tables[i - 1].number < t->number);
        ASSERT(t->values.bytes <= MANIFEST_VALUES_BYTES_MAX);
        ASSERT(t->smallest.key.bytes <= KEY_BYTES_MAX && t->largest.subkey.bytes <= SUBKEY_BYTES_MAX);
    }
}

/* What encodes decodes to the same, from memory of exactly its size. */
static void check_again(const struct manifest_state *state)
{
    size_t bytes = manifest_encoded_bytes(state);
    uint8_t *encoded = malloc(bytes);
    struct manifest_state again;
    ASSERT(encoded);
    manifest_encode(encoded, state);
    uint32_t count = manifest_table_count(slice_of(encoded, bytes));
    struct manifest_table *tables = calloc(count + 1, sizeof tables[0]);
    ASSERT(tables && count == state->table_count);
    int rc = manifest_decode(slice_of(encoded, bytes), tables, &again);
    ASSERT(rc == 0 && again.generation == state->generation && is_same_state(state, &again));
    free(tables);
    free(encoded);
}

/* ---- open and commit ---- */

static struct manifest *open_manifest(struct reactor *r, uint8_t switches)
{
    static const struct manifest_shard ours = {.vnode_bits = 4, .vnode_count = 16};
    struct manifest *m = NULL;
    char why[256];
    int rc = manifest_open(r, FUZZ_DIRECTORY, switches & KNOWN ? &ours : NULL, &m, why, sizeof why);
    ASSERT(rc == 0 || rc == TORC_E_CORRUPT || rc == TORC_E_DATA_FORMAT);
    ASSERT((rc == 0) == (why[0] == '\0'));
    return rc == 0 ? m : NULL;
}

static void raise_clock(void *context, struct manifest_numbers *numbers)
{
    (void)context;
    numbers->clock_max++;
}

/* Returns: the manifest as the next start finds it. */
static struct manifest *commit(struct reactor *r, uint8_t switches, struct manifest *m)
{
    struct manifest_change change = {.edit = raise_clock};
    uint64_t clock = manifest_state(m)->numbers.clock_max, generation = manifest_state(m)->generation;
    int rc = manifest_commit(m, &change);
    ASSERT(rc == 0 && manifest_copies(m) == 2);
    struct manifest *next = open_manifest(r, switches);
    ASSERT(next && is_same_state(manifest_state(next), manifest_state(m)));
    ASSERT(manifest_state(next)->numbers.clock_max == clock + 1);
    ASSERT(manifest_state(next)->generation > generation);
    manifest_close(m);
    return next;
}

static void run_in_node(struct reactor *r, void *context)
{
    static const char *const paths[] = {FUZZ_DIRECTORY "/MANIFEST-A", FUZZ_DIRECTORY "/MANIFEST-B",
                                        FUZZ_DIRECTORY "/wal-0000000000000001.log"};
    struct run *run = context;
    for (unsigned i = 0; i < ARRAY_COUNT(paths); i++)
        if (run->image.bytes[i])
            fuzz_write_file(r, paths[i], slice_of(run->image.files[i], run->image.bytes[i]));
    struct manifest *m = open_manifest(r, run->switches);
    if (!m)
        return;
    check_order(manifest_state(m));
    if (manifest_state(m)->generation == 0)
        ASSERT(run->image.bytes[SEGMENT] == 0 && run->image.bytes[B] == 0);
    else
        check_again(manifest_state(m));
    if ((run->switches & COMMITS) && manifest_state(m)->generation < UINT64_MAX)
        m = commit(r, run->switches, m);
    manifest_close(m);
}

static void run(struct slice input)
{
    struct run run = {.switches = fuzz_take_switches(&input)};
    image_decode(&run.image, input);
    for (unsigned i = A; (run.switches & FUZZ_CHECKSUMS) && i <= B; i++)
        mend(run.image.files[i], run.image.bytes[i], run.switches);
    fuzz_run_node(run_in_node, &run);
    image_free(&run.image);
}

static size_t mutate(const struct fuzz_bytes *input, uint64_t seed)
{
    return image_mutate(input, FRONT_BYTES, seed);
}

/* ---- seeds ---- */

enum { SEED_BYTES_MAX = 16 << 10, SEED_TABLES_MAX = 4 };

static size_t encode_sample(uint8_t *to, uint64_t generation, uint32_t table_count)
{
    struct manifest_table tables[SEED_TABLES_MAX];
    for (uint32_t i = 0; i < table_count; i++)
        tables[i] = (struct manifest_table){
            .number = (uint64_t)(3 + i) << MANIFEST_NUMBER_VNODE_BITS,
            .origin = (uint64_t)(3 + i) << MANIFEST_NUMBER_VNODE_BITS,
            .vnode_last = 15,
            .level = i,
            .order = i,
            .bytes = 16384,
            .entries = 40,
            .clock_max = 1000,
            .expiry_min_ms = UINT64_MAX,
            .smallest = {.vnode = 1, .key = slice_of_string("a")},
            .largest = {.vnode = 9, .key = slice_of_string("z"), .subkey = slice_of_string("sub")},
            .values = slice_of_string("values"),
        };
    struct manifest_state state = {
        .generation = generation,
        .numbers = {.vnode_bits = 4,
                    .vnode_count = 16,
                    .log_start = {.segment = 2, .sequence = 9},
                    .file_counter = 10,
                    .clock_max = 1000,
                    .log_files = {{2, 3}}},
        .tables = tables,
        .table_count = table_count,
    };
    manifest_encode(to, &state);
    return manifest_encoded_bytes(&state);
}

static void seed(struct fuzz_seeds *to)
{
    uint8_t *input = malloc(SEED_BYTES_MAX), *a = malloc(SEED_BYTES_MAX), *b = malloc(SEED_BYTES_MAX);
    ASSERT(input && a && b);
    size_t a_bytes = encode_sample(a, 5, 3), b_bytes = encode_sample(b, 6, 1);
    input[0] = FUZZ_CHECKSUMS | COMMITS;
    size_t bytes = image_append(slice_of(a, a_bytes), A, input, FRONT_BYTES);
    bytes = image_append(slice_of(b, b_bytes), B, input, bytes);
    fuzz_seed(to, "two_copies", slice_of(input, bytes));
    input[0] = COMMITS;
    fuzz_seed(to, "as_written", slice_of(input, bytes));
    input[0] = FUZZ_CHECKSUMS | FITTED | COMMITS;
    bytes = image_append(slice_of(a, a_bytes), B, input, FRONT_BYTES);
    bytes = image_append(slice_of(a, a_bytes), SEGMENT, input, bytes);
    fuzz_seed(to, "one_copy_and_a_log", slice_of(input, bytes));
    bytes = image_append(slice_of(a, a_bytes), SEGMENT, input, FRONT_BYTES);
    fuzz_seed(to, "a_log_alone", slice_of(input, bytes));
    b[MANIFEST_HEADER_BYTES] = 5; /* of another shard */
    input[0] = FUZZ_CHECKSUMS | COMMITS | KNOWN;
    bytes = image_append(slice_of(a, a_bytes), A, input, FRONT_BYTES);
    bytes = image_append(slice_of(b, b_bytes), B, input, bytes);
    fuzz_seed(to, "one_copy_of_another_shard", slice_of(input, bytes));
    fuzz_seed(to, "nothing", slice_of(input, FRONT_BYTES));
    free(input);
    free(a);
    free(b);
}

const struct fuzz_target manifest_fuzz = {.name = "manifest", .run = run, .mutate = mutate, .seed = seed};
