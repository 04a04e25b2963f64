/*  allowance.h - how much of something may come a second, with a second's worth at once

    The generic cell rate algorithm (ITU-T I.371, in the form of the virtual scheduling algorithm): all
    that is kept is when the allowance is full again. Pure functions; any thread. */

#ifndef SEQPUSH_ALLOWANCE_H
#define SEQPUSH_ALLOWANCE_H

#include <stdint.h>

//  Takes as many of `wanted` as may come at monotonic ns `now`, with `rate` >= 1 a second, and returns how
//  many those are. `*full_at` is 0 before the first.
uint32_t allowance_take(int64_t *full_at, uint32_t rate, uint32_t wanted, int64_t now);

//  ms until `wanted` more may come; of what exceeds a second's worth, until that may.
uint32_t allowance_wait(int64_t full_at, uint32_t rate, uint32_t wanted, int64_t now);

#endif
