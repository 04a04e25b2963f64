//  recent.c - how fast things go now; see recent.h

#include "recent.h"
#include "metrics.h"

#define APART INT64_C(1000000000) //  ns between two looks that are compared, at least

//  Every outcome but those of pushes that are, or were, taken.
static uint64_t s_refused(const orderer_stats_t *stats)
{
    uint64_t refused = 0;
    for (unsigned outcome = 0; outcome < OUTCOMES; outcome++)
        if (outcome != OUTCOME_ACCEPTED && outcome != OUTCOME_DUPLICATE)
            refused += stats_get(&stats->outcomes[outcome]);
    return refused;
}

static recent_sample_t s_sample(const broker_stats_t *stats, int64_t now)
{
    const orderer_stats_t *orderer = &stats->orderer;
    recent_sample_t sample = {
        .at = now,
        .accepted = stats_get(&orderer->outcomes[OUTCOME_ACCEPTED]),
        .refused = s_refused(orderer),
        .released = stats_get(&orderer->released),
        .delivered = stats_get(&orderer->acked) + stats_get(&orderer->taken),
        .redelivered = stats_get(&orderer->redelivered),
    };
    histogram_merge(&sample.enqueue, &orderer->enqueue);
    histogram_merge(&sample.delivery, &orderer->delivery);
    return sample;
}

static json_t *s_difference(const histogram_t *now, const histogram_t *before)
{
    histogram_t difference = {0};
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        stats_set(&difference.buckets[i],
                  stats_get(&now->buckets[i]) - stats_get(&before->buckets[i]));
    stats_set(&difference.sum, stats_get(&now->sum) - stats_get(&before->sum));
    return metrics_json_histogram(&difference, 1e-9);
}

json_t *recent_json(recent_t *self, const broker_stats_t *stats, int64_t now)
{
    if (now - self->last.at >= APART)
        self->before = self->last;
    recent_sample_t sample = s_sample(stats, now);
    const recent_sample_t *before = &self->before;
    double seconds = (double)(now - before->at) * 1e-9;
    double per = seconds > 0 ? 1 / seconds : 0;
    json_t *json = json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "seconds", seconds, "accepted_per_second",
        per * (double)(sample.accepted - before->accepted), "refused_per_second",
        per * (double)(sample.refused - before->refused), "released_per_second",
        per * (double)(sample.released - before->released), "delivered_per_second",
        per * (double)(sample.delivered - before->delivered), "redelivered_per_second",
        per * (double)(sample.redelivered - before->redelivered), "enqueue",
        s_difference(&sample.enqueue, &before->enqueue), "delivery",
        s_difference(&sample.delivery, &before->delivery));
    if (self->last.at == before->at || now - self->last.at >= APART)
        self->last = sample;
    return json;
}
