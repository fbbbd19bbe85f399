/* client.c - a client: opening, the poll that drives everything, time, closing.
 *
 * One poll: read the clock once, send what has gathered (one call a connection), end what is late, wait
 * for the sockets, receive and call back. What the callbacks start is sent by the next poll, so it goes
 * out together. */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    WAITING_LOOK_MS = 10,
    EVENTS_MAX = 64,     /* sockets looked at in one wait */
    IDLE_LOOK_MS = 1000, /* after such a pause the sockets are looked at first: closed? answered? */
};

static uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t client_random(struct torc_client *client, uint64_t bound)
{
    ASSERT(bound > 0);
    client->random_state += 0x9e3779b97f4a7c15u; /* SplitMix64, https://prng.di.unimi.it/splitmix64.c */
    uint64_t x = client->random_state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % bound;
}

void client_set_problem(struct torc_client *client, const char *what, int code)
{
    snprintf(client->problem, sizeof client->problem, "%s %s: %s", what, client->addresses.text,
             error_sentence(code));
}

/* ---- opening ---- */

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

static int take_settings(struct torc_client *client, const struct torc_options *given)
{
    struct torc_options *s = &client->settings;
    *s = given ? *given : (struct torc_options){0};
    s->address = s->address ? s->address : "127.0.0.1:7070";
    s->connect_timeout_ms = or_default(s->connect_timeout_ms, 5000);
    s->request_timeout_ms = or_default(s->request_timeout_ms, 5000);
    s->reconnect_min_ms = or_default(s->reconnect_min_ms, 10);
    s->reconnect_max_ms = or_default(s->reconnect_max_ms, 2000);
    s->connections_per_core = or_default(s->connections_per_core, 1);
    s->pipeline_max = or_default(s->pipeline_max, 1024);
    s->unsent_bytes_max = s->unsent_bytes_max ? s->unsent_bytes_max : (size_t)64 << 20;
    bool is_sound = s->connections_per_core <= CLIENT_CONNECTIONS_PER_CORE_MAX &&
                    s->pipeline_max <= CLIENT_PIPELINE_MAX && s->unsent_bytes_max >= (size_t)2 << 20 &&
                    s->connect_timeout_ms <= INT32_MAX && s->request_timeout_ms <= INT32_MAX &&
                    s->reconnect_min_ms <= s->reconnect_max_ms && s->reconnect_max_ms <= INT32_MAX;
    return is_sound ? 0 : TORC_CONFIGURATION;
}

static int init(struct torc_client *client)
{
    int rc = client_requests_init(&client->requests, client->settings.pipeline_max);
    if (rc != 0)
        return rc;
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll_fd < 0)
        return -errno;
    client->now_ms = clock_ms();
    if (getrandom(&client->random_state, sizeof client->random_state, GRND_NONBLOCK) < 0)
        client->random_state = client->now_ms ^ (uint64_t)getpid() << 32; /* it only spreads reconnections */
    client->empty_key_hash = checksum_bytes(NULL, 0);
    client->answering = UINT32_MAX;
    rc = client_init_topology(client);
    if (rc == 0)
        client_connection_upkeep(client->connections[0]);
    return rc;
}

int torc_open(const struct torc_options *options, torc_client **out)
{
    *out = NULL;
    struct torc_client *client = calloc(1, sizeof *client);
    if (!client)
        return TORC_NO_MEMORY;
    client->epoll_fd = -1;
    int rc = take_settings(client, options);
    if (rc == 0)
        rc = client_addresses_resolve(client->settings.address, &client->addresses);
    client->settings.address = NULL; /* the caller's text may go */
    if (rc == 0)
        rc = init(client);
    if (rc != 0) {
        torc_close(client);
        return rc;
    }
    *out = client;
    return 0;
}

void torc_close(torc_client *client)
{
    if (!client)
        return;
    ASSERT(!client->is_in_callback);
    client->is_closing = true; /* nothing new begins */
    for (uint32_t i = 0; i < client->connection_count; i++)
        if (client->connections[i]->state == CONNECTION_READY)
            client_connection_break(client->connections[i], TORC_CANCELLED);
    while (client->requests.in_flight > 0) /* what was never sent */
        client_fail(client, &client->requests.all[client->requests.oldest], TORC_CANCELLED);
    client_deinit_topology(client);
    client_requests_deinit(&client->requests);
    if (client->epoll_fd >= 0)
        close(client->epoll_fd);
    free(client);
}

/* ---- completing ---- */

void client_complete(struct torc_client *client, struct request *r, const struct torc_result *result)
{
    torc_done *done = r->done;
    void *user = r->user;
    client_requests_end(&client->requests, r);
    client->counters.completions++;
    if (!done)
        return;
    client->is_in_callback = true;
    done(user, result);
    client->is_in_callback = false;
}

void client_fail(struct torc_client *client, struct request *r, int code)
{
    struct torc_result result = {.status = code, .message = torc_string(error_sentence(code))};
    client_complete(client, r, &result);
}

void client_abandon(struct torc_client *client, const void *user)
{
    for (uint32_t i = 0; i < client->requests.capacity; i++)
        if (client->requests.all[i].state != REQUEST_FREE && client->requests.all[i].user == user)
            client->requests.all[i].done = NULL;
}

/* ---- time ---- */

static bool is_ready(const struct torc_client *client, const struct request *r)
{
    return client->connections[r->connection]->state == CONNECTION_READY;
}

/* Requests past request_timeout_ms. Returns: some had not been sent. */
static bool end_late_requests(struct torc_client *client)
{
    struct requests *requests = &client->requests;
    bool some_unsent = false;
    while (requests->oldest != REQUEST_NONE && requests->oldest != requests->first_unstamped) {
        struct request *r = &requests->all[requests->oldest];
        if ((uint32_t)client->now_ms - r->started_ms < client->settings.request_timeout_ms)
            break;
        bool was_sent = is_ready(client, r);
        some_unsent |= !was_sent;
        client->counters.timeouts += was_sent;
        client_fail(client, r, was_sent ? TORC_TIMEOUT : TORC_CANNOT_CONNECT);
    }
    return some_unsent;
}

/* Requests that have waited connect_timeout_ms for a connection. Returns: there were some. */
static bool end_waiting_requests(struct torc_client *client)
{
    struct requests *requests = &client->requests;
    bool some_unsent = false;
    uint32_t index = requests->oldest;
    while (index != REQUEST_NONE && index != requests->first_unstamped) {
        struct request *r = &requests->all[index];
        if ((uint32_t)client->now_ms - r->started_ms < client->settings.connect_timeout_ms)
            break;
        index = r->next;
        if (is_ready(client, r))
            continue;
        some_unsent = true;
        client_fail(client, r, TORC_CANNOT_CONNECT);
    }
    return some_unsent;
}

static void upkeep(struct torc_client *client)
{
    bool some_unsent = end_late_requests(client);
    if (client->unready_count == 0)
        return;
    some_unsent |= end_waiting_requests(client) || client->has_lost;
    client->has_lost = false;
    for (uint32_t i = 0; i < client->connection_count; i++) {
        struct connection *c = client->connections[i];
        if (some_unsent && c->state != CONNECTION_READY)
            client_refile(client, c); /* what was given up is never sent */
        client_connection_upkeep(c);
    }
}

static void tick(struct torc_client *client)
{
    client->now_ms = clock_ms();
    client_requests_stamp(&client->requests, (uint32_t)client->now_ms);
}

/* ---- polling ---- */

void torc_flush(torc_client *client)
{
    ASSERT(!client->is_in_callback);
    struct connection *c = client->dirty;
    client->dirty = NULL;
    while (c) { /* each connection once; what breaks meanwhile marks others for the next time */
        struct connection *next = c->next_dirty;
        c->is_dirty = false;
        if (c->state == CONNECTION_READY && !c->waits_for_room)
            client_connection_send(c);
        c = next;
    }
}

bool client_has_unsent(const struct torc_client *client)
{
    for (uint32_t i = 0; i < client->connection_count; i++)
        if (client_output_unsent_bytes(&client->connections[i]->output) > 0)
            return true;
    return false;
}

static int take_events(struct torc_client *client, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(client->epoll_fd, events, EVENTS_MAX, wait_ms);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)events[i].data.u64;
        uint32_t serial = (uint32_t)(events[i].data.u64 >> 32);
        if (index < client->connection_count && client->connections[index]->serial == serial)
            client_connection_on_event(client->connections[index], events[i].events);
    }
    return 0;
}

/* Milliseconds until something is due, at most `wait_ms` (-1: no bound): nothing is sent before. */
static int bounded_wait(const struct torc_client *client, uint64_t now_ms, int wait_ms)
{
    uint64_t due = client->dirty ? now_ms : UINT64_MAX;
    const struct requests *requests = &client->requests;
    uint32_t timeout = client->settings.request_timeout_ms;
    if (client->unready_count > 0) {
        if (timeout > client->settings.connect_timeout_ms)
            timeout = client->settings.connect_timeout_ms;
        for (uint32_t i = 0; i < client->connection_count; i++)
            if (client->connections[i]->state != CONNECTION_READY && client->connections[i]->due_ms < due)
                due = client->connections[i]->due_ms;
    }
    if (requests->oldest != REQUEST_NONE) {
        uint32_t age = (uint32_t)now_ms - requests->all[requests->oldest].started_ms;
        uint64_t end = age < timeout ? now_ms + (timeout - age) : now_ms;
        if (age >= timeout && age < client->settings.request_timeout_ms)
            end = now_ms +
                  WAITING_LOOK_MS; /* the oldest is under way; behind it some may wait for a connection */
        due = end < due ? end : due;
    }
    if (due == UINT64_MAX)
        return wait_ms;
    uint64_t wait = due > now_ms ? due - now_ms : 0;
    if (wait_ms >= 0 && wait > (uint64_t)wait_ms)
        return wait_ms;
    return wait > INT32_MAX ? INT32_MAX : (int)wait;
}

int torc_poll(torc_client *client, int timeout_ms)
{
    ASSERT(!client->is_in_callback);
    uint64_t completions = client->counters.completions;
    uint64_t last_ms = client->now_ms;
    tick(client);
    uint64_t end_ms = client->now_ms + (timeout_ms > 0 ? (uint64_t)timeout_ms : 0);
    uint64_t pause_ms = client->now_ms - last_ms;
    bool was_away = pause_ms > IDLE_LOOK_MS || pause_ms > client->settings.request_timeout_ms / 2;
    int rc = was_away ? take_events(client, 0) : 0;
    while (rc == 0) { /* until the time is over or something completes; each round waits */
        torc_flush(client);
        upkeep(client);
        bool may_wait = timeout_ms != 0 && client->counters.completions == completions;
        if (may_wait && timeout_ms < 0 && client->requests.in_flight == 0) {
            rc = client_has_unsent(client) ? take_events(client, WAITING_LOOK_MS) : 0;
            break;
        }
        int rest_ms = timeout_ms < 0 ? -1 : (int)(end_ms > client->now_ms ? end_ms - client->now_ms : 0);
        rc = take_events(client, may_wait ? bounded_wait(client, client->now_ms, rest_ms) : 0);
        if (!may_wait || client->counters.completions != completions)
            break;
        tick(client);
        if (timeout_ms > 0 && client->now_ms >= end_ms)
            break;
    }
    return rc != 0 ? rc : (int)(client->counters.completions - completions);
}

int torc_fd(const torc_client *client)
{
    return client->epoll_fd;
}

int torc_wait_ms(const torc_client *client)
{
    if (client->requests.first_unstamped != REQUEST_NONE)
        return 0;
    return bounded_wait(client, clock_ms(), -1);
}

int torc_connect(torc_client *client)
{
    tick(client);
    uint64_t end_ms = client->now_ms + client->settings.connect_timeout_ms;
    for (;;) { /* until connect_timeout_ms has passed */
        int rc = torc_poll(client, 0);
        if (rc < 0)
            return rc;
        if (client->unready_count == 0)
            return 0;
        if (client->refusal != 0)
            return client->refusal;
        if (client->now_ms >= end_ms)
            return TORC_CANNOT_CONNECT;
        rc = take_events(client, bounded_wait(client, client->now_ms, (int)(end_ms - client->now_ms)));
        if (rc < 0)
            return rc;
    }
}

/* ---- asking ---- */

const char *torc_problem(const torc_client *client)
{
    return client->problem;
}

const char *torc_message(const torc_client *client)
{
    return client->message;
}

uint32_t torc_core_count(const torc_client *client)
{
    return client->core_count;
}

uint32_t torc_core_of_key(const torc_client *client, torc_bytes key)
{
    if (client->core_count <= 1)
        return 0;
    uint16_t slot = key_slot(slice_of(key.data, key.bytes));
    return frame_core_of_slot(slot, client->vnode_bits, (uint16_t)client->core_count);
}

uint32_t torc_in_flight(const torc_client *client)
{
    return client->requests.in_flight;
}

void torc_count(const torc_client *client, struct torc_counters *out)
{
    *out = client->counters;
}

void torc_free(void *memory)
{
    free(memory);
}
