/* full_disk_test.c - a disk that is full: writes are refused, reads go on, nothing acknowledged is lost.
 *
 * The disk is an ext4 in a file, or a tmpfs where loop devices are missing, mounted in a namespace of the
 * test's own: it is gone when the test is, however that ends. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/process/tree.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DISK_BYTES = 96 << 20,
    BALLAST_BYTES = 24 << 20,
    VALUE_BYTES = 8000,
    KEYS_MAX = 40000,
    WINDOW = 64, /* puts in flight */
    KEY_BYTES = 32,
};

static const char *const small[] = {"--cores",
                                    "1",
                                    "--memtable-bytes",
                                    "8M",
                                    "--segment-bytes",
                                    "4M",
                                    "--log-bytes-max",
                                    "16M",
                                    "--cache-bytes",
                                    "4M",
                                    NULL};

/* ---- the disk ---- */

static bool run_program(const char *const *argv)
{
    struct process p;
    struct process_options options = {.argv = argv, .directory = test_directory()};
    return process_start(&p, &options) && process_end(&p, 20000) == 0;
}

static bool mount_loop(const char *place)
{
    char image[PROCESS_PATH_BYTES];
    snprintf(image, sizeof image, "%s/image", test_directory());
    int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, DISK_BYTES) != 0)
        return false;
    close(fd);
    const char *const format[] = {"/sbin/mkfs.ext4", "-q", "-F", "-m", "0", image, NULL};
    const char *const mount_it[] = {"/bin/mount", "-o", "loop", image, place, NULL};
    return access(format[0], X_OK) == 0 && access(mount_it[0], X_OK) == 0 && run_program(format) &&
           run_program(mount_it);
}

static bool takes_direct_writes(const char *place)
{
    char path[PROCESS_PATH_BYTES];
    snprintf(path, sizeof path, "%s/direct", place);
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0666);
    if (fd < 0)
        return false;
    return close(fd) == 0 && unlink(path) == 0;
}

/* Returns: where it is, or null when none can be mounted. */
static const char *mount_disk(const char **kind)
{
    const char *place = test_directory();
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return NULL;
    *kind = "ext4";
    if (mount_loop(place))
        return place;
    *kind = "tmpfs";
    char size[32];
    snprintf(size, sizeof size, "size=%d", DISK_BYTES);
    if (mount("none", place, "tmpfs", 0, size) != 0)
        return NULL;
    if (takes_direct_writes(place))
        return place;
    umount2(place, MNT_DETACH);
    errno = EOPNOTSUPP; /* a tmpfs of an older kernel, which torcd cannot use */
    return NULL;
}

/* Until the file system itself has no room left for `bytes` more. Returns: whether the file was made. */
static bool write_ballast(const char *disk, const char *name, size_t bytes)
{
    char path[PROCESS_PATH_BYTES * 2];
    static uint8_t zeros[1 << 20];
    snprintf(path, sizeof path, "%s/%s", disk, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return false;
    for (size_t at = 0; at < bytes; at += sizeof zeros)
        if (write(fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros)
            break;
    return fsync(fd) == 0 && close(fd) == 0;
}

static void remove_ballast(const char *disk, const char *name)
{
    char path[PROCESS_PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s/%s", disk, name);
    CU_ASSERT_EQUAL(unlink(path), 0);
}

/* ---- keys ---- */

static bool is_acknowledged[KEYS_MAX];

static struct slice value_of(unsigned n)
{
    static uint8_t value[VALUE_BYTES];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(n * 31 + i * (n % 7 + 1));
    return slice_of(value, sizeof value);
}

static struct slice key_of(char text[KEY_BYTES], unsigned n)
{
    snprintf(text, KEY_BYTES, "key-%u", n);
    return slice_of_string(text);
}

/* Puts keys from `first` on, some in flight, until one is refused. Returns: the key behind the last one
 * tried. */
static unsigned fill(struct raw *raw, unsigned first, int *refusal)
{
    unsigned sent = first, answered = first;
    char key[KEY_BYTES];
    struct frame answer;
    *refusal = 0;
    while (answered < sent || *refusal == 0) {
        for (; *refusal == 0 && sent < KEYS_MAX && sent < answered + WINDOW; sent++) {
            struct raw_request put = {.op = FRAME_PUT,
                                      .key = key_of(key, sent),
                                      .value = value_of(sent),
                                      .id = sent + 1};
            CU_ASSERT(raw_request(raw, &put));
        }
        if (answered == sent || raw_receive(raw, &answer) != 0)
            break;
        int code = error_of_status(answer.flags);
        CU_ASSERT(answer.request_id >= 1 && answer.request_id <= sent);
        is_acknowledged[answer.request_id - 1] = code == 0;
        CU_ASSERT(code == 0 || code == TORC_E_DISK_FULL || code == TORC_E_OVERLOADED);
        if (code == TORC_E_DISK_FULL)
            *refusal = code;
        answered++;
    }
    CU_ASSERT_EQUAL(answered, sent);
    return sent;
}

/* All that was acknowledged is there. A put that was refused was not done. */
static unsigned verify(struct raw *raw, unsigned count)
{
    unsigned found = 0, wrong = 0;
    char key[KEY_BYTES];
    for (unsigned i = 0; i < count; i++) {
        int rc = raw_get_expect(raw, key_of(key, i), value_of(i));
        found += rc == 0;
        wrong += is_acknowledged[i] ? rc != 0 : rc != TORC_E_NOT_FOUND;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    return found;
}

/* Tries one put until it is taken. */
static bool put_when_there_is_room(const struct server *s, struct raw *raw, unsigned n)
{
    char key[KEY_BYTES];
    int rc = TORC_E_DISK_FULL;
    uint64_t end_ms = process_clock_ms() + 20000;
    while (rc == TORC_E_DISK_FULL && process_clock_ms() < end_ms)
        rc = raw_put(raw, key_of(key, n), value_of(n));
    is_acknowledged[n] = rc == 0;
    CU_ASSERT_EQUAL(rc, 0);
    if (rc) {
        char *log = server_log(s);
        printf("\n    there is room again, and a put is still answered %s: %.4000s ", error_name(rc), log);
        free(log);
    }
    return rc == 0;
}

/* ---- the test ---- */

static unsigned fill_and_check(struct server *s, struct raw *raw, unsigned first)
{
    int refusal;
    char key[KEY_BYTES];
    unsigned count = fill(raw, first, &refusal);
    CU_ASSERT_EQUAL(refusal, TORC_E_DISK_FULL);
    struct frame answer;
    struct raw_request put = {.op = FRAME_PUT, .key = key_of(key, count), .value = value_of(count)};
    CU_ASSERT_EQUAL(raw_call(raw, &put, &answer), TORC_E_DISK_FULL);
    CU_ASSERT(slice_equal(answer.value, slice_of_string(error_sentence(TORC_E_DISK_FULL))));
    CU_ASSERT(server_counter(s, "engine", "disk_full_refusals") > 0);
    verify(raw, count); /* reads go on */
    return count;
}

static void run_on(const char *disk, const char *kind)
{
    struct server s;
    struct raw raw;
    char data[PROCESS_PATH_BYTES];
    snprintf(data, sizeof data, "%s/data", disk);
    server_init(&s, data, small);
    CU_ASSERT(write_ballast(disk, "ballast-1", BALLAST_BYTES) &&
              write_ballast(disk, "ballast-2", BALLAST_BYTES));
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    unsigned first = fill_and_check(&s, &raw, 0);

    remove_ballast(disk, "ballast-1"); /* room again: writes are taken without a restart */
    bool is_taken = put_when_there_is_room(&s, &raw, first);
    unsigned second = is_taken ? fill_and_check(&s, &raw, first + 1) : first;
    CU_ASSERT(second > first + 100);
    raw_close(&raw);

    server_crash(&s); /* on the full disk */
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    unsigned found = verify(&raw, second);
    remove_ballast(disk, "ballast-2");
    if (put_when_there_is_room(&s, &raw, second))
        verify(&raw, second + 1);
    raw_close(&raw);
    server_stop(&s);
    printf("\n    %s of %d MiB: full after %u and %u keys, %u there after a crash on it ", kind,
           DISK_BYTES >> 20, first, second, found);
}

TEST(a_full_disk_refuses_writes_serves_reads_and_recovers)
{
    const char *kind = "";
    const char *disk = mount_disk(&kind);
    if (!disk) {
        printf("\n    SKIPPED: no small disk can be mounted (%s); it takes root ", strerror(errno));
        return;
    }
    memset(is_acknowledged, 0, sizeof is_acknowledged);
    run_on(disk, kind);
    CU_ASSERT_EQUAL(umount2(disk, MNT_DETACH), 0);
}

/* The log has room for more than the memtables take: it is the flush that finds the disk full. */
static void fill_memtables_on(const char *disk)
{
    static const char *const tiny[] = {"--cores", "1", "--memtable-bytes", "1M", "--segment-bytes",
                                       "4M",      NULL};
    struct server s;
    struct raw raw;
    char data[PROCESS_PATH_BYTES];
    int refusal;
    snprintf(data, sizeof data, "%s/data", disk);
    server_init(&s, data, tiny);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    uint64_t end_ms = process_clock_ms() + 10000;
    CU_ASSERT(put_when_there_is_room(&s, &raw, 0));
    while (server_counter(&s, "engine", "log_segments") < 2 && process_clock_ms() < end_ms) {
    }
    CU_ASSERT(write_ballast(disk, "ballast", DISK_BYTES));
    uint64_t from_ms = process_clock_ms();
    unsigned count = fill(&raw, 1, &refusal);
    CU_ASSERT_EQUAL(refusal, TORC_E_DISK_FULL);
    CU_ASSERT(process_clock_ms() - from_ms < 10000);
    verify(&raw, count);
    remove_ballast(disk, "ballast");
    if (put_when_there_is_room(&s, &raw, count))
        verify(&raw, count + 1);
    raw_close(&raw);
    server_stop(&s);
    printf("\n    refused after %u keys ", count);
}

TEST(a_disk_too_full_to_flush_refuses_writes_and_holds_none_up)
{
    const char *kind = "";
    const char *disk = mount_disk(&kind);
    if (!disk) {
        printf("\n    SKIPPED: no small disk can be mounted (%s); it takes root ", strerror(errno));
        return;
    }
    memset(is_acknowledged, 0, sizeof is_acknowledged);
    fill_memtables_on(disk);
    CU_ASSERT_EQUAL(umount2(disk, MNT_DETACH), 0);
}
