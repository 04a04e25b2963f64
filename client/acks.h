/*  acks.h - what is to be acknowledged, and what is to be named as missing

    Acks are cumulative and coalesced: a position stands in here once, however often it moves
    before the next DeliveryAck goes out. That is encoded by hand, because at full rate it
    carries as many positions as clients have moved.                                              */

#ifndef SEQPUSH_ACKS_H
#define SEQPUSH_ACKS_H

#include "positions.h"
#include <zmq.h>

#define ACKS_MAX 4096 //  positions a request, of each kind

typedef struct {
    position_t *received;
    position_t *missing;
} acks_t;

static inline bool acks_is_empty(const acks_t *self)
{
    return !self->received && !self->missing;
}

//  Adds a position that is to be acknowledged, once.
static inline void acks_add(acks_t *self, position_t *position)
{
    if (position->to_ack)
        return;
    position->to_ack = true;
    position->next_ack = self->received;
    self->received = position;
}

//  Adds a position after which something is missing, once.
static inline void acks_add_missing(acks_t *self, position_t *position)
{
    if (position->to_name)
        return;
    position->to_name = true;
    position->next_missing = self->missing;
    self->missing = position;
}

//  Writes the positions that the next DeliveryAck will say were received; there is room for
//  ACKS_MAX. Returns how many.
size_t acks_list(const acks_t *self, seqpush_position_t *positions);

//  Makes a Request with a DeliveryAck of ACKS_MAX positions of each kind at most. Returns false if
//  there is no memory. acks_drop then takes these out.
bool acks_request(const acks_t *self, const void *receiver_id, size_t id_size, uint64_t generation,
                  uint64_t request_id, zmq_msg_t *message);

void acks_drop(acks_t *self);

//  Takes all out.
void acks_clear(acks_t *self);

#endif
