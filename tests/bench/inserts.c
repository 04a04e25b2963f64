//  inserts.c - what one more push costs the ordering core: with few and with many pushes held, and
//  with client ids that were made to collide in a hash without a key
//
//  inserts fill   a million pushes held behind the holes of 100,000 clients
//  inserts ids    the first push of each of 100,000 clients
//
//  Prints JSON. The core alone: no socket and no thread, and the clock is read for nothing but the
//  figures.

#include "core.h"
#include "tool_bench_histogram.h"
#include "wire.h"
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLIENTS 100000u
#define HELD_EACH 10u //  pushes of a client behind its hole
#define PAYLOAD 64u
#define FIELDS 24u //  bytes at most of a push beside its id and payload
#define SAMPLE (CLIENTS * HELD_EACH / 100) //  inserts that are timed: a hundredth of all
#define RUNS 5u

static int64_t s_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void s_need(const void *pointer)
{
    if (!pointer) {
        fprintf(stderr, "inserts: no memory\n");
        exit(1);
    }
}

//  ---- the core under test -----------------------------------------------------------------------

typedef struct {
    core_settings_t settings;
    orderer_stats_t stats;
    core_t *core;
} bench_t;

static bench_t *s_bench_new(void)
{
    bench_t *self = calloc(1, sizeof *self);
    s_need(self);
    self->settings = (core_settings_t){.policy = policy_named("strict"),
                                       .window = 1024,
                                       .first_seq = 1,
                                       .max_clients = 2 * CLIENTS,
                                       .client_idle_timeout = INT64_MAX / 2,
                                       .memory_max = UINT64_C(1) << 33,
                                       .max_unacked = 1024,
                                       .max_unacked_bytes = 1 << 20,
                                       .backlog = 4096,
                                       .backlog_bytes = 1 << 22,
                                       .ack_timeout = INT64_C(1000000000),
                                       .receiver_timeout = INT64_C(10000000000),
                                       .max_receivers = 1,
                                       .first_generation = 1};
    randombytes_buf(self->settings.key, sizeof self->settings.key);
    self->core = core_new(&self->settings, &self->stats);
    s_need(self->core);
    return self;
}

static void s_bench_destroy(bench_t *self)
{
    core_destroy(&self->core);
    free(self);
}

static uint8_t *s_encode(uint8_t *to, const char *id, size_t id_size, uint64_t seq)
{
    static const uint8_t payload[PAYLOAD];
    size_t body = wire_bytes_field_size(id_size) + wire_varint_field_size(seq) +
                  wire_bytes_field_size(PAYLOAD);
    *to++ = WIRE_BATCH_PUSHES;
    to = wire_put_varint(to, body);
    to = wire_put_bytes_field(to, WIRE_PUSH_CLIENT_ID, id, id_size);
    to = wire_put_varint_field(to, WIRE_PUSH_SEQ, seq);
    return wire_put_bytes_field(to, WIRE_PUSH_PAYLOAD, payload, PAYLOAD);
}

//  Lets one push in, as a request of its own. Returns how long the core took for it: ns.
static int64_t s_insert(bench_t *self, const char *id, uint64_t seq)
{
    size_t id_size = strlen(id);
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, FIELDS + id_size + PAYLOAD))
        s_need(NULL);
    uint8_t *bytes = zmq_msg_data(&message);
    uint32_t size = (uint32_t)(s_encode(bytes, id, id_size, seq) - bytes);
    push_t push = {.size = size,
                   .seq = seq,
                   .hash = request_hash(self->settings.key, id, id_size),
                   .id_size = (uint8_t)id_size};
    frame_t *frame = frame_new(&message);
    s_need(frame);
    push.bytes = frame_bytes(frame);
    push.id = push.bytes + size - PAYLOAD - wire_varint_field_size(seq) - 2 - id_size;
    int64_t before = s_now();
    core_begin_batch(self->core, false, 0, false);
    core_push(self->core, frame, &push, before);
    int64_t took = s_now() - before;
    frame_unref(frame);
    if (push.outcome != OUTCOME_ACCEPTED) {
        fprintf(stderr, "inserts: a push was refused: %s\n", outcome_name(push.outcome));
        exit(1);
    }
    return took;
}

//  ---- many held ---------------------------------------------------------------------------------

static void s_shuffle(uint32_t *order, uint32_t count)
{
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = randombytes_uniform(i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

//  Every client is there, with its first push released, before anything is held.
static void s_greet(bench_t *self)
{
    char id[ID_MAX];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        snprintf(id, sizeof id, "client-%u", i);
        s_insert(self, id, 1);
    }
}

//  Seqs 3, 4, 5 and so on of each client, while 2 is missing, in an order without order. The first
//  hundredth of the inserts and the last one are noted.
static void s_fill(bench_histogram_t *few, bench_histogram_t *many)
{
    bench_t *bench = s_bench_new();
    uint32_t count = CLIENTS * HELD_EACH, *order = malloc(count * sizeof *order);
    uint8_t *held = calloc(CLIENTS, 1);
    char id[ID_MAX];
    s_need(order);
    s_need(held);
    for (uint32_t i = 0; i < count; i++)
        order[i] = i % CLIENTS;
    s_shuffle(order, count);
    s_greet(bench);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(id, sizeof id, "client-%u", order[i]);
        int64_t took = s_insert(bench, id, 3u + held[order[i]]++);
        if (i >= SAMPLE && i < 2 * SAMPLE)
            bench_histogram_note(few, took);
        if (i >= count - SAMPLE)
            bench_histogram_note(many, took);
    }
    free(held);
    free(order);
    s_bench_destroy(bench);
}

static void s_report_fill(void)
{
    bench_histogram_t few = {0}, many = {0};
    for (uint32_t i = 0; i < RUNS; i++)
        s_fill(&few, &many);
    printf("{\"clients\": %u, \"held\": %u, \"few_p50_ns\": %" PRId64 ", \"few_p99_ns\": %" PRId64
           ", \"many_p50_ns\": %" PRId64 ", \"many_p99_ns\": %" PRId64 "}\n",
           CLIENTS, CLIENTS * HELD_EACH, bench_histogram_quantile(&few, 500),
           bench_histogram_quantile(&few, 990), bench_histogram_quantile(&many, 500),
           bench_histogram_quantile(&many, 990));
}

//  ---- ids that collide --------------------------------------------------------------------------

#define PAIRS 17u //  2^17 ids of one hash
#define ID_SIZE (2 * PAIRS)

//  Bernstein's hash with XOR, as many tables without a key have it.
static uint32_t s_hash(uint32_t state, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        state = state * 33 ^ (uint8_t)bytes[i];
    return state;
}

//  Finds two words of two letters that take the hash from `state` to the same state, which is
//  returned: where two first letters differ in the last byte of the state alone, the second makes up
//  for it.
static uint32_t s_find_pair(uint32_t state, char pair[2][2])
{
    for (uint8_t first = 'a'; first < 'z'; first++)
        for (uint8_t other = first + 1; other <= 'z'; other++) {
            uint32_t apart = (state * 33 ^ first) * 33 ^ (state * 33 ^ other) * 33;
            if (apart >= 0x80)
                continue;
            memcpy(pair[0], (char[]){(char)first, (char)0x80}, 2);
            memcpy(pair[1], (char[]){(char)other, (char)(0x80 ^ apart)}, 2);
            return s_hash(state, pair[0], 2);
        }
    fprintf(stderr, "inserts: no two words collide\n");
    exit(1);
}

static char s_pairs[PAIRS][2][2];

//  Any choice out of every pair has the same hash.
static void s_colliding_id(char *id, uint32_t number)
{
    for (uint32_t i = 0; i < PAIRS; i++)
        memcpy(id + (size_t)i * 2, s_pairs[i][number >> i & 1], 2);
    id[ID_SIZE] = '\0';
}

static void s_random_id(char *id, uint32_t number)
{
    snprintf(id, ID_SIZE + 1, "%08x%08x%08x%010u", randombytes_random(), randombytes_random(),
             randombytes_random(), number);
}

static void s_check_collisions(void)
{
    char id[ID_SIZE + 1];
    s_colliding_id(id, 0);
    uint32_t hash = s_hash(0, id, ID_SIZE);
    for (uint32_t i = 1; i < CLIENTS; i++) {
        s_colliding_id(id, i);
        if (s_hash(0, id, ID_SIZE) != hash) {
            fprintf(stderr, "inserts: id %u does not collide\n", i);
            exit(1);
        }
    }
}

//  ns a push, the mean of one for each client.
static double s_time_ids(void (*make)(char *, uint32_t))
{
    bench_t *bench = s_bench_new();
    int64_t took = 0;
    char id[ID_SIZE + 1];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        make(id, i);
        took += s_insert(bench, id, 1);
    }
    s_bench_destroy(bench);
    return (double)took / CLIENTS;
}

static int s_by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void s_report_ids(void)
{
    uint32_t state = 0;
    for (uint32_t i = 0; i < PAIRS; i++)
        state = s_find_pair(state, s_pairs[i]);
    s_check_collisions();
    double colliding[RUNS], random[RUNS];
    for (uint32_t i = 0; i < RUNS; i++) {
        random[i] = s_time_ids(s_random_id);
        colliding[i] = s_time_ids(s_colliding_id);
    }
    qsort(random, RUNS, sizeof random[0], s_by_value);
    qsort(colliding, RUNS, sizeof colliding[0], s_by_value);
    printf("{\"clients\": %u, \"random_ns\": %.1f, \"colliding_ns\": %.1f}\n", CLIENTS,
           random[RUNS / 2], colliding[RUNS / 2]);
}

int main(int argc, char **argv)
{
    if (sodium_init() < 0)
        return 1;
    if (argc == 2 && strcmp(argv[1], "fill") == 0)
        s_report_fill();
    else if (argc == 2 && strcmp(argv[1], "ids") == 0)
        s_report_ids();
    else {
        fprintf(stderr, "use: inserts fill|ids\n");
        return 1;
    }
    return 0;
}
