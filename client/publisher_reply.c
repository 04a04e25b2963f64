/*  publisher_reply.c - what the broker's replies mean to a publisher */

#include "publisher_state.h"
#include <string.h>

//  True if the rejections are in the order of the batch, as they have to be.
static bool s_is_ordered(const Seqpush__V1__PushAck *ack)
{
    for (size_t i = 1; i < ack->n_rejected; i++)
        if (ack->rejected[i]->index <= ack->rejected[i - 1]->index)
            return false;
    return true;
}

static void s_on_push_ack(seqpush_publisher_t *self, const Seqpush__V1__Reply *reply)
{
    const Seqpush__V1__PushAck *ack = reply->push_ack;
    uint64_t last = reply->request_id;
    uint64_t requests = ack->requests ? ack->requests : 1;
    uint64_t first = last >= requests ? last - requests + 1 : 1;
    if (last > self->outbox.last_request_id || !s_is_ordered(ack)) {
        self->stats.errors++;
        return;
    }
    if (ack->credit)
        self->outbox.credit = ack->credit;
    self->stats.unreceived += ack->unreceived;
    verdict_t verdict = {SEQPUSH_ACCEPTED, ack->rejected, ack->n_rejected, ack->assigned,
                         ack->n_assigned};
    outcome_decide(self, first, last, verdict);
    outbox_note_answer(&self->outbox, reply->instance, first, last);
}

static seqpush_outcome_t s_outcome_of_error(const char *code)
{
    if (strcmp(code, "overloaded") == 0)
        return SEQPUSH_OVERLOADED;
    if (strcmp(code, "shutting_down") == 0)
        return SEQPUSH_SHUTTING_DOWN;
    return strcmp(code, "forbidden") == 0 ? SEQPUSH_FORBIDDEN : SEQPUSH_INVALID;
}

//  Why the broker has not done what it was asked for.
static int s_errno_of_error(const char *code)
{
    static const struct {
        const char *code;
        int error;
    } errors[] = {{"unknown_receiver", -ENOENT},
                  {"forbidden", -EACCES},
                  {"invalid", -EINVAL},
                  {"overloaded", -EAGAIN},
                  {"shutting_down", -ESHUTDOWN}};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(code, errors[i].code) == 0)
            return errors[i].error;
    return -EPROTO;
}

static void s_on_error(seqpush_publisher_t *self, const Seqpush__V1__Reply *reply)
{
    uint64_t id = reply->request_id;
    self->stats.errors++;
    if (id & ASK_ID) {
        ask_answer(self, id, s_errno_of_error(reply->error->code), NULL);
    } else if (id && id <= self->outbox.last_request_id) {
        outcome_decide(self, id, id, (verdict_t){.all = s_outcome_of_error(reply->error->code)});
        outbox_note_answer(&self->outbox, reply->instance, id, id);
    }
}

static void s_on_reply(seqpush_publisher_t *self, const Seqpush__V1__Reply *reply)
{
    confirm_note_instance(self, reply->instance);
    switch (reply->body_case) {
    case SEQPUSH__V1__REPLY__BODY_PUSH_ACK:
        s_on_push_ack(self, reply);
        break;
    case SEQPUSH__V1__REPLY__BODY_ERROR:
        s_on_error(self, reply);
        break;
    case SEQPUSH__V1__REPLY__BODY_DELIVERED:
        confirm_delivered(self, reply->delivered);
        break;
    case SEQPUSH__V1__REPLY__BODY_REPAIR:
        repair_take(self, reply->repair);
        break;
    case SEQPUSH__V1__REPLY__BODY_POSITION:
        ask_answer(self, reply->request_id, 0, reply->position);
        break;
    case SEQPUSH__V1__REPLY__BODY_DETACHED:
        ask_answer(self, reply->request_id, 0, NULL);
        break;
    default:
        break; //  unasked news that this library does not use
    }
}

int publisher_take_replies(seqpush_publisher_t *self)
{
    Seqpush__V1__Reply *reply;
    int rc;
    while ((rc = socket_receive_reply(self->socket, &reply)) > 0) {
        if (reply)
            s_on_reply(self, reply);
        else
            self->stats.errors++;
        seqpush__v1__reply__free_unpacked(reply, NULL);
    }
    return rc;
}
