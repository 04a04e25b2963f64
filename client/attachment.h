/*  attachment.h - a receiver's session with the broker: what is attached, and in which generation

    It makes what is attached what the application wants, with one Attach under way at a time,
    and holds the session alive with heartbeats. Whenever the generation is lost, because the
    broker started anew, forgot the receiver or fell silent, everything is attached again with
    the positions then reached.

    One thread at a time; nothing blocks.                                                         */

#ifndef SEQPUSH_ATTACHMENT_H
#define SEQPUSH_ATTACHMENT_H

#include "positions.h"
#include "socket.h"

typedef struct attachment_prefix attachment_prefix_t;
typedef struct attachment_ask attachment_ask_t;

typedef struct {
    //  Set by the owner before attachment_init.
    void *dealer;
    positions_t *positions;
    const void *id; //  receiver_id
    size_t id_size;
    const char *endpoint; //  that the broker is told
    const char *server_key; //  CURVE key of the endpoint; empty: plaintext
    bool no_acks;
    uint32_t heartbeat; //  ms
    //  Called inside attachment_reply: the stream goes on after `position`, which is not the one
    //  that was named; it goes on there, and entries that came before the Attached were dropped;
    //  the broker took a client away, or all if `id` is NULL.
    void (*on_jump)(void *arg, const position_t *position);
    void (*on_passed_over)(void *arg, position_t *position);
    void (*on_detached)(void *arg, const void *id, size_t id_size, const char *reason);
    void *arg;

    //  For the owner to look at.
    uint64_t generation; //  0: not attached
    size_t prefix_count;
    uint64_t attaches; //  Attached replies
    bool blocked; //  the dealer took no more; the owner resets it

    uint64_t instance; //  of the broker, 0 before its first reply
    uint64_t last_request_id;
    uint64_t last_attach_id; //  request_id of the last Attach
    uint64_t last_answered_id; //  the broker has taken what was sent up to this request
    uint64_t
        first_request_id; //  since the generation was lost last: errors of older ones are stale
    int64_t beat_at; //  monotonic ms of the next heartbeat
    unsigned unanswered; //  heartbeats since the last reply
    size_t client_count; //  clients that are asked for by name
    bool detach_all;
    position_t *to_attach;
    position_t *to_detach;
    attachment_prefix_t *prefixes;
    attachment_ask_t *ask; //  the Attach that is under way
} attachment_t;

//  Returns false if there is no memory.
bool attachment_init(attachment_t *self);

//  Frees what it holds; takes a half-built one.
void attachment_fini(attachment_t *self);

//  Asks for a client after (epoch, seq); 0, 0: where the broker is. Returns false if there is no
//  memory.
bool attachment_add_client(attachment_t *self, const void *id, size_t id_size, uint64_t epoch,
                           uint64_t seq);

//  Asks for a prefix. Returns false if there is no memory.
bool attachment_add_prefix(attachment_t *self, const void *prefix, size_t size);

//  Gives a client back, or all.
void attachment_remove_client(attachment_t *self, const void *id, size_t id_size);
void attachment_remove_all(attachment_t *self);

//  True if something is asked for.
bool attachment_is_wanted(const attachment_t *self);

//  True if everything that is asked for is attached, and something is.
bool attachment_is_complete(const attachment_t *self);

//  Takes in a reply of the broker.
void attachment_reply(attachment_t *self, const Seqpush__V1__Reply *reply);

//  Sends a heartbeat that is due, or gives the generation up after some without an answer.
void attachment_beat(attachment_t *self, int64_t now);

//  Makes what is attached what is wanted. One Attach is under way at a time.
void attachment_reconcile(attachment_t *self, int64_t now);

//  When something will be due; -1: never.
int64_t attachment_due_at(const attachment_t *self);

//  Gives everything back at the end, and waits a little for the answer.
void attachment_farewell(attachment_t *self);

#endif
