/* Wakes the loop from another thread, at most once per sleep: while the loop is awake it looks at all rings anyway, and a wake
 * costs more than an event. */
#ifndef ECSGUARD_WAKER_H
#define ECSGUARD_WAKER_H

#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

struct waker {
    int fd; /* eventfd(2), non-blocking */
    _Atomic int asleep; /* set by the loop before it sleeps, after which it must look at the rings once more */
};

static inline void waker_wake(struct waker *waker)
{
    /* What was put in a ring must be visible before `asleep` is read, or both sides could miss each other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&waker->asleep, memory_order_seq_cst) && atomic_exchange(&waker->asleep, 0)) {
        uint64_t one = 1;
        if (write(waker->fd, &one, sizeof one) < 0)
            return; /* EAGAIN: it is awake already */
    }
}

#endif
