/*  pace.h - how many pushes a publisher may have undecided, where a disk decides when they are

    What waits for the disk waits for all that came before it. So a publisher gets as much credit as is
    decided within PACE_WAIT: then a push does not wait much longer than that, and the disk has always
    more to do than one commit. Little's law: what waits is the rate times the wait.

    A pure function; any thread. */

#ifndef SEQPUSH_PACE_H
#define SEQPUSH_PACE_H

#include <stdint.h>

#define PACE_WAIT 200000000LL //  ns that a push may wait, about
#define PACE_LEAST 8192 //  pushes that a publisher has credit for at any rate, unless it is `most`

//  What a publisher begins with that may have `most` in the end.
uint32_t pace_begin(uint32_t most);

//  Its credit from now on: `decided` of the pushes that it had undecided (`undecided`, these among them)
//  were decided after `wait` ns. It grows with each that took less than half of PACE_WAIT.
uint32_t pace_next(uint32_t credit, uint32_t most, uint32_t undecided, uint32_t decided,
                   int64_t wait);

#endif
