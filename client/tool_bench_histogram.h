/*  tool_bench_histogram.h - durations by size, so that quantiles can be told

    Each power of two is divided into 32 places: a quantile is at most 3 % too large. One thread at
    a time. */

#ifndef SEQPUSH_TOOL_BENCH_HISTOGRAM_H
#define SEQPUSH_TOOL_BENCH_HISTOGRAM_H

#include <stdint.h>

#define BENCH_HISTOGRAM_PLACES 1280

//  Begins as zeros.
typedef struct {
    uint64_t count;
    uint64_t places[BENCH_HISTOGRAM_PLACES];
} bench_histogram_t;

//  Notes a duration; one that is negative counts as 0, one of more than 18 minutes as that.
void bench_histogram_note(bench_histogram_t *self, int64_t ns);

void bench_histogram_add(bench_histogram_t *self, const bench_histogram_t *other);

//  The duration in ns that `per_mille` of a thousand are not longer than; 0 if there are none.
int64_t bench_histogram_quantile(const bench_histogram_t *self, unsigned per_mille);

#endif
