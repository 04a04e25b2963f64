/*  recent.h - how fast things go now: what was counted since the status was last looked at

    Figures count from the start of the broker. A rate is the difference to the figures as they were
    some time ago, a second at least: those of the last look, or zeros at the first one. The http
    thread's.                                                                                      */

#ifndef SEQPUSH_RECENT_H
#define SEQPUSH_RECENT_H

#include "stats.h"
#include <jansson.h>

//  Figures of one moment.
typedef struct {
    int64_t at; //  monotonic ns
    uint64_t accepted, refused, released, delivered, redelivered;
    histogram_t enqueue, delivery;
} recent_sample_t;

//  Zeroed, but for `before.at` and `last.at`, which are when the broker was started.
typedef struct {
    recent_sample_t before; //  what is compared with
    recent_sample_t last; //  of the last look
} recent_t;

//  An object {seconds, accepted_per_second, refused_per_second, released_per_second,
//  delivered_per_second, redelivered_per_second, enqueue, delivery}: the time that it is of, rates,
//  and histograms of what was decided and acknowledged in that time. NULL: no memory.
json_t *recent_json(recent_t *self, const broker_stats_t *stats, int64_t now);

#endif
