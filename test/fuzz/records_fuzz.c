/* records_fuzz.c - what `torc load` reads: records as JSON lines, tab-separated or Debian stanzas, and
 * base64.
 *
 * The first byte chooses the format. A record that is accepted is within torc's limits and, written as the
 * line that `torc dump` makes of it, is read back as the same. */
#include "test/fuzz/fuzz.h"

#include "client/cli/json_bytes.h"
#include "client/cli/records.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static bool is_same(torc_bytes a, torc_bytes b)
{
    return slice_equal(slice_of(a.data, a.bytes), slice_of(b.data, b.bytes));
}

static void check_member(const json_t *object, const char *name, torc_bytes wanted)
{
    torc_bytes found;
    void *memory = NULL;
    int rc = cli_bytes_of_json(json_object_get(object, name), &found, &memory);
    ASSERT(rc == 0 && is_same(found, wanted));
    free(memory);
}

static void check_record(const struct cli_record *r)
{
    torc_bytes key = cli_record_key(r), value = cli_record_value(r);
    size_t bytes = 0;
    ASSERT(key.bytes >= 1 && key.bytes <= TORC_KEY_BYTES_MAX && value.bytes <= TORC_VALUE_BYTES_MAX);
    char *line = cli_json_line(key, &value, &bytes);
    ASSERT(line && bytes > 0 && line[bytes - 1] == '\n');
    json_t *object = json_loadb(line, bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    ASSERT(object);
    check_member(object, "key", key);
    check_member(object, "value", value);
    json_decref(object);
    free(line);
}

static void check_base64(struct slice text)
{
    uint8_t *bytes = malloc(text.bytes / 4 * 3 + 1);
    char *again = malloc(text.bytes + 1);
    ASSERT(bytes && again);
    int64_t count = cli_base64_decode(bytes, torc_bytes_of(text.data, text.bytes));
    if (count >= 0) {
        ASSERT((size_t)count <= text.bytes / 4 * 3 && cli_base64_bytes((size_t)count) == text.bytes);
        size_t encoded = cli_base64_encode(again, torc_bytes_of(bytes, (size_t)count));
        ASSERT(slice_equal(slice_of(again, encoded), text)); /* there is one text for each bytes */
    }
    free(again);
    free(bytes);
}

static void read_records(int fd, enum cli_format format)
{
    struct cli_records records;
    struct cli_record record = {0};
    uint64_t line = 0;
    int rc;
    cli_records_init(&records, fd, format);
    while ((rc = cli_records_next(&records, &record)) == 1) { /* each takes a line */
        ASSERT(record.line > line);
        line = record.line;
        check_record(&record);
    }
    if (rc != 0)
        ASSERT(records.problem[0] != '\0' && strlen(records.problem) < sizeof records.problem);
    free(record.data);
    cli_records_deinit(&records);
}

static void run(struct slice input)
{
    uint8_t switches = fuzz_take_switches(&input);
    check_base64(input);
    int fd = memfd_create("records", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    ssize_t written = write(fd, input.data, input.bytes);
    ASSERT(written == (ssize_t)input.bytes && lseek(fd, 0, SEEK_SET) == 0);
    read_records(fd, (enum cli_format)(switches % (CLI_FORMAT_DEB + 1)));
    close(fd);
}

static void seed(struct fuzz_seeds *to)
{
    fuzz_seed(to, "json",
              slice_of_string("\1{\"key\": \"a\", \"value\": \"b\"}\r\n\n"
                              "{\"key\":{\"base64\":\"/wA=\"},\"value\":\"\\u00e9\\u0000\",\"ttl_ms\":5}\n"));
    fuzz_seed(to, "tabs", slice_of_string("\2key\tvalue\twith a tab\nother\t\n"));
    fuzz_seed(to, "stanzas", slice_of_string("\3Package: a\nVersion: 1\n\nVersion: 2\npackage:  b \n"));
    fuzz_seed(to, "guessed", slice_of_string("\4Package: a\n"));
    fuzz_seed(to, "base64", slice_of_string("\1AAECAwQ="));
    fuzz_seed(to, "unknown_field", slice_of_string("\1{\"key\":\"a\",\"value\":\"b\",\"ttl\":1}"));
}

const struct fuzz_target records_fuzz = {.name = "records", .run = run, .seed = seed};
