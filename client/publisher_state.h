/*  publisher_state.h - what a publisher consists of, for the files that it is made of

    publisher.c makes it and takes pushes in, publisher_poll.c lets it work, publisher_reply.c reads
    what the broker says, outcome.c decides pushes, and ask.c does Skip and Reset.                */

#ifndef SEQPUSH_PUBLISHER_STATE_H
#define SEQPUSH_PUBLISHER_STATE_H

#include "lane.h"
#include "socket.h"

//  A request_id with this bit is a Skip's or a Reset's. PushBatches count on without a gap, because
//  one PushAck may cover the last n of them.
#define ASK_ID ((uint64_t)1 << 63)

//  The answer to a Skip or Reset.
typedef struct {
    uint64_t request_id; //  0: none is waited for
    int rc; //  1 until it is there
    uint64_t epoch;
    uint64_t seq;
} ask_t;

struct seqpush_publisher {
    seqpush_publisher_options_t options;
    void *socket;
    outbox_t outbox;
    lanes_t lanes;
    batch_t *open; //  takes what is handed in, or NULL

    size_t undecided; //  pushes taken and without an outcome
    size_t undecided_bytes; //  bytes of them
    uint64_t decided; //  pushes that got an outcome, ever
    bool flowing; //  something was decided since the last wait

    uint64_t last_ask_id;
    ask_t ask;
    seqpush_publisher_stats_t stats;
};

//  What a reply says of a batch: `all` for each push that `rejected` does not name.
typedef struct {
    seqpush_outcome_t all;
    Seqpush__V1__Rejection **rejected;
    size_t rejected_count;
    const uint64_t *assigned;
    size_t assigned_count;
} verdict_t;

//  Does all that can be done without waiting. Returns 0 or a negative errno.
int publisher_turn(seqpush_publisher_t *self);

//  Waits for a reply, or until something is due, up to the monotonic time `until` in ms (-1: for
//  ever). Returns 0 or a negative errno.
int publisher_wait(seqpush_publisher_t *self, int64_t until);

//  Takes in what the broker has said. Returns 0 or a negative errno.
int publisher_take_replies(seqpush_publisher_t *self);

//  Decides the batches that were sent under the ids first..last. Callbacks may hand in more
//  meanwhile, which only appends to the wire.
void outcome_decide(seqpush_publisher_t *self, uint64_t first, uint64_t last, verdict_t verdict);

//  Notes the answer to a Skip or Reset: 0, or a negative errno. The position may be NULL.
void ask_answer(seqpush_publisher_t *self, uint64_t request_id, int rc,
                const Seqpush__V1__Position *position);

//  Pushes that do not wait in lanes.
static inline size_t publisher_moving(const seqpush_publisher_t *self)
{
    return self->undecided - self->lanes.held;
}

#endif
