/*  stats.h - counters, gauges and histograms that one actor writes and anybody reads

    Every figure has one writer, the actor that owns it, and is read by the http thread without a
    lock: relaxed loads and stores of whole words, so that adding to a counter is a plain add.

    A histogram has four buckets an octave (log-linear, as in HdrHistogram with two significant
    bits): the value of a quantile is less than 25 % too large. No C library for histograms is in
    Debian 12; the bucket index takes one instruction to count leading zeros.

    What different threads write lies in different cache lines.                                   */

#ifndef SEQPUSH_STATS_H
#define SEQPUSH_STATS_H

#include "outcome.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint64_t stats_t;

//  Adds to a counter. Owner only.
static inline void stats_add(stats_t *self, uint64_t n)
{
    atomic_store_explicit(self, atomic_load_explicit(self, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

//  Sets a gauge. Owner only.
static inline void stats_set(stats_t *self, uint64_t value)
{
    atomic_store_explicit(self, value, memory_order_relaxed);
}

//  Reads a counter or a gauge. Any thread.
static inline uint64_t stats_get(const stats_t *self)
{
    return atomic_load_explicit((stats_t *)self, memory_order_relaxed);
}

//  Values 0 to 7, and octaves 3 to 40: up to 2^41 (36 minutes in nanoseconds, or 10^12 messages).
//  What is larger is counted in the last bucket.
#define HISTOGRAM_BUCKETS (8 + 38 * 4)

typedef struct {
    stats_t buckets[HISTOGRAM_BUCKETS];
    stats_t sum;
} histogram_t;

//  Bucket of a value: values 0 to 7 have their own, then four an octave.
static inline size_t histogram_bucket(uint64_t value)
{
    if (value < 8)
        return (size_t)value;
    unsigned octave = 63 - (unsigned)__builtin_clzll(value);
    size_t bucket = (size_t)octave * 4 - 4 + (value >> (octave - 2) & 3);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

//  Counts `n` events of `value` (nanoseconds, or messages). Owner only. The sum follows the bucket
//  by a release store (a plain one on x86), so a reader's sum never has an event that its buckets
//  lack.
static inline void histogram_add(histogram_t *self, uint64_t value, uint64_t n)
{
    stats_add(&self->buckets[histogram_bucket(value)], n);
    uint64_t sum = atomic_load_explicit(&self->sum, memory_order_relaxed) + value * n;
    atomic_store_explicit(&self->sum, sum, memory_order_release);
}

//  Greatest value that falls into a bucket; the last one has what is larger, too.
uint64_t histogram_upper(size_t bucket);

//  Adds what `from` has to `to`, which belongs to the caller. Any thread. Merging into a zeroed one
//  makes a copy whose figures do not change under the reader's hands.
void histogram_merge(histogram_t *to, const histogram_t *from);

//  Events counted. Any thread.
uint64_t histogram_count(const histogram_t *self);

//  The value that a share `q` (0 to 1) of the events does not exceed, 0 if there are none. Any
//  thread.
uint64_t histogram_quantile(const histogram_t *self, double q);

//  ---- what each actor counts --------------------------------------------------------------------

//  Bytes of a cache line.
#define STATS_LINE 64

//  Why a request was answered with an Error, in the order of the codes of the wire.
typedef enum {
    ERROR_MALFORMED,
    ERROR_UNSUPPORTED,
    ERROR_INVALID,
    ERROR_UNKNOWN_RECEIVER,
    ERROR_STALE_GENERATION,
    ERROR_FORBIDDEN,
    ERROR_ENDPOINT_REFUSED,
    ERROR_OVERLOADED,
    ERROR_SHUTTING_DOWN,
    ERROR_CODES
} error_code_t;

//  What a key may not do: what its roles, or its globs of clients, receivers or endpoints do not allow.
typedef enum {
    DENIED_ROLE,
    DENIED_CLIENT,
    DENIED_RECEIVER,
    DENIED_ENDPOINT,
    DENIED_CAUSES
} denied_t;

//  Why a client's entries were sent anew.
typedef enum { GO_BACK_MISSING, GO_BACK_TIMEOUT, GO_BACK_GENERATION, GO_BACKS } go_back_t;

//  The code as it goes over the wire and stands in metrics.
const char *error_code_name(unsigned code);

//  The cause as it stands in metrics: denied_role, ...
const char *denied_name(unsigned cause);

//  The outcome as it stands in metrics, in logs and in the tool: accepted, duplicate, ...
const char *outcome_name(unsigned outcome);

typedef struct {
    stats_t requests; //  frames taken from the ROUTER
    stats_t request_bytes;
    stats_t errors[ERROR_CODES]; //  Errors sent, by code
    stats_t replies; //  frames given to the ROUTER
    stats_t replies_dropped_unreachable; //  the peer is gone
    stats_t replies_dropped_full; //  the peer does not read
    stats_t repairs_sent; //  Repairs given to the ROUTER
    stats_t repairs_dropped; //  the peer is gone, does not read, or has had too many
    stats_t peers; //  gauge: peers heard of lately
    stats_t publishers; //  gauge: those that pushed lately
    stats_t connections; //  gauge
    stats_t connections_refused; //  beyond the bound
    stats_t bad_handshakes; //  without CURVE where it is asked for, or against the protocol
    stats_t unfinished_handshakes; //  that took too long, or were broken off
    stats_t denied[DENIED_CAUSES]; //  requests and pushes that a key may not ask for, by cause
    stats_t denied_key; //  requests of a key that is not known any more
    stats_t pulses; //  signs of life given to the main thread
    histogram_t reply_wait; //  ns, pipe from the orderer
} front_stats_t;

typedef struct {
    stats_t admitted; //  handshakes of keys that are known
    stats_t unknown_key; //  handshakes of others
    stats_t pulses; //  signs of life given to the main thread
} gate_stats_t;

typedef struct {
    stats_t outcomes[OUTCOMES]; //  pushes decided, by outcome
    stats_t unreceived; //  accepted, no receiver attached
    stats_t clients; //  gauge: clients with state
    stats_t clients_evicted; //  state dropped for max_clients or idleness
    stats_t receivers; //  gauge: attached receivers and routes
    stats_t held_messages; //  gauge: accepted, not yet released
    stats_t held_bytes; //  gauge
    stats_t retained_messages; //  gauge: released, not yet acknowledged
    stats_t retained_bytes; //  gauge
    stats_t frame_bytes; //  gauge: of the frames that held and retained pushes lie in
    stats_t unacked_messages; //  gauge: of these, handed to a worker in this generation
    stats_t
        oldest_unacked; //  gauge: ns since the first hand-over of the oldest unacknowledged entry
    stats_t gaps_open; //  gauge: clients with a hole at the head of the line
    stats_t gaps_filled; //  holes that a late push closed
    stats_t gaps_skipped; //  holes given up by a Skip
    stats_t gaps_expired; //  holes given up by the policy
    stats_t gaps_reset; //  holes given up by a Reset
    stats_t gaps_alarmed; //  holes open for longer than ordering/gap_alarm
    stats_t gap_notices; //  announced gaps, as entries of deliveries
    stats_t pushes_given_up; //  accepted pushes that were given up and announced
    stats_t pushes_expired; //  released pushes given up after delivery/retain_max, and announced
    stats_t released; //  pushes released by the policy
    stats_t acked; //  pushes acknowledged by receivers
    stats_t taken; //  pushes taken by ZeroMQ for ACK_NONE receivers and routes
    stats_t redelivered; //  pushes handed to a worker again
    stats_t go_backs[GO_BACKS]; //  by reason: missing, timeout, generation
    stats_t acks_stale; //  acks of another generation
    stats_t acks_beyond; //  positions acknowledged that were never sent
    stats_t acks_unknown; //  acks of an unknown receiver or of another's client
    stats_t endpoints_moved; //  from one worker to another
    stats_t attaches; //  Attach requests granted
    stats_t denied_owner; //  requests for a receiver or endpoint that belongs to another key
    stats_t unsaved; //  gauge: changes, most of them positions, that the journal does not keep yet
    stats_t takeovers; //  clients or endpoints taken over by another receiver
    stats_t receivers_timed_out;
    stats_t pulses; //  signs of life given to the main thread
    histogram_t enqueue; //  ns: front receive to outcome decided
    histogram_t ordering_wait; //  ns: accepted to released
    histogram_t delivery; //  ns: first send to the receiver's ack
    histogram_t queue_length; //  messages kept for the client, sampled at each enqueue
    histogram_t request_wait; //  ns, pipe from the front
    histogram_t report_wait; //  ns, pipes from the workers
} orderer_stats_t;

typedef struct {
    stats_t sends; //  Delivery frames that ZeroMQ took
    stats_t sent_messages; //  pushes, notices and markers in them
    stats_t sent_bytes;
    stats_t would_block; //  sends put off: the endpoint would block
    stats_t failed; //  sends that failed for another reason
    stats_t discarded; //  messages returned unsent: their endpoint was closed
    stats_t backlog_messages; //  gauge: taken from the pipe, not yet sent
    stats_t endpoints; //  gauge: PUSH sockets
    stats_t endpoints_blocked; //  gauge
    stats_t pulses; //  signs of life given to the main thread
    histogram_t send; //  ns: the socket call
    histogram_t batch_wait; //  ns, pipe from the orderer

    //  Gauge: handed to this worker and not yet acknowledged. Written by the orderer.
    _Alignas(STATS_LINE) stats_t inflight_messages;
} worker_stats_t;

typedef struct {
    stats_t commits; //  groups that are kept
    stats_t commits_failed; //  groups that the disk refused
    stats_t failing; //  gauge: 1 while it does
    stats_t pulses; //  signs of life given to the main thread
    histogram_t commit; //  ns, of a group
    histogram_t batch; //  pushes of a group
    histogram_t wait; //  ns, pipe from the orderer
} journal_stats_t;

//  All figures of a broker. The workers' are appended as workers are added and stay until the end.
#define STATS_WORKERS_MAX 256

typedef struct {
    _Alignas(STATS_LINE) front_stats_t front;
    _Alignas(STATS_LINE) gate_stats_t gate;
    _Alignas(STATS_LINE) orderer_stats_t orderer;
    _Alignas(STATS_LINE) _Atomic(worker_stats_t *) workers[STATS_WORKERS_MAX];
    _Alignas(STATS_LINE) journal_stats_t journal;
    stats_t worker_count; //  gauge: workers that run
    uint64_t instance;
    int64_t started; //  monotonic ns
    _Atomic int ready; //  1 while the broker serves
} broker_stats_t;

//  All figures 0, no workers, not ready. NULL: no memory.
broker_stats_t *stats_new(uint64_t instance, int64_t started);

//  Only after every thread that reads or writes them has ended.
void stats_destroy(broker_stats_t **self_p);

//  Worker k's figures, made at the first call; k < STATS_WORKERS_MAX. NULL: no memory. One thread
//  at a time, main or orderer.
worker_stats_t *stats_worker(broker_stats_t *self, unsigned k);

//  Worker k's figures, to be read; NULL if nobody has asked for them to be made. Any thread.
const worker_stats_t *stats_worker_get(const broker_stats_t *self, unsigned k);

#endif
