//  front_reply.c - replies out: PushAcks gathered over a turn, and what else is answered

#include "front_state.h"
#include "pace.h"
#include <errno.h>

#define REPAIRS_A_SECOND 1024 //  to a peer; what is dropped is asked again

static bool s_send_parts(front_t *self, const peer_t *peer, bool delimited, zmq_msg_t *message)
{
    if (zmq_send(self->handle, peer->route, peer->route_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return false;
    //  The routing id was taken, so the rest is too: a message goes whole or not at all.
    if (delimited)
        zmq_send(self->handle, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    return zmq_msg_send(message, self->handle, ZMQ_DONTWAIT) >= 0;
}

//  Sends a packed reply, which it takes. NULL, from want of memory, is a reply that is lost, as is one
//  for which false is returned.
static bool s_send(front_t *self, const peer_t *peer, bool delimited, uint8_t *packed, size_t size)
{
    zmq_msg_t message;
    if (!packed ||
        !unread_message(peer->unread, &message, packed, size, self->settings.unread_max)) {
        stats_add(&self->stats->replies_dropped_full, 1);
        return false;
    }
    if (s_send_parts(self, peer, delimited, &message)) {
        stats_add(&self->stats->replies, 1);
        return true;
    }
    bool full = errno == EAGAIN;
    zmq_msg_close(&message);
    stats_add(full ? &self->stats->replies_dropped_full : &self->stats->replies_dropped_unreachable,
              1);
    return false;
}

static void s_send_ack(front_t *self, const peer_t *peer, const reply_ack_t *ack,
                       const request_t *batch)
{
    size_t size;
    uint8_t *packed = reply_pack_ack(ack, batch, self->settings.instance, &size);
    s_send(self, peer, batch && batch->delimited, packed, size);
}

//  Sends the PushAck that was gathered, if any; its place in the list of owed ones stays.
static void s_settle(front_t *self, peer_t *peer)
{
    if (peer->ack.requests)
        s_send_ack(self, peer, &peer->ack, NULL);
    peer->ack = (reply_ack_t){0};
}

static void s_settle_all(front_t *self)
{
    while (self->owed) {
        peer_t *peer = self->owed;
        self->owed = peer->next_owed;
        peer->owed = false;
        s_settle(self, peer);
    }
}

//  Where the disk decides when, a peer has credit for what it decides in time. What it was told before
//  it may still use.
static void s_pace(const front_t *self, peer_t *peer, const request_t *request)
{
    uint32_t most = self->settings.publisher_credit;
    if (!self->settings.paced) {
        peer->credit = most;
        return;
    }
    if (!peer->credit)
        peer->credit = pace_begin(most);
    peer->credit = pace_next(peer->credit, most, peer->undecided, request->count,
                             pipe_clock() - request->received_at);
}

//  Adds a batch that was accepted whole to the PushAck that the peer gets at the end of the turn.
static void s_gather(front_t *self, peer_t *peer, const request_t *request)
{
    peer->ack.accepted += request->accepted;
    peer->ack.unreceived += request->unreceived;
    peer->ack.requests++;
    peer->ack.credit = peer->credit;
    peer->ack.request_id = request->request_id;
    if (peer->owed)
        return;
    peer->owed = true;
    peer->next_owed = self->owed;
    self->owed = peer;
}

static void s_answer_push(front_t *self, peer_t *peer, const request_t *request)
{
    s_pace(self, peer, request);
    peer->undecided -= request->count;
    if (!request->rejected && !request->numberless && !request->delimited) {
        s_gather(self, peer, request);
        return;
    }
    s_settle(self, peer);
    reply_ack_t ack = {.accepted = request->accepted,
                       .unreceived = request->unreceived,
                       .credit = peer->credit,
                       .request_id = request->request_id};
    s_send_ack(self, peer, &ack, request);
}

//  Clients decide how many holes there are, so a peer is asked for only so many of them a second.
static bool s_may_ask(peer_t *peer)
{
    int64_t now = pipe_clock();
    if (now - peer->repairs_since > 1000000000) {
        peer->repairs_since = now;
        peer->repairs = 0;
    }
    return ++peer->repairs <= REPAIRS_A_SECOND;
}

//  What a key was told unasked it is not when it has been taken out.
static peer_t *s_addressee(front_t *self, const request_t *request)
{
    peer_t *peer = peer_numbered(&self->peers, request->peer);
    bool unasked = request->kind == REPLY_UNASKED || request->kind == REPLY_REPAIR;
    return unasked && self->settings.access && peer && !peer->key ? NULL : peer;
}

static void s_ask_for_repair(front_t *self, request_t *request)
{
    peer_t *peer = s_addressee(self, request);
    bool sent = false;
    if (peer && !peer->delimited && s_may_ask(peer)) {
        s_settle(self, peer);
        sent = s_send(self, peer, false, request->reply, request->reply_size);
        request->reply = NULL;
    }
    stats_add(sent ? &self->stats->repairs_sent : &self->stats->repairs_dropped, 1);
}

static void s_answer(front_t *self, request_t *request)
{
    if (request->kind == REQUEST_KEY_CHANGED)
        return;
    if (request->kind == REPLY_REPAIR) {
        s_ask_for_repair(self, request);
        return;
    }
    peer_t *peer = s_addressee(self, request);
    if (!peer) {
        stats_add(&self->stats->replies_dropped_unreachable, 1);
        return;
    }
    if (request->kind == REQUEST_PUSH) {
        s_answer_push(self, peer, request);
    } else if (request->reply) {
        //  A REQ peer reads one reply a request, so nothing that it did not ask for.
        if (request->kind == REPLY_UNASKED && peer->delimited)
            return;
        s_settle(self, peer);
        if (request->failed)
            stats_add(&self->stats->errors[request->code], 1);
        s_send(self, peer, request->delimited, request->reply, request->reply_size);
        request->reply = NULL;
    }
}

bool front_take_replies(front_t *self)
{
    int64_t waited;
    pipe_item_t *item = pipe_take(self->settings.orderer, &waited);
    if (!item)
        return false;
    histogram_add(&self->stats->reply_wait, (uint64_t)waited, 1);
    while (item) {
        request_t *request = (request_t *)item;
        item = item->next;
        self->undecided -= request->kind != REPLY_UNASKED && request->kind != REPLY_REPAIR;
        s_answer(self, request);
        request_destroy(&request);
    }
    s_settle_all(self);
    return true;
}
