//  stats.c - counters, gauges and histograms that one actor writes and anybody reads; see stats.h

#include "stats.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

//  ---- histograms --------------------------------------------------------------------------------

uint64_t histogram_upper(size_t bucket)
{
    assert(bucket < HISTOGRAM_BUCKETS);
    if (bucket < 8)
        return bucket;
    size_t octave = bucket / 4 + 1;
    uint64_t quarter = bucket % 4;
    return ((5 + quarter) << (octave - 2)) - 1;
}

void histogram_merge(histogram_t *to, const histogram_t *from)
{
    //  The sum first: what it has, the buckets that are read after it have too.
    stats_add(&to->sum, atomic_load_explicit((stats_t *)&from->sum, memory_order_acquire));
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        stats_add(&to->buckets[bucket], stats_get(&from->buckets[bucket]));
}

uint64_t histogram_count(const histogram_t *self)
{
    uint64_t count = 0;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        count += stats_get(&self->buckets[bucket]);
    return count;
}

uint64_t histogram_quantile(const histogram_t *self, double q)
{
    double rank = q * (double)histogram_count(self);
    uint64_t seen = 0;
    uint64_t upper = 0;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t events = stats_get(&self->buckets[bucket]);
        if (events == 0)
            continue;
        seen += events;
        upper = histogram_upper(bucket);
        if ((double)seen >= rank)
            break;
    }
    return upper;
}

//  ---- names -------------------------------------------------------------------------------------

const char *error_code_name(unsigned code)
{
    static const char *const names[ERROR_CODES] = {
        [ERROR_MALFORMED] = "malformed",
        [ERROR_UNSUPPORTED] = "unsupported",
        [ERROR_INVALID] = "invalid",
        [ERROR_UNKNOWN_RECEIVER] = "unknown_receiver",
        [ERROR_STALE_GENERATION] = "stale_generation",
        [ERROR_FORBIDDEN] = "forbidden",
        [ERROR_ENDPOINT_REFUSED] = "endpoint_refused",
        [ERROR_OVERLOADED] = "overloaded",
        [ERROR_SHUTTING_DOWN] = "shutting_down",
    };
    return code < ERROR_CODES ? names[code] : "unknown";
}

const char *denied_name(unsigned cause)
{
    static const char *const names[] = {
        [DENIED_ROLE] = "denied_role",
        [DENIED_CLIENT] = "denied_client",
        [DENIED_RECEIVER] = "denied_receiver",
        [DENIED_ENDPOINT] = "denied_endpoint",
    };
    return names[cause];
}

const char *outcome_name(unsigned outcome)
{
    static const char *const names[OUTCOMES] = {
        [OUTCOME_ACCEPTED] = "accepted",
        [OUTCOME_DUPLICATE] = "duplicate",
        [OUTCOME_STALE] = "stale",
        [OUTCOME_WINDOW_FULL] = "window_full",
        [OUTCOME_BACKLOG_FULL] = "backlog_full",
        [OUTCOME_OVERLOADED] = "overloaded",
        [OUTCOME_EPOCH_MISMATCH] = "epoch_mismatch",
        [OUTCOME_TOO_LARGE] = "too_large",
        [OUTCOME_INVALID] = "invalid",
        [OUTCOME_FORBIDDEN] = "forbidden",
        [OUTCOME_STORAGE_UNAVAILABLE] = "storage_unavailable",
        [OUTCOME_SHUTTING_DOWN] = "shutting_down",
    };
    return outcome < OUTCOMES ? names[outcome] : "unknown";
}

//  ---- all figures of a broker -------------------------------------------------------------------

//  `size` bytes of zeros that begin a cache line; `size` is a multiple of one.
static void *s_lines_new(size_t size)
{
    void *lines = aligned_alloc(STATS_LINE, size);
    if (lines)
        memset(lines, 0, size);
    return lines;
}

broker_stats_t *stats_new(uint64_t instance, int64_t started)
{
    broker_stats_t *self = s_lines_new(sizeof *self);
    if (!self)
        return NULL;
    self->instance = instance;
    self->started = started;
    return self;
}

void stats_destroy(broker_stats_t **self_p)
{
    broker_stats_t *self = *self_p;
    if (!self)
        return;
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++)
        free(self->workers[k]);
    free(self);
    *self_p = NULL;
}

worker_stats_t *stats_worker(broker_stats_t *self, unsigned k)
{
    assert(k < STATS_WORKERS_MAX);
    worker_stats_t *worker = atomic_load_explicit(&self->workers[k], memory_order_relaxed);
    if (!worker) {
        worker = s_lines_new(sizeof *worker);
        //  Zeroed before others can see it.
        atomic_store_explicit(&self->workers[k], worker, memory_order_release);
    }
    return worker;
}

const worker_stats_t *stats_worker_get(const broker_stats_t *self, unsigned k)
{
    assert(k < STATS_WORKERS_MAX);
    return atomic_load_explicit(&((broker_stats_t *)self)->workers[k], memory_order_acquire);
}
