/*  front.h - the front actor: requests in, replies out

    It owns the ROUTER socket and all that is known of peers. A request is read, checked and passed
    to the orderer as long as the pipe has credit; then the front leaves what comes in with ZeroMQ,
    and TCP slows the peers down. Replies are sent as they come back, and a peer that does not read
    them loses them, never anybody's time.                                                        */

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

//  The actor (zactor_fn): runs the front `args` until $TERM. Then it answers what has come in, which
//  needs the orderer still, and ends. On ACCESS it takes the table whose pointer follows.
void front_run(zsock_t *control, void *args);

#endif
