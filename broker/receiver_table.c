//  receiver_table.c - all receivers by id and by endpoint
//
//  uthash with the keyed hash: ids and endpoints are named by peers.

#include "core_state.h"
#include <stdlib.h>
#include <string.h>

static unsigned s_hash(const core_t *self, const void *key, size_t size)
{
    return (unsigned)request_hash(self->settings.key, key, size);
}

receiver_t *receiver_table_find(const core_t *self, const void *id, size_t id_size)
{
    receiver_t *found = NULL;
    unsigned hash = s_hash(self, id, id_size);
    HASH_FIND_BYHASHVALUE(by_id, self->by_id, id, id_size, hash, found);
    return found;
}

receiver_t *receiver_table_at(const core_t *self, const char *address)
{
    receiver_t *found = NULL;
    size_t size = strlen(address);
    unsigned hash = s_hash(self, address, size);
    HASH_FIND_BYHASHVALUE(by_address, self->by_address, address, size, hash, found);
    return found;
}

bool receiver_table_place(core_t *self, receiver_t *receiver, const char *address)
{
    char *copy = strdup(address);
    if (!copy)
        return false;
    size_t size = strlen(copy);
    unsigned hash = s_hash(self, copy, size);
    receiver->address = copy;
    HASH_ADD_KEYPTR_BYHASHVALUE(by_address, self->by_address, copy, size, hash, receiver);
    return true;
}

void receiver_table_displace(core_t *self, receiver_t *receiver)
{
    if (!receiver->address)
        return;
    HASH_DELETE(by_address, self->by_address, receiver);
    free(receiver->address);
    receiver->address = NULL;
}

receiver_t *core_receiver(core_t *self, const void *id, size_t id_size)
{
    receiver_t *receiver = receiver_table_find(self, id, id_size);
    return receiver && receiver->kind == RECEIVER_ATTACHED ? receiver : NULL;
}

receiver_t *receiver_table_add(core_t *self, const void *id, size_t id_size)
{
    receiver_t *receiver = calloc(1, sizeof *receiver);
    if (!receiver)
        return NULL;
    receiver->kind = RECEIVER_GONE;
    receiver->timer.kind = TIMER_RECEIVER;
    receiver->resend.kind = TIMER_RESEND;
    receiver->id_size = (uint8_t)id_size;
    memcpy(receiver->id, id, id_size);
    unsigned hash = s_hash(self, receiver->id, receiver->id_size);
    HASH_ADD_KEYPTR_BYHASHVALUE(by_id, self->by_id, receiver->id, receiver->id_size, hash,
                                receiver);
    return receiver;
}

void receiver_table_remove(core_t *self, receiver_t *receiver)
{
    receiver_table_displace(self, receiver);
    HASH_DELETE(by_id, self->by_id, receiver);
}

receiver_t *core_any_endpoint(const core_t *self)
{
    for (receiver_t *at = self->by_address; at; at = at->by_address.next)
        if (at->endpoint)
            return at;
    return NULL;
}

void receiver_table_fini(core_t *self)
{
    receiver_t *at, *next;
    prefix_fini(self);
    HASH_ITER (by_id, self->by_id, at, next) {
        HASH_DELETE(by_id, self->by_id, at);
        if (!at->address)
            receiver_free(at);
    }
    HASH_ITER (by_address, self->by_address, at, next) {
        HASH_DELETE(by_address, self->by_address, at);
        receiver_free(at);
    }
}
