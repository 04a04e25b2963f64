/*  tool_bench_check.c - the check of what `seqpush bench` receives

    Of each client the next seq is known. A push that is passed over is noted in a bit, so that one
    that comes late is told from one that comes twice. Without such trouble that costs nothing. */

#include "tool_bench.h"
#include <stdlib.h>
#include <string.h>

//  What one client has received.
typedef struct {
    uint64_t next; //  the seq that follows
    uint8_t *missing; //  a bit for each seq that was passed over; NULL: none ever was
} stream_t;

struct bench_check {
    const bench_settings_t *settings;
    stream_t *streams; //  of all clients
    uint8_t *tail; //  what a payload has behind its head
    size_t prefix_size;
};

bench_check_t *bench_check_new(const bench_settings_t *settings)
{
    bench_check_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = settings;
    self->prefix_size = strlen(settings->prefix);
    self->streams = calloc(settings->clients, sizeof *self->streams);
    self->tail = malloc(settings->size + 1);
    if (!self->streams || !self->tail) {
        bench_check_destroy(&self);
        return NULL;
    }
    memset(self->tail, BENCH_FILL, settings->size);
    for (uint64_t i = 0; i < settings->clients; i++)
        self->streams[i].next = 1;
    return self;
}

void bench_check_destroy(bench_check_t **self_p)
{
    bench_check_t *self = *self_p;
    if (!self)
        return;
    for (uint64_t i = 0; self->streams && i < self->settings->clients; i++)
        free(self->streams[i].missing);
    free(self->streams);
    free(self->tail);
    free(self);
    *self_p = NULL;
}

//  The client's number from 0, or `clients` if the id is none of this run's.
static uint64_t s_client(const bench_check_t *self, const char *id, size_t size)
{
    const bench_settings_t *s = self->settings;
    uint64_t number = 0;
    size_t at = self->prefix_size;
    if (size <= at + 1 || size > at + 8 || memcmp(id, s->prefix, at) != 0 || id[at] != '-')
        return s->clients;
    while (++at < size && id[at] >= '0' && id[at] <= '9')
        number = number * 10 + (uint64_t)(id[at] - '0');
    return at == size && number >= 1 && number <= s->clients ? number - 1 : s->clients;
}

static bool s_is_as_pushed(const bench_check_t *self, const seqpush_push_t *push, uint64_t client)
{
    size_t size = self->settings->size;
    if (client >= self->settings->clients || push->epoch != 0 || push->payload_size != size ||
        push->seq < 1 || push->seq > bench_rounds(self->settings, client))
        return false;
    uint8_t head[BENCH_HEAD];
    bench_make_head(head, client, push->seq);
    if (size <= BENCH_HEAD)
        return size == 0 || memcmp(push->payload, head, size) == 0;
    return memcmp(push->payload, head, BENCH_HEAD) == 0 &&
           memcmp((const uint8_t *)push->payload + BENCH_HEAD, self->tail, size - BENCH_HEAD) == 0;
}

//  Notes that the seqs up to `to` were passed over. They are lost unless they come later.
static void s_pass_over(bench_check_t *self, uint64_t client, uint64_t to)
{
    stream_t *stream = &self->streams[client];
    uint64_t rounds = bench_rounds(self->settings, client);
    if (!stream->missing)
        stream->missing = calloc(1, rounds / 8 + 1);
    if (!stream->missing)
        abort();
    for (; stream->next <= to && stream->next <= rounds; stream->next++)
        stream->missing[stream->next / 8] |= (uint8_t)(1 << stream->next % 8);
}

static void s_take_late(stream_t *stream, uint64_t seq, bench_received_t *counts)
{
    uint8_t bit = (uint8_t)(1 << seq % 8);
    if (stream->missing && stream->missing[seq / 8] & bit) {
        stream->missing[seq / 8] &= (uint8_t)~bit;
        counts->received++;
        counts->out_of_order++;
    } else {
        counts->doubled++;
    }
}

static void s_take(bench_check_t *self, uint64_t client, uint64_t seq, bench_received_t *counts)
{
    stream_t *stream = &self->streams[client];
    if (seq < stream->next) {
        s_take_late(stream, seq, counts);
        return;
    }
    if (seq > stream->next) {
        s_pass_over(self, client, seq - 1);
        counts->out_of_order++;
    }
    counts->received++;
    stream->next = seq + 1;
}

void bench_check_push(bench_check_t *self, const seqpush_push_t *push, bench_received_t *counts)
{
    uint64_t client = s_client(self, push->client_id, push->client_id_size);
    if (s_is_as_pushed(self, push, client))
        s_take(self, client, push->seq, counts);
    else
        counts->altered++;
}

void bench_check_gap(bench_check_t *self, const void *id, size_t id_size, uint64_t to)
{
    uint64_t client = s_client(self, id, id_size);
    if (client < self->settings->clients)
        s_pass_over(self, client, to);
}
