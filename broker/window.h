/*  window.h - the pushes of one client that are held until those before them have come

    A ring whose places are indexed by seq, a power of two of them, grown as needed. It covers the
    seqs from the next expected one on; that one is passed in, since the client owns it. A place is
    empty, holds a push, or is marked as given up (nothing will come). */

#ifndef SEQPUSH_WINDOW_H
#define SEQPUSH_WINDOW_H

#include "frame.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    frame_t *frame; //  NULL: nothing held
    const uint8_t *bytes; //  the encoded push in the frame
    uint32_t size; //  of it; WINDOW_GIVEN_UP with no frame: a mark
    uint32_t arrived; //  when it was accepted, in ticks
} window_place_t;

#define WINDOW_GIVEN_UP UINT32_MAX

//  Places of a ring that is small: it is not counted as kept, and stays when it is empty.
#define WINDOW_SMALL 64

typedef struct {
    window_place_t *places;
    uint32_t capacity; //  a power of two, or 0
    uint32_t held; //  pushes
    uint32_t marks; //  places marked as given up
} window_t;

//  Frees the places; the pushes in them must be gone.
void window_fini(window_t *self);

//  Gives back a ring that is large and empty: one push far ahead is all that it takes to make one.
void window_trim(window_t *self);

//  Bytes of a ring with so many places, as they are counted; and of one that reaches `span` seqs.
static inline uint32_t window_bytes(uint32_t capacity)
{
    return capacity > WINDOW_SMALL ? capacity * (uint32_t)sizeof(window_place_t) : 0;
}

uint32_t window_bytes_for(const window_t *self, uint64_t span);

//  The place of `seq`, or NULL if the ring does not reach that far. `next` <= `seq`.
static inline window_place_t *window_at(const window_t *self, uint64_t next, uint64_t seq)
{
    return seq - next < self->capacity ? &self->places[seq & (self->capacity - 1)] : NULL;
}

static inline bool window_holds(const window_t *self, uint64_t next, uint64_t seq)
{
    const window_place_t *place = window_at(self, next, seq);
    return place && place->frame;
}

static inline bool window_marked(const window_t *self, uint64_t next, uint64_t seq)
{
    const window_place_t *place = window_at(self, next, seq);
    return place && !place->frame && place->size == WINDOW_GIVEN_UP;
}

//  Holds a push at `seq`, whose place is empty. Grows the ring as needed; returns false if there is
//  no memory. The place takes over the caller's reference to the frame.
bool window_put(window_t *self, uint64_t next, uint64_t seq, window_place_t push);

//  Marks the empty place of `seq` as given up. Returns false if there is no memory.
bool window_mark(window_t *self, uint64_t next, uint64_t seq);

//  Empties a place and returns what was in it; the frame reference goes to the caller.
static inline window_place_t window_take(window_t *self, window_place_t *place)
{
    window_place_t taken = *place;
    if (taken.frame)
        self->held--;
    else if (taken.size == WINDOW_GIVEN_UP)
        self->marks--;
    *place = (window_place_t){0};
    return taken;
}

#endif
