/* load.c - `torc load`: records out of a file or a pipe into the server, many in flight, in bounded memory.
 *
 *   read -> in flight -> acknowledged (counted, its key appended to --acked)
 *              |  ^
 *    overloaded|  | back-off is over
 *              v  |
 *             retry -> failed, after RETRIES_MAX
 *
 * Puts in flight take effect in any order, so a record whose key is still on its way waits until that one
 * is done: the later record of a key wins. Bad input ends the reading; what was read before it is still
 * loaded. */
#include "client/cli/cli.h"
#include "client/cli/progress.h"
#include "client/cli/records.h"
#include "reactor/base/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ITEMS_MAX = 512,
    IN_FLIGHT_BYTES_MAX = 32 << 20,
    RETRIES_MAX = 16,
    BACKOFF_MS_MAX = 1000,
    FAILURES_SHOWN_MAX = 10,
};

enum item_state { ITEM_IN_FLIGHT, ITEM_RETRY, ITEM_BLOCKED };

struct load;

struct item {
    struct load *load;
    struct cli_record record;
    uint64_t retry_at_ms;
    uint32_t retries;
    uint8_t state;
};

struct load {
    struct cli *cli;
    const char *name; /* of the input, for messages */
    FILE *acked;      /* may be null */
    bool is_reading;  /* not at the end, no bad input, no error that all further puts would share */
    bool is_unknown;  /* a record may be there or not: the exit code says so, whatever else failed */
    int first_failure;
    int exit_code;
    size_t bytes_in_flight;
    uint64_t acked_count;
    uint64_t acked_bytes;
    uint64_t failed_count;
    uint64_t shown_count; /* of those: had a line on stderr */
    uint32_t busy_count;
    uint32_t retry_count;
    struct item *blocked; /* waits for an earlier record of its key */
    struct cli_records records;
    struct cli_progress progress;
    uint64_t key_hashes[ITEMS_MAX]; /* 0: that item is free */
    struct item items[ITEMS_MAX];
};

static uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the end of a record ---- */

static void free_item(struct item *item)
{
    struct load *load = item->load;
    load->key_hashes[item - load->items] = 0;
    load->busy_count--;
    load->bytes_in_flight -= item->record.key_bytes + item->record.value_bytes;
    cli_record_done(&item->record); /* or each item would keep as much as its largest record took */
}

static void acknowledge(struct item *item)
{
    struct load *load = item->load;
    load->acked_count++;
    load->acked_bytes += item->record.key_bytes + item->record.value_bytes;
    if (load->acked &&
        (fwrite(item->record.data, 1, item->record.key_bytes, load->acked) != item->record.key_bytes ||
         fputc('\n', load->acked) == EOF)) {
        load->exit_code =
            cli_complain("cannot append to %s: %s", load->cli->options->acked_path, strerror(errno));
        load->is_reading = false;
        fclose(load->acked);
        load->acked = NULL;
    }
    free_item(item);
}

/* The next put would fail in the same way. */
static bool is_lasting(int code)
{
    return code == TORC_CANNOT_CONNECT || code == TORC_PROTOCOL_VERSION || code == TORC_DISK_FULL ||
           code == TORC_STORAGE || code == TORC_SHUTTING_DOWN || code == TORC_UNKNOWN_OPERATION;
}

static void fail(struct item *item, int code, torc_bytes message)
{
    struct load *load = item->load;
    const char *problem = torc_problem(load->cli->client);
    if (code == TORC_CANNOT_CONNECT && *problem)
        message = torc_string(problem);
    bool is_news = code != load->first_failure || !is_lasting(code);
    bool is_shown = is_news && load->shown_count < FAILURES_SHOWN_MAX;
    load->failed_count++;
    load->shown_count += is_shown;
    if (is_shown)
        cli_complain("%s:%llu: not acknowledged: %.*s", load->name, (unsigned long long)item->record.line,
                     (int)message.bytes, (const char *)message.data);
    if (load->first_failure == 0)
        load->first_failure = code;
    load->is_unknown |= cli_exit_code(code) == CLI_OUTCOME_UNKNOWN;
    if (is_lasting(code))
        load->is_reading = false;
    free_item(item);
}

static void retry_later(struct item *item)
{
    uint64_t span = item->retries < 10 ? (uint64_t)1 << item->retries : BACKOFF_MS_MAX;
    uint64_t jitter = item->load->key_hashes[item - item->load->items] >> item->retries;
    item->retries++;
    item->retry_at_ms = clock_ms() + 1 + jitter % span;
    item->state = ITEM_RETRY;
    item->load->retry_count++;
}

static void on_put(void *user, const struct torc_result *result)
{
    struct item *item = user;
    if (result->status == 0)
        acknowledge(item);
    else if (result->status == TORC_OVERLOADED && item->retries < RETRIES_MAX)
        retry_later(item);
    else
        fail(item, result->status, result->message);
}

/* ---- the beginning of a record ---- */

static void start(struct item *item)
{
    const struct cli_record *r = &item->record;
    item->state = ITEM_IN_FLIGHT;
    if (is_lasting(item->load->first_failure)) {
        fail(item, item->load->first_failure, torc_string(""));
        return;
    }
    int rc = torc_put_async(item->load->cli->client, cli_record_key(r), cli_record_value(r), r->ttl_ms,
                            on_put, item);
    if (rc == TORC_OVERLOADED)
        retry_later(item);
    else if (rc != 0)
        fail(item, rc, torc_string(torc_error_sentence(rc)));
}

static bool has_twin(const struct load *load, const struct item *item)
{
    size_t index = (size_t)(item - load->items);
    for (size_t i = 0; i < ITEMS_MAX; i++)
        if (i != index && load->key_hashes[i] == load->key_hashes[index])
            return true;
    return false;
}

static struct item *find_free(struct load *load)
{
    for (size_t i = 0; i < ITEMS_MAX; i++)
        if (load->key_hashes[i] == 0)
            return &load->items[i];
    return NULL;
}

static void read_record(struct load *load, struct item *item)
{
    int rc = cli_records_next(&load->records, &item->record);
    if (rc != 1) {
        load->is_reading = false;
        if (rc < 0)
            load->exit_code =
                cli_complain("%s:%llu: %s; nothing behind it was loaded", load->name,
                             (unsigned long long)load->records.problem_line, load->records.problem);
        return;
    }
    const struct cli_record *r = &item->record;
    load->key_hashes[item - load->items] = checksum_bytes(r->data, r->key_bytes) | 1;
    load->busy_count++;
    load->bytes_in_flight += r->key_bytes + r->value_bytes;
    item->retries = 0;
    item->state = ITEM_BLOCKED;
    if (has_twin(load, item))
        load->blocked = item;
    else
        start(item);
}

/* ---- going on ---- */

static bool has_room(const struct load *load)
{
    return load->is_reading && !load->blocked && load->busy_count < ITEMS_MAX &&
           load->bytes_in_flight < IN_FLIGHT_BYTES_MAX;
}

static bool is_input_ready(const struct load *load)
{
    struct pollfd input = {.fd = load->records.lines.fd, .events = POLLIN};
    return cli_lines_is_ready(&load->records.lines) || poll(&input, 1, 0) != 0;
}

static void read_some(struct load *load)
{
    struct item *item;
    while (has_room(load) && (item = find_free(load)) != NULL) { /* at most ITEMS_MAX */
        if (load->busy_count > 0 && !is_input_ready(load))
            return;
        read_record(load, item);
    }
}

/* Starts what has waited long enough. Returns: milliseconds until the next one is due; -1: none waits. */
static int start_due(struct load *load)
{
    if (load->blocked && !has_twin(load, load->blocked)) {
        start(load->blocked);
        load->blocked = NULL;
    }
    if (load->retry_count == 0)
        return -1;
    uint64_t now_ms = clock_ms();
    uint64_t next_ms = now_ms + BACKOFF_MS_MAX;
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        struct item *item = &load->items[i];
        if (load->key_hashes[i] == 0 || item->state != ITEM_RETRY)
            continue;
        if (item->retry_at_ms <= now_ms) {
            load->retry_count--;
            start(item);
        } else if (item->retry_at_ms < next_ms) {
            next_ms = item->retry_at_ms;
        }
    }
    return (int)(next_ms - now_ms);
}

static int sooner(int a_ms, int b_ms)
{
    return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

/* Waits for the server, or for it and the input when there is room for more. */
static int wait_for_progress(struct load *load, int wait_ms)
{
    torc_client *client = load->cli->client;
    if (!has_room(load)) {
        if (torc_in_flight(client) == 0 && wait_ms < 0)
            return 0;
        return torc_poll(client, wait_ms);
    }
    int rc = torc_poll(client, 0);
    if (rc != 0)
        return rc;
    struct pollfd fds[] = {{.fd = load->records.lines.fd, .events = POLLIN},
                           {.fd = torc_fd(client), .events = POLLIN}};
    poll(fds, 2, sooner(wait_ms, torc_wait_ms(client)));
    return torc_poll(client, 0);
}

static int run(struct load *load)
{
    while (load->is_reading || load->busy_count > 0) { /* each round waits or moves on */
        read_some(load);
        int wait_ms = start_due(load);
        if (load->busy_count > 0) {
            int rc = wait_for_progress(load, load->progress.is_shown ? sooner(wait_ms, 100) : wait_ms);
            if (rc < 0)
                return cli_complain("cannot wait for the server: %s", torc_error_sentence(rc));
        }
        if (load->acked && fflush(load->acked) != 0)
            return cli_complain("cannot append to %s: %s", load->cli->options->acked_path, strerror(errno));
        cli_progress_draw(&load->progress, load->records.lines.bytes_read, load->acked_count);
    }
    return CLI_DONE;
}

/* ---- opening and closing ---- */

static int summarize(struct load *load, double seconds)
{
    char text[256];
    char bytes[32];
    double rate = (double)load->acked_count / seconds;
    unsigned long long loaded = load->acked_count;
    unsigned long long failed = load->failed_count;
    cli_format_bytes(bytes, sizeof bytes, load->acked_bytes);
    if (load->cli->options->is_json)
        snprintf(text, sizeof text,
                 "{\"loaded\":%llu,\"failed\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"per_second\":%.0f}\n",
                 loaded, failed, (unsigned long long)load->acked_bytes, seconds, rate);
    else
        snprintf(text, sizeof text, "loaded %llu keys (%s) in %.2f s, %.0f keys/s; %llu failed\n", loaded,
                 bytes, seconds, rate, failed);
    return cli_write_text(load->cli, text);
}

static uint64_t size_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
}

static int load_from(struct load *load, int fd)
{
    cli_records_init(&load->records, fd, load->cli->options->format);
    cli_progress_begin(&load->progress, size_of(fd));
    load->is_reading = true;
    int code = run(load);
    double seconds = cli_progress_end(&load->progress);
    if (load->failed_count > load->shown_count)
        cli_complain("%llu more records were not acknowledged",
                     (unsigned long long)(load->failed_count - load->shown_count));
    int written = summarize(load, seconds);
    torc_close(load->cli->client); /* before the items: an error may have left some in flight */
    load->cli->client = NULL;
    cli_records_deinit(&load->records);
    if (load->is_unknown)
        return CLI_OUTCOME_UNKNOWN;
    if (code == CLI_DONE)
        code = load->exit_code != CLI_DONE ? load->exit_code : cli_exit_code(load->first_failure);
    return code != CLI_DONE ? code : written;
}

static int load_with_acked(struct load *load, int fd)
{
    const char *path = load->cli->options->acked_path;
    load->acked = path ? fopen(path, "ae") : NULL;
    if (path && !load->acked)
        return cli_complain("cannot open %s: %s", path, strerror(errno));
    int code = load_from(load, fd);
    if (load->acked && fclose(load->acked) != 0 && code == CLI_DONE)
        code = cli_complain("cannot append to %s: %s", path, strerror(errno));
    return code;
}

int cli_load(struct cli *cli)
{
    int rc = torc_connect(cli->client);
    if (rc != 0)
        return cli_fail(cli, rc, "load", torc_bytes_of(NULL, 0));
    const char *path = cli->options->arguments[0];
    bool is_input = strcmp(path, "-") == 0;
    int fd = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_complain("cannot open %s: %s", path, strerror(errno));
    struct load *load = calloc(1, sizeof *load);
    int code = CLI_ERROR;
    if (load) {
        load->cli = cli;
        load->name = is_input ? "standard input" : path;
        for (size_t i = 0; i < ITEMS_MAX; i++)
            load->items[i].load = load;
        code = load_with_acked(load, fd);
        for (size_t i = 0; i < ITEMS_MAX; i++)
            free(load->items[i].record.data);
        free(load);
    } else {
        cli_complain("out of memory");
    }
    if (!is_input)
        close(fd);
    return code;
}
