/*  seat.h - where an endpoint sits: which worker has it, and what follows it when it moves

    A seat is what the orderer knows of an endpoint from the moment it is opened until its
    DISPATCH_CLOSE has come back. It never looks into the endpoint itself, which is a worker's.

    While an endpoint moves, whatever is sent to it waits with the seat. That is no more than the
    core has on its way to one receiver, and a DISPATCH_CLOSE.                                    */

#ifndef SEQPUSH_SEAT_H
#define SEQPUSH_SEAT_H

#include "endpoint.h"
#include "receiver.h"

typedef struct seat {
    endpoint_t *endpoint;
    receiver_t *receiver; //  whose it is; NULL: it is being closed
    unsigned worker; //  who has it, or gets it
    unsigned leaves; //  the worker that is to yield it, while it moves
    bool moves; //  between two workers
    pipe_item_t *first, *last; //  dispatches that follow it
    struct seat *previous, *next; //  of the worker's
} seat_t;

//  Keeps a dispatch for an endpoint that moves, behind those that wait already.
void seat_keep(seat_t *self, pipe_item_t *dispatch);

//  Takes the oldest of what was kept, or NULL.
pipe_item_t *seat_next(seat_t *self);

//  Adds a seat to a worker's list, takes it out.
void seat_link(seat_t *self, seat_t **list);
void seat_unlink(seat_t *self, seat_t **list);

#endif
