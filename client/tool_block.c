/*  tool_block.c - the lines that `seqpush push --shuffle` scrambles, one block after the other */

#include "tool.h"
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (64 << 20) //  a block is full at that

typedef struct {
    size_t offset, size; //  in the block's bytes
    uint64_t number;
} place_t;

struct tool_block {
    place_t *places;
    size_t count, max;
    char *bytes;
    size_t used, room;
    unsigned short random[3];
};

tool_block_t *tool_block_new(size_t max, uint64_t seed)
{
    tool_block_t *self = calloc(1, sizeof *self);
    place_t *places = calloc(max, sizeof *places);
    if (!self || !places) {
        free(self);
        free(places);
        return NULL;
    }
    *self = (tool_block_t){.places = places, .max = max};
    memcpy(self->random, &seed, sizeof self->random);
    return self;
}

void tool_block_destroy(tool_block_t **self_p)
{
    if (*self_p) {
        free((*self_p)->places);
        free((*self_p)->bytes);
    }
    free(*self_p);
    *self_p = NULL;
}

void tool_block_clear(tool_block_t *self)
{
    self->count = self->used = 0;
}

bool tool_block_is_full(const tool_block_t *self)
{
    return self->count == self->max || self->used >= BYTES_MAX;
}

bool tool_block_add(tool_block_t *self, const char *bytes, size_t size, uint64_t number)
{
    size_t need = self->used + size + 1;
    if (need > self->room) {
        char *larger = realloc(self->bytes, 2 * need);
        if (!larger)
            return false;
        self->bytes = larger;
        self->room = 2 * need;
    }
    memcpy(self->bytes + self->used, bytes, size);
    self->places[self->count++] = (place_t){self->used, size, number};
    self->used += size;
    return true;
}

//  Source: the shuffle of Fisher and Yates, as in Knuth's algorithm P.
void tool_block_scramble(tool_block_t *self)
{
    for (size_t i = self->count; i > 1; i--) {
        size_t other = (size_t)nrand48(self->random) % i;
        place_t place = self->places[i - 1];
        self->places[i - 1] = self->places[other];
        self->places[other] = place;
    }
}

bool tool_block_at(const tool_block_t *self, size_t index, tool_line_t *line)
{
    if (index >= self->count)
        return false;
    const place_t *place = &self->places[index];
    *line = (tool_line_t){self->bytes + place->offset, place->size, place->number};
    return true;
}
