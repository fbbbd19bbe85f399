/* hello.c - the smallest program that uses libtorc: puts a value and gets it back.
 *
 *   cc hello.c -ltorc -o hello && ./hello 127.0.0.1:7070 */
#include "client/torc.h" /* installed: <torc.h> */

#include <stdio.h>

static int put_and_get(torc_client *client)
{
    void *value;
    size_t value_bytes;
    int rc = torc_put(client, torc_string("hello"), torc_string("world"), 0);
    if (rc == 0)
        rc = torc_get(client, torc_string("hello"), &value, &value_bytes);
    if (rc != 0)
        return rc;
    printf("hello, %.*s\n", (int)value_bytes, (char *)value);
    torc_free(value);
    return 0;
}

int main(int argc, char **argv)
{
    struct torc_options options = {.address = argc > 1 ? argv[1] : "127.0.0.1:7070",
                                   .connect_timeout_ms = 1000};
    torc_client *client;
    int rc = torc_open(&options, &client);
    if (rc == 0)
        rc = put_and_get(client);
    if (rc != 0)
        fprintf(stderr, "hello: %s\n", torc_error_sentence(rc));
    torc_close(client);
    return rc == 0 ? 0 : 1;
}
