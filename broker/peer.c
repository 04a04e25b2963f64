//  peer.c - the peers of the front; see peer.h

#include "peer.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static unsigned s_hash(const peer_table_t *self, const void *route, size_t route_size)
{
    return (unsigned)request_hash(self->key, route, route_size);
}

peer_t *peer_find(const peer_table_t *self, const void *route, size_t route_size)
{
    assert(route_size <= PEER_ROUTE_MAX);
    peer_t *peer = NULL;
    unsigned hash = s_hash(self, route, route_size);
    HASH_FIND_BYHASHVALUE(by_route, self->by_route, route, route_size, hash, peer);
    return peer;
}

peer_t *peer_new(peer_table_t *self, const void *route, size_t route_size)
{
    peer_t *peer = calloc(1, sizeof *peer + route_size);
    if (!peer || !(peer->unread = unread_new())) {
        free(peer);
        return NULL;
    }
    unsigned hash = s_hash(self, route, route_size);
    peer->number = ++self->last_number;
    peer->route_size = (uint8_t)route_size;
    memcpy(peer->route, route, route_size);
    HASH_ADD_KEYPTR_BYHASHVALUE(by_route, self->by_route, peer->route, route_size, hash, peer);
    //  The number is ours, not the peer's: any hash will do.
    unsigned number_hash = (unsigned)peer->number;
    HASH_ADD_KEYPTR_BYHASHVALUE(by_number, self->by_number, &peer->number, sizeof peer->number,
                                number_hash, peer);
    return peer;
}

peer_t *peer_numbered(peer_table_t *self, uint64_t number)
{
    peer_t *peer = NULL;
    HASH_FIND_BYHASHVALUE(by_number, self->by_number, &number, sizeof number, (unsigned)number,
                          peer);
    return peer;
}

void peer_forget(peer_table_t *self, peer_t *peer)
{
    //  The analyzer does not see that the last delete leaves an empty table.
    HASH_DELETE(by_route, self->by_route, peer); // NOLINT(clang-analyzer-*)
    HASH_DELETE(by_number, self->by_number, peer); // NOLINT(clang-analyzer-*)
    unread_destroy(&peer->unread);
    free(peer);
}

peer_t *peer_renew(peer_table_t *self, peer_t *peer)
{
    uint8_t route[PEER_ROUTE_MAX];
    size_t route_size = peer->route_size;
    memcpy(route, peer->route, route_size);
    peer_forget(self, peer);
    return peer_new(self, route, route_size);
}

void peer_fini(peer_table_t *self)
{
    peer_t *peer, *next;
    HASH_ITER (by_route, self->by_route, peer, next) {
        peer_forget(self, peer);
    }
}
