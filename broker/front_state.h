/*  front_state.h - what the front consists of, for the files that it is made of

    front.c has its socket, its turns and its end, front_request.c reads requests and passes them to the
    orderer, front_reply.c sends the replies.                                                       */

#ifndef SEQPUSH_FRONT_STATE_H
#define SEQPUSH_FRONT_STATE_H

#include "door.h"
#include "front.h"
#include "peer.h"

struct front {
    front_settings_t settings;
    front_stats_t *stats;
    zsock_t *router;
    door_t *door;
    void *handle; //  the same, as libzmq knows it
    char *endpoints;
    peer_table_t peers;
    peer_t *owed; //  peers for which a PushAck is gathered
    uint64_t undecided; //  requests that are with the orderer
    uint32_t frames; //  read in this turn
    uint32_t taken; //  pushes, in this turn
    uint32_t work; //  that was read at once, in pushes
    int64_t swept_at;
    int64_t ends_at; //  when it reads no more, at latest; 0: it goes on
    int64_t busy_at; //  then: when there was something to do
    bool deaf; //  it reads no more
};

//  Has the sessions of a key, whose rights are not what they were, ask anew. `self` is the front.
void front_tell_key_changed(void *self, const access_key_t *key);

//  Whether the connection that the peer was last heard on is there, as far as the door has looked.
bool front_is_connected(const front_t *self, const peer_t *peer);

//  Forgets peers that have been silent; sooner where their connections have ended.
void front_sweep(front_t *self, int64_t now);

//  Sends the replies that the orderer has passed back. Returns false if there were none.
bool front_take_replies(front_t *self);

#endif
