/* torc_driver.c - torc as a target, through libtorc's asynchronous calls: what is measured is what a program
 * gets.
 *
 * libtorc keeps up to 64 connections to each core of the server in one client and sends a request on one that
 * leads to the core of its key: the one whose answer made room for it, where that is such a one. So the
 * connections asked for are shared out among the server's cores, and when they are more than one client
 * takes, among several clients ("groups"), which one epoll waits for; connections * depth are in flight in
 * all.
 *
 * The clock is read at a poll's first reply and then at every 16th: a reply's time is exact to what 16
 * take. */
#include "bench/clock.h"
#include "bench/driver.h"
#include "client/torc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define MS_NS 1000000ull

enum {
    CONNECTIONS_PER_CORE_MAX = 64,
    CLOCK_EVERY = 16,
    TICK_MS = 10, /* each client is polled this often, for its timeouts */
    EVENTS_MAX = 256,
    PREFIX_BYTES_MAX = 32,
    PAGE_ENTRIES_MAX = 1000,
    EMPTY_PAGES_MAX = 20000, /* a scan that is not over by then never is: more than there are vnodes */
};

/* What a callback is given to find its slot. */
struct torc_slot {
    struct torc_driver *driver;
    uint32_t slot;
    uint32_t group;
};

/* A scan under way: pages follow until the limit or the end. */
struct torc_scan_state {
    uint8_t prefix[PREFIX_BYTES_MAX];
    uint32_t prefix_bytes;
    uint64_t left;
    uint64_t entries; /* that have come */
    uint32_t empty_pages;
};

struct group {
    torc_client *client;
    bool is_dirty; /* requests were started since its last poll */
};

struct torc_driver {
    struct driver head;
    struct driver_options options;
    uint32_t slot_count, group_count;
    struct group *groups;
    struct torc_slot *slots;
    struct torc_scan_state *scans; /* made with the first scan */
    int epoll_fd;
    uint32_t reply_count; /* in this poll */
    uint64_t now_ns;
    uint64_t tick_ns;
};

/* ---- replies ---- */

static uint64_t reply_time(struct torc_driver *t)
{
    if (t->reply_count++ % CLOCK_EVERY == 0)
        t->now_ns = clock_now_ns();
    return t->now_ns;
}

static void on_done(void *user, const struct torc_result *result)
{
    const struct torc_slot *s = user;
    struct torc_driver *t = s->driver;
    struct driver_reply reply = {
        .slot = s->slot,
        .code = result->status,
        .now_ns = reply_time(t),
        .value = slice_of(result->value.data, result->value.bytes),
    };
    t->options.on_reply(t->options.owner, &reply);
}

static int send_page(struct torc_driver *t, const struct torc_slot *s, torc_bytes cursor);

static uint32_t count_entries(torc_bytes page)
{
    struct torc_entry entry;
    uint32_t count = 0;
    while (count < TORC_SCAN_LIMIT_MAX && torc_entry_next(&page, &entry) == 1)
        count++;
    return count;
}

static void on_page(void *user, const struct torc_result *result)
{
    const struct torc_slot *s = user;
    struct torc_driver *t = s->driver;
    struct torc_scan_state *scan = &t->scans[s->slot];
    int code = result->status;
    if (code == 0) {
        uint32_t entries = count_entries(result->value);
        scan->left -= entries < scan->left ? entries : scan->left;
        scan->entries += entries;
        scan->empty_pages += entries == 0;
        bool is_over = scan->left == 0 || result->cursor.bytes == 0;
        if (!is_over && scan->empty_pages < EMPTY_PAGES_MAX) {
            code = send_page(t, s, result->cursor);
            if (code == 0)
                return;
        } else if (!is_over) {
            code = TORC_E_TIMEOUT;
        }
    }
    struct driver_reply reply = {.slot = s->slot,
                                 .code = code,
                                 .now_ns = reply_time(t),
                                 .entries = scan->entries};
    t->options.on_reply(t->options.owner, &reply);
}

/* ---- requests ---- */

static int send_page(struct torc_driver *t, const struct torc_slot *s, torc_bytes cursor)
{
    struct torc_scan_state *scan = &t->scans[s->slot];
    struct torc_page page = {
        .prefix = torc_bytes_of(scan->prefix, scan->prefix_bytes),
        .cursor = cursor,
        .limit = scan->left < PAGE_ENTRIES_MAX ? (uint32_t)scan->left : PAGE_ENTRIES_MAX,
    };
    t->groups[s->group].is_dirty = true;
    return torc_scan_async(t->groups[s->group].client, &page, on_page, &t->slots[s->slot]);
}

static int begin_scan(struct torc_driver *t, const struct torc_slot *s, const struct driver_request *q)
{
    ASSERT(q->key.bytes <= PREFIX_BYTES_MAX && q->limit > 0);
    if (!t->scans)
        t->scans = calloc(t->slot_count, sizeof t->scans[0]);
    if (!t->scans)
        return TORC_E_NO_MEMORY;
    struct torc_scan_state *scan = &t->scans[s->slot];
    *scan = (struct torc_scan_state){.prefix_bytes = (uint32_t)q->key.bytes, .left = q->limit};
    if (q->key.bytes)
        memcpy(scan->prefix, q->key.data, q->key.bytes);
    return send_page(t, s, torc_bytes_of(NULL, 0));
}

static int torc_driver_send(struct driver *d, uint32_t slot, const struct driver_request *q)
{
    struct torc_driver *t = CONTAINER_OF(d, struct torc_driver, head);
    ASSERT(slot < t->slot_count);
    struct torc_slot *s = &t->slots[slot];
    struct group *g = &t->groups[s->group];
    torc_bytes key = torc_bytes_of(q->key.data, q->key.bytes);
    g->is_dirty = true;
    switch (q->op) {
    case OPERATION_GET:
        return torc_get_async(g->client, key, 0, on_done, s);
    case OPERATION_PUT:
    case OPERATION_INSERT:
        return torc_put_async(g->client, key, torc_bytes_of(q->value.data, q->value.bytes), 0, on_done, s);
    case OPERATION_DELETE:
        return torc_delete_async(g->client, key, on_done, s);
    case OPERATION_SCAN:
        return begin_scan(t, s, q);
    case OPERATION_MODIFY:
    case OPERATION_COUNT:
        break;
    }
    return TORC_E_UNKNOWN_OPERATION;
}

/* ---- the poll ---- */

static int poll_group(struct torc_driver *t, struct group *g, int timeout_ms)
{
    (void)t;
    g->is_dirty = false;
    return torc_poll(g->client, timeout_ms);
}

/* Returns: completions or an error. */
static int poll_groups(struct torc_driver *t, bool only_dirty)
{
    int done = 0;
    for (uint32_t i = 0; i < t->group_count; i++) {
        if (only_dirty && !t->groups[i].is_dirty)
            continue;
        int rc = poll_group(t, &t->groups[i], 0);
        if (rc < 0)
            return rc;
        done += rc;
    }
    return done;
}

static int wait_for_groups(struct torc_driver *t, uint64_t timeout_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec wait = {.tv_sec = (time_t)(timeout_ns / (1000 * MS_NS)),
                            .tv_nsec = (long)(timeout_ns % (1000 * MS_NS))};
    int count = epoll_pwait2(t->epoll_fd, events, EVENTS_MAX, &wait, NULL);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        int rc = poll_group(t, &t->groups[events[i].data.u32], 0);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int torc_driver_poll(struct driver *d, uint64_t timeout_ns)
{
    struct torc_driver *t = CONTAINER_OF(d, struct torc_driver, head);
    t->reply_count = 0;
    if (t->group_count == 1 && (timeout_ns == 0 || timeout_ns >= MS_NS)) {
        int rc = poll_group(t, &t->groups[0], (int)(timeout_ns / MS_NS));
        return rc < 0 ? rc : 0;
    }
    int done = poll_groups(t, true);
    if (done < 0)
        return done;
    int rc = wait_for_groups(t, done > 0 ? 0 : timeout_ns);
    uint64_t now_ns = clock_now_ns();
    if (rc < 0 || now_ns < t->tick_ns)
        return rc;
    t->tick_ns = now_ns + TICK_MS * MS_NS;
    rc = poll_groups(t, false);
    return rc < 0 ? rc : 0;
}

static uint64_t torc_driver_clock(struct driver *d)
{
    (void)d;
    return clock_now_ns();
}

static int torc_driver_info(struct driver *d, const char *section, char **text)
{
    struct torc_driver *t = CONTAINER_OF(d, struct torc_driver, head);
    char *json = NULL;
    int rc = torc_info(t->groups[0].client, torc_string(section), &json);
    if (rc)
        return rc;
    *text = strdup(json);
    torc_free(json);
    return *text ? 0 : TORC_E_NO_MEMORY;
}

/* ---- open and close ---- */

static void torc_driver_close(struct driver *d)
{
    struct torc_driver *t = CONTAINER_OF(d, struct torc_driver, head);
    for (uint32_t i = 0; t->groups && i < t->group_count; i++)
        torc_close(t->groups[i].client);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
    free(t->groups);
    free(t->slots);
    free(t->scans);
    free(t);
}

static int open_client(const struct torc_driver *t, uint32_t per_core, uint32_t pipeline, torc_client **out,
                       char *why, size_t why_bytes)
{
    char address[512];
    bool is_v6 = strchr(t->options.host, ':') != NULL;
    snprintf(address, sizeof address, is_v6 ? "[%s]:%s" : "%s:%s", t->options.host, t->options.port);
    struct torc_options options = {
        .address = address,
        .connect_timeout_ms = t->options.timeout_ms,
        .request_timeout_ms = 30000,
        .connections_per_core = per_core,
        .pipeline_max = pipeline,
    };
    int rc = torc_open(&options, out);
    if (rc == 0)
        rc = torc_connect(*out);
    if (rc)
        snprintf(why, why_bytes, "%s",
                 *out && torc_problem(*out)[0] ? torc_problem(*out) : torc_error_sentence(rc));
    return rc;
}

/* Asks how many cores the server has, for the connections are per core. */
static int ask_cores(const struct torc_driver *t, uint32_t *cores, char *why, size_t why_bytes)
{
    torc_client *probe = NULL;
    int rc = open_client(t, 1, 1, &probe, why, why_bytes);
    if (rc == 0)
        *cores = torc_core_count(probe) ? torc_core_count(probe) : 1;
    torc_close(probe);
    return rc;
}

static int open_groups(struct torc_driver *t, char *why, size_t why_bytes)
{
    uint32_t cores = 1;
    int rc = ask_cores(t, &cores, why, why_bytes);
    if (rc)
        return rc;
    uint32_t per_core = (t->options.connections + cores - 1) / cores;
    uint32_t groups = (per_core + CONNECTIONS_PER_CORE_MAX - 1) / CONNECTIONS_PER_CORE_MAX;
    t->groups = calloc(groups, sizeof t->groups[0]);
    t->slots = calloc(t->slot_count, sizeof t->slots[0]);
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!t->groups || !t->slots)
        return TORC_E_NO_MEMORY;
    if (t->epoll_fd < 0)
        return -errno;
    t->group_count = groups;
    for (uint32_t i = 0; i < t->slot_count; i++)
        t->slots[i] = (struct torc_slot){t, i, i / t->options.depth % groups};
    uint32_t pipeline = (t->slot_count + groups - 1) / groups + t->options.depth;
    for (uint32_t i = 0; i < groups && rc == 0; i++) {
        rc = open_client(t, (per_core + groups - 1) / groups, pipeline, &t->groups[i].client, why, why_bytes);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        if (rc == 0 && epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, torc_fd(t->groups[i].client), &e))
            rc = -errno;
    }
    return rc;
}

static int torc_driver_open(const struct driver_options *options, struct driver **out, char *why,
                            size_t why_bytes)
{
    struct torc_driver *t = calloc(1, sizeof *t);
    if (!t)
        return TORC_E_NO_MEMORY;
    t->head.class = &driver_torc;
    t->options = *options;
    t->epoll_fd = -1;
    t->slot_count = options->connections * options->depth;
    int rc = open_groups(t, why, why_bytes);
    if (rc)
        torc_driver_close(&t->head);
    else
        *out = &t->head;
    return rc;
}

const struct driver_class driver_torc = {
    .name = "torc",
    .has_scan = true,
    .open = torc_driver_open,
    .close = torc_driver_close,
    .send = torc_driver_send,
    .poll = torc_driver_poll,
    .clock = torc_driver_clock,
    .info = torc_driver_info,
};
