/*  tool_bench_receive.c - the receiving side of `seqpush bench`: a few threads, many receivers */

#include "tool_bench.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

//  Threads that serve receivers. More than a few cost more in wake-ups than they gain.
#define THREADS 2

//  How long after the last push is looked for pushes that come twice, in ns.
#define LINGER 50000000

typedef struct {
    bench_t *bench;
    bench_check_t *check;
} run_t;

typedef struct {
    const run_t *run;
    bool stopped; //  takes nothing until the run says so
    seqpush_receiver_t *receiver;
    bench_received_t counts;
    _Atomic uint64_t received; //  what counts.received was after the last poll
    _Atomic int64_t last_push;
    _Atomic bool attached;
} taker_t;

//  Receivers that share a thread.
typedef struct {
    const bench_t *bench;
    taker_t *takers;
    size_t count;
    pthread_t id;
    bool started;
} thread_t;

//  ---- one receiver ------------------------------------------------------------------------------

static void s_on_push(void *arg, const seqpush_push_t *push)
{
    taker_t *self = arg;
    const bench_t *bench = self->run->bench;
    bench_check_push(self->run->check, push, &self->counts);
    if (bench->settings.receive_delay && !atomic_load(&bench->stop))
        tool_sleep_until(tool_now() + (int64_t)bench->settings.receive_delay * 1000);
}

static void s_on_gap(void *arg, const void *id, size_t id_size, uint64_t epoch, uint64_t from,
                     uint64_t to)
{
    taker_t *self = arg;
    (void)epoch;
    (void)from;
    bench_check_gap(self->run->check, id, id_size, to);
}

static bool s_is_over(const bench_t *bench)
{
    return atomic_load(&bench->stop);
}

//  One turn of a receiver. Returns what it has handed out, or a negative errno.
static long s_serve(taker_t *self, int timeout_ms)
{
    const bench_t *bench = self->run->bench;
    if (self->stopped && atomic_load(&bench->go) && !atomic_load(&bench->resumed)) {
        tool_sleep_until(tool_now() + timeout_ms * 1000000LL);
        return 0;
    }
    long taken = seqpush_receiver_poll(self->receiver, timeout_ms);
    if (taken > 0)
        atomic_store(&self->last_push, tool_now());
    atomic_store(&self->received, self->counts.received);
    atomic_store(&self->attached, seqpush_receiver_attached(self->receiver));
    return taken == -EINTR ? 0 : taken;
}

static void s_close(taker_t *self)
{
    if (!self->receiver)
        return;
    const seqpush_receiver_stats_t *stats = seqpush_receiver_stats(self->receiver);
    self->counts.gaps = stats->gaps;
    self->counts.dropped = stats->duplicates + stats->ahead + stats->foreign + stats->malformed;
    self->counts.acks = stats->acks;
    seqpush_receiver_destroy(&self->receiver);
}

//  Serves its receivers by turns. While nothing comes it waits for one of them, each time another,
//  for long only if it has no other.
static void *s_run_thread(void *arg)
{
    const thread_t *self = arg;
    int timeout_ms = self->count == 1 ? 50 : 1;
    long taken = 0;
    for (size_t idle = 0; taken >= 0 && !s_is_over(self->bench); idle++) {
        if (idle == self->count)
            idle = 0;
        taken = 0;
        for (size_t i = 0; taken >= 0 && i < self->count; i++) {
            long more = s_serve(&self->takers[i], 0);
            taken = more < 0 ? more : taken + more;
        }
        if (taken == 0)
            taken = s_serve(&self->takers[idle], timeout_ms);
    }
    for (size_t i = 0; i < self->count; i++)
        s_close(&self->takers[i]);
    return NULL;
}

//  Receiver i has the clients from i * clients / endpoints on.
static bool s_attach(taker_t *self, size_t index)
{
    const bench_settings_t *s = &self->run->bench->settings;
    uint64_t first = index * s->clients / s->endpoints;
    uint64_t end = (index + 1) * s->clients / s->endpoints;
    bool good = true;
    for (uint64_t client = first; client < end && good; client++) {
        char *id = tool_client_id(s->prefix, client + 1, s->clients);
        good = id && seqpush_receiver_attach(self->receiver, id, strlen(id), 0, 0) == 0;
        free(id);
    }
    return good;
}

static bool s_open(taker_t *self, const run_t *run, size_t index)
{
    const bench_settings_t *s = &run->bench->settings;
    char id[SEQPUSH_ID_MAX + 1];
    int id_size = snprintf(id, sizeof id, "%.40s-receiver-%zu", s->prefix, index + 1);
    seqpush_receiver_options_t options = {
        .broker = run->bench->tool->broker,
        .key_file = run->bench->tool->key,
        .server_key = run->bench->tool->server_key,
        .id = id,
        .id_size = (size_t)id_size,
        .ack_mode = s->ack_none ? SEQPUSH_ACK_NONE : SEQPUSH_ACK_CUMULATIVE,
        .on_push = s_on_push,
        .on_gap = s_on_gap,
        .arg = self,
    };
    self->run = run;
    self->stopped = index + s->stopped >= s->endpoints;
    self->receiver = seqpush_receiver_new(&options);
    if (!self->receiver)
        tool_say("a receiver: %s", strerror(errno));
    return self->receiver && s_attach(self, index);
}

static void s_add(bench_received_t *sum, const taker_t *taker)
{
    sum->received += taker->counts.received;
    sum->doubled += taker->counts.doubled;
    sum->out_of_order += taker->counts.out_of_order;
    sum->altered += taker->counts.altered;
    sum->gaps += taker->counts.gaps;
    sum->dropped += taker->counts.dropped;
    sum->acks += taker->counts.acks;
    bench_histogram_add(&sum->latency, &taker->counts.latency);
    int64_t last = atomic_load(&taker->last_push);
    if (last > sum->times.finished)
        sum->times.finished = last;
}

//  ---- all of them -------------------------------------------------------------------------------

static bool s_wait_attached(const run_t *run, taker_t *takers)
{
    int64_t until = tool_now() + (int64_t)run->bench->settings.timeout * BENCH_SECOND;
    for (size_t i = 0; i < run->bench->settings.endpoints; i++)
        while (!atomic_load(&takers[i].attached)) {
            if (tool_now() > until || s_is_over(run->bench))
                return false;
            tool_sleep_until(tool_now() + 1000000);
        }
    return true;
}

static uint64_t s_sum_received(const run_t *run, taker_t *takers)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < run->bench->settings.endpoints; i++)
        sum += atomic_load(&takers[i].received);
    return sum;
}

//  When the last push came, 0 if none has.
static int64_t s_last_push(const run_t *run, taker_t *takers)
{
    int64_t last = 0;
    for (size_t i = 0; i < run->bench->settings.endpoints; i++) {
        int64_t one = atomic_load(&takers[i].last_push);
        last = one > last ? one : last;
    }
    return last;
}

//  What the receivers that never stop have received and, in `*expected`, are to receive.
static uint64_t s_sum_healthy(const run_t *run, taker_t *takers, uint64_t *expected)
{
    const bench_settings_t *s = &run->bench->settings;
    size_t healthy = s->endpoints - s->stopped;
    uint64_t sum = 0;
    for (size_t i = 0; i < healthy; i++)
        sum += atomic_load(&takers[i].received);
    *expected = 0;
    for (uint64_t client = 0; client < healthy * s->clients / s->endpoints; client++)
        *expected += bench_rounds(s, client);
    return sum;
}

//  Lets receivers that are stopped go on when they may, and notes what the others have by then.
static void s_resume(const run_t *run, taker_t *takers)
{
    bench_t *bench = run->bench;
    uint64_t expected;
    int64_t time = tool_now() - bench->got.times.started;
    if (bench->settings.stopped == 0 || atomic_load(&bench->resumed))
        return;
    uint64_t healthy = s_sum_healthy(run, takers, &expected);
    if (healthy < expected && time < (int64_t)bench->settings.stopped_for * 1000000)
        return;
    bench->got.healthy = healthy;
    bench->got.healthy_time = time;
    atomic_store(&bench->resumed, true);
}

//  Where the publishers are elsewhere, the run begins with the first push.
static void s_wait_first(const run_t *run, taker_t *takers)
{
    if (!run->bench->settings.only)
        return;
    while (s_last_push(run, takers) == 0 && !s_is_over(run->bench))
        tool_sleep_until(tool_now() + 1000000);
    run->bench->got.times.started = tool_now();
}

//  Waits until all has come, or nothing has come for long after the last push was made.
static void s_watch(const run_t *run, taker_t *takers)
{
    const bench_t *bench = run->bench;
    int64_t timeout = (int64_t)bench->settings.timeout * BENCH_SECOND;
    int64_t published_at = tool_now();
    while (!s_is_over(bench)) {
        tool_sleep_until(tool_now() + 5000000);
        s_resume(run, takers);
        if (!bench->settings.only && !atomic_load(&bench->published))
            published_at = tool_now();
        int64_t last = s_last_push(run, takers);
        bool all = s_sum_received(run, takers) >= bench->settings.count;
        if (tool_now() - (last > published_at ? last : published_at) > (all ? LINGER : timeout))
            break;
    }
}

static void s_measure(const run_t *run, taker_t *takers)
{
    bench_t *bench = run->bench;
    atomic_store(&bench->attached, true);
    int64_t cpu = bench_cpu();
    if (bench_wait(bench, &bench->go)) {
        s_wait_first(run, takers);
        s_watch(run, takers);
    }
    bench->got.times.cpu = bench_cpu() - cpu;
}

//  Thread i gets the receivers from i * endpoints / threads on.
static bool s_start_threads(const run_t *run, taker_t *takers, thread_t *threads, size_t count)
{
    size_t endpoints = run->bench->settings.endpoints;
    for (size_t i = 0; i < count; i++) {
        size_t first = i * endpoints / count, end = (i + 1) * endpoints / count;
        threads[i] =
            (thread_t){.bench = run->bench, .takers = takers + first, .count = end - first};
        threads[i].started = pthread_create(&threads[i].id, NULL, s_run_thread, &threads[i]) == 0;
        if (!threads[i].started)
            return false;
    }
    return true;
}

static bool s_open_all(const run_t *run, taker_t *takers)
{
    for (size_t i = 0; i < run->bench->settings.endpoints; i++)
        if (!s_open(&takers[i], run, i))
            return false;
    return true;
}

//  Opens and serves all receivers until the run is over.
static bool s_receive(const run_t *run, taker_t *takers, thread_t *threads, size_t count)
{
    bench_t *bench = run->bench;
    bool able = s_open_all(run, takers) && s_start_threads(run, takers, threads, count);
    if (able && !s_wait_attached(run, takers)) {
        if (!s_is_over(bench))
            tool_say("%s does not attach the receivers", bench->tool->broker);
        able = false;
    }
    if (able)
        s_measure(run, takers);
    atomic_store(&bench->stop, true);
    for (size_t i = 0; i < count; i++)
        if (threads[i].started)
            pthread_join(threads[i].id, NULL);
    for (size_t i = 0; i < bench->settings.endpoints; i++) {
        s_close(&takers[i]);
        s_add(&bench->got, &takers[i]);
    }
    return able;
}

bool bench_receive(bench_t *bench)
{
    const bench_settings_t *s = &bench->settings;
    run_t run = {.bench = bench, .check = bench_check_new(s)};
    //  A receiver that sleeps must not hold up another.
    size_t count = s->receive_delay || s->endpoints < THREADS ? s->endpoints : THREADS;
    taker_t *takers = calloc(s->endpoints, sizeof *takers);
    thread_t *threads = calloc(count, sizeof *threads);
    bool able = takers && threads && run.check && s_receive(&run, takers, threads, count);
    free(takers);
    free(threads);
    bench_check_destroy(&run.check);
    return able;
}
