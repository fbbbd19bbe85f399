/* replay.c - runs every target over its corpus, without libFuzzer, and counts inputs for tools/run-tests.
 *
 *   build/test/fuzz                     all of test/fuzz/corpus
 *   build/test/fuzz TARGET [FILE ...]   one target, over its corpus or over these files
 *   build/test/fuzz --seeds FOLDER      writes what each target begins with into FOLDER/TARGET
 *
 * Each input has a process of its own: one that ends it is named, and the others run all the same. */
#include "test/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 512, INPUT_BYTES_MAX = 4 << 20 };
static const char corpus[] = "test/fuzz/corpus";

struct fuzz_seeds {
    char folder[PATH_BYTES];
};

struct count {
    unsigned passed;
    unsigned failed;
};

static const struct fuzz_target *const targets[] = {
#define FUZZ_ROW(name) &name##_fuzz,
    FUZZ_TARGETS(FUZZ_ROW)
#undef FUZZ_ROW
};

size_t fuzz_mutate_bytes(const struct fuzz_bytes *input)
{
    return input->bytes;
}

static const struct fuzz_target *find_target(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++)
        if (strcmp(targets[i]->name, name) == 0)
            return targets[i];
    return NULL;
}

/* ---- replay ---- */

/* Returns: the bytes of the file, freed by the caller; null when it cannot be read. */
static uint8_t *read_input(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "re");
    uint8_t *data = file ? malloc(INPUT_BYTES_MAX) : NULL;
    if (data)
        *bytes = fread(data, 1, INPUT_BYTES_MAX, file);
    if (file)
        fclose(file);
    return data;
}

static bool run_child(const struct fuzz_target *target, const char *path)
{
    size_t bytes = 0;
    uint8_t *data = read_input(path, &bytes);
    if (!data)
        return false;
    uint8_t *exact = fuzz_copy(slice_of(data, bytes));
    free(data);
    target->run(slice_of(exact, bytes));
    free(exact);
    return true;
}

static void replay(const struct fuzz_target *target, const char *path, struct count *count)
{
    fflush(stdout);
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0)
        exit(run_child(target, path) ? 0 : 1);
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        ASSERT(errno == EINTR);
    bool has_passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    count->passed += has_passed;
    count->failed += !has_passed;
    if (!has_passed)
        printf("%s: failed; again: build/test/fuzz %s %s\n", path, target->name, path);
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay_corpus(const struct fuzz_target *target, struct count *count)
{
    char folder[PATH_BYTES], path[2 * PATH_BYTES];
    struct dirent **names = NULL;
    snprintf(folder, sizeof folder, "%s/%s", corpus, target->name);
    int found = scandir(folder, &names, is_input, alphasort);
    if (found <= 0) {
        printf("%s: no input\n", folder);
        count->failed++;
    }
    unsigned passed = count->passed;
    for (int i = 0; i < found; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        replay(target, path, count);
        free(names[i]);
    }
    free(names);
    printf("  %s: %u of %d inputs passed\n", target->name, count->passed - passed, found);
}

/* ---- seeds ---- */

void fuzz_seed(struct fuzz_seeds *to, const char *name, struct slice input)
{
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", to->folder, name);
    FILE *file = fopen(path, "we");
    if (!file || fwrite(input.data, 1, input.bytes, file) != input.bytes || fclose(file) != 0) {
        fprintf(stderr, "%s: cannot be written\n", path);
        exit(1);
    }
}

static void write_seeds(const char *folder)
{
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        struct fuzz_seeds seeds;
        snprintf(seeds.folder, sizeof seeds.folder, "%s/%s", folder, targets[i]->name);
        if (mkdir(seeds.folder, 0777) != 0 && errno != EEXIST) {
            fprintf(stderr, "%s: cannot be made\n", seeds.folder);
            exit(1);
        }
        targets[i]->seed(&seeds);
    }
}

int main(int argc, char **argv)
{
    struct count count = {0};
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        write_seeds(argv[2]);
        return 0;
    }
    const struct fuzz_target *target = argc > 1 ? find_target(argv[1]) : NULL;
    if (argc > 1 && !target) {
        fprintf(stderr, "usage: fuzz [TARGET [FILE ...]] | --seeds FOLDER\ntargets:");
        for (size_t i = 0; i < ARRAY_COUNT(targets); i++)
            fprintf(stderr, " %s", targets[i]->name);
        fprintf(stderr, "\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        replay(target, argv[i], &count);
    for (size_t i = 0; argc <= 2 && i < ARRAY_COUNT(targets); i++)
        if (!target || target == targets[i])
            replay_corpus(targets[i], &count);
    printf("fuzz: %u passed, %u failed\n", count.passed, count.failed);
    return count.failed == 0 && count.passed > 0 ? 0 : 1;
}
