/*  decider.h - decides requests: each is an event for the ordering core, with a reply to its peer

    A request comes as the front has read it. The decision goes into it, the outcome of each push or
    the packed Reply, and so it goes back.                                                        */

#ifndef SEQPUSH_DECIDER_H
#define SEQPUSH_DECIDER_H

#include "core.h"

//  How many pushes are looked at before they are decided; a power of two.
#define DECIDER_AHEAD 16

//  A push that is soon to be decided.
typedef struct {
    const push_t *push; //  NULL: the chain has ended
    const frame_t *frame;
} decider_ahead_t;

typedef struct {
    core_t *core; //  borrowed
    orderer_stats_t *stats; //  borrowed
    uint64_t instance;
    const char *const *allow_endpoint; //  patterns; borrowed
    size_t allow_count;
    bool curve; //  receivers must name the key of their endpoint
    bool draining; //  what would add something is refused
    const request_t
        *next; //  of the chain, whose push `index` is looked at next; NULL: behind the end
    uint32_t index;
    uint32_t looked; //  pushes looked at
    decider_ahead_t ahead[DECIDER_AHEAD]; //  the last ones: a ring
} decider_t;

//  Begins with a chain of requests, of which all are decided before the next one begins: looks ahead
//  at the first pushes.
void decider_begin(decider_t *self, const request_t *first);

//  Decides the next request of the chain at monotonic ns `now`, and drops its frame. The orderer's
//  thread.
void decider_decide(decider_t *self, request_t *request, int64_t now);

#endif
