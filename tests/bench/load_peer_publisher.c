/*  load_peer_publisher.c - a publisher of seqpush.h in a counterpart's protocol */

#include "load.h"
#include "session.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define UNWRITTEN_MAX ((size_t)1 << 20) //  bytes

struct seqpush_publisher {
    session_t session;
    size_t batch_max, undecided_max;
    size_t batched; //  pushes since the last flush
    seqpush_publisher_stats_t stats;
};

static size_t s_made;

seqpush_publisher_t *seqpush_publisher_new(const seqpush_publisher_options_t *options)
{
    seqpush_publisher_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->batch_max = options->batch_max;
    self->undecided_max = options->undecided_max;
    snprintf(self->session.name, sizeof self->session.name, "publisher-%zu", s_made++);
    if (!session_open(&self->session, options->broker))
        seqpush_publisher_destroy(&self);
    return self;
}

void seqpush_publisher_destroy(seqpush_publisher_t **self_p)
{
    seqpush_publisher_t *self = *self_p;
    if (!self)
        return;
    session_close(&self->session);
    free(self);
    *self_p = NULL;
}

const seqpush_publisher_stats_t *seqpush_publisher_stats(const seqpush_publisher_t *self)
{
    return &self->stats;
}

//  Pushes are decided when they are answered; where they are not, when they are written.
static void s_decide(seqpush_publisher_t *self)
{
    const session_t *session = &self->session;
    if (session->protocol->answers)
        self->stats.outcomes[SEQPUSH_ACCEPTED] = session->answered;
    else if (session->link.out.begin == session->link.out.end)
        self->stats.outcomes[SEQPUSH_ACCEPTED] = self->stats.pushed;
}

static void s_flush(seqpush_publisher_t *self)
{
    atomic_fetch_add(&load->published, self->batched);
    self->batched = 0;
    link_flush(&self->session.link);
    s_decide(self);
}

static bool s_has_room(const seqpush_publisher_t *self)
{
    const link_buffer_t *out = &self->session.link.out;
    uint64_t under_way = atomic_load(&load->published) - atomic_load(&load->received);
    uint64_t undecided = self->stats.pushed - self->stats.outcomes[SEQPUSH_ACCEPTED];
    return (int64_t)under_way < self->session.protocol->window &&
           out->end - out->begin < UNWRITTEN_MAX &&
           (!self->session.protocol->answers || undecided < self->undecided_max);
}

int seqpush_publisher_push(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    if (self->batched == 0 && !s_has_room(self))
        return -EAGAIN;
    self->session.protocol->publish(&self->session, push);
    self->stats.pushed++;
    if (++self->batched == self->batch_max)
        s_flush(self);
    return 0;
}

long seqpush_publisher_poll(seqpush_publisher_t *self, int timeout_ms)
{
    //  Nothing tells when receivers have taken more, so waits are short.
    int patience = timeout_ms > 1 ? 1 : timeout_ms;
    s_flush(self);
    int error = session_turn(&self->session, patience);
    s_decide(self);
    if (error)
        return error;
    return (long)(self->stats.pushed - self->stats.outcomes[SEQPUSH_ACCEPTED]);
}
