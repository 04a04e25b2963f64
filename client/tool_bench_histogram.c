/*  tool_bench_histogram.c - durations by size */

#include "tool_bench_histogram.h"
#include <stddef.h>

#define BITS 5 //  of a duration that its place tells, behind the leading one
#define PARTS (1U << BITS)

static size_t s_place(int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    if (value < PARTS)
        return value;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - BITS;
    size_t place = (size_t)(shift + 1) * PARTS + (value >> shift) - PARTS;
    return place < BENCH_HISTOGRAM_PLACES ? place : BENCH_HISTOGRAM_PLACES - 1;
}

//  The longest duration that has the place.
static int64_t s_longest(size_t place)
{
    if (place < PARTS)
        return (int64_t)place;
    size_t shift = place / PARTS - 1;
    return (int64_t)(((place % PARTS + PARTS + 1) << shift) - 1);
}

void bench_histogram_note(bench_histogram_t *self, int64_t ns)
{
    self->places[s_place(ns)]++;
    self->count++;
}

void bench_histogram_add(bench_histogram_t *self, const bench_histogram_t *other)
{
    self->count += other->count;
    for (size_t i = 0; i < BENCH_HISTOGRAM_PLACES; i++)
        self->places[i] += other->places[i];
}

int64_t bench_histogram_quantile(const bench_histogram_t *self, unsigned per_mille)
{
    //  Rounded up, so that the last one is never left out.
    uint64_t rank = (self->count * per_mille + 999) / 1000, seen = 0;
    for (size_t i = 0; i < BENCH_HISTOGRAM_PLACES; i++) {
        seen += self->places[i];
        if (self->places[i] && seen >= rank)
            return s_longest(i);
    }
    return 0;
}
