/*  orderer.h - the orderer actor: events into the ordering core, effects out of it

    Requests come from the front and go back to it decided; dispatches go to the workers and come
    back as reports. The orderer never waits for either: what has no room downstream stays in the
    core.                                                                                         */

#ifndef SEQPUSH_ORDERER_H
#define SEQPUSH_ORDERER_H

#include "core.h"
#include "pipe.h"
#include <czmq.h>

typedef struct orderer orderer_t;

typedef struct {
    core_settings_t core;
    uint64_t instance;
    uint32_t batch_max; //  entries a dispatch
    uint32_t batch_bytes; //  bytes a dispatch, about
    uint32_t send_hwm; //  frames a PUSH socket
    uint32_t linger; //  ms that routes have at the end for what ZeroMQ has taken
    const char *const *allow_endpoint; //  patterns
    size_t allow_count;
    pipe_t *front; //  borrowed; the orderer's end
    pipe_t *const *workers; //  borrowed; the orderer's ends
    unsigned worker_count;
    broker_stats_t *stats; //  borrowed
} orderer_settings_t;

//  Main thread; nothing runs yet. Settings are copied, but for what they point to, which must
//  outlive the orderer. NULL: no memory.
orderer_t *orderer_new(const orderer_settings_t *settings);

//  Main thread, when all actors have ended: takes back dispatches that were left in a pipe.
void orderer_take_back(orderer_t *self, pipe_item_t *dispatches);

//  After that: closes what endpoints there are, frees the orderer and all that the core keeps.
void orderer_destroy(orderer_t **self_p);

//  The actor (zactor_fn): runs the orderer `args` until $TERM. On DRAIN it refuses new pushes, and
//  says DRAINED once all that was released to receivers which are there is acknowledged.
void orderer_run(zsock_t *control, void *args);

//  Pushes that the core keeps. When the actor has ended.
uint64_t orderer_kept(const orderer_t *self);

#endif
