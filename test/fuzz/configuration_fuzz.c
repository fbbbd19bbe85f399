/* configuration_fuzz.c - the configuration file of torcd.
 *
 * What is accepted lies in its range, and every value is read back as it is printed. What is refused is
 * refused with a sentence that names the file. */
#include "test/fuzz/fuzz.h"

#include "shard/serve/config_table.h"

#include <stdlib.h>

static void check_values(const struct options *o)
{
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        const struct option_row *row = &option_table[i];
        char text[OPTION_TEXT_BYTES], again[OPTION_TEXT_BYTES];
        if (o->sources[i].origin == ORIGIN_DEFAULT)
            continue;
        struct options *other = calloc(1, sizeof *other);
        ASSERT(other && o->sources[i].line > 0);
        option_format(o, row, text);
        int rc = option_parse(other, row, text);
        ASSERT(rc == 0);
        option_format(other, row, again);
        ASSERT(strcmp(text, again) == 0);
        ASSERT(memcmp((char *)o + row->offset, (char *)other + row->offset,
                      row->kind == OPTION_PATH ? 1 : row->bytes) == 0);
        free(other);
    }
}

static void run(struct slice input)
{
    struct options *o = calloc(1, sizeof *o);
    char why[OPTIONS_WHY_BYTES] = "";
    /* a stream in memory has at least one byte */
    FILE *stream =
        input.bytes ? fmemopen((void *)(uintptr_t)input.data, input.bytes, "r") : fopen("/dev/null", "re");
    ASSERT(o && stream);
    int rc = config_read_stream(o, stream, "torc.conf", why, sizeof why);
    fclose(stream);
    if (rc == 0) {
        ASSERT(why[0] == '\0');
        check_values(o);
    } else {
        ASSERT(rc == TORC_E_CONFIGURATION && strncmp(why, "torc.conf:", 10) == 0 && strlen(why) < sizeof why);
    }
    free(o);
}

static void seed(struct fuzz_seeds *to)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    ASSERT(stream);
    config_print_sample(stream);
    fclose(stream);
    fuzz_seed(to, "sample", slice_of(text, bytes));
    char *end = text; /* with every # before a key taken away */
    for (char *p = text; *p; p++)
        if (*p != '#' || p[1] == ' ' || p[1] == '\n')
            *end++ = *p;
    fuzz_seed(to, "sample_in_force", slice_of(text, (size_t)(end - text)));
    free(text);
    fuzz_seed(to, "values",
              slice_of_string("cores = 4\n[storage]\nmemtable-bytes = 64M ; half\nsegment-bytes=4096K\n"
                              "[network]\n listen = [::1]:7070\nidle-timeout = 90s\ninsecure = true\n"
                              "[log]\nlog-level = debug\n"));
    fuzz_seed(to, "given_twice", slice_of_string("cores = 4\ncores = 5\n"));
    fuzz_seed(to, "beyond_all_numbers", slice_of_string("memtable-bytes = 99999999999999999999T\n"));
    fuzz_seed(to, "no_assignment", slice_of_string("[storage\nmemtable-bytes\n"));
}

const struct fuzz_target configuration_fuzz = {.name = "configuration", .run = run, .seed = seed};
