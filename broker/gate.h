/*  gate.h - the gate actor: who may connect to the front

    It answers libzmq's ZAP requests out of the table of keys: a peer whose key is in it gets in, and
    its requests carry the key as User-Id. Handshakes that fail before they come so far, for want of
    CURVE or of time, are the door's to count (door.h).

    It must run before the front binds. While it does not answer nobody gets in, because the front
    asks libzmq to enforce that (front.c).                                                        */

#ifndef SEQPUSH_GATE_H
#define SEQPUSH_GATE_H

#include "access.h"
#include "stats.h"
#include <czmq.h>

typedef struct gate gate_t;

#define GATE_DOMAIN "seqpush" //  the ZAP domain of the front

//  Makes the gate, which takes the table. NULL: no memory, or no more sockets; the table then is
//  freed too. Main thread.
gate_t *gate_new(access_t *access, gate_stats_t *stats);

//  After the actor has ended. Takes NULL.
void gate_destroy(gate_t **self_p);

//  The actor (zactor_fn): runs the gate `args` until $TERM. On ACCESS it takes the table whose
//  pointer follows.
void gate_run(zsock_t *control, void *args);

#endif
