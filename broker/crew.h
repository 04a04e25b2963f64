/*  crew.h - the workers as the orderer sees them: their pipes, and who has which endpoint

    Dispatches go out through the crew and come back through it, as reports for the core. An endpoint
    belongs to one worker at a time, the one that carried the least when it was opened.

    The orderer's thread only, and nothing here waits.                                            */

#ifndef SEQPUSH_CREW_H
#define SEQPUSH_CREW_H

#include "core.h"
#include <zmq.h>

typedef struct crew crew_t;

typedef struct {
    core_t *core; //  borrowed
    uint32_t batch_max; //  entries a dispatch
    uint32_t send_hwm; //  frames a PUSH socket
    pipe_t *const *pipes; //  the orderer's ends; borrowed
    unsigned count; //  of workers
    broker_stats_t *stats; //  borrowed
} crew_settings_t;

//  The settings are copied. NULL: no memory.
crew_t *crew_new(const crew_settings_t *settings);

//  Frees it; all endpoints must be closed. Takes NULL.
void crew_destroy(crew_t **self_p);

//  Makes the receiver's endpoint and gives it to a worker.
void crew_open(crew_t *self, receiver_t *receiver);

//  Has the receiver's endpoint closed; it is the receiver's no more.
void crew_close(crew_t *self, receiver_t *receiver);

//  An empty dispatch with room for `batch_max` entries. NULL: no memory.
dispatch_t *crew_new_dispatch(crew_t *self);

//  Sends a dispatch, which leaves the caller, to the worker that has the receiver's endpoint.
void crew_send(crew_t *self, receiver_t *receiver, dispatch_t *dispatch);

//  Gives what came back from the workers to the core. Returns false if nothing did.
bool crew_take_reports(crew_t *self, int64_t now);

//  Flushes the pipes.
void crew_flush(crew_t *self);

//  Writes what to poll for reports, at most STATS_WORKERS_MAX items, and returns how many.
int crew_poll_items(const crew_t *self, zmq_pollitem_t *items);

//  When the workers have ended: takes back dispatches that were left in a pipe; then closes the
//  receiver's endpoint, where what ZeroMQ has taken is given up after `linger` ms.
void crew_take_back(crew_t *self, pipe_item_t *dispatches);
void crew_forget(crew_t *self, receiver_t *receiver, int linger);

#endif
