/* topology.c - which connections there are, and what goes on which.
 *
 * The hello on connection 0 says how many cores the server has. When that changes (a server was started
 * anew with another number of cores) the connections are brought to the new number: those that were ready
 * are broken, for they were to the old process, and what waits unsent is filed anew by key. */
#include "client/client.h"

#include <stdlib.h>

int client_init_topology(struct torc_client *client)
{
    client->connections = calloc(1, sizeof(struct connection *));
    if (!client->connections)
        return TORC_NO_MEMORY;
    client->connections[0] = client_connection_new(client, 0);
    if (!client->connections[0])
        return TORC_NO_MEMORY;
    client->connection_count = 1;
    client->unready_count = 1;
    return 0;
}

void client_deinit_topology(struct torc_client *client)
{
    for (uint32_t i = 0; i < client->connection_count; i++)
        client_connection_free(client->connections[i]);
    free(client->connections);
    client->connections = NULL;
    client->connection_count = 0;
    client->dirty = NULL;
}

/* ---- filing ---- */

static struct connection *place_of(struct torc_client *client, const struct request *r, struct slice frame)
{
    if (r->op == FRAME_PING || r->op == FRAME_INFO || r->op == FRAME_ADMIN) {
        uint32_t count = client->core_count * client->settings.connections_per_core; /* others are to go */
        return client->connections[r->connection < count ? r->connection : 0];
    }
    struct slice key = slice_of(frame.data + FRAME_HEADER_BYTES, load_u16le(frame.data + 6));
    return client_route(client, key);
}

static void file(struct torc_client *client, struct request *r, struct slice frame)
{
    struct connection *place = place_of(client, r, frame);
    if (client_output_reserve(&place->output, frame.bytes) != 0) {
        client_fail(client, r, TORC_NO_MEMORY);
        return;
    }
    memcpy(place->output.data + place->output.end, frame.data, frame.bytes);
    place->output.end += frame.bytes;
    r->connection = place->index;
    client_connection_mark_dirty(place);
}

void client_refile(struct torc_client *client, struct connection *c)
{
    ASSERT(c->output.sent == c->output.frame_begin);
    struct output old = c->output;
    c->output = (struct output){0};
    struct slice frames = slice_of(old.data + old.sent, old.end - old.sent);
    struct slice frame;
    while (client_output_next_frame(&frames, &frame)) {
        struct request *r = client_requests_find(&client->requests, load_u64le(frame.data + 8));
        if (r)
            file(client, r, frame);
    }
    client_output_deinit(&old);
}

/* ---- changing ---- */

static void break_ready_connections(struct torc_client *client)
{
    for (uint32_t i = 1; i < client->connection_count; i++)
        if (client->connections[i]->state == CONNECTION_READY)
            client_connection_break(client->connections[i], TORC_DISCONNECTED);
}

static int add_connections(struct torc_client *client, uint32_t count)
{
    struct connection **all = realloc(client->connections, count * sizeof(struct connection *));
    if (!all)
        return TORC_NO_MEMORY;
    client->connections = all;
    while (client->connection_count < count) {
        struct connection *c = client_connection_new(client, client->connection_count);
        if (!c)
            return TORC_NO_MEMORY;
        client->connections[client->connection_count++] = c;
        client->unready_count++;
    }
    return 0;
}

static void remove_connections(struct torc_client *client, uint32_t count)
{
    struct connection **link = &client->dirty;
    while (*link) {
        if ((*link)->index >= count)
            *link = (*link)->next_dirty;
        else
            link = &(*link)->next_dirty;
    }
    while (client->connection_count > count) {
        struct connection *c = client->connections[--client->connection_count];
        ASSERT(c->state != CONNECTION_READY && c->output.end == 0);
        client_connection_free(c);
        client->unready_count--;
    }
}

int client_set_topology(struct torc_client *client, uint16_t core_count, uint8_t vnode_bits)
{
    ASSERT(core_count > 0);
    uint32_t count = core_count * client->settings.connections_per_core;
    break_ready_connections(client);
    if (count > client->connection_count && add_connections(client, count) != 0)
        return TORC_NO_MEMORY;
    client->core_count = core_count;
    client->vnode_bits = vnode_bits;
    uint32_t old_count = client->connection_count;
    for (uint32_t i = 0; i < old_count; i++)
        client_refile(client, client->connections[i]);
    if (count < old_count)
        remove_connections(client, count);
    return 0;
}
