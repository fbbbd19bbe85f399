/* signal.c - SIGTERM and SIGINT become a call of the stop handler on core 0.
 *
 * The signals are blocked in every thread; core 0 polls a signalfd through its ring and reads what is there.
 * Without a handler the signal does what it does to any process: end it. */
#include "reactor/uring/uring.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void arm(struct reactor *r)
{
    struct io_uring_sqe *sqe = ring_sqe(r);
    io_uring_prep_poll_multishot(sqe, r->signal_fd, POLLIN);
    ring_attach(r, sqe, &r->signal_completion);
}

static void end_process(int signal_number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void on_signal(struct completion *c, int32_t result, uint32_t flags)
{
    struct reactor *r = CONTAINER_OF(c, struct reactor, signal_completion);
    struct signalfd_siginfo info;
    while (result >= 0 && read(r->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (!r->core.stop_handler)
            end_process((int)info.ssi_signo);
        else
            r->core.stop_handler(r->core.stop_context);
    }
    if (!(flags & IORING_CQE_F_MORE) && result != -ECANCELED)
        arm(r);
}

int signals_open(struct reactor *r)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r->signal_fd < 0)
        return -errno;
    r->signal_completion.done = on_signal;
    arm(r);
    return 0;
}

void signals_close(struct reactor *r)
{
    if (r->signal_fd >= 0)
        close(r->signal_fd);
    r->signal_fd = -1;
}
