/*  client_table.h - all clients by id: an open-addressed table with linear probing

    The hash is keyed (SipHash, from request.h), so ids cannot be chosen to collide, and is computed
   by the front. A slot has the whole hash beside the pointer: a look-up touches one slot and one
   client. Deleting shifts back what follows; there are no tombstones. Source: Knuth, The Art of
   Computer Programming, volume 3, section 6.4, algorithms L and R. Owner's thread only. */

#ifndef SEQPUSH_CLIENT_TABLE_H
#define SEQPUSH_CLIENT_TABLE_H

#include "client.h"
#include <string.h>

typedef struct {
    uint64_t hash;
    client_t *client; //  NULL: empty
} client_slot_t;

typedef struct {
    client_slot_t *slots;
    size_t mask; //  number of slots - 1, of a power of two; 0: none yet
    size_t count;
} client_table_t;

//  Frees the slots, not the clients.
void client_table_fini(client_table_t *self);

//  The client with this id, or NULL.
static inline client_t *client_table_find(const client_table_t *self, uint64_t hash, const void *id,
                                          size_t id_size)
{
    if (!self->slots)
        return NULL;
    for (size_t i = hash & self->mask; self->slots[i].client; i = (i + 1) & self->mask) {
        client_t *client = self->slots[i].client;
        if (self->slots[i].hash == hash && client->id_size == id_size &&
            memcmp(client->id, id, id_size) == 0)
            return client;
    }
    return NULL;
}

//  Brings the slot of a hash into the cache, for a look-up that is soon to come.
static inline void client_table_prefetch(const client_table_t *self, uint64_t hash)
{
    if (self->slots)
        __builtin_prefetch(&self->slots[hash & self->mask]);
}

//  The client in the first slot of a hash, which most often is the one with this hash, or NULL. For
//  prefetching only.
static inline const client_t *client_table_guess(const client_table_t *self, uint64_t hash)
{
    return self->slots ? self->slots[hash & self->mask].client : NULL;
}

//  Adds a client whose id, with this hash, is not in the table. Returns false if there is no memory.
bool client_table_add(client_table_t *self, uint64_t hash, client_t *client);

//  Takes out a client that is in the table.
void client_table_remove(client_table_t *self, uint64_t hash, const client_t *client);

#endif
