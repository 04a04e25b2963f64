//  retained.c - released pushes that are not yet acknowledged; see retained.h

#include "retained.h"
#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 8
#define CAPACITY_KEPT 64 //  of a ring that is empty

void retained_fini(retained_t *self)
{
    free(self->entries);
    *self = (retained_t){0};
}

bool retained_reserve(retained_t *self, uint32_t count)
{
    if (self->count + count <= self->capacity)
        return true;
    uint32_t capacity = self->capacity ? self->capacity * 2 : CAPACITY_MIN;
    while (capacity < self->count + count)
        capacity *= 2;
    retained_entry_t *entries = malloc(capacity * sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = 0; i < self->count; i++)
        entries[i] = *retained_at(self, i);
    free(self->entries);
    self->entries = entries;
    self->capacity = capacity;
    self->head = 0;
    return true;
}

void retained_put(retained_t *self, retained_entry_t entry)
{
    assert(self->count < self->capacity);
    *retained_at(self, self->count++) = entry;
    if (entry.kind != RETAINED_PUSH)
        self->notices++;
}

retained_entry_t retained_pop(retained_t *self)
{
    assert(self->count > 0);
    retained_entry_t entry = *retained_at(self, 0);
    self->head = (self->head + 1) & (self->capacity - 1);
    self->count--;
    if (self->sent)
        self->sent--;
    if (self->handed)
        self->handed--;
    if (entry.kind != RETAINED_PUSH)
        self->notices--;
    //  What a client once kept while its receiver was away is no reason to have the room for ever.
    if (self->count == 0 && self->capacity > CAPACITY_KEPT)
        retained_fini(self);
    return entry;
}
