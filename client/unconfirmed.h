/*  unconfirmed.h - pushes of which the receiver's acknowledgement is still to be heard

    A push is in here from when it is handed in until it is told delivered or given up, or gets an
    outcome by which it is neither. While it is offered to the broker it is under way. Once the
    broker has taken it, it waits in a queue, behind those of which the broker was asked before.

    Client ids may be other people's choice, so the table's hash is keyed (see positions.h). One
    thread at a time; nothing blocks.                                                             */

#ifndef SEQPUSH_UNCONFIRMED_H
#define SEQPUSH_UNCONFIRMED_H

#include "seqpush.h"

typedef struct unconfirmed_client unconfirmed_client_t;

typedef struct unconfirmed_push {
    struct unconfirmed_push *prev; //  of its client, ascending by epoch, then seq
    struct unconfirmed_push *next;
    struct unconfirmed_push *older; //  in the queue
    struct unconfirmed_push *newer;
    unconfirmed_client_t *client;
    uint64_t epoch;
    uint64_t seq;
    int64_t asked_at; //  monotonic ms when the broker was last asked, or answered
    uint64_t connection; //  over which that was
    uint64_t heard_in; //  connection in which it was confirmed while it was under way, or 0
    uint32_t offers; //  under way
    uint32_t owed; //  of them with an outcome that the application is to be told
    bool taken; //  the broker had it, and its end is to be told
    size_t payload_size;
    uint8_t payload[];
} unconfirmed_push_t;

//  Begin with zeros.
typedef struct {
    unconfirmed_client_t *table;
    unconfirmed_push_t *queue; //  that wait, by when the broker was last asked of them
    size_t waiting; //  how many these are
} unconfirmed_t;

//  Frees what it holds.
void unconfirmed_fini(unconfirmed_t *self);

//  The push, found by client, epoch and seq, or NULL.
unconfirmed_push_t *unconfirmed_find(unconfirmed_t *self, const seqpush_push_t *push);

//  The same, copied and added if it is not there. NULL: no memory.
unconfirmed_push_t *unconfirmed_get(unconfirmed_t *self, const seqpush_push_t *push);

//  The first push of a client, from where `next` leads to the others. NULL: there is none.
unconfirmed_push_t *unconfirmed_first(unconfirmed_t *self, const void *client_id, size_t size);

//  The push as the application handed it in. It points into this one.
seqpush_push_t unconfirmed_view(const unconfirmed_push_t *push);

//  True if a push is in the queue. (There the first one's `older` leads to the last one.)
static inline bool unconfirmed_waits(const unconfirmed_push_t *push)
{
    return push->older != NULL;
}

//  Puts a push at the end of the queue, or takes it out if it is in there.
void unconfirmed_wait(unconfirmed_t *self, unconfirmed_push_t *push);
void unconfirmed_leave(unconfirmed_t *self, unconfirmed_push_t *push);

//  Takes a push out of everything and frees it.
void unconfirmed_remove(unconfirmed_t *self, unconfirmed_push_t *push);

#endif
