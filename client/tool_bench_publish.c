/*  tool_bench_publish.c - the publishing side of `seqpush bench`: a thread a publisher */

#include "tool_bench.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

//  Different scrambled orders of a window; which one it is depends on the client and the window.
#define ORDERS 64

//  Seqs a client that the broker's window has by default. Publishers keep within half of it, so
//  that few pushes are refused for it.
#define WINDOW 1024

//  A push waits at most that long for its block to fill where a rate is asked for, in ns.
#define BURST 1000000

//  What all publishers of the run read.
typedef struct {
    bench_t *bench;
    char *ids; //  of the clients, each behind a byte with its size
    size_t id_stride;
    uint16_t *orders; //  ORDERS times the places 0 to shuffle - 1
    uint64_t block; //  pushes that a publisher takes at a time
    uint64_t span; //  pushes that it may be ahead of the slowest one
} run_t;

//  A publisher and the pushes that it makes: those of the clients from `first` on. They are its own,
//  if there is order to keep, or all publishers share all.
typedef struct {
    const run_t *run;
    size_t index;
    uint64_t first, clients, count;
    uint64_t own_next; //  the first of its own pushes that is not taken
    pthread_t thread;
    bool started;
    seqpush_publisher_t *publisher;
    uint8_t *payload;
    uint64_t decided; //  when last looked at
    int64_t decided_at;
    bool failed;
} sender_t;

static bool s_is_in_order(const bench_settings_t *s)
{
    return s->shuffle == 1;
}

//  ---- what is pushed ----------------------------------------------------------------------------

static bool s_make_ids(run_t *run)
{
    const bench_settings_t *s = &run->bench->settings;
    char *last = tool_client_id(s->prefix, s->clients, s->clients);
    run->id_stride = strlen(last) + 1;
    free(last);
    run->ids = malloc(run->id_stride * s->clients + 1);
    for (uint64_t i = 0; run->ids && i < s->clients; i++) {
        char *slot = run->ids + i * run->id_stride;
        char text[SEQPUSH_ID_MAX + 1];
        int size = snprintf(text, sizeof text, "%s-%llu", s->prefix, (unsigned long long)i + 1);
        memcpy(slot + 1, text, (size_t)size);
        slot[0] = (char)size;
    }
    return run->ids != NULL;
}

static void s_shuffle(uint16_t *order, size_t count, unsigned short *random)
{
    for (size_t i = 0; i < count; i++)
        order[i] = (uint16_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)nrand48(random) % i;
        uint16_t place = order[i - 1];
        order[i - 1] = order[other];
        order[other] = place;
    }
}

static bool s_make_orders(run_t *run)
{
    const bench_settings_t *s = &run->bench->settings;
    unsigned short random[3];
    memcpy(random, &s->seed, sizeof random);
    run->orders = malloc(ORDERS * s->shuffle * sizeof *run->orders);
    for (size_t i = 0; run->orders && i < ORDERS; i++)
        s_shuffle(run->orders + i * s->shuffle, s->shuffle, random);
    return run->orders != NULL;
}

//  The seq that a client gets in a round. A last window that is not full is turned round.
static uint64_t s_seq(const run_t *run, uint64_t client, uint64_t round)
{
    const bench_settings_t *s = &run->bench->settings;
    uint64_t window = round / s->shuffle, first = window * s->shuffle, place = round - first;
    uint64_t left = bench_rounds(s, client) - first;
    if (left < s->shuffle)
        return first + left - place;
    return first + run->orders[(window + client) % ORDERS * s->shuffle + place] + 1;
}

//  ---- one publisher -----------------------------------------------------------------------------

static bool s_may_go_on(sender_t *self)
{
    const bench_t *bench = self->run->bench;
    const seqpush_publisher_stats_t *stats = seqpush_publisher_stats(self->publisher);
    uint64_t decided = tool_decided(stats);
    if (decided != self->decided || decided == stats->pushed)
        self->decided_at = tool_now();
    self->decided = decided;
    int64_t timeout = (int64_t)bench->settings.timeout * BENCH_SECOND;
    return !atomic_load(&bench->stop) && !self->failed && tool_now() - self->decided_at < timeout;
}

static void s_poll(sender_t *self, int timeout_ms)
{
    long result = seqpush_publisher_poll(self->publisher, timeout_ms);
    self->failed |= result < 0 && result != -EINTR;
}

static void s_push(sender_t *self, uint64_t client, uint64_t seq)
{
    const run_t *run = self->run;
    uint8_t head[BENCH_HEAD];
    size_t size = run->bench->settings.size;
    bench_make_head(head, client, seq);
    memcpy(self->payload, head, size < BENCH_HEAD ? size : BENCH_HEAD);
    if (run->bench->settings.latency)
        memcpy(self->payload + BENCH_HEAD, &(int64_t){tool_now()}, BENCH_TIME);
    const char *id = run->ids + client * run->id_stride;
    seqpush_push_t push = {id + 1, (size_t)*id, 0, seq, self->payload, size};
    int result;
    while ((result = seqpush_publisher_push(self->publisher, &push)) == -EAGAIN &&
           s_may_go_on(self))
        s_poll(self, 10);
    self->failed |= result != 0;
}

static uint64_t s_slowest(const run_t *run)
{
    uint64_t slowest = UINT64_MAX;
    for (size_t i = 0; i < run->bench->settings.publishers; i++) {
        uint64_t at = atomic_load_explicit(&run->bench->at[i], memory_order_relaxed);
        slowest = at < slowest ? at : slowest;
    }
    return slowest;
}

//  Takes the next of the blocks that are shared, and waits for the slowest publisher.
static uint64_t s_take_shared(sender_t *self)
{
    bench_t *bench = self->run->bench;
    atomic_store(&bench->at[self->index], atomic_load(&bench->next));
    uint64_t n = atomic_fetch_add(&bench->next, self->run->block);
    atomic_store(&bench->at[self->index], n);
    while (n < bench->settings.count && n - s_slowest(self->run) > self->run->span &&
           s_may_go_on(self))
        s_poll(self, 1);
    return n;
}

//  When a block is due, in ns from the beginning. Publishers with pushes of their own take turns.
static int64_t s_due(const sender_t *self, uint64_t n)
{
    const bench_settings_t *s = &self->run->bench->settings;
    __int128 place = n;
    if (s_is_in_order(s))
        place = (__int128)n * s->publishers + self->index * self->run->block;
    return (int64_t)(place * BENCH_SECOND / s->rate);
}

//  Takes the next block and waits until it is its turn.
static uint64_t s_take_block(sender_t *self)
{
    bench_t *bench = self->run->bench;
    uint64_t n = self->own_next;
    if (s_is_in_order(&bench->settings))
        self->own_next += self->run->block;
    else
        n = s_take_shared(self);
    if (bench->settings.rate && n < self->count) {
        s_poll(self, 0);
        tool_sleep_until(bench->sent.times.started + s_due(self, n));
    }
    return n;
}

static void s_push_block(sender_t *self, uint64_t n)
{
    uint64_t end = n + self->run->block < self->count ? n + self->run->block : self->count;
    uint64_t client = n % self->clients, round = n / self->clients;
    for (; n < end && !self->failed; n++) {
        s_push(self, self->first + client, s_seq(self->run, self->first + client, round));
        if (++client == self->clients) {
            client = 0;
            round++;
        }
    }
}

static void *s_run_sender(void *arg)
{
    sender_t *self = arg;
    bench_t *bench = self->run->bench;
    bench_wait(bench, &bench->go);
    self->decided_at = tool_now();
    uint64_t n;
    while (!atomic_load(&bench->stop) && !self->failed && (n = s_take_block(self)) < self->count)
        s_push_block(self, n);
    atomic_store(&bench->at[self->index], UINT64_MAX);
    while (s_may_go_on(self) && self->decided < seqpush_publisher_stats(self->publisher)->pushed)
        s_poll(self, 10);
    return NULL;
}

//  ---- all of them -------------------------------------------------------------------------------

//  Bounds what a publisher has under way, together no more than a quarter of all windows.
static size_t s_undecided_max(const bench_settings_t *s)
{
    uint64_t most = s->clients * (WINDOW / 4) / s->publishers;
    most = most > 16384 ? 16384 : most;
    return most < s->batch ? s->batch : most;
}

//  Those clients with a push more than others are the first ones, so a publisher's own pushes go to
//  its clients by turns, too.
static void s_share(sender_t *self, const bench_settings_t *s)
{
    bool own = s_is_in_order(s);
    uint64_t end = own ? (self->index + 1) * s->clients / s->publishers : s->clients;
    self->first = own ? self->index * s->clients / s->publishers : 0;
    self->clients = end - self->first;
    for (uint64_t client = self->first; client < end; client++)
        self->count += bench_rounds(s, client);
}

static bool s_start(sender_t *self, const run_t *run, size_t index)
{
    const bench_settings_t *s = &run->bench->settings;
    seqpush_publisher_options_t options = {
        .broker = run->bench->tool->broker,
        .key_file = run->bench->tool->key,
        .server_key = run->bench->tool->server_key,
        .batch_max = s->batch,
        .undecided_max = s_undecided_max(s),
    };
    *self = (sender_t){.run = run, .index = index};
    s_share(self, s);
    self->publisher = seqpush_publisher_new(&options);
    self->payload = malloc(s->size + 1);
    if (!self->publisher || !self->payload)
        return false;
    memset(self->payload, BENCH_FILL, s->size);
    self->started = pthread_create(&self->thread, NULL, s_run_sender, self) == 0;
    return self->started;
}

static void s_join(sender_t *self)
{
    if (self->started)
        pthread_join(self->thread, NULL);
    self->started = false;
}

static void s_finish(sender_t *self, bench_published_t *sent)
{
    s_join(self);
    if (self->publisher) {
        const seqpush_publisher_stats_t *stats = seqpush_publisher_stats(self->publisher);
        uint64_t accepted = stats->outcomes[SEQPUSH_ACCEPTED];
        uint64_t duplicates = stats->outcomes[SEQPUSH_DUPLICATE];
        sent->pushed += stats->pushed;
        sent->accepted += accepted;
        sent->duplicates += duplicates;
        sent->refused += self->decided - accepted - duplicates;
        sent->retries += stats->retries;
        sent->resends += stats->resends;
        sent->unreceived += stats->unreceived;
    }
    seqpush_publisher_destroy(&self->publisher);
    free(self->payload);
}

//  Blocks are short where the rate is low, so that pushes come evenly.
static bool s_prepare(run_t *run)
{
    const bench_settings_t *s = &run->bench->settings;
    uint64_t burst = s->rate / (BENCH_SECOND / BURST);
    run->block = s->rate && burst < s->batch ? burst + (burst == 0) : s->batch;
    uint64_t windows = s->clients * ((WINDOW - s->shuffle) / 2);
    uint64_t least = run->block * s->publishers;
    run->span = windows > least ? windows : least;
    return s_make_ids(run) && s_make_orders(run);
}

static void s_measure(run_t *run, sender_t *senders)
{
    bench_t *bench = run->bench;
    if (bench_wait(bench, &bench->go)) {
        int64_t cpu = bench_cpu();
        for (size_t i = 0; i < bench->settings.publishers; i++)
            s_join(&senders[i]);
        bench->sent.times.finished = tool_now();
        bench->sent.times.cpu = bench_cpu() - cpu;
    }
}

bool bench_publish(bench_t *bench)
{
    run_t run = {.bench = bench};
    sender_t senders[BENCH_PUBLISHERS_MAX] = {0};
    bool able = s_prepare(&run);
    for (size_t i = 0; able && i < bench->settings.publishers; i++)
        able = s_start(&senders[i], &run, i);
    if (able)
        s_measure(&run, senders);
    else
        atomic_store(&bench->stop, true);
    for (size_t i = 0; i < bench->settings.publishers; i++)
        s_finish(&senders[i], &bench->sent);
    free(run.ids);
    free(run.orders);
    return able;
}
