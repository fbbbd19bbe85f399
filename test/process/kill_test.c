/* kill_test.c - a server killed again and again under load loses nothing that it acknowledged.
 *
 * The oracle stands outside. Memtables and segments are as small as they may be, so that flushes,
 * compactions and recycled segments are met at every kind of moment. TEST_SEED=N TEST_ROUNDS=N make it
 * another and a longer run. */
#include "client/torc.h"
#include "test/process/oracle.h"
#include "test/process/server.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ROUNDS = 20,
    KEYS = 4000,
    PIPELINE = 256,
    ACKS_MIN = 2000,
    ACKS_SPREAD = 18000,
    MGET_COUNT = 500,
};

static const char *const small[] = {"--cores",
                                    "2",
                                    "--memtable-bytes",
                                    "1M",
                                    "--segment-bytes",
                                    "4M",
                                    "--log-bytes-max",
                                    "8M",
                                    "--cache-bytes",
                                    "2M",
                                    NULL};

struct load;

struct write {
    struct load *load;
    uint64_t number; /* 0: free */
    uint32_t key;
};

struct load {
    struct oracle oracle;
    struct server server;
    torc_client *client;
    struct write writes[PIPELINE];
    uint64_t refusals;
    double flushes, compactions;
};

/* ---- writing ---- */

static void on_write(void *user, const struct torc_result *result)
{
    struct write *w = user;
    struct oracle *o = &w->load->oracle;
    switch (result->status) {
    case TORC_OK:
        oracle_acknowledge(o, w->key, w->number);
        break;
    case TORC_TIMEOUT:
    case TORC_DISCONNECTED:
    case TORC_CANCELLED:
    case TORC_UNKNOWN:
        oracle_lose(o, w->key, w->number);
        break;
    default:
        CU_ASSERT(result->status == TORC_OVERLOADED || result->status == TORC_CANNOT_CONNECT);
        w->load->refusals++;
        oracle_refuse(o, w->key, w->number);
    }
    w->number = 0;
}

static void start_write(struct load *l, struct write *w)
{
    char name[ORACLE_KEY_BYTES];
    uint8_t value[ORACLE_VALUE_BYTES_MAX];
    uint64_t random = oracle_random(&l->oracle);
    bool is_hot = random % 4 == 0, is_delete = random / 4 % 5 == 0;
    w->key = (uint32_t)(random / 64 % (is_hot ? 16 : KEYS));
    w->number = oracle_start(&l->oracle, w->key, is_delete);
    if (w->number == 0)
        return;
    oracle_key_name(w->key, name);
    size_t bytes = oracle_value(w->key, w->number, value);
    int rc = is_delete
                 ? torc_delete_async(l->client, torc_string(name), on_write, w)
                 : torc_put_async(l->client, torc_string(name), torc_bytes_of(value, bytes), 0, on_write, w);
    CU_ASSERT_EQUAL(rc, 0);
    if (rc) {
        oracle_refuse(&l->oracle, w->key, w->number);
        w->number = 0;
    }
}

static bool open_client(struct load *l)
{
    struct torc_options options = {.address = l->server.address, .connections_per_core = 3};
    int rc = torc_open(&options, &l->client);
    CU_ASSERT_EQUAL(rc, 0);
    return rc == 0;
}

/* Until so many more writes were acknowledged. Returns: false when it takes longer than a minute. */
static bool write_until(struct load *l, uint64_t acknowledged)
{
    uint64_t end_ms = process_clock_ms() + 60000;
    while (l->oracle.acknowledged_count < acknowledged) {
        for (size_t i = 0; i < PIPELINE; i++)
            if (l->writes[i].number == 0)
                start_write(l, &l->writes[i]);
        if (torc_poll(l->client, 1000) < 0 || process_clock_ms() > end_ms) {
            CU_FAIL("the server answers no more");
            return false;
        }
    }
    return true;
}

/* What was answered before the crash still counts; the rest is unknown. */
static void abandon(struct load *l)
{
    for (unsigned i = 0; i < 10000 && torc_poll(l->client, 0) > 0; i++) {
    }
    torc_close(l->client);
    for (size_t i = 0; i < PIPELINE; i++)
        CU_ASSERT_EQUAL(l->writes[i].number, 0);
}

/* ---- verifying ---- */

static bool verify_some(struct load *l, uint32_t first)
{
    static char names[MGET_COUNT][ORACLE_KEY_BYTES];
    static struct torc_value values[MGET_COUNT];
    torc_bytes keys[MGET_COUNT];
    for (uint32_t i = 0; i < MGET_COUNT; i++) {
        oracle_key_name(first + i, names[i]);
        keys[i] = torc_string(names[i]);
    }
    int rc = torc_mget(l->client, keys, MGET_COUNT, values);
    CU_ASSERT_EQUAL(rc, 0);
    bool is_right = rc == 0;
    for (uint32_t i = 0; i < MGET_COUNT && rc == 0; i++) {
        struct slice value = slice_of(values[i].data, values[i].bytes);
        is_right &= oracle_observe(&l->oracle, first + i, value);
    }
    torc_values_free(values, MGET_COUNT);
    return is_right;
}

/* Returns: KEYS when it is no key of the test's. */
static uint32_t key_number(torc_bytes key)
{
    char name[ORACLE_KEY_BYTES] = "";
    if (key.bytes != strlen("key-00000000"))
        return KEYS;
    memcpy(name, key.data, key.bytes);
    return (uint32_t)strtoul(name + 4, NULL, 10);
}

/* The scan sees what the gets saw, and nothing besides. */
static bool verify_scan(struct load *l)
{
    torc_scan *scan = NULL;
    struct torc_page all = {.limit = 0};
    struct torc_entry entry;
    static bool seen[KEYS];
    memset(seen, 0, sizeof seen);
    bool is_right = torc_scan_open(l->client, &all, &scan) == 0;
    int rc;
    while (is_right && (rc = torc_scan_next(scan, &entry)) != 0) {
        uint32_t key = rc == 1 ? key_number(entry.key) : KEYS;
        is_right = key < KEYS && !seen[key] &&
                   oracle_observe(&l->oracle, key, slice_of(entry.value.data, entry.value.bytes));
        if (key < KEYS)
            seen[key] = true;
    }
    for (uint32_t i = 0; i < KEYS && is_right; i++)
        is_right = seen[i] || oracle_observe(&l->oracle, i, slice_of(NULL, 0));
    torc_scan_close(scan);
    return is_right;
}

static bool verify(struct load *l)
{
    bool is_right = open_client(l);
    for (uint32_t i = 0; i < KEYS && is_right; i += MGET_COUNT)
        is_right = verify_some(l, i);
    is_right = is_right && verify_scan(l);
    torc_close(l->client);
    CU_ASSERT(is_right);
    if (l->oracle.problem[0])
        printf("\n    %s\n", l->oracle.problem);
    return is_right && server_counter(&l->server, "engine", "corruptions") == 0;
}

/* ---- rounds ---- */

/* Some rounds are cut off in the middle of the recovery, too. */
static bool restart(struct load *l, unsigned round)
{
    for (unsigned i = 0; i < round % 3; i++) {
        struct server early = l->server;
        if (!server_launch(&early))
            return false;
        process_wait(&early.process, (int)(oracle_random(&l->oracle) % 12));
        server_crash(&early);
    }
    return server_start(&l->server);
}

static bool run_round(struct load *l, unsigned round)
{
    if (!restart(l, round) || !verify(l) || !open_client(l))
        return false;
    uint64_t acks = ACKS_MIN + oracle_random(&l->oracle) % ACKS_SPREAD;
    uint64_t last = l->oracle.acknowledged_count + acks;
    bool is_good = write_until(l, last - acks / 4);
    l->flushes += server_counter(&l->server, "engine", "flushes");
    l->compactions += server_counter(&l->server, "engine", "compactions");
    is_good = is_good && write_until(l, last);
    server_crash(&l->server);
    abandon(l);
    return is_good;
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

TEST(nothing_acknowledged_is_lost_when_the_server_is_killed_again_and_again)
{
    struct load *l = calloc(1, sizeof *l);
    ASSERT(l);
    oracle_init(&l->oracle, KEYS, number_from_environment("TEST_SEED", 20260301));
    uint64_t rounds = number_from_environment("TEST_ROUNDS", ROUNDS);
    server_init(&l->server, NULL, small);
    for (size_t i = 0; i < PIPELINE; i++)
        l->writes[i].load = l;
    uint64_t from_ms = process_clock_ms();
    unsigned round = 0;
    while (round < rounds && run_round(l, round))
        round++;
    CU_ASSERT_EQUAL(round, rounds);
    if (round == rounds && server_start(&l->server)) {
        CU_ASSERT(verify(l));
        server_stop(&l->server);
    }
    process_kill(&l->server.process);
    CU_ASSERT(l->flushes > 0);
    CU_ASSERT(l->compactions > 0);
    printf("\n    %u kills, %llu writes acknowledged, %llu refused, %.0f flushes, %.0f compactions, %.1f s ",
           round, (unsigned long long)l->oracle.acknowledged_count, (unsigned long long)l->refusals,
           l->flushes, l->compactions, (double)(process_clock_ms() - from_ms) / 1000);
    oracle_deinit(&l->oracle);
    free(l);
}
