//  decider.c - decides requests; see decider.h

#include "decider.h"
#include "address.h"
#include "certificate.h"
#include "reply.h"
#include <stdlib.h>

#define ACKS_AT_ONCE 256
#define SPARSE_ROOM 4096 //  bytes of a frame that may be something else than its pushes

//  ---- pushes ------------------------------------------------------------------------------------

static void s_refuse_all(request_t *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        push_t *push = &request->pushes[i];
        if (push->outcome != OUTCOME_ACCEPTED)
            continue;
        push->outcome = OUTCOME_SHUTTING_DOWN;
        push->now_epoch = push->next_seq = push->window_end = 0;
        push->retry_after_ms = 0;
    }
}

//  A kept push holds its whole frame. One that is mostly something else, as a peer may make it, would
//  keep more memory than the bounds count.
static bool s_is_sparse(const request_t *request)
{
    size_t used = 0;
    for (uint32_t i = 0; i < request->count; i++)
        if (request->pushes[i].outcome == OUTCOME_ACCEPTED)
            used += request->pushes[i].size;
    return frame_size(request->frame) > 2 * used + SPARSE_ROOM;
}

//  The next push of the chain, or none behind the last one.
static decider_ahead_t s_step(decider_t *self)
{
    while (self->next && self->index == self->next->count) {
        self->next = (const request_t *)self->next->item.next;
        self->index = 0;
    }
    if (!self->next)
        return (decider_ahead_t){0};
    return (decider_ahead_t){&self->next->pushes[self->index++], self->next->frame};
}

//  The push that was looked at so many steps ago.
static decider_ahead_t s_behind(const decider_t *self, uint32_t steps)
{
    return self->ahead[(self->looked - steps) % DECIDER_AHEAD];
}

//  All of what a push touches is random memory, and each step needs what the one before it has
//  fetched.
static void s_look_ahead(decider_t *self)
{
    decider_ahead_t slot = s_step(self), client = s_behind(self, 4), flow = s_behind(self, 8),
                    places = s_behind(self, 12);
    if (slot.push)
        core_prefetch_slot(self->core, slot.push);
    if (client.push)
        core_prefetch_client(self->core, client.push);
    if (flow.push)
        core_prefetch_flow(self->core, flow.push);
    if (places.push)
        core_prefetch_places(self->core, places.push, places.frame);
    self->ahead[self->looked++ % DECIDER_AHEAD] = slot;
}

void decider_begin(decider_t *self, const request_t *first)
{
    self->next = first;
    self->index = 0;
    for (int i = 0; i < DECIDER_AHEAD; i++)
        self->ahead[i] = (decider_ahead_t){0};
    for (int i = 0; i < DECIDER_AHEAD; i++)
        s_look_ahead(self);
}

static void s_decide_all(decider_t *self, request_t *request, int64_t now)
{
    //  A REQ peer gets nothing that it did not ask for.
    uint64_t peer = request->delimited ? 0 : request->peer;
    core_begin_batch(self->core, s_is_sparse(request), peer, request->confirm);
    for (uint32_t i = 0; i < request->count; i++) {
        s_look_ahead(self);
        if (request->pushes[i].outcome == OUTCOME_ACCEPTED)
            core_push(self->core, request->frame, &request->pushes[i], now);
        else
            core_refused(self->core, &request->pushes[i], now);
    }
}

static void s_count_outcomes(const decider_t *self, request_t *request)
{
    request->accepted = request->rejected = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        const push_t *push = &request->pushes[i];
        if (push->outcome == OUTCOME_ACCEPTED) {
            request->accepted++;
            request->unreceived += push->unreceived;
        } else {
            request->rejected++;
            stats_add(&self->stats->outcomes[push->outcome], 1);
        }
    }
    stats_add(&self->stats->outcomes[OUTCOME_ACCEPTED], request->accepted);
    stats_add(&self->stats->unreceived, request->unreceived);
}

static void s_push(decider_t *self, request_t *request, int64_t now)
{
    if (self->draining)
        s_refuse_all(request);
    else
        s_decide_all(self, request, now);
    s_count_outcomes(self, request);
    uint64_t took = (uint64_t)(pipe_clock() - request->received_at);
    histogram_add(&self->stats->enqueue, took, request->count);
}

//  ---- replies -----------------------------------------------------------------------------------

static void s_reply(const decider_t *self, request_t *request, Seqpush__V1__Reply *reply)
{
    free(request->reply);
    request->reply = reply_pack(reply, self->instance, request->request_id, &request->reply_size);
}

static void s_error(const decider_t *self, request_t *request, error_code_t code,
                    const char *message)
{
    request->failed = true;
    request->code = code;
    free(request->reply);
    request->reply =
        reply_pack_error(code, message, self->instance, request->request_id, &request->reply_size);
}

//  ---- receivers ---------------------------------------------------------------------------------

static bool s_is_allowed(const decider_t *self, const char *address)
{
    for (size_t i = 0; i < self->allow_count; i++)
        if (address_matches(address, self->allow_endpoint[i]))
            return true;
    return false;
}

//  Attaches the clients that the request names, and lists where each goes on.
static void s_attach_clients(const decider_t *self, receiver_t *receiver,
                             const Seqpush__V1__Attach *attach, Seqpush__V1__Attached *attached,
                             Seqpush__V1__Position *positions, int64_t now)
{
    for (size_t i = 0; i < attach->n_clients; i++) {
        const Seqpush__V1__Position *asked = attach->clients[i];
        position_t at = {asked->epoch, asked->seq};
        bool granted = core_attach_client(self->core, receiver, asked->client_id.data,
                                          asked->client_id.len, &at, now);
        seqpush__v1__position__init(&positions[i]);
        positions[i].client_id = asked->client_id;
        positions[i].epoch = at.epoch;
        positions[i].seq = at.seq;
        if (granted)
            attached->positions[attached->n_positions++] = &positions[i];
        else
            attached->refused[attached->n_refused++] = &positions[i];
    }
}

//  Attaches the prefix, if the request names one. False: the receiver has too many.
static bool s_attach_prefix(const decider_t *self, receiver_t *receiver,
                            const Seqpush__V1__Attach *attach, int64_t now)
{
    return attach->prefix_case != SEQPUSH__V1__ATTACH__PREFIX_CLIENT_PREFIX ||
           core_attach_prefix(self->core, receiver, attach->client_prefix.data,
                              attach->client_prefix.len, now);
}

static void s_attach_all(const decider_t *self, request_t *request, receiver_t *receiver,
                         int64_t now)
{
    const Seqpush__V1__Attach *attach = request->body->attach;
    Seqpush__V1__Attached body = SEQPUSH__V1__ATTACHED__INIT;
    Seqpush__V1__Position *positions = calloc(attach->n_clients + 1, sizeof *positions);
    body.positions = calloc(attach->n_clients + 1, sizeof *body.positions);
    body.refused = calloc(attach->n_clients + 1, sizeof *body.refused);
    if (positions && body.positions && body.refused) {
        s_attach_clients(self, receiver, attach, &body, positions, now);
        body.receiver_id = attach->receiver_id;
        body.generation = receiver->generation;
        Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
        reply.body_case = SEQPUSH__V1__REPLY__BODY_ATTACHED;
        reply.attached = &body;
        s_reply(self, request, &reply);
        if (!s_attach_prefix(self, receiver, attach, now))
            s_error(self, request, ERROR_OVERLOADED, "the receiver has too many prefixes");
    } else {
        s_error(self, request, ERROR_OVERLOADED, "out of memory");
    }
    free(positions);
    free(body.positions);
    free(body.refused);
}

static void s_refuse_owner(const decider_t *self, request_t *request)
{
    stats_add(&self->stats->denied_owner, 1);
    s_error(self, request, ERROR_FORBIDDEN, "the receiver or endpoint belongs to another key");
}

static void s_refuse_attach(const decider_t *self, request_t *request, error_code_t code)
{
    if (code == ERROR_FORBIDDEN)
        s_refuse_owner(self, request);
    else if (code == ERROR_OVERLOADED)
        s_error(self, request, code, "no room for another receiver");
    else
        s_error(self, request, code, "the endpoint is a route's");
}

static void s_attach(const decider_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__Attach *attach = request->body->attach;
    char address[ADDRESS_MAX];
    if (!*attach->endpoint) {
        s_error(self, request, ERROR_UNSUPPORTED, "an Attach without an endpoint is not built");
        return;
    }
    if (*attach->server_key && !self->curve) {
        s_error(self, request, ERROR_UNSUPPORTED, "this broker does not speak CURVE");
        return;
    }
    if (self->curve && !certificate_is_key(attach->server_key)) {
        s_error(self, request, ERROR_ENDPOINT_REFUSED,
                "an Attach must name the CURVE key of its endpoint");
        return;
    }
    if (!address_parse(attach->endpoint, address) || !s_is_allowed(self, address)) {
        s_error(self, request, ERROR_ENDPOINT_REFUSED,
                "the endpoint is no literal address, or delivery/allow_endpoint does not allow it");
        return;
    }
    core_attach_t wanted = {.id = attach->receiver_id.data,
                            .id_size = attach->receiver_id.len,
                            .address = address,
                            .peer = request->peer,
                            .owner = request->owner,
                            .server_key = attach->server_key,
                            .ack_none = attach->ack_mode == SEQPUSH__V1__ACK_MODE__ACK_NONE};
    error_code_t code;
    receiver_t *receiver = core_attach(self->core, &wanted, now, &code);
    if (receiver)
        s_attach_all(self, request, receiver, now);
    else
        s_refuse_attach(self, request, code);
}

//  The receiver with this id, if it is the key's, or `anybody` may ask; NULL: the request is answered.
static receiver_t *s_owned(const decider_t *self, request_t *request, ProtobufCBinaryData id,
                           bool anybody)
{
    receiver_t *receiver = core_receiver(self->core, id.data, id.len);
    if (!receiver)
        s_error(self, request, ERROR_UNKNOWN_RECEIVER, "attach first");
    else if (receiver->owner == request->owner || anybody)
        return receiver;
    else
        s_refuse_owner(self, request);
    return NULL;
}

//  The receiver with this id in this generation, or NULL with the request answered.
static receiver_t *s_session(const decider_t *self, request_t *request, ProtobufCBinaryData id,
                             uint64_t generation, bool anybody)
{
    receiver_t *receiver = s_owned(self, request, id, anybody);
    if (!receiver)
        return NULL;
    if (receiver->generation != generation) {
        stats_add(&self->stats->acks_stale, 1);
        s_error(self, request, ERROR_STALE_GENERATION, "the receiver has another generation");
        return NULL;
    }
    //  It may have connected anew; what is unasked goes to where it was last heard.
    if (receiver->owner == request->owner)
        receiver->peer = request->peer;
    return receiver;
}

//  The receiver gives clients back itself.
static bool s_give_back(const decider_t *self, request_t *request)
{
    const Seqpush__V1__Detach *detach = request->body->detach;
    receiver_t *receiver =
        s_session(self, request, detach->receiver_id, detach->generation, request->admin);
    if (!receiver)
        return false;
    for (size_t i = 0; i < detach->n_client_ids; i++)
        core_detach_client(self->core, receiver, detach->client_ids[i].data,
                           detach->client_ids[i].len);
    if (detach->n_client_ids == 0)
        core_detach(self->core, receiver);
    return true;
}

//  An operator takes clients from it, whatever its generation. The answer names those that were its.
static bool s_expel(const decider_t *self, request_t *request)
{
    Seqpush__V1__Detach *detach = request->body->detach;
    receiver_t *receiver = s_owned(self, request, detach->receiver_id, request->admin);
    if (!receiver)
        return false;
    size_t expelled = 0;
    for (size_t i = 0; i < detach->n_client_ids; i++) {
        ProtobufCBinaryData id = detach->client_ids[i];
        if (core_expel_client(self->core, receiver, id.data, id.len))
            detach->client_ids[expelled++] = id;
    }
    if (detach->n_client_ids == 0)
        core_expel(self->core, receiver);
    else if (expelled == 0)
        s_error(self, request, ERROR_UNKNOWN_RECEIVER,
                "the receiver has none of these clients by name");
    bool any = detach->n_client_ids == 0 || expelled > 0;
    detach->n_client_ids = expelled;
    return any;
}

static void s_detach(const decider_t *self, request_t *request)
{
    const Seqpush__V1__Detach *detach = request->body->detach;
    if (!(detach->generation ? s_give_back : s_expel)(self, request))
        return;
    Seqpush__V1__Detached body = SEQPUSH__V1__DETACHED__INIT;
    body.receiver_id = detach->receiver_id;
    body.n_client_ids = detach->n_client_ids;
    body.client_ids = detach->client_ids;
    body.reason = "asked";
    body.generation = detach->generation;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_DETACHED;
    reply.detached = &body;
    s_reply(self, request, &reply);
}

static void s_ack_some(const decider_t *self, receiver_t *receiver,
                       Seqpush__V1__Position *const *positions, size_t count, int64_t now)
{
    core_ack_t acks[ACKS_AT_ONCE];
    count = count < ACKS_AT_ONCE ? count : ACKS_AT_ONCE;
    for (size_t i = 0; i < count; i++) {
        const Seqpush__V1__Position *at = positions[i];
        acks[i] = (core_ack_t){at->client_id.data, at->client_id.len, {at->epoch, at->seq}};
    }
    core_ack(self->core, receiver, acks, count, now);
}

static void s_ack(const decider_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__DeliveryAck *ack = request->body->ack;
    receiver_t *receiver = s_session(self, request, ack->receiver_id, ack->generation, false);
    if (!receiver)
        return;
    core_heard(receiver, now);
    for (size_t i = 0; i < ack->n_positions; i += ACKS_AT_ONCE)
        s_ack_some(self, receiver, &ack->positions[i], ack->n_positions - i, now);
    for (size_t i = 0; i < ack->n_missing; i++) {
        const Seqpush__V1__Position *at = ack->missing[i];
        core_missing(self->core, receiver, at->client_id.data, at->client_id.len,
                     (position_t){at->epoch, at->seq}, now);
    }
}

static void s_heartbeat(const decider_t *self, request_t *request, int64_t now)
{
    Seqpush__V1__Heartbeat *heartbeat = request->body->heartbeat;
    if (heartbeat->receiver_id.len) {
        receiver_t *receiver =
            s_session(self, request, heartbeat->receiver_id, heartbeat->generation, false);
        if (!receiver)
            return;
        core_heard(receiver, now);
    }
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_HEARTBEAT;
    reply.heartbeat = heartbeat;
    s_reply(self, request, &reply);
}

//  ---- ways out of a gap -------------------------------------------------------------------------

static void s_reply_position(const decider_t *self, request_t *request,
                             ProtobufCBinaryData client_id, position_t at)
{
    Seqpush__V1__Position body = SEQPUSH__V1__POSITION__INIT;
    body.client_id = client_id;
    body.epoch = at.epoch;
    body.seq = at.seq;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_POSITION;
    reply.position = &body;
    s_reply(self, request, &reply);
}

static void s_skip(const decider_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__Skip *skip = request->body->skip;
    position_t at = core_skip(self->core, skip->client_id.data, skip->client_id.len, skip->epoch,
                              skip->from, skip->to, now);
    s_reply_position(self, request, skip->client_id, at);
}

static void s_reset(const decider_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__Reset *reset = request->body->reset;
    position_t at = core_reset(self->core, reset->client_id.data, reset->client_id.len,
                               reset->epoch, reset->next_seq, now);
    s_reply_position(self, request, reset->client_id, at);
}

//  ---- requests ----------------------------------------------------------------------------------

static void s_decide_other(const decider_t *self, request_t *request, int64_t now)
{
    switch (request->kind) {
    case REQUEST_ATTACH:
        s_attach(self, request, now);
        break;
    case REQUEST_DETACH:
        s_detach(self, request);
        break;
    case REQUEST_ACK:
        s_ack(self, request, now);
        break;
    case REQUEST_HEARTBEAT:
        s_heartbeat(self, request, now);
        break;
    case REQUEST_SKIP:
        s_skip(self, request, now);
        break;
    default:
        s_reset(self, request, now);
    }
}

void decider_decide(decider_t *self, request_t *request, int64_t now)
{
    bool changes = request->kind == REQUEST_ATTACH || request->kind == REQUEST_SKIP ||
                   request->kind == REQUEST_RESET;
    if (request->kind == REQUEST_REFUSED)
        return;
    if (request->kind == REQUEST_KEY_CHANGED) {
        core_end_owner(self->core, request->owner);
        return;
    }
    if (request->kind == REQUEST_PUSH)
        s_push(self, request, now);
    else if (self->draining && changes)
        s_error(self, request, ERROR_SHUTTING_DOWN, "the broker is stopping");
    else
        s_decide_other(self, request, now);
    frame_unref(request->frame);
    request->frame = NULL;
}
