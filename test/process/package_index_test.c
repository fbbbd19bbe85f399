/* package_index_test.c - the Debian package index loaded, and loaded anew while the server is killed.
 *
 * `torc load --acked` writes down each key that was acknowledged. After the restart every key holds the
 * last stanza of it that was acknowledged, or the one behind it, which was on its way. */
#include "client/torc.h"
#include "test/process/packages.h"
#include "test/process/server.h"
#include "test/test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACKAGES = 60000, PACKAGES_OF_APT_MIN = 10000, MGET_COUNT = 1000, LOAD_MS = 60000 };

static const char *const two_cores[] = {
    "--cores", "2", "--memtable-bytes", "16M", "--segment-bytes", "8M", "--log-bytes-max", "32M", NULL};

struct index {
    char first_path[PROCESS_PATH_BYTES], second_path[PROCESS_PATH_BYTES], acked_path[PROCESS_PATH_BYTES];
    struct packages first, second; /* sorted; the same keys in both */
    uint32_t *acked; /* of the second load: how often each key was, at its first place in `second` */
    uint32_t acked_count;
};

/* ---- the two files ---- */

static void index_init(struct index *x)
{
    const char *directory = test_directory();
    *x = (struct index){.acked = NULL};
    snprintf(x->first_path, sizeof x->first_path, "%s/first", directory);
    snprintf(x->second_path, sizeof x->second_path, "%s/second", directory);
    snprintf(x->acked_path, sizeof x->acked_path, "%s/acked", directory);
}

static void index_read(struct index *x)
{
    packages_add_line(x->first_path, x->second_path, "Load: the second one");
    packages_read(&x->first, x->first_path);
    packages_read(&x->second, x->second_path);
    CU_ASSERT_EQUAL(x->first.count, x->second.count);
    packages_sort(&x->first);
    packages_sort(&x->second);
    x->acked = calloc(x->second.count + 1, sizeof *x->acked);
    ASSERT(x->acked);
}

static void index_free(struct index *x)
{
    packages_free(&x->first);
    packages_free(&x->second);
    free(x->acked);
}

static void read_acked(struct index *x)
{
    size_t bytes;
    char *text = process_read_file(x->acked_path, &bytes);
    uint32_t first;
    for (char *at = text, *end; (end = memchr(at, '\n', (size_t)(text + bytes - at))) != NULL; at = end + 1) {
        uint32_t count = packages_find(&x->second, slice_of(at, (size_t)(end - at)), &first);
        CU_ASSERT(count > 0);
        if (count > 0)
            CU_ASSERT(++x->acked[first] <= count);
        x->acked_count++;
    }
    free(text);
}

/* ---- loading ---- */

static bool start_load(struct process *p, const struct server *s, const char *path, const char *acked)
{
    char program[PROCESS_PATH_BYTES];
    const char *const argv[] = {process_program("torc", program),
                                "--server",
                                s->address,
                                "--format",
                                "deb",
                                "--acked",
                                acked,
                                "load",
                                path,
                                NULL};
    unlink(acked); /* it would be added to */
    return process_start(p, &(struct process_options){.argv = argv, .directory = test_directory()});
}

static double load_first(struct index *x, struct server *s)
{
    struct process p;
    uint64_t from_ms = process_clock_ms();
    if (!start_load(&p, s, x->first_path, x->acked_path))
        return 0;
    int code = process_end(&p, LOAD_MS);
    CU_ASSERT_EQUAL(code, 0);
    char *errors = process_read_file(p.err, NULL);
    if (code)
        printf("\n%.2000s\n", errors);
    free(errors);
    return (double)(process_clock_ms() - from_ms) / 1000;
}

/* Opens the pipe once the loader reads from it. Returns: -1 when it never does. */
static int open_pipe(struct process *p, const char *path)
{
    int fd = -1;
    uint64_t end_ms = process_clock_ms() + LOAD_MS;
    while (fd < 0 && process_clock_ms() < end_ms && !process_wait(p, 2))
        fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    CU_ASSERT(fd >= 0);
    return fd;
}

/* Returns: false when nobody takes it any more. */
static bool write_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        ssize_t written = poll(&room, 1, LOAD_MS) == 1 ? write(fd, text, bytes) : -1;
        if (written < 0)
            return false;
        text += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* The loader gets half of the file; while it is busy with the end of that the server is killed, and then
 * it gets the rest. */
static void feed_and_crash(struct index *x, struct process *p, struct server *s, const char *pipe)
{
    size_t bytes;
    char *text = process_read_file(x->second_path, &bytes);
    int fd = open_pipe(p, pipe);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    CU_ASSERT(fd >= 0 && write_all(fd, text, bytes / 2));
    server_crash(s);
    if (fd >= 0) {
        (void)write_all(fd, text + bytes / 2, bytes - bytes / 2); /* until it gives up */
        close(fd);
    }
    signal(SIGPIPE, before);
    free(text);
}

static void load_second(struct index *x, struct server *s)
{
    struct process p;
    char pipe[PROCESS_PATH_BYTES];
    snprintf(pipe, sizeof pipe, "%s/pipe", test_directory());
    CU_ASSERT_EQUAL(mkfifo(pipe, 0600), 0);
    if (!start_load(&p, s, pipe, x->acked_path))
        return;
    feed_and_crash(x, &p, s, pipe);
    int code = process_end(&p, LOAD_MS);
    CU_ASSERT(code == 1 || code == 4 || code == 5);
    read_acked(x);
    CU_ASSERT(x->acked_count > x->second.count / 4);
}

/* ---- verifying ---- */

/* `first` is the place of the key in both sorted indexes, `count` how many stanzas it has. */
static bool may_hold(const struct index *x, uint32_t first, uint32_t count, struct slice value)
{
    uint32_t acked = x->acked[first];
    struct slice last =
        acked ? x->second.items[first + acked - 1].value : x->first.items[first + count - 1].value;
    return slice_equal(value, last) ||
           (acked < count && slice_equal(value, x->second.items[first + acked].value));
}

struct group {
    torc_bytes keys[MGET_COUNT];
    uint32_t firsts[MGET_COUNT], counts[MGET_COUNT];
    struct torc_value values[MGET_COUNT];
    uint32_t count;
};

static uint32_t check_group(const struct index *x, torc_client *client, struct group *g)
{
    uint32_t wrong = 0;
    CU_ASSERT_EQUAL(torc_mget(client, g->keys, g->count, g->values), 0);
    for (uint32_t i = 0; i < g->count; i++)
        wrong += g->values[i].status != 0 ||
                 !may_hold(x, g->firsts[i], g->counts[i], slice_of(g->values[i].data, g->values[i].bytes));
    torc_values_free(g->values, g->count);
    g->count = 0;
    return wrong;
}

/* Returns: how many keys there are. */
static uint32_t verify(const struct index *x, const struct server *s)
{
    static struct group g;
    torc_client *client = NULL;
    struct torc_options options = {.address = s->address};
    CU_ASSERT_EQUAL(torc_open(&options, &client), 0);
    uint32_t keys = 0, wrong = 0;
    g.count = 0;
    for (uint32_t at = 0, first; client && at < x->first.count; at += g.counts[g.count - 1]) {
        if (g.count == MGET_COUNT)
            wrong += check_group(x, client, &g);
        struct slice key = x->first.items[at].key;
        g.counts[g.count] = packages_find(&x->first, key, &first);
        g.firsts[g.count] = first;
        g.keys[g.count++] = torc_bytes_of(key.data, key.bytes);
        keys++;
    }
    if (client && g.count > 0)
        wrong += check_group(x, client, &g);
    CU_ASSERT_EQUAL(wrong, 0);
    torc_close(client);
    return keys;
}

static void run(struct index *x)
{
    struct server s;
    index_read(x);
    server_init(&s, NULL, two_cores);
    if (server_start(&s)) {
        double seconds = load_first(x, &s);
        uint32_t keys = verify(x, &s);
        load_second(x, &s);
        if (server_start(&s)) {
            verify(x, &s);
            server_stop(&s);
        }
        printf("\n    %u stanzas, %u keys loaded in %.1f s; killed after %u acknowledged of the second load ",
               x->first.count, keys, seconds, x->acked_count);
    }
    index_free(x);
}

TEST(a_made_up_package_index_survives_a_kill_in_the_middle_of_a_load)
{
    struct index x;
    index_init(&x);
    packages_generate(x.first_path, PACKAGES, 20260301);
    run(&x);
}

TEST(the_package_index_of_this_machine_survives_a_kill_in_the_middle_of_a_load)
{
    struct index x;
    struct packages p = {0};
    index_init(&x);
    bool is_there = packages_from_apt(x.first_path);
    if (is_there)
        packages_read(&p, x.first_path);
    uint32_t count = p.count;
    packages_free(&p);
    if (count < PACKAGES_OF_APT_MIN) {
        printf("\n    SKIPPED: apt knows only %u packages here ", count);
        return;
    }
    run(&x);
}
