//  metrics_json.c - a broker's figures as JSON; see metrics.h

#include "metrics.h"
#include "pipe.h"
#include "process.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#define NS_PER_SECOND 1000000000

//  ---- the figures -------------------------------------------------------------------------------

typedef enum { NUMBER, SECONDS, DURATIONS, LENGTHS } form_t;

typedef struct {
    const char *key;
    size_t offset;
    form_t form;
    const char *(*names)(unsigned); //  of an array of `count` numbers, else NULL
    unsigned count;
} figure_t;

static const char *s_go_back_name(unsigned reason)
{
    static const char *const names[GO_BACKS] = {
        [GO_BACK_MISSING] = "missing",
        [GO_BACK_TIMEOUT] = "timeout",
        [GO_BACK_GENERATION] = "generation",
    };
    return names[reason];
}

#define FIGURE(type, field) .key = #field, .offset = offsetof(type, field)

static const figure_t s_front[] = {
    {FIGURE(front_stats_t, requests)},
    {FIGURE(front_stats_t, request_bytes)},
    {FIGURE(front_stats_t, errors), .names = error_code_name, .count = ERROR_CODES},
    {FIGURE(front_stats_t, replies)},
    {FIGURE(front_stats_t, replies_dropped_unreachable)},
    {FIGURE(front_stats_t, replies_dropped_full)},
    {FIGURE(front_stats_t, repairs_sent)},
    {FIGURE(front_stats_t, repairs_dropped)},
    {FIGURE(front_stats_t, peers)},
    {FIGURE(front_stats_t, publishers)},
    {FIGURE(front_stats_t, reply_wait), .form = DURATIONS},
};

static const figure_t s_orderer[] = {
    {FIGURE(orderer_stats_t, outcomes), .names = outcome_name, .count = OUTCOMES},
    {FIGURE(orderer_stats_t, unreceived)},
    {FIGURE(orderer_stats_t, clients)},
    {FIGURE(orderer_stats_t, clients_evicted)},
    {FIGURE(orderer_stats_t, receivers)},
    {FIGURE(orderer_stats_t, held_messages)},
    {FIGURE(orderer_stats_t, held_bytes)},
    {FIGURE(orderer_stats_t, retained_messages)},
    {FIGURE(orderer_stats_t, retained_bytes)},
    {FIGURE(orderer_stats_t, frame_bytes)},
    {FIGURE(orderer_stats_t, unacked_messages)},
    {FIGURE(orderer_stats_t, oldest_unacked), .form = SECONDS},
    {FIGURE(orderer_stats_t, gaps_open)},
    {FIGURE(orderer_stats_t, gaps_filled)},
    {FIGURE(orderer_stats_t, gaps_skipped)},
    {FIGURE(orderer_stats_t, gaps_expired)},
    {FIGURE(orderer_stats_t, gaps_reset)},
    {FIGURE(orderer_stats_t, gaps_alarmed)},
    {FIGURE(orderer_stats_t, gap_notices)},
    {FIGURE(orderer_stats_t, pushes_given_up)},
    {FIGURE(orderer_stats_t, pushes_expired)},
    {FIGURE(orderer_stats_t, released)},
    {FIGURE(orderer_stats_t, acked)},
    {FIGURE(orderer_stats_t, taken)},
    {FIGURE(orderer_stats_t, redelivered)},
    {FIGURE(orderer_stats_t, go_backs), .names = s_go_back_name, .count = GO_BACKS},
    {FIGURE(orderer_stats_t, acks_stale)},
    {FIGURE(orderer_stats_t, acks_beyond)},
    {FIGURE(orderer_stats_t, acks_unknown)},
    {FIGURE(orderer_stats_t, endpoints_moved)},
    {FIGURE(orderer_stats_t, attaches)},
    {FIGURE(orderer_stats_t, takeovers)},
    {FIGURE(orderer_stats_t, receivers_timed_out)},
    {FIGURE(orderer_stats_t, enqueue), .form = DURATIONS},
    {FIGURE(orderer_stats_t, ordering_wait), .form = DURATIONS},
    {FIGURE(orderer_stats_t, delivery), .form = DURATIONS},
    {FIGURE(orderer_stats_t, queue_length), .form = LENGTHS},
    {FIGURE(orderer_stats_t, request_wait), .form = DURATIONS},
    {FIGURE(orderer_stats_t, report_wait), .form = DURATIONS},
};

static const figure_t s_workers[] = {
    {FIGURE(worker_stats_t, sends)},
    {FIGURE(worker_stats_t, sent_messages)},
    {FIGURE(worker_stats_t, sent_bytes)},
    {FIGURE(worker_stats_t, would_block)},
    {FIGURE(worker_stats_t, failed)},
    {FIGURE(worker_stats_t, discarded)},
    {FIGURE(worker_stats_t, backlog_messages)},
    {FIGURE(worker_stats_t, inflight_messages)},
    {FIGURE(worker_stats_t, endpoints)},
    {FIGURE(worker_stats_t, endpoints_blocked)},
    {FIGURE(worker_stats_t, send), .form = DURATIONS},
    {FIGURE(worker_stats_t, batch_wait), .form = DURATIONS},
};

static const figure_t s_process[] = {
    {FIGURE(process_t, cpu), .form = SECONDS},
    {FIGURE(process_t, start_time), .form = SECONDS},
    {FIGURE(process_t, resident_memory_bytes)},
    {FIGURE(process_t, open_fds)},
    {FIGURE(process_t, max_fds)},
};

//  ---- the objects -------------------------------------------------------------------------------

//  The object, or NULL if something could not be put into it for want of memory.
static json_t *s_whole(json_t *json, int failed)
{
    if (!failed)
        return json;
    json_decref(json);
    return NULL;
}

json_t *metrics_json_histogram(const histogram_t *figure, double unit)
{
    static const struct {
        const char *key;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max_bucket", 1}};
    histogram_t copy = {0};
    histogram_merge(&copy, figure);
    uint64_t count = histogram_count(&copy);
    double mean = count ? (double)stats_get(&copy.sum) / (double)count * unit : 0;
    json_t *json = json_pack("{s:I, s:f}", "count", (json_int_t)count, "mean", mean);
    int failed = 0;
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        double value = (double)histogram_quantile(&copy, quantiles[i].q) * unit;
        failed |= json_object_set_new(json, quantiles[i].key, json_real(value));
    }
    return s_whole(json, failed);
}

static json_t *s_json_array(const figure_t *figure, const stats_t *numbers)
{
    json_t *json = json_object();
    int failed = 0;
    for (unsigned i = 0; i < figure->count; i++)
        failed |= json_object_set_new(json, figure->names(i),
                                      json_integer((json_int_t)stats_get(&numbers[i])));
    return s_whole(json, failed);
}

static json_t *s_json_figure(const figure_t *figure, const void *at)
{
    if (figure->names)
        return s_json_array(figure, at);
    switch (figure->form) {
    case NUMBER:
        return json_integer((json_int_t)stats_get(at));
    case SECONDS:
        return json_real((double)stats_get(at) / NS_PER_SECOND);
    case DURATIONS:
        return metrics_json_histogram(at, 1.0 / NS_PER_SECOND);
    case LENGTHS:
        return metrics_json_histogram(at, 1);
    }
    return NULL;
}

//  Adds the figures of an actor to an object. Returns it, or NULL if there is no memory.
static json_t *s_json_add(json_t *json, const figure_t *figures, size_t count, const void *actor)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++)
        failed |= json_object_set_new(
            json, figures[i].key,
            s_json_figure(&figures[i], (const uint8_t *)actor + figures[i].offset));
    return s_whole(json, failed);
}
#define JSON_ADD(json, figures, actor) \
    s_json_add(json, figures, sizeof figures / sizeof figures[0], actor)

static json_t *s_json_workers(const broker_stats_t *stats)
{
    json_t *json = json_array();
    int failed = 0;
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++) {
        const worker_stats_t *worker = stats_worker_get(stats, k);
        if (worker)
            failed |= json_array_append_new(
                json, JSON_ADD(json_pack("{s:i}", "worker", (int)k), s_workers, worker));
    }
    return s_whole(json, failed);
}

json_t *metrics_json(const broker_stats_t *stats)
{
    process_t process;
    process_read(&process);
    char instance[24];
    snprintf(instance, sizeof instance, "%" PRIu64, stats->instance);
    return json_pack("{s:s, s:s, s:b, s:f, s:o, s:o, s:o, s:o}", "version", SEQPUSH_VERSION,
                     "instance", instance, "ready", atomic_load(&((broker_stats_t *)stats)->ready),
                     "uptime_seconds", (double)(pipe_clock() - stats->started) / NS_PER_SECOND,
                     "front", JSON_ADD(json_object(), s_front, &stats->front), "orderer",
                     JSON_ADD(json_object(), s_orderer, &stats->orderer), "workers",
                     s_json_workers(stats), "process",
                     JSON_ADD(json_object(), s_process, &process));
}
