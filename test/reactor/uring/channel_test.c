/* channel_test.c - wake-ups that the kernel refuses.
 *
 * Core 0 names a descriptor that is no ring for the ring of core 1, which sleeps, and makes it one after some
 * refusals. What core 0 is told of them is looked at on the way. */
#include "reactor/uring/process.h"
#include "test/test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const uint64_t PATIENCE_NS = UINT64_C(5) * 1000 * 1000 * 1000;

struct refusal {
    struct reactor *reactors[2];
    struct wakeup *wakeup; /* of core 1, by core 0 */
    void (*told)(struct completion *c, int32_t result, uint32_t flags);
    unsigned count;     /* so far */
    unsigned count_max; /* then the descriptor is a ring */
    bool gives_up;      /* as if this had gone on for long */
    bool stops;         /* core 0 ends while its wake-up is refused */
    unsigned sends;     /* of messages to core 1 */
    unsigned received;  /* by it */
    bool is_late;       /* it was not woken */
    int ring;
    int stand_in;
    struct event answered;
    struct event refused;
};

static struct refusal *now; /* of the test that runs: a wake-up does not know of it */

static void be_told(struct completion *c, int32_t result, uint32_t flags)
{
    CU_ASSERT_EQUAL(result, -EBADFD);
    CU_ASSERT_PTR_EQUAL(c, &now->wakeup->refused);
    if (++now->count == now->count_max)
        CU_ASSERT_EQUAL(dup2(now->ring, now->stand_in), now->stand_in);
    if (now->gives_up)
        now->wakeup->tries = UINT32_MAX / 2;
    now->told(c, result, flags);
    event_set(now->reactors[0], &now->refused, 0);
}

static void refuse_wakeups(struct refusal *f)
{
    struct reactor *r = f->reactors[0];
    struct io_uring *target = &r->process->cores[1]->uring;
    now = f;
    f->wakeup = &r->channels.wakeups[1];
    f->told = f->wakeup->refused.done;
    f->wakeup->refused.done = be_told;
    f->ring = target->ring_fd;
    f->stand_in = open("/dev/null", O_RDWR | O_CLOEXEC);
    CU_ASSERT_FATAL(f->stand_in >= 0);
    target->ring_fd = f->stand_in; /* core 1 enters its ring by another name, and closes this one */
}

static void on_message(void *context, const struct message *m)
{
    struct refusal *f = context;
    if (m->from == 1) {
        event_set(f->reactors[0], &f->answered, 0);
        return;
    }
    if (++f->received < f->sends)
        return;
    if (!f->stops)
        CU_ASSERT(channel_send(f->reactors[1], 0, &(struct message){.kind = 1}));
    reactor_stop(f->reactors[1]);
}

static int sleep_deeply(struct refusal *f, struct reactor *r)
{
    struct event never;
    event_init(&never);
    f->is_late = event_wait(r, &never, PATIENCE_NS) == TORC_E_TIMEOUT;
    return 0;
}

/* Waits: until core 1 is asleep. */
static void await_sleep(struct reactor *r)
{
    uint64_t start = reactor_clock_ns(r);
    while (!atomic_load(&r->process->cores[1]->channels.is_sleeping)) {
        task_yield(r);
        ASSERT(reactor_clock_ns(r) - start < PATIENCE_NS);
    }
}

static int run(struct reactor *r, void *context)
{
    struct refusal *f = context;
    f->reactors[reactor_core(r)] = r;
    reactor_set_message_handler(r, on_message, f);
    if (reactor_core(r) == 1)
        return sleep_deeply(f, r);
    event_init(&f->answered);
    event_init(&f->refused);
    await_sleep(r);
    refuse_wakeups(f);
    for (unsigned i = 0; i < f->sends; i++) {
        int refused = i == 0 ? 0 : event_wait(r, &f->refused, PATIENCE_NS);
        CU_ASSERT_EQUAL(refused, 0);
        CU_ASSERT(channel_send(r, 1, &(struct message){.kind = 1}));
    }
    int rc = f->stops ? 0 : event_wait(r, &f->answered, 2 * PATIENCE_NS);
    CU_ASSERT_EQUAL(reactor_counters(r).wakeups_refused, f->count);
    reactor_stop(r);
    return rc;
}

static void run_refused(struct refusal *f)
{
    char why[256] = "";
    struct reactor_options options = {.core_count = 2, .first_cpu = -1};
    CU_ASSERT_EQUAL(reactor_run(&options, run, f, why, sizeof why), 0);
    CU_ASSERT_EQUAL(f->received, f->sends);
    CU_ASSERT_EQUAL(f->count, f->count_max);
    CU_ASSERT_FALSE(f->is_late);
    close(f->ring);
}

TEST(a_wake_up_that_is_refused_is_sent_again)
{
    run_refused(&(struct refusal){.count_max = 3, .sends = 1});
}

TEST(a_core_that_ends_still_wakes_the_one_it_has_written_to)
{
    run_refused(&(struct refusal){.count_max = 3, .sends = 1, .stops = true});
}

TEST(a_wake_up_that_was_given_up_is_left_to_the_next_message)
{
    run_refused(&(struct refusal){.count_max = 1, .sends = 2, .gives_up = true});
}
