/* rerun.c - starts this program again for one history; see rerun.h. */
#include "test/sim/rerun.h"

#include "test/sim/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 2 * SIM_FAULT_COUNT + 16, TEXT_BYTES = 4096, OTHER_FILL = 0x5c };

/* Splits at blanks, in place. Returns: how many words. */
static int split(char *text, char **words, int count_max)
{
    int count = 0;
    char *rest;
    for (char *word = strtok_r(text, " ", &rest); word && count < count_max;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    return count;
}

static void become(const char *kind, const struct history_request *request, int output)
{
    char filter[TEXT_BYTES], text[TEXT_BYTES * 2];
    char *words[ARGUMENTS_MAX + 1] = {NULL};
    snprintf(text, sizeof text, "sim --seed %llu --kind %s --heap-fill %d --trace-only%s",
             (unsigned long long)request->seed, kind, OTHER_FILL,
             options_filter_text(&request->filter, filter, sizeof filter));
    split(text, words, ARGUMENTS_MAX);
    if (dup2(output, STDOUT_FILENO) >= 0)
        execv("/proc/self/exe", words);
    _exit(127);
}

int rerun_trace(const struct history_kind *kind, const struct history_request *request, uint64_t *hash)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        become(kind->name, request, ends[1]);
    }
    close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    unsigned long long value = 0;
    bool is_read = from && child > 0 && fscanf(from, RERUN_LINE, &value) == 1;
    if (from)
        fclose(from);
    else
        close(ends[0]);
    int status = 0;
    if (child > 0 && waitpid(child, &status, 0) != child)
        is_read = false;
    *hash = value;
    return is_read ? 0 : -1;
}
