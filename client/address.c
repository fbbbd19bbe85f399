/* address.c - splits "host:port" and asks the resolver. Done once, when a client is opened: a host that
 * moves to another address needs a new client. */
#include "client/address.h"

#include "client/torc.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

static const char default_port[] = "7070";

enum { HOST_BYTES_MAX = 256, PORT_BYTES_MAX = 6 };

struct host_and_port {
    char host[HOST_BYTES_MAX];
    char port[PORT_BYTES_MAX];
};

static bool copy_text(char *to, size_t capacity, const char *from, size_t bytes)
{
    if (bytes == 0 || bytes >= capacity)
        return false;
    memcpy(to, from, bytes);
    to[bytes] = 0;
    return true;
}

static bool is_port(const char *text)
{
    unsigned number = 0;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        number = number * 10 + (unsigned)(*p - '0');
    }
    return number >= 1 && number <= 65535;
}

static bool split(const char *text, struct host_and_port *out)
{
    const char *host = text;
    const char *host_end;
    const char *port = default_port;
    if (*text == '[') {
        host++;
        host_end = strchr(host, ']');
        if (!host_end || (host_end[1] != 0 && host_end[1] != ':'))
            return false;
        if (host_end[1] == ':')
            port = host_end + 2;
    } else {
        const char *first = strchr(text, ':');
        bool is_bare_v6 = first && strchr(first + 1, ':');
        host_end = first && !is_bare_v6 ? first : text + strlen(text);
        if (*host_end == ':')
            port = host_end + 1;
    }
    return copy_text(out->host, sizeof out->host, host, (size_t)(host_end - host)) &&
           copy_text(out->port, sizeof out->port, port, strlen(port)) && is_port(out->port);
}

int client_addresses_resolve(const char *text, struct addresses *out)
{
    *out = (struct addresses){0};
    struct host_and_port parts;
    if (!split(text, &parts))
        return TORC_CONFIGURATION;
    bool is_v6 = strchr(parts.host, ':') != NULL;
    snprintf(out->text, sizeof out->text, is_v6 ? "[%s]:%s" : "%s:%s", parts.host, parts.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    if (getaddrinfo(parts.host, parts.port, &hints, &list) != 0)
        return TORC_CANNOT_CONNECT;
    for (struct addrinfo *a = list; a && out->count < ADDRESS_COUNT_MAX; a = a->ai_next) {
        if (a->ai_addrlen > sizeof out->all[0].storage)
            continue;
        struct address *address = &out->all[out->count++];
        memcpy(&address->storage, a->ai_addr, a->ai_addrlen);
        address->bytes = a->ai_addrlen;
    }
    freeaddrinfo(list);
    return out->count > 0 ? 0 : TORC_CANNOT_CONNECT;
}
