/* descriptors_test.c - a server that may open few files: connections do not take them from the storage, and
 * when there are none writes are refused until there are some again. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <stdio.h>
#include <sys/resource.h>

enum {
    FILES_FEW = 400,
    CONNECTIONS = 500, /* for one core, more than it takes with so few files */
    VALUE_BYTES = 256 << 10,
    PUTS = 80, /* several files of the log, several flushes */
    PUTS_MAX = 2000,
    KEY_BYTES = 32,
};

static const char *const small[] = {"--cores",
                                    "2",
                                    "--memtable-bytes",
                                    "8M",
                                    "--segment-bytes",
                                    "4M",
                                    "--cache-bytes",
                                    "4M",
                                    "--request-timeout",
                                    "1s",
                                    NULL};

static bool allow_few_files(void)
{
    return setrlimit(RLIMIT_NOFILE, &(struct rlimit){FILES_FEW, FILES_FEW}) == 0;
}

static int put_number(struct raw *raw, unsigned n)
{
    static uint8_t value[VALUE_BYTES];
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "key-%u", n);
    return raw_put(raw, slice_of_string(key), slice_of(value, sizeof value));
}

TEST(connections_leave_the_storage_the_files_that_it_needs)
{
    struct server s;
    struct raw raw, raws[CONNECTIONS];
    server_init(&s, NULL, small);
    s.prepare = allow_few_files;
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    unsigned open = 0, taken = 0;
    for (; open < CONNECTIONS && raw_open(&raws[open], s.port); open++)
        ;
    CU_ASSERT_EQUAL(open, CONNECTIONS);
    for (unsigned i = 0; i < PUTS; i++)
        taken += put_number(&raw, i) == 0;
    CU_ASSERT_EQUAL(taken, PUTS);
    for (unsigned i = 0; i < open; i++)
        raw_close(&raws[i]);
    raw_close(&raw);
    server_stop(&s);
}

/* Of both the log and the flushes. Returns: the number of the first that is refused. */
static unsigned put_until_refused(struct raw *raw)
{
    unsigned n = 0;
    int rc = 0;
    for (; rc == 0 && n < PUTS_MAX; n++)
        rc = put_number(raw, n);
    CU_ASSERT(rc == TORC_E_DISK_FULL || rc == TORC_E_TIMEOUT);
    return n;
}

TEST(a_server_without_descriptors_takes_writes_again_when_there_are_some)
{
    struct server s;
    struct raw raw;
    struct rlimit limit;
    server_init(&s, NULL, small);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    CU_ASSERT_EQUAL(prlimit(s.process.pid, RLIMIT_NOFILE, NULL, &limit), 0);
    CU_ASSERT_EQUAL(prlimit(s.process.pid, RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}, NULL), 0);
    unsigned n = put_until_refused(&raw);
    CU_ASSERT_EQUAL(prlimit(s.process.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    uint64_t end_ms = process_clock_ms() + 20000;
    int rc;
    do
        rc = put_number(&raw, n);
    while (rc && process_clock_ms() < end_ms);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(put_number(&raw, n + 1), 0);
    raw_close(&raw);
    server_stop(&s);
}
