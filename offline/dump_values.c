/* dump_values.c - prints a value log: where each value is, how long, and what it begins with.
 *
 * Keys are in the tables that point here, not in this file. */
#include "engine/values_visit.h"
#include "offline/dump.h"
#include "offline/offline.h"
#include "offline/run.h"

#include <stdio.h>

enum { SHOWN_BYTES = 64 };

static void print_value(const struct values_found *f)
{
    if (!f->is_sound) {
        printf("  %llu: DAMAGED: %llu bytes without a whole value\n", (unsigned long long)f->offset,
               (unsigned long long)f->bytes);
        return;
    }
    bool is_cut = f->value.bytes > SHOWN_BYTES;
    printf("  %llu: value %zu ", (unsigned long long)f->offset, f->value.bytes);
    offline_print_bytes(slice_of(f->value.data, is_cut ? SHOWN_BYTES : f->value.bytes));
    puts(is_cut ? "..." : "");
}

int dump_values(struct reactor *r, const char *path, uint64_t number)
{
    struct values_visit v;
    struct values_found found;
    bool is_damaged = false;
    int rc = values_visit_open(&v, r, path, number);
    if (rc == 0)
        printf("value log: number %016llx, %llu bytes\n", (unsigned long long)number,
               (unsigned long long)v.bytes);
    for (bool is_over = rc != 0; !is_over;) {
        rc = values_visit_next(&v, &found);
        is_over = rc != 1;
        if (rc == 1) {
            print_value(&found);
            is_damaged |= !found.is_sound;
        }
    }
    values_visit_close(&v);
    if (rc < 0)
        return offline_complain("%s: %s", path, error_sentence(rc));
    return is_damaged ? OFFLINE_DAMAGED : OFFLINE_GOOD;
}
