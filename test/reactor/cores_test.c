/* cores_test.c - several cores in one process: messages, memory and connections that change hands. */
#include "test/test.h"

#include <string.h>

static const uint64_t SECOND = 1000 * 1000 * 1000;
static const uint64_t PATIENCE = 20 * SECOND;

enum kind { KIND_NUMBER = 1, KIND_MEMORY, KIND_CONNECTION, KIND_STOP, KIND_ANSWER };

static void run_on_cores(unsigned count, unsigned capacity, reactor_main_fn *main, void *context)
{
    char why[256] = "";
    struct reactor_options options = {.core_count = count, .first_cpu = -1, .channel_capacity = capacity};
    CU_ASSERT_EQUAL(reactor_run(&options, main, context, why, sizeof why), 0);
    CU_ASSERT_STRING_EQUAL(why, "");
}

/* Waits: until the channel takes it. */
static void send_patiently(struct reactor *r, unsigned core, struct message m)
{
    uint64_t start = reactor_clock_ns(r);
    while (!channel_send(r, core, &m)) {
        task_yield(r);
        ASSERT(reactor_clock_ns(r) - start < PATIENCE);
    }
}

/* ---- order, full channels ---- */

enum { NUMBERS = 50000 };

struct stream {
    struct reactor *reactor;
    uint64_t next[4]; /* by sender */
    unsigned stops;
    unsigned out_of_order;
    unsigned refused;
};

struct streams {
    struct stream cores[4];
    unsigned senders_to_each;
};

/* A core ends when all others have sent all to it and it has sent all to them. */
static void count_stop(struct stream *s)
{
    if (--s->stops == 0)
        reactor_stop(s->reactor);
}

static void stream_on_message(void *context, const struct message *m)
{
    struct stream *s = context;
    if (m->kind == KIND_STOP) {
        count_stop(s);
        return;
    }
    s->out_of_order += m->word != s->next[m->from]++;
}

static void stream_to(struct reactor *r, struct stream *s, unsigned target)
{
    for (uint64_t i = 0; i < NUMBERS; i++) {
        struct message m = {.kind = KIND_NUMBER, .word = i, .from = 77};
        if (!channel_send(r, target, &m)) {
            s->refused++;
            send_patiently(r, target, m);
        }
    }
    send_patiently(r, target, (struct message){.kind = KIND_STOP});
}

static int stream_main(struct reactor *r, void *context)
{
    struct streams *all = context;
    struct stream *s = &all->cores[reactor_core(r)];
    s->reactor = r;
    s->stops = reactor_core_count(r);
    reactor_set_message_handler(r, stream_on_message, s);
    for (unsigned i = 0; i < reactor_core_count(r); i++)
        if (i != reactor_core(r))
            stream_to(r, s, i);
    count_stop(s);
    return 0;
}

static void check_streams(unsigned cores, unsigned capacity)
{
    struct streams all = {0};
    unsigned refused = 0;
    run_on_cores(cores, capacity, stream_main, &all);
    for (unsigned to = 0; to < cores; to++) {
        CU_ASSERT_EQUAL(all.cores[to].out_of_order, 0);
        refused += all.cores[to].refused;
        for (unsigned from = 0; from < cores; from++)
            CU_ASSERT_EQUAL(all.cores[to].next[from], from == to ? 0 : NUMBERS);
    }
    CU_ASSERT(refused > 0);
}

TEST(messages_between_two_cores_keep_their_order_through_a_full_channel)
{
    check_streams(2, 16);
}

TEST(messages_among_four_cores_keep_their_order_per_pair)
{
    check_streams(4, 64);
}

static int overfill_main(struct reactor *r, void *context)
{
    unsigned *sent = context;
    struct message m = {.kind = KIND_NUMBER};
    if (reactor_core(r) == 0)
        while (channel_send(r, 1, &m))
            ++*sent;
    reactor_stop(r);
    return 0;
}

TEST(a_channel_takes_as_many_as_it_says_and_then_refuses)
{
    unsigned sent = 0;
    run_on_cores(2, 32, overfill_main, &sent);
    CU_ASSERT_EQUAL(sent, 32);
}

/* ---- waking, and memory that changes hands ---- */

enum { ROUNDS = 3000, BLOCK_BYTES = 300 };

struct exchange {
    struct reactor *reactor;
    struct event answered;
    void *answer;
};

struct exchanges {
    struct exchange sides[2];
    uint64_t wakeups;
    uint64_t heap_grown;
    uint64_t sleeps;
};

static void exchange_on_message(void *context, const struct message *m)
{
    struct exchange *x = context;
    if (m->kind == KIND_STOP) {
        reactor_stop(x->reactor);
    } else if (m->kind == KIND_ANSWER) {
        x->answer = m->payload;
        event_set(x->reactor, &x->answered, 0);
    } else {
        char *fresh = reactor_alloc(x->reactor, BLOCK_BYTES);
        memcpy(fresh, m->payload, BLOCK_BYTES);
        reactor_free(x->reactor, m->payload); /* of the other core's heap */
        fresh[0]++;
        CU_ASSERT(
            channel_send(x->reactor, m->from, &(struct message){.kind = KIND_ANSWER, .payload = fresh}));
    }
}

static int exchange_main(struct reactor *r, void *context)
{
    struct exchanges *all = context;
    struct exchange *x = &all->sides[reactor_core(r)];
    x->reactor = r;
    reactor_set_message_handler(r, exchange_on_message, x);
    if (reactor_core(r) == 1)
        return 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char *block = reactor_alloc(r, BLOCK_BYTES);
        memset(block, (int)(i % 100), BLOCK_BYTES);
        send_patiently(r, 1, (struct message){.kind = KIND_MEMORY, .payload = block});
        if (event_wait(r, &x->answered, PATIENCE))
            return TORC_E_TIMEOUT;
        char *answer = x->answer;
        if (answer[0] != (char)(i % 100 + 1) || answer[BLOCK_BYTES - 1] != (char)(i % 100))
            return TORC_E_CORRUPT;
        reactor_free(r, answer);
    }
    all->wakeups = reactor_counters(r).wakeups_sent;
    all->sleeps = reactor_counters(r).sleeps;
    send_patiently(r, 1, (struct message){.kind = KIND_STOP});
    reactor_stop(r);
    return 0;
}

TEST(a_sleeping_core_is_woken_and_memory_is_freed_where_it_ends_up)
{
    static struct exchanges all;
    memset(&all, 0, sizeof all);
    run_on_cores(2, 0, exchange_main, &all);
    CU_ASSERT(all.wakeups > 0 && all.wakeups <= ROUNDS);
    CU_ASSERT(all.sleeps > 0);
}

/* ---- a connection that changes cores ---- */

enum { GREETING = 6, BODY = 1 << 20 };

struct relay {
    struct reactor *reactors[2];
    struct socket *server; /* first on core 0, then on core 1 */
    struct socket *client;
    uint8_t *sent;
    size_t server_got;
    size_t client_got;
    unsigned mismatches;
    bool discards;
    struct event client_done;
    struct event client_sent;
    struct event detached; /* until then bytes may still come on core 0 */
};

static void relay_detached(void *owner, int64_t handle)
{
    struct relay *y = owner;
    CU_ASSERT_FATAL(handle > 0);
    y->server = NULL;
    struct message m = {.kind = KIND_CONNECTION, .word = (uint64_t)handle};
    CU_ASSERT(channel_send(y->reactors[0], 1, &m));
    event_set(y->reactors[0], &y->detached, 0);
}

static void hello_on_data(void *owner, struct slice bytes)
{
    struct relay *y = owner;
    CU_ASSERT(slice_equal(bytes, slice_of_string("hello\n")));
    socket_detach(y->server, relay_detached);
}

static void relay_on_accept(void *context, struct socket *s)
{
    static const struct socket_handlers handlers = {hello_on_data, NULL, NULL};
    struct relay *y = context;
    y->server = s;
    socket_start(s, &handlers, y);
}

static void body_on_data(void *owner, struct slice bytes)
{
    struct relay *y = owner;
    y->mismatches += memcmp(bytes.data, y->sent + y->server_got, bytes.bytes) != 0;
    y->server_got += bytes.bytes;
    if (y->server_got == BODY)
        socket_send(y->server, &(struct slice){(const uint8_t *)"done", 4}, 1);
}

static void body_on_end(void *owner, int reason)
{
    struct relay *y = owner;
    CU_ASSERT_EQUAL(reason, TORC_E_CLOSED);
    socket_close(y->server, NULL);
    reactor_stop(y->reactors[1]);
}

static void relay_on_message(void *context, const struct message *m)
{
    static const struct socket_handlers handlers = {body_on_data, NULL, body_on_end};
    struct relay *y = context;
    if (y->discards) {
        socket_discard_handle(y->reactors[1], (int64_t)m->word);
        reactor_stop(y->reactors[1]);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(socket_attach(y->reactors[1], (int64_t)m->word, &y->server), 0);
    socket_start(y->server, &handlers, y);
}

static void client_on_data(void *owner, struct slice bytes)
{
    struct relay *y = owner;
    y->client_got += bytes.bytes;
    if (y->client_got == 4)
        event_set(y->reactors[0], &y->client_done, 0);
}

static void client_on_sent(void *owner, int result)
{
    struct relay *y = owner;
    event_set(y->reactors[0], &y->client_sent, result);
}

static void client_on_end(void *owner, int reason)
{
    struct relay *y = owner;
    event_set(y->reactors[0], &y->client_done, reason);
}

static int client_send(struct relay *y, const void *bytes, size_t count)
{
    struct slice part = slice_of(bytes, count);
    socket_send(y->client, &part, 1);
    return event_wait(y->reactors[0], &y->client_sent, PATIENCE);
}

static int relay_main(struct reactor *r, void *context)
{
    static const struct socket_handlers handlers = {client_on_data, client_on_sent, client_on_end};
    struct relay *y = context;
    struct address address = {.host = "127.0.0.1"};
    struct listener *listener;
    y->reactors[reactor_core(r)] = r;
    if (reactor_core(r) == 1) {
        reactor_set_message_handler(r, relay_on_message, y);
        return 0;
    }
    int rc = socket_listen(r, &address, 16, relay_on_accept, y, &listener);
    address.port = rc ? 0 : listener_port(listener);
    if (rc == 0)
        rc = socket_connect(r, &address, PATIENCE, &y->client);
    if (rc)
        return rc;
    socket_start(y->client, &handlers, y);
    rc = client_send(y, "hello\n", GREETING);
    if (rc == 0)
        rc = event_wait(r, &y->detached, PATIENCE);
    if (rc == 0 && !y->discards)
        rc = client_send(y, y->sent, BODY);
    int ended = rc ? rc : event_wait(r, &y->client_done, PATIENCE);
    CU_ASSERT_EQUAL(ended, y->discards ? TORC_E_CLOSED : 0);
    socket_close(y->client, NULL);
    task_yield(r);
    reactor_stop(r);
    return rc;
}

static void run_relay(bool discards)
{
    static uint8_t body[BODY];
    struct relay y = {.sent = body, .discards = discards};
    for (size_t i = 0; i < BODY; i++)
        body[i] = (uint8_t)((i * 2654435761u) >> 9);
    run_on_cores(2, 0, relay_main, &y);
    CU_ASSERT_EQUAL(y.server_got, discards ? 0 : BODY);
    CU_ASSERT_EQUAL(y.client_got, discards ? 0 : 4);
    CU_ASSERT_EQUAL(y.mismatches, 0);
}

TEST(a_connection_is_handed_to_another_core_and_loses_no_byte)
{
    run_relay(false);
}

TEST(a_discarded_handle_closes_its_connection)
{
    run_relay(true);
}

/* ---- detaching on one core ---- */

struct detaching {
    struct reactor *reactor;
    struct socket *socket;
    int64_t answer;
    struct event came;
    struct event detached;
    struct event data;
};

static void detaching_on_accept(void *context, struct socket *s)
{
    struct detaching *d = context;
    d->socket = s;
    event_set(d->reactor, &d->came, 0);
}

static void detaching_on_data(void *owner, struct slice bytes)
{
    struct detaching *d = owner;
    event_set(d->reactor, &d->data, (int)bytes.bytes);
}

static void detaching_done(void *owner, int64_t handle_or_error)
{
    struct detaching *d = owner;
    d->answer = handle_or_error;
    event_set(d->reactor, &d->detached, 0);
}

TEST_IN_REACTOR(detach_works_paused_and_reports_a_connection_that_ended)
{
    static const struct socket_handlers handlers = {detaching_on_data, NULL, NULL};
    struct address address = {.host = "127.0.0.1"};
    struct detaching d = {.reactor = r};
    struct listener *listener;
    struct socket *client;
    CU_ASSERT_EQUAL_FATAL(socket_listen(r, &address, 16, detaching_on_accept, &d, &listener), 0);
    address.port = listener_port(listener);
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &address, PATIENCE, &client), 0);
    CU_ASSERT_EQUAL_FATAL(event_wait(r, &d.came, PATIENCE), 0);
    socket_start(d.socket, &handlers, &d);
    socket_pause(d.socket);
    task_sleep(r, SECOND / 1000);
    for (int i = 0; i < 3; i++) {
        socket_detach(d.socket, detaching_done);
        CU_ASSERT_FALSE(d.detached.is_set);
        CU_ASSERT_EQUAL(event_wait(r, &d.detached, PATIENCE), 0);
        CU_ASSERT_FATAL(d.answer > 0);
        CU_ASSERT_EQUAL(socket_attach(r, d.answer, &d.socket), 0);
        socket_start(d.socket, &handlers, &d);
    }
    socket_send(client, &(struct slice){(const uint8_t *)"xyz", 3}, 1);
    CU_ASSERT_EQUAL(event_wait(r, &d.data, PATIENCE), 3);
    socket_close(client, NULL);
    task_sleep(r, SECOND / 100);
    socket_detach(d.socket, detaching_done);
    CU_ASSERT_EQUAL(event_wait(r, &d.detached, PATIENCE), 0);
    CU_ASSERT_EQUAL(d.answer, TORC_E_CLOSED);
}

/* ---- stopping ---- */

static int fail_on_core_2(struct reactor *r, void *context)
{
    struct event never;
    (void)context;
    event_init(&never);
    if (reactor_core(r) == 2)
        return TORC_E_CORRUPT;
    return event_wait(r, &never, reactor_core(r) == 0 ? EVENT_FOREVER : PATIENCE);
}

TEST(one_core_that_fails_stops_the_others_however_deep_they_sleep)
{
    char why[256] = "";
    struct reactor_options options = {.core_count = 3, .first_cpu = -1};
    CU_ASSERT_EQUAL(reactor_run(&options, fail_on_core_2, NULL, why, sizeof why), TORC_E_CORRUPT);
    CU_ASSERT_STRING_EQUAL(why, error_sentence(TORC_E_CORRUPT));
}
