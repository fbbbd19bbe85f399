/* restart_test.c - how long a server takes to read its log after a crash. */
#include "test/process/raw.h"
#include "test/process/server.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LOG_BYTES = 256 << 20,
    VALUE_BYTES = 1000,
    KEYS = LOG_BYTES / VALUE_BYTES,
    PIECE = 256, /* puts in one send; a few of them are in flight */
    PIECES_IN_FLIGHT = 8,
    /* The aim is a second for 256 MiB; a machine that is busy gets four. */
    REPLAY_MS_MAX = 4000,
    KEY_BYTES = 32,
};

static const char *const large[] = {"--cores", "1", "--memtable-bytes", "1G", "--log-bytes-max", "2G", NULL};

static struct slice key_of(char text[KEY_BYTES], unsigned n)
{
    snprintf(text, KEY_BYTES, "key-%u", n);
    return slice_of_string(text);
}

static struct slice value_of(unsigned n)
{
    static uint8_t value[VALUE_BYTES];
    memset(value, (int)(n % 251), sizeof value);
    store_u32le(value, n);
    return slice_of(value, sizeof value);
}

static void send_piece(struct raw *raw, unsigned first)
{
    static uint8_t bytes[PIECE * (FRAME_HEADER_BYTES + KEY_BYTES + VALUE_BYTES)];
    char key[KEY_BYTES];
    size_t count = 0;
    for (unsigned n = first; n < first + PIECE && n < KEYS; n++) {
        struct raw_request put = {.op = FRAME_PUT, .key = key_of(key, n), .value = value_of(n)};
        count += raw_encode(raw, &put, bytes + count);
    }
    CU_ASSERT(count == 0 || raw_send(raw, bytes, count));
}

static unsigned fill(struct raw *raw)
{
    unsigned done = 0, sent = 0;
    struct frame answer;
    while (done < KEYS) {
        while (sent < KEYS && sent < done + PIECE * PIECES_IN_FLIGHT) {
            send_piece(raw, sent);
            sent += PIECE;
        }
        if (raw_receive(raw, &answer) != 0 || answer.flags != 0)
            break;
        done++;
    }
    CU_ASSERT_EQUAL(done, KEYS);
    return done;
}

TEST(a_log_of_256_mib_is_read_in_time)
{
    struct server s;
    struct raw raw;
    char key[KEY_BYTES];
    server_init(&s, NULL, large);
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    uint64_t from_ms = process_clock_ms();
    fill(&raw);
    double fill_seconds = (double)(process_clock_ms() - from_ms) / 1000;
    raw_close(&raw);
    server_crash(&s);
    from_ms = process_clock_ms();
    if (!server_start(&s) || !raw_connect(&raw, s.port, 0))
        return;
    uint64_t start_ms = process_clock_ms() - from_ms;
    uint64_t replay_ms = server_said(&s, "log_replay_ms"), bytes = server_said(&s, "log_replayed_bytes");
    CU_ASSERT(bytes >= LOG_BYTES);
    uint64_t per_256_mib_ms = bytes ? replay_ms * LOG_BYTES / bytes : 0;
    CU_ASSERT(per_256_mib_ms <= REPLAY_MS_MAX);
    for (unsigned n = 0; n < KEYS; n += 101)
        CU_ASSERT_EQUAL(raw_get_expect(&raw, key_of(key, n), value_of(n)), 0);
    printf(
        "\n    %llu MiB of log, written in %.1f s, read in %llu ms: %llu ms for 256 MiB; up after %llu ms ",
        (unsigned long long)(bytes >> 20), fill_seconds, (unsigned long long)replay_ms,
        (unsigned long long)per_256_mib_ms, (unsigned long long)start_ms);
    raw_close(&raw);
    server_crash(&s);
}
