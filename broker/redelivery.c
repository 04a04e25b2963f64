//  redelivery.c - who waits for an ack, and goes back when none comes
//
//  An endpoint is first in, first out, so what was handed over before something that is
//  acknowledged should soon be acknowledged too. The clients of a receiver that have unacknowledged
//  entries stand in the order in which they began to wait; a client that makes progress goes to the
//  end. So one look at the head of the list tells who is overdue, and a receiver that is only slow,
//  but acknowledges, is never sent anything twice.

#include "core_state.h"
#include "explain.h"

#define PATIENCE_MAX 6 //  doublings: 64 times ack_timeout
#define OLDEST_EVERY 500000000 //  ns between looks at the oldest unacknowledged entry

static void s_unlink(receiver_t *receiver, client_t *client)
{
    if (!client->flow->waits_since)
        return;
    if (client->flow->waits_before)
        client->flow->waits_before->flow->waits_after = client->flow->waits_after;
    else
        receiver->waiting_first = client->flow->waits_after;
    if (client->flow->waits_after)
        client->flow->waits_after->flow->waits_before = client->flow->waits_before;
    else
        receiver->waiting_last = client->flow->waits_before;
    client->flow->waits_since = 0;
}

static void s_link(receiver_t *receiver, client_t *client, int64_t now)
{
    client->flow->waits_since = now ? now : 1;
    client->flow->waits_after = NULL;
    client->flow->waits_before = receiver->waiting_last;
    if (receiver->waiting_last)
        receiver->waiting_last->flow->waits_after = client;
    else
        receiver->waiting_first = client;
    receiver->waiting_last = client;
}

void redelivery_go_back(core_t *self, client_t *client)
{
    s_unlink(client->receiver, client);
    for (uint32_t i = 0; i < client->flow->retained.sent; i++)
        retention_count_sent(self, client, retained_at(&client->flow->retained, i), -1);
    if (client->flow->retained.sent)
        client->flow->retained.sent = 0;
    client->marker_due = true;
    client->missed = false;
    client->session++;
    expiry_look_soon(self, client);
    //  What it had on its way may be what others of the receiver waited for.
    delivery_wake(self, client->receiver);
}

void redelivery_restart(core_t *self, client_t *client)
{
    redelivery_go_back(self, client);
    if (client->flow->retained.handed)
        client->flow->retained.handed = 0;
}

void redelivery_sent(core_t *self, client_t *client, int64_t now)
{
    receiver_t *receiver = client->receiver;
    if (delivery_is_unacked(client) || client->flow->waits_since)
        return;
    s_link(receiver, client, now);
    timer_arm(&self->timers, &receiver->resend, now + self->settings.ack_timeout);
    timer_arm(&self->timers, &self->oldest_timer, now + OLDEST_EVERY);
}

void redelivery_acked(client_t *client, int64_t handed_at, int64_t now)
{
    receiver_t *receiver = client->receiver;
    if (handed_at > receiver->acked)
        receiver->acked = handed_at;
    receiver->progress_at = now;
    receiver->patience = 0;
    client->missed = false;
    s_unlink(receiver, client);
    if (client->flow->retained.sent)
        s_link(receiver, client, now);
}

static void s_resend(core_t *self, client_t *client)
{
    redelivery_go_back(self, client);
    stats_add(&self->stats->go_backs[GO_BACK_TIMEOUT], 1);
    delivery_offer(self, client);
}

//  When the receiver has acknowledged nothing for so long that all must be sent again.
static int64_t s_stalled_at(const core_t *self, const receiver_t *receiver)
{
    int64_t since = receiver->waiting_first->flow->waits_since;
    if (receiver->progress_at > since)
        since = receiver->progress_at;
    return since + (self->settings.ack_timeout << receiver->patience);
}

//  Sends again what is older than something that was acknowledged an ack_timeout ago.
static void s_resend_overdue(core_t *self, receiver_t *receiver, int64_t now)
{
    while (receiver->waiting_first &&
           receiver->waiting_first->flow->waits_since < receiver->overdue)
        s_resend(self, receiver->waiting_first);
    receiver->overdue = receiver->acked;
    receiver->overdue_at = now;
}

static void s_resend_all(core_t *self, receiver_t *receiver)
{
    while (receiver->waiting_first)
        s_resend(self, receiver->waiting_first);
    if (receiver->patience < PATIENCE_MAX)
        receiver->patience++;
}

void redelivery_due(core_t *self, receiver_t *receiver, int64_t now)
{
    if (!receiver->waiting_first)
        return;
    int64_t timeout = self->settings.ack_timeout;
    if (now - receiver->overdue_at >= timeout)
        s_resend_overdue(self, receiver, now);
    //  What the worker still has was not sent: the endpoint may block, and time does not count.
    if (receiver->session_out)
        receiver->progress_at = now;
    else if (receiver->waiting_first && now >= s_stalled_at(self, receiver))
        s_resend_all(self, receiver);
    timer_arm(&self->timers, &receiver->resend, now + timeout / 4 + 1);
}

//  Going back does not make an entry younger: what counts is when it was handed over first.
void redelivery_look_at_oldest(core_t *self, int64_t now)
{
    int64_t oldest = now;
    for (const receiver_t *at = self->by_address; at; at = at->by_address.next) {
        int64_t since = explain_unacked_since(at, now);
        if (since < oldest)
            oldest = since;
    }
    stats_set(&self->stats->oldest_unacked, (uint64_t)(now - oldest));
    if (oldest < now)
        timer_arm(&self->timers, &self->oldest_timer, now + OLDEST_EVERY);
}
