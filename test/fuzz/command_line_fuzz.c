/* command_line_fuzz.c - the flags and the environment of torcd: one a line, those that begin with TORC_ are
 * of the environment.
 *
 * Lines that would print to this program's output or open a file are left out. What is accepted agrees with
 * itself; what is refused is refused with a sentence. */
#include "test/fuzz/fuzz.h"

#include "shard/serve/config_table.h"

#include <stdlib.h>

enum { WORDS_MAX = 64 };

struct words {
    char *flags[WORDS_MAX + 2];
    char *environment[WORDS_MAX + 1];
    int flag_count;
    int environment_count;
};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* --config in all its abbreviations, --help, --help-format, --version, --print-config */
static bool is_left_out(const char *word)
{
    static const char *const beginnings[] = {"-c", "--h", "--ve", "--pr", "TORC_CONFIG="};
    for (size_t i = 0; i < ARRAY_COUNT(beginnings); i++)
        if (starts_with(word, beginnings[i]))
            return true;
    size_t bytes = strcspn(word, "=");
    return bytes >= 2 && strncmp(word, "--config", bytes < 8 ? bytes : 8) == 0;
}

static void take_word(struct words *w, char *word)
{
    if (is_left_out(word))
        return;
    if (!starts_with(word, "TORC_"))
        w->flags[w->flag_count++] = word;
    else
        w->environment[w->environment_count++] = word;
}

static void check(const struct options *o)
{
    ASSERT(o->cores >= 1 && o->cores <= 1u << o->vnode_bits && o->segment_bytes % 4096 == 0);
    ASSERT(o->log_bytes_max >= 2 * o->segment_bytes && o->node_id >= 1 && o->vnode_bits <= 14);
    for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
        char text[OPTION_TEXT_BYTES];
        struct options *other = calloc(1, sizeof *other);
        ASSERT(other);
        option_format(o, &option_table[i], text);
        int rc = text[0] ? option_parse(other, &option_table[i], text) : 0;
        ASSERT(rc == 0);
        free(other);
    }
}

static void run(struct slice input)
{
    char *text = malloc(input.bytes + 1);
    struct options *o = calloc(1, sizeof *o);
    struct words words = {.flags = {"torcd"}, .flag_count = 1};
    char why[OPTIONS_WHY_BYTES];
    ASSERT(text && o);
    *slice_put((uint8_t *)text, input) = '\0';
    char *next = text;
    for (int i = 0; next && i < WORDS_MAX; i++) {
        char *line = strsep(&next, "\n");
        take_word(&words, line);
    }
    enum options_next result =
        options_load(o, words.flag_count, words.flags, words.environment, why, sizeof why);
    ASSERT(result == OPTIONS_RUN || result == OPTIONS_WRONG);
    ASSERT((result == OPTIONS_WRONG) == (why[0] != '\0') && strlen(why) < sizeof why);
    if (result == OPTIONS_RUN)
        check(o);
    free(o);
    free(text);
}

static void seed(struct fuzz_seeds *to)
{
    fuzz_seed(to, "flags",
              slice_of_string(
                  "--cores=4\n-d\n/data\n--listen\n[::1]:9\n--memtable-bytes=2M\n-n8\n--insecure"));
    fuzz_seed(to, "environment",
              slice_of_string("TORC_CORES=2\nTORC_LOG_LEVEL=debug\nTORC_LISTEN=0.0.0.0:80\n--insecure=true"));
    fuzz_seed(to, "not_a_flag", slice_of_string("--frobnicate\nword\n--\n-"));
    fuzz_seed(to, "segments_too_large", slice_of_string("--segment-bytes=1G\n--log-bytes-max=1G"));
    fuzz_seed(to, "abbreviated", slice_of_string("--mem=1M\n--vn=3\n--co=9"));
}

const struct fuzz_target command_line_fuzz = {.name = "command_line", .run = run, .seed = seed};
