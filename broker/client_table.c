//  client_table.c - all clients by id; see client_table.h

#include "client_table.h"
#include <assert.h>
#include <stdlib.h>

#define SLOTS_MIN 64

void client_table_fini(client_table_t *self)
{
    free(self->slots);
    *self = (client_table_t){0};
}

static void s_put(client_table_t *self, client_slot_t slot)
{
    assert(self->slots);
    size_t i = slot.hash & self->mask;
    while (self->slots[i].client)
        i = (i + 1) & self->mask;
    self->slots[i] = slot;
}

static bool s_grow(client_table_t *self)
{
    client_table_t old = *self;
    size_t slots = old.slots ? (old.mask + 1) * 2 : SLOTS_MIN;
    self->slots = calloc(slots, sizeof *self->slots);
    if (!self->slots) {
        *self = old;
        return false;
    }
    self->mask = slots - 1;
    for (size_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i].client)
            s_put(self, old.slots[i]);
    free(old.slots);
    return true;
}

bool client_table_add(client_table_t *self, uint64_t hash, client_t *client)
{
    //  At most two thirds full, so that runs stay short.
    if ((self->count + 1) * 3 > (self->slots ? self->mask + 1 : 0) * 2 && !s_grow(self))
        return false;
    s_put(self, (client_slot_t){hash, client});
    self->count++;
    return true;
}

void client_table_remove(client_table_t *self, uint64_t hash, const client_t *client)
{
    size_t hole = hash & self->mask;
    while (self->slots[hole].client != client)
        hole = (hole + 1) & self->mask;
    for (size_t i = (hole + 1) & self->mask; self->slots[i].client; i = (i + 1) & self->mask) {
        //  What lies between its home and the hole may move into the hole.
        size_t home = self->slots[i].hash & self->mask;
        if (((i - home) & self->mask) >= ((i - hole) & self->mask)) {
            self->slots[hole] = self->slots[i];
            hole = i;
        }
    }
    self->slots[hole] = (client_slot_t){0};
    self->count--;
}
