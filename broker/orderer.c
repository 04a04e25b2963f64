//  orderer.c - the orderer actor; see orderer.h

#include "orderer.h"
#include "address.h"
#include "delivered.h"
#include "endpoint.h"
#include "log.h"
#include "reply.h"
#include <stdlib.h>
#include <string.h>

#define CHAINS_A_TURN 1 //  chains of requests taken before dispatches go out
#define SPARSE_ROOM 4096 //  bytes of a frame that may be something else than its pushes
#define SPARE_MAX 1024 //  dispatches kept for the next time
#define ALARMS_A_SECOND 10
#define DRAIN_LOOK 5000000 //  ns between looks at what a drain waits for

struct orderer {
    orderer_settings_t settings;
    orderer_stats_t *stats;
    core_t *core;
    unsigned *endpoints; //  by worker: how many it has
    dispatch_t *spare; //  empty ones, chained
    unsigned spare_count;
    int64_t alarms_since; //  when the present second of alarms began
    unsigned alarms; //  in it
    bool draining;
    bool drained;
    bool terminated;
};

//  ---- life --------------------------------------------------------------------------------------

orderer_t *orderer_new(const orderer_settings_t *settings)
{
    orderer_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->stats = &settings->stats->orderer;
    self->endpoints = calloc(settings->worker_count, sizeof *self->endpoints);
    self->core = core_new(&settings->core, self->stats);
    if (!self->endpoints || !self->core)
        orderer_destroy(&self);
    return self;
}

static dispatch_t *s_new_dispatch(orderer_t *self)
{
    dispatch_t *dispatch = self->spare;
    if (dispatch) {
        self->spare = (dispatch_t *)dispatch->item.next;
        self->spare_count--;
    } else {
        dispatch =
            malloc(sizeof *dispatch + self->settings.batch_max * sizeof dispatch->entries[0]);
    }
    if (dispatch)
        *dispatch = (dispatch_t){0};
    return dispatch;
}

static void s_recycle(orderer_t *self, dispatch_t *dispatch)
{
    if (self->spare_count >= SPARE_MAX) {
        free(dispatch);
        return;
    }
    dispatch->item.next = (pipe_item_t *)self->spare;
    self->spare = dispatch;
    self->spare_count++;
}

uint64_t orderer_kept(const orderer_t *self)
{
    return core_kept(self->core);
}

//  ---- reports -----------------------------------------------------------------------------------

static void s_returned(orderer_t *self, dispatch_t *dispatch, int64_t now)
{
    if (dispatch->kind == DISPATCH_CLOSE)
        endpoint_destroy(&dispatch->endpoint);
    core_returned(self->core, dispatch, now);
    s_recycle(self, dispatch);
}

static bool s_take_reports(orderer_t *self, int64_t now)
{
    bool any = false;
    for (unsigned i = 0; i < self->settings.worker_count; i++) {
        int64_t waited;
        pipe_item_t *item = pipe_take(self->settings.workers[i], &waited);
        if (!item)
            continue;
        any = true;
        histogram_add(&self->stats->report_wait, (uint64_t)waited, 1);
        while (item) {
            dispatch_t *dispatch = (dispatch_t *)item;
            item = item->next;
            s_returned(self, dispatch, now);
        }
    }
    return any;
}

//  ---- effects -----------------------------------------------------------------------------------

static unsigned s_least_worker(const orderer_t *self)
{
    unsigned least = 0;
    for (unsigned i = 1; i < self->settings.worker_count; i++)
        if (self->endpoints[i] < self->endpoints[least])
            least = i;
    return least;
}

static void s_command(orderer_t *self, receiver_t *receiver, dispatch_kind_t kind)
{
    dispatch_t *dispatch = s_new_dispatch(self);
    if (!dispatch)
        abort();
    dispatch->kind = kind;
    dispatch->receiver = receiver;
    dispatch->generation = receiver->generation;
    dispatch->endpoint = receiver->endpoint;
    pipe_put(self->settings.workers[receiver->worker], &dispatch->item, 1);
}

static void s_open(orderer_t *self, receiver_t *receiver)
{
    receiver->worker = s_least_worker(self);
    receiver->endpoint =
        endpoint_new(receiver->address, receiver->generation, self->settings.send_hwm);
    if (!receiver->endpoint)
        abort();
    receiver->inflight = &stats_worker(self->settings.stats, receiver->worker)->inflight_messages;
    self->endpoints[receiver->worker]++;
    s_command(self, receiver, DISPATCH_OPEN);
    log_debug("endpoint %s opened for generation %" PRIu64 " by worker %u", receiver->address,
              receiver->generation, receiver->worker);
}

static void s_close(orderer_t *self, receiver_t *receiver)
{
    self->endpoints[receiver->worker]--;
    s_command(self, receiver, DISPATCH_CLOSE);
    receiver->endpoint = NULL;
}

static void s_reply(request_t *request, Seqpush__V1__Reply *reply, uint64_t instance)
{
    free(request->reply);
    request->reply = reply_pack(reply, instance, request->request_id, &request->reply_size);
}

static void s_tell_detached(orderer_t *self, const core_effect_t *effect)
{
    request_t *unasked = request_new_unasked(effect->peer);
    if (!unasked)
        return;
    ProtobufCBinaryData client = {effect->id_size, (uint8_t *)effect->id};
    Seqpush__V1__Detached body = SEQPUSH__V1__DETACHED__INIT;
    body.receiver_id =
        (ProtobufCBinaryData){effect->receiver_id_size, (uint8_t *)effect->receiver_id};
    body.n_client_ids = effect->id_size ? 1 : 0;
    body.client_ids = &client;
    body.reason = (char *)effect->reason;
    body.generation = effect->generation;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_DETACHED;
    reply.detached = &body;
    s_reply(unasked, &reply, self->settings.instance);
    pipe_put(self->settings.front, &unasked->item, 1);
}

//  Peers decide how many holes there are, so only some a second are logged; the metric has them
//  all.
static bool s_may_log_alarm(orderer_t *self)
{
    int64_t now = pipe_clock();
    if (now - self->alarms_since > 1000000000) {
        if (self->alarms > ALARMS_A_SECOND)
            log_warning("%u more alarms of clients", self->alarms - ALARMS_A_SECOND);
        self->alarms = 0;
        self->alarms_since = now;
    }
    return ++self->alarms <= ALARMS_A_SECOND;
}

static void s_log_alarm(orderer_t *self, const core_effect_t *effect)
{
    if (!s_may_log_alarm(self))
        return;
    char id[2 * ID_MAX + 1];
    for (int i = 0; i < effect->id_size; i++)
        snprintf(id + 2 * i, 3, "%02x", effect->id[i]);
    if (effect->kind == EFFECT_EXPIRED)
        log_warning("client %s (hex): %u pushes up to seq %" PRIu64 " of epoch %" PRIu64
                    " given up after delivery/retain_max",
                    id, effect->count, effect->position.seq, effect->position.epoch);
    else
        log_warning("client %s (hex) waits for seq %" PRIu64 " of epoch %" PRIu64, id,
                    effect->position.seq + 1, effect->position.epoch);
}

static void s_do_effects(orderer_t *self)
{
    core_effect_t effect;
    while (core_effect(self->core, &effect)) {
        if (effect.kind == EFFECT_OPEN)
            s_open(self, effect.receiver);
        else if (effect.kind == EFFECT_CLOSE)
            s_close(self, effect.receiver);
        else if (effect.kind == EFFECT_DETACHED)
            s_tell_detached(self, &effect);
        else
            s_log_alarm(self, &effect);
    }
}

//  ---- pushes ------------------------------------------------------------------------------------

static void s_refuse_all(request_t *request)
{
    for (uint32_t i = 0; i < request->count; i++) {
        push_t *push = &request->pushes[i];
        if (push->outcome != OUTCOME_ACCEPTED)
            continue;
        push->outcome = OUTCOME_SHUTTING_DOWN;
        push->now_epoch = push->next_seq = push->window_end = 0;
        push->retry_after_ms = 0;
    }
}

//  A kept push holds its whole frame. One that is mostly something else, as a peer may make it, would
//  keep more memory than the bounds count.
static bool s_is_sparse(const request_t *request)
{
    size_t used = 0;
    for (uint32_t i = 0; i < request->count; i++)
        if (request->pushes[i].outcome == OUTCOME_ACCEPTED)
            used += request->pushes[i].size;
    return frame_size(request->frame) > 2 * used + SPARSE_ROOM;
}

static void s_decide_all(orderer_t *self, request_t *request, int64_t now)
{
    //  A REQ peer gets nothing that it did not ask for.
    bool confirm = request->confirm && !request->delimited;
    core_begin_batch(self->core, s_is_sparse(request), confirm ? request->peer : 0);
    for (uint32_t i = 0; i < request->count; i++) {
        //  All of this is random memory, and each step needs what the one before it has fetched.
        if (i + 12 < request->count)
            core_prefetch_slot(self->core, &request->pushes[i + 12]);
        if (i + 8 < request->count)
            core_prefetch_client(self->core, &request->pushes[i + 8]);
        if (i + 4 < request->count)
            core_prefetch_places(self->core, &request->pushes[i + 4]);
        if (request->pushes[i].outcome == OUTCOME_ACCEPTED)
            core_push(self->core, request->frame, &request->pushes[i], now);
        else
            core_refused(self->core, &request->pushes[i], now);
    }
}

static void s_count_outcomes(orderer_t *self, request_t *request)
{
    request->accepted = request->rejected = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        const push_t *push = &request->pushes[i];
        if (push->outcome == OUTCOME_ACCEPTED) {
            request->accepted++;
            request->unreceived += push->unreceived;
        } else {
            request->rejected++;
            stats_add(&self->stats->outcomes[push->outcome], 1);
        }
    }
    stats_add(&self->stats->outcomes[OUTCOME_ACCEPTED], request->accepted);
    stats_add(&self->stats->unreceived, request->unreceived);
}

static void s_push(orderer_t *self, request_t *request, int64_t now)
{
    if (self->draining)
        s_refuse_all(request);
    else
        s_decide_all(self, request, now);
    s_count_outcomes(self, request);
    uint64_t took = (uint64_t)(pipe_clock() - request->received_at);
    histogram_add(&self->stats->enqueue, took, request->count);
}

//  ---- receivers ---------------------------------------------------------------------------------

static void s_error(orderer_t *self, request_t *request, error_code_t code, const char *message)
{
    request->failed = true;
    request->code = code;
    free(request->reply);
    request->reply = reply_pack_error(code, message, self->settings.instance, request->request_id,
                                      &request->reply_size);
}

static bool s_is_allowed(const orderer_t *self, const char *address)
{
    for (size_t i = 0; i < self->settings.allow_count; i++)
        if (address_matches(address, self->settings.allow_endpoint[i]))
            return true;
    return false;
}

//  Attaches the clients that the request names, and lists where each goes on.
static void s_attach_clients(orderer_t *self, receiver_t *receiver,
                             const Seqpush__V1__Attach *attach, Seqpush__V1__Attached *attached,
                             Seqpush__V1__Position *positions, int64_t now)
{
    for (size_t i = 0; i < attach->n_clients; i++) {
        const Seqpush__V1__Position *asked = attach->clients[i];
        position_t at = {asked->epoch, asked->seq};
        bool granted = core_attach_client(self->core, receiver, asked->client_id.data,
                                          asked->client_id.len, &at, now);
        seqpush__v1__position__init(&positions[i]);
        positions[i].client_id = asked->client_id;
        positions[i].epoch = at.epoch;
        positions[i].seq = at.seq;
        if (granted)
            attached->positions[attached->n_positions++] = &positions[i];
        else
            attached->refused[attached->n_refused++] = &positions[i];
    }
}

//  Attaches the prefix, if the request names one. False: the receiver has too many.
static bool s_attach_prefix(orderer_t *self, receiver_t *receiver,
                            const Seqpush__V1__Attach *attach, int64_t now)
{
    return attach->prefix_case != SEQPUSH__V1__ATTACH__PREFIX_CLIENT_PREFIX ||
           core_attach_prefix(self->core, receiver, attach->client_prefix.data,
                              attach->client_prefix.len, now);
}

static void s_attach_all(orderer_t *self, request_t *request, receiver_t *receiver, int64_t now)
{
    const Seqpush__V1__Attach *attach = request->body->attach;
    Seqpush__V1__Attached body = SEQPUSH__V1__ATTACHED__INIT;
    Seqpush__V1__Position *positions = calloc(attach->n_clients + 1, sizeof *positions);
    body.positions = calloc(attach->n_clients + 1, sizeof *body.positions);
    body.refused = calloc(attach->n_clients + 1, sizeof *body.refused);
    if (positions && body.positions && body.refused) {
        s_attach_clients(self, receiver, attach, &body, positions, now);
        body.receiver_id = attach->receiver_id;
        body.generation = receiver->generation;
        Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
        reply.body_case = SEQPUSH__V1__REPLY__BODY_ATTACHED;
        reply.attached = &body;
        s_reply(request, &reply, self->settings.instance);
        if (!s_attach_prefix(self, receiver, attach, now))
            s_error(self, request, ERROR_OVERLOADED, "the receiver has too many prefixes");
    } else {
        s_error(self, request, ERROR_OVERLOADED, "out of memory");
    }
    free(positions);
    free(body.positions);
    free(body.refused);
}

static void s_attach(orderer_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__Attach *attach = request->body->attach;
    char address[ADDRESS_MAX];
    if (!*attach->endpoint) {
        s_error(self, request, ERROR_UNSUPPORTED, "an Attach without an endpoint is not built");
        return;
    }
    if (*attach->server_key) {
        s_error(self, request, ERROR_UNSUPPORTED, "this broker does not speak CURVE");
        return;
    }
    if (!address_parse(attach->endpoint, address) || !s_is_allowed(self, address)) {
        s_error(self, request, ERROR_ENDPOINT_REFUSED,
                "the endpoint is no literal address, or delivery/allow_endpoint does not allow it");
        return;
    }
    core_attach_t wanted = {.id = attach->receiver_id.data,
                            .id_size = attach->receiver_id.len,
                            .address = address,
                            .peer = request->peer,
                            .ack_none = attach->ack_mode == SEQPUSH__V1__ACK_MODE__ACK_NONE};
    error_code_t code;
    receiver_t *receiver = core_attach(self->core, &wanted, now, &code);
    if (receiver)
        s_attach_all(self, request, receiver, now);
    else
        s_error(self, request, code,
                code == ERROR_OVERLOADED ? "no room for another receiver"
                                         : "the endpoint is a route's");
}

//  The receiver with this id in this generation, or NULL with the request answered.
static receiver_t *s_session(orderer_t *self, request_t *request, ProtobufCBinaryData id,
                             uint64_t generation)
{
    receiver_t *receiver = core_receiver(self->core, id.data, id.len);
    if (!receiver) {
        s_error(self, request, ERROR_UNKNOWN_RECEIVER, "attach first");
        return NULL;
    }
    if (receiver->generation != generation) {
        stats_add(&self->stats->acks_stale, 1);
        s_error(self, request, ERROR_STALE_GENERATION, "the receiver has another generation");
        return NULL;
    }
    //  It may have connected anew; what is unasked goes to where it was last heard.
    receiver->peer = request->peer;
    return receiver;
}

static void s_detach(orderer_t *self, request_t *request)
{
    const Seqpush__V1__Detach *detach = request->body->detach;
    receiver_t *receiver = s_session(self, request, detach->receiver_id, detach->generation);
    if (!receiver)
        return;
    for (size_t i = 0; i < detach->n_client_ids; i++)
        core_detach_client(self->core, receiver, detach->client_ids[i].data,
                           detach->client_ids[i].len);
    if (detach->n_client_ids == 0)
        core_detach(self->core, receiver);
    Seqpush__V1__Detached body = SEQPUSH__V1__DETACHED__INIT;
    body.receiver_id = detach->receiver_id;
    body.n_client_ids = detach->n_client_ids;
    body.client_ids = detach->client_ids;
    body.reason = "asked";
    body.generation = detach->generation;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_DETACHED;
    reply.detached = &body;
    s_reply(request, &reply, self->settings.instance);
}

static void s_ack(orderer_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__DeliveryAck *ack = request->body->ack;
    receiver_t *receiver = s_session(self, request, ack->receiver_id, ack->generation);
    if (!receiver)
        return;
    core_heard(receiver, now);
    for (size_t i = 0; i < ack->n_positions; i++) {
        const Seqpush__V1__Position *at = ack->positions[i];
        core_ack(self->core, receiver, at->client_id.data, at->client_id.len,
                 (position_t){at->epoch, at->seq}, now);
    }
    for (size_t i = 0; i < ack->n_missing; i++) {
        const Seqpush__V1__Position *at = ack->missing[i];
        core_missing(self->core, receiver, at->client_id.data, at->client_id.len,
                     (position_t){at->epoch, at->seq}, now);
    }
}

static void s_heartbeat(orderer_t *self, request_t *request, int64_t now)
{
    Seqpush__V1__Heartbeat *heartbeat = request->body->heartbeat;
    if (heartbeat->receiver_id.len) {
        receiver_t *receiver =
            s_session(self, request, heartbeat->receiver_id, heartbeat->generation);
        if (!receiver)
            return;
        core_heard(receiver, now);
    }
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_HEARTBEAT;
    reply.heartbeat = heartbeat;
    s_reply(request, &reply, self->settings.instance);
}

//  ---- ways out of a gap -------------------------------------------------------------------------

static void s_reply_position(orderer_t *self, request_t *request, ProtobufCBinaryData client_id,
                             position_t at)
{
    Seqpush__V1__Position body = SEQPUSH__V1__POSITION__INIT;
    body.client_id = client_id;
    body.epoch = at.epoch;
    body.seq = at.seq;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_POSITION;
    reply.position = &body;
    s_reply(request, &reply, self->settings.instance);
}

static void s_skip(orderer_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__Skip *skip = request->body->skip;
    position_t at = core_skip(self->core, skip->client_id.data, skip->client_id.len, skip->epoch,
                              skip->from, skip->to, now);
    s_reply_position(self, request, skip->client_id, at);
}

static void s_reset(orderer_t *self, request_t *request, int64_t now)
{
    const Seqpush__V1__Reset *reset = request->body->reset;
    position_t at = core_reset(self->core, reset->client_id.data, reset->client_id.len,
                               reset->epoch, reset->next_seq, now);
    s_reply_position(self, request, reset->client_id, at);
}

//  ---- requests ----------------------------------------------------------------------------------

static void s_decide_other(orderer_t *self, request_t *request, int64_t now)
{
    switch (request->kind) {
    case REQUEST_ATTACH:
        s_attach(self, request, now);
        break;
    case REQUEST_DETACH:
        s_detach(self, request);
        break;
    case REQUEST_ACK:
        s_ack(self, request, now);
        break;
    case REQUEST_HEARTBEAT:
        s_heartbeat(self, request, now);
        break;
    case REQUEST_SKIP:
        s_skip(self, request, now);
        break;
    default:
        s_reset(self, request, now);
    }
}

static void s_decide(orderer_t *self, request_t *request, int64_t now)
{
    bool changes = request->kind == REQUEST_ATTACH || request->kind == REQUEST_SKIP ||
                   request->kind == REQUEST_RESET;
    if (request->kind == REQUEST_PUSH)
        s_push(self, request, now);
    else if (self->draining && changes)
        s_error(self, request, ERROR_SHUTTING_DOWN, "the broker is stopping");
    else
        s_decide_other(self, request, now);
    //  What is unasked goes first: it was decided before the answer is given.
    s_do_effects(self);
    frame_unref(request->frame);
    request->frame = NULL;
    pipe_put(self->settings.front, &request->item, 1);
}

static bool s_take_requests(orderer_t *self, int64_t now)
{
    for (int i = 0; i < CHAINS_A_TURN; i++) {
        int64_t waited;
        pipe_item_t *item = pipe_take(self->settings.front, &waited);
        if (!item)
            return i > 0;
        histogram_add(&self->stats->request_wait, (uint64_t)waited, 1);
        while (item) {
            request_t *request = (request_t *)item;
            item = item->next;
            s_decide(self, request, now);
        }
        pipe_flush(self->settings.front);
    }
    return true;
}

//  ---- dispatches --------------------------------------------------------------------------------

static void s_dispatch(orderer_t *self, int64_t now)
{
    receiver_t *receiver;
    while ((receiver = core_ready(self->core))) {
        dispatch_t *dispatch = s_new_dispatch(self);
        if (!dispatch)
            return;
        core_fill(self->core, receiver, dispatch, self->settings.batch_max,
                  self->settings.batch_bytes, now);
        dispatch->endpoint = receiver->endpoint;
        pipe_put(self->settings.workers[receiver->worker], &dispatch->item, 1);
    }
}

static void s_flush(orderer_t *self)
{
    for (unsigned i = 0; i < self->settings.worker_count; i++)
        pipe_flush(self->settings.workers[i]);
    pipe_flush(self->settings.front);
}

//  ---- the actor ---------------------------------------------------------------------------------

static void s_control(orderer_t *self, zsock_t *control)
{
    char *command = zstr_recv_nowait(control);
    if (command && strcmp(command, "$TERM") == 0)
        self->terminated = true;
    else if (command && strcmp(command, "DRAIN") == 0)
        self->draining = true;
    zstr_free(&command);
}

static void s_look_at_drain(orderer_t *self, zsock_t *control)
{
    if (!self->draining || self->drained || core_draining(self->core))
        return;
    self->drained = true;
    zstr_send(control, "DRAINED");
}

static long s_timeout(const orderer_t *self)
{
    int64_t next = core_next_tick(self->core), now = pipe_clock();
    if (self->draining && !self->drained && next > now + DRAIN_LOOK)
        next = now + DRAIN_LOOK;
    if (next == INT64_MAX)
        return -1;
    return next > now ? (long)((next - now + 999999) / 1000000) : 0;
}

static void s_wait(orderer_t *self, zsock_t *control)
{
    zmq_pollitem_t items[STATS_WORKERS_MAX + 2] = {
        {zsock_resolve(control), 0, ZMQ_POLLIN, 0},
        {pipe_socket(self->settings.front), 0, ZMQ_POLLIN, 0}};
    unsigned count = 2;
    for (unsigned i = 0; i < self->settings.worker_count; i++)
        items[count++] = (zmq_pollitem_t){pipe_socket(self->settings.workers[i]), 0, ZMQ_POLLIN, 0};
    if (zmq_poll(items, (int)count, s_timeout(self)) > 0 && items[0].revents)
        s_control(self, control);
}

void orderer_run(zsock_t *control, void *args)
{
    orderer_t *self = args;
    pthread_setname_np(pthread_self(), "orderer");
    zsock_signal(control, 0);
    while (!self->terminated) {
        int64_t now = pipe_clock();
        bool busy = s_take_reports(self, now);
        busy |= s_take_requests(self, now);
        if (core_next_tick(self->core) <= now)
            core_tick(self->core, now);
        s_do_effects(self);
        s_dispatch(self, now);
        delivered_tell(self->core, self->settings.front, self->settings.instance);
        s_flush(self);
        s_look_at_drain(self, control);
        if (!busy)
            s_wait(self, control);
        else
            s_control(self, control);
    }
}

//  ---- the end -----------------------------------------------------------------------------------

void orderer_take_back(orderer_t *self, pipe_item_t *dispatches)
{
    while (dispatches) {
        dispatch_t *dispatch = (dispatch_t *)dispatches;
        dispatches = dispatches->next;
        if (dispatch->kind == DISPATCH_CLOSE && dispatch->endpoint)
            orderer_take_back(self, endpoint_close(dispatch->endpoint, 0));
        s_returned(self, dispatch, 0);
    }
}

//  The workers have ended, and with them their use of the endpoints.
static void s_close_endpoints(orderer_t *self)
{
    receiver_t *receiver;
    while ((receiver = core_any_endpoint(self->core))) {
        //  What ZeroMQ has for a route was promised to nobody else; after a clean drain it gets the time.
        bool route = receiver->kind == RECEIVER_ROUTE;
        int linger = route && self->drained ? (int)self->settings.linger : 0;
        orderer_take_back(self, endpoint_close(receiver->endpoint, linger));
        endpoint_destroy(&receiver->endpoint);
    }
}

void orderer_destroy(orderer_t **self_p)
{
    orderer_t *self = *self_p;
    if (!self)
        return;
    if (self->core)
        s_close_endpoints(self);
    core_destroy(&self->core);
    while (self->spare) {
        dispatch_t *next = (dispatch_t *)self->spare->item.next;
        free(self->spare);
        self->spare = next;
    }
    free(self->endpoints);
    free(self);
    *self_p = NULL;
}
