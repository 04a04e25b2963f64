/*  front_fixture.h - a broker's front that a test plays, step by step

    It is a ROUTER socket on an ipc endpoint in a folder of its own, so that no other process can
    have it when the broker comes back. Requests are read and replies written with protobuf-c. */

#ifndef FRONT_FIXTURE_H
#define FRONT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "seqpush.pb-c.h"
#include <stdbool.h>
#include <zmq.h>

#define PATIENCE 10000 //  ms until a test that waits has failed

typedef Seqpush__V1__Request request_t;
typedef Seqpush__V1__Reply reply_t;
typedef Seqpush__V1__Position wire_position_t;

typedef struct {
    void *context, *router;
    char folder[64];
    char endpoint[96];
    uint8_t peer[16]; //  whose request was read last, and who gets the replies
    size_t peer_size;
    uint64_t instance; //  that replies carry
    uint8_t *frame; //  the last request as it came
    size_t frame_size;
} front_t;

void front_init(front_t *self);
void front_fini(front_t *self);

//  Ends this run of the broker and begins another one at the same endpoint. No socket but the
//  front's own may be left in its context.
void front_restart(front_t *self);

//  True if a request is there, or comes within `timeout` ms.
bool front_has_request(front_t *self, int timeout);

//  Reads a request that is there; front_free frees it.
request_t *front_receive(front_t *self);
void front_free(request_t *request);

//  Sends bytes, or a reply, to the peer whose request was read last.
void front_send(front_t *self, const void *bytes, size_t size);
void front_reply(front_t *self, reply_t *reply);
void front_reply_error(front_t *self, uint64_t id, char *code);

//  A position from "a5", or "a2/5" in epoch 2; it points into the text.
wire_position_t front_position(const char *text);

//  Monotonic ms.
int64_t front_now(void);

//  The next of the numbers that follow from a seed.
uint64_t front_random(uint64_t *seed);

#endif
