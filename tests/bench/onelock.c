/*  onelock.c - the design that the broker replaces: one lock around order and send

    A thread a publisher takes frames in. For each it locks the one mutex, puts the pushes in their
    clients' queues, in order, and sends what is next while it holds the lock. A send that waits for
    the network holds up everybody.

    With `keep` it does what the broker does: it answers each frame with a PushAck, and keeps a copy of
    every push until its receiver has acknowledged it. Else it acknowledges and keeps nothing.

    Usage: onelock THREADS ENDPOINTS SEND_US [keep], each send taking that many microseconds in addition,
    to stand for a network. On SIGTERM it prints how long pushes took to be put in the queue. */

#include "batch.h"
#include "delivery.h"
#include "seqpush.pb-c.h"
#include "tool_bench_histogram.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#define THREADS_MAX 64
#define ENDPOINTS_MAX 1000
#define ENDPOINT_SIZE 64
#define WINDOW 1024
#define SECOND 1000000000LL

#define CREDIT 65536 //  pushes, as the broker names it

//  A push that came too early, or is not acknowledged; bytes: id, then payload.
typedef struct held {
    seqpush_push_t push;
    struct held *next; //  kept after it
    char bytes[];
} held_t;

typedef struct {
    char id[SEQPUSH_ID_MAX];
    size_t endpoint;
    uint64_t next; //  the seq that follows
    held_t *held[WINDOW]; //  by seq
    held_t *kept_first, *kept_last; //  sent and not acknowledged
    UT_hash_handle hh;
} client_t;

typedef struct {
    void *socket;
    batch_t *batch; //  what is to be sent at the end of the frame
} endpoint_t;

static void *s_context;
static pthread_mutex_t s_lock = PTHREAD_MUTEX_INITIALIZER; //  over all that follows
static client_t *s_clients;
static endpoint_t s_endpoints[ENDPOINTS_MAX];
static size_t s_endpoint_count;
static long s_send_us;
static bool s_keeps; //  answers, and keeps until the ack
static bench_histogram_t s_durations;
//  Of the durations alone: the other lock may be held by a thread that waits for a receiver, for ever.
static pthread_mutex_t s_durations_lock = PTHREAD_MUTEX_INITIALIZER;

//  Without its sockets and its memory there is nothing that the process could do.
static void *s_check(void *pointer, const char *what)
{
    if (!pointer) {
        fprintf(stderr, "onelock: %s: %s\n", what, zmq_strerror(errno));
        exit(1);
    }
    return pointer;
}

static int64_t s_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

//  ---- order and send, under the lock ------------------------------------------------------------

static void s_send(endpoint_t *endpoint)
{
    zmq_msg_t frame;
    if (endpoint->batch->count == 0)
        return;
    if (s_send_us)
        nanosleep(&(struct timespec){s_send_us / 1000000, s_send_us % 1000000 * 1000}, NULL);
    s_check(batch_request(endpoint->batch, false, &frame) ? endpoint : NULL, "a frame");
    s_check(zmq_msg_send(&frame, endpoint->socket, 0) == -1 ? NULL : endpoint, "send");
    batch_clear(endpoint->batch, SIZE_MAX);
}

static held_t *s_copy(const seqpush_push_t *push)
{
    held_t *held = malloc(sizeof *held + push->client_id_size + push->payload_size);
    s_check(held, "a held push");
    held->push = *push;
    held->next = NULL;
    held->push.client_id = memcpy(held->bytes, push->client_id, push->client_id_size);
    held->push.payload = held->bytes + push->client_id_size;
    memcpy(held->bytes + push->client_id_size, push->payload, push->payload_size);
    return held;
}

//  Sends the next push, and keeps its copy or frees it. NULL: it has none yet.
static void s_release(client_t *client, const seqpush_push_t *push, held_t *copy)
{
    batch_t *batch = s_endpoints[client->endpoint].batch;
    s_check(batch_reserve(batch, batch_push_size(push)) ? batch : NULL, "a batch");
    batch_put(batch, push);
    client->next++;
    if (!s_keeps) {
        free(copy);
        return;
    }
    copy = copy ? copy : s_copy(push);
    if (client->kept_last)
        client->kept_last->next = copy;
    else
        client->kept_first = copy;
    client->kept_last = copy;
}

static void s_hold(client_t *client, const seqpush_push_t *push)
{
    held_t **place = &client->held[push->seq % WINDOW];
    if (!*place && push->seq > client->next && push->seq < client->next + WINDOW)
        *place = s_copy(push);
}

static client_t *s_client(const seqpush_push_t *push)
{
    client_t *client;
    HASH_FIND(hh, s_clients, push->client_id, push->client_id_size, client);
    if (client)
        return client;
    client = s_check(calloc(1, sizeof *client), "a client");
    memcpy(client->id, push->client_id, push->client_id_size);
    client->endpoint = HASH_COUNT(s_clients) % s_endpoint_count;
    client->next = 1;
    HASH_ADD(hh, s_clients, id, (unsigned)push->client_id_size, client);
    return client;
}

static void s_enqueue(const seqpush_push_t *push)
{
    client_t *client = s_client(push);
    if (push->seq != client->next) {
        s_hold(client, push);
        return;
    }
    s_release(client, push, NULL);
    held_t **place, *held;
    while ((held = *(place = &client->held[client->next % WINDOW]))) {
        *place = NULL;
        s_release(client, &held->push, held);
    }
}

static void s_enqueue_all(const delivery_t *pushes, int64_t since)
{
    pthread_mutex_lock(&s_lock);
    for (size_t i = 0; i < pushes->count; i++)
        s_enqueue(&pushes->entries[i].push);
    for (size_t i = 0; i < s_endpoint_count; i++)
        s_send(&s_endpoints[i]);
    int64_t duration = s_now() - since;
    pthread_mutex_lock(&s_durations_lock);
    for (size_t i = 0; i < pushes->count; i++)
        bench_histogram_note(&s_durations, duration);
    pthread_mutex_unlock(&s_durations_lock);
    pthread_mutex_unlock(&s_lock);
}

//  ---- what is kept, under the lock --------------------------------------------------------------

static void s_acknowledge(const Seqpush__V1__Position *position)
{
    client_t *client;
    HASH_FIND(hh, s_clients, position->client_id.data, position->client_id.len, client);
    while (client && client->kept_first && client->kept_first->push.seq <= position->seq) {
        held_t *first = client->kept_first;
        client->kept_first = first->next;
        free(first);
    }
    if (client && !client->kept_first)
        client->kept_last = NULL;
}

static void s_acknowledge_all(const Seqpush__V1__DeliveryAck *ack)
{
    pthread_mutex_lock(&s_lock);
    for (size_t i = 0; i < ack->n_positions; i++)
        s_acknowledge(ack->positions[i]);
    pthread_mutex_unlock(&s_lock);
}

//  ---- the threads -------------------------------------------------------------------------------

//  Reads a frame of pushes, and what follows them. False if it is none.
static bool s_read_pushes(zmq_msg_t *frame, delivery_t *pushes, uint64_t *request_id)
{
    const uint8_t *at = zmq_msg_data(frame), *end = at + zmq_msg_size(frame);
    uint64_t size = 0;
    bool canonical = true;
    if (at == end || *at++ != WIRE_REQUEST_PUSH || !wire_get_varint(&at, end, &size, &canonical) ||
        size > (size_t)(end - at) || !delivery_read(pushes, at, size))
        return false;
    at += size;
    *request_id = 0;
    return at == end ||
           (*at++ == WIRE_REQUEST_ID && wire_get_varint(&at, end, request_id, &canonical));
}

static void s_answer(void *front, zmq_msg_t *route, uint32_t accepted, uint64_t request_id)
{
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.accepted = accepted;
    ack.credit = CREDIT;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_PUSH_ACK;
    reply.push_ack = &ack;
    reply.request_id = request_id;
    uint8_t packed[64];
    size_t size = seqpush__v1__reply__pack(&reply, packed);
    if (zmq_msg_send(route, front, ZMQ_SNDMORE) != -1)
        zmq_send(front, packed, size, 0);
}

static void s_take_ack(zmq_msg_t *frame)
{
    Seqpush__V1__Request *request =
        seqpush__v1__request__unpack(NULL, zmq_msg_size(frame), zmq_msg_data(frame));
    if (request && request->body_case == SEQPUSH__V1__REQUEST__BODY_ACK)
        s_acknowledge_all(request->ack);
    if (request)
        seqpush__v1__request__free_unpacked(request, NULL);
}

static void s_take(void *front, zmq_msg_t *route, zmq_msg_t *frame, delivery_t *pushes)
{
    int64_t since = s_now();
    uint64_t request_id;
    if (!s_read_pushes(frame, pushes, &request_id)) {
        s_take_ack(frame);
        return;
    }
    s_enqueue_all(pushes, since);
    if (s_keeps)
        s_answer(front, route, (uint32_t)pushes->count, request_id);
}

static void *s_run(void *front)
{
    delivery_t pushes = {0};
    zmq_msg_t route, frame;
    zmq_msg_init(&route);
    zmq_msg_init(&frame);
    while (zmq_msg_recv(&route, front, 0) != -1 && zmq_msg_recv(&frame, front, 0) != -1)
        s_take(front, &route, &frame, &pushes);
    return NULL;
}

static void *s_bind(int type, const char *between)
{
    char endpoint[ENDPOINT_SIZE];
    size_t size = sizeof endpoint;
    void *socket = s_check(zmq_socket(s_context, type), "socket");
    bool bound = zmq_bind(socket, "tcp://127.0.0.1:*") == 0 &&
                 zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0;
    s_check(bound ? socket : NULL, "bind");
    fprintf(stderr, "%s%s", between, endpoint);
    return socket;
}

static void s_start(size_t threads)
{
    void *fronts[THREADS_MAX];
    s_context = s_check(zmq_ctx_new(), "context");
    zmq_ctx_set(s_context, ZMQ_MAX_SOCKETS, ENDPOINTS_MAX + THREADS_MAX);
    for (size_t i = 0; i < threads; i++)
        fronts[i] = s_bind(ZMQ_ROUTER, i ? "," : "ready front=");
    for (size_t i = 0; i < s_endpoint_count; i++)
        s_endpoints[i] = (endpoint_t){s_bind(ZMQ_PUSH, i ? "," : " push="), batch_new()};
    fputc('\n', stderr);
    for (size_t i = 0; i < threads; i++) {
        pthread_t thread;
        bool started = pthread_create(&thread, NULL, s_run, fronts[i]) == 0;
        s_check(started ? fronts[i] : NULL, "thread");
    }
}

static void s_report(void)
{
    static const unsigned marks[] = {500, 990, 999};
    pthread_mutex_lock(&s_durations_lock);
    fprintf(stderr, "enqueued count=%llu us=", (unsigned long long)s_durations.count);
    for (size_t i = 0; i < 3; i++)
        fprintf(stderr, "%s%.3f", i ? "," : "",
                (double)bench_histogram_quantile(&s_durations, marks[i]) / 1000);
    fputc('\n', stderr);
    pthread_mutex_unlock(&s_durations_lock);
}

int main(int argc, char **argv)
{
    s_keeps = argc == 5 && strcmp(argv[4], "keep") == 0;
    bool able = argc == 4 || s_keeps;
    size_t threads = able ? strtoul(argv[1], NULL, 10) : 0;
    s_endpoint_count = able ? strtoul(argv[2], NULL, 10) : 0;
    s_send_us = able ? strtol(argv[3], NULL, 10) : 0;
    if (threads < 1 || threads > THREADS_MAX || s_endpoint_count < 1 ||
        s_endpoint_count > ENDPOINTS_MAX || s_send_us < 0) {
        fputs("Usage: onelock THREADS ENDPOINTS SEND_US [keep]\n", stderr);
        return 1;
    }
    sigset_t signals;
    int number;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    s_start(threads);
    sigwait(&signals, &number);
    s_report();
    fflush(NULL);
    _exit(0);
}
