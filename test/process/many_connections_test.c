/* many_connections_test.c - ten thousand connections at once, and what an idle one costs. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    CONNECTIONS = 10000,
    WARM_CONNECTIONS = 1000,
    SPARE_DESCRIPTORS = 500,
    BYTES_PER_CONNECTION_MAX = 1024,
    KEY_BYTES = 32
};

static const char *const two_cores[] = {"--cores", "2", "--segment-bytes", "4M", NULL};

static bool raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < CONNECTIONS + SPARE_DESCRIPTORS)
        return false;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static struct slice key_of(char text[KEY_BYTES], unsigned n)
{
    snprintf(text, KEY_BYTES, "connection-%u", n);
    return slice_of_string(text);
}

/* One request on every connection, and only then the answers. */
static void ask_all(struct raw *raws, unsigned count, uint8_t op)
{
    unsigned right = 0;
    char key[KEY_BYTES];
    for (unsigned i = 0; i < count; i++) {
        struct raw_request request = {.op = op, .key = key_of(key, i)};
        if (op == FRAME_PUT)
            request.value = request.key;
        CU_ASSERT(raw_request(&raws[i], &request));
    }
    for (unsigned i = 0; i < count; i++) {
        struct frame answer;
        struct raw_request request = {.op = op, .key = key_of(key, i)};
        right += raw_receive(&raws[i], &answer) == 0 && answer.flags == 0 &&
                 raw_is_answer(&request, &answer) &&
                 (op == FRAME_PUT || slice_equal(answer.value, request.key));
    }
    CU_ASSERT_EQUAL(right, count);
}

static unsigned open_all(const struct server *s, struct raw *raws, unsigned count)
{
    unsigned open = 0;
    while (open < count && raw_connect(&raws[open], s->port, (uint16_t)(open % 2)))
        open++;
    CU_ASSERT_EQUAL(open, count);
    return open;
}

static void close_all(const struct server *s, struct raw *raws, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        raw_close(&raws[i]);
    uint64_t end_ms = process_clock_ms() + 10000;
    double left;
    while ((left = server_counter(s, "server", "connections")) > 1 && process_clock_ms() < end_ms) {
    }
    CU_ASSERT_EQUAL(left, 1);
}

/* Memory that is neither data nor of the log, whose buffers grow in number while the disk is slow, once the
 * buffers of the last burst are given back: the server looks at them once a second, and what nobody needed
 * between two looks goes. */
static double own_bytes(struct server *s)
{
    double from = server_counter(s, "server", "uptime_seconds");
    uint64_t end_ms = process_clock_ms() + 20000;
    while (server_counter(s, "server", "uptime_seconds") < from + 3 && process_clock_ms() < end_ms)
        CU_ASSERT_FALSE(process_wait(&s->process, 100));
    return server_counter(s, "memory", "heap_bytes") - server_counter(s, "memory", "memtable_bytes") -
           server_counter(s, "memory", "log_buffer_bytes");
}

TEST(ten_thousand_connections_are_served_and_cost_little_when_idle)
{
    struct server s;
    if (!raise_limit()) {
        printf("\n    SKIPPED: fewer than %u open files are allowed; raise the hard limit of RLIMIT_NOFILE ",
               CONNECTIONS + SPARE_DESCRIPTORS);
        return;
    }
    server_init(&s, NULL, two_cores);
    struct raw *raws = calloc(CONNECTIONS, sizeof *raws);
    ASSERT(raws);
    if (!server_start(&s))
        return;
    /* What each core needs whoever is connected: buffers of the log, of the channels, of sends. */
    unsigned open = open_all(&s, raws, WARM_CONNECTIONS);
    ask_all(raws, open, FRAME_PUT);
    ask_all(raws, open, FRAME_GET);
    close_all(&s, raws, open);
    double before = own_bytes(&s);
    open = open_all(&s, raws, CONNECTIONS);
    CU_ASSERT_EQUAL(server_counter(&s, "server", "connections"), open + 1);
    double fresh = (own_bytes(&s) - before) / CONNECTIONS;
    ask_all(raws, open, FRAME_PUT);
    ask_all(raws, open, FRAME_GET);
    double used = (own_bytes(&s) - before) / CONNECTIONS;
    CU_ASSERT(fresh > 0 && fresh < BYTES_PER_CONNECTION_MAX);
    CU_ASSERT(used > 0 && used < BYTES_PER_CONNECTION_MAX);
    printf("\n    an idle connection takes %.0f bytes when it is new, %.0f after all were used at once ",
           fresh, used);
    close_all(&s, raws, open);
    free(raws);
    server_stop(&s);
}
