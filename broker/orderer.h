/*  orderer.h - the orderer actor: events into the ordering core, effects out of it

    Requests come from the front and go back to it decided; dispatches go to the workers and come
    back as reports. The orderer never waits for either: what has no room downstream stays in the
    core.                                                                                         */

#ifndef SEQPUSH_ORDERER_H
#define SEQPUSH_ORDERER_H

#include "certificate.h"
#include "core.h"
#include "inquiry.h"
#include "pipe.h"
#include <czmq.h>

typedef struct orderer orderer_t;

typedef struct {
    core_settings_t core;
    uint64_t instance;
    uint32_t batch_max; //  entries a dispatch
    uint32_t batch_bytes; //  bytes a dispatch, about
    uint32_t send_hwm; //  frames a PUSH socket
    const char *const *allow_endpoint; //  patterns
    size_t allow_count;
    const certificate_t *curve; //  the broker's keys; NULL: no CURVE
    pipe_t *front; //  borrowed; the orderer's end
    pipe_t *journal; //  borrowed; the orderer's end; NULL: nothing is kept
    pipe_t *const *workers; //  the orderer's ends, borrowed; the array is copied
    unsigned worker_count; //  to begin with
    inquiry_t *inquiry; //  borrowed: what operators ask
    broker_stats_t *stats; //  borrowed
} orderer_settings_t;

//  Main thread; nothing runs yet. Settings are copied, but for what they point to, which must
//  outlive the orderer. NULL: no memory.
orderer_t *orderer_new(const orderer_settings_t *settings);

//  Main thread, before the orderer runs: the core, to be restored.
core_t *orderer_core(orderer_t *self);

//  Main thread, when all actors have ended: takes back dispatches that were left in a pipe.
void orderer_take_back(orderer_t *self, pipe_item_t *dispatches);

//  After that: closes what endpoints there are, frees the orderer and all that the core keeps. What
//  ZeroMQ has taken for routes has `linger` ms to leave.
void orderer_destroy(orderer_t **self_p, uint32_t linger);

//  The actor (zactor_fn): runs the orderer `args` until $TERM.
//  - On DRAIN it refuses new pushes, and says DRAINED once all that was released to receivers which
//    are there is acknowledged.
//  - On ADD it has another worker, the next one, by the pipe whose pointer follows.
//  - On FRONT it has the front whose pointer follows, and then that of the front's pipe, take its turns in
//    this thread, and ends it at $TERM before it ends itself; on ACCESS it gives that front the table whose pointer follows.
//  - On RULES it takes over the rule_set_t that follows, for clients that come later.
//  - On RESIZE as many workers as follow share the endpoints. Of each that is to have none any more
//    it says RELEASED with its number when that is so; the pipe is then main's again.
void orderer_run(zsock_t *control, void *args);

//  Pushes that the core keeps. When the actor has ended.
uint64_t orderer_kept(const orderer_t *self);

#endif
