/* address.h - from "host:port" to what connect takes. */
#ifndef CLIENT_ADDRESS_H
#define CLIENT_ADDRESS_H

#include "reactor/base/assert.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    ADDRESS_COUNT_MAX = 8, /* of one host name: tried in turn */
    ADDRESS_TEXT_BYTES = 280,
};

struct address {
    struct sockaddr_storage storage;
    socklen_t bytes;
};

struct addresses {
    char text[ADDRESS_TEXT_BYTES]; /* as it was given, for messages */
    struct address all[ADDRESS_COUNT_MAX];
    uint32_t count; /* at least 1 */
};

/* `text`: "host", "host:port", "[v6]:port", "[v6]" or a bare IPv6 address; the default port is 7070. May
 * ask the name servers. Returns: 0, TORC_CONFIGURATION when it is no address, TORC_CANNOT_CONNECT when the
 * host is not known. */
MUST_CHECK int client_addresses_resolve(const char *text, struct addresses *out);

#endif
