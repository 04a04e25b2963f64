/*  batch.h - a PushBatch that is filled, sent, and kept until every push in it is decided

    Pushes are encoded by hand, once, straight into the batch's buffer. The buffer is all that
    is kept of them: it is sent again as it is, and read again to tell the application which
    push an outcome is for.

    One thread at a time; nothing blocks.                                                         */

#ifndef SEQPUSH_BATCH_H
#define SEQPUSH_BATCH_H

#include "seqpush.h"
#include "wire.h"
#include <zmq.h>

typedef struct batch {
    struct batch *prev; //  in one of the publisher's lists
    struct batch *next;
    uint64_t serial; //  tells this batch from every other one of the publisher
    uint64_t first_id; //  the request_id under which it was sent first
    uint64_t request_id; //  of the last time it was sent
    int64_t sent_at; //  monotonic ms of the last time
    uint32_t resends; //  times that it was sent again
    uint8_t *bytes; //  the encoded PushBatch
    size_t size; //  bytes of it
    size_t capacity; //  bytes of the buffer
    uint32_t count; //  pushes
    uint32_t numberless; //  of them with seq 0
    bool fed; //  its pushes come from lanes, all of them
} batch_t;

//  Makes an empty batch. Returns NULL if there is no memory.
batch_t *batch_new(void);

//  Frees a batch and sets the pointer to NULL. Takes NULL.
void batch_destroy(batch_t **self_p);

//  Empties the batch, to be used again. A buffer above `keep` bytes is freed.
void batch_clear(batch_t *self, size_t keep);

//  Makes room for at least `size` bytes more. Returns false if there is no memory.
bool batch_grow(batch_t *self, size_t size);

static inline bool batch_reserve(batch_t *self, size_t size)
{
    return self->capacity - self->size >= size || batch_grow(self, size);
}

//  Bytes of the Push message itself, without tag and length.
static inline size_t batch_body_size(const seqpush_push_t *push)
{
    return wire_bytes_field_size(push->client_id_size) + wire_varint_field_size(push->epoch) +
           wire_varint_field_size(push->seq) +
           (push->payload_size ? wire_bytes_field_size(push->payload_size) : 0);
}

//  Bytes that a push takes in a batch.
static inline size_t batch_push_size(const seqpush_push_t *push)
{
    return wire_bytes_field_size(batch_body_size(push));
}

//  Encodes a push as it stands in a batch, at `to`, which has room for batch_push_size. Returns
//  what follows.
static inline uint8_t *batch_encode(uint8_t *to, const seqpush_push_t *push)
{
    *to++ = WIRE_BATCH_PUSHES;
    to = wire_put_varint(to, batch_body_size(push));
    to = wire_put_bytes_field(to, WIRE_PUSH_CLIENT_ID, push->client_id, push->client_id_size);
    to = wire_put_varint_field(to, WIRE_PUSH_EPOCH, push->epoch);
    to = wire_put_varint_field(to, WIRE_PUSH_SEQ, push->seq);
    if (push->payload_size)
        to = wire_put_bytes_field(to, WIRE_PUSH_PAYLOAD, push->payload, push->payload_size);
    return to;
}

//  Adds a push, for which batch_reserve has made room.
static inline void batch_put(batch_t *self, const seqpush_push_t *push)
{
    self->size = (size_t)(batch_encode(self->bytes + self->size, push) - self->bytes);
    self->count++;
    self->numberless += push->seq == 0;
}

//  Adds a push that is encoded already, for which batch_reserve has made room.
void batch_put_encoded(batch_t *self, const uint8_t *bytes, size_t size, bool numberless);

//  Reads the push at `*at`, a place in the batch that begins at 0, and moves `*at` behind it. The
//  push points into the batch. Returns false at the end.
bool batch_next(const batch_t *self, size_t *at, seqpush_push_t *push);

//  Makes the Request that carries the batch under its request_id; with `confirm` the broker is to
//  tell when the pushes are delivered. Returns false if there is no memory.
bool batch_request(const batch_t *self, bool confirm, zmq_msg_t *message);

#endif
