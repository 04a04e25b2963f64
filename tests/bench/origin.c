/*  origin.c - the origin's queue: a lock for each client, held while its message is sent

    Each client has a thread that puts messages in its queue, one after the other. Putting one in
    means to lock the queue, look whether it is the next one, send it, and unlock. A send takes SEND_MS,
    as over a slow network, and then goes to a PUSH socket, so that receivers can check it. So much
    time does putting in take, and no client can have more messages.

    Usage: origin CLIENTS MESSAGES ENDPOINTS SEND_MS. Clients are bench-1 to bench-CLIENTS, MESSAGES
    are for each. It prints where its endpoints are, begins when all have a receiver, and prints how
    long messages took to be put in and how many a second it were. It runs until it is killed. */

#include "batch.h"
#include "tool_bench.h"
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENDPOINTS_MAX 100
#define ENDPOINT_SIZE 64
#define STACK ((size_t)256 << 10)
#define PAYLOAD 64

typedef struct {
    pthread_mutex_t lock; //  a socket is one thread's at a time
    void *socket;
    batch_t *batch;
} endpoint_t;

typedef struct {
    pthread_t thread;
    uint64_t number; //  from 0
    pthread_mutex_t lock; //  over what follows
    uint64_t next; //  the seq that may be sent
    bench_histogram_t durations;
} client_t;

static uint64_t s_messages, s_send_ms;
static size_t s_endpoint_count;
static endpoint_t s_endpoints[ENDPOINTS_MAX];

//  Without its sockets, threads and memory there is nothing that the process could do.
static void s_check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "origin: %s: %s\n", what, zmq_strerror(errno));
    exit(1);
}

//  ---- one client --------------------------------------------------------------------------------

static void s_write(const seqpush_push_t *push, size_t index)
{
    endpoint_t *endpoint = &s_endpoints[index];
    zmq_msg_t frame;
    pthread_mutex_lock(&endpoint->lock);
    s_check(batch_reserve(endpoint->batch, batch_push_size(push)), "a batch");
    batch_put(endpoint->batch, push);
    s_check(batch_request(endpoint->batch, false, &frame), "a frame");
    s_check(zmq_msg_send(&frame, endpoint->socket, 0) != -1, "send");
    batch_clear(endpoint->batch, SIZE_MAX);
    pthread_mutex_unlock(&endpoint->lock);
}

static void s_send(const client_t *client, uint64_t seq)
{
    uint8_t payload[PAYLOAD];
    char id[SEQPUSH_ID_MAX];
    int size = snprintf(id, sizeof id, "bench-%llu", (unsigned long long)client->number + 1);
    memset(payload, BENCH_FILL, sizeof payload);
    bench_make_head(payload, client->number, seq);
    seqpush_push_t push = {id, (size_t)size, 0, seq, payload, sizeof payload};
    tool_sleep_until(tool_now() + (int64_t)s_send_ms * 1000000);
    s_write(&push, client->number % s_endpoint_count);
}

static void s_put(client_t *client, uint64_t seq)
{
    int64_t since = tool_now();
    pthread_mutex_lock(&client->lock);
    s_check(seq == client->next, "a message out of order");
    s_send(client, seq);
    client->next++;
    bench_histogram_note(&client->durations, tool_now() - since);
    pthread_mutex_unlock(&client->lock);
}

static void *s_run(void *arg)
{
    for (uint64_t seq = 1; seq <= s_messages; seq++)
        s_put(arg, seq);
    return NULL;
}

//  ---- all of them -------------------------------------------------------------------------------

static void s_bind(void)
{
    void *context = zmq_ctx_new();
    char name[ENDPOINT_SIZE];
    for (size_t i = 0; i < s_endpoint_count; i++) {
        endpoint_t *endpoint = &s_endpoints[i];
        size_t size = sizeof name;
        pthread_mutex_init(&endpoint->lock, NULL);
        endpoint->socket = zmq_socket(context, ZMQ_PUSH);
        endpoint->batch = batch_new();
        s_check(endpoint->socket && endpoint->batch, "a socket");
        s_check(zmq_bind(endpoint->socket, "tcp://127.0.0.1:*") == 0, "bind");
        zmq_getsockopt(endpoint->socket, ZMQ_LAST_ENDPOINT, name, &size);
        fprintf(stderr, "%s%s", i ? "," : "ready push=", name);
    }
    fputc('\n', stderr);
}

//  A socket takes messages from when it has a peer on.
static void s_wait_for_receivers(void)
{
    for (size_t i = 0; i < s_endpoint_count; i++) {
        zmq_pollitem_t item = {.socket = s_endpoints[i].socket, .events = ZMQ_POLLOUT};
        s_check(zmq_poll(&item, 1, -1) == 1, "poll");
    }
}

static void s_put_all(client_t *clients, size_t count)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    for (size_t i = 0; i < count; i++) {
        clients[i].number = i;
        clients[i].next = 1;
        pthread_mutex_init(&clients[i].lock, NULL);
        int error = pthread_create(&clients[i].thread, &attributes, s_run, &clients[i]);
        s_check(error == 0, "a thread");
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(clients[i].thread, NULL);
    pthread_attr_destroy(&attributes);
}

static void s_report(const client_t *clients, size_t count, int64_t ns)
{
    static const unsigned marks[] = {500, 990, 999};
    static bench_histogram_t all;
    for (size_t i = 0; i < count; i++)
        bench_histogram_add(&all, &clients[i].durations);
    fprintf(stderr, "enqueued count=%llu us=", (unsigned long long)all.count);
    for (size_t i = 0; i < 3; i++)
        fprintf(stderr, "%s%.3f", i ? "," : "",
                (double)bench_histogram_quantile(&all, marks[i]) / 1000);
    fprintf(stderr, " rate=%.1f\n", (double)all.count * BENCH_SECOND / (double)ns);
}

int main(int argc, char **argv)
{
    uint64_t count = 0, endpoints = 0;
    if (argc != 5 || sodium_init() < 0 || !tool_number(argv[1], 1, 10000, &count) ||
        !tool_number(argv[2], 1, 1000000, &s_messages) ||
        !tool_number(argv[3], 1, ENDPOINTS_MAX, &endpoints) ||
        !tool_number(argv[4], 0, 10000, &s_send_ms)) {
        fputs("Usage: origin CLIENTS MESSAGES ENDPOINTS SEND_MS\n", stderr);
        return 1;
    }
    s_endpoint_count = endpoints;
    client_t *clients = calloc(count, sizeof *clients);
    s_check(clients != NULL, "clients");
    s_bind();
    s_wait_for_receivers();
    int64_t since = tool_now();
    s_put_all(clients, count);
    s_report(clients, count, tool_now() - since);
    pause();
    free(clients);
    return 0;
}
