/*  decider.h - decides requests: each is an event for the ordering core, with a reply to its peer

    A request comes as the front has read it. The decision goes into it, the outcome of each push or
    the packed Reply, and so it goes back.                                                        */

#ifndef SEQPUSH_DECIDER_H
#define SEQPUSH_DECIDER_H

#include "core.h"

typedef struct {
    core_t *core; //  borrowed
    orderer_stats_t *stats; //  borrowed
    uint64_t instance;
    const char *const *allow_endpoint; //  patterns; borrowed
    size_t allow_count;
    bool curve; //  receivers must name the key of their endpoint
    bool draining; //  what would add something is refused
} decider_t;

//  Decides a request at monotonic ns `now`, and drops its frame. The orderer's thread.
void decider_decide(const decider_t *self, request_t *request, int64_t now);

#endif
