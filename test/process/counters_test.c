/* counters_test.c - what an operation may cost in system calls and allocations, held by the server's own
 * counters. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONNECTIONS = 16, PIPELINE = 16, ROUNDS = 400, KEYS = 20000, KEY_BYTES = 16, VALUE_BYTES = 100 };

static const char *const one_core[] = {"--cores", "1", NULL};

struct costs {
    double operations, enters, allocations;
};

static struct costs measure(const struct server *s)
{
    return (struct costs){
        .operations = server_counter(s, "operations", "operations"),
        .enters = server_counter(s, "reactor", "kernel_enters"),
        .allocations = server_counter(s, "memory", "allocations"),
    };
}

static size_t encode_some(struct raw *raw, uint8_t op, uint64_t *random, uint8_t *to)
{
    static const uint8_t value[VALUE_BYTES];
    size_t bytes = 0;
    for (unsigned i = 0; i < PIPELINE; i++) {
        char key[KEY_BYTES];
        *random = *random * 6364136223846793005 + 1442695040888963407;
        snprintf(key, sizeof key, "key-%07u", (unsigned)(*random >> 33) % KEYS);
        struct raw_request request = {.op = op, .key = slice_of_string(key)};
        if (op == FRAME_PUT)
            request.value = slice_of(value, sizeof value);
        bytes += raw_encode(raw, &request, to + bytes);
    }
    return bytes;
}

/* ROUNDS times: PIPELINE requests on every connection, then their answers. */
static void run(struct raw *raws, uint8_t op, uint64_t *random)
{
    static uint8_t bytes[PIPELINE * (FRAME_HEADER_BYTES + KEY_BYTES + VALUE_BYTES)];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CONNECTIONS; i++)
            CU_ASSERT(raw_send(&raws[i], bytes, encode_some(&raws[i], op, random, bytes)));
        for (unsigned i = 0; i < CONNECTIONS * PIPELINE; i++) {
            struct frame answer;
            int rc = raw_receive(&raws[i / PIPELINE], &answer);
            CU_ASSERT(rc == 0 && (answer.flags == 0 || error_of_status(answer.flags) == TORC_E_NOT_FOUND));
            if (rc)
                return;
        }
    }
}

static void check_run(const struct server *s, struct raw *raws, uint8_t op, double allocations_max)
{
    uint64_t random = 20260301;
    run(raws, op, &random); /* until pools and buffers are warm */
    struct costs before = measure(s);
    run(raws, op, &random);
    struct costs after = measure(s);
    double operations = after.operations - before.operations;
    double enters = (after.enters - before.enters) / operations;
    double allocations = (after.allocations - before.allocations) / operations;
    CU_ASSERT(operations >= 50000);
    CU_ASSERT(enters < 0.1);
    CU_ASSERT(allocations < allocations_max);
    printf("\n    %s: %.0f operations, %.4f io_uring_enter and %.6f allocations each ",
           op == FRAME_GET ? "get" : "put", operations, enters, allocations);
}

TEST(an_operation_costs_a_tenth_of_a_system_call_and_no_allocation)
{
    struct server s;
    struct raw raws[CONNECTIONS];
    unsigned open = 0;
    server_init(&s, NULL, one_core);
    if (!server_start(&s))
        return;
    while (open < CONNECTIONS && raw_connect(&raws[open], s.port, 0))
        open++;
    CU_ASSERT_EQUAL(open, CONNECTIONS);
    if (open == CONNECTIONS) {
        check_run(&s, raws, FRAME_PUT, 0.01); /* the memtable's memory grows in chunks */
        check_run(&s, raws, FRAME_GET, 0.001);
    }
    for (unsigned i = 0; i < open; i++)
        raw_close(&raws[i]);
    server_stop(&s);
}

/* ---- stages ---- */

/* How often a stage was timed. */
static double stage_count(struct raw *raw, const char *name)
{
    struct frame answer;
    double count = -1;
    size_t i;
    json_t *stage;
    CU_ASSERT_EQUAL(raw_call(raw, &(struct raw_request){.op = FRAME_INFO, .key = slice_of_string("stages")},
                             &answer),
                    0);
    json_t *root = json_loadb((const char *)answer.value.data, answer.value.bytes, 0, NULL);
    json_array_foreach(json_object_get(root, "stages"), i,
                       stage) if (strcmp(json_string_value(json_object_get(stage, "name")), name) == 0)
        count = json_number_value(json_object_get(stage, "count"));
    json_decref(root);
    return count;
}

TEST(a_read_that_waits_for_the_disk_is_not_timed_as_answered_at_once)
{
    static const char *const sampled[] = {"--cores", "1", "--memtable-bytes", "1M", "--stage-sample",
                                          "1",       NULL};
    static uint8_t value[60000];
    enum { PUTS = 100 }; /* the first of them are in tables */
    struct server s;
    struct raw raw;
    char key[KEY_BYTES];
    server_init(&s, NULL, sampled);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    for (unsigned i = 0; i < PUTS; i++) {
        snprintf(key, sizeof key, "key-%07u", i);
        CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string(key), slice_of(value, sizeof value)), 0);
    }
    raw_close(&raw);
    server_stop(&s);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string("key-0000000"), slice_of(value, sizeof value)), 0);
    CU_ASSERT_EQUAL(stage_count(&raw, "read: received to parsed"), 1);
    CU_ASSERT_EQUAL(stage_count(&raw, "read: parsed to answered"), 0);
    CU_ASSERT_EQUAL(raw_put(&raw, slice_of_string("new"), slice_of_string("value")), 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string("new"), slice_of_string("value")), 0);
    CU_ASSERT_EQUAL(stage_count(&raw, "read: parsed to answered"), 1);
    raw_close(&raw);
    server_stop(&s);
}
