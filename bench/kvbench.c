/* kvbench.c - the load generator and latency profiler: reads what is asked, runs the phases, writes the
 * reports.
 *
 * Results go to standard output, and the line a second with them; with --json - the JSON has standard output
 * for itself and the rest goes to standard error. */
#include "bench/clock.h"
#include "bench/report.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_HAD_ERRORS = 1, EXIT_COULD_NOT_RUN = 2, FILES_BESIDE_CONNECTIONS = 1024 };

static void on_signal(int signal_number)
{
    (void)signal_number;
    phase_interrupt();
}

/* One Ctrl-C ends the phase and still reports; a second ends the process. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool raise_file_limit(const struct options *o)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)o->connections + FILES_BESIDE_CONNECTIONS;
    if (o->class == &driver_null || getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return true;
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    fprintf(stderr, "kvbench: %u connections need a higher limit of open files: ulimit -n %lu\n",
            o->connections, (unsigned long)wanted);
    return false;
}

static FILE *open_output(const char *path)
{
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (!f)
        fprintf(stderr, "kvbench: %s: %s\n", path, error_sentence(-errno));
    return f;
}

static bool close_output(FILE *f, const char *path)
{
    bool is_good = fflush(f) == 0 && !ferror(f);
    if (f != stdout && fclose(f))
        is_good = false;
    if (!is_good)
        fprintf(stderr, "kvbench: %s: could not be written whole\n", path);
    return is_good;
}

static bool write_json(const struct report *r, const char *path)
{
    FILE *f = open_output(path);
    if (!f)
        return false;
    char *text = report_json(r);
    bool is_good = text && fprintf(f, "%s\n", text) > 0;
    free(text);
    return close_output(f, path) && is_good;
}

static bool write_html(const struct report *r, const char *path)
{
    FILE *f = open_output(path);
    if (!f)
        return false;
    bool is_good = report_html(f, r) == 0;
    return close_output(f, path) && is_good;
}

static int run_phases(const struct options *o, struct phase *phases, uint32_t *count, FILE *to)
{
    for (int is_running = 0; is_running < 2; is_running++) {
        if (is_running ? !o->does_run : !o->does_load)
            continue;
        char why[512] = "";
        int rc = phase_run(&phases[*count], o, !is_running, to, why, sizeof why);
        if (rc) {
            fprintf(stderr, "kvbench: %s\n", why[0] ? why : error_sentence(rc));
            phase_deinit(&phases[*count]);
            return rc;
        }
        report_text(to, &phases[*count]);
        (*count)++;
    }
    return 0;
}

static bool has_errors(const struct phase *phases, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (recorder_error_count(&phases[i].tally) + phases[i].unsent_count > 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct options options;
    options_parse(&options, argc, argv);
    if (!raise_file_limit(&options))
        return EXIT_COULD_NOT_RUN;
    catch_signals();
    prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
    bool is_json_on_output = options.json_path && strcmp(options.json_path, "-") == 0;
    FILE *to = is_json_on_output ? stderr : stdout;
    struct phase *phases = calloc(2, sizeof *phases);
    uint32_t count = 0;
    if (!phases)
        return EXIT_COULD_NOT_RUN;
    report_title(to, &options);
    int64_t at_wall_s = (int64_t)time(NULL);
    int rc = run_phases(&options, phases, &count, to);
    struct report report = {.options = &options,
                            .phases = phases,
                            .phase_count = count,
                            .at_wall_s = at_wall_s};
    bool is_written = rc == 0;
    if (rc == 0 && options.json_path)
        is_written = write_json(&report, options.json_path) && is_written;
    if (rc == 0 && options.html_path)
        is_written = write_html(&report, options.html_path) && is_written;
    int status = !is_written ? EXIT_COULD_NOT_RUN : has_errors(phases, count) ? EXIT_HAD_ERRORS : 0;
    for (uint32_t i = 0; i < count; i++)
        phase_deinit(&phases[i]);
    free(phases);
    return status;
}
