/*  delivered.h - Delivered: what publishers are told, unasked, of pushes that were delivered or given up

    Orderer's thread only. */

#ifndef SEQPUSH_DELIVERED_H
#define SEQPUSH_DELIVERED_H

#include "core.h"
#include "pipe.h"

//  Takes the confirmations of the core and puts Delivered replies to their publishers into the
//  pipe to the front: one for each publisher, or several where one would become large. What there
//  is no memory for is lost, as any reply may be. Does not block.
void delivered_tell(core_t *core, pipe_t *front, uint64_t instance);

#endif
