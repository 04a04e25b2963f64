/*  load_zmq_receiver.c - a receiver of seqpush.h that takes frames of pushes from a PULL socket

    It attaches nothing: what comes, comes. Of the kind "acked" it acknowledges what it took as the
    library does: the last position of each client, every few milliseconds. */

#include "acks.h"
#include "load.h"
#include "wire.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

//  Frames that are taken before it is the next receiver's turn.
#define TURN 64
#define ACK_EVERY 5000000 //  ns, as the library has it

struct seqpush_receiver {
    void *socket;
    void *front; //  where it acknowledges; NULL: nowhere
    positions_t positions;
    acks_t acks;
    int64_t acked_at;
    void (*on_push)(void *arg, const seqpush_push_t *push);
    void *arg;
    delivery_t pushes; //  of the frame at hand
    seqpush_receiver_stats_t stats;
};

//  One context for all; it goes with the process.
static void *s_context;

static bool s_open_front(seqpush_receiver_t *self, const char *fronts, size_t index)
{
    char endpoint[LOAD_ENDPOINT_SIZE];
    int linger = 0;
    self->front = zmq_socket(s_context, ZMQ_DEALER);
    if (!self->front)
        return false;
    zmq_setsockopt(self->front, ZMQ_LINGER, &linger, sizeof linger);
    return load_part(fronts, index, endpoint) && zmq_connect(self->front, endpoint) == 0;
}

static bool s_open(seqpush_receiver_t *self, const char *fronts)
{
    size_t index = atomic_load(&load->receivers), size = LOAD_ENDPOINT_SIZE;
    char endpoint[LOAD_ENDPOINT_SIZE];
    self->socket = zmq_socket(s_context, ZMQ_PULL);
    bool able = self->socket != NULL;
    if (able && load->from[0])
        able = load_part(load->from, index, endpoint) && zmq_connect(self->socket, endpoint) == 0;
    else if (able)
        able = zmq_bind(self->socket, "tcp://127.0.0.1:*") == 0 &&
               zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, load->bound[index], &size) == 0;
    if (able && strcmp(load->kind, "acked") == 0)
        able = s_open_front(self, fronts, index);
    atomic_store(&load->receivers, index + 1);
    return able;
}

seqpush_receiver_t *seqpush_receiver_new(const seqpush_receiver_options_t *options)
{
    seqpush_receiver_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    if (!s_context)
        s_context = zmq_ctx_new();
    self->on_push = options->on_push;
    self->arg = options->arg;
    if (!s_open(self, options->broker))
        seqpush_receiver_destroy(&self);
    return self;
}

void seqpush_receiver_destroy(seqpush_receiver_t **self_p)
{
    seqpush_receiver_t *self = *self_p;
    if (!self)
        return;
    if (self->socket)
        zmq_close(self->socket);
    if (self->front)
        zmq_close(self->front);
    acks_clear(&self->acks);
    positions_fini(&self->positions);
    delivery_fini(&self->pushes);
    free(self);
    *self_p = NULL;
}

int seqpush_receiver_attach(seqpush_receiver_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t seq)
{
    (void)self;
    (void)client_id;
    (void)client_id_size;
    (void)epoch;
    (void)seq;
    return 0;
}

bool seqpush_receiver_attached(const seqpush_receiver_t *self)
{
    return self->socket != NULL;
}

const seqpush_receiver_stats_t *seqpush_receiver_stats(const seqpush_receiver_t *self)
{
    return &self->stats;
}

//  The pushes of a Request, which has its PushBatch in front. None if it is anything else.
static void s_read(seqpush_receiver_t *self, zmq_msg_t *frame)
{
    const uint8_t *at = zmq_msg_data(frame), *end = at + zmq_msg_size(frame);
    uint64_t size = 0;
    bool canonical = true;
    self->pushes.count = 0;
    if (at == end || *at++ != WIRE_REQUEST_PUSH || !wire_get_varint(&at, end, &size, &canonical) ||
        size > (size_t)(end - at) || !delivery_read(&self->pushes, at, size))
        self->stats.malformed++;
}

//  Notes the positions of what was taken.
static void s_note(seqpush_receiver_t *self)
{
    for (size_t i = 0; i < self->pushes.count; i++) {
        const seqpush_push_t *push = &self->pushes.entries[i].push;
        position_t *position =
            positions_get(&self->positions, push->client_id, push->client_id_size);
        if (!position)
            continue;
        position->seq = push->seq;
        acks_add(&self->acks, position);
    }
}

static void s_acknowledge(seqpush_receiver_t *self)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t now = time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
    zmq_msg_t frame;
    if (acks_is_empty(&self->acks) || now - self->acked_at < ACK_EVERY ||
        !acks_request(&self->acks, "load", 4, 1, 0, &frame))
        return;
    if (zmq_msg_send(&frame, self->front, ZMQ_DONTWAIT) == -1) {
        zmq_msg_close(&frame);
        return;
    }
    acks_drop(&self->acks);
    self->acked_at = now;
    self->stats.acks++;
}

static long s_take(seqpush_receiver_t *self)
{
    zmq_msg_t frame;
    long taken = 0;
    zmq_msg_init(&frame);
    for (int i = 0; i < TURN && zmq_msg_recv(&frame, self->socket, ZMQ_DONTWAIT) != -1; i++) {
        s_read(self, &frame);
        for (size_t k = 0; k < self->pushes.count; k++)
            self->on_push(self->arg, &self->pushes.entries[k].push);
        if (self->front)
            s_note(self);
        taken += (long)self->pushes.count;
    }
    zmq_msg_close(&frame);
    if (self->front)
        s_acknowledge(self);
    return taken;
}

long seqpush_receiver_poll(seqpush_receiver_t *self, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
    long taken = s_take(self);
    if (taken || timeout_ms == 0)
        return taken;
    if (zmq_poll(&item, 1, timeout_ms) == -1)
        return -errno;
    return s_take(self);
}
