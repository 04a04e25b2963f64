//  expiry.c - what was retained for longer than delivery/retain_max is given up, and announced in its
//  place
//
//  Entries that follow each other become one gap notice, which stays until it is acknowledged: who
//  comes back after all is told what is gone. An ack of something that was given up is good, as the
//  receiver may have it; it then covers a part of the notice, or all of it.
//
//  What is on its way stays on its way. It may arrive still, and then be acknowledged as if nothing
//  had happened; else the client goes back, to the notice. Only where the notice would cover both
//  what is on its way and what is not does the client go back at once. Without acks what a worker
//  has is sent or returned, and nobody could tell which: it is not given up before it is returned.

#include "core_state.h"
#include <string.h>

#define RETRY_AFTER 1000000000 //  ns until another try, after there was no memory for a notice

//  client_ms for which an entry is retained at least: both ends are rounded down.
static uint32_t s_limit(const core_t *self)
{
    return client_ms(self->settings.retain_max) + 2;
}

static bool s_is_expired(const core_t *self, const retained_entry_t *entry, int64_t now)
{
    return client_ms(now) - entry->released_at >= s_limit(self);
}

//  When an entry that was released at `released_at` (client_ms) expires, in ns.
static int64_t s_expires_at(const core_t *self, uint32_t released_at, int64_t now)
{
    return ((now >> 20) + s_limit(self) - (client_ms(now) - released_at)) << 20;
}

void expiry_arm(core_t *self, client_t *client, int64_t now)
{
    timer_arm(&self->timers, &client->timer, s_expires_at(self, client_ms(now), now));
}

void expiry_look_soon(core_t *self, client_t *client)
{
    if (self->settings.retain_max && client->flow->retained.count)
        timer_arm(&self->timers, &client->timer, 0);
}

//  The end of the entries from `first` on that are expired and lie in one epoch.
static uint32_t s_end_of_run(const core_t *self, const client_t *client, uint32_t first,
                             uint32_t *pushes, int64_t now)
{
    const retained_t *retained = &client->flow->retained;
    uint32_t end = first;
    for (*pushes = 0; end < retained->count; end++) {
        const retained_entry_t *entry = retained_at(retained, end);
        if (entry->kind == RETAINED_MARKER || !s_is_expired(self, entry, now))
            break;
        *pushes += entry->kind == RETAINED_PUSH;
    }
    return end;
}

//  Gives up the entries from `first`, before which the stream stands at `at`, up to `end`. Returns
//  false if there is no memory.
static bool s_give_up(core_t *self, client_t *client, position_t at, uint32_t first, uint32_t end)
{
    retained_t *retained = &client->flow->retained;
    uint64_t from = at.seq + 1, to = retained_at(retained, end - 1)->seq;
    frame_t *notice = notice_gap(client, at.epoch, from, to);
    if (!notice)
        return false;
    for (uint32_t i = first; i < end; i++) {
        const retained_entry_t *entry = retained_at(retained, i);
        if (entry->kind == RETAINED_PUSH)
            confirmation_add(self, client, entry->frame, (position_t){at.epoch, entry->seq}, true);
    }
    if (retained->sent > first && retained->sent < end)
        redelivery_go_back(self, client);
    retention_merge(self, client, first, end, notice);
    change_gap(self, client, at.epoch, from, to);
    if (at.epoch == client->epoch)
        client_note_gap(client, from, to);
    return true;
}

static void s_tell(core_t *self, const client_t *client, position_t last, uint32_t pushes)
{
    stats_add(&self->stats->pushes_expired, pushes);
    core_effect_t *effect = effect_tell(self, EFFECT_EXPIRED);
    memcpy(effect->id, client->id, client->id_size);
    effect->id_size = client->id_size;
    effect->position = last;
    effect->count = pushes;
}

//  What passes has no place in a stream where a notice could stand: the log and the figures alone tell
//  of it. What follows something that a worker has waits until that comes back.
static void s_drop_passing(core_t *self, client_t *client, int64_t now)
{
    const retained_t *retained = &client->flow->retained;
    uint32_t dropped = 0;
    for (; retained->count && !retained->sent && s_is_expired(self, retained_at(retained, 0), now);
         dropped++)
        retention_pop(self, client);
    if (dropped) {
        client->active = client_ms(now);
        s_tell(self, client, client->acked, dropped);
    }
    if (retained->count && !retained->sent)
        timer_arm(&self->timers, &client->timer,
                  s_expires_at(self, retained_at(retained, 0)->released_at, now));
}

void expiry_due(core_t *self, client_t *client, int64_t now)
{
    if (!self->settings.retain_max)
        return;
    if (client_is(client, POLICY_PASSTHROUGH)) {
        s_drop_passing(self, client, now);
        return;
    }
    //  What a receiver that is silent for too long gives back is given up with what follows it.
    session_due(self, client->receiver, now);
    retained_t *retained = &client->flow->retained;
    uint32_t first = client->receiver->ack_none ? retained->sent : 0;
    position_t at = client->acked;
    for (uint32_t i = 0; i < first; i++)
        at = retained_after(retained_at(retained, i), at);
    while (first < retained->count && s_is_expired(self, retained_at(retained, first), now)) {
        uint32_t pushes, end = s_end_of_run(self, client, first, &pushes, now);
        if ((pushes || end > first + 1) && !s_give_up(self, client, at, first, end)) {
            timer_arm(&self->timers, &client->timer, now + RETRY_AFTER);
            return;
        }
        //  Now it is one notice, or a marker.
        at = retained_after(retained_at(retained, first++), at);
        if (pushes)
            s_tell(self, client, at, pushes);
    }
    if (first < retained->count)
        timer_arm(&self->timers, &client->timer,
                  s_expires_at(self, retained_at(retained, first)->released_at, now));
    delivery_offer(self, client);
    //  What it had on its way may be what others of the receiver waited for.
    delivery_wake(self, client->receiver);
}
