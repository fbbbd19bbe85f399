/* listener_test.c - what the kernel is told of each connection: the tests of reactor.h cannot see it. */
#include "test/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

static const uint64_t PATIENCE_NS = UINT64_C(20) * 1000 * 1000 * 1000;

enum { DESCRIPTORS_LOOKED_AT = 1024 };

struct door {
    struct reactor *reactor;
    struct socket *socket;
    struct event came;
};

static void on_accept(void *context, struct socket *s)
{
    struct door *d = context;
    d->socket = s;
    event_set(d->reactor, &d->came, 0);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof value;
    CU_ASSERT_EQUAL(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

/* Whether it is one end of a connection to the port. */
static bool is_connection_to(int fd, uint16_t port)
{
    struct sockaddr_in here = {0}, there = {0};
    socklen_t here_bytes = sizeof here, there_bytes = sizeof there;
    return getsockname(fd, (struct sockaddr *)&here, &here_bytes) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_bytes) == 0 && here.sin_family == AF_INET &&
           (here.sin_port == htons(port) || there.sin_port == htons(port));
}

static void check_descriptor(int fd)
{
    CU_ASSERT_EQUAL(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    CU_ASSERT_EQUAL(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    int idle_s = option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    int interval_s = option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    int count = option_of(fd, IPPROTO_TCP, TCP_KEEPCNT);
    CU_ASSERT_EQUAL(idle_s + interval_s * count, 120);
}

TEST_IN_REACTOR(both_ends_of_a_connection_find_out_within_two_minutes_that_the_other_is_gone)
{
    struct door door = {.reactor = r};
    struct address address = {.host = "127.0.0.1"};
    struct listener *listener;
    struct socket *client;
    CU_ASSERT_EQUAL_FATAL(socket_listen(r, &address, 16, on_accept, &door, &listener), 0);
    address.port = listener_port(listener);
    CU_ASSERT_EQUAL_FATAL(socket_connect(r, &address, PATIENCE_NS, &client), 0);
    CU_ASSERT_EQUAL_FATAL(event_wait(r, &door.came, PATIENCE_NS), 0);
    unsigned found = 0;
    for (int fd = 0; fd < DESCRIPTORS_LOOKED_AT; fd++)
        if (is_connection_to(fd, address.port)) {
            check_descriptor(fd);
            found++;
        }
    CU_ASSERT_EQUAL(found, 2);
    socket_close(client, NULL);
    socket_close(door.socket, NULL);
    listener_close(listener);
}
