//  front_request.c - requests in: who asks, may it, how much of it, and then to the orderer

#include "allowance.h"
#include "front_state.h"
#include "log.h"
#include "permission.h"
#include <string.h>

#define FRAMES_A_TURN 64 //  and
#define PUSHES_A_TURN 1024 //  or a few more: what waits behind them waits longer
#define PUSHES_AT_ONCE \
    64 //  or a few more: each waits until all are read and those before it decided
#define PEERS_A_CONNECTION 2 //  that are known at most, those that are gone among them
#define SWEEP_REST 100000000 //  ns at least between two looks for those that may be forgotten
#define RETRY_OVER_CREDIT 20 //  ms until pushes beyond a publisher's credit may come again

//  Pushes that the peer may have undecided beside those that it has.
static uint32_t s_credit_left(const front_t *self, const peer_t *peer)
{
    uint32_t credit = self->settings.publisher_credit;
    return peer->undecided < credit ? credit - peer->undecided : 0;
}

//  Refuses the pushes of a batch from the one with this index on, for some ms.
static void s_cut(request_t *request, uint32_t from, uint32_t retry_after)
{
    for (uint32_t i = from; i < request->count; i++) {
        push_t *push = &request->pushes[i];
        if (push->outcome != OUTCOME_ACCEPTED)
            continue;
        push->outcome = OUTCOME_OVERLOADED;
        push->now_epoch = push->next_seq = push->window_end = 0;
        push->retry_after_ms = retry_after;
        request->rejected++;
    }
}

//  Refuses what exceeds the peer's credit, and then what exceeds its rate.
static void s_bound(const front_t *self, peer_t *peer, request_t *request, int64_t now)
{
    uint32_t left = s_credit_left(self, peer), rate = self->settings.publisher_rate;
    if (left < request->count)
        s_cut(request, left, RETRY_OVER_CREDIT);
    if (!rate)
        return;
    uint32_t wanted = left < request->count ? left : request->count;
    uint32_t taken = allowance_take(&peer->full_at, rate, wanted, now);
    if (taken < wanted)
        s_cut(request, taken, allowance_wait(peer->full_at, rate, wanted - taken, now));
}

//  How many pushes it takes as long to decide as.
static uint32_t s_work(const request_t *request)
{
    switch (request->kind) {
    case REQUEST_ACK:
        return (uint32_t)(request->body->ack->n_positions + request->body->ack->n_missing);
    case REQUEST_ATTACH:
        return (uint32_t)request->body->attach->n_clients;
    case REQUEST_DETACH:
        return (uint32_t)request->body->detach->n_client_ids;
    default:
        return request->count;
    }
}

static void s_put(front_t *self, request_t *request, uint32_t weight)
{
    self->undecided++;
    pipe_put(self->settings.orderer, &request->item, weight);
}

static void s_pass_on(front_t *self, peer_t *peer, request_t *request, int64_t now)
{
    request->peer = peer->number;
    request->delimited = peer->delimited;
    request->received_at = now;
    if (request->kind == REQUEST_PUSH) {
        peer->pushed_at = now;
        s_bound(self, peer, request, now);
        peer->undecided += request->count;
        self->taken += request->count;
    }
    self->work += s_work(request);
    size_t size = frame_size(request->frame);
    s_put(self, request, 1 + (uint32_t)(size >> 12));
}

//  Answers with an Error, which goes through the orderer like any request: so it comes in its place
//  among the replies.
static void s_refuse(front_t *self, const peer_t *peer, error_code_t code, const char *reason,
                     uint64_t request_id)
{
    request_t *request = request_new(REQUEST_REFUSED, peer->number);
    if (!request) {
        stats_add(&self->stats->replies_dropped_full, 1);
        return;
    }
    request->delimited = peer->delimited;
    request->failed = true;
    request->code = code;
    request->reply =
        reply_pack_error(code, reason, self->settings.instance, request_id, &request->reply_size);
    s_put(self, request, 1);
}

//  Counts and logs what a key may not ask for.
static void s_deny(front_t *self, const peer_t *peer, denied_t cause, uint32_t count)
{
    stats_add(&self->stats->denied[cause], count);
    log_limited(LOG_DENIALS, LOG_LEVEL_WARNING, "key %s (%s) was denied something: %s",
                access_name(peer->key), access_public_key(peer->key), permission_reason(cause));
}

//  Judges a request by the peer's key. Refused pushes stay in their batch; false: there is nothing else
//  in the request, and it was refused.
static bool s_permit(front_t *self, const peer_t *peer, request_t *request)
{
    denied_t cause;
    if (!peer->key) {
        stats_add(&self->stats->denied_key, 1);
        s_refuse(self, peer, ERROR_FORBIDDEN, "the key is not known any more", request->request_id);
        return false;
    }
    request->owner = peer->owner;
    request->admin = access_has_role(peer->key, ROLE_ADMIN);
    if (request->kind == REQUEST_PUSH) {
        uint32_t denied = permission_judge_pushes(peer->key, request, &cause);
        if (denied)
            s_deny(self, peer, cause, denied);
        return true;
    }
    cause = permission_judge(peer->key, request);
    if (cause == PERMITTED)
        return true;
    s_deny(self, peer, cause, 1);
    s_refuse(self, peer, cause == DENIED_ENDPOINT ? ERROR_ENDPOINT_REFUSED : ERROR_FORBIDDEN,
             permission_reason(cause), request->request_id);
    return false;
}

static void s_read(front_t *self, peer_t *peer, zmq_msg_t *message, int64_t now)
{
    stats_add(&self->stats->requests, 1);
    stats_add(&self->stats->request_bytes, zmq_msg_size(message));
    frame_t *frame = frame_new(message);
    if (!frame) {
        s_refuse(self, peer, ERROR_OVERLOADED, "out of memory", 0);
        return;
    }
    error_code_t code;
    const char *reason;
    uint64_t request_id;
    request_t *request = request_read(frame, &self->settings.limits, &code, &reason, &request_id);
    //  The request, if there is one, has a reference of its own.
    frame_unref(frame);
    if (!request)
        s_refuse(self, peer, code, reason, request_id);
    else if (!self->settings.access || s_permit(self, peer, request))
        s_pass_on(self, peer, request, now);
    else
        request_destroy(&request);
}

//  A number that stands for a public key, the same whenever it is asked for; never 0.
static uint64_t s_owner(const front_t *self, const char *public_key)
{
    return request_hash(self->settings.limits.key, public_key, strlen(public_key)) | 1;
}

void front_tell_key_changed(void *self, const access_key_t *key)
{
    request_t *request = request_new(REQUEST_KEY_CHANGED, 0);
    if (!request) {
        log_error("no memory: the sessions of key %s go on with what they had", access_name(key));
        return;
    }
    request->owner = s_owner(self, access_public_key(key));
    s_put(self, request, 1);
}

//  Finds out by which key the peer has come. Of a peer that comes with another key than before nothing
//  is left, nor does it get what the one before is owed: then there is another peer. NULL: no memory.
static peer_t *s_identify(front_t *self, peer_t *peer, zmq_msg_t *payload)
{
    const char *public_key = zmq_msg_gets(payload, "User-Id");
    if (!public_key)
        public_key = "";
    if (peer->key && strcmp(access_public_key(peer->key), public_key) == 0)
        return peer;
    uint64_t owner = s_owner(self, public_key);
    if (peer->owner && peer->owner != owner)
        peer = peer_renew(&self->peers, peer);
    if (!peer)
        return NULL;
    peer->owner = owner;
    peer->key = access_find(self->settings.access, public_key);
    return peer;
}

//  Receives one message: routing id, an empty delimiter if the peer sends one, one frame. Whatever
//  follows is dropped. Returns the number of frames behind the routing id, 0 if nothing came.
static int s_receive(front_t *self, zmq_msg_t *route, zmq_msg_t *payload, bool *delimited)
{
    if (zmq_msg_recv(route, self->handle, ZMQ_DONTWAIT) < 0)
        return 0;
    int frames = 0;
    *delimited = false;
    for (bool more = zmq_msg_more(route); more; more = zmq_msg_get(payload, ZMQ_MORE)) {
        bool was_empty = frames == 1 && zmq_msg_size(payload) == 0;
        if (zmq_msg_recv(payload, self->handle, ZMQ_DONTWAIT) < 0)
            break;
        frames++;
        if (frames == 2 && was_empty)
            *delimited = true;
    }
    return frames ? frames : 1;
}

//  Makes a peer, if there is room for another. Those that are gone have theirs for a while.
static peer_t *s_welcome(front_t *self, zmq_msg_t *route, int64_t now)
{
    uint64_t most = PEERS_A_CONNECTION * (uint64_t)self->settings.connections_max;
    if (HASH_CNT(by_route, self->peers.by_route) >= most && now - self->swept_at > SWEEP_REST)
        front_sweep(self, now);
    if (HASH_CNT(by_route, self->peers.by_route) >= most)
        return NULL;
    return peer_new(&self->peers, zmq_msg_data(route), zmq_msg_size(route));
}

//  Who sends this; NULL: nobody who is let in.
static peer_t *s_sender(front_t *self, zmq_msg_t *route, zmq_msg_t *payload, int64_t now)
{
    peer_t *peer = NULL;
    if (zmq_msg_size(route) <= PEER_ROUTE_MAX) {
        peer = peer_find(&self->peers, zmq_msg_data(route), zmq_msg_size(route));
        if (!peer)
            peer = s_welcome(self, route, now);
    }
    if (peer && self->settings.access)
        peer = s_identify(self, peer, payload);
    if (!peer) {
        door_hang_up(self->door, zmq_msg_get(payload, ZMQ_SRCFD));
        log_limited(LOG_STRANGERS, LOG_LEVEL_WARNING,
                    "a peer with a routing id that is too long, or beyond the bound, is refused");
    }
    return peer;
}

//  Finds out on which connection the peer is heard. Only with keys may it have come back on another one while
//  the one before is there.
static void s_locate(front_t *self, peer_t *peer, const zmq_msg_t *payload)
{
    bool moves = self->settings.access && zmq_msg_get(payload, ZMQ_SRCFD) != peer->descriptor;
    if (!moves && front_is_connected(self, peer))
        return;
    door_look(self->door);
    peer->gone_at = 0;
    peer->descriptor = zmq_msg_get(payload, ZMQ_SRCFD);
    peer->connection = door_connection(self->door, peer->descriptor);
}

static void s_hear(front_t *self, peer_t *peer, zmq_msg_t *payload, int frames, bool delimited,
                   int64_t now)
{
    peer->delimited = delimited;
    //  Whatever it has sent: it is to get the answer.
    peer->heard_at = now;
    s_locate(self, peer, payload);
    //  To read takes time whatever it is: a large frame ends the turn.
    uint32_t pages = (uint32_t)(zmq_msg_size(payload) >> 12);
    self->work += pages;
    self->taken += pages;
    if (frames == (delimited ? 2 : 1))
        s_read(self, peer, payload, now);
    else
        s_refuse(self, peer, ERROR_MALFORMED, "a request is one frame", 0);
}

static bool s_take_one(front_t *self)
{
    zmq_msg_t route, payload;
    zmq_msg_init(&route);
    zmq_msg_init(&payload);
    bool delimited = false;
    int frames = s_receive(self, &route, &payload, &delimited);
    int64_t now = pipe_clock();
    peer_t *peer = frames ? s_sender(self, &route, &payload, now) : NULL;
    if (peer)
        s_hear(self, peer, &payload, frames, delimited, now);
    zmq_msg_close(&route);
    zmq_msg_close(&payload);
    return frames > 0;
}

bool front_read(front_t *self)
{
    uint32_t frames = self->frames;
    self->work = 0;
    while (!self->deaf && self->frames < FRAMES_A_TURN && self->taken < PUSHES_A_TURN &&
           self->work < PUSHES_AT_ONCE && pipe_has_credit(self->settings.orderer) &&
           s_take_one(self))
        self->frames++;
    if (self->frames == frames)
        return false;
    pipe_flush(self->settings.orderer);
    return true;
}
