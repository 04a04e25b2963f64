/*  door.h - the front's connections: how many there are, which handshakes failed, and no more than allowed

    libzmq accepts whoever connects, and at the last descriptor its I/O thread spins. So the door
    listens to what libzmq tells of connections, and hangs up on those that are too many; peers
    come back by themselves. Connections that are there are left alone.

    The front's thread only, and nothing here waits.                                              */

#ifndef SEQPUSH_DOOR_H
#define SEQPUSH_DOOR_H

#include "stats.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct door door_t;

//  Makes the door of a socket that is not bound yet. At most `connections_max` are let in. NULL: no
//  memory, or no more sockets.
door_t *door_new(void *router, uint32_t connections_max, front_stats_t *stats);

//  Before the socket is closed. Takes NULL.
void door_destroy(door_t **self_p);

//  Takes in what there is to know.
void door_look(door_t *self);

//  The number of the connection that has this descriptor, as far as the door has looked; it is never given
//  again. 0: none is known.
uint64_t door_connection(const door_t *self, int descriptor);

//  Hangs up on a connection by its descriptor, and counts it as refused; -1: it is gone already.
void door_hang_up(door_t *self, int descriptor);

//  The socket to poll. Owned by the door.
void *door_socket(const door_t *self);

#endif
