/* slow_reader_test.c - a client that asks for much and reads nothing costs the server little, and the
 * others nothing. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    VALUE_BYTES = 100000,
    READERS = 8,
    GETS = 20000, /* of 100 KB each, per reader: 2 GB of answers */
    /* A connection may have 1 MiB unsent and 128 reads at another core, here of 100 KB: 14 MB for each
     * reader. */
    MEMORY_BYTES_MAX = READERS * 16 << 20,
};

static uint8_t value[VALUE_BYTES];

static bool begin(struct server *s, struct raw *other, const char *const *arguments)
{
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(i * 13 + i / 256);
    server_init(s, NULL, arguments);
    return server_start(s) && raw_connect(other, s->port, 0) &&
           raw_put(other, slice_of_string("large"), slice_of(value, sizeof value)) == 0 &&
           raw_put(other, slice_of_string("far"), slice_of(value, sizeof value)) == 0; /* on the other core */
}

static double resident_bytes(const struct server *s)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)s->process.pid);
    char *text = process_read_file(path, NULL);
    const char *at = strstr(text, "VmRSS:");
    double bytes = at ? (double)strtoull(at + 6, NULL, 10) * 1024 : 0;
    free(text);
    CU_ASSERT(bytes > 0);
    return bytes;
}

/* Asks until the server takes no more, `count` times at most. Returns: how many requests went out whole. */
static unsigned ask(struct raw *raw, const char *key, unsigned count)
{
    uint8_t frame[64];
    unsigned asked = 0;
    for (; asked < count; asked++) {
        struct raw_request get = {.op = FRAME_GET, .key = slice_of_string(key), .id = asked + 1};
        size_t bytes = raw_encode(raw, &get, frame);
        ssize_t sent = send(raw->fd, frame, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent != (ssize_t)bytes) {
            CU_ASSERT(sent < 0 && errno == EAGAIN);
            break;
        }
    }
    return asked;
}

static bool counter_reaches(const struct server *s, const char *section, const char *name, double value_min)
{
    uint64_t end_ms = process_clock_ms() + 15000;
    double found;
    while ((found = server_counter(s, section, name)) < value_min && found >= 0 &&
           process_clock_ms() < end_ms) {
    }
    return found >= value_min;
}

TEST(clients_that_read_nothing_cost_little_and_are_closed)
{
    static const char *const hasty[] = {"--cores", "2", "--segment-bytes", "4M", "--write-timeout",
                                        "1s",      NULL};
    struct server s;
    struct raw other, slow[READERS];
    if (!begin(&s, &other, hasty))
        return;
    double heap = server_counter(&s, "memory", "heap_bytes"), resident = resident_bytes(&s);
    unsigned asked = 0;
    for (unsigned i = 0; i < READERS; i++)
        if (raw_connect(&slow[i], s.port, (uint16_t)(i % 2)))
            asked += ask(&slow[i], i % 4 < 2 ? "large" : "far", GETS);
    CU_ASSERT(counter_reaches(&s, "operations", "pauses", READERS));
    double heap_more = 0, resident_more = 0;
    uint64_t slowest_ms = 0;
    for (unsigned i = 0; i < 200; i++) { /* the others are served, and memory stays where it is */
        uint64_t from_ms = process_clock_ms();
        CU_ASSERT_EQUAL(raw_get_expect(&other, slice_of_string("large"), slice_of(value, sizeof value)), 0);
        CU_ASSERT_EQUAL(raw_put(&other, slice_of_string("small"), slice_of_string("x")), 0);
        uint64_t took_ms = process_clock_ms() - from_ms;
        slowest_ms = took_ms > slowest_ms ? took_ms : slowest_ms;
        double now = server_counter(&s, "memory", "heap_bytes") - heap;
        heap_more = now > heap_more ? now : heap_more;
        now = resident_bytes(&s) - resident;
        resident_more = now > resident_more ? now : resident_more;
    }
    CU_ASSERT(heap_more < MEMORY_BYTES_MAX);
    CU_ASSERT(resident_more < 4.0 * MEMORY_BYTES_MAX); /* a server under a sanitizer keeps what it freed */
    CU_ASSERT(slowest_ms < 1000);
    for (unsigned i = 0; i < READERS; i++) {
        struct pollfd end = {.fd = slow[i].fd, .events = POLLRDHUP};
        CU_ASSERT_EQUAL(poll(&end, 1, 10000), 1);
        raw_close(&slow[i]);
    }
    CU_ASSERT_EQUAL(server_counter(&s, "server", "connections_closed_stuck"), READERS);
    CU_ASSERT_EQUAL(server_counter(&s, "memory", "output_bytes") < 1 << 20, true);
    printf("\n    %u gets asked for, %.1f MB of heap and %.1f MB resident more, others at most %llu ms ",
           asked, heap_more / 1e6, resident_more / 1e6, (unsigned long long)slowest_ms);
    CU_ASSERT_EQUAL(raw_ping(&other), 0);
    raw_close(&other);
    server_stop(&s);
}

static void read_on(struct raw *raw, unsigned count)
{
    static bool was_answered[GETS];
    memset(was_answered, 0, sizeof was_answered);
    struct raw_request get = {.op = FRAME_GET, .key = slice_of_string("large")};
    unsigned right = 0;
    for (unsigned i = 0; i < count; i++) {
        struct frame answer;
        if (raw_receive(raw, &answer) != 0)
            break;
        uint64_t index = answer.request_id - 1;
        right += index < count && !was_answered[index] && raw_is_answer(&get, &answer) &&
                 slice_equal(answer.value, slice_of(value, sizeof value));
        if (index < count)
            was_answered[index] = true;
    }
    CU_ASSERT_EQUAL(right, count);
}

/* Less than the server sends at once within the time after which it closes one that reads nothing. */
TEST(a_client_that_reads_slowly_all_the_time_is_not_closed)
{
    static const char *const hasty[] = {"--cores", "1", "--segment-bytes", "4M", "--write-timeout",
                                        "1s",      NULL};
    enum { ASKED = 100, PIECE_BYTES = 64 * 1024, PAUSE_MS = 100, READS_MS = 4000 };
    static uint8_t piece[PIECE_BYTES];
    struct server s;
    struct raw other, slow;
    if (!begin(&s, &other, hasty) || !raw_connect(&slow, s.port, 0))
        return;
    CU_ASSERT_EQUAL(setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &(int){PIECE_BYTES / 2}, sizeof(int)), 0);
    CU_ASSERT_EQUAL(ask(&slow, "large", ASKED), ASKED);
    uint64_t end_ms = process_clock_ms() + READS_MS;
    ssize_t bytes = 1;
    while (bytes > 0 && process_clock_ms() < end_ms) {
        bytes = recv(slow.fd, piece, sizeof piece, 0);
        poll(NULL, 0, PAUSE_MS);
    }
    CU_ASSERT(bytes > 0);
    CU_ASSERT_EQUAL(server_counter(&s, "server", "connections_closed_stuck"), 0);
    raw_close(&slow);
    raw_close(&other);
    server_stop(&s);
}

/* ---- slow readers that hold all there is for answers ---- */

enum { CROWD = 12, SIP_BYTES = 4096, SIPS_EVERY_MS = 50, SERVED_MS = 10000 };

/* Each takes a little. */
static void sip(struct raw *slow)
{
    static uint8_t piece[SIP_BYTES];
    poll(NULL, 0, SIPS_EVERY_MS);
    for (unsigned i = 0; i < CROWD; i++)
        (void)!recv(slow[i].fd, piece, sizeof piece, MSG_DONTWAIT);
}

/* Asks again and again while the slow ones read slowly. Returns: whether it had an answer. */
static bool is_served(struct raw *other, struct raw *slow, uint64_t time_ms)
{
    struct raw_request get = {.op = FRAME_GET, .key = slice_of_string("large")};
    struct frame answer = {.flags = 1};
    for (uint64_t end_ms = process_clock_ms() + time_ms; process_clock_ms() < end_ms;) {
        struct pollfd readable = {.fd = other->fd, .events = POLLIN};
        CU_ASSERT(raw_request(other, &get));
        while (poll(&readable, 1, 0) == 0 && process_clock_ms() < end_ms)
            sip(slow);
        if (poll(&readable, 1, 0) == 1 && raw_receive(other, &answer) == 0 && answer.flags == 0)
            return true;
    }
    return false;
}

TEST(clients_that_read_slowly_make_way_for_others)
{
    static const char *const small[] = {"--cores",         "1",  "--memory", "64M", "--segment-bytes", "4M",
                                        "--write-timeout", "4s", NULL};
    struct server s;
    struct raw other, slow[CROWD];
    if (!begin(&s, &other, small))
        return;
    for (unsigned i = 0; i < CROWD; i++) {
        if (!raw_connect(&slow[i], s.port, 0))
            return;
        CU_ASSERT_EQUAL(setsockopt(slow[i].fd, SOL_SOCKET, SO_RCVBUF, &(int){4 * SIP_BYTES}, sizeof(int)), 0);
    }
    for (unsigned i = 0; i < CROWD; i++)
        CU_ASSERT_EQUAL(ask(&slow[i], "large", 200), 200);
    for (unsigned i = 0; i < 1000 / SIPS_EVERY_MS; i++)
        sip(slow);
    uint64_t begin_ms = process_clock_ms();
    CU_ASSERT(is_served(&other, slow, SERVED_MS)); /* the first one, as a rule, comes too late */
    printf("\n    others after %llu ms ", (unsigned long long)(process_clock_ms() - begin_ms));
    for (unsigned i = 0; i < CROWD; i++)
        raw_close(&slow[i]);
    CU_ASSERT(server_counter(&s, "server", "connections_closed_slow") > 0);
    raw_close(&other);
    server_stop(&s);
}

TEST(a_client_that_reads_on_gets_everything_it_asked_for)
{
    static const char *const patient[] = {"--cores", "2", "--segment-bytes", "4M", NULL};
    struct server s;
    struct raw other, slow;
    if (!begin(&s, &other, patient))
        return;
    for (uint16_t core = 0; core < 2; core++) { /* once at the key's own core, once through the other */
        double pauses = server_counter(&s, "operations", "pauses");
        if (!raw_connect(&slow, s.port, core))
            break;
        unsigned asked = ask(&slow, "large", 2000);
        CU_ASSERT(asked > 500);
        CU_ASSERT(counter_reaches(&s, "operations", "pauses", pauses + 1));
        read_on(&slow, asked);
        CU_ASSERT_EQUAL(raw_get_expect(&slow, slice_of_string("large"), slice_of(value, sizeof value)), 0);
        raw_close(&slow);
    }
    CU_ASSERT_EQUAL(server_counter(&s, "server", "connections_closed_stuck"), 0);
    raw_close(&other);
    server_stop(&s);
}
