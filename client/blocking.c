/* blocking.c - the calls that return when it is done: an asynchronous request and polls until its callback
 * has run.
 *
 * What the callback fills stands on the caller's stack, so no path leaves while the request is in flight,
 * except with the callback taken away (client_abandon). */
#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>

struct waiter {
    torc_client *client;
    uint64_t since_ms; /* client_makes_room */
    bool is_done;
    int status;
    void *copy;      /* of the value; ours, or the caller's buffer */
    size_t capacity; /* of the caller's buffer */
    size_t bytes;
};

static struct waiter begin(torc_client *client)
{
    client->message[0] = 0;
    return (struct waiter){.client = client};
}

void client_set_message(struct torc_client *client, torc_bytes message)
{
    int bytes = message.bytes < sizeof client->message ? (int)message.bytes : (int)sizeof client->message - 1;
    snprintf(client->message, sizeof client->message, "%.*s", bytes, bytes ? (const char *)message.data : "");
}

static void note(void *user, const struct torc_result *result)
{
    struct waiter *w = user;
    w->is_done = true;
    w->status = result->status;
    w->bytes = result->value.bytes;
    if (result->status != 0)
        client_set_message(w->client, result->message);
}

/* The value in memory of its own, with a null byte behind it. */
static void *copy_of(torc_bytes value)
{
    uint8_t *copy = malloc(value.bytes + 1);
    if (!copy)
        return NULL;
    if (value.bytes)
        memcpy(copy, value.data, value.bytes);
    copy[value.bytes] = 0;
    return copy;
}

static void note_and_copy(void *user, const struct torc_result *result)
{
    struct waiter *w = user;
    note(user, result);
    if (result->status != 0)
        return;
    w->copy = copy_of(result->value);
    if (!w->copy)
        w->status = TORC_NO_MEMORY;
}

static void note_and_copy_into(void *user, const struct torc_result *result)
{
    struct waiter *w = user;
    note(user, result);
    if (result->status != 0)
        return;
    if (result->value.bytes > w->capacity)
        w->status = TORC_VALUE_TOO_LARGE;
    else if (result->value.bytes)
        memcpy(w->copy, result->value.data, result->value.bytes);
}

bool client_makes_room(torc_client *client, int rc, uint64_t *since_ms)
{
    if (rc != TORC_OVERLOADED || (client->requests.in_flight == 0 && !client_has_unsent(client)))
        return false;
    if (torc_poll(client, -1) < 0)
        return false;
    *since_ms = *since_ms ? *since_ms : client->now_ms;
    return client->now_ms - *since_ms < client->settings.request_timeout_ms;
}

/* The system no longer lets us wait, with `code`: what waits for `user` may have been sent, and nobody is
 * told. Returns: the code that says so. */
static int give_up(torc_client *client, const void *user, int code)
{
    client_abandon(client, user);
    client_set_problem(client, "cannot wait for", code);
    return TORC_DISCONNECTED;
}

/* `rc`: what starting said. Returns: the outcome. */
static int finish(struct waiter *w, int rc)
{
    int polled = rc;
    while (polled >= 0 && !w->is_done) /* until the timeout at most */
        polled = torc_poll(w->client, -1);
    if (rc == 0)
        rc = w->is_done ? w->status : give_up(w->client, w, polled);
    if (rc != 0 && w->client->message[0] == 0)
        client_set_message(w->client, torc_string(torc_error_sentence(rc)));
    return rc;
}

int torc_get(torc_client *client, torc_bytes key, void **value, size_t *value_bytes)
{
    struct waiter w = begin(client);
    int rc;
    do
        rc = torc_get_async(client, key, 0, note_and_copy, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    rc = finish(&w, rc);
    *value = w.copy;
    *value_bytes = rc == 0 ? w.bytes : 0;
    return rc;
}

int torc_get_into(torc_client *client, torc_bytes key, void *buffer, size_t capacity, size_t *value_bytes)
{
    struct waiter w = begin(client);
    w.copy = buffer;
    w.capacity = capacity;
    int rc;
    do
        rc = torc_get_async(client, key, 0, note_and_copy_into, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    rc = finish(&w, rc);
    *value_bytes = w.bytes;
    return rc;
}

int torc_put(torc_client *client, torc_bytes key, torc_bytes value, uint64_t ttl_ms)
{
    struct waiter w = begin(client);
    int rc;
    do
        rc = torc_put_async(client, key, value, ttl_ms, note, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    return finish(&w, rc);
}

int torc_delete(torc_client *client, torc_bytes key)
{
    struct waiter w = begin(client);
    int rc;
    do
        rc = torc_delete_async(client, key, note, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    return finish(&w, rc);
}

int torc_exists(torc_client *client, torc_bytes key)
{
    struct waiter w = begin(client);
    int rc;
    do
        rc = torc_exists_async(client, key, note, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    return finish(&w, rc);
}

int torc_ping(torc_client *client)
{
    struct waiter w = begin(client);
    int rc;
    do
        rc = torc_ping_async(client, 0, torc_string("torc"), note, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    return finish(&w, rc);
}

int torc_info(torc_client *client, torc_bytes section, char **json)
{
    struct waiter w = begin(client);
    int rc;
    do
        rc = torc_info_async(client, section, note_and_copy, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    rc = finish(&w, rc);
    *json = w.copy;
    return rc;
}

int torc_admin(torc_client *client, torc_bytes command, torc_bytes argument, char **json)
{
    struct waiter w = begin(client);
    int rc;
    do
        rc = torc_admin_async(client, command, argument, note_and_copy, &w);
    while (client_makes_room(client, rc, &w.since_ms));
    rc = finish(&w, rc);
    *json = w.copy;
    return rc;
}

/* ---- many at once ---- */

enum { STATUS_PENDING = 1 };

static void note_value(void *user, const struct torc_result *result)
{
    struct torc_value *value = user;
    value->status = result->status;
    if (result->status != 0)
        return;
    value->data = copy_of(result->value);
    value->bytes = result->value.bytes;
    if (!value->data)
        *value = (struct torc_value){.status = TORC_NO_MEMORY};
}

static void note_status(void *user, const struct torc_result *result)
{
    *(int *)user = result->status;
}

/* Polls until *status is no longer pending. */
static void await(torc_client *client, int *status, const void *user)
{
    int rc = 0;
    while (*status == STATUS_PENDING && rc >= 0) /* until the timeout at most */
        rc = torc_poll(client, -1);
    if (*status == STATUS_PENDING)
        *status = give_up(client, user, rc);
}

int torc_mget(torc_client *client, const torc_bytes *keys, size_t count, struct torc_value *values)
{
    client->message[0] = 0;
    for (size_t i = 0; i < count; i++) {
        values[i] = (struct torc_value){.status = STATUS_PENDING};
        uint64_t since_ms = 0;
        int rc;
        do
            rc = torc_get_async(client, keys[i], 0, note_value, &values[i]);
        while (client_makes_room(client, rc, &since_ms));
        if (rc != 0)
            values[i].status = rc;
    }
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        await(client, &values[i].status, &values[i]);
        if (first == 0 && values[i].status != TORC_NOT_FOUND)
            first = values[i].status;
    }
    if (first != 0)
        client_set_message(client, torc_string(torc_error_sentence(first)));
    return first;
}

void torc_values_free(struct torc_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(values[i].data);
        values[i] = (struct torc_value){0};
    }
}

static int put_many(torc_client *client, const struct torc_entry *entries, size_t count, uint64_t ttl_ms,
                    int *statuses)
{
    for (size_t i = 0; i < count; i++) {
        statuses[i] = STATUS_PENDING;
        uint64_t since_ms = 0;
        int rc;
        do
            rc = torc_put_async(client, entries[i].key, entries[i].value, ttl_ms, note_status, &statuses[i]);
        while (client_makes_room(client, rc, &since_ms));
        if (rc != 0)
            statuses[i] = rc;
    }
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        await(client, &statuses[i], &statuses[i]);
        if (first == 0)
            first = statuses[i];
    }
    return first;
}

int torc_mput(torc_client *client, const struct torc_entry *entries, size_t count, uint64_t ttl_ms,
              int *statuses)
{
    client->message[0] = 0;
    int *all = statuses ? statuses : malloc((count ? count : 1) * sizeof(int));
    int rc = all ? put_many(client, entries, count, ttl_ms, all) : TORC_NO_MEMORY;
    if (!statuses)
        free(all);
    if (rc != 0)
        client_set_message(client, torc_string(torc_error_sentence(rc)));
    return rc;
}
