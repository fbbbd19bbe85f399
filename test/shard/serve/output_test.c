/* output_test.c - answers in pooled chunks: their order, their sealing, their way back. */
#include "shard/serve/output.h"

#include "test/test.h"

#include <stdlib.h>

enum { PARTS_MAX = 64 };

struct rig {
    struct output_pool pool;
    struct output out;
};

static void rig_init(struct rig *rig, struct reactor *r)
{
    output_pool_init(&rig->pool, r);
    rig->out = (struct output){0};
}

/* The n-th byte of a stream whose order can be told. */
static uint8_t stream_byte(size_t n)
{
    return (uint8_t)(n * 31 + n / 251);
}

static void append_stream(struct rig *rig, size_t *at, size_t bytes)
{
    uint8_t *piece = malloc(bytes);
    ASSERT(piece);
    for (size_t i = 0; i < bytes; i++)
        piece[i] = stream_byte(*at + i);
    CU_ASSERT_EQUAL(output_append(&rig->out, &rig->pool, slice_of(piece, bytes)), 0);
    free(piece);
    *at += bytes;
}

/* Sends all there is, as many parts at once as given, and checks that it is the stream from *at on. */
static void send_and_check(struct rig *rig, size_t *at, unsigned parts_max)
{
    struct slice parts[PARTS_MAX];
    while (rig->out.bytes > 0) {
        unsigned count = output_begin_send(&rig->out, parts, parts_max);
        CU_ASSERT(count >= 1 && count <= parts_max);
        bool is_right = true;
        for (unsigned i = 0; i < count; i++)
            for (size_t byte = 0; byte < parts[i].bytes; byte++)
                is_right &= parts[i].data[byte] == stream_byte((*at)++);
        CU_ASSERT(is_right);
        output_end_send(&rig->out, &rig->pool);
    }
}

TEST_IN_REACTOR(output_sends_what_was_appended_in_order)
{
    struct rig rig;
    size_t appended = 0, sent = 0;
    rig_init(&rig, r);
    for (size_t bytes = 1; bytes < 60000; bytes = bytes * 3 + 1)
        append_stream(&rig, &appended, bytes);
    CU_ASSERT_EQUAL(rig.out.bytes, appended);
    send_and_check(&rig, &sent, 2);
    CU_ASSERT_EQUAL(sent, appended);
    CU_ASSERT_EQUAL(rig.out.bytes, 0);
    CU_ASSERT_PTR_NULL(rig.out.first);
    CU_ASSERT_EQUAL(rig.pool.bytes_in_use, 0);
}

TEST_IN_REACTOR(output_begins_with_a_small_chunk_and_goes_on_with_large_ones)
{
    struct rig rig;
    size_t at = 0;
    rig_init(&rig, r);
    append_stream(&rig, &at, OUTPUT_SMALL_BYTES);
    CU_ASSERT_EQUAL(rig.pool.bytes_in_use, OUTPUT_SMALL_BYTES);
    append_stream(&rig, &at, 1);
    CU_ASSERT_EQUAL(rig.pool.bytes_in_use, OUTPUT_SMALL_BYTES + OUTPUT_LARGE_BYTES);
    output_clear(&rig.out, &rig.pool);
    CU_ASSERT_EQUAL(rig.pool.bytes_in_use, 0);
    CU_ASSERT_EQUAL(rig.pool.small.count, 1);
    CU_ASSERT_EQUAL(rig.pool.large.count, 1);
    append_stream(&rig, &at, OUTPUT_SMALL_BYTES + 1); /* too much for a small one from the start */
    CU_ASSERT_EQUAL(rig.pool.bytes_in_use, OUTPUT_LARGE_BYTES);
    CU_ASSERT_EQUAL(rig.pool.large.count, 0);
    output_clear(&rig.out, &rig.pool);
}

TEST_IN_REACTOR(output_leaves_alone_what_is_being_sent)
{
    struct rig rig;
    struct slice parts[PARTS_MAX];
    size_t at = 0, sent = 0;
    rig_init(&rig, r);
    append_stream(&rig, &at, 100);
    CU_ASSERT_EQUAL(output_begin_send(&rig.out, parts, PARTS_MAX), 1);
    append_stream(&rig, &at, 100);
    uint8_t *room = output_reserve(&rig.out, &rig.pool, 10);
    CU_ASSERT(room < parts[0].data || room > parts[0].data + OUTPUT_SMALL_BYTES);
    CU_ASSERT_EQUAL(parts[0].bytes, 100);
    for (size_t i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(parts[0].data[i], stream_byte(sent++));
    output_end_send(&rig.out, &rig.pool);
    CU_ASSERT_EQUAL(rig.out.bytes, 100);
    send_and_check(&rig, &sent, PARTS_MAX);
    CU_ASSERT_EQUAL(sent, at);
}

TEST_IN_REACTOR(output_reserves_in_one_piece_or_not_at_all)
{
    struct rig rig;
    rig_init(&rig, r);
    CU_ASSERT_PTR_NULL(output_reserve(&rig.out, &rig.pool, OUTPUT_LARGE_BYTES + 1));
    CU_ASSERT_EQUAL(rig.out.bytes, 0);
    for (unsigned i = 0; i < 10; i++) {
        uint8_t *to = output_reserve(&rig.out, &rig.pool, OUTPUT_LARGE_BYTES - 7);
        CU_ASSERT_PTR_NOT_NULL_FATAL(to);
        memset(to, (int)i, OUTPUT_LARGE_BYTES - 7);
        output_commit(&rig.out, OUTPUT_LARGE_BYTES - 7);
    }
    CU_ASSERT_EQUAL(rig.out.bytes, 10 * (OUTPUT_LARGE_BYTES - 7));
    struct slice parts[PARTS_MAX];
    CU_ASSERT_EQUAL(output_begin_send(&rig.out, parts, PARTS_MAX), 10);
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT(parts[i].bytes == OUTPUT_LARGE_BYTES - 7 && parts[i].data[0] == i);
    output_end_send(&rig.out, &rig.pool);
}

TEST_IN_REACTOR(output_takes_its_chunks_from_the_pool_once_it_is_warm)
{
    struct rig rig;
    size_t at = 0, sent = 0;
    rig_init(&rig, r);
    append_stream(&rig, &at, 50000);
    send_and_check(&rig, &sent, PARTS_MAX);
    uint64_t before = reactor_counters(r).allocations;
    for (unsigned i = 0; i < 100; i++) {
        append_stream(&rig, &at, 50000);
        send_and_check(&rig, &sent, PARTS_MAX);
    }
    CU_ASSERT_EQUAL(reactor_counters(r).allocations, before);
}

TEST_IN_REACTOR(output_pool_gives_back_what_nobody_needed_between_two_trims)
{
    struct rig rig;
    size_t at = 0, sent = 0;
    rig_init(&rig, r);
    append_stream(&rig, &at, 10 * OUTPUT_LARGE_BYTES);
    send_and_check(&rig, &sent, PARTS_MAX);
    output_pool_trim(&rig.pool); /* all were in use since the beginning */
    CU_ASSERT_EQUAL(rig.pool.large.count, 10);
    append_stream(&rig, &at, 3 * OUTPUT_LARGE_BYTES);
    send_and_check(&rig, &sent, PARTS_MAX);
    output_pool_trim(&rig.pool);
    CU_ASSERT_EQUAL(rig.pool.large.count, 3);
    output_pool_trim(&rig.pool);
    CU_ASSERT_EQUAL(rig.pool.large.count, 0);
    CU_ASSERT_PTR_NULL(rig.pool.large.first);
    append_stream(&rig, &at, 100);
    send_and_check(&rig, &sent, PARTS_MAX);
    CU_ASSERT_EQUAL(rig.pool.small.count, 1);
}
