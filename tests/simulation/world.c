//  world.c - one run: settings, time, effects, the end; see world.h

#include "world.h"
#include <string.h>

#define MS INT64_C(1000000)
#define UNIT (INT64_C(1) << 20) //  ns of the coarse clock that idleness and retries are measured by
#define ROUNDS_MAX 2000 //  until all has arrived
#define DAY (INT64_C(86400000) * MS)

const char *const world_addresses[WORLD_ADDRESSES] = {
    "tcp://127.0.0.1:7000", "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002", "tcp://127.0.0.1:7003",
    "tcp://127.0.0.1:8000"};

static const core_route_t s_routes[MODEL_ROUTES] = {
    {.match = "a*b*", .endpoint = "tcp://127.0.0.1:8000"},
    {.match = "b?", .endpoint = "tcp://127.0.0.1:8001"}};

//  ---- settings ----------------------------------------------------------------------------------

static uint32_t s_pick(world_t *self, const uint32_t *of, uint32_t count)
{
    return of[dice_roll(&self->dice, count)];
}

//  The policy of tests/plugin, as a plug-in brings it.
extern const policy_t seqpush_policy;

static const policy_t *s_some_policy(world_t *self)
{
    static const policy_t *const policies[] = {&policy_strict, &policy_deadline, &policy_latest,
                                               &seqpush_policy, &policy_passthrough};
    //  One report would be the last event of several clients.
    return policies[dice_roll(&self->dice, self->evicts ? 4 : 5)];
}

//  Half of the runs are strict, as most brokers will be; in the others clients differ.
static void s_set_policies(world_t *self)
{
    core_settings_t *settings = &self->settings;
    settings->policy = &policy_strict;
    settings->gap_timeout = dice_between(&self->dice, 1, 3000) * MS;
    if (dice_chance(&self->dice, 50))
        return;
    static const char *const globs[WORLD_RULES] = {"?b*", "a*", "b*"};
    settings->policy = s_some_policy(self);
    settings->rules = self->rules;
    settings->rule_count = dice_roll(&self->dice, WORLD_RULES + 1);
    for (size_t i = 0; i < settings->rule_count; i++)
        self->rules[i] = (rule_t){globs[i],
                                  s_some_policy(self),
                                  {.window = dice_between(&self->dice, 1, settings->window),
                                   .first_seq = settings->first_seq + dice_roll(&self->dice, 3),
                                   .gap_timeout = dice_between(&self->dice, 1, 3000) * MS,
                                   .gap_alarm = dice_roll(&self->dice, 3000) * MS,
                                   .repair_delay = dice_roll(&self->dice, 100) * MS}};
}

//  What stands in the configuration, within what its check allows, but small.
static void s_set_bounds(world_t *self)
{
    core_settings_t *settings = &self->settings;
    static const uint32_t windows[] = {1, 2, 3, 5, 8, 16, 33, 100, 150};
    uint32_t kept = self->max_payload + 160;
    settings->window = s_pick(self, windows, sizeof windows / sizeof *windows);
    settings->backlog = 2 * settings->window + dice_roll(&self->dice, 30);
    settings->backlog_bytes = kept * dice_between(&self->dice, 1, 10);
    if (dice_chance(&self->dice, 70))
        settings->backlog_bytes = 1 << 20;
    settings->memory_max = kept * dice_between(&self->dice, 8, 40);
    if (dice_chance(&self->dice, 50))
        settings->memory_max = 1 << 28;
    settings->max_unacked = dice_between(&self->dice, 1, 20);
    settings->max_unacked_bytes = dice_between(&self->dice, 1, 1000);
    if (dice_chance(&self->dice, 50))
        settings->max_unacked_bytes = 1 << 20;
    settings->max_clients = self->evicts ? dice_between(&self->dice, 1, MODEL_CLIENTS - 1) : 100;
    settings->max_receivers = dice_between(&self->dice, 1, MODEL_SLOTS + 1);
}

static void s_set_times(world_t *self)
{
    core_settings_t *settings = &self->settings;
    if (dice_chance(&self->dice, 70))
        settings->gap_alarm = dice_between(&self->dice, 1, 5000) * MS;
    if (dice_chance(&self->dice, 70))
        settings->repair_delay = dice_between(&self->dice, 1, 100) * MS;
    if (dice_chance(&self->dice, 40))
        settings->retain_max = dice_between(&self->dice, 1, 20000) * MS;
    settings->ack_timeout = dice_between(&self->dice, 1, 3000) * MS;
    settings->client_idle_timeout = 20 * DAY;
    if (self->forgets)
        settings->client_idle_timeout = dice_between(&self->dice, 1, 20000) * MS;
    settings->receiver_timeout = dice_between(&self->dice, 20, 20000) * MS;
    if (self->evicts)
        settings->receiver_timeout = 1000 * DAY;
}

static void s_set_all(world_t *self)
{
    core_settings_t *settings = &self->settings;
    settings->first_seq = 1;
    if (dice_chance(&self->dice, 30))
        settings->first_seq = dice_between(&self->dice, 1, 500);
    memcpy(settings->key, "a key that lasts", REQUEST_KEY_SIZE);
    settings->first_generation = dice_next(&self->dice) >> 2 | 1;
    if (!self->evicts && dice_chance(&self->dice, 30)) {
        settings->routes = s_routes;
        settings->route_count = dice_between(&self->dice, 1, MODEL_ROUTES);
    }
    s_set_bounds(self);
    s_set_times(self);
    s_set_policies(self);
}

//  The clock starts anywhere, and often just before one of the counters in the core goes round.
static int64_t s_start_time(world_t *self)
{
    if (dice_chance(&self->dice, 60))
        return 1 + dice_roll(&self->dice, 1000000) * MS;
    int64_t round = dice_chance(&self->dice, 50) ? INT64_C(1) << 46 : INT64_C(1) << 52;
    return round - dice_roll(&self->dice, 2000) * MS;
}

static void s_set_faults(world_t *self)
{
    if (dice_chance(&self->dice, 50))
        self->faults.loss = dice_roll(&self->dice, 20);
    if (dice_chance(&self->dice, 50))
        self->faults.hostile = dice_roll(&self->dice, 30);
    if (dice_chance(&self->dice, 50))
        self->faults.invented = dice_roll(&self->dice, 30);
}

world_t *world_new(uint64_t seed)
{
    world_t *self = calloc(1, sizeof *self);
    check(self && (self->stats = calloc(1, sizeof *self->stats)), "no memory");
    self->dice.state = seed;
    self->evicts = dice_chance(&self->dice, 10);
    self->forgets = !self->evicts && dice_chance(&self->dice, 10);
    self->confirms = dice_chance(&self->dice, 60);
    self->numberless = dice_chance(&self->dice, 40);
    self->counts_frames = dice_chance(&self->dice, 50);
    self->max_payload = dice_between(&self->dice, 4, dice_chance(&self->dice, 80) ? 40 : 300);
    self->batch_max = dice_between(&self->dice, 1, 10);
    self->batch_bytes = dice_between(&self->dice, 1, 600);
    s_set_all(self);
    s_set_faults(self);
    self->now = check_at.now = s_start_time(self);
    model_init(&self->model, &self->settings);
    self->core = core_new(&self->settings, self->stats);
    check(self->core, "no memory");
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        self->gateways[i].slot = i;
        self->gateways[i].address = world_addresses[i];
        self->gateways[i].peer = ++self->next_peer;
    }
    return self;
}

//  ---- effects -----------------------------------------------------------------------------------

uint32_t world_receiver(const world_t *self, const receiver_t *receiver)
{
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        if (receiver->id_size && strlen(self->model.receivers[i].id) == receiver->id_size &&
            memcmp(self->model.receivers[i].id, receiver->id, receiver->id_size) == 0)
            return i;
    for (uint32_t i = 0; i < self->settings.route_count; i++)
        if (!receiver->id_size && strcmp(self->settings.routes[i].endpoint, receiver->address) == 0)
            return MODEL_SLOTS + i;
    check(false, "no such receiver");
}

uint32_t world_client(const world_t *self, const void *id, size_t id_size)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        if (self->model.clients[i].id_size == id_size &&
            memcmp(self->model.clients[i].id, id, id_size) == 0)
            return i;
    check(false, "no such client");
}

static void s_do_effect(world_t *self, const core_effect_t *effect)
{
    receiver_t named = {.id_size = effect->receiver_id_size};
    memcpy(named.id, effect->receiver_id, named.id_size);
    if (effect->kind == EFFECT_EXPIRED) {
        uint32_t client = world_client(self, effect->id, effect->id_size);
        self->model.clients[client].expired_told += effect->count;
        return;
    }
    if (effect->kind == EFFECT_REPAIR) {
        uint32_t client = world_client(self, effect->id, effect->id_size);
        trace("repair of %u asked of %llu", client, (unsigned long long)effect->peer);
        model_repair(&self->model, client, effect->peer, effect->position, effect->to, self->now);
        return;
    }
    model_effect_t seen = {.kind = effect->kind,
                           .receiver = MODEL_NOBODY,
                           .generation = effect->generation,
                           .peer = effect->peer,
                           .reason = effect->reason,
                           .client = -1,
                           .position = effect->position};
    if (effect->kind == EFFECT_DETACHED)
        seen.receiver = world_receiver(self, &named);
    else if (effect->kind != EFFECT_ALARM)
        seen.receiver = world_receiver(self, effect->receiver);
    if (effect->id_size)
        seen.client = (int)world_client(self, effect->id, effect->id_size);
    model_expects(&self->model, &seen);
    if (effect->kind == EFFECT_OPEN)
        sender_open(self, effect->receiver, effect->generation);
    else if (effect->kind == EFFECT_CLOSE)
        sender_close(self, effect->receiver);
}

void world_do_effects(world_t *self)
{
    core_effect_t effect;
    while (core_effect(self->core, &effect))
        s_do_effect(self, &effect);
}

void world_confirm(world_t *self)
{
    const core_confirmation_t *told;
    size_t count = core_confirmations(self->core, &told);
    for (size_t i = 0; i < count; i++) {
        uint32_t client = world_client(self, told[i].client->id, told[i].client->id_size);
        trace("publisher %llu: %u:%llu/%llu %s", (unsigned long long)told[i].publisher, client,
              (unsigned long long)told[i].position.epoch, (unsigned long long)told[i].position.seq,
              told[i].given_up ? "given up" : "delivered");
        model_told(&self->model, client, told[i].publisher, told[i].position, told[i].given_up);
    }
    model_all_told(&self->model);
}

//  ---- time --------------------------------------------------------------------------------------

static void s_advance(world_t *self, int64_t by)
{
    self->now += by + (self->evicts ? UNIT : 0);
    check_at.now = self->now;
}

static int64_t s_some_time(world_t *self)
{
    uint32_t kind = dice_roll(&self->dice, 100);
    if (kind < 60)
        return dice_roll(&self->dice, 50000);
    if (kind < 90)
        return dice_roll(&self->dice, 20 * MS);
    if (kind < 98)
        return dice_roll(&self->dice, 2000) * MS;
    return dice_roll(&self->dice, 3600000) * MS;
}

//  When an ack is overdue is the core's to find out: the model is told that it did.
static void s_note_overdue(world_t *self, receiver_t *receiver, bool stalled)
{
    for (client_t *at = receiver ? receiver->clients : NULL; at; at = at->next) {
        uint32_t client = world_client(self, at->id, at->id_size);
        if (self->model.clients[client].sent && !at->retained.sent)
            model_overdue(&self->model, client, stalled, self->now);
    }
}

//  The core is asked only when it wanted to be, the model every time.
static void s_tick(world_t *self)
{
    uint64_t evicted = stats_get(&self->stats->clients_evicted);
    if (core_next_tick(self->core) <= self->now)
        core_tick(self->core, self->now);
    check(core_next_tick(self->core) > self->now, "a timer is due, and has been");
    //  Who has waited for too long is seen before anything is given up, as that may end the wait.
    bool stalled[MODEL_SLOTS];
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        stalled[i] = model_is_stalled(&self->model, i, self->now);
    model_tick(&self->model, stats_get(&self->stats->clients_evicted) - evicted, self->now);
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        const char *id = self->model.receivers[i].id;
        s_note_overdue(self, core_receiver(self->core, id, strlen(id)), stalled[i]);
    }
    world_do_effects(self);
    model_all_repaired(&self->model, self->now);
    world_confirm(self);
}

static void s_compare(const world_t *self)
{
    model_compare(&self->model, self->core, self->stats);
    check(stats_get(&self->inflight) == stats_get(&self->stats->unacked_messages), "in flight");
}

//  ---- events ------------------------------------------------------------------------------------

static void s_request(world_t *self)
{
    uint32_t kind = dice_roll(&self->dice, 100);
    if (kind < 66)
        publisher_push(self);
    else if (kind < 72)
        publisher_skip(self);
    else if (kind < 74)
        publisher_reset(self);
    else if (kind < 88)
        gateway_attach(self);
    else if (kind < 91)
        gateway_detach(self);
    else if (kind < 94)
        gateway_restart(self);
    else
        gateway_heartbeat(self, &self->gateways[dice_roll(&self->dice, MODEL_SLOTS)]);
}

static void s_read_route(world_t *self)
{
    for (uint32_t i = 0; i < self->settings.route_count; i++) {
        uint64_t generation;
        delivery_t *delivery =
            sender_receive(self, self->settings.routes[i].endpoint, 0, &generation);
        if (delivery)
            sender_free(&delivery);
    }
}

static void s_transport(world_t *self)
{
    gateway_t *gateway = &self->gateways[dice_roll(&self->dice, MODEL_SLOTS)];
    switch (dice_roll(&self->dice, 6)) {
    case 0:
        sender_dispatch(self, dice_chance(&self->dice, 50) ? UINT32_MAX : 1);
        break;
    case 1:
    case 2:
        sender_step(self);
        break;
    case 3:
        gateway_read(self, gateway);
        s_read_route(self);
        break;
    case 4:
        gateway_acknowledge(self, gateway, false);
        break;
    default:
        gateway_send_ack(self, gateway);
    }
}

//  Clients that the core has forgotten start anew, and their receivers know.
static void s_note_lives(world_t *self)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        if (self->lives[i] != self->model.clients[i].life)
            gateway_forget(self, i);
        self->lives[i] = self->model.clients[i].life;
    }
}

void world_run(world_t *self, uint32_t steps)
{
    world_do_effects(self);
    for (check_at.step = 0; check_at.step < steps; check_at.step++) {
        s_advance(self, s_some_time(self));
        s_tick(self);
        s_note_lives(self);
        s_request(self);
        world_do_effects(self);
        world_confirm(self);
        s_note_lives(self);
        for (uint32_t i = dice_roll(&self->dice, 8); i > 0; i--) {
            s_advance(self, 0);
            s_transport(self);
            if (self->evicts || dice_chance(&self->dice, 50))
                world_confirm(self);
        }
        world_confirm(self);
        s_compare(self);
    }
}

//  ---- the end -----------------------------------------------------------------------------------

//  Lets everything that is under way arrive, and all acks.
static void s_flow(world_t *self)
{
    sender_dispatch(self, UINT32_MAX);
    while (sender_step(self))
        ;
    s_read_route(self);
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        gateway_t *gateway = &self->gateways[i];
        while (gateway_read(self, gateway))
            ;
        gateway_acknowledge(self, gateway, true);
        while (s_advance(self, 0), gateway_send_ack(self, gateway))
            ;
    }
}

static uint32_t s_kept(const world_t *self)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        kept += model_kept(&self->model.clients[i]);
    return kept;
}

//  A while in which the receivers stay, and acks may become overdue. A day is more than the greatest
//  patience, and thousands of them do not end the clock.
static void s_wait(world_t *self, uint32_t round)
{
    int64_t while_ = round < 100 ? self->settings.ack_timeout / 2 : DAY;
    if (while_ >= self->settings.receiver_timeout)
        while_ = self->settings.receiver_timeout - 1;
    s_advance(self, while_);
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        gateway_heartbeat(self, &self->gateways[i]);
    s_tick(self);
    s_note_lives(self);
}

//  For some rounds deliveries are lost still, so that at the end time alone brings them again.
void world_settle(world_t *self)
{
    trace("faults cease");
    self->faults = (faults_t){.loss = dice_roll(&self->dice, 60)};
    self->forgets = false;
    gateway_attach_all(self);
    for (uint32_t round = 0; s_kept(self); round++, check_at.step++) {
        if (round == 5)
            self->faults.loss = 0;
        s_flow(self);
        publisher_fill_holes(self);
        world_confirm(self);
        s_compare(self);
        s_wait(self, round);
        check(round < ROUNDS_MAX, "there is no end to it");
    }
    while (sender_step(self))
        ;
    world_confirm(self);
    model_nothing_lost(&self->model);
    check(core_kept(self->core) == 0, "something is kept at the end");
    check(self->counts_frames || stats_get(&self->stats->frame_bytes) == 0, "a frame is kept");
}

void world_destroy(world_t *self)
{
    bool empty = core_kept(self->core) == 0;
    sender_stop(self);
    for (uint32_t i = 0; empty && i < self->frame_count; i++)
        check(self->frames[i]->refs == 1, "nothing is kept, and a frame is");
    core_destroy(&self->core);
    check(!self->core, "the core is there still");
    for (uint32_t i = 0; i < self->frame_count; i++) {
        check(self->frames[i]->refs == 1, "the core has gone, and left a frame behind");
        frame_unref(self->frames[i]);
    }
    model_fini(&self->model);
    free(self->frames);
    free(self->stats);
    free(self);
}
