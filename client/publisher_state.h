/*  publisher_state.h - what a publisher consists of, for the files that it is made of

    publisher.c makes it and takes pushes in, publisher_poll.c lets it work, publisher_reply.c reads
    what the broker says, outcome.c decides pushes, confirm.c follows them to their receivers, repair.c
    sends what the broker misses, and ask.c does Skip and Reset.                                  */

#ifndef SEQPUSH_PUBLISHER_STATE_H
#define SEQPUSH_PUBLISHER_STATE_H

#include "lane.h"
#include "socket.h"
#include "unconfirmed.h"

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

    size_t undecided; //  pushes of which the application is still to be told something
    size_t undecided_bytes; //  bytes of them
    uint64_t decided; //  times that it was told something
    bool flowing; //  something was decided since the last wait

    unconfirmed_t unconfirmed; //  empty but with options.confirm, as is what follows
    void *monitor; //  tells when the socket is connected
    bool connected; //  it has been, at least once
    bool reconnected; //  since the last reply
    uint64_t instance; //  of the broker, 0 before its first reply
    uint64_t offered_again; //  pushes

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

//  Puts a push into a batch, or into its client's lane if it has to wait. Returns 0 or -ENOMEM.
int publisher_hand_in(seqpush_publisher_t *self, const seqpush_push_t *push);

//  Notes that nothing more is to be told of a push that takes `size` bytes in a batch.
static inline void publisher_release(seqpush_publisher_t *self, size_t size)
{
    self->undecided--;
    self->undecided_bytes -= size;
}

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

//  Counts an outcome and tells the application.
void outcome_tell(seqpush_publisher_t *self, const seqpush_push_t *push, seqpush_outcome_t outcome);

//  A push is about to be handed in of which the application wants to hear. Returns false if there
//  is no memory. confirm_cancel takes it back.
bool confirm_expect(seqpush_publisher_t *self, const seqpush_push_t *push);
void confirm_cancel(seqpush_publisher_t *self, const seqpush_push_t *push);

//  Decides a push that came through confirm_expect, or was offered again, and was sent over this
//  connection.
void confirm_decide(seqpush_publisher_t *self, const seqpush_push_t *push,
                    seqpush_outcome_t outcome, uint64_t connection);

//  Takes in what the broker says of pushes that it had taken.
void confirm_delivered(seqpush_publisher_t *self, const Seqpush__V1__Delivered *delivered);

//  Notes which run of the broker a reply is from, before anything else of it is looked at.
void confirm_note_instance(seqpush_publisher_t *self, uint64_t instance);

//  Notes a new connection, before anything is read.
void confirm_note_connection(seqpush_publisher_t *self);

//  Offers again what has to be; and when that will be the case, -1: never, or not before the outbox
//  takes more.
void confirm_turn(seqpush_publisher_t *self, int64_t now);
int64_t confirm_due_at(const seqpush_publisher_t *self);

//  Offers again what waits in a range of seqs. Returns true if there is a push of the range, waiting or
//  not.
bool confirm_repair(seqpush_publisher_t *self, const Seqpush__V1__Repair *repair);

//  Sends what is kept of the pushes that the broker misses; of what is not, the application is told.
void repair_take(seqpush_publisher_t *self, const Seqpush__V1__Repair *repair);

//  Notes the answer to a Skip or Reset: 0, or a negative errno. The position may be NULL.
void ask_answer(seqpush_publisher_t *self, uint64_t request_id, int rc,
                const Seqpush__V1__Position *position);

//  Pushes that wait neither in lanes nor for a receiver.
static inline size_t publisher_moving(const seqpush_publisher_t *self)
{
    return self->undecided - self->lanes.held - self->unconfirmed.waiting;
}

#endif
