/*  lane.h - clients of which a publisher holds pushes back

    Most clients never have a lane. One comes into being when a push of the client is refused
    for a bound that may pass, or when the broker numbers the client's pushes. In it wait, in
    order, what was refused and what came after that; the lane lets only a few out until the
    broker takes them, so that refusals do not become a storm, and one client's bound costs no
    other client anything.

    Of a client that the broker numbers only one batch may be under way: were an earlier one
    refused and a later one taken, the order would be lost. Sequenced pushes have no such need.

    One thread at a time; nothing blocks.                                                         */

#ifndef SEQPUSH_LANE_H
#define SEQPUSH_LANE_H

#include "outbox.h"

//  uthash must not end the process when memory does.
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef struct lane_push lane_push_t;

typedef struct lane {
    struct lane *prev; //  in the list of lanes that pause
    struct lane *next;
    lane_push_t *waiting; //  ascending by epoch, then order
    lane_push_t *last_refused; //  that was taken back, or NULL: near it the next one belongs
    uint32_t sent; //  pushes let out and not yet decided
    uint32_t allowance; //  pushes that may be let out undecided
    uint64_t serial; //  of the last batch that took one
    uint64_t handed_in; //  pushes without a number, which is the order of the next one
    uint64_t deciding; //  the order of the first one that is let out and not yet decided
    uint64_t low_epoch; //  the first place that was held back: what comes before it fills a
    uint64_t low_order; //  hole, and does not wait
    bool pausing; //  in the list of those that pause
    uint32_t pause; //  ms, doubled from pause to pause; 0 after a push was taken
    int64_t due; //  monotonic ms when the pause ends
    UT_hash_handle hh;
    uint8_t id_size;
    uint8_t id[SEQPUSH_ID_MAX];
} lane_t;

//  All lanes of a publisher; begin with zeros and the outbox.
typedef struct {
    outbox_t *outbox;
    lane_t *table;
    lane_t *pausing; //  ascending by due
    batch_t *fed; //  takes what lanes let out, or NULL
    size_t held; //  pushes that wait
    size_t held_bytes; //  bytes of them
    uint64_t retries; //  pushes let out again after a refusal
} lanes_t;

//  Frees the lanes.
void lanes_fini(lanes_t *self);

//  The lane of a push's client, or NULL.
lane_t *lanes_find(const lanes_t *self, const seqpush_push_t *push);

//  The same, made if there is none. NULL: no memory.
lane_t *lanes_get(lanes_t *self, const seqpush_push_t *push);

//  Takes in a push whose client has this lane: it waits its turn. Returns false if there is no
//  memory.
bool lanes_put(lanes_t *self, lane_t *lane, const seqpush_push_t *push);

//  Lets out what pauses no longer.
void lanes_wake(lanes_t *self, int64_t now);

//  The broker misses pushes of a client: its lane, if the first that waits there is one of them, pauses
//  no longer. Returns true if that is so.
bool lanes_repair(lanes_t *self, const seqpush_push_t *first, uint64_t last);

//  Decides a push of a batch that a lane let out, or that is refused. A refused push is taken back,
//  to be tried again after `retry_after_ms`, or after a time of the lane's own if that is 0.
//  Returns true if it was; false if it is decided for good, or there is no memory to keep it.
bool lanes_decide(lanes_t *self, const batch_t *batch, const seqpush_push_t *push, bool refused,
                  uint32_t retry_after_ms);

//  True if a place comes before everything that was ever held back here.
static inline bool lane_is_behind(const lane_t *self, uint64_t epoch, uint64_t seq)
{
    return epoch < self->low_epoch || (epoch == self->low_epoch && seq < self->low_order);
}

//  True if a push without a number may go straight into a batch: nothing of its client waits, nor
//  is under way in another one.
static inline bool lane_may_pass(const lane_t *self, const batch_t *batch)
{
    return !self->waiting && (!self->sent || self->serial == batch->serial);
}

//  Notes that a push without a number went straight into a batch.
void lane_pass(lane_t *self, const batch_t *batch);

#endif
