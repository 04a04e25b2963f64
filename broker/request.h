/*  request.h - one Request frame: read by the front, decided by the orderer, answered by the front

    A PushBatch is walked field by field; its pushes are references into the frame. All other bodies
    are unpacked by protobuf-c into a capped arena. A request goes over the pipe to the orderer,
    which decides it and puts the answer into it, and comes back to the front.

    The walk reads what protobuf-c reads: where protobuf-c would refuse the frame the walk does too,
    and the test holds one against the other on random bytes.                                     */

#ifndef SEQPUSH_REQUEST_H
#define SEQPUSH_REQUEST_H

#include "frame.h"
#include "outcome.h"
#include "pipe.h"
#include "push.h"
#include "seqpush.pb-c.h"
#include "stats.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    REQUEST_PUSH,
    REQUEST_ATTACH,
    REQUEST_DETACH,
    REQUEST_ACK,
    REQUEST_HEARTBEAT,
    REQUEST_SKIP,
    REQUEST_RESET,
    REQUEST_REFUSED, //  cannot be taken: the front has put the Error into it
    REQUEST_KEY_CHANGED, //  of no peer: sessions of `owner` are to ask anew for what they have
    REPLY_UNASKED, //  not a request: what the orderer tells a peer by itself
    REPLY_REPAIR //  the same: a Repair, of which a peer gets only so many
} request_kind_t;

typedef struct request {
    pipe_item_t item;
    request_kind_t kind;
    bool delimited; //  came with an empty delimiter frame (REQ): the answer gets one too
    bool confirm; //  CONFIRM_DELIVERED
    bool admin; //  of a key that may end what is another's
    uint64_t peer; //  the front's number for the peer
    uint64_t owner; //  whose key it came with; 0: nobody is asked
    uint64_t request_id;
    int64_t received_at; //  monotonic ns
    frame_t *frame; //  holds one reference until the request is decided, then NULL

    //  The answer. A PushAck is made of the counts and of the refused pushes; every other reply is
    //  packed by the orderer, empty if there is none.
    uint32_t accepted;
    uint32_t rejected;
    uint32_t unreceived;
    uint32_t numberless; //  pushes that came with seq 0
    bool failed; //  the reply is an Error
    error_code_t code; //  its code
    uint8_t *reply; //  a packed Reply, malloc'ed; NULL: none
    size_t reply_size;

    uint32_t awaits; //  with a journal: number of the change that the reply waits for

    struct arena *arena; //  what protobuf-c unpacked into; NULL for a PushBatch
    const Seqpush__V1__Request *body; //  NULL for a PushBatch

    uint32_t count; //  pushes
    push_t pushes[];
} request_t;

//  The key of every hash of something that a peer can name; 16 random bytes, one for a process.
#define REQUEST_KEY_SIZE 16

typedef struct {
    uint32_t max_payload; //  bytes; more is TOO_LARGE
    uint32_t max_pushes; //  a batch; more is an Error
    uint8_t key[REQUEST_KEY_SIZE];
} request_limits_t;

//  Keyed hash (SipHash-2-4, libsodium) of a client id.
uint64_t request_hash(const uint8_t key[REQUEST_KEY_SIZE], const void *id, size_t id_size);

//  Reads the frame. On success returns a request that holds a reference of its own to the frame,
//  with kind, request_id, confirm, body or pushes set and everything else 0. On failure returns
//  NULL and sets `*code` and `*reason` (a constant sentence), and `*request_id` to the frame's if
//  it could be read, else 0. A push that is wrong by itself has its outcome set (INVALID,
//  TOO_LARGE); the others have ACCEPTED. Any thread; does not block.
request_t *request_read(frame_t *frame, const request_limits_t *limits, error_code_t *code,
                        const char **reason, uint64_t *request_id);

//  Makes an empty one, without a frame. NULL if there is no memory.
request_t *request_new(request_kind_t kind, uint64_t peer);

//  Frees a request with all it holds and sets the pointer to NULL. Takes NULL. Where it still holds
//  its frame, only the thread that counts the frame may call this.
void request_destroy(request_t **self_p);

#endif
