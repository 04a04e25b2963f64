//  session.c - sessions of receivers: attach, silence, the end

#include "core_state.h"
#include <string.h>

#define CLOSING_MAX 1024 //  endpoints that are being closed; beyond, an Attach is OVERLOADED

void session_open(core_t *self, receiver_t *receiver)
{
    core_effect_t *effect = effect_tell(self, EFFECT_OPEN);
    effect->receiver = receiver;
    effect->generation = receiver->generation;
    receiver->out++;
    receiver->session_out = 0;
    stats_add(&self->stats->receivers, 1);
}

static void s_close(core_t *self, receiver_t *receiver)
{
    core_effect_t *effect = effect_tell(self, EFFECT_CLOSE);
    effect->receiver = receiver;
    receiver->out++;
    self->closing++;
    stats_add(&self->stats->receivers, (uint64_t)-1);
}

//  Ends the session; the receiver keeps its clients, parked with what they retain.
static void s_park(core_t *self, receiver_t *receiver, const char *reason, int64_t now)
{
    effect_tell_detached(self, receiver, NULL, reason);
    s_close(self, receiver);
    receiver_table_displace(self, receiver);
    receiver->kind = RECEIVER_GONE;
    receiver->gone_at = now;
    for (client_t *client = receiver->clients; client; client = client->next) {
        redelivery_restart(self, client);
        //  From now on it may go when it is idle; see client_list.c.
        if (client->attached_by_name)
            client->active = client_ms(now);
    }
}

static void s_new_session(core_t *self, receiver_t *receiver, const core_attach_t *attach)
{
    if (receiver->kind == RECEIVER_ATTACHED)
        s_close(self, receiver);
    receiver->kind = RECEIVER_ATTACHED;
    receiver->generation = self->next_generation++;
    receiver->peer = attach->peer;
    receiver->ack_none = attach->ack_none;
    receiver->owner = attach->owner;
    receiver_set_key(receiver, attach->server_key);
    session_open(self, receiver);
    for (client_t *client = receiver->clients; client; client = client->next) {
        redelivery_restart(self, client);
        stats_add(&self->stats->go_backs[GO_BACK_GENERATION], 1);
        delivery_offer(self, client);
    }
    delivery_wake(self, receiver);
}

static void s_end(core_t *self, receiver_t *receiver)
{
    if (receiver->kind == RECEIVER_ATTACHED)
        s_close(self, receiver);
    receiver_table_remove(self, receiver);
    timer_disarm(&self->timers, &receiver->timer);
    timer_disarm(&self->timers, &receiver->resend);
    prefix_drop_all(self, receiver);
    receiver->kind = RECEIVER_ENDED;
    while (receiver->clients) {
        client_t *client = receiver->clients;
        client->attached_by_name = false;
        assignment_move(self, client, assignment_resolve(self, client));
    }
    session_release(receiver);
}

void session_release(receiver_t *receiver)
{
    if (receiver->kind == RECEIVER_ENDED && receiver->out == 0 && !receiver->ready)
        receiver_free(receiver);
}

//  Ends a receiver that is gone, to make room for another: one that has no clients, else the one that
//  has been gone longest. Its clients go where they would go without it.
static bool s_drop_gone(core_t *self)
{
    receiver_t *longest = NULL;
    for (receiver_t *at = self->by_id; at; at = at->by_id.next) {
        if (at->kind != RECEIVER_GONE)
            continue;
        if (!longest || at->gone_at < longest->gone_at || !at->clients)
            longest = at;
        if (!at->clients)
            break;
    }
    if (longest)
        s_end(self, longest);
    return longest != NULL;
}

static receiver_t *s_new_receiver(core_t *self, const core_attach_t *attach)
{
    if (HASH_CNT(by_id, self->by_id) >= self->settings.max_receivers && !s_drop_gone(self))
        return NULL;
    return receiver_table_add(self, attach->id, attach->id_size);
}

//  True if another key has a session with it. One that is gone is for whoever may have it.
static bool s_is_foreign(const receiver_t *receiver, const core_attach_t *attach)
{
    return receiver && receiver->kind == RECEIVER_ATTACHED && receiver->owner != attach->owner;
}

//  True if the receiver's session is the one that the Attach is of.
static bool s_is_same_session(const receiver_t *receiver, const core_attach_t *attach)
{
    return receiver->kind == RECEIVER_ATTACHED && receiver->peer == attach->peer &&
           receiver->ack_none == attach->ack_none &&
           strcmp(receiver->server_key, attach->server_key ? attach->server_key : "") == 0;
}

receiver_t *core_attach(core_t *self, const core_attach_t *attach, int64_t now, error_code_t *code)
{
    receiver_t *receiver = receiver_table_find(self, attach->id, attach->id_size);
    receiver_t *holder = receiver_table_at(self, attach->address);
    *code = ERROR_FORBIDDEN;
    if (s_is_foreign(receiver, attach) || s_is_foreign(holder, attach))
        return NULL;
    *code = ERROR_ENDPOINT_REFUSED;
    if (holder && holder->kind == RECEIVER_ROUTE)
        return NULL;
    *code = ERROR_OVERLOADED;
    //  Sockets go slower than Attaches come.
    if (self->closing >= CLOSING_MAX)
        return NULL;
    if (!receiver && !(receiver = s_new_receiver(self, attach)))
        return NULL;
    if (holder && holder != receiver) {
        s_park(self, holder, "taken_over", now);
        stats_add(&self->stats->takeovers, 1);
    }
    bool same_address = holder == receiver;
    if (!same_address) {
        if (receiver->kind == RECEIVER_ATTACHED) {
            s_close(self, receiver);
            receiver->kind = RECEIVER_GONE;
        }
        receiver_table_displace(self, receiver);
        if (!receiver_table_place(self, receiver, attach->address))
            return NULL;
    }
    if (!s_is_same_session(receiver, attach))
        s_new_session(self, receiver, attach);
    receiver->heard_at = now;
    timer_arm(&self->timers, &receiver->timer, now + self->settings.receiver_timeout);
    stats_add(&self->stats->attaches, 1);
    return receiver;
}

void session_due(core_t *self, receiver_t *receiver, int64_t now)
{
    if (receiver->kind != RECEIVER_ATTACHED)
        return;
    int64_t silent_at = receiver->heard_at + self->settings.receiver_timeout;
    if (now < silent_at) {
        timer_arm(&self->timers, &receiver->timer, silent_at);
        return;
    }
    stats_add(&self->stats->receivers_timed_out, 1);
    s_park(self, receiver, "timeout", now);
}

void core_end_owner(core_t *self, uint64_t owner)
{
    receiver_t *at, *next;
    HASH_ITER (by_id, self->by_id, at, next) {
        if (at->kind != RECEIVER_ATTACHED || at->owner != owner)
            continue;
        effect_tell_detached(self, at, NULL, "timeout");
        s_end(self, at);
    }
}

void core_heard(receiver_t *receiver, int64_t now)
{
    receiver->heard_at = now;
}

void core_detach(core_t *self, receiver_t *receiver)
{
    s_end(self, receiver);
}

void core_expel(core_t *self, receiver_t *receiver)
{
    effect_tell_detached(self, receiver, NULL, "asked");
    s_end(self, receiver);
}
