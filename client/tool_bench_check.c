/*  tool_bench_check.c - the check of what `seqpush bench` receives

    Of each client the next seq is known. A push that is passed over is noted in a bit, so that one
    that comes late is told from one that comes twice. Without such trouble that costs nothing. */

#include "tool_bench.h"
#include <endian.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

//  What one client has received. Where order does not matter, all seqs count as passed over from
//  the beginning.
typedef struct {
    uint64_t next; //  the seq that follows
    _Atomic uint8_t *missing; //  a bit for each seq that was passed over; NULL: none ever was
} stream_t;

struct bench_check {
    const bench_settings_t *settings;
    stream_t *streams; //  of all clients
    uint8_t *tail; //  what a payload has behind its head
    size_t prefix_size;
    size_t tail_at; //  where in a payload the tail begins
};

void bench_make_head(uint8_t head[BENCH_HEAD], uint64_t client, uint64_t seq)
{
    //  Publishers and receivers may be started apart, so the key is the same for all.
    static const uint8_t key[crypto_shorthash_KEYBYTES] = "seqpush bench 1";
    uint64_t numbers[2] = {htole64(seq), htole64(client)};
    memcpy(head + crypto_shorthash_BYTES, numbers, sizeof numbers);
    crypto_shorthash(head, head + crypto_shorthash_BYTES, sizeof numbers, key);
}

//  Notes that the seqs up to `to` were passed over. They are lost unless they come later.
static bool s_pass_over(bench_check_t *self, uint64_t client, uint64_t to)
{
    stream_t *stream = &self->streams[client];
    uint64_t rounds = bench_rounds(self->settings, client);
    if (!stream->missing)
        stream->missing = calloc(1, rounds / 8 + 1);
    if (!stream->missing)
        return false;
    for (; stream->next <= to && stream->next <= rounds; stream->next++)
        stream->missing[stream->next / 8] |= (uint8_t)(1 << stream->next % 8);
    return true;
}

bench_check_t *bench_check_new(const bench_settings_t *settings)
{
    bench_check_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = settings;
    self->prefix_size = strlen(settings->prefix);
    self->tail_at = BENCH_HEAD + (settings->latency ? BENCH_TIME : 0);
    self->streams = calloc(settings->clients, sizeof *self->streams);
    self->tail = malloc(settings->size + 1);
    bool able = self->streams && self->tail;
    if (able)
        memset(self->tail, BENCH_FILL, settings->size);
    for (uint64_t i = 0; able && i < settings->clients; i++) {
        self->streams[i].next = 1;
        able = !settings->unordered || s_pass_over(self, i, UINT64_MAX);
    }
    if (!able)
        bench_check_destroy(&self);
    return self;
}

void bench_check_destroy(bench_check_t **self_p)
{
    bench_check_t *self = *self_p;
    if (!self)
        return;
    for (uint64_t i = 0; self->streams && i < self->settings->clients; i++)
        free((void *)self->streams[i].missing);
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
           (size <= self->tail_at || memcmp((const uint8_t *)push->payload + self->tail_at,
                                            self->tail, size - self->tail_at) == 0);
}

//  True for a seq that was passed over, once.
static bool s_was_missing(stream_t *stream, uint64_t seq)
{
    uint8_t bit = (uint8_t)(1 << seq % 8);
    return stream->missing && atomic_fetch_and(&stream->missing[seq / 8], (uint8_t)~bit) & bit;
}

static void s_take_late(const bench_check_t *self, stream_t *stream, uint64_t seq,
                        bench_received_t *counts)
{
    if (s_was_missing(stream, seq)) {
        counts->received++;
        counts->out_of_order += !self->settings->unordered;
    } else {
        counts->doubled++;
    }
}

static void s_take(bench_check_t *self, uint64_t client, uint64_t seq, bench_received_t *counts)
{
    stream_t *stream = &self->streams[client];
    if (seq < stream->next) {
        s_take_late(self, stream, seq, counts);
        return;
    }
    if (seq > stream->next) {
        if (!s_pass_over(self, client, seq - 1))
            abort();
        counts->out_of_order++;
    }
    counts->received++;
    stream->next = seq + 1;
}

static void s_note_latency(const seqpush_push_t *push, bench_received_t *counts)
{
    int64_t pushed_at;
    memcpy(&pushed_at, (const uint8_t *)push->payload + BENCH_HEAD, sizeof pushed_at);
    bench_histogram_note(&counts->latency, tool_now() - pushed_at);
}

void bench_check_push(bench_check_t *self, const seqpush_push_t *push, bench_received_t *counts)
{
    uint64_t client = s_client(self, push->client_id, push->client_id_size);
    if (!s_is_as_pushed(self, push, client)) {
        counts->altered++;
        return;
    }
    s_take(self, client, push->seq, counts);
    if (self->settings->latency)
        s_note_latency(push, counts);
}

void bench_check_gap(bench_check_t *self, const void *id, size_t id_size, uint64_t to)
{
    uint64_t client = s_client(self, id, id_size);
    if (client < self->settings->clients && !s_pass_over(self, client, to))
        abort();
}
