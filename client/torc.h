/* torc.h - libtorc, the C client of torc, a distributed key-value store.
 *
 *   torc_client *client;
 *   struct torc_options options = {.address = "127.0.0.1:7070"};
 *   int rc = torc_open(&options, &client);
 *   if (rc == 0)
 *       rc = torc_put(client, torc_string("hello"), torc_string("world"), 0);
 *   if (rc != 0)
 *       fprintf(stderr, "%s\n", torc_error_sentence(rc));
 *   torc_close(client);
 *
 * Two faces. The blocking one (torc_get, torc_put, ...) does one thing and returns when it is done. The
 * asynchronous one (torc_get_async, ... and torc_poll) keeps many requests in flight: a request is encoded
 * into the output of the connection that leads to the core which owns its key, torc_poll sends what has
 * gathered with one system call a connection, receives, and calls back once for each request. Both may be
 * mixed on one client: a blocking call drives the callbacks of the others as it waits.
 *
 * Outcomes are three. 0: done. TORC_TIMEOUT, TORC_DISCONNECTED, TORC_CHECKSUM and TORC_UNKNOWN, when they
 * come for a put or a delete: unknown, it may have happened or may happen yet, with TORC_UNKNOWN when the
 * server is started anew. Any other code: it did not happen. Nothing that was sent is ever sent again by the
 * library: whether to repeat it is the caller's choice (a get may always be repeated, a put of the same value
 * and a delete may where no one else writes the key).
 *
 * Order. Requests in flight together are answered, and take effect, in any order, those for one key too. Who
 * wants one after the other starts it after the other's callback.
 *
 * Threads. A client is used by one thread at a time; different clients are independent. The library makes no
 * threads, installs no signal handlers and raises no SIGPIPE.
 *
 * Memory. Keys and values given to a call are copied before it returns. What a callback gets is borrowed
 * and lives until the callback returns. What a blocking call returns through a pointer is the caller's,
 * freed with torc_free. */
#ifndef TORC_H
#define TORC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* what the shared library shows */

#define TORC_MUST_CHECK __attribute__((warn_unused_result))

/* ---- codes ---- */

/* What a call returns when it is not 0, and what a result has as its status. Codes above -1000 are -errno.
 * The numbers never change. */
enum torc_code {
    TORC_OK = 0,
    TORC_NOT_FOUND = -1001,
    TORC_KEY_EMPTY = -1002,
    TORC_KEY_TOO_LONG = -1003,
    TORC_VALUE_TOO_LARGE = -1004,
    TORC_UNKNOWN_OPERATION = -1005,
    TORC_PROTOCOL_VERSION = -1006,
    TORC_FRAME_LENGTH = -1007,
    TORC_FRAME_TOO_LARGE = -1008,
    TORC_CHECKSUM = -1009,
    TORC_HELLO_REQUIRED = -1010,
    TORC_MALFORMED = -1011,
    TORC_NAMESPACE_UNKNOWN = -1012,
    TORC_TIMEOUT = -1013,
    TORC_OVERLOADED = -1014,
    TORC_DISK_FULL = -1015,
    TORC_STORAGE = -1016,
    TORC_CORRUPT = -1017,
    TORC_UNKNOWN = -1018,
    TORC_SUPERSEDED = -1019,
    TORC_SHUTTING_DOWN = -1020,
    TORC_FUTURE_VERSION = -1021,
    TORC_DISCONNECTED = -1022,
    TORC_CANNOT_CONNECT = -1023,
    TORC_NO_MEMORY = -1024,
    TORC_DATA_FORMAT = -1025,
    TORC_IN_USE = -1026,
    TORC_CANCELLED = -1027,
    TORC_CLOSED = -1028,
    TORC_UNSUPPORTED = -1029,
    TORC_CONFIGURATION = -1030,
    TORC_VIEW_ENDED = -1031,
    TORC_SHARD_FULL = -1032
};

/* A sentence for people, "done" for 0; never null, static or the C library's. */
const char *torc_error_sentence(int code);
/* The name as in logs and JSON: "NOT_FOUND"; "OK" for 0, "SYSTEM" for -errno. */
const char *torc_error_name(int code);

/* ---- bytes ---- */

enum {
    TORC_KEY_BYTES_MAX = 1024,          /* a key has 1 to this many bytes, any bytes */
    TORC_VALUE_BYTES_MAX = 1024 * 1024, /* a value has 0 to this many */
    TORC_SCAN_LIMIT_MAX = 10000,        /* entries in a page of a scan */
    TORC_CURSOR_BYTES_MAX = 11 + 1024   /* of a scan */
};

/* Borrowed bytes; data may be null when bytes is 0. */
typedef struct torc_bytes {
    const void *data;
    size_t bytes;
} torc_bytes;

static inline torc_bytes torc_bytes_of(const void *data, size_t bytes)
{
    torc_bytes slice = {data, bytes};
    return slice;
}

/* The bytes of a null-terminated string, without the null. */
static inline torc_bytes torc_string(const char *text)
{
    return torc_bytes_of(text, __builtin_strlen(text));
}

/* ---- a client ---- */

typedef struct torc_client torc_client;

/* All zeros is good: zero means the default in brackets. Durations are milliseconds. */
struct torc_options {
    const char *address;         /* "host:port", "host", "[::1]:7070" ["127.0.0.1:7070"] */
    uint32_t connect_timeout_ms; /* how long a request may wait for a connection [5,000] */
    uint32_t request_timeout_ms; /* from the first poll after its start to its answer [5,000] */
    uint32_t reconnect_min_ms; /* back-off after a failed attempt: full jitter, span doubled each time [10] */
    uint32_t reconnect_max_ms; /* ... up to this [2,000] */
    uint32_t connections_per_core; /* connections to each core of the server, at most 64 [1] */
    uint32_t pipeline_max;         /* requests in flight per client, at most 1,048,576 [1,024] */
    size_t unsent_bytes_max;       /* output that may gather on one connection, at least 2 MiB [64 MiB] */
};

/* Looks the address up (which may ask the name servers), begins to connect and returns without waiting for
 * that. `options` may be null. Returns: 0 and *out, to be closed with torc_close; TORC_CONFIGURATION when
 * an option is out of range or the address is not one, TORC_CANNOT_CONNECT when the host's name is not
 * known, TORC_NO_MEMORY, -errno. *out is null then. */
TORC_MUST_CHECK int torc_open(const struct torc_options *options, torc_client **out);

/* Completes what is in flight (the callbacks run): with TORC_DISCONNECTED what was sent, with TORC_CANCELLED
 * what was not and never will be. Closes the connections and frees the client. Null is allowed. Not to be
 * called from a callback. */
void torc_close(torc_client *client);

/* Waits until there is a connection to every core of the server. It need not be called: requests wait by
 * themselves; it is there to tell early that a server cannot be reached. Returns: 0, or after
 * connect_timeout_ms TORC_CANNOT_CONNECT, or TORC_PROTOCOL_VERSION when the server refuses this client's.
 * Runs callbacks like torc_poll. */
TORC_MUST_CHECK int torc_connect(torc_client *client);

/* What last went wrong with a connection, with the address and the reason: "cannot connect to 127.0.0.1:7070:
 * Connection refused"; "" when nothing has. Lives until the next call on the client. */
const char *torc_problem(const torc_client *client);

/* Cores of the server, 0 before the first connection is ready. */
uint32_t torc_core_count(const torc_client *client);
/* The core whose connection a request for `key` takes; 0 before the first connection is ready. */
uint32_t torc_core_of_key(const torc_client *client, torc_bytes key);
/* Requests in flight: started and not yet called back. Never more than pipeline_max. */
uint32_t torc_in_flight(const torc_client *client);

/* Since torc_open. */
struct torc_counters {
    uint64_t requests;       /* started */
    uint64_t completions;    /* called back, any status */
    uint64_t timeouts;       /* of those: TORC_TIMEOUT made by this client */
    uint64_t late_responses; /* answers that came after their timeout and were dropped */
    uint64_t connects;       /* connections that became ready */
    uint64_t disconnects;    /* ready connections that were lost */
    uint64_t send_calls;
    uint64_t receive_calls;
    uint64_t bytes_sent;
    uint64_t bytes_received;
};
void torc_count(const torc_client *client, struct torc_counters *out);

/* ---- asynchronous ---- */

/* The outcome of one request, valid during the callback only. */
struct torc_result {
    int status; /* 0 or a torc_code; TORC_NOT_FOUND for a get or exists of an absent key */
    torc_bytes
        value; /* status 0. get: the value; ping: the payload; info: JSON; scan: the entries, encoded */
    torc_bytes
        message; /* status not 0: a sentence for people, from the server if it sent one; no null at its end */
    torc_bytes cursor;      /* scan, status 0: for the next page; empty: that was the last one */
    bool has_version;       /* get with TORC_WANT_VERSION, status 0 */
    uint16_t version_node;  /* who stamped the value ... */
    uint64_t version_clock; /* ... and when: 48 bits of milliseconds since 1970, 16 bits of counter */
};

/* Called exactly once for each request that was started, from within torc_poll, torc_close or a blocking
 * call. It may start requests; it must not call torc_poll, torc_close, torc_flush or a blocking call on
 * the same client. */
typedef void torc_done(void *user, const struct torc_result *result);

enum torc_flag {
    TORC_WANT_VERSION = 1, /* get: with the version of the value */
    TORC_KEYS_ONLY = 2,    /* scan: entries without values */
    TORC_REVERSE = 4,      /* scan: from the largest key to the smallest */
    TORC_SNAPSHOT = 32,    /* scan: all of it as it was at one moment, over all cores */
    TORC_ORDERED = 8       /* scan: all keys in byte order; else in byte order within each part of the ring,
                            * which is cheaper and all there is to keys that share a {tag} */
};

/* These start a request. Returns: 0, and `done` will be called; or a code, and it will not be, nothing was
 * begun:
 *   TORC_OVERLOADED  pipeline_max requests are in flight or unsent_bytes_max have gathered: torc_poll first
 *   TORC_KEY_EMPTY, TORC_KEY_TOO_LONG, TORC_VALUE_TOO_LARGE
 *   TORC_MALFORMED   a flag, limit, cursor or core that is none
 *   TORC_NO_MEMORY
 * Nothing is sent before torc_poll or torc_flush. `done` may be null: nobody cares. */
TORC_MUST_CHECK int torc_get_async(torc_client *client, torc_bytes key, uint32_t flags, torc_done *done,
                                   void *user);
/* `ttl_ms`: milliseconds to live from when the server takes it; 0: for ever. */
TORC_MUST_CHECK int torc_put_async(torc_client *client, torc_bytes key, torc_bytes value, uint64_t ttl_ms,
                                   torc_done *done, void *user);
/* Deleting what is not there is done, too. */
TORC_MUST_CHECK int torc_delete_async(torc_client *client, torc_bytes key, torc_done *done, void *user);
/* status 0: the key exists; TORC_NOT_FOUND: it does not. */
TORC_MUST_CHECK int torc_exists_async(torc_client *client, torc_bytes key, torc_done *done, void *user);
/* To the first connection of `core`: 0, or below torc_core_count(); to core 0 when the server comes back with
 * fewer before it is sent. `payload` comes back. */
TORC_MUST_CHECK int torc_ping_async(torc_client *client, uint32_t core, torc_bytes payload, torc_done *done,
                                    void *user);
/* `section` may be empty: everything. */
TORC_MUST_CHECK int torc_info_async(torc_client *client, torc_bytes section, torc_done *done, void *user);
/* A command of the server's operator and its argument, at most 1,024 bytes each: docs/formats.md names them.
 * The value is JSON. Jobs are only started: the command "job" tells what has become of one. */
TORC_MUST_CHECK int torc_admin_async(torc_client *client, torc_bytes command, torc_bytes argument,
                                     torc_done *done, void *user);

/* One page of the keys that begin with `prefix` (empty: of all), or of those from `from` on and below `to`;
 * either of prefix and range is empty. A cursor goes with the keys and flags of the scan it came from, and
 * needs nothing else: it is good on any connection, after any time. With TORC_SNAPSHOT the first page is
 * empty, and the server keeps the snapshot until the last page, or for a minute after one:
 * then a cursor of it answers TORC_VIEW_ENDED. */
struct torc_page {
    torc_bytes prefix;
    torc_bytes cursor; /* empty to begin; then that of the page before */
    uint32_t limit;    /* entries, at most TORC_SCAN_LIMIT_MAX; 0: the server's choice; fewer may come */
    uint32_t flags;    /* TORC_KEYS_ONLY, TORC_REVERSE, TORC_ORDERED, TORC_SNAPSHOT */
    torc_bytes from;   /* empty: from the first key */
    torc_bytes to;     /* empty: to the last key */
};
TORC_MUST_CHECK int torc_scan_async(torc_client *client, const struct torc_page *page, torc_done *done,
                                    void *user);

struct torc_entry {
    torc_bytes key;
    torc_bytes value;
};
/* Takes one entry off the front of the value of a scan's result: for (torc_bytes rest = result->value;
 * torc_entry_next(&rest, &entry) == 1;) ... Returns: 1; 0 at the end; TORC_MALFORMED. */
TORC_MUST_CHECK int torc_entry_next(torc_bytes *rest, struct torc_entry *out);

/* Many at once: pipelined, each to the core that owns its key. Request i's `user` is (char *)user + i *
 * user_stride, so an array's elements are told apart without any memory; a stride of 0 gives all the same.
 * Returns: how many were started, from the first; fewer than `count` when the pipeline is full (torc_poll,
 * then go on with the rest); a code when even the first could not be. */
TORC_MUST_CHECK int64_t torc_mget_async(torc_client *client, const torc_bytes *keys, size_t count,
                                        torc_done *done, void *user, size_t user_stride);
TORC_MUST_CHECK int64_t torc_mput_async(torc_client *client, const struct torc_entry *entries, size_t count,
                                        uint64_t ttl_ms, torc_done *done, void *user, size_t user_stride);

/* Sends what has gathered, receives what has come, calls back, ends what is past its time and renews lost
 * connections. Waits up to timeout_ms for a first completion; 0: does not wait; -1: waits until one, or
 * returns 0 when none is in flight: at once, or after some milliseconds where output of requests whose time
 * is over has yet to go. Returns: completions, or -errno when the operating system failed. */
int torc_poll(torc_client *client, int timeout_ms);

/* Sends what has gathered, as far as the sockets take it, and nothing else. */
void torc_flush(torc_client *client);

/* A descriptor that is readable when torc_poll(client, 0) has something to do, for a loop of the caller's.
 * That loop must also call torc_poll after starting requests, and at least every torc_wait_ms(client)
 * milliseconds. Owned by the client. */
int torc_fd(const torc_client *client);
/* Milliseconds until a timeout or a reconnection is due; 0: now; -1: none is. */
int torc_wait_ms(const torc_client *client);

/* ---- blocking ---- */

/* These wait for the answer, request_timeout_ms at most (and connect_timeout_ms for a connection).
 * Returns: 0 or a torc_code, as the status of the result would be. The message of a server: torc_message. */

/* *value is the caller's, freed with torc_free, with a null byte behind it that does not count; null when
 * not 0 is returned. TORC_NOT_FOUND when there is no such key. */
TORC_MUST_CHECK int torc_get(torc_client *client, torc_bytes key, void **value, size_t *value_bytes);
/* Into the caller's buffer. *value_bytes is the size of the value even when TORC_VALUE_TOO_LARGE is
 * returned because it is more than `capacity`; nothing is copied then. */
TORC_MUST_CHECK int torc_get_into(torc_client *client, torc_bytes key, void *buffer, size_t capacity,
                                  size_t *value_bytes);
TORC_MUST_CHECK int torc_put(torc_client *client, torc_bytes key, torc_bytes value, uint64_t ttl_ms);
TORC_MUST_CHECK int torc_delete(torc_client *client, torc_bytes key);
/* 0: it exists; TORC_NOT_FOUND: it does not. */
TORC_MUST_CHECK int torc_exists(torc_client *client, torc_bytes key);
TORC_MUST_CHECK int torc_ping(torc_client *client);
/* *json is the caller's, null-terminated, freed with torc_free. `section` may be empty. */
TORC_MUST_CHECK int torc_info(torc_client *client, torc_bytes section, char **json);
TORC_MUST_CHECK int torc_admin(torc_client *client, torc_bytes command, torc_bytes argument, char **json);

struct torc_value {
    int status; /* 0, TORC_NOT_FOUND, or another code */
    void *data; /* null unless status is 0 */
    size_t bytes;
};
/* values[i] belongs to keys[i]; any count. Returns: 0 when each was answered with 0 or TORC_NOT_FOUND,
 * else the first other status. The values are the caller's in both cases, freed with torc_values_free. */
TORC_MUST_CHECK int torc_mget(torc_client *client, const torc_bytes *keys, size_t count,
                              struct torc_value *values);
void torc_values_free(struct torc_value *values, size_t count);

/* statuses[i] belongs to entries[i]; `statuses` may be null. Not one whole: each is put by itself.
 * Returns: 0 when all are done, else the first other status. */
TORC_MUST_CHECK int torc_mput(torc_client *client, const struct torc_entry *entries, size_t count,
                              uint64_t ttl_ms, int *statuses);

/* A walk over all keys with a prefix or of a range, page after page. It sees every key that is there from
 * its beginning to its end, and may or may not see what is written meanwhile. */
typedef struct torc_scan torc_scan;
/* `page`: prefix or range, limit (of a page) and flags; its cursor is where to begin. Copied. Returns: 0 and
 * *out; TORC_NO_MEMORY, TORC_MALFORMED or TORC_KEY_TOO_LONG. */
TORC_MUST_CHECK int torc_scan_open(torc_client *client, const struct torc_page *page, torc_scan **out);
/* Returns: 1 and an entry that lives until the next call on this scan; 0 at the end; a code, after which
 * it may be called again to try the same page once more. */
TORC_MUST_CHECK int torc_scan_next(torc_scan *scan, struct torc_entry *out);
/* Null is allowed. */
void torc_scan_close(torc_scan *scan);

/* What the server said with the last blocking call that did not return 0, else the sentence of its code, as
 * always for torc_mget and torc_mput; "" when there was none. Lives until the next call on the client. */
const char *torc_message(const torc_client *client);

/* Frees what a blocking call gave; null is allowed. */
void torc_free(void *memory);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
