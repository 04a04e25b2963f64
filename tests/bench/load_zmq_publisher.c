/*  load_zmq_publisher.c - a publisher of seqpush.h for a ZeroMQ peer

    A push counts as accepted when ZeroMQ has taken its frame, or, of the kind "acked", when a PushAck
    says so. The frames are made by the library's
    own encoder; as much is under way as with the library, which bounds it by undecided_max and here
    the socket's high-water mark does. */

#include "batch.h"
#include "load.h"
#include "seqpush.pb-c.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)64 << 10)
#define LINGER 10000 //  ms

struct seqpush_publisher {
    size_t index;
    const char *front;
    size_t batch_max;
    bool acked; //  waits for PushAcks
    size_t undecided, undecided_max; //  pushes that were sent, if it does
    void *socket;
    bool connected;
    batch_t *batch;
    zmq_msg_t frame; //  what the batch makes, until the socket takes it
    bool framed;
    seqpush_publisher_stats_t stats;
};

//  One context and I/O thread for all, as the library has it. It goes with the last publisher,
//  which waits for what is still to be sent.
static void *s_context;
static size_t s_users, s_made;

static bool s_open(seqpush_publisher_t *self, const seqpush_publisher_options_t *options)
{
    int linger = LINGER, mark = (int)(options->undecided_max / options->batch_max);
    self->socket = zmq_socket(s_context, load->from[0] ? ZMQ_DEALER : ZMQ_PUSH);
    if (!self->socket)
        return false;
    zmq_setsockopt(self->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(self->socket, ZMQ_SNDHWM, &mark, sizeof mark);
    return true;
}

seqpush_publisher_t *seqpush_publisher_new(const seqpush_publisher_options_t *options)
{
    seqpush_publisher_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    if (s_users++ == 0)
        s_context = zmq_ctx_new();
    self->index = s_made++;
    self->front = options->broker;
    self->batch_max = options->batch_max;
    self->undecided_max = options->undecided_max;
    self->acked = strcmp(load->kind, "acked") == 0;
    self->batch = batch_new();
    if (!self->batch || !s_open(self, options))
        seqpush_publisher_destroy(&self);
    return self;
}

void seqpush_publisher_destroy(seqpush_publisher_t **self_p)
{
    seqpush_publisher_t *self = *self_p;
    if (!self)
        return;
    if (self->socket)
        zmq_close(self->socket);
    if (self->framed)
        zmq_msg_close(&self->frame);
    batch_destroy(&self->batch);
    free(self);
    if (--s_users == 0)
        zmq_ctx_term(s_context);
    *self_p = NULL;
}

const seqpush_publisher_stats_t *seqpush_publisher_stats(const seqpush_publisher_t *self)
{
    return &self->stats;
}

//  Connects to a front, or to a receiver, which is bound by the time of the first push.
static bool s_connect(seqpush_publisher_t *self)
{
    char part[LOAD_ENDPOINT_SIZE];
    const char *to = part;
    if (!load->from[0])
        to = load->bound[self->index % atomic_load(&load->receivers)];
    else if (!load_part(self->front, self->index, part))
        return false;
    self->connected = zmq_connect(self->socket, to) == 0;
    return self->connected;
}

//  Takes the PushAcks that have come.
static void s_take_replies(seqpush_publisher_t *self)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, self->socket, ZMQ_DONTWAIT) != -1) {
        Seqpush__V1__Reply *reply =
            seqpush__v1__reply__unpack(NULL, zmq_msg_size(&frame), zmq_msg_data(&frame));
        if (reply && reply->body_case == SEQPUSH__V1__REPLY__BODY_PUSH_ACK) {
            self->undecided -= reply->push_ack->accepted;
            self->stats.outcomes[SEQPUSH_ACCEPTED] += reply->push_ack->accepted;
        }
        if (reply)
            seqpush__v1__reply__free_unpacked(reply, NULL);
    }
    zmq_msg_close(&frame);
}

//  Returns false if the socket does not take the batch.
static bool s_send(seqpush_publisher_t *self)
{
    batch_t *batch = self->batch;
    if (batch->count == 0)
        return true;
    if (!self->framed)
        self->framed = batch_request(batch, false, &self->frame);
    if (!self->framed || zmq_msg_send(&self->frame, self->socket, ZMQ_DONTWAIT) == -1)
        return false;
    self->framed = false;
    if (self->acked)
        self->undecided += batch->count;
    else
        self->stats.outcomes[SEQPUSH_ACCEPTED] += batch->count;
    batch_clear(batch, SIZE_MAX);
    batch->request_id++;
    return true;
}

int seqpush_publisher_push(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    batch_t *batch = self->batch;
    size_t size = batch_push_size(push);
    bool full =
        batch->count == self->batch_max || (batch->count && batch->size + size > BATCH_BYTES);
    if (!self->connected && !s_connect(self))
        return -ENOTCONN;
    if ((full || self->framed) && !s_send(self))
        return -EAGAIN;
    if (self->undecided >= self->undecided_max)
        return -EAGAIN;
    if (!batch_reserve(batch, size))
        return -ENOMEM;
    batch_put(batch, push);
    self->stats.pushed++;
    if (batch->count == self->batch_max)
        s_send(self);
    return 0;
}

long seqpush_publisher_poll(seqpush_publisher_t *self, int timeout_ms)
{
    bool sent = s_send(self);
    short events = (short)((sent ? 0 : ZMQ_POLLOUT) | (self->undecided ? ZMQ_POLLIN : 0));
    zmq_pollitem_t item = {.socket = self->socket, .events = events};
    if (events && zmq_poll(&item, 1, timeout_ms) == -1)
        return -errno;
    if (self->acked)
        s_take_replies(self);
    return (long)(self->batch->count + self->undecided);
}
