/*  frame.h - a frame as it came from a publisher, shared by the pushes in it

    A push that is kept is a reference to its encoded bytes inside the frame that it came in:
    nothing is decoded again and nothing is copied until a worker puts the bytes into a Delivery.
    The reference count is not atomic: the front makes a frame and gives it to the orderer, and from
    then on only the orderer counts. A worker reads the bytes of frames that the orderer holds for
    it.                                                                                           */

#ifndef SEQPUSH_FRAME_H
#define SEQPUSH_FRAME_H

#include "stats.h"
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

typedef struct {
    zmq_msg_t message; //  owns the bytes
    uint32_t refs; //  holders; the frame goes with the last one
    uint64_t publisher; //  the peer to be told what became of the pushes in it; 0: none
    stats_t *gauge; //  of bytes, that it is counted in; NULL: none
} frame_t;

//  Makes a frame with one reference. The content of `message` moves into it, `message` is left empty.
//  Returns NULL if there is no memory; `message` is then unchanged.
frame_t *frame_new(zmq_msg_t *message);

//  Makes a frame with one reference that holds a copy of `size` bytes. NULL if there is no memory.
frame_t *frame_copy(const void *bytes, size_t size);

//  The bytes, and how many.
const uint8_t *frame_bytes(frame_t *self);
size_t frame_size(const frame_t *self);

//  Counts the frame's bytes in a gauge for as long as the frame lives. Not more than once. Owner of the
//  gauge only.
void frame_count(frame_t *self, stats_t *gauge);

//  Adds a holder; drops one, which frees the frame if it was the last. Takes no NULL.
static inline void frame_ref(frame_t *self)
{
    self->refs++;
}

void frame_free(frame_t *self);

static inline void frame_unref(frame_t *self)
{
    if (--self->refs == 0)
        frame_free(self);
}

#endif
