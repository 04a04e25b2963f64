//  window.c - a ring of held pushes, indexed by seq; see window.h

#include "window.h"
#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 8

void window_fini(window_t *self)
{
    free(self->places);
    *self = (window_t){0};
}

void window_trim(window_t *self)
{
    if (self->held + self->marks == 0 && self->capacity > WINDOW_SMALL)
        window_fini(self);
}

static uint32_t s_capacity_for(const window_t *self, uint64_t span)
{
    uint32_t capacity = self->capacity ? self->capacity : CAPACITY_MIN;
    while (capacity < span)
        capacity *= 2;
    return capacity;
}

uint32_t window_bytes_for(const window_t *self, uint64_t span)
{
    return window_bytes(s_capacity_for(self, span));
}

//  Makes the ring reach `span` seqs; a place's index depends on the capacity, so all move.
static bool s_reach(window_t *self, uint64_t next, uint64_t span)
{
    if (span <= self->capacity)
        return true;
    uint32_t capacity = s_capacity_for(self, span);
    window_place_t *places = calloc(capacity, sizeof *places);
    if (!places)
        return false;
    for (uint64_t seq = next; seq < next + self->capacity; seq++)
        places[seq & (capacity - 1)] = self->places[seq & (self->capacity - 1)];
    free(self->places);
    self->places = places;
    self->capacity = capacity;
    return true;
}

bool window_put(window_t *self, uint64_t next, uint64_t seq, window_place_t push)
{
    if (!s_reach(self, next, seq - next + 1))
        return false;
    window_place_t *place = window_at(self, next, seq);
    assert(place && !place->frame && place->size == 0);
    *place = push;
    self->held++;
    return true;
}

bool window_mark(window_t *self, uint64_t next, uint64_t seq)
{
    if (!s_reach(self, next, seq - next + 1))
        return false;
    window_place_t *place = window_at(self, next, seq);
    assert(place && !place->frame && place->size == 0);
    place->size = WINDOW_GIVEN_UP;
    self->marks++;
    return true;
}
