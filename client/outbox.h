/*  outbox.h - a publisher's batches on their way to the broker

    A batch is open while it is filled, sealed while it waits for credit or for the socket, and
    on the wire until the broker has decided it. Its request_id is new each time it is sent. A
    reply to the first one counts as well as one to the last: a broker that takes longer to reply
    than the library waits would else never be heard.

    Requests of a connection are answered in the order sent. So a batch has lost its reply if a
    later request has one. Otherwise the broker is slow or silent, and as long as it goes on
    answering what came before, a batch waits its turn: copies would only slow it further.

    One thread at a time; nothing blocks.                                                         */

#ifndef SEQPUSH_OUTBOX_H
#define SEQPUSH_OUTBOX_H

#include "batch.h"

typedef struct {
    //  Set by the owner.
    void *socket;
    size_t batch_max; //  pushes a batch
    size_t batch_bytes; //  bytes a batch, unless one push is larger
    uint32_t reply_timeout; //  ms
    bool confirm; //  the broker is to tell of deliveries
    uint64_t connection; //  number of the present one
    uint32_t credit; //  pushes that may be on the wire

    batch_t *sealed; //  first in, first out
    batch_t *wire; //  ascending by first_id
    batch_t *pool; //  to be used again
    size_t on_wire; //  pushes
    bool blocked; //  the socket took no more: the broker is not connected
    uint64_t serials;
    uint64_t last_request_id; //  these count on without a gap, as an ack may cover the last n
    uint64_t instance; //  of the broker, 0 before its first answer
    uint64_t answered_id; //  the latest request that was answered
    int64_t answered_at; //  monotonic ms of the last answer
    uint64_t resends; //  pushes sent again
} outbox_t;

//  Frees the batches that it has.
void outbox_fini(outbox_t *self);

//  True if a batch takes no more pushes.
static inline bool outbox_is_full(const outbox_t *self, const batch_t *batch)
{
    return batch->count >= self->batch_max || batch->count >= self->credit;
}

//  Seals the batch that is open in a place, if it has pushes, and sends it if it may go.
void outbox_seal(outbox_t *self, batch_t **open);

//  A batch for a place where none is open; NULL if there is no memory.
batch_t *outbox_open(outbox_t *self, batch_t **open);

//  The batch that is open in a place, with room for a push of `size` bytes; one that has no room is
//  sealed first. NULL if there is no memory.
static inline batch_t *outbox_room(outbox_t *self, batch_t **open, size_t size)
{
    batch_t *batch = *open;
    if (batch && batch->count &&
        (outbox_is_full(self, batch) || batch->size + size > self->batch_bytes)) {
        outbox_seal(self, open);
        batch = NULL;
    }
    if (!batch)
        batch = outbox_open(self, open);
    return batch && batch_reserve(batch, size) ? batch : NULL;
}

//  Sends what is sealed, as far as the credit and the socket go. A batch larger than the whole
//  credit goes alone.
void outbox_transmit(outbox_t *self);

//  Takes a batch off the wire, because it is decided; and gives it back when it has been looked at.
void outbox_remove(outbox_t *self, batch_t *batch);
void outbox_recycle(outbox_t *self, batch_t *batch);

//  True if an answer to the requests first..last decides a batch that is on the wire.
static inline bool outbox_is_answered(const batch_t *batch, uint64_t first, uint64_t last)
{
    return (batch->first_id >= first && batch->first_id <= last) ||
           (batch->request_id >= first && batch->request_id <= last);
}

//  Notes that a run of the broker has answered the requests first..last. A new run knows nothing of
//  what was sent before that: it is sealed again.
void outbox_note_answer(outbox_t *self, uint64_t instance, uint64_t first, uint64_t last);

//  False if it was sent so short a time ago that it, or its reply, may be under way still.
bool outbox_may_be_lost(const batch_t *batch, int64_t now);

//  Sends a batch on the wire again.
void outbox_resend(outbox_t *self, batch_t *batch, int64_t now);

//  Sends again what has had no reply for too long, as far as the socket goes. To a broker that is
//  silent altogether only the oldest batch goes, and that less and less often.
void outbox_resend_overdue(outbox_t *self, int64_t now);

//  When that will be; -1: never, or not before the socket takes more.
int64_t outbox_overdue_at(const outbox_t *self);

#endif
