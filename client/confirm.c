/*  confirm.c - hears what became of pushes that the broker has taken, and asks again where it may not

    The broker tells a connection of the pushes that came over it, once. So they are offered again
    after a reconnect, to a new run of the broker, and when nothing was heard of them for very
    long; the broker knows a duplicate, and remembers who wants to hear of it.                    */

#include "publisher_state.h"
#include <assert.h>

//  A push of which nothing is heard is offered again after this many times reply_timeout, and after
//  a minute at most: the broker forgets a peer that says nothing for two.
#define PATIENCE 30
#define PATIENCE_MAX 60000 //  ms

//  Notes when, and over which connection, the broker was asked last.
static void s_note_asked(unconfirmed_push_t *at, uint64_t connection)
{
    at->asked_at = socket_clock();
    at->connection = connection;
}

//  ---- handing in --------------------------------------------------------------------------------

bool confirm_expect(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    unconfirmed_push_t *at = unconfirmed_get(&self->unconfirmed, push);
    if (!at)
        return false;
    unconfirmed_leave(&self->unconfirmed, at);
    at->offers++;
    at->owed++;
    return true;
}

//  A push that is no longer under way waits, or goes if nothing more is to be heard of it.
static void s_settle(seqpush_publisher_t *self, unconfirmed_push_t *at)
{
    if (at->offers)
        return;
    if (at->taken)
        unconfirmed_wait(&self->unconfirmed, at);
    else
        unconfirmed_remove(&self->unconfirmed, at);
}

void confirm_cancel(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    unconfirmed_push_t *at = unconfirmed_find(&self->unconfirmed, push);
    at->offers--;
    at->owed--;
    s_settle(self, at);
}

//  ---- the end of a push -------------------------------------------------------------------------

static void s_tell(seqpush_publisher_t *self, const seqpush_push_t *push, bool given_up)
{
    self->stats.delivered += !given_up;
    self->stats.given_up += given_up;
    self->decided++;
    publisher_release(self, batch_push_size(push));
    if (self->options.on_delivered)
        self->options.on_delivered(self->options.arg, push->client_id, push->client_id_size,
                                   push->epoch, push->seq, given_up);
}

//  Ends a push that waits. The callback may hand in the same again, so it is out before that.
static void s_end(seqpush_publisher_t *self, unconfirmed_push_t *at, bool given_up)
{
    uint8_t id[SEQPUSH_ID_MAX];
    seqpush_push_t push = unconfirmed_view(at);
    memcpy(id, push.client_id, push.client_id_size);
    push.client_id = id;
    push.payload = NULL;
    unconfirmed_remove(&self->unconfirmed, at);
    s_tell(self, &push, given_up);
}

//  Ends a push that was confirmed before the broker had answered it.
static void s_end_if_heard(seqpush_publisher_t *self, const seqpush_push_t *push)
{
    unconfirmed_push_t *at = unconfirmed_find(&self->unconfirmed, push);
    if (at && unconfirmed_waits(at) && at->heard_in == at->connection)
        s_end(self, at, false);
}

//  ---- outcomes ----------------------------------------------------------------------------------

//  The application hears this outcome. If it is a good one its push waits from now on, unless there
//  was the same before.
static void s_decide_new(seqpush_publisher_t *self, unconfirmed_push_t *at,
                         const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    bool good = outcome == SEQPUSH_ACCEPTED || outcome == SEQPUSH_DUPLICATE;
    bool waits = good && !at->taken;
    at->owed--;
    at->taken |= good;
    s_settle(self, at);
    if (!waits)
        publisher_release(self, batch_push_size(push));
    outcome_tell(self, push, outcome);
}

//  True if the broker will not have a push that it had before, and never will.
static bool s_is_given_up(seqpush_outcome_t outcome)
{
    return outcome == SEQPUSH_STALE || outcome == SEQPUSH_EPOCH_MISMATCH ||
           outcome == SEQPUSH_TOO_LARGE || outcome == SEQPUSH_INVALID ||
           outcome == SEQPUSH_FORBIDDEN;
}

static void s_decide_again(seqpush_publisher_t *self, unconfirmed_push_t *at,
                           const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    bool given_up = at->taken && s_is_given_up(outcome);
    if (given_up)
        at->taken = false;
    s_settle(self, at);
    if (given_up)
        s_tell(self, push, true);
}

void confirm_decide(seqpush_publisher_t *self, const seqpush_push_t *push,
                    seqpush_outcome_t outcome, uint64_t connection)
{
    unconfirmed_push_t *at = unconfirmed_find(&self->unconfirmed, push);
    assert(at && at->offers);
    at->offers--;
    s_note_asked(at, connection);
    if (at->owed)
        s_decide_new(self, at, push, outcome);
    else
        s_decide_again(self, at, push, outcome);
    s_end_if_heard(self, push);
}

//  ---- what is delivered -------------------------------------------------------------------------

static void s_on_given_up(seqpush_publisher_t *self, const Seqpush__V1__Position *position)
{
    seqpush_push_t push = {
        position->client_id.data, position->client_id.len, position->epoch, position->seq, NULL, 0};
    unconfirmed_push_t *at = unconfirmed_find(&self->unconfirmed, &push);
    if (at && unconfirmed_waits(at))
        s_end(self, at, true);
}

//  Everything of the client up to the position, in this epoch and sent over this connection, has
//  been acknowledged. What is under way ends when it is answered.
static void s_on_position(seqpush_publisher_t *self, const Seqpush__V1__Position *position)
{
    unconfirmed_push_t *at =
        unconfirmed_first(&self->unconfirmed, position->client_id.data, position->client_id.len);
    while (at && (at->epoch < position->epoch ||
                  (at->epoch == position->epoch && at->seq <= position->seq))) {
        unconfirmed_push_t *next = at->next;
        if (at->epoch == position->epoch && at->offers)
            at->heard_in = self->outbox.connection;
        else if (at->epoch == position->epoch && at->connection == self->outbox.connection)
            s_end(self, at, false);
        at = next;
    }
}

void confirm_delivered(seqpush_publisher_t *self, const Seqpush__V1__Delivered *delivered)
{
    for (size_t i = 0; i < delivered->n_given_up; i++)
        s_on_given_up(self, delivered->given_up[i]);
    for (size_t i = 0; i < delivered->n_positions; i++)
        s_on_position(self, delivered->positions[i]);
}

//  ---- offering again ----------------------------------------------------------------------------

void confirm_note_connection(seqpush_publisher_t *self)
{
    if (!socket_was_connected(self->monitor))
        return;
    self->outbox.connection += self->connected;
    self->reconnected |= self->connected;
    self->connected = true;
}

void confirm_note_instance(seqpush_publisher_t *self, uint64_t instance)
{
    if (self->instance && instance != self->instance && !self->reconnected)
        self->outbox.connection++;
    self->instance = instance;
    self->reconnected = false;
}

static int64_t s_due_at(const seqpush_publisher_t *self, const unconfirmed_push_t *at)
{
    if (at->connection != self->outbox.connection)
        return 0;
    int64_t patience = (int64_t)PATIENCE * self->options.reply_timeout;
    return at->asked_at + (patience < PATIENCE_MAX ? patience : PATIENCE_MAX);
}

//  Hands a push in once more. Without memory for that it waits its time again.
static bool s_offer(seqpush_publisher_t *self, unconfirmed_push_t *at)
{
    seqpush_push_t push = unconfirmed_view(at);
    unconfirmed_leave(&self->unconfirmed, at);
    bool offered = publisher_hand_in(self, &push) == 0;
    at->offers += offered;
    self->offered_again += offered;
    s_note_asked(at, self->outbox.connection);
    s_settle(self, at);
    return offered;
}

bool confirm_repair(seqpush_publisher_t *self, const Seqpush__V1__Repair *repair)
{
    bool any = false;
    unconfirmed_push_t *at =
        unconfirmed_first(&self->unconfirmed, repair->client_id.data, repair->client_id.len);
    for (; at; at = at->next) {
        if (at->epoch != repair->epoch || at->seq < repair->from || at->seq > repair->to)
            continue;
        any = true;
        if (unconfirmed_waits(at))
            s_offer(self, at);
    }
    return any;
}

void confirm_turn(seqpush_publisher_t *self, int64_t now)
{
    //  No more than the outbox takes: what is sealed is there a second time.
    for (bool offered = true; offered && self->unconfirmed.queue && !self->outbox.sealed;)
        offered = s_due_at(self, self->unconfirmed.queue) <= now &&
                  s_offer(self, self->unconfirmed.queue);
}

int64_t confirm_due_at(const seqpush_publisher_t *self)
{
    const unconfirmed_push_t *first = self->unconfirmed.queue;
    return first && !self->outbox.sealed ? s_due_at(self, first) : -1;
}
