//  delivered.c - Delivered replies; see delivered.h

#include "delivered.h"
#include "reply.h"

#define POSITIONS_MAX 512 //  of a reply, which then has less than 48 KiB

typedef struct {
    Seqpush__V1__Position all[POSITIONS_MAX];
    Seqpush__V1__Position *positions[POSITIONS_MAX];
    Seqpush__V1__Position *given_up[POSITIONS_MAX];
    Seqpush__V1__Delivered body;
} delivered_t;

//  Lists as many confirmations as go into one reply to the publisher of the first; returns how many.
static size_t s_gather(delivered_t *self, const core_confirmation_t *confirmations, size_t count)
{
    seqpush__v1__delivered__init(&self->body);
    self->body.positions = self->positions;
    self->body.given_up = self->given_up;
    size_t i = 0;
    for (; i < count && i < POSITIONS_MAX; i++) {
        const core_confirmation_t *at = &confirmations[i];
        if (at->publisher != confirmations[0].publisher)
            break;
        Seqpush__V1__Position *position = &self->all[i];
        seqpush__v1__position__init(position);
        position->client_id = (ProtobufCBinaryData){at->client->id_size, (uint8_t *)at->client->id};
        position->epoch = at->position.epoch;
        position->seq = at->position.seq;
        if (at->given_up)
            self->given_up[self->body.n_given_up++] = position;
        else
            self->positions[self->body.n_positions++] = position;
    }
    return i;
}

static void s_send(pipe_t *front, uint64_t publisher, delivered_t *delivered, uint64_t instance)
{
    request_t *unasked = request_new(REPLY_UNASKED, publisher);
    if (!unasked)
        return;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_DELIVERED;
    reply.delivered = &delivered->body;
    unasked->reply = reply_pack(&reply, instance, 0, &unasked->reply_size);
    pipe_put(front, &unasked->item, 1);
}

void delivered_tell(core_t *core, pipe_t *front, uint64_t instance)
{
    const core_confirmation_t *confirmations;
    size_t count = core_confirmations(core, &confirmations);
    while (count) {
        delivered_t delivered;
        size_t told = s_gather(&delivered, confirmations, count);
        s_send(front, confirmations[0].publisher, &delivered, instance);
        confirmations += told;
        count -= told;
    }
}
