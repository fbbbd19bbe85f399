/* tree.c - what a directory holds; see tree.h. */
#include "test/process/tree.h"

#include "test/process/process.h"
#include "test/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 4 };

static void describe(FILE *out, const char *path, unsigned depth)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char below[PROCESS_PATH_BYTES * 2];
        struct stat status;
        const char *name = names[i]->d_name;
        bool is_entry = strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
        snprintf(below, sizeof below, "%s/%s", path, name);
        if (is_entry && lstat(below, &status) == 0) {
            fprintf(out, "%s %o %lld %lld.%09ld\n", below, status.st_mode, (long long)status.st_size,
                    (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
            if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX)
                describe(out, below, depth + 1);
        }
        free(names[i]);
    }
    free(names);
}

char *tree_describe(const char *directory)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    ASSERT(out);
    struct stat status;
    if (lstat(directory, &status) == 0)
        fprintf(out, "%s %o %lld.%09ld\n", directory, status.st_mode, (long long)status.st_mtim.tv_sec,
                status.st_mtim.tv_nsec);
    describe(out, directory, 0);
    ASSERT(fclose(out) == 0);
    return text;
}

void tree_write(const char *directory, const char *name, const char *text)
{
    char path[PROCESS_PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = fopen(path, "we");
    ASSERT(f);
    ASSERT(fputs(text, f) >= 0);
    ASSERT(fclose(f) == 0);
}
