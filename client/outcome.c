/*  outcome.c - decides the pushes of batches that the broker has answered */

#include "publisher_state.h"

const char *seqpush_outcome_name(seqpush_outcome_t outcome)
{
    static const char *const names[] = {
        "accepted",       "duplicate",           "stale",
        "window_full",    "backlog_full",        "overloaded",
        "epoch_mismatch", "too_large",           "invalid",
        "forbidden",      "storage_unavailable", "shutting_down",
    };
    return (unsigned)outcome < sizeof names / sizeof *names ? names[outcome] : "unknown";
}

static bool s_may_pass(seqpush_outcome_t outcome)
{
    return outcome == SEQPUSH_WINDOW_FULL || outcome == SEQPUSH_BACKLOG_FULL ||
           outcome == SEQPUSH_OVERLOADED || outcome == SEQPUSH_STORAGE_UNAVAILABLE;
}

void outcome_tell(seqpush_publisher_t *self, const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    self->stats.outcomes[outcome]++;
    self->decided++;
    if (self->options.on_outcome)
        self->options.on_outcome(self->options.arg, push, outcome);
}

static void s_report(seqpush_publisher_t *self, const seqpush_push_t *push, size_t size,
                     seqpush_outcome_t outcome)
{
    if (self->options.confirm) {
        confirm_decide(self, push, outcome);
        return;
    }
    publisher_release(self, size);
    outcome_tell(self, push, outcome);
}

static const Seqpush__V1__Rejection *s_rejection_of(verdict_t *verdict, uint32_t index)
{
    if (verdict->rejected_count == 0 || verdict->rejected[0]->index != index)
        return NULL;
    verdict->rejected_count--;
    return *verdict->rejected++;
}

static uint64_t s_assigned_seq(verdict_t *verdict)
{
    if (verdict->assigned_count == 0)
        return 0;
    verdict->assigned_count--;
    return *verdict->assigned++;
}

static void s_decide_push(seqpush_publisher_t *self, const batch_t *batch, seqpush_push_t *push,
                          size_t size, verdict_t *verdict, uint32_t index)
{
    const Seqpush__V1__Rejection *rejection = s_rejection_of(verdict, index);
    seqpush_outcome_t outcome = rejection ? (seqpush_outcome_t)rejection->outcome : verdict->all;
    if ((unsigned)outcome > SEQPUSH_SHUTTING_DOWN)
        outcome = SEQPUSH_INVALID;
    uint64_t assigned = push->seq ? push->seq : s_assigned_seq(verdict);
    bool refused = s_may_pass(outcome);
    if ((refused || batch->fed || push->seq == 0) &&
        lanes_decide(&self->lanes, batch, push, refused, rejection ? rejection->retry_after_ms : 0))
        return;
    push->seq = assigned;
    s_report(self, push, size, outcome);
}

static void s_decide_each(seqpush_publisher_t *self, const batch_t *batch, verdict_t *verdict)
{
    seqpush_push_t push;
    uint32_t index = 0;
    size_t from = 0;
    for (size_t at = 0; batch_next(batch, &at, &push); from = at)
        s_decide_push(self, batch, &push, at - from, verdict, index++);
}

//  Decides a batch that is on the wire. Pushes that nobody needs to look at are only counted.
static void s_decide(seqpush_publisher_t *self, batch_t *batch, verdict_t verdict)
{
    outbox_remove(&self->outbox, batch);
    self->flowing = true;
    if (self->options.on_outcome || self->options.confirm || batch->fed || batch->numberless ||
        verdict.rejected_count || verdict.all != SEQPUSH_ACCEPTED) {
        s_decide_each(self, batch, &verdict);
    } else {
        self->stats.outcomes[SEQPUSH_ACCEPTED] += batch->count;
        self->decided += batch->count;
        self->undecided -= batch->count;
        self->undecided_bytes -= batch->size;
    }
    outbox_recycle(&self->outbox, batch);
}

void outcome_decide(seqpush_publisher_t *self, uint64_t first, uint64_t last, verdict_t verdict)
{
    batch_t *batch = self->outbox.wire;
    while (batch && batch->first_id <= last) {
        batch_t *next = batch->next;
        if (outbox_is_answered(batch, first, last))
            s_decide(self, batch, verdict);
        batch = next;
    }
}
