/* channel.c - messages between cores: one ring of messages for each ordered pair, and the wake-up of who
 * sleeps.
 *
 *   sender:    write slots ... tail (release, once a turn) ; fence ; sleeping? -> MSG_RING
 *   receiver:  tail (acquire), read slots, head (release, once a turn)
 *   to sleep:  sleeping = 1 ; fence ; any tail moved? -> stay awake : wait in the kernel ; sleeping = 0
 *
 * The two full fences pair: either the sender sees the flag or the receiver sees the tail, so no wake-up is
 * lost. Who takes the flag owes the wake-up: when the kernel refuses it, the flag is put back, for anybody to
 * take, and taken again a little later. Each side keeps a copy of the other's index and reads the shared one
 * only when the copy says full or empty. Here are the only atomics of torc, but for the order to stop and the
 * end of a listing. */
#include "reactor/uring/process.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
    CHANNEL_CAPACITY_DEFAULT = 1024,
    WAKE_AGAIN_NS = 1000 * 1000,
    WAKE_TRIES_MAX = 10 * 1000, /* ten seconds; then the next message wakes */
};

struct channel {
    alignas(CACHE_LINE) _Atomic uint32_t head; /* the receiver's: next to read */
    alignas(CACHE_LINE) _Atomic uint32_t tail; /* the sender's: next to be published */
    alignas(CACHE_LINE) uint32_t pending_tail; /* only the sender's from here: next to write */
    uint32_t head_seen;
    alignas(CACHE_LINE) uint32_t next_head; /* only the receiver's from here */
    alignas(CACHE_LINE) struct message slots[];
};

/* A connection on its way. The maker frees it once it is taken: it looks when it makes the next. */
struct handle {
    struct list link;
    int fd;
    atomic_bool is_taken;
};

/* TSan does not model fences and gcc refuses them under it; the edges that matter to it are tail and head. */
static inline void full_fence(void)
{
#if !REACTOR_HAS_TSAN
    atomic_thread_fence(memory_order_seq_cst);
#elif defined(__x86_64__)
    __asm__ volatile("mfence" ::: "memory");
#else
    __asm__ volatile("dmb ish" ::: "memory");
#endif
}

static unsigned capacity_of(const struct process *p)
{
    return p->options.channel_capacity ? p->options.channel_capacity : CHANNEL_CAPACITY_DEFAULT;
}

static size_t channel_bytes(const struct process *p)
{
    size_t bytes = sizeof(struct channel) + capacity_of(p) * sizeof(struct message);
    return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

/* Untouched pages cost nothing, so all pairs are mapped at once. */
int channels_map(struct process *p)
{
    size_t n = p->options.core_count;
    if (n == 1)
        return 0;
    p->channel_memory_bytes = n * n * channel_bytes(p);
    void *memory = mmap(NULL, p->channel_memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return TORC_E_NO_MEMORY;
    p->channel_memory = memory;
    return 0;
}

void channels_unmap(struct process *p)
{
    if (p->channel_memory)
        munmap(p->channel_memory, p->channel_memory_bytes);
    p->channel_memory = NULL;
}

static struct channel *channel_at(const struct process *p, unsigned from, unsigned to)
{
    size_t index = (size_t)from * p->options.core_count + to;
    return (struct channel *)(void *)((char *)p->channel_memory + index * channel_bytes(p));
}

/* The kernel has no memory for it, or no room in the other core's ring. */
static void on_refused(struct completion *c, int32_t result, uint32_t flags)
{
    struct wakeup *w = CONTAINER_OF(c, struct wakeup, refused);
    struct reactor *r = w->reactor;
    struct channel_ends *e = &r->channels;
    (void)result;
    (void)flags;
    r->core.counters.wakeups_refused++;
    atomic_store_explicit(&r->process->cores[w->core]->channels.is_sleeping, true, memory_order_relaxed);
    if (w->is_due || ++w->tries > WAKE_TRIES_MAX)
        return;
    w->is_due = true;
    e->due_count++;
    e->again_ns = r->core.now_ns + WAKE_AGAIN_NS;
}

int channels_open(struct reactor *r)
{
    struct channel_ends *e = &r->channels;
    unsigned n = r->core.core_count;
    list_init(&e->detached);
    e->capacity = capacity_of(r->process);
    e->out = heap_alloc(&r->core.heap, n * sizeof(struct channel *));
    e->in = heap_alloc(&r->core.heap, n * sizeof(struct channel *));
    e->dirty = heap_alloc(&r->core.heap, n * sizeof *e->dirty);
    e->wakeups = heap_alloc(&r->core.heap, n * sizeof *e->wakeups);
    if (!e->out || !e->in || !e->dirty || !e->wakeups)
        return TORC_E_NO_MEMORY;
    for (unsigned i = 0; n > 1 && i < n; i++) {
        e->wakeups[i] = (struct wakeup){.refused = {on_refused}, .reactor = r, .core = i};
        e->out[i] = channel_at(r->process, r->core.core, i);
        e->in[i] = channel_at(r->process, i, r->core.core);
    }
    return 0;
}

/* ---- sending ---- */

bool channel_send(struct reactor *r, unsigned core, const struct message *m)
{
    ASSERT(core < r->core.core_count && core != r->core.core);
    struct channel *c = r->channels.out[core];
    const uint32_t capacity = r->channels.capacity;
    if (c->pending_tail - c->head_seen == capacity)
        c->head_seen = atomic_load_explicit(&c->head, memory_order_acquire);
    if (c->pending_tail - c->head_seen == capacity)
        return false;
    if (c->pending_tail == atomic_load_explicit(&c->tail, memory_order_relaxed))
        r->channels.dirty[r->channels.dirty_count++] = (uint16_t)core;
    struct message *slot = &c->slots[c->pending_tail & (capacity - 1)];
    *slot = *m;
    slot->from = r->core.core;
    c->pending_tail++;
    r->core.counters.messages_sent++;
    return true;
}

void channel_wake(struct reactor *r, unsigned core)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_msg_ring(sqe, r->process->cores[core]->uring.ring_fd, 0, RING_UNCOUNTED, 0);
    ring_attach_failure(sqe, &r->channels.wakeups[core].refused);
    r->core.counters.wakeups_sent++;
}

static void wake_if_asleep(struct reactor *r, unsigned core)
{
    atomic_bool *is_sleeping = &r->process->cores[core]->channels.is_sleeping;
    if (atomic_load_explicit(is_sleeping, memory_order_relaxed) &&
        atomic_exchange_explicit(is_sleeping, false, memory_order_relaxed))
        channel_wake(r, core);
}

void channels_wake_again(struct reactor *r)
{
    struct channel_ends *e = &r->channels;
    for (unsigned i = 0; e->due_count > 0; i++) {
        ASSERT(i < r->core.core_count);
        if (!e->wakeups[i].is_due)
            continue;
        e->wakeups[i].is_due = false;
        e->due_count--;
        wake_if_asleep(r, i);
    }
}

void channels_publish(struct reactor *r)
{
    struct channel_ends *e = &r->channels;
    if (e->due_count > 0 && r->core.now_ns >= e->again_ns)
        channels_wake_again(r);
    if (e->dirty_count == 0)
        return;
    for (unsigned i = 0; i < e->dirty_count; i++) {
        struct channel *c = e->out[e->dirty[i]];
        atomic_store_explicit(&c->tail, c->pending_tail, memory_order_release);
    }
    full_fence();
    for (unsigned i = 0; i < e->dirty_count; i++) {
        e->wakeups[e->dirty[i]].tries = 0;
        wake_if_asleep(r, e->dirty[i]);
    }
    e->dirty_count = 0;
}

/* ---- receiving ---- */

static unsigned receive_from(struct reactor *r, struct channel *c)
{
    uint32_t tail = atomic_load_explicit(&c->tail, memory_order_acquire);
    unsigned count = tail - c->next_head;
    if (count == 0)
        return 0;
    ASSERT(r->core.message_handler && count <= r->channels.capacity);
    for (; c->next_head != tail; c->next_head++)
        r->core.message_handler(r->core.message_context,
                                &c->slots[c->next_head & (r->channels.capacity - 1)]);
    atomic_store_explicit(&c->head, tail, memory_order_release);
    return count;
}

unsigned channels_receive(struct reactor *r)
{
    unsigned count = 0;
    for (unsigned i = 0; r->core.message_handler && i < r->core.core_count; i++)
        if (i != r->core.core)
            count += receive_from(r, r->channels.in[i]);
    return count;
}

bool channels_may_sleep(struct reactor *r)
{
    struct channel_ends *e = &r->channels;
    if (r->core.core_count == 1)
        return true;
    atomic_store_explicit(&e->is_sleeping, true, memory_order_relaxed);
    full_fence();
    bool has_message = false;
    for (unsigned i = 0; r->core.message_handler && i < r->core.core_count; i++)
        if (i != r->core.core)
            has_message |= atomic_load_explicit(&e->in[i]->tail, memory_order_relaxed) != e->in[i]->next_head;
    if (has_message)
        channels_awake(r);
    return !has_message;
}

void channels_awake(struct reactor *r)
{
    atomic_store_explicit(&r->channels.is_sleeping, false, memory_order_relaxed);
}

/* ---- connections on their way ---- */

static void free_taken(struct reactor *r)
{
    while (!list_is_empty(&r->channels.detached)) {
        struct handle *oldest = CONTAINER_OF(r->channels.detached.next, struct handle, link);
        if (!atomic_load_explicit(&oldest->is_taken, memory_order_acquire))
            return;
        list_remove(&oldest->link);
        heap_free(&r->core.heap, oldest);
    }
}

int handle_make(struct reactor *r, int fd, int64_t *handle)
{
    free_taken(r);
    struct handle *h = heap_alloc(&r->core.heap, sizeof *h);
    if (!h)
        return TORC_E_NO_MEMORY;
    h->fd = fd;
    atomic_init(&h->is_taken, false);
    list_push_back(&r->channels.detached, &h->link);
    *handle = (int64_t)(intptr_t)h;
    return 0;
}

int handle_take(int64_t handle)
{
    struct handle *h = (struct handle *)(intptr_t)handle;
    int fd = h->fd;
    ASSERT(fd >= 0);
    h->fd = -1;
    atomic_store_explicit(&h->is_taken, true, memory_order_release);
    return fd;
}

void channels_close(struct reactor *r)
{
    struct channel_ends *e = &r->channels;
    if (!e->detached.next)
        return;
    for (struct list *link; (link = list_pop_front(&e->detached));) {
        struct handle *h = CONTAINER_OF(link, struct handle, link);
        if (h->fd >= 0)
            close(h->fd);
    }
}
