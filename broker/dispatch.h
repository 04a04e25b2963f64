/*  dispatch.h - what the orderer gives to a worker, and gets back as a report of what became of it

    A dispatch of pushes is for one endpoint. It holds a reference to the frame of every push in it,
    so that the bytes stay while the worker has it, whatever the orderer forgets meanwhile; only the
    orderer counts the references, when it fills a dispatch and when it has it back. The worker
    returns the dispatches of an endpoint in the order in which it got them.

    An endpoint may move to another worker, by way of the orderer. What waits for it goes along and
    comes back from its new worker, still in order.                                               */

#ifndef SEQPUSH_DISPATCH_H
#define SEQPUSH_DISPATCH_H

#include "frame.h"
#include "pipe.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    DISPATCH_PUSHES,
    DISPATCH_OPEN, //  make the endpoint's socket and connect it
    DISPATCH_CLOSE, //  close it; what waits for it comes back unsent, then this
    DISPATCH_YIELD, //  give it up as it is, with its socket and all that waits: it moves on
    DISPATCH_ADOPT, //  take one that another worker has yielded
} dispatch_kind_t;

//  One entry of a Delivery: a push, a gap notice or a marker, encoded as field 1 of it.
typedef struct {
    frame_t *frame; //  holds `bytes`
    const uint8_t *bytes; //  tag, length, Push
    struct client *client; //  where a report counts as the ack (ACK_NONE), else NULL; orderer only
    uint32_t session; //  the client's session then; orderer only
    uint32_t size; //  of `bytes`
} dispatch_entry_t;

typedef struct {
    pipe_item_t item;
    dispatch_kind_t kind;
    bool sent; //  report: ZeroMQ has taken it
    struct endpoint *endpoint; //  the worker's
    struct seat *seat; //  the orderer's
    struct receiver *receiver; //  the orderer's; the worker does not look into it
    uint64_t generation;
    bool passthrough; //  goes out in a Delivery of generation 0
    uint32_t count;
    uint32_t next; //  the worker's: entries before this one are sent
    uint32_t bytes; //  of all entries
    dispatch_entry_t entries[];
} dispatch_t;

#endif
