/*  repair.c - sends what the broker misses, as far as the publisher keeps it

    What is not sent yet goes out by itself. What has no reply may be lost with its connection, and a
    push that was refused may wait for longer than it has to: both go now. With `confirm` a push that
    the broker has taken is kept, too.                                                            */

#include "publisher_state.h"

#define OLDEST 1024 //  pushes on the wire that are looked through for a repair

//  True if a batch holds a push that the broker misses.
static bool s_has(const batch_t *batch, const Seqpush__V1__Repair *repair)
{
    seqpush_push_t push;
    for (size_t at = 0; batch_next(batch, &at, &push);)
        if (push.seq >= repair->from && push.seq <= repair->to && push.epoch == repair->epoch &&
            push.client_id_size == repair->client_id.len &&
            memcmp(push.client_id, repair->client_id.data, push.client_id_size) == 0)
            return true;
    return false;
}

//  True if it has such a push that was not sent, or a moment ago.
static bool s_will_send(const seqpush_publisher_t *self, const Seqpush__V1__Repair *repair)
{
    const batch_t *lists[] = {self->outbox.sealed, self->outbox.wire};
    for (int i = 0; i < 2; i++)
        for (const batch_t *batch = lists[i]; batch; batch = batch->next)
            if (s_has(batch, repair))
                return true;
    return (self->open && s_has(self->open, repair)) ||
           (self->lanes.fed && s_has(self->lanes.fed, repair));
}

//  Looks at the oldest on the wire alone. What came after them is less likely to be lost, and goes again by
//  itself when its reply is overdue. Batches stand in the order in which they were sent first.
static bool s_send_again(outbox_t *outbox, const Seqpush__V1__Repair *repair)
{
    int64_t now = socket_clock();
    uint32_t looked_at = 0;
    bool any = false;
    for (batch_t *batch = outbox->wire; batch && looked_at < OLDEST; batch = batch->next) {
        bool may_be_lost = outbox_may_be_lost(batch, now);
        if (!may_be_lost && batch->resends == 0)
            break;
        looked_at += batch->count;
        if (!may_be_lost || !s_has(batch, repair))
            continue;
        outbox_resend(outbox, batch, now);
        any = true;
    }
    return any;
}

static bool s_let_out(seqpush_publisher_t *self, const Seqpush__V1__Repair *repair)
{
    seqpush_push_t first = {.client_id = repair->client_id.data,
                            .client_id_size = repair->client_id.len,
                            .epoch = repair->epoch,
                            .seq = repair->from};
    return lanes_repair(&self->lanes, &first, repair->to);
}

void repair_take(seqpush_publisher_t *self, const Seqpush__V1__Repair *repair)
{
    size_t size = repair->client_id.len;
    if (size == 0 || size > SEQPUSH_ID_MAX || repair->from == 0 || repair->from > repair->to) {
        self->stats.errors++;
        return;
    }
    self->stats.repairs++;
    bool kept = s_send_again(&self->outbox, repair);
    kept |= s_let_out(self, repair);
    kept |= confirm_repair(self, repair);
    //  Looking through all that is on its way takes long: only for somebody who wants to know.
    if (!kept && self->options.on_repair && !s_will_send(self, repair))
        self->options.on_repair(self->options.arg, repair->client_id.data, size, repair->epoch,
                                repair->from, repair->to);
}
