/*  arena.h - memory for what protobuf-c unpacks: a bump allocator with a bound

    protobuf-c makes many small pieces and frees them one by one; here they lie in a few chunks
    that go together, and a hostile frame cannot make more of them than the bound. One thread at
    a time.                                                                                       */

#ifndef SEQPUSH_ARENA_H
#define SEQPUSH_ARENA_H

#include <protobuf-c/protobuf-c.h>

//  The newest chunk; NULL is an empty arena.
typedef struct arena arena_t;

//  What protobuf-c may use for one request. An Attach or ack with 100,000 positions takes 12 MiB. A
//  hostile frame of empty fields would take fifty times its size.
#define ARENA_MAX ((size_t)16 * 1024 * 1024)

//  An allocator for protobuf-c over `*arena`, which the caller owns. It returns NULL at the bound.
ProtobufCAllocator arena_allocator(arena_t **arena);

//  Frees all chunks and sets the pointer to NULL. Takes NULL.
void arena_destroy(arena_t **self_p);

#endif
