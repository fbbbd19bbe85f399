/* frame_fuzz.c - what a server reads from a connection: frames one after another, their extensions, hellos,
 * batches.
 *
 * Whatever is accepted encodes to the bytes it came from; nothing points outside of them; what is asked for
 * is never more than the limit. */
#include "test/fuzz/fuzz.h"

#include "wire/wire.h"

#include <stdlib.h>

/* ---- what a frame carries ---- */

static bool is_inside(struct slice part, struct slice whole)
{
    return part.bytes == 0 || (part.data >= whole.data && part.bytes <= whole.bytes &&
                               (size_t)(part.data - whole.data) <= whole.bytes - part.bytes);
}

static void check_extensions(struct slice bytes)
{
    struct frame_extensions parsed, again;
    if (frame_extensions_parse(bytes, &parsed) != 0)
        return;
    ASSERT(is_inside(parsed.namespace_name, bytes));
    uint8_t encoded[FRAME_EXTENSION_BYTES_MAX];
    size_t count = frame_extensions_encode(encoded, &parsed);
    ASSERT(count == bytes.bytes); /* each kind once and none unknown: only the order may differ */
    int rc = frame_extensions_parse(slice_of(encoded, count), &again);
    ASSERT(rc == 0 && slice_equal(parsed.namespace_name, again.namespace_name));
    ASSERT(parsed.expiry_ms == again.expiry_ms && parsed.deadline_ms == again.deadline_ms);
    ASSERT(parsed.limit == again.limit && parsed.has_version == again.has_version);
    ASSERT(parsed.version_clock == again.version_clock && parsed.version_node == again.version_node);
}

static void check_hello(struct slice value)
{
    struct frame_hello hello;
    if (frame_hello_parse(value, &hello) != 0)
        return;
    uint8_t encoded[FRAME_HELLO_BYTES];
    frame_hello_encode(encoded, &hello);
    ASSERT(slice_equal(slice_of(encoded, sizeof encoded), value));
    if (hello.core_count > 0)
        ASSERT(frame_core_of_slot((1 << 14) - 1, hello.vnode_bits, hello.core_count) < hello.core_count);
}

static void check_page(struct slice value)
{
    struct slice cursor, entries, key, entry_value;
    if (frame_page_parse(value, &cursor, &entries) != 0)
        return;
    ASSERT(cursor.bytes <= FRAME_CURSOR_BYTES_MAX && is_inside(cursor, value) && is_inside(entries, value));
    int rc = 1;
    while (rc == 1) { /* each takes its header off the front */
        struct slice before = entries;
        rc = frame_page_next(&entries, &key, &entry_value);
        if (rc != 1 || key.bytes > FRAME_KEY_BYTES_MAX)
            break;
        size_t taken = before.bytes - entries.bytes;
        uint8_t *encoded = malloc(taken);
        ASSERT(encoded && is_inside(key, before) && is_inside(entry_value, before));
        size_t count = frame_page_encode_entry(encoded, key, entry_value);
        ASSERT(slice_equal(slice_of(encoded, count), slice_of(before.data, taken)));
        free(encoded);
    }
}

/* ---- frames ---- */

static void check_frame(const struct frame *f)
{
    struct slice whole = slice_of(f->bytes, f->length);
    ASSERT(f->length >= FRAME_HEADER_BYTES && f->extensions.bytes <= FRAME_EXTENSION_BYTES_MAX);
    ASSERT(is_inside(f->key, whole) && is_inside(f->value, whole) && is_inside(f->extensions, whole));
    struct frame_parts parts = {
        .op = f->op,
        .flags = f->flags,
        .is_response = f->is_response,
        .request_id = f->request_id,
        .record_checksum = f->op == FRAME_BATCH ? 0 : checksum_record(f->key, f->value),
        .key = f->key,
        .value = f->value,
        .extensions = f->extensions,
    };
    ASSERT(frame_bytes(&parts) == f->length);
    uint8_t *encoded = malloc(f->length);
    ASSERT(encoded);
    size_t count = frame_encode(encoded, &parts);
    ASSERT(count == f->length && memcmp(encoded, f->bytes, FRAME_HEADER_BYTES - 4) == 0);
    ASSERT(memcmp(encoded + FRAME_HEADER_BYTES, f->bytes + FRAME_HEADER_BYTES, count - FRAME_HEADER_BYTES) ==
           0);
    bool is_same = memcmp(encoded, f->bytes, count) == 0;
    ASSERT(is_same == frame_is_intact(f, parts.record_checksum));
    free(encoded);
}

/* Takes frames as a connection does. Returns: how many. */
static unsigned take_frames(struct slice bytes, uint32_t length_max, unsigned count_max)
{
    unsigned count = 0;
    while (count < count_max) {
        struct frame f;
        size_t needed = 0;
        int rc = frame_parse(bytes, length_max, &f, &needed);
        if (rc == 0)
            ASSERT(needed > bytes.bytes && needed <= length_max);
        if (rc != 1)
            break;
        ASSERT(f.length <= bytes.bytes && f.length <= length_max);
        check_frame(&f);
        check_extensions(f.extensions);
        check_hello(f.value);
        check_page(f.value);
        bytes = slice_of(bytes.data + f.length, bytes.bytes - f.length);
        count++;
    }
    return count;
}

/* The frames inside of batches; a batch in a batch is not looked into, as in a server. */
static void take_batches(struct slice bytes)
{
    struct frame f;
    size_t needed;
    while (frame_parse(bytes, FRAME_BYTES_MAX, &f, &needed) == 1) {
        if (f.op == FRAME_BATCH) {
            uint8_t *value = fuzz_copy(f.value);
            take_frames(slice_of(value, f.value.bytes), FRAME_BYTES_MAX, FRAME_BATCH_COUNT_MAX);
            free(value);
        }
        bytes = slice_of(bytes.data + f.length, bytes.bytes - f.length);
    }
}

static void run(struct slice input)
{
    take_frames(input, FRAME_BYTES_MAX, UINT32_MAX);
    take_frames(input, FRAME_RESPONSE_BYTES_MAX, UINT32_MAX);
    take_batches(input);
    check_extensions(input);
    check_hello(input);
    check_page(input);
}

/* ---- seeds ---- */

enum { SEED_BYTES_MAX = 2048 };

static size_t put(uint8_t *to, uint8_t op, struct slice key, struct slice value, struct slice extensions)
{
    struct frame_parts parts = {
        .op = op, .request_id = 7, .key = key, .value = value, .extensions = extensions};
    parts.record_checksum = op == FRAME_BATCH ? 0 : checksum_record(key, value);
    return frame_encode(to, &parts);
}

static void seed(struct fuzz_seeds *to)
{
    uint8_t bytes[SEED_BYTES_MAX], inner[SEED_BYTES_MAX], extensions[FRAME_EXTENSION_BYTES_MAX];
    struct slice none = slice_of(NULL, 0), key = slice_of_string("user:{7}"),
                 value = slice_of_string("a value");
    struct frame_hello hello = {
        .version_min = 1, .version_max = 1, .core = 1, .core_count = 4, .vnode_bits = 10};
    struct frame_extensions all = {.expiry_ms = 60000,
                                   .deadline_ms = 500,
                                   .limit = 100,
                                   .namespace_name = slice_of_string("default"),
                                   .has_version = true,
                                   .version_clock = UINT64_C(1) << 40,
                                   .version_node = 3};
    frame_hello_encode(inner, &hello);
    size_t count = put(bytes, FRAME_HELLO, none, slice_of(inner, FRAME_HELLO_BYTES), none);
    count += put(bytes + count, FRAME_GET, key, none, none);
    fuzz_seed(to, "hello_and_get", slice_of(bytes, count));
    size_t extension_bytes = frame_extensions_encode(extensions, &all);
    count = put(bytes, FRAME_PUT, key, value, slice_of(extensions, extension_bytes));
    fuzz_seed(to, "put_with_all_extensions", slice_of(bytes, count));
    size_t inner_count = put(inner, FRAME_PUT, key, value, none);
    inner_count += put(inner + inner_count, FRAME_DELETE, key, none, none);
    count = put(bytes, FRAME_BATCH, none, slice_of(inner, inner_count), none);
    fuzz_seed(to, "batch", slice_of(bytes, count));
    memcpy(inner, "\2\0\1\2", 4);
    inner_count = 4 + frame_page_encode_entry(inner + 4, key, value);
    inner_count += frame_page_encode_entry(inner + inner_count, value, none);
    count = put(bytes, FRAME_SCAN | FRAME_RESPONSE, none, slice_of(inner, inner_count), none);
    fuzz_seed(to, "page_of_a_scan", slice_of(bytes, count));
    memset(bytes, 0xff, FRAME_HEADER_BYTES);
    fuzz_seed(to, "length_beyond_all", slice_of(bytes, FRAME_HEADER_BYTES));
}

const struct fuzz_target frame_fuzz = {.name = "frame", .run = run, .seed = seed};
