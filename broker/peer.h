/*  peer.h - the peers of the front: routing ids, their numbers, and what is owed to each

    The other actors know a peer by its number, which is never used again; only the front knows the
    routing id. A peer is forgotten when it cannot be reached, or after a while without a word, which
    is short once its connection has ended.
    The front's thread only.                                                                      */

#ifndef SEQPUSH_PEER_H
#define SEQPUSH_PEER_H

#include "reply.h"
#include "unread.h"
#include <uthash.h>

//  Bytes of a routing id, as ZeroMQ's own sockets have it at most. A peer may send more.
#define PEER_ROUTE_MAX 255

typedef struct peer {
    uint64_t number;
    const struct access_key *key; //  as it is in the front's table; NULL: to be looked up
    uint64_t owner; //  a number that stands for the key; 0: nobody was asked
    unread_t *unread; //  bytes of its replies that are with ZeroMQ
    uint32_t undecided; //  pushes received and not decided
    uint32_t credit; //  that it is told; 0: nothing was decided yet
    int descriptor; //  by which it was last heard, and
    uint64_t connection; //  the number that the door gave it; 0: unknown
    bool delimited; //  sends an empty delimiter (REQ), so gets one
    bool owed; //  a PushAck is gathered for it
    reply_ack_t ack; //  that PushAck
    struct peer *next_owed;
    int64_t heard_at;
    int64_t gone_at; //  when its connection was seen to have ended; 0: it is there
    int64_t pushed_at; //  0: never
    int64_t full_at; //  when it may push a second's worth at once; see allowance.h
    int64_t repairs_since; //  when the present second of Repairs began
    uint32_t repairs; //  in it
    UT_hash_handle by_route;
    UT_hash_handle by_number;
    uint8_t route_size;
    uint8_t route[];
} peer_t;

typedef struct {
    peer_t *by_route;
    peer_t *by_number;
    uint64_t last_number;
    const uint8_t *key; //  of hashes
} peer_table_t;

//  The peer with this routing id of at most PEER_ROUTE_MAX bytes, or NULL.
peer_t *peer_find(const peer_table_t *self, const void *route, size_t route_size);

//  Makes one with a routing id that nobody has. NULL: no memory.
peer_t *peer_new(peer_table_t *self, const void *route, size_t route_size);

//  Forgets a peer, which must not be owed anything, and makes another one with its routing id. NULL: no
//  memory.
peer_t *peer_renew(peer_table_t *self, peer_t *peer);

//  The peer with this number, or NULL if it was forgotten.
peer_t *peer_numbered(peer_table_t *self, uint64_t number);

//  Forgets a peer and frees it. It must not be owed anything.
void peer_forget(peer_table_t *self, peer_t *peer);

//  Forgets all.
void peer_fini(peer_table_t *self);

#endif
