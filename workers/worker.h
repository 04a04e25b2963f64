/*  worker.h - the sender worker: an actor that has PUSH sockets and nothing else

    It takes dispatches from the orderer, sends what waits for each endpoint as one Delivery
    whenever it gets to it, and gives the dispatches back as reports. It never blocks: an endpoint
    that would is set aside and tried again while the others are served. It yields and adopts
    endpoints as the orderer says, and holds nothing else: with its last endpoint gone it may end.  */

#ifndef SEQPUSH_WORKER_H
#define SEQPUSH_WORKER_H

#include "pipe.h"
#include "stats.h"
#include <czmq.h>

typedef struct worker worker_t;

typedef struct {
    unsigned number;
    uint32_t batch_max; //  entries a Delivery
    uint32_t batch_bytes; //  bytes a Delivery
    pipe_t *orderer; //  borrowed; the worker's end
    worker_stats_t *stats; //  borrowed
} worker_settings_t;

//  Main thread; nothing runs yet. NULL: no memory.
worker_t *worker_new(const worker_settings_t *settings);

//  After the actor has ended: gives back what is left over the pipe's end, frees the worker.
void worker_destroy(worker_t **self_p);

//  The actor (zactor_fn): runs the worker `args` until $TERM.
void worker_run(zsock_t *control, void *args);

#endif
