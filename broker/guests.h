/*  guests.h - the connections to the http server: when there are too many, the idlest goes

    A peer that connects and hangs holds a place, and a thread. It is sent away when somebody else needs
    the place, so that those who ask are answered however many hang. The http threads'.             */

#ifndef SEQPUSH_GUESTS_H
#define SEQPUSH_GUESTS_H

#include <pthread.h>
#include <stdbool.h>

typedef struct guest guest_t;

typedef struct {
    pthread_mutex_t lock;
    guest_t *idlest; //  who has waited for longest first
    unsigned count;
    unsigned max;
} guests_t;

//  So many may stay.
void guests_init(guests_t *self, unsigned max);

//  When all have left.
void guests_fini(guests_t *self);

//  Somebody has connected. NULL: no memory, and nothing is known of it.
guest_t *guests_enter(guests_t *self, int fd);

//  Its request is being answered, and it is not sent away; or that has been done. `guest` may be NULL.
void guests_set_busy(guests_t *self, guest_t *guest, bool busy);

//  Its descriptor is about to be closed. Takes NULL.
void guests_leave(guests_t *self, guest_t *guest);

#endif
