/* listing.c - the names of a directory, read by a thread of its own.
 *
 *   core:    start thread, poll its descriptor through the ring ........... sorted names -> each, in slices
 *   thread:  opendir, readdir, sort .................. is_over, descriptor
 *
 * The ring cannot read a directory, and a plain call blocks: on a slow file system for seconds, on one that
 * is gone for minutes, and with it all that the core serves. So a thread does it that has nothing of the
 * core's, neither heap nor processor, and a core that ends does not wait for it: who lets go last frees the
 * listing. */
#include "reactor/uring/process.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    TEXT_FIRST = 4096,
    NAMES_MAX = 1 << 24,
    NAMES_A_SLICE = 64, /* between two looks at the clock */
    THREAD_NICE = 10,   /* sorting gives way to serving */
};
static const uint64_t POLL_AGAIN_NS = 1000 * 1000;

struct listing {
    struct list link; /* of the core, which alone uses it */
    atomic_uint holders;
    atomic_bool is_over; /* from then on the rest is the core's, until then the thread's */
    int wake_fd;
    int rc;
    char *text; /* the names, each with a zero byte */
    size_t bytes;
    size_t capacity;
    char **names;
    size_t count;
    char path[];
};

static void release(struct listing *l)
{
    if (atomic_fetch_sub_explicit(&l->holders, 1, memory_order_acq_rel) > 1)
        return;
    close(l->wake_fd);
    free(l->text);
    free(l->names);
    free(l);
}

/* ---- the thread ---- */

static int add_name(struct listing *l, const char *name)
{
    size_t bytes = strlen(name) + 1;
    if (l->count == NAMES_MAX)
        return TORC_E_NO_MEMORY;
    if (l->capacity - l->bytes < bytes) {
        size_t capacity = l->capacity ? l->capacity * 2 : TEXT_FIRST;
        char *text = realloc(l->text, capacity);
        if (!text)
            return TORC_E_NO_MEMORY;
        l->text = text;
        l->capacity = capacity;
    }
    memcpy(l->text + l->bytes, name, bytes);
    l->bytes += bytes;
    l->count++;
    return 0;
}

static int read_names(struct listing *l, DIR *directory)
{
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (!entry)
            return errno ? -errno : 0;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = add_name(l, entry->d_name);
    }
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int sort_names(struct listing *l)
{
    char *name = l->text;
    if (l->count == 0)
        return 0;
    l->names = malloc(l->count * sizeof *l->names);
    if (!l->names)
        return TORC_E_NO_MEMORY;
    for (size_t i = 0; i < l->count; i++, name += strlen(name) + 1)
        l->names[i] = name;
    qsort(l->names, l->count, sizeof *l->names, by_bytes);
    return 0;
}

static void take(struct listing *l)
{
    DIR *directory = opendir(l->path);
    if (!directory) {
        l->rc = -errno;
        return;
    }
    l->rc = read_names(l, directory);
    closedir(directory);
    if (l->rc == 0)
        l->rc = sort_names(l);
}

static void *listing_thread(void *argument)
{
    struct listing *l = argument;
    setpriority(PRIO_PROCESS, 0, THREAD_NICE); /* of this thread alone; one that is refused is no matter */
    take(l);
    atomic_store_explicit(&l->is_over, true, memory_order_release);
    eventfd_write(l->wake_fd, 1);
    release(l);
    return NULL;
}

/* ---- the core ---- */

/* Null, and why, without memory or descriptors. */
static struct listing *listing_new(struct reactor *r, const char *path, int *rc)
{
    size_t bytes = strlen(path) + 1;
    struct listing *l = calloc(1, sizeof *l + bytes);
    *rc = TORC_E_NO_MEMORY;
    if (!l)
        return NULL;
    memcpy(l->path, path, bytes);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0) {
        *rc = -errno;
        free(l);
        return NULL;
    }
    atomic_init(&l->holders, 2);
    list_push_back(&r->listings, &l->link);
    return l;
}

static void listing_drop(struct listing *l)
{
    list_remove(&l->link);
    release(l);
}

/* Not on the processor of the core that asks. */
static int start_thread(struct reactor *r, struct listing *l)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int rc = pthread_attr_init(&attributes);
    if (rc)
        return rc;
    rc = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (rc == 0 && r->process->options.first_cpu >= 0)
        rc = pthread_attr_setaffinity_np(&attributes, sizeof r->process->cpus, &r->process->cpus);
    if (rc == 0)
        rc = pthread_create(&thread, &attributes, listing_thread, l);
    pthread_attr_destroy(&attributes);
    return rc;
}

static void await_end(struct reactor *r, struct listing *l)
{
    while (!atomic_load_explicit(&l->is_over, memory_order_acquire)) {
        struct io_uring_sqe *sqe = ring_sqe(r);
        io_uring_prep_poll_add(sqe, l->wake_fd, POLLIN);
        if (ring_await(r, sqe) < 0)
            task_sleep(r, POLL_AGAIN_NS);
    }
}

int directory_list(struct reactor *r, const char *path, int (*each)(void *context, const char *name),
                   void *context)
{
    int rc;
    struct listing *l = listing_new(r, path, &rc);
    if (!l)
        return rc;
    if (start_thread(r, l) == 0) {
        await_end(r, l);
    } else { /* the system has no thread left: better late than not at all */
        take(l);
        release(l);
    }
    rc = l->rc;
    for (size_t i = 0; rc == 0 && i < l->count; i++) {
        rc = each(context, l->names[i]);
        if (i % NAMES_A_SLICE == NAMES_A_SLICE - 1)
            task_yield_if_due(r);
    }
    listing_drop(l);
    return rc;
}

void listings_drop_all(struct reactor *r)
{
    while (!list_is_empty(&r->listings))
        listing_drop(CONTAINER_OF(r->listings.next, struct listing, link));
}
