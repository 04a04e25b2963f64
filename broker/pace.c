//  pace.c - how many pushes a publisher may have undecided; see pace.h

#include "pace.h"

uint32_t pace_begin(uint32_t most)
{
    return most < PACE_LEAST ? most : PACE_LEAST;
}

static uint32_t s_shrink(uint32_t credit, uint32_t most, uint32_t undecided, int64_t wait)
{
    uint64_t fits = (uint64_t)undecided * PACE_WAIT / (uint64_t)wait;
    uint32_t least = pace_begin(most);
    if (fits >= credit)
        return credit;
    return fits > least ? (uint32_t)fits : least;
}

uint32_t pace_next(uint32_t credit, uint32_t most, uint32_t undecided, uint32_t decided,
                   int64_t wait)
{
    if (wait > PACE_WAIT)
        return s_shrink(credit, most, undecided, wait);
    if (wait > PACE_WAIT / 2)
        return credit;
    return decided < most - credit ? credit + decided : most;
}
