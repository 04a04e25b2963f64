/*  receiver_ack.c - when a receiver saves and acknowledges its positions */

#include "receiver_state.h"

#define CLOCK_STRIDE 16 //  entries until the clock is looked at
#define SAVE_PAUSE 100 //  ms until a save that failed is tried again

//  Saves the positions that the next ack will carry.
static bool s_save(seqpush_receiver_t *self, int64_t now)
{
    const seqpush_positions_store_t *store = &self->options.store;
    if (!store->save || !self->acks.received)
        return true;
    if (now < self->save_at)
        return false;
    size_t count = acks_list(&self->acks, self->saving);
    self->store_error = store->save(store->arg, self->saving, count);
    self->stats.saves += self->store_error >= 0;
    self->stats.save_failures += self->store_error < 0;
    if (self->store_error < 0)
        self->save_at = now + SAVE_PAUSE;
    return self->store_error >= 0;
}

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
    while (!acks_is_empty(&self->acks) && !self->attachment.blocked && s_save(self, now))
        self->attachment.blocked = !s_send_ack(self);
}

bool receiver_renew_acks(seqpush_receiver_t *self, int64_t now)
{
    if (self->acks_generation == self->attachment.generation)
        return true;
    for (; self->options.store.save && self->acks.received; acks_drop(&self->acks))
        if (!s_save(self, now))
            return false;
    self->acks_generation = self->attachment.generation;
    self->ack_now = false;
    acks_clear(&self->acks);
    return true;
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
