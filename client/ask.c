/*  ask.c - Skip, Reset and an operator's Detach, whose callers wait for the answer */

#include "publisher_state.h"
#include <errno.h>
#include <stdlib.h>

void ask_answer(seqpush_publisher_t *self, uint64_t request_id, int rc,
                const Seqpush__V1__Position *position)
{
    if (request_id != self->ask.request_id)
        return;
    self->ask.rc = rc;
    self->ask.epoch = position ? position->epoch : 0;
    self->ask.seq = position ? position->seq : 0;
}

//  Sends the request, as soon as the socket takes it, and waits for the answer.
static int s_ask_until(seqpush_publisher_t *self, const Seqpush__V1__Request *request,
                       int64_t until)
{
    bool sent = false;
    for (;;) {
        int rc = publisher_turn(self);
        if (self->ask.rc <= 0)
            return self->ask.rc;
        if (!sent && !self->outbox.sealed)
            self->outbox.blocked = !(sent = socket_send_request(self->socket, request));
        if (rc == 0 && until >= 0 && socket_clock() >= until)
            return -ETIMEDOUT;
        if (rc == 0)
            rc = publisher_wait(self, until);
        if (rc < 0)
            return rc;
    }
}

static int s_ask(seqpush_publisher_t *self, Seqpush__V1__Request *request,
                 seqpush_position_t *position, int timeout_ms)
{
    request->request_id = ASK_ID | ++self->last_ask_id;
    self->ask = (ask_t){.request_id = request->request_id, .rc = 1};
    int rc = s_ask_until(self, request, socket_deadline(timeout_ms));
    self->ask.request_id = 0;
    if (rc == 0 && position) {
        position->epoch = self->ask.epoch;
        position->seq = self->ask.seq;
    }
    return rc;
}

int seqpush_publisher_skip(seqpush_publisher_t *self, const void *client_id, size_t client_id_size,
                           uint64_t epoch, uint64_t from, uint64_t to, seqpush_position_t *position,
                           int timeout_ms)
{
    if (client_id_size == 0 || client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    Seqpush__V1__Skip skip = SEQPUSH__V1__SKIP__INIT;
    skip.client_id = (ProtobufCBinaryData){client_id_size, (uint8_t *)client_id};
    skip.epoch = epoch;
    skip.from = from;
    skip.to = to;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_SKIP;
    request.skip = &skip;
    return s_ask(self, &request, position, timeout_ms);
}

int seqpush_publisher_reset(seqpush_publisher_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t next_seq, seqpush_position_t *position,
                            int timeout_ms)
{
    if (client_id_size == 0 || client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    Seqpush__V1__Reset reset = SEQPUSH__V1__RESET__INIT;
    reset.client_id = (ProtobufCBinaryData){client_id_size, (uint8_t *)client_id};
    reset.epoch = epoch;
    reset.next_seq = next_seq;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_RESET;
    request.reset = &reset;
    return s_ask(self, &request, position, timeout_ms);
}

static bool s_is_id(const void *id, size_t size)
{
    return id && size > 0 && size <= SEQPUSH_ID_MAX;
}

//  The ids as the wire has them; NULL with errno set.
static ProtobufCBinaryData *s_list_ids(const seqpush_id_t *clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!s_is_id(clients[i].id, clients[i].size)) {
            errno = EINVAL;
            return NULL;
        }
    }
    ProtobufCBinaryData *ids = calloc(count ? count : 1, sizeof *ids);
    for (size_t i = 0; ids && i < count; i++)
        ids[i] = (ProtobufCBinaryData){clients[i].size, (uint8_t *)clients[i].id};
    return ids;
}

int seqpush_publisher_detach(seqpush_publisher_t *self, const void *receiver_id,
                             size_t receiver_id_size, const seqpush_id_t *clients, size_t count,
                             int timeout_ms)
{
    if (!s_is_id(receiver_id, receiver_id_size))
        return -EINVAL;
    ProtobufCBinaryData *ids = s_list_ids(clients, count);
    if (!ids)
        return -errno;
    Seqpush__V1__Detach detach = SEQPUSH__V1__DETACH__INIT;
    detach.receiver_id = (ProtobufCBinaryData){receiver_id_size, (uint8_t *)receiver_id};
    detach.client_ids = ids;
    detach.n_client_ids = count;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_DETACH;
    request.detach = &detach;
    int rc = s_ask(self, &request, NULL, timeout_ms);
    free(ids);
    return rc;
}
