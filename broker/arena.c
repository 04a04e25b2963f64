//  arena.c - a bump allocator with a bound; see arena.h

#include "arena.h"
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARENA_CHUNK ((size_t)4 * 1024)

//  A chunk of the arena; the newest is the head, and the only one with room.
struct arena {
    arena_t *older;
    size_t total; //  bytes of this chunk and all older ones
    size_t size;
    size_t used;
    alignas(max_align_t) uint8_t bytes[];
};

static arena_t *s_grow(arena_t *older, size_t least)
{
    size_t size = least > ARENA_CHUNK ? least : ARENA_CHUNK;
    size_t total = older ? older->total : 0;
    if (size > ARENA_MAX - total)
        return NULL;
    arena_t *self = malloc(sizeof *self + size);
    if (!self)
        return NULL;
    self->older = older;
    self->total = total + size;
    self->size = size;
    self->used = 0;
    return self;
}

static void *s_alloc(void *data, size_t size)
{
    arena_t **head_p = data;
    size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!*head_p || rounded > (*head_p)->size - (*head_p)->used) {
        arena_t *grown = s_grow(*head_p, rounded);
        if (!grown)
            return NULL;
        *head_p = grown;
    }
    void *piece = (*head_p)->bytes + (*head_p)->used;
    (*head_p)->used += rounded;
    return piece;
}

//  Pieces go with the whole arena.
static void s_free(void *data, void *piece)
{
    (void)data;
    (void)piece;
}

ProtobufCAllocator arena_allocator(arena_t **arena)
{
    return (ProtobufCAllocator){s_alloc, s_free, arena};
}

void arena_destroy(arena_t **self_p)
{
    while (*self_p) {
        arena_t *older = (*self_p)->older;
        free(*self_p);
        *self_p = older;
    }
}
