//  fuzz_front.c - a run of frames through all that decides them: read, judged by a key, decided, answered
//
//  The input is frames, each behind two bytes of its size. What the core then wants to send is taken,
//  and reported as sent at once.

#include "access.h"
#include "decider.h"
#include "permission.h"
#include "policy.h"
#include "reply.h"
#include <stdlib.h>
#include <string.h>

#define DISPATCH_MAX 16 //  entries

static const char s_public[] = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
static const request_limits_t s_limits = {.max_payload = 256, .max_pushes = 64, .key = {1}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    orderer_stats_t stats;
    stats_t inflight;
    core_t *core;
    decider_t decider;
    access_t *access;
    const access_key_t *key;
    int64_t now;
} world_t;

static access_t *s_access(void)
{
    char *role = "receiver", *roles[] = {"publisher", role}, *any = "*", *ids = "a*";
    char *endpoint = "tcp://*:*";
    config_access_t key = {.name = "key",
                           .public = (char *)s_public,
                           .role = {roles, 2},
                           .clients = {&ids, 1},
                           .receivers = {&any, 1},
                           .endpoints = {&endpoint, 1}};
    config_t config = {.security = {.keys = &key, .key_count = 1}};
    return access_new(&config);
}

static void s_open(world_t *self)
{
    static const char *const allow[] = {"tcp://*:*", "ipc://*"};
    core_settings_t settings = {.policy = &policy_deadline,
                                .window = 16,
                                .first_seq = 1,
                                .gap_timeout = 50,
                                .gap_alarm = 20,
                                .max_clients = 8,
                                .client_idle_timeout = 1000,
                                .memory_max = 8192,
                                .max_unacked = 8,
                                .max_unacked_bytes = 4096,
                                .backlog = 32,
                                .backlog_bytes = 4096,
                                .ack_timeout = 100,
                                .retain_max = 500,
                                .receiver_timeout = 300,
                                .max_receivers = 4,
                                .first_generation = 1};
    *self = (world_t){.now = 1};
    self->core = core_new(&settings, &self->stats);
    self->decider = (decider_t){.core = self->core,
                                .stats = &self->stats,
                                .instance = 1,
                                .allow_endpoint = allow,
                                .allow_count = 2};
    self->access = s_access();
    self->key = access_find(self->access, s_public);
}

//  ---- what the core wants -----------------------------------------------------------------------

static dispatch_t *s_dispatch(dispatch_kind_t kind, receiver_t *receiver)
{
    dispatch_t *dispatch = calloc(1, sizeof *dispatch + DISPATCH_MAX * sizeof dispatch->entries[0]);
    dispatch->kind = kind;
    dispatch->receiver = receiver;
    dispatch->generation = receiver->generation;
    return dispatch;
}

static void s_return(world_t *self, dispatch_t *dispatch)
{
    dispatch->sent = true;
    core_returned(self->core, dispatch, self->now);
    free(dispatch);
}

static void s_do_effects(world_t *self)
{
    core_effect_t effect;
    while (core_effect(self->core, &effect)) {
        if (effect.kind == EFFECT_OPEN)
            effect.receiver->inflight = &self->inflight;
        if (effect.kind == EFFECT_OPEN)
            s_return(self, s_dispatch(DISPATCH_OPEN, effect.receiver));
        else if (effect.kind == EFFECT_CLOSE)
            s_return(self, s_dispatch(DISPATCH_CLOSE, effect.receiver));
    }
}

static void s_send(world_t *self)
{
    receiver_t *receiver;
    while ((receiver = core_ready(self->core))) {
        dispatch_t *dispatch = s_dispatch(DISPATCH_PUSHES, receiver);
        core_fill(self->core, receiver, dispatch, DISPATCH_MAX, 2048, self->now);
        s_return(self, dispatch);
    }
}

//  ---- requests ----------------------------------------------------------------------------------

static void s_answer(const request_t *request)
{
    reply_ack_t ack = {.accepted = request->accepted, .request_id = request->request_id};
    size_t size;
    if (request->kind == REQUEST_PUSH)
        free(reply_pack_ack(&ack, request, 1, &size));
}

//  An odd peer is judged by the key, an even one may do everything.
static bool s_permit(const world_t *self, request_t *request)
{
    denied_t cause;
    if (request->peer % 2 == 0)
        return true;
    if (request->kind != REQUEST_PUSH)
        return permission_judge(self->key, request) == PERMITTED;
    permission_judge_pushes(self->key, request, &cause);
    return true;
}

static void s_request(world_t *self, const uint8_t *bytes, size_t size, uint64_t peer)
{
    error_code_t code;
    const char *reason;
    uint64_t request_id;
    frame_t *frame = frame_copy(bytes, size);
    request_t *request = request_read(frame, &s_limits, &code, &reason, &request_id);
    frame_unref(frame);
    if (!request)
        return;
    request->peer = peer;
    request->owner = peer % 2;
    request->received_at = pipe_clock();
    if (s_permit(self, request)) {
        decider_decide(&self->decider, request, self->now);
        s_answer(request);
    }
    request_destroy(&request);
}

static void s_turn(world_t *self)
{
    const core_confirmation_t *told;
    self->now += 10;
    if (core_next_tick(self->core) <= self->now)
        core_tick(self->core, self->now);
    s_do_effects(self);
    s_send(self);
    core_confirmations(self->core, &told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world_t world;
    s_open(&world);
    while (size >= 2) {
        size_t frame = (size_t)(data[0] | (data[1] & 0x0f) << 8);
        uint64_t peer = 1 + (data[1] >> 4);
        frame = frame > size - 2 ? size - 2 : frame;
        s_request(&world, data + 2, frame, peer);
        s_turn(&world);
        data += 2 + frame;
        size -= 2 + frame;
    }
    core_destroy(&world.core);
    access_destroy(&world.access);
    return 0;
}
