//  front.c - the front actor; see front.h

#include "front.h"
#include "allowance.h"
#include "door.h"
#include "gate.h"
#include "log.h"
#include "pace.h"
#include "peer.h"
#include "permission.h"
#include "pulse.h"
#include <stdlib.h>
#include <string.h>

#define FRONT_IO_THREAD 1 //  the first; PUSH sockets have the second
#define FRAMES_A_TURN 64 //  and
#define PUSHES_A_TURN 1024 //  or a few more: what waits behind them waits longer
#define PUSHES_AT_ONCE \
    64 //  or a few more: each waits until all are read and those before it decided
#define SWEEP_EVERY 1000000000LL //  ns
#define PUBLISHES_FOR 10000000000LL //  ns without a push until a peer is no publisher any more
#define FORGET_AFTER 120000000000LL //  ns without a word until a peer is forgotten
#define FINISH_WITHIN 100000000LL //  ns for which the end reads requests, if they go on coming
#define FINISH_QUIET 10 //  ms without a request after which none is on its way
#define REPAIRS_A_SECOND 1024 //  to a peer; what is dropped is asked again
#define RETRY_OVER_CREDIT 20 //  ms until pushes beyond a publisher's credit may come again

struct front {
    front_settings_t settings;
    front_stats_t *stats;
    zsock_t *router;
    door_t *door;
    void *handle; //  the same, as libzmq knows it
    char *endpoints;
    peer_table_t peers;
    peer_t *owed; //  peers for which a PushAck is gathered
    uint64_t undecided; //  requests that are with the orderer
    uint32_t frames; //  read in this turn
    uint32_t taken; //  pushes, in this turn
    uint32_t work; //  that was read at once, in pushes
    int64_t swept_at;
    int64_t ends_at; //  when it reads no more, at latest; 0: it goes on
    int64_t busy_at; //  then: when there was something to do
    bool deaf; //  it reads no more
};

//  ---- the socket --------------------------------------------------------------------------------

#define ZAP_ENFORCE_DOMAIN 93 //  zmq.h has the name among its drafts, libzmq has the option

static bool s_set(void *socket, int option, const void *value, size_t size)
{
    return zmq_setsockopt(socket, option, value, size) == 0;
}

static bool s_set_number(void *socket, int option, int value)
{
    return s_set(socket, option, &value, sizeof value);
}

//  Whoever connects has a key, and the gate says that it is known. Only then may a peer that comes back
//  take its old connection's place: a stranger could take anybody's.
static bool s_secure(void *router, const certificate_t *curve)
{
    return s_set_number(router, ZMQ_CURVE_SERVER, 1) &&
           s_set(router, ZMQ_CURVE_SECRETKEY, curve->secret_key, sizeof curve->secret_key) &&
           s_set(router, ZMQ_ZAP_DOMAIN, GATE_DOMAIN, strlen(GATE_DOMAIN)) &&
           s_set_number(router, ZAP_ENFORCE_DOMAIN, 1) &&
           s_set_number(router, ZMQ_ROUTER_HANDOVER, 1);
}

static zsock_t *s_router(const front_settings_t *settings)
{
    zsock_t *router = zsock_new(ZMQ_ROUTER);
    if (!router)
        return NULL;
    //  Replies are at most one a request; the mark must exceed the credit, or replies vanish.
    zsock_set_sndhwm(router, (int)settings->publisher_credit + 1024);
    zsock_set_rcvhwm(router, 256);
    zsock_set_router_mandatory(router, 1);
    zsock_set_maxmsgsize(router, (int)(4 * settings->limits.max_payload + 65536));
    zsock_set_linger(router, 0);
    zsock_set_affinity(router, FRONT_IO_THREAD);
    //  ZMTP heartbeats stay off: on a ROUTER they can abort the process (libzmq #4364).
    zsock_set_tcp_keepalive(router, 1);
    zsock_set_tcp_keepalive_idle(router, 30);
    s_set_number(zsock_resolve(router), ZMQ_HANDSHAKE_IVL, (int)settings->handshake_timeout);
    return router;
}

static char *s_bind_failed(const char *endpoint)
{
    char *error = NULL;
    if (asprintf(&error, "cannot bind %s: %s", endpoint, zmq_strerror(errno)) < 0)
        return NULL;
    return error;
}

static bool s_bind(front_t *self, char **error)
{
    for (size_t i = 0; i < self->settings.bind_count; i++) {
        const char *endpoint = self->settings.bind[i];
        zsock_set_ipv6(self->router, strchr(endpoint, '[') != NULL);
        if (zmq_bind(self->handle, endpoint) != 0) {
            *error = s_bind_failed(endpoint);
            return false;
        }
        char *bound = zsock_last_endpoint(self->router), *all = NULL;
        if (asprintf(&all, "%s%s%s", self->endpoints ? self->endpoints : "",
                     self->endpoints ? "," : "", bound) < 0)
            all = NULL;
        free(bound);
        free(self->endpoints);
        self->endpoints = all;
    }
    return true;
}

front_t *front_new(const front_settings_t *settings, char **error)
{
    *error = NULL;
    front_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->stats = settings->stats;
    self->peers.key = self->settings.limits.key;
    self->router = s_router(settings);
    self->handle = self->router ? zsock_resolve(self->router) : NULL;
    if (self->router && settings->curve && !s_secure(self->handle, settings->curve))
        *error = strdup("security/secret_file: this libzmq cannot enforce CURVE");
    if (self->router)
        self->door = door_new(self->handle, settings->connections_max, settings->stats);
    if (!self->door || *error || !s_bind(self, error))
        front_destroy(&self, 0);
    return self;
}

const char *front_endpoints(const front_t *self)
{
    return self->endpoints;
}

void front_destroy(front_t **self_p, uint32_t linger)
{
    front_t *self = *self_p;
    if (!self)
        return;
    peer_fini(&self->peers);
    if (self->router)
        zsock_set_linger(self->router, (int)linger);
    access_destroy(&self->settings.access);
    door_destroy(&self->door);
    zsock_destroy(&self->router);
    free(self->endpoints);
    free(self);
    *self_p = NULL;
}

//  ---- replies out -------------------------------------------------------------------------------

static void s_forget(front_t *self, peer_t *peer)
{
    peer_forget(&self->peers, peer);
    stats_set(&self->stats->peers, HASH_CNT(by_route, self->peers.by_route));
}

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

static void s_ask_for_repair(front_t *self, request_t *request)
{
    peer_t *peer = peer_numbered(&self->peers, request->peer);
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
    if (request->kind == REPLY_REPAIR) {
        s_ask_for_repair(self, request);
        return;
    }
    peer_t *peer = peer_numbered(&self->peers, request->peer);
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

static bool s_take_replies(front_t *self)
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

//  ---- requests in -------------------------------------------------------------------------------

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
    if (request->kind == REQUEST_ACK)
        return (uint32_t)(request->body->ack->n_positions + request->body->ack->n_missing);
    return request->count;
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

static bool s_take_one(front_t *self)
{
    zmq_msg_t route, payload;
    zmq_msg_init(&route);
    zmq_msg_init(&payload);
    bool delimited = false;
    int frames = s_receive(self, &route, &payload, &delimited);
    peer_t *peer =
        frames ? peer_find(&self->peers, zmq_msg_data(&route), zmq_msg_size(&route)) : NULL;
    if (peer && self->settings.access)
        peer = s_identify(self, peer, &payload);
    if (peer) {
        int64_t now = pipe_clock();
        peer->delimited = delimited;
        //  Whatever it has sent: it is to get the answer.
        peer->heard_at = now;
        if (frames == (delimited ? 2 : 1))
            s_read(self, peer, &payload, now);
        else
            s_refuse(self, peer, ERROR_MALFORMED, "a request is one frame", 0);
    }
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

//  ---- turns -------------------------------------------------------------------------------------

static void s_sweep(front_t *self, int64_t now)
{
    uint64_t publishers = 0;
    peer_t *peer, *next;
    HASH_ITER (by_route, self->peers.by_route, peer, next) {
        if (peer->pushed_at && now - peer->pushed_at < PUBLISHES_FOR)
            publishers++;
        if (now - peer->heard_at > FORGET_AFTER && !peer->undecided && !peer->owed)
            s_forget(self, peer);
    }
    stats_set(&self->stats->publishers, publishers);
    stats_set(&self->stats->peers, HASH_CNT(by_route, self->peers.by_route));
    self->swept_at = now;
}

//  Reads on for a moment, as long as something comes.
static void s_look_at_end(front_t *self, bool busy, int64_t now)
{
    if (busy)
        self->busy_at = now;
    self->deaf = self->deaf || now >= self->ends_at || now - self->busy_at > FINISH_QUIET * 1000000;
}

bool front_turn(front_t *self)
{
    bool busy = s_take_replies(self), read = self->frames > 0;
    self->frames = self->taken = 0;
    pipe_flush(self->settings.orderer);
    door_look(self->door);
    if (!self->peers.by_route && !self->ends_at)
        return busy;
    int64_t now = pipe_clock();
    if (now - self->swept_at > SWEEP_EVERY)
        s_sweep(self, now);
    if (self->ends_at)
        s_look_at_end(self, busy || read, now);
    return busy;
}

pipe_t *front_pipe(const front_t *self)
{
    return self->settings.orderer;
}

int front_items(const front_t *self, zmq_pollitem_t items[FRONT_ITEMS])
{
    items[0] = (zmq_pollitem_t){door_socket(self->door), 0, ZMQ_POLLIN, 0};
    items[1] = (zmq_pollitem_t){self->handle, 0, ZMQ_POLLIN, 0};
    return !self->deaf && pipe_has_credit(self->settings.orderer) ? 2 : 1;
}

long front_timeout(const front_t *self)
{
    if (self->ends_at && !self->deaf)
        return FINISH_QUIET;
    return self->peers.by_route ? (long)(SWEEP_EVERY / 1000000) : -1;
}

//  Peers are asked for their keys anew, by the next table.
void front_admit(front_t *self, access_t *access)
{
    for (peer_t *peer = self->peers.by_route; peer; peer = peer->by_route.next)
        peer->key = NULL;
    access_destroy(&self->settings.access);
    self->settings.access = access;
}

void front_end(front_t *self)
{
    self->busy_at = pipe_clock();
    self->ends_at = self->busy_at + FINISH_WITHIN;
}

bool front_ended(const front_t *self)
{
    return self->deaf && !self->undecided;
}

//  ---- a thread of its own -----------------------------------------------------------------------

static void s_take_access(front_t *self, zsock_t *control)
{
    void *access = NULL;
    zsock_recv(control, "p", &access);
    front_admit(self, access);
}

static void s_control(front_t *self, zsock_t *control)
{
    char *command = zstr_recv_nowait(control);
    if (command && strcmp(command, "$TERM") == 0)
        front_end(self);
    else if (command && strcmp(command, "ACCESS") == 0)
        s_take_access(self, control);
    else if (command && strcmp(command, PULSE_COMMAND) == 0)
        stats_add(&self->stats->pulses, 1);
    zstr_free(&command);
}

static void s_wait(front_t *self, zsock_t *control)
{
    zmq_pollitem_t items[FRONT_ITEMS + 2] = {{zsock_resolve(control), 0, ZMQ_POLLIN, 0}};
    int count = 1 + front_items(self, items + 1);
    if (pipe_wait(&self->settings.orderer, 1, items, count, front_timeout(self)) &&
        items[0].revents)
        s_control(self, control);
}

void front_run(zsock_t *control, void *args)
{
    front_t *self = args;
    pthread_setname_np(pthread_self(), "front");
    zsock_signal(control, 0);
    unsigned turn = 0;
    while (!front_ended(self)) {
        bool busy = front_turn(self);
        while (front_read(self))
            busy = true;
        if (!busy)
            s_wait(self, control);
        else if (++turn % CONTROL_EVERY == 0)
            s_control(self, control);
    }
}
