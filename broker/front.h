/*  front.h - the front: requests in, replies out

    It owns the ROUTER socket and all that is known of peers. A request is read, checked and passed
    to the orderer as long as the pipe has credit; then the front leaves what comes in with ZeroMQ,
    and TCP slows the peers down. Replies are sent as they come back, and a peer that does not read
    them loses them, never anybody's time.

    It takes its turns in the orderer's thread, where a push costs no wake-up between the two, or in one
    of its own, where the two work at once. Only that thread may call what says so.                */

#ifndef SEQPUSH_FRONT_H
#define SEQPUSH_FRONT_H

#include "access.h"
#include "certificate.h"
#include "request.h"
#include <czmq.h>

typedef struct front front_t;

typedef struct {
    const char *const *bind; //  endpoints
    size_t bind_count;
    request_limits_t limits;
    uint32_t publisher_credit; //  pushes undecided a peer
    bool paced; //  the disk decides when: see pace.h
    uint32_t publisher_rate; //  pushes a second; 0: as many as it likes
    uint32_t handshake_timeout; //  ms
    uint32_t connections_max;
    uint32_t unread_max; //  bytes of replies that a peer has not read
    const certificate_t *curve; //  the broker's keys, read by front_new alone; NULL: no CURVE
    access_t *access; //  with `curve`: whose requests are taken; the front's from then on
    uint64_t instance;
    pipe_t *orderer; //  borrowed; the front's end
    front_stats_t *stats; //  borrowed
} front_settings_t;

//  Makes the front and binds its socket. With CURVE a gate must run already (gate.h). On failure returns NULL and sets `*error` to a sentence
//  that the caller frees. Main thread.
front_t *front_new(const front_settings_t *settings, char **error);

//  The bound endpoints, wildcards resolved, separated by commas. Owned by the front.
const char *front_endpoints(const front_t *self);

//  After the actor has ended. Replies that ZeroMQ has taken have `linger` ms to leave.
void front_destroy(front_t **self_p, uint32_t linger);

//  Begins a turn: replies out. Returns false if there were none; if nothing is read either, it waits until
//  the pipe or one of the items has something, or the timeout is up. Its thread.
bool front_turn(front_t *self);

//  Reads a few requests and passes them to the orderer, which decides them best before more are read.
//  Returns false if there are none, or enough were read in this turn. Its thread.
bool front_read(front_t *self);

//  Its end of the pipe to the orderer, to wait for. Owned by the front. Its thread.
pipe_t *front_pipe(const front_t *self);

//  What it waits for beside the pipe. Returns how many items those are. Its thread.
#define FRONT_ITEMS 2
int front_items(const front_t *self, zmq_pollitem_t items[FRONT_ITEMS]);

//  How long it may wait, in ms; -1: for ever. Its thread.
long front_timeout(const front_t *self);

//  Takes the next table of keys. Its thread.
void front_admit(front_t *self, access_t *access);

//  Begins the end: turns go on, in which it reads requests as long as they come, for a moment. It has
//  ended when all that it has read is decided and answered, which needs the orderer. Its thread.
void front_end(front_t *self);
bool front_ended(const front_t *self);

//  The actor (zactor_fn): runs the front `args` in a thread of its own until $TERM, and then to its end.
//  On ACCESS it takes the table whose pointer follows.
void front_run(zsock_t *control, void *args);

#endif
