/*  dispatch_pool.h - dispatches that came back empty, kept for the next time

    A busy broker fills and empties the same ones again and again. The orderer's thread only.     */

#ifndef SEQPUSH_DISPATCH_POOL_H
#define SEQPUSH_DISPATCH_POOL_H

#include "dispatch.h"

typedef struct {
    uint32_t entries; //  that each has room for
    dispatch_t *first; //  chained
    unsigned count;
} dispatch_pool_t;

//  An empty dispatch, whatever it was before. NULL: no memory.
dispatch_t *dispatch_pool_take(dispatch_pool_t *self);

//  Takes back a dispatch, which leaves the caller.
void dispatch_pool_give(dispatch_pool_t *self, dispatch_t *dispatch);

//  Frees those that it keeps.
void dispatch_pool_fini(dispatch_pool_t *self);

#endif
