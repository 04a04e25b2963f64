/*  receiver_ack.c - when a receiver acknowledges */

#include "receiver_state.h"

#define CLOCK_STRIDE 16 //  entries until the clock is looked at

static bool s_send_ack(seqpush_receiver_t *self)
{
    zmq_msg_t message;
    uint64_t request_id = ++self->attachment.last_request_id;
    if (!acks_request(&self->acks, self->id, self->options.id_size, self->acks_generation,
                      request_id, &message) ||
        !socket_send(self->dealer, &message))
        return false;
    self->stats.acks++;
    acks_drop(&self->acks);
    return true;
}

void receiver_send_acks(seqpush_receiver_t *self, int64_t now)
{
    self->acked_at = now;
    self->ack_now = false;
    while (!acks_is_empty(&self->acks) && !self->attachment.blocked)
        self->attachment.blocked = !s_send_ack(self);
}

void receiver_renew_acks(seqpush_receiver_t *self)
{
    if (self->acks_generation == self->attachment.generation)
        return;
    self->acks_generation = self->attachment.generation;
    self->ack_now = false;
    acks_clear(&self->acks);
}

bool receiver_is_ack_due(const seqpush_receiver_t *self, int64_t since, int64_t now)
{
    return self->ack_now ||
           (self->acks.received && now - since >= (int64_t)self->options.ack_interval);
}

void receiver_look_at_clock(seqpush_receiver_t *self)
{
    int64_t now = socket_clock();
    bool slow = now - self->clocked_at >= (int64_t)self->options.ack_interval;
    int64_t since = self->acked_at > self->turned_at ? self->acked_at : self->turned_at;
    self->stride = slow ? 1 : self->stride < CLOCK_STRIDE ? self->stride * 2 : CLOCK_STRIDE;
    self->clock_in = self->stride;
    self->clocked_at = now;
    if (receiver_is_ack_due(self, since, now))
        receiver_send_acks(self, now);
}
