//  orderer.c - the orderer actor; see orderer.h

#include "orderer.h"
#include "crew.h"
#include "decider.h"
#include "delivered.h"
#include "front.h"
#include "keeper.h"
#include "log.h"
#include "pulse.h"
#include "reply.h"
#include <stdlib.h>
#include <string.h>

#define LAST_WITHIN 1000000000 //  ns that the journal has for what it is told at the end
#define DRAIN_LOOK 5000000 //  ns between looks at what a drain waits for

struct orderer {
    orderer_settings_t settings;
    orderer_stats_t *stats;
    core_t *core;
    crew_t *crew;
    decider_t decider;
    keeper_t *keeper; //  NULL: there is no journal
    front_t *front; //  that takes its turns in this thread; NULL: it has one of its own
    int64_t draining_at; //  since when new pushes are refused
    bool drained;
    bool terminated;
};

//  ---- life --------------------------------------------------------------------------------------

static crew_t *s_new_crew(const orderer_t *self)
{
    const orderer_settings_t *settings = &self->settings;
    crew_settings_t wanted = {.core = self->core,
                              .batch_max = settings->batch_max,
                              .send_hwm = settings->send_hwm,
                              .curve = settings->curve,
                              .stats = settings->stats};
    crew_t *crew = crew_new(&wanted);
    for (unsigned k = 0; crew && k < settings->worker_count; k++)
        crew_add(crew, settings->workers[k]);
    if (crew)
        crew_resize(crew, settings->worker_count);
    return crew;
}

static bool s_make_keeper(orderer_t *self)
{
    const orderer_settings_t *settings = &self->settings;
    if (!settings->journal)
        return true;
    self->keeper = keeper_new(&(keeper_settings_t){.core = self->core,
                                                   .journal = settings->journal,
                                                   .memory_max = settings->core.memory_max,
                                                   .stats = self->stats});
    return self->keeper != NULL;
}

orderer_t *orderer_new(const orderer_settings_t *settings)
{
    orderer_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->stats = &settings->stats->orderer;
    self->core = core_new(&settings->core, self->stats);
    self->crew = self->core ? s_new_crew(self) : NULL;
    self->decider = (decider_t){.core = self->core,
                                .stats = self->stats,
                                .instance = settings->instance,
                                .allow_endpoint = settings->allow_endpoint,
                                .allow_count = settings->allow_count,
                                .curve = settings->curve != NULL};
    if (!self->crew || !s_make_keeper(self))
        orderer_destroy(&self, 0);
    return self;
}

core_t *orderer_core(orderer_t *self)
{
    return self->core;
}

uint64_t orderer_kept(const orderer_t *self)
{
    return core_kept(self->core);
}

//  ---- effects -----------------------------------------------------------------------------------

static void s_tell_detached(orderer_t *self, const core_effect_t *effect)
{
    request_t *unasked = request_new(REPLY_UNASKED, effect->peer);
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
    unasked->reply = reply_pack(&reply, self->settings.instance, 0, &unasked->reply_size);
    pipe_put(self->settings.front, &unasked->item, 1);
}

static void s_ask_for_repair(orderer_t *self, const core_effect_t *effect)
{
    request_t *unasked = request_new(REPLY_REPAIR, effect->peer);
    if (!unasked)
        return;
    Seqpush__V1__Repair body = SEQPUSH__V1__REPAIR__INIT;
    body.client_id = (ProtobufCBinaryData){effect->id_size, (uint8_t *)effect->id};
    body.epoch = effect->position.epoch;
    body.from = effect->position.seq + 1;
    body.to = effect->to;
    Seqpush__V1__Reply reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_REPAIR;
    reply.repair = &body;
    unasked->reply = reply_pack(&reply, self->settings.instance, 0, &unasked->reply_size);
    pipe_put(self->settings.front, &unasked->item, 1);
}

//  Peers decide how many there are; the metrics have them all.
static void s_log_alarm(const core_effect_t *effect)
{
    char id[2 * ID_MAX + 1];
    for (int i = 0; i < effect->id_size; i++)
        snprintf(id + 2 * i, 3, "%02x", effect->id[i]);
    if (effect->kind == EFFECT_EXPIRED)
        log_limited(LOG_EXPIRIES, LOG_LEVEL_WARNING,
                    "client %s (hex): %u pushes up to seq %" PRIu64 " of epoch %" PRIu64
                    " given up after delivery/retain_max",
                    id, effect->count, effect->position.seq, effect->position.epoch);
    else
        log_limited(LOG_GAPS, LOG_LEVEL_WARNING,
                    "client %s (hex) waits for seq %" PRIu64 " of epoch %" PRIu64, id,
                    effect->position.seq + 1, effect->position.epoch);
}

static void s_do_effects(orderer_t *self)
{
    core_effect_t effect;
    while (core_effect(self->core, &effect)) {
        if (effect.kind == EFFECT_OPEN)
            crew_open(self->crew, effect.receiver);
        else if (effect.kind == EFFECT_CLOSE)
            crew_close(self->crew, effect.receiver);
        else if (effect.kind == EFFECT_DETACHED)
            s_tell_detached(self, &effect);
        else if (effect.kind == EFFECT_REPAIR)
            s_ask_for_repair(self, &effect);
        else
            s_log_alarm(&effect);
    }
}

//  ---- requests ----------------------------------------------------------------------------------

static void s_decide(orderer_t *self, request_t *request, int64_t now)
{
    decider_decide(&self->decider, request, now);
    //  What is unasked goes first: it was decided before the answer is given.
    s_do_effects(self);
    if (!self->keeper || keeper_decided(self->keeper, request))
        pipe_put(self->settings.front, &request->item, 1);
}

static void s_decide_chain(orderer_t *self, pipe_item_t *item, int64_t now)
{
    decider_begin(&self->decider, (request_t *)item);
    while (item) {
        request_t *request = (request_t *)item;
        item = item->next;
        s_decide(self, request, now);
    }
}

//  Lets the journal have what it is to keep, and decides what need not wait for it.
static void s_keep_all(orderer_t *self, pipe_item_t *item, int64_t now)
{
    while (item) {
        request_t *request = (request_t *)item;
        item = item->next;
        request->item.next = NULL;
        if (!keeper_take(self->keeper, request, self->decider.draining, now))
            s_decide_chain(self, &request->item, now);
    }
}

static bool s_take_requests(orderer_t *self, int64_t now)
{
    int64_t waited;
    pipe_item_t *item = pipe_take(self->settings.front, &waited);
    if (!item)
        return false;
    histogram_add(&self->stats->request_wait, (uint64_t)waited, 1);
    if (self->keeper)
        s_keep_all(self, item, now);
    else
        s_decide_chain(self, item, now);
    return true;
}

//  Decides what the journal has done with.
static bool s_take_kept(orderer_t *self, int64_t now)
{
    bool any = false, decide;
    request_t *request;
    while ((request = keeper_next(self->keeper, &decide))) {
        any = true;
        if (decide)
            s_decide_chain(self, &request->item, now);
        else
            pipe_put(self->settings.front, &request->item, 1);
    }
    //  The end does not wait for a disk that is not well.
    while (self->decider.draining && keeper_holds(self->keeper) &&
           now - self->draining_at > LAST_WITHIN)
        pipe_put(self->settings.front, &keeper_give_up(self->keeper)->item, 1);
    return any;
}

//  ---- dispatches --------------------------------------------------------------------------------

static void s_dispatch(orderer_t *self, int64_t now)
{
    receiver_t *receiver;
    while ((receiver = core_ready(self->core))) {
        dispatch_t *dispatch = crew_new_dispatch(self->crew);
        if (!dispatch)
            return;
        core_fill(self->core, receiver, dispatch, self->settings.batch_max,
                  self->settings.batch_bytes, now);
        crew_send(self->crew, receiver, dispatch);
    }
}

static void s_flush(orderer_t *self)
{
    crew_flush(self->crew);
    pipe_flush(self->settings.front);
    if (self->keeper)
        pipe_flush(self->settings.journal);
}

//  ---- the actor ---------------------------------------------------------------------------------

static void s_add_worker(orderer_t *self, zsock_t *control)
{
    void *pipe = NULL;
    zsock_recv(control, "p", &pipe);
    pipe_take_over(pipe);
    crew_add(self->crew, pipe);
}

static void s_resize(orderer_t *self, zsock_t *control)
{
    int count = 0;
    zsock_recv(control, "i", &count);
    crew_resize(self->crew, (unsigned)count);
}

static void s_begin_drain(orderer_t *self)
{
    self->decider.draining = true;
    self->draining_at = pipe_clock();
}

static void s_take_rules(orderer_t *self, zsock_t *control)
{
    void *rules = NULL;
    zsock_recv(control, "p", &rules);
    core_set_rules(self->core, rules);
}

//  From now on the front takes its turns in this thread.
static void s_take_front(orderer_t *self, zsock_t *control)
{
    void *front = NULL, *pipe = NULL;
    zsock_recv(control, "pp", &front, &pipe);
    pipe_take_over(pipe);
    self->front = front;
}

static void s_take_access(orderer_t *self, zsock_t *control)
{
    void *access = NULL;
    zsock_recv(control, "p", &access);
    if (access)
        front_admit(self->front, access);
}

static void s_control(orderer_t *self, zsock_t *control)
{
    char *command = zstr_recv_nowait(control);
    if (command && strcmp(command, "$TERM") == 0)
        self->terminated = true;
    else if (command && strcmp(command, "DRAIN") == 0)
        s_begin_drain(self);
    else if (command && strcmp(command, "ADD") == 0)
        s_add_worker(self, control);
    else if (command && strcmp(command, "RESIZE") == 0)
        s_resize(self, control);
    else if (command && strcmp(command, "RULES") == 0)
        s_take_rules(self, control);
    else if (command && strcmp(command, "FRONT") == 0)
        s_take_front(self, control);
    else if (command && strcmp(command, "ACCESS") == 0)
        s_take_access(self, control);
    else if (command && strcmp(command, PULSE_COMMAND) == 0)
        stats_add(&self->stats->pulses, 1);
    zstr_free(&command);
}

static void s_release_workers(orderer_t *self, zsock_t *control)
{
    int worker;
    while ((worker = crew_release(self->crew)) >= 0)
        zsock_send(control, "si", "RELEASED", worker);
}

static void s_look_at_drain(orderer_t *self, zsock_t *control)
{
    if (!self->decider.draining || self->drained || core_draining(self->core))
        return;
    self->drained = true;
    zstr_send(control, "DRAINED");
}

static long s_own_timeout(const orderer_t *self)
{
    int64_t next = core_next_tick(self->core), now = pipe_clock();
    if (self->keeper && keeper_next_tick(self->keeper) < next)
        next = keeper_next_tick(self->keeper);
    bool holds = self->keeper && keeper_holds(self->keeper);
    if (self->decider.draining && (holds || !self->drained) && next > now + DRAIN_LOOK)
        next = now + DRAIN_LOOK;
    if (next == INT64_MAX)
        return -1;
    return next > now ? (long)((next - now + 999999) / 1000000) : 0;
}

//  ms until there is something to do though nothing comes; -1: never.
static long s_timeout(const orderer_t *self)
{
    long own = s_own_timeout(self), front = self->front ? front_timeout(self->front) : -1;
    return own < 0 || (front >= 0 && front < own) ? front : own;
}

static void s_wait(orderer_t *self, zsock_t *control)
{
    pipe_t *pipes[STATS_WORKERS_MAX + 4] = {self->settings.front,
                                            inquiry_pipe(self->settings.inquiry)};
    zmq_pollitem_t items[STATS_WORKERS_MAX + FRONT_ITEMS + 5] = {
        {zsock_resolve(control), 0, ZMQ_POLLIN, 0}};
    int count = 2, item_count = 1;
    if (self->settings.journal)
        pipes[count++] = self->settings.journal;
    if (self->front) {
        pipes[count++] = front_pipe(self->front);
        item_count += front_items(self->front, items + 1);
    }
    count += crew_pipes(self->crew, pipes + count);
    if (pipe_wait(pipes, count, items, item_count, s_timeout(self)) && items[0].revents)
        s_control(self, control);
}

//  Gives the journal the positions that it lacks, and waits until it has them, but not for a disk that
//  is not well.
static void s_tell_last(orderer_t *self)
{
    int64_t end = pipe_clock() + LAST_WITHIN;
    pipe_t *journal = self->settings.journal;
    zmq_pollitem_t items[1];
    keeper_tell(self->keeper, true, pipe_clock());
    while (pipe_flush(journal), keeper_is_busy(self->keeper) && pipe_clock() < end) {
        if (s_take_kept(self, pipe_clock()))
            continue;
        pipe_wait(&journal, 1, items, 0, 10);
    }
}

//  Returns false if there was nothing to do.
static bool s_turn(orderer_t *self, zsock_t *control)
{
    bool busy = self->front && front_turn(self->front);
    int64_t now = pipe_clock();
    busy |= crew_take_reports(self->crew, now);
    if (self->keeper)
        busy |= s_take_kept(self, now);
    busy |= s_take_requests(self, now);
    while (self->front && front_read(self->front))
        busy |= s_take_requests(self, pipe_clock());
    busy |= inquiry_answer(self->settings.inquiry, self->core, now);
    if (core_next_tick(self->core) <= now)
        core_tick(self->core, now);
    s_do_effects(self);
    s_dispatch(self, now);
    delivered_tell(self->core, self->settings.front, self->settings.instance);
    if (self->keeper)
        keeper_tell(self->keeper, false, now);
    s_flush(self);
    s_release_workers(self, control);
    s_look_at_drain(self, control);
    return busy;
}

static void s_end_front(orderer_t *self, zsock_t *control)
{
    front_end(self->front);
    for (bool busy = true; !front_ended(self->front); busy = s_turn(self, control))
        if (!busy)
            s_wait(self, control);
}

void orderer_run(zsock_t *control, void *args)
{
    orderer_t *self = args;
    pthread_setname_np(pthread_self(), "orderer");
    zsock_signal(control, 0);
    for (unsigned turn = 0; !self->terminated;) {
        if (!s_turn(self, control))
            s_wait(self, control);
        else if (++turn % CONTROL_EVERY == 0)
            s_control(self, control);
    }
    if (self->front)
        s_end_front(self, control);
    if (self->keeper)
        s_tell_last(self);
}

//  ---- the end -----------------------------------------------------------------------------------

void orderer_take_back(orderer_t *self, pipe_item_t *dispatches)
{
    crew_take_back(self->crew, dispatches);
}

//  The workers have ended, and with them their use of the endpoints.
static void s_close_endpoints(orderer_t *self, uint32_t linger)
{
    receiver_t *receiver;
    while ((receiver = core_any_endpoint(self->core))) {
        //  What ZeroMQ has for a route was promised to nobody else, so it gets the time.
        bool route = receiver->kind == RECEIVER_ROUTE;
        crew_forget(self->crew, receiver, route ? (int)linger : 0);
    }
}

void orderer_destroy(orderer_t **self_p, uint32_t linger)
{
    orderer_t *self = *self_p;
    if (!self)
        return;
    if (self->crew)
        s_close_endpoints(self, linger);
    keeper_destroy(&self->keeper);
    core_destroy(&self->core);
    crew_destroy(&self->crew);
    free(self);
    *self_p = NULL;
}
