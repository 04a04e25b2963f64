//  prefix.c - the prefixes of client ids that receivers have attached

#include "core_state.h"
#include <stdlib.h>
#include <string.h>

const receiver_prefix_t *prefix_of(const receiver_t *receiver, const client_t *client)
{
    const receiver_prefix_t *best = NULL;
    for (uint32_t i = 0; i < receiver->prefix_count; i++) {
        const receiver_prefix_t *at = &receiver->prefixes[i];
        if (at->size <= client->id_size && memcmp(at->bytes, client->id, at->size) == 0 &&
            (!best || at->size > best->size))
            best = at;
    }
    return best;
}

receiver_prefix_t *prefix_find(const receiver_t *receiver, const void *bytes, size_t size)
{
    for (uint32_t i = 0; i < receiver->prefix_count; i++)
        if (receiver->prefixes[i].size == size &&
            (size == 0 || memcmp(receiver->prefixes[i].bytes, bytes, size) == 0))
            return &receiver->prefixes[i];
    return NULL;
}

bool prefix_add(core_t *self, receiver_t *receiver, const void *bytes, size_t size)
{
    if (receiver->prefix_count == RECEIVER_PREFIXES || size > ID_MAX)
        return false;
    receiver_prefix_t *prefixes =
        realloc(receiver->prefixes, (receiver->prefix_count + 1) * sizeof *prefixes);
    if (!prefixes)
        return false;
    receiver->prefixes = prefixes;
    receiver_prefix_t *added = &prefixes[receiver->prefix_count++];
    added->size = (uint8_t)size;
    if (size)
        memcpy(added->bytes, bytes, size);
    self->prefixes++;
    return true;
}

void prefix_drop(core_t *self, receiver_t *receiver, receiver_prefix_t *prefix)
{
    *prefix = receiver->prefixes[--receiver->prefix_count];
    self->prefixes--;
}
