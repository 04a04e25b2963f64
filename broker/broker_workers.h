/*  broker_workers.h - a broker's workers: started, resized (broker_resize), taken apart

    Main thread. */

#ifndef SEQPUSH_BROKER_WORKERS_H
#define SEQPUSH_BROKER_WORKERS_H

#include "broker_state.h"

//  Starts as many as are configured: false if there is no memory, or no more sockets.
bool broker_workers_start(broker_t *self);

//  The orderer, which has just said so, has let go of a worker that has no endpoint any more.
void broker_workers_released(broker_t *self);

//  Asks all for a sign of life. Returns false if one has not given the last one.
bool broker_workers_ask(broker_t *self);

//  Ends their threads; then gives back what is in their pipes; then frees them.
void broker_workers_stop(broker_t *self);
void broker_workers_empty_pipes(broker_t *self);
void broker_workers_destroy(broker_t *self);

#endif
