/*  attachment_state.h - what the files share that an attachment is made of

    attachment.c has what is asked for, attachment_request.c asks the broker for it, and
    attachment_reply.c takes in what the broker says.                                             */

#ifndef SEQPUSH_ATTACHMENT_STATE_H
#define SEQPUSH_ATTACHMENT_STATE_H

#include "attachment.h"

#define ATTACHMENT_CHUNK 2048 //  clients an Attach or Detach at most

struct attachment_prefix {
    uint64_t attached_in; //  generation, or 0
    size_t size;
    uint8_t bytes[SEQPUSH_ID_MAX];
};

//  The Attach that is under way, and room for what it and a Detach are made of.
struct attachment_ask {
    uint64_t request_id; //  0: none
    int64_t due; //  monotonic ms when it is asked again
    bool has_prefix;
    uint8_t prefix[SEQPUSH_ID_MAX];
    size_t prefix_size;
    size_t count;
    position_t *clients[ATTACHMENT_CHUNK];
    Seqpush__V1__Position positions[ATTACHMENT_CHUNK];
    Seqpush__V1__Position *pointers[ATTACHMENT_CHUNK];
    ProtobufCBinaryData ids[ATTACHMENT_CHUNK];
};

//  Everything is to be attached again: the broker does not know this receiver, or another one of
//  it.
void attachment_lose_generation(attachment_t *self);

//  The client is not asked for any more, and the broker is told so if it has it.
void attachment_give_back(attachment_t *self, position_t *position);

//  Nothing is asked for any more. What the broker still has attached is left to the caller.
void attachment_forget_all(attachment_t *self);

//  The prefix if it is asked for, or NULL.
attachment_prefix_t *attachment_find_prefix(const attachment_t *self, const void *prefix,
                                            size_t size);

//  A prefix that is asked for and not attached, or NULL.
attachment_prefix_t *attachment_prefix_to_attach(const attachment_t *self);

void attachment_remove_prefix(attachment_t *self, attachment_prefix_t *prefix);

void attachment_send_heartbeat(attachment_t *self);

#endif
