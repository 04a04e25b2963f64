/*  publisher_poll.c - lets a publisher work, and waits for the broker */

#include "publisher_state.h"
#include <errno.h>
#include <time.h>

int publisher_turn(seqpush_publisher_t *self)
{
    int rc = publisher_take_replies(self);
    int64_t now = socket_clock();
    lanes_wake(&self->lanes, now);
    if (self->options.confirm)
        confirm_turn(self, now);
    seqpush_publisher_flush(self);
    if (!self->outbox.blocked)
        outbox_resend_overdue(&self->outbox, now);
    self->stats.retries = self->lanes.retries;
    self->stats.resends = self->outbox.resends + self->offered_again;
    return rc;
}

//  While the window is full and replies are flowing they are left to gather: at 8 pushes a µs, more
//  than any broker decides, an eighth of the window is not free before this time. Each wake-up
//  that is saved is processor time for the broker.
static int s_gather(seqpush_publisher_t *self, int64_t until)
{
    size_t max = self->options.undecided_max;
    long us = (long)((max < self->outbox.credit ? max : self->outbox.credit) / 64);
    if (!self->flowing || us < 50 || (until >= 0 && until - socket_clock() < 2))
        return 0;
    struct timespec time = {.tv_nsec = (us < 1000 ? us : 1000) * 1000};
    return nanosleep(&time, NULL) == -1 ? -errno : 0;
}

int publisher_wait(seqpush_publisher_t *self, int64_t until)
{
    if (self->lanes.pausing)
        until = socket_earlier(until, self->lanes.pausing->due);
    until = socket_earlier(until, outbox_overdue_at(&self->outbox));
    until = socket_earlier(until, confirm_due_at(self));
    short events = (short)(ZMQ_POLLIN | (self->outbox.blocked ? ZMQ_POLLOUT : 0));
    zmq_pollitem_t items[] = {
        {.socket = self->socket, .events = events},
        {.socket = self->monitor, .events = ZMQ_POLLIN},
    };
    self->flowing = false;
    return socket_wait(items, self->monitor ? 2 : 1, until);
}

static bool s_is_eighth_free(size_t used, size_t max, size_t held)
{
    size_t window = max > held ? max - held : 0;
    return used - held <= window - window / 8;
}

//  True if it pays to hand in more: an eighth is free of what pushes in lanes do not take up.
static bool s_is_roomy(const seqpush_publisher_t *self)
{
    uint32_t credit = self->outbox.credit;
    return publisher_moving(self) <= credit - credit / 8 &&
           s_is_eighth_free(self->undecided, self->options.undecided_max, self->lanes.held) &&
           s_is_eighth_free(self->undecided_bytes, self->options.undecided_bytes,
                            self->lanes.held_bytes);
}

long seqpush_publisher_poll(seqpush_publisher_t *self, int timeout_ms)
{
    int64_t until = socket_deadline(timeout_ms);
    uint64_t decided = self->decided;
    for (;;) {
        int rc = publisher_turn(self);
        bool roomy = s_is_roomy(self);
        if (self->undecided == 0 || (roomy && self->decided != decided) || timeout_ms == 0)
            return rc < 0 ? rc : (long)self->undecided;
        if (rc == 0 && !roomy)
            rc = s_gather(self, until);
        if (rc == 0)
            rc = publisher_wait(self, until);
        if (rc < 0)
            return rc;
        if (until >= 0 && socket_clock() >= until)
            timeout_ms = 0;
    }
}

int seqpush_publisher_drain(seqpush_publisher_t *self, int timeout_ms)
{
    int64_t until = socket_deadline(timeout_ms);
    for (;;) {
        int64_t left = until < 0 ? -1 : until - socket_clock();
        long rc = seqpush_publisher_poll(self, left < 0 && until >= 0 ? 0 : (int)left);
        if (rc <= 0)
            return (int)rc;
        if (until >= 0 && left <= 0)
            return -ETIMEDOUT;
    }
}
