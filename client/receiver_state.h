/*  receiver_state.h - what a receiver consists of, for the files that it is made of

    receiver.c makes it and lets it work, receiver_delivery.c hands deliveries out by the receiver's
    rule, and receiver_ack.c acknowledges them.                                                   */

#ifndef SEQPUSH_RECEIVER_STATE_H
#define SEQPUSH_RECEIVER_STATE_H

#include "acks.h"
#include "attachment.h"
#include "guard.h"

struct seqpush_receiver {
    seqpush_receiver_options_t options;
    uint8_t id[SEQPUSH_ID_MAX];
    char endpoint[256]; //  that is bound
    char *advertised; //  what the broker is told instead, or NULL
    void *dealer;
    void *pull;
    guard_t guard; //  of the PULL socket, with CURVE
    char public_key[CERTIFICATE_KEY_SIZE]; //  of the PULL socket; empty without CURVE
    positions_t positions;
    attachment_t attachment;
    delivery_t delivery; //  the one that is handed out

    acks_t acks;
    uint64_t acks_generation; //  of which they are
    bool ack_now; //  enough has come for an ack, or something is missing
    int64_t acked_at; //  monotonic ms
    int64_t turned_at; //  monotonic ms when the present turn began
    int64_t clocked_at; //  monotonic ms when the clock was looked at in it
    unsigned stride; //  entries between two looks
    unsigned clock_in; //  entries until the next one

    seqpush_position_t *saving; //  room for what the store gets, or NULL without one
    int64_t save_at; //  monotonic ms before which a save that failed is not tried again
    int store_error; //  of the store, not told yet; 0: none

    long handed; //  pushes and gap notices handed out by this poll
    seqpush_receiver_stats_t stats;
};

//  Takes in some of the deliveries that are there. Returns 0 or a negative errno.
int receiver_take_deliveries(seqpush_receiver_t *self);

//  Tells the application that the broker goes on after a position that it did not reach.
void receiver_tell_jump(seqpush_receiver_t *self, const position_t *position);

//  Names the position after which something is missing, once.
void receiver_miss(seqpush_receiver_t *self, position_t *position);

//  The position is to be acknowledged.
static inline void receiver_touch(seqpush_receiver_t *self, position_t *position)
{
    if (self->options.ack_mode != SEQPUSH_ACK_NONE)
        acks_add(&self->acks, position);
}

//  True if acknowledging is due, where the time since the last ack counts from `since`.
bool receiver_is_ack_due(const seqpush_receiver_t *self, int64_t since, int64_t now);

//  Sends what is to be acknowledged and named as missing, once it is saved. What the store or the
//  socket does not take stays.
void receiver_send_acks(seqpush_receiver_t *self, int64_t now);

//  Acks belong to a generation, and go with it. What was received in it is saved, because an Attach
//  is as good as an ack. Returns false if it could not be.
bool receiver_renew_acks(seqpush_receiver_t *self, int64_t now);

//  Asks the store, if there is one, for the position of a client. Returns as its load does.
static inline int receiver_load(const seqpush_receiver_t *self, seqpush_position_t *position)
{
    const seqpush_positions_store_t *store = &self->options.store;
    return store->load ? store->load(store->arg, position) : 0;
}

//  Looks at the clock within a delivery: after every entry if the application is slow, else every
//  few. An ack goes out here only if the turn takes long; else it waits for the end of the turn.
void receiver_look_at_clock(seqpush_receiver_t *self);

//  Deliveries are not read while an Attach is to come, lest those of its generation were dropped.
static inline bool receiver_may_read(const seqpush_receiver_t *self)
{
    return self->attachment.generation || !attachment_is_wanted(&self->attachment);
}

#endif
