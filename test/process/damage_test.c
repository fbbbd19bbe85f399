/* damage_test.c - a log that was damaged while the server was down: told, contained, and never served as
 * data. */
#include "engine/wal_format.h"
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    KEYS = 4000,
    KEYS_AT_ONCE = 40,
    VALUE_BYTES = 4000,
    KEY_BYTES = 32,
    SEGMENTS_MAX = 64,
    RECORDS_MAX = 8192
};

static const char *const one_core[] = {"--cores", "1", "--segment-bytes", "4M", NULL};

/* ---- the log on disk ---- */

/* A log record: where it is. */
struct place {
    char path[PROCESS_PATH_BYTES * 2];
    uint64_t offset;
    struct wal_record_header header;
};

struct places {
    struct place *items; /* in the order of their sequences */
    uint32_t count;
};

static void read_segment(struct places *places, const char *path)
{
    static uint8_t block[WAL_BLOCK_BYTES];
    struct wal_segment_header segment;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ASSERT(fd >= 0);
    uint64_t offset = WAL_BLOCK_BYTES;
    if (pread(fd, block, sizeof block, 0) == sizeof block &&
        wal_segment_header_decode(block, &segment) == WAL_HEADER_VALID) {
        while (pread(fd, block, sizeof block, (off_t)offset) == sizeof block && places->count < RECORDS_MAX) {
            struct place *p = &places->items[places->count];
            if (!wal_record_header_decode(block, &p->header) || p->header.epoch != segment.epoch)
                break;
            snprintf(p->path, sizeof p->path, "%s", path);
            p->offset = offset;
            offset += wal_record_bytes(p->header.payload_bytes);
            places->count++;
        }
    }
    close(fd);
}

static int by_sequence(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return (x->header.sequence > y->header.sequence) - (x->header.sequence < y->header.sequence);
}

/* items freed by the caller. */
static struct places read_log(const struct server *s)
{
    struct places places = {.items = calloc(RECORDS_MAX, sizeof *places.items)};
    char directory[PROCESS_PATH_BYTES + 32];
    snprintf(directory, sizeof directory, "%s/layout-1/shard-000", s->data);
    struct dirent **names = NULL;
    int count = scandir(directory, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[PROCESS_PATH_BYTES * 2];
        uint64_t id;
        snprintf(path, sizeof path, "%s/%s", directory, names[i]->d_name);
        if (wal_segment_name_parse(names[i]->d_name, &id))
            read_segment(&places, path);
        free(names[i]);
    }
    free(names);
    qsort(places.items, places.count, sizeof *places.items, by_sequence);
    return places;
}

static void overwrite(const struct place *p, uint64_t at, size_t bytes, int byte)
{
    uint8_t *with = malloc(bytes);
    ASSERT(with);
    memset(with, byte, bytes);
    int fd = open(p->path, O_WRONLY | O_CLOEXEC);
    CU_ASSERT_EQUAL(pwrite(fd, with, bytes, (off_t)(p->offset + at)), (ssize_t)bytes);
    close(fd);
    free(with);
}

/* ---- keys ---- */

static struct slice key_of(char text[KEY_BYTES], unsigned n)
{
    snprintf(text, KEY_BYTES, "key-%u", n);
    return slice_of_string(text);
}

static struct slice value_of(unsigned n)
{
    static uint8_t value[VALUE_BYTES];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(n * 31 + i * (n % 7 + 1));
    return slice_of(value, sizeof value);
}

/* All acknowledged when it returns. */
static void put_all(struct raw *raw)
{
    char key[KEY_BYTES];
    struct frame answer;
    unsigned done = 0;
    for (unsigned i = 0; i < KEYS; i += KEYS_AT_ONCE) {
        for (unsigned n = i; n < i + KEYS_AT_ONCE; n++) {
            struct raw_request put = {.op = FRAME_PUT, .key = key_of(key, n), .value = value_of(n)};
            CU_ASSERT(raw_request(raw, &put));
        }
        for (unsigned n = i; n < i + KEYS_AT_ONCE; n++)
            done += raw_receive(raw, &answer) == 0 && answer.flags == 0;
    }
    CU_ASSERT_EQUAL(done, KEYS);
}

struct found {
    unsigned right, unknown, absent, other, first_right;
};

static struct found look(struct raw *raw)
{
    struct found f = {.first_right = KEYS};
    char key[KEY_BYTES];
    for (unsigned n = 0; n < KEYS; n++) {
        int rc = raw_get_expect(raw, key_of(key, n), value_of(n));
        if (rc == 0 && f.first_right == KEYS)
            f.first_right = n;
        f.right += rc == 0;
        f.unknown += rc == TORC_E_UNKNOWN;
        f.absent += rc == TORC_E_NOT_FOUND;
        f.other += rc != 0 && rc != TORC_E_UNKNOWN && rc != TORC_E_NOT_FOUND;
    }
    CU_ASSERT_EQUAL(f.other, 0);
    return f;
}

/* A server that has put all keys and was killed, and its log. */
static bool make_log(struct server *s, struct places *places)
{
    struct raw raw;
    server_init(s, NULL, one_core);
    if (!server_start(s) || !raw_connect(&raw, s->port, 0))
        return false;
    put_all(&raw);
    CU_ASSERT_EQUAL(server_counter(s, "engine", "flushes"), 0);
    raw_close(&raw);
    server_crash(s);
    *places = read_log(s);
    CU_ASSERT(places->count > 10);
    return places->count > 10;
}

/* The record with the nth entry: records have as many as came together, and those that only carry the
 * watermark have none. */
static const struct place *record_of_entry(const struct places *places, uint32_t n)
{
    uint32_t i = 0, entries = places->items[0].header.entry_count;
    while (entries <= n && i + 1 < places->count)
        entries += places->items[++i].header.entry_count;
    return &places->items[i];
}

static bool log_says(const struct server *s, const char *text)
{
    char *log = server_log(s);
    bool is_said = strstr(log, text) != NULL;
    free(log);
    return is_said;
}

/* Of shard 0. Returns: how many. */
static unsigned remove_value_logs(const struct server *s)
{
    char directory[PROCESS_PATH_BYTES + 32], path[PROCESS_PATH_BYTES * 2];
    unsigned count = 0;
    snprintf(directory, sizeof directory, "%s/layout-1/shard-000", s->data);
    DIR *d = opendir(directory);
    ASSERT(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        count += strncmp(entry->d_name, "values-", 7) == 0 && unlink(path) == 0;
    }
    closedir(d);
    return count;
}

static int ping_code(const struct server *s)
{
    struct process p;
    char program[PROCESS_PATH_BYTES];
    const char *const argv[] = {process_program("torc", program), "ping", "--server", s->address, NULL};
    bool has_begun =
        process_start(&p, &(struct process_options){.argv = argv, .directory = test_directory()});
    return has_begun ? process_end(&p, 10000) : -1;
}

static void add_argument(struct server *s, const char *argument)
{
    unsigned count = 0;
    while (s->arguments[count])
        count++;
    ASSERT(count < SERVER_ARGUMENTS_MAX);
    s->arguments[count] = argument;
    s->arguments[count + 1] = NULL;
}

/* ---- tests ---- */

TEST(damage_in_the_middle_of_the_log_is_told_and_makes_keys_unknown)
{
    struct server s;
    struct raw raw;
    struct places places;
    char key[KEY_BYTES];
    if (!make_log(&s, &places))
        return;
    const struct place *middle = record_of_entry(&places, KEYS / 2);
    CU_ASSERT(middle->header.payload_bytes >= VALUE_BYTES);
    CU_ASSERT(strcmp(middle->path, places.items[places.count - 1].path) != 0); /* not in the last segment */
    overwrite(middle, WAL_RECORD_HEADER_BYTES + 1000, 3000, 0x55);
    free(places.items);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    CU_ASSERT(log_says(&s, "event=log_damaged"));
    CU_ASSERT(server_counter(&s, "engine", "quarantined") >= 1);
    struct found f = look(&raw);
    CU_ASSERT_EQUAL(f.absent, 0);
    CU_ASSERT(f.unknown > 0 && f.right > KEYS / 3); /* what was written behind the damage is sure */
    CU_ASSERT_EQUAL(f.right, KEYS - f.first_right);
    CU_ASSERT_EQUAL(raw_exists(&raw, slice_of_string("never written")), TORC_E_UNKNOWN);
    printf("\n    %u keys right, %u unknown ", f.right, f.unknown);

    for (unsigned n = 0; n < KEYS; n += 10) { /* written again, they are known */
        CU_ASSERT_EQUAL(raw_put(&raw, key_of(key, n), value_of(n)), 0);
        CU_ASSERT_EQUAL(raw_get_expect(&raw, key_of(key, n), value_of(n)), 0);
    }
    CU_ASSERT_EQUAL(raw_delete(&raw, slice_of_string("key-1")), 0);
    raw_close(&raw);
    server_crash(&s);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0)) /* and stay so */
        return;
    CU_ASSERT_EQUAL(raw_exists(&raw, slice_of_string("key-1")), TORC_E_NOT_FOUND);
    CU_ASSERT_EQUAL(raw_exists(&raw, slice_of_string("key-2")), TORC_E_UNKNOWN);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string("key-10"), value_of(10)), 0);
    raw_close(&raw);
    server_stop(&s);

    add_argument(&s, "--accept-loss"); /* until the operator gives up what is lost */
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    CU_ASSERT(log_says(&s, "event=loss_accepted"));
    CU_ASSERT_EQUAL(raw_exists(&raw, slice_of_string("never written")), TORC_E_NOT_FOUND);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string("key-10"), value_of(10)), 0);
    f = look(&raw);
    CU_ASSERT_EQUAL(f.unknown, 0);
    CU_ASSERT(f.right > KEYS / 3);
    raw_close(&raw);
    server_stop(&s);
}

TEST(a_damaged_header_in_the_middle_of_the_log_is_told)
{
    struct server s;
    struct raw raw;
    struct places places;
    if (!make_log(&s, &places))
        return;
    overwrite(record_of_entry(&places, KEYS / 3), 0, WAL_BLOCK_BYTES, 0);
    free(places.items);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    CU_ASSERT(log_says(&s, "event=log_damaged"));
    struct found f = look(&raw);
    CU_ASSERT_EQUAL(f.absent, 0);
    CU_ASSERT(f.unknown > 0 && f.right > KEYS / 3);
    raw_close(&raw);
    server_stop(&s);
}

TEST(a_torn_tail_is_cut_and_is_no_damage)
{
    struct server s;
    struct raw raw;
    struct places places;
    if (!make_log(&s, &places))
        return;
    uint32_t last = places.count - 1; /* the last one with something in it */
    while (last > 0 && places.items[last].header.entry_count == 0)
        last--;
    /* As a crash in the middle of its write leaves it: the front is there, nothing behind it. */
    const struct place *torn = &places.items[last];
    uint64_t end = wal_record_bytes(torn->header.payload_bytes);
    CU_ASSERT(end > WAL_BLOCK_BYTES);
    overwrite(torn, WAL_BLOCK_BYTES, end - WAL_BLOCK_BYTES, 0);
    for (uint32_t i = last + 1; i < places.count; i++)
        overwrite(&places.items[i], 0, WAL_BLOCK_BYTES, 0);
    unsigned lost = torn->header.entry_count;
    free(places.items);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    CU_ASSERT_FALSE(log_says(&s, "event=log_damaged"));
    CU_ASSERT_EQUAL(server_counter(&s, "engine", "quarantined"), 0);
    struct found f = look(&raw);
    CU_ASSERT_EQUAL(f.absent, lost);
    CU_ASSERT_EQUAL(f.right, KEYS - lost);
    raw_close(&raw);
    server_stop(&s);
}

TEST(a_value_log_that_is_gone_is_told_by_ping_before_anybody_reads_it)
{
    struct server s;
    struct raw raw;
    static const char *const small[] = {"--cores", "1", "--memtable-bytes", "1M", NULL};
    server_init(&s, NULL, small);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    put_all(&raw);
    raw_close(&raw);
    CU_ASSERT_EQUAL(ping_code(&s), 0);
    server_stop(&s);
    CU_ASSERT(remove_value_logs(&s) > 0);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    CU_ASSERT_EQUAL(ping_code(&s), 6);
    CU_ASSERT_EQUAL(server_counter(&s, "engine", "corruptions"), 0);
    CU_ASSERT_EQUAL(raw_get_expect(&raw, slice_of_string("key-0"), value_of(0)), TORC_E_CORRUPT);
    CU_ASSERT_EQUAL(server_counter(&s, "engine", "value_files_damaged") > 0, true);
    CU_ASSERT_EQUAL(ping_code(&s), 6);
    raw_close(&raw);
    server_stop(&s);
}
