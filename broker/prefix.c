//  prefix.c - the prefixes of client ids that receivers have attached
//
//  One table for all receivers, since a prefix is of one of them at most: a client is looked up in it by
//  the lengths that there are, the longest first. It uses uthash with the keyed hash, as peers name prefixes.

#include "core_state.h"
#include <stdlib.h>
#include <string.h>

struct prefix {
    receiver_t *receiver;
    prefix_t *next; //  of the same receiver
    UT_hash_handle by_bytes;
    uint8_t size;
    uint8_t bytes[];
};

static unsigned s_hash(const core_t *self, const void *bytes, size_t size)
{
    return (unsigned)request_hash(self->settings.key, bytes, size);
}

static prefix_t *s_find(const core_t *self, const void *bytes, size_t size)
{
    prefix_t *found = NULL;
    if (size <= ID_MAX && self->prefix_sizes[size]) {
        unsigned hash = s_hash(self, bytes, size);
        HASH_FIND_BYHASHVALUE(by_bytes, self->prefixes, bytes, size, hash, found);
    }
    return found;
}

receiver_t *prefix_holder(const core_t *self, const void *bytes, size_t size)
{
    const prefix_t *prefix = s_find(self, size ? bytes : "", size);
    return prefix ? prefix->receiver : NULL;
}

receiver_t *prefix_longest(const core_t *self, const client_t *client)
{
    receiver_t *holder = NULL;
    for (size_t left = self->prefixes ? client->id_size + 1u : 0; left > 0 && !holder; left--)
        holder = prefix_holder(self, client->id, left - 1);
    return holder;
}

bool prefix_covers(const receiver_t *receiver, const client_t *client)
{
    for (const prefix_t *at = receiver->prefixes; at; at = at->next)
        if (at->size <= client->id_size && memcmp(at->bytes, client->id, at->size) == 0)
            return true;
    return false;
}

static void s_drop(core_t *self, prefix_t *prefix)
{
    prefix_t **link = &prefix->receiver->prefixes;
    while (*link != prefix)
        link = &(*link)->next;
    *link = prefix->next;
    prefix->receiver->prefix_count--;
    self->prefix_sizes[prefix->size]--;
    HASH_DELETE(by_bytes, self->prefixes, prefix);
    free(prefix);
}

bool prefix_give(core_t *self, receiver_t *receiver, const void *bytes, size_t size)
{
    if (receiver->prefix_count == RECEIVER_PREFIXES || size > ID_MAX)
        return false;
    prefix_t *prefix = calloc(1, sizeof *prefix + size);
    if (!prefix)
        return false;
    prefix_t *before = s_find(self, size ? bytes : "", size);
    if (before)
        s_drop(self, before);
    if (size)
        memcpy(prefix->bytes, bytes, size);
    prefix->size = (uint8_t)size;
    prefix->receiver = receiver;
    prefix->next = receiver->prefixes;
    receiver->prefixes = prefix;
    receiver->prefix_count++;
    self->prefix_sizes[size]++;
    unsigned hash = s_hash(self, prefix->bytes, size);
    HASH_ADD_KEYPTR_BYHASHVALUE(by_bytes, self->prefixes, prefix->bytes, size, hash, prefix);
    return true;
}

void prefix_drop_all(core_t *self, receiver_t *receiver)
{
    while (receiver->prefixes)
        s_drop(self, receiver->prefixes);
}

void prefix_fini(core_t *self)
{
    prefix_t *prefix, *next;
    HASH_ITER (by_bytes, self->prefixes, prefix, next) {
        s_drop(self, prefix);
    }
}
