/*  delivery.h - a Delivery, read by hand

    Reads what protobuf-c reads, and refuses what it refuses; the test holds one against the
    other. In addition a marker must be a varint, every entry must name a client, by an id of 1
    to 64 bytes, and no gap notice may end before it begins. The whole frame is read before any
    of it is used, because the generation may stand at its end.                                   */

#ifndef SEQPUSH_DELIVERY_H
#define SEQPUSH_DELIVERY_H

#include "seqpush.h"

//  One entry: a push, a gap notice (skipped_to != 0) or a marker.
typedef struct {
    seqpush_push_t push; //  points into the frame
    uint64_t skipped_to;
    bool marker;
} delivery_entry_t;

typedef struct {
    uint64_t generation;
    size_t count;
    delivery_entry_t *entries;
    size_t capacity;
} delivery_t;

//  Reads a frame; what was read before is overwritten. Returns false if it is no Delivery, has more
//  than a million entries, or there is no memory. Begin with a delivery_t of zeros.
bool delivery_read(delivery_t *self, const void *bytes, size_t size);

//  Frees what a delivery_t holds.
void delivery_fini(delivery_t *self);

#endif
