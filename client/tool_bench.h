/*  tool_bench.h - what the processes of `seqpush bench` share

    The parent forks a process that receives and one that publishes, before any socket exists, so
    that the processor time of each is its own. They share one bench_t in anonymous memory.

    Push n of a run, counted from 0, goes to client n % clients. A client's seqs are scrambled
    within windows of `shuffle`, and neighbouring blocks of pushes are taken by whichever publisher
    is free, so every client has several publishers. With a shuffle of 1 all is in order, as the
    broker gets it too: there each client is one publisher's own. */

#ifndef SEQPUSH_TOOL_BENCH_H
#define SEQPUSH_TOOL_BENCH_H

#include "tool.h"
#include "tool_bench_histogram.h"
#include <stdatomic.h>

#define BENCH_PUBLISHERS_MAX 64
#define BENCH_RECEIVERS_MAX 1000
#define BENCH_SECOND 1000000000LL

typedef struct {
    uint64_t clients, endpoints, publishers, count, size, shuffle, batch, rate, receive_delay;
    uint64_t seed, timeout, broker_pid, stopped, stopped_for;
    const char *prefix, *only;
    bool ack_none, latency, unordered;
} bench_settings_t;

//  What one side did; times are monotonic ns. Written by its process before that ends.
typedef struct {
    int64_t started, finished;
    int64_t cpu; //  ns, user and system, in between
} bench_times_t;

typedef struct {
    bench_times_t times;
    uint64_t pushed, accepted, duplicates, refused, retries, resends, unreceived;
} bench_published_t;

typedef struct {
    bench_times_t times;
    uint64_t received; //  different pushes
    uint64_t doubled; //  given to the application again
    uint64_t out_of_order; //  not the one that follows
    uint64_t altered; //  not what was pushed, or never pushed
    uint64_t gaps, dropped, acks; //  as the library counts: notices, dropped pushes
    uint64_t healthy; //  received by those that never stop, while the others are stopped
    int64_t healthy_time; //  ns that this took
    bench_histogram_t latency; //  from push to receipt, with --latency
} bench_received_t;

typedef struct {
    const tool_t *tool;
    bench_settings_t settings; //  constant from the fork on
    _Atomic bool attached; //  all receivers are
    _Atomic bool unable; //  a side could not start
    _Atomic bool go; //  the run has begun
    _Atomic bool published; //  no more pushes will come
    _Atomic bool stop; //  the run is to end now
    _Atomic bool resumed; //  receivers that were stopped go on
    _Atomic uint64_t next; //  the first push that no publisher has taken
    _Atomic uint64_t at[BENCH_PUBLISHERS_MAX]; //  where each one is; UINT64_MAX: done
    bench_published_t sent;
    bench_received_t got;
} bench_t;

//  The two sides. Each runs in its own process and returns whether it could start.
bool bench_publish(bench_t *bench);
bool bench_receive(bench_t *bench);

//  Pushes that client `client`, from 0, gets in the run.
static inline uint64_t bench_rounds(const bench_settings_t *settings, uint64_t client)
{
    return settings->count / settings->clients + (client < settings->count % settings->clients);
}

//  The first bytes of a payload: keyed hash of client and seq, seq, client, all little-endian. A
//  shorter payload has as much of them as fits; a longer one goes on, with --latency with the time
//  of the push, and then with BENCH_FILL.
#define BENCH_HEAD 24
#define BENCH_TIME 8
#define BENCH_FILL 0xa5
void bench_make_head(uint8_t head[BENCH_HEAD], uint64_t client, uint64_t seq);

//  Processor time of this process so far, in ns.
int64_t bench_cpu(void);

//  Waits until the flag or bench->stop is set. Returns the flag.
bool bench_wait(const bench_t *bench, const _Atomic bool *flag);

//  ---- the check of what is received -------------------------------------------------------------

typedef struct bench_check bench_check_t;

//  The settings are borrowed. NULL: no memory.
bench_check_t *bench_check_new(const bench_settings_t *settings);
void bench_check_destroy(bench_check_t **self_p);

//  Checks a push and counts it: received, doubled, out_of_order, altered. Different threads may
//  check different clients at a time, and with --unordered the same one.
void bench_check_push(bench_check_t *self, const seqpush_push_t *push, bench_received_t *counts);

//  The seqs up to `to` were given up: they are lost, but what follows them is not out of order.
void bench_check_gap(bench_check_t *self, const void *id, size_t id_size, uint64_t to);

#endif
