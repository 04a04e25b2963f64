/*  endpoint.h - one PUSH socket and what waits for it

    A receiver's endpoint has one PUSH socket for one generation, so what was queued for a dead
    predecessor goes with its socket. The orderer makes the object and gives it to a worker with a
    DISPATCH_OPEN; from then on it is the worker's until the DISPATCH_CLOSE comes back. A
    DISPATCH_YIELD takes it from one worker, a DISPATCH_ADOPT gives it to another: the socket moves
    between threads behind the fence of the pipes, as ZeroMQ allows.                              */

#ifndef SEQPUSH_ENDPOINT_H
#define SEQPUSH_ENDPOINT_H

#include "certificate.h"
#include "dispatch.h"
#include <stdint.h>

typedef struct endpoint endpoint_t;

typedef enum {
    ENDPOINT_IDLE, //  nothing waits
    ENDPOINT_SENT, //  ZeroMQ took a Delivery
    ENDPOINT_WOULD_BLOCK, //  it did not; try again later
    ENDPOINT_FAILED, //  the socket cannot be made or used now; try again later
} endpoint_result_t;

//  What a send did.
typedef struct {
    uint32_t messages; //  entries in the Delivery
    uint32_t bytes; //  of the Delivery
    int64_t duration; //  ns, of the socket call
} endpoint_send_t;

typedef struct {
    const char *address; //  copied
    uint64_t generation;
    uint32_t send_hwm; //  frames
    const certificate_t *curve; //  the broker's keys, borrowed; NULL: plaintext
    const char *server_key; //  the receiver's, with `curve`; copied
} endpoint_settings_t;

//  Makes an endpoint without a socket. NULL: no memory.
endpoint_t *endpoint_new(const endpoint_settings_t *settings);

//  Frees it; it must be closed. Takes NULL.
void endpoint_destroy(endpoint_t **self_p);

//  Makes the PUSH socket and connects it. Returns 0 or a negative errno; endpoint_send tries again.
int endpoint_open(endpoint_t *self);

//  Closes the socket; what ZeroMQ has taken is given up after `linger` ms. Gives back the chain of what
//  waits here, unsent.
pipe_item_t *endpoint_close(endpoint_t *self, int linger);

//  Adds a dispatch to what waits. It is the endpoint's until endpoint_done or endpoint_close gives
//  it back.
void endpoint_put(endpoint_t *self, dispatch_t *dispatch);

//  Entries that wait.
uint64_t endpoint_backlog(const endpoint_t *self);

//  Sends what waits as one Delivery of up to `batch_max` entries and `batch_bytes` bytes; a larger
//  entry travels alone. Never blocks.
endpoint_result_t endpoint_send(endpoint_t *self, uint32_t batch_max, uint32_t batch_bytes,
                                endpoint_send_t *send);

//  Takes the oldest dispatch if all of it was sent, marked as sent; else NULL.
dispatch_t *endpoint_done(endpoint_t *self);

//  The endpoint would block: says when to try again, later each time. And when that was.
int64_t endpoint_put_off(endpoint_t *self, int64_t now);
int64_t endpoint_retry_at(const endpoint_t *self);

const char *endpoint_address(const endpoint_t *self);

//  For the worker's lists.
endpoint_t *endpoint_next(const endpoint_t *self);
void endpoint_set_next(endpoint_t *self, endpoint_t *next);

#endif
