/* patience.c - see patience.h. */
#include "engine/patience.h"

#include "reactor/base/error.h"
#include "reactor/base/mark.h"

enum { TRIES_MAX = 100, TRY_NS = 20 * 1000 * 1000 };

int64_t read_patiently(struct reactor *r, struct file *f, void *to, size_t bytes, uint64_t offset)
{
    int64_t got = file_read(r, f, to, bytes, offset);
    for (unsigned i = 1; got < 0 && error_is_shortage((int)got) && i < TRIES_MAX; i++) {
        MARK(read_that_decides_what_counts_waits_for_memory);
        task_sleep(r, TRY_NS);
        got = file_read(r, f, to, bytes, offset);
    }
    return got;
}
