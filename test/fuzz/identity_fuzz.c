/* identity_fuzz.c - the file IDENTITY of a data directory, with any bytes behind a byte of switches.
 *
 * It is taken only when it is what a node of this number and shape writes, byte for byte. */
#include "test/fuzz/node.h"

#include "reactor/base/checksum.h"
#include "shard/datadir.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct datadir_identity wanted = {.node = 1, .cores = 2, .vnode_bits = 10};
static const char path[] = FUZZ_DIRECTORY "/IDENTITY";
static const char check_word[] = "check ";
enum { CHECK_DIGITS = 16 };

/* Makes the last line right, if there is one. */
static void mend(uint8_t *text, size_t bytes)
{
    char digits[CHECK_DIGITS + 1];
    uint8_t *line = NULL;
    for (size_t at = 0; at + sizeof check_word - 1 + CHECK_DIGITS <= bytes; at++)
        if (memcmp(text + at, check_word, sizeof check_word - 1) == 0)
            line = text + at;
    if (!line)
        return;
    snprintf(digits, sizeof digits, "%016" PRIx64, checksum_bytes(text, (size_t)(line - text)));
    memcpy(line + sizeof check_word - 1, digits, CHECK_DIGITS);
}

static int open_directory(struct reactor *r, const char *directory)
{
    char why[512] = "";
    struct datadir_identity identity = wanted;
    int rc = datadir_open(r, directory, &identity, why, sizeof why);
    ASSERT((rc == 0) == (why[0] == '\0'));
    return rc;
}

/* What a node that has the same writes. */
static void check_text(struct reactor *r, struct slice text)
{
    struct datadir_identity identity = wanted;
    char why[512];
    int rc = directory_create(r, "copy");
    ASSERT(rc == 0);
    fuzz_write_file(r, "copy/IDENTITY", text);
    rc = datadir_open(r, "copy", &identity, why, sizeof why);
    ASSERT(rc == 0 && identity.node == wanted.node && identity.vnode_bits == wanted.vnode_bits);
    rc = directory_create(r, "other");
    ASSERT(rc == 0);
    rc = datadir_commit(r, "other", &identity);
    ASSERT(rc == 0);
    size_t bytes;
    uint8_t *written = fuzz_read_file(r, "other/IDENTITY", &bytes);
    ASSERT(slice_equal(slice_of(written, bytes), text));
    reactor_free(r, written);
}

static void run_in_node(struct reactor *r, void *context)
{
    const struct slice *text = context;
    fuzz_write_file(r, path, *text);
    int rc = open_directory(r, FUZZ_DIRECTORY);
    ASSERT(rc == 0 || rc == TORC_E_CORRUPT || rc == TORC_E_DATA_FORMAT || rc == TORC_E_CONFIGURATION);
    if (rc == 0)
        check_text(r, *text);
}

static void run(struct slice input)
{
    uint8_t switches = fuzz_take_switches(&input);
    uint8_t *text = fuzz_copy(input);
    if (switches & FUZZ_CHECKSUMS)
        mend(text, input.bytes);
    struct slice mended = slice_of(text, input.bytes);
    fuzz_run_node(run_in_node, &mended);
    free(text);
}

static void seed(struct fuzz_seeds *to)
{
    static const char head[] = "\1torc data directory\nformat ";
    static const char *const rest[][2] = {
        {"as_written", "2\nnode 1\ncores 2\nvnode-bits 10\nlayout 1\ncheck 0000000000000000\n"},
        {"another_node", "2\nnode 3\ncores 2\nvnode-bits 10\nlayout 4\ncheck 0000000000000000\n"},
        {"another_format", "1\nnode 1\ncores 2\nvnode-bits 10\ncheck 0000000000000000\n"},
        {"cut_off", "2\nnode 1\ncores 2\n"},
    };
    char text[256];
    for (size_t i = 0; i < ARRAY_COUNT(rest); i++) {
        int bytes = snprintf(text, sizeof text, "%s%s", head, rest[i][1]);
        fuzz_seed(to, rest[i][0], slice_of(text, (size_t)bytes));
    }
}

const struct fuzz_target identity_fuzz = {.name = "identity", .run = run, .seed = seed};
