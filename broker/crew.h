/*  crew.h - the workers as the orderer sees them: their pipes, and who has which endpoint

    Dispatches go out through the crew and come back through it, as reports for the core. An endpoint
    belongs to one worker at a time, the one that carried the least when it was opened.

    Workers come and go while the broker runs. An endpoint moves in two steps: its worker yields it,
    in its turn behind all that it was sent, and another one adopts it, before all that follows. So
    order holds, and nobody waits but what is for that endpoint.

    The orderer's thread only, and nothing here waits.                                            */

#ifndef SEQPUSH_CREW_H
#define SEQPUSH_CREW_H

#include "certificate.h"
#include "core.h"
#include <zmq.h>

typedef struct crew crew_t;

typedef struct {
    core_t *core; //  borrowed
    uint32_t batch_max; //  entries a dispatch
    uint32_t send_hwm; //  frames a PUSH socket
    const certificate_t *curve; //  the broker's keys; NULL: no CURVE; borrowed
    broker_stats_t *stats; //  borrowed
} crew_settings_t;

//  A crew without workers. The settings are copied. NULL: no memory.
crew_t *crew_new(const crew_settings_t *settings);

//  Frees it; all endpoints must be closed. Takes NULL.
void crew_destroy(crew_t **self_p);

//  Adds the next worker, by the orderer's end of its pipe, which is borrowed until crew_release. It
//  gets endpoints that are opened from now on, and with crew_resize its share of the others.
void crew_add(crew_t *self, pipe_t *pipe);

//  The first `count` workers are to share the endpoints, as evenly as can be, and the others are to
//  have none. At least one; those that are to leave must have been released before the next add.
void crew_resize(crew_t *self, unsigned count);

//  Lets go of a worker that was to leave and has nothing any more. Returns its number, or -1.
int crew_release(crew_t *self);

//  Makes the receiver's endpoint and gives it to the worker that carries the least.
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

//  Begins to wait for reports: writes what to poll, at most STATS_WORKERS_MAX items, and how many.
//  False: do not wait, but end. Ends it, with what the poll has said of them.
bool crew_begin_wait(crew_t *self, zmq_pollitem_t *items, int *count);
void crew_end_wait(crew_t *self, const zmq_pollitem_t *items);

//  When the workers have ended: takes back dispatches that were left in a pipe; then closes the
//  receiver's endpoint, where what ZeroMQ has taken is given up after `linger` ms.
void crew_take_back(crew_t *self, pipe_item_t *dispatches);
void crew_forget(crew_t *self, receiver_t *receiver, int linger);

#endif
