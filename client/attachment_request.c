/*  attachment_request.c - Attach, Detach and Heartbeat */

#include "attachment_state.h"
#include <string.h>

#define FAREWELL 100 //  ms to wait for the answer to the last Detach

static ProtobufCBinaryData s_binary(const void *bytes, size_t size)
{
    return (ProtobufCBinaryData){size, (uint8_t *)bytes};
}

static bool s_send(attachment_t *self, Seqpush__V1__Request *request)
{
    request->request_id = ++self->last_request_id;
    bool sent = socket_send_request(self->dealer, request);
    self->blocked |= !sent;
    return sent;
}

//  ---- attach and detach -------------------------------------------------------------------------

static bool s_send_detach(attachment_t *self, size_t count)
{
    Seqpush__V1__Detach detach = SEQPUSH__V1__DETACH__INIT;
    detach.receiver_id = s_binary(self->id, self->id_size);
    detach.generation = self->generation;
    detach.n_client_ids = count;
    detach.client_ids = self->ask->ids;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_DETACH;
    request.detach = &detach;
    return s_send(self, &request);
}

//  Fills the ids of a Detach from the list, of which they stay part until it is sent.
static size_t s_gather_detach(attachment_t *self)
{
    size_t count = 0;
    for (position_t *p = self->to_detach; p && count < ATTACHMENT_CHUNK; p = p->next)
        self->ask->ids[count++] = s_binary(p->id, p->id_size);
    return count;
}

static bool s_detach(attachment_t *self)
{
    if (self->detach_all) {
        if (!s_send_detach(self, 0))
            return false;
        self->detach_all = false;
    }
    while (self->to_detach) {
        size_t count = s_gather_detach(self);
        if (!s_send_detach(self, count))
            return false;
        for (; count; count--) {
            self->to_detach->attached_in = 0;
            position_enlist(self->to_detach, NULL);
        }
    }
    return true;
}

//  Fills the Attach from the list, of which the clients stay part until it is sent.
static void s_gather_attach(attachment_t *self)
{
    attachment_ask_t *ask = self->ask;
    ask->count = 0;
    for (position_t *p = self->to_attach; p && ask->count < ATTACHMENT_CHUNK; p = p->next) {
        Seqpush__V1__Position *position = &ask->positions[ask->count];
        seqpush__v1__position__init(position);
        position->client_id = s_binary(p->id, p->id_size);
        position->epoch = p->epoch;
        position->seq = p->seq;
        ask->pointers[ask->count] = position;
        ask->clients[ask->count++] = p;
    }
    attachment_prefix_t *prefix = ask->count ? NULL : attachment_prefix_to_attach(self);
    ask->has_prefix = prefix != NULL;
    if (prefix) {
        memcpy(ask->prefix, prefix->bytes, prefix->size);
        ask->prefix_size = prefix->size;
    }
}

static bool s_send_attach(attachment_t *self)
{
    Seqpush__V1__Attach body = SEQPUSH__V1__ATTACH__INIT;
    body.receiver_id = s_binary(self->id, self->id_size);
    body.endpoint = (char *)self->endpoint;
    body.server_key = (char *)self->server_key;
    body.ack_mode =
        self->no_acks ? SEQPUSH__V1__ACK_MODE__ACK_NONE : SEQPUSH__V1__ACK_MODE__ACK_CUMULATIVE;
    body.n_clients = self->ask->count;
    body.clients = self->ask->pointers;
    if (self->ask->has_prefix) {
        body.prefix_case = SEQPUSH__V1__ATTACH__PREFIX_CLIENT_PREFIX;
        body.client_prefix = s_binary(self->ask->prefix, self->ask->prefix_size);
    }
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_ATTACH;
    request.attach = &body;
    return s_send(self, &request);
}

//  Asks for the next chunk: clients first, so that none of them comes by a prefix.
static void s_attach(attachment_t *self, int64_t now)
{
    attachment_ask_t *ask = self->ask;
    s_gather_attach(self);
    if ((ask->count == 0 && !ask->has_prefix) || !s_send_attach(self))
        return;
    ask->request_id = self->last_attach_id = self->last_request_id;
    ask->due = now + self->heartbeat;
    for (size_t i = 0; i < ask->count; i++) {
        ask->clients[i]->asked = ask->request_id;
        ask->clients[i]->passed_over = false;
        position_enlist(ask->clients[i], NULL);
    }
}

//  No answer came: what is still wanted of the Attach is to be asked for again.
static void s_abandon_attach(attachment_t *self)
{
    attachment_ask_t *ask = self->ask;
    for (size_t i = 0; i < ask->count; i++)
        if (ask->clients[i]->asked == ask->request_id && ask->clients[i]->state != CLIENT_OUT)
            position_enlist(ask->clients[i], &self->to_attach);
    ask->request_id = 0;
}

void attachment_reconcile(attachment_t *self, int64_t now)
{
    if (self->ask->request_id && now >= self->ask->due)
        s_abandon_attach(self);
    if (self->ask->request_id == 0 && s_detach(self))
        s_attach(self, now);
}

void attachment_send_heartbeat(attachment_t *self)
{
    Seqpush__V1__Heartbeat heartbeat = SEQPUSH__V1__HEARTBEAT__INIT;
    heartbeat.receiver_id = s_binary(self->id, self->id_size);
    heartbeat.generation = self->generation;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_HEARTBEAT;
    request.heartbeat = &heartbeat;
    s_send(self, &request);
}

//  ---- the end -----------------------------------------------------------------------------------

//  Waits for the answer to the request sent last.
static void s_await_answer(attachment_t *self)
{
    int64_t until = socket_deadline(FAREWELL);
    zmq_pollitem_t item = {.socket = self->dealer, .events = ZMQ_POLLIN};
    for (bool answered = false; !answered && socket_clock() < until;) {
        Seqpush__V1__Reply *reply;
        if (socket_receive_reply(self->dealer, &reply) == 0)
            socket_wait(&item, 1, until);
        answered = reply && reply->request_id == self->last_request_id;
        seqpush__v1__reply__free_unpacked(reply, NULL);
    }
}

void attachment_farewell(attachment_t *self)
{
    if (self->generation && s_send_detach(self, 0))
        s_await_answer(self);
}
