//  reply.c - packs replies; see reply.h

#include "reply.h"
#include <stdlib.h>

uint8_t *reply_pack(Seqpush__V1__Reply *reply, uint64_t instance, uint64_t request_id, size_t *size)
{
    reply->instance = instance;
    reply->request_id = request_id;
    *size = seqpush__v1__reply__get_packed_size(reply);
    uint8_t *packed = malloc(*size ? *size : 1);
    if (packed)
        seqpush__v1__reply__pack(reply, packed);
    return packed;
}

static Seqpush__V1__Rejection s_rejection(const push_t *push, uint32_t index)
{
    Seqpush__V1__Rejection rejection = SEQPUSH__V1__REJECTION__INIT;
    rejection.index = index;
    rejection.outcome = (Seqpush__V1__Outcome)push->outcome;
    rejection.next_seq = push->next_seq;
    rejection.window_end = push->window_end;
    rejection.retry_after_ms = push->retry_after_ms;
    rejection.epoch = push->now_epoch;
    return rejection;
}

//  Lists the refused pushes and the assigned seqs of a batch in arrays that the caller has made.
static void s_list(const request_t *batch, Seqpush__V1__PushAck *ack,
                   Seqpush__V1__Rejection *rejections)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const push_t *push = &batch->pushes[i];
        bool accepted = push->outcome == OUTCOME_ACCEPTED;
        if (!accepted) {
            rejections[ack->n_rejected] = s_rejection(push, i);
            ack->rejected[ack->n_rejected] = &rejections[ack->n_rejected];
            ack->n_rejected++;
        }
        if (push->numberless)
            ack->assigned[ack->n_assigned++] = accepted ? push->assigned : 0;
    }
}

uint8_t *reply_pack_ack(const reply_ack_t *ack, const request_t *batch, uint64_t instance,
                        size_t *size)
{
    Seqpush__V1__PushAck body = SEQPUSH__V1__PUSH_ACK__INIT;
    body.accepted = ack->accepted;
    body.unreceived = ack->unreceived;
    body.requests = ack->requests > 1 ? ack->requests : 0;
    body.credit = ack->credit;
    Seqpush__V1__Rejection *rejections = NULL;
    uint8_t *packed = NULL;
    if (batch) {
        rejections = calloc(batch->rejected + 1, sizeof *rejections);
        body.rejected = calloc(batch->rejected + 1, sizeof *body.rejected);
        body.assigned = calloc(batch->numberless + 1, sizeof *body.assigned);
        if (!rejections || !body.rejected || !body.assigned)
            goto out;
        s_list(batch, &body, rejections);
    }
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_PUSH_ACK;
    reply.push_ack = &body;
    packed = reply_pack(&reply, instance, ack->request_id, size);
out:
    free(rejections);
    free(body.rejected);
    free(body.assigned);
    return packed;
}

uint8_t *reply_pack_error(error_code_t code, const char *message, uint64_t instance,
                          uint64_t request_id, size_t *size)
{
    Seqpush__V1__Error body = SEQPUSH__V1__ERROR__INIT;
    body.code = (char *)error_code_name(code);
    body.message = (char *)message;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_ERROR;
    reply.error = &body;
    return reply_pack(&reply, instance, request_id, size);
}
