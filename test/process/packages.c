/* packages.c - an index of Debian packages; see packages.h. */
#include "test/process/packages.h"

#include "test/process/process.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- making one ---- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005 + 1442695040888963407;
    return *state >> 33;
}

static void write_words(FILE *f, uint64_t *random, unsigned bytes)
{
    static const char *const words[] = {
        "library", "for",  "the",    "runtime", "of",    "tools", "and",   "files", "Gr\303\266\303\237e",
        "server",  "data", "common", "shared",  "debug", "a",     "Python"};
    unsigned column = 1, written = 0;
    fputc(' ', f);
    while (written < bytes) {
        const char *word = words[next_random(random) % ARRAY_COUNT(words)];
        unsigned length = (unsigned)strlen(word);
        if (column + length > 76) {
            fputs("\n ", f);
            column = 1;
        }
        fprintf(f, "%s ", word);
        column += length + 1;
        written += length + 1;
    }
    fputc('\n', f);
}

void packages_generate(const char *path, uint32_t count, uint64_t seed)
{
    FILE *f = fopen(path, "we");
    ASSERT(f);
    uint64_t random = seed;
    for (uint32_t i = 0; i < count; i++) {
        unsigned kind = (unsigned)next_random(&random) % 4;
        static const char *const suffixes[] = {"", "-dev", "-doc", "-dbgsym"};
        fprintf(f, "Package: lib%05x-%u%s\n", i * 7919 % 0xfffff, i, suffixes[kind]);
        fprintf(f, "Version: %u.%u.%u-%u\nArchitecture: amd64\n", kind, i % 100,
                (unsigned)next_random(&random) % 50, (unsigned)next_random(&random) % 9 + 1);
        fprintf(f, "Maintainer: Someone <someone@example.org>\nInstalled-Size: %u\n",
                (unsigned)next_random(&random) % 100000);
        fprintf(f, "Depends: libc6 (>= 2.36), libgcc-s1 (>= 3.0)\nSHA256: %016llx%016llx\n",
                (unsigned long long)next_random(&random), (unsigned long long)next_random(&random));
        fputs("Description: something to install\n", f);
        write_words(f, &random, 60 + (unsigned)next_random(&random) % 1100);
        fputc('\n', f);
    }
    ASSERT(fclose(f) == 0);
}

bool packages_from_apt(const char *path)
{
    static const char *const argv[] = {"/usr/bin/apt-cache", "dumpavail", NULL};
    struct process p;
    struct process_options options = {.argv = argv, .directory = test_directory()};
    return access(argv[0], X_OK) == 0 && process_start(&p, &options) && process_end(&p, 60000) == 0 &&
           rename(p.out, path) == 0;
}

void packages_add_line(const char *from, const char *to, const char *line)
{
    struct packages p;
    packages_read(&p, from);
    FILE *f = fopen(to, "we");
    ASSERT(f);
    for (uint32_t i = 0; i < p.count; i++)
        fprintf(f, "%.*s\n%s\n\n", (int)p.items[i].value.bytes, (const char *)p.items[i].value.data, line);
    ASSERT(fclose(f) == 0);
    packages_free(&p);
}

/* ---- reading one ---- */

static struct slice key_of(struct slice stanza)
{
    static const char field[] = "Package: ";
    const char *at = memmem(stanza.data, stanza.bytes, field, strlen(field));
    ASSERT(at);
    at += strlen(field);
    const char *end = memchr(at, '\n', stanza.bytes);
    ASSERT(end);
    return slice_of(at, (size_t)(end - at));
}

void packages_read(struct packages *p, const char *path)
{
    size_t bytes, capacity = 1024;
    *p = (struct packages){.text = process_read_file(path, &bytes)};
    p->items = malloc(capacity * sizeof *p->items);
    ASSERT(p->items);
    const char *at = p->text, *end;
    while ((end = memmem(at, (size_t)(p->text + bytes - at), "\n\n", 2)) != NULL) {
        if (p->count == capacity) {
            capacity *= 2;
            p->items = realloc(p->items, capacity * sizeof *p->items);
            ASSERT(p->items);
        }
        struct slice stanza = slice_of(at, (size_t)(end - at));
        p->items[p->count] = (struct package){.key = key_of(stanza), .value = stanza, .order = p->count};
        p->count++;
        at = end + 2;
    }
}

void packages_free(struct packages *p)
{
    free(p->items);
    free(p->text);
    *p = (struct packages){0};
}

static int by_key(const void *a, const void *b)
{
    const struct package *x = a, *y = b;
    int order = slice_compare(x->key, y->key);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

void packages_sort(struct packages *p)
{
    qsort(p->items, p->count, sizeof *p->items, by_key);
}

uint32_t packages_find(const struct packages *p, struct slice key, uint32_t *first)
{
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(p->items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    uint32_t count = 0;
    while (low + count < p->count && slice_equal(p->items[low + count].key, key))
        count++;
    return count;
}
