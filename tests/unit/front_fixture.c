/*  front_fixture.c - the ROUTER socket, and the way of requests and replies over it */

#include "front_fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void s_open(front_t *self)
{
    int linger = 0;
    self->context = zmq_ctx_new();
    self->router = zmq_socket(self->context, ZMQ_ROUTER);
    zmq_setsockopt(self->router, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_bind(self->router, self->endpoint), 0);
}

//  The context goes with the socket: only then is its listener sure to be gone.
static void s_close(front_t *self)
{
    zmq_close(self->router);
    zmq_ctx_term(self->context);
}

void front_init(front_t *self)
{
    snprintf(self->folder, sizeof self->folder, "/tmp/seqpush-test-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    snprintf(self->endpoint, sizeof self->endpoint, "ipc://%s/front", self->folder);
    self->instance = 7;
    s_open(self);
}

void front_fini(front_t *self)
{
    s_close(self);
    rmdir(self->folder);
    free(self->frame);
}

void front_restart(front_t *self)
{
    s_close(self);
    self->instance++;
    s_open(self);
}

bool front_has_request(front_t *self, int timeout)
{
    zmq_pollitem_t item = {.socket = self->router, .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, timeout) == 1;
}

request_t *front_receive(front_t *self)
{
    self->peer_size = (size_t)zmq_recv(self->router, self->peer, sizeof self->peer, 0);
    zmq_msg_t message;
    zmq_msg_init(&message);
    self->frame_size = (size_t)zmq_msg_recv(&message, self->router, 0);
    assert_false(zmq_msg_more(&message));
    free(self->frame);
    self->frame = malloc(self->frame_size);
    memcpy(self->frame, zmq_msg_data(&message), self->frame_size);
    zmq_msg_close(&message);
    request_t *request = seqpush__v1__request__unpack(NULL, self->frame_size, self->frame);
    assert_non_null(request);
    return request;
}

void front_free(request_t *request)
{
    seqpush__v1__request__free_unpacked(request, NULL);
}

void front_send(front_t *self, const void *bytes, size_t size)
{
    assert_true(zmq_send(self->router, self->peer, self->peer_size, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(self->router, bytes, size, 0) >= 0);
}

void front_reply(front_t *self, reply_t *reply)
{
    reply->instance = self->instance;
    size_t size = seqpush__v1__reply__get_packed_size(reply);
    uint8_t *bytes = malloc(size);
    front_send(self, bytes, seqpush__v1__reply__pack(reply, bytes));
    free(bytes);
}

void front_reply_error(front_t *self, uint64_t id, char *code)
{
    Seqpush__V1__Error error = SEQPUSH__V1__ERROR__INIT;
    error.code = code;
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_ERROR;
    reply.error = &error;
    reply.request_id = id;
    front_reply(self, &reply);
}

int64_t front_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t front_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

wire_position_t front_position(const char *text)
{
    wire_position_t position = SEQPUSH__V1__POSITION__INIT;
    position.client_id = (ProtobufCBinaryData){1, (uint8_t *)text};
    const char *slash = strchr(text, '/');
    position.epoch = slash ? strtoull(text + 1, NULL, 10) : 0;
    position.seq = strtoull(slash ? slash + 1 : text + 1, NULL, 10);
    return position;
}
