/*  load.c - the load of `seqpush bench`, put on the forwarder

    This is `seqpush bench` itself, linked with another client: a publisher that sends the same
    frames, but is told nothing of them (load_publisher.c), and receivers that only count and check
    payloads (below). So what the forwarder and the broker get is the same to the byte, and what
   they differ in is what the broker and its library do.

    The forwarder does not order, so order is not checked, only that all came and came unaltered.

    Usage: load PULL[,PULL...] OPTION..., the options being those of `seqpush bench`. */

#include "delivery.h"
#include "tool_bench.h"
#include "wire.h"
#include <endian.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

//  Frames that are taken from a socket before it is the next one's turn.
#define TURN 64

//  How long to wait for frames before looking whether the run is over, in ms.
#define PATIENCE 50

//  Where the receivers connect, separated by commas; set before the processes part.
static char *s_endpoints;

//  All receivers. One thread serves them, which is the cheapest way.
typedef struct {
    bench_t *bench;
    void *context;
    zmq_pollitem_t *sockets;
    uint8_t *tail; //  what a payload has behind its head
    delivery_t pushes; //  of the frame at hand
} takers_t;

//  ---- the check ---------------------------------------------------------------------------------

static bool s_is_as_pushed(const takers_t *self, const seqpush_push_t *push)
{
    size_t size = self->bench->settings.size;
    uint8_t head[BENCH_HEAD];
    uint64_t client;
    if (push->payload_size != size || size < BENCH_HEAD)
        return push->payload_size == size;
    const uint8_t *payload = push->payload;
    memcpy(&client, payload + BENCH_HEAD - sizeof client, sizeof client);
    bench_make_head(head, le64toh(client), push->seq);
    return memcmp(payload, head, BENCH_HEAD) == 0 &&
           memcmp(payload + BENCH_HEAD, self->tail, size - BENCH_HEAD) == 0;
}

//  The pushes of a Request, which has its PushBatch in front. None if it is anything else.
static void s_read(takers_t *self, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    uint64_t batch_size = 0;
    bool canonical = true;
    self->pushes.count = 0;
    if (size && *at++ == WIRE_REQUEST_PUSH && wire_get_varint(&at, end, &batch_size, &canonical) &&
        batch_size <= (size_t)(end - at))
        delivery_read(&self->pushes, at, batch_size);
}

static void s_check(takers_t *self, zmq_msg_t *frame)
{
    bench_received_t *got = &self->bench->got;
    s_read(self, zmq_msg_data(frame), zmq_msg_size(frame));
    for (size_t i = 0; i < self->pushes.count; i++)
        got->altered += !s_is_as_pushed(self, &self->pushes.entries[i].push);
    got->received += self->pushes.count;
}

//  ---- receiving ---------------------------------------------------------------------------------

static void s_take_turn(takers_t *self, void *socket)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (int i = 0; i < TURN && zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) != -1; i++)
        s_check(self, &frame);
    zmq_msg_close(&frame);
}

//  Waits for frames and takes them in. Returns whether there were any.
static bool s_take(takers_t *self)
{
    int count = (int)self->bench->settings.endpoints;
    if (zmq_poll(self->sockets, count, PATIENCE) <= 0)
        return false;
    for (int i = 0; i < count; i++)
        if (self->sockets[i].revents)
            s_take_turn(self, self->sockets[i].socket);
    return true;
}

//  Until all has come, or nothing has come for long.
static void s_take_all(takers_t *self)
{
    bench_t *bench = self->bench;
    int64_t timeout = (int64_t)bench->settings.timeout * BENCH_SECOND;
    bench->got.times.finished = tool_now();
    while (!atomic_load(&bench->stop) && bench->got.received < bench->settings.count) {
        int64_t now = s_take(self) ? 0 : tool_now();
        if (now - bench->got.times.finished > timeout)
            return;
        if (now == 0)
            bench->got.times.finished = tool_now();
    }
}

//  ---- the receiving side ------------------------------------------------------------------------

static bool s_connect(takers_t *self)
{
    char *at = NULL;
    for (size_t i = 0; i < self->bench->settings.endpoints; i++) {
        const char *endpoint = strtok_r(i ? NULL : s_endpoints, ",", &at);
        zmq_pollitem_t *item = &self->sockets[i];
        *item =
            (zmq_pollitem_t){.socket = zmq_socket(self->context, ZMQ_PULL), .events = ZMQ_POLLIN};
        if (!item->socket || !endpoint || zmq_connect(item->socket, endpoint) == -1)
            return false;
    }
    return true;
}

static bool s_start(takers_t *self)
{
    const bench_settings_t *s = &self->bench->settings;
    self->context = zmq_ctx_new();
    self->sockets = calloc(s->endpoints, sizeof *self->sockets);
    self->tail = malloc(s->size + 1);
    if (!self->context || !self->sockets || !self->tail)
        return false;
    memset(self->tail, BENCH_FILL, s->size);
    return s_connect(self);
}

//  The process ends next, and what it has with it.
bool bench_receive(bench_t *bench)
{
    takers_t takers = {.bench = bench};
    bool able = s_start(&takers);
    atomic_store(&bench->attached, able);
    int64_t cpu = bench_cpu();
    if (able && bench_wait(bench, &bench->go))
        s_take_all(&takers);
    bench->got.times.cpu = bench_cpu() - cpu;
    atomic_store(&bench->stop, true);
    return able;
}

int main(int argc, char **argv)
{
    //  The forwarder has no figures to ask for.
    tool_t tool = {.http = "127.0.0.1:0", .json = true};
    if (argc < 2 || sodium_init() < 0) {
        fputs("Usage: load PULL[,PULL...] OPTION..., as of seqpush bench\n", stderr);
        return TOOL_USAGE;
    }
    s_endpoints = argv[1];
    return bench_run(&tool, argc - 1, argv + 1);
}
