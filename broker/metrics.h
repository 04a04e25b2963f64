/*  metrics.h - a broker's figures as text for Prometheus, and as JSON for the tool and for people

    Both are read from figures that their writers go on changing. A histogram is copied first, so
    that its count, its buckets and its quantiles agree with each other. Any thread; does not
    block.                                                                                        */

#ifndef SEQPUSH_METRICS_H
#define SEQPUSH_METRICS_H

#include "stats.h"
#include <jansson.h>

//  Text exposition format 0.0.4. `scrapes` has the durations of the scrapes so far, in ns. The
//  caller frees the result. NULL: no memory. Source: the Prometheus documentation, "Exposition
//  formats".
char *metrics_text(const broker_stats_t *stats, const histogram_t *scrapes);

//  An object {version, instance, ready, uptime_seconds, front, orderer, workers, process}. The
//  names inside are those of the fields in stats.h; `workers` is an array of objects that have the
//  worker's number as `worker`. Times are seconds. A histogram is {count, mean, p50, p90, p99,
//  p999, max_bucket}. `instance` is a string, since it may exceed what a JSON reader holds exactly.
//  The caller has the reference. NULL: no memory.
json_t *metrics_json(const broker_stats_t *stats);

//  A histogram as in there, its values multiplied by `unit`. In the same way.
json_t *metrics_json_histogram(const histogram_t *figure, double unit);

#endif
