//  broker.c - makes the pipes and the actors of one broker; see broker.h

#include "broker.h"
#include "committer.h"
#include "descriptors.h"
#include "front.h"
#include "gate.h"
#include "http.h"
#include "inquiry.h"
#include "keeper.h"
#include "log.h"
#include "orderer.h"
#include "ordering.h"
#include "pulse.h"
#include "restore.h"
#include "worker.h"
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

//  In units of request weight: one a request, and one for every 4 KiB of it. What is beyond waits
//  in the ROUTER; a longer pipe would only make the wait of those in it longer.
#define FRONT_PIPE_CAPACITY 64
#define WORKER_PIPE_CAPACITY 1024 //  dispatches
#define JOURNAL_PIPE_CAPACITY 65536 //  operations

#define REPLIES_LINGER 100 //  ms that the last replies have to leave, at least

typedef struct {
    pipe_t *near; //  the orderer's end
    pipe_t *far; //  the worker's
    worker_t *worker;
    zactor_t *actor;
    pulse_t pulse;
} worker_slot_t;

struct broker {
    const config_t *config;
    broker_stats_t *stats;
    pipe_t *front_near, *front_far; //  the front's end, the orderer's
    worker_slot_t workers[STATS_WORKERS_MAX];
    unsigned worker_count; //  that share the endpoints
    unsigned leaving; //  behind them, those that the orderer has not released
    unsigned wanted; //  workers
    bool drained;
    core_route_t *routes;
    ordering_t *ordering;
    const journal_engine_t *engine;
    journal_store_t *store; //  NULL: nothing is kept
    pipe_t *journal_near, *journal_far; //  the orderer's end, the committer's
    committer_t *committer;
    orderer_t *orderer;
    front_t *front;
    http_t *http;
    inquiry_t *inquiry; //  between http and orderer
    gate_t *gate; //  NULL: no CURVE
    certificate_t curve; //  the broker's keys, with the gate
    zactor_t *committer_actor, *orderer_actor, *front_actor, *gate_actor;
    pulse_t committer_pulse, orderer_pulse, front_pulse, gate_pulse;
    uint8_t key[REQUEST_KEY_SIZE];
    uint64_t instance;
    uint32_t max_receivers, max_connections;
};

//  ---- starting ----------------------------------------------------------------------------------

static void s_raise_limits(broker_t *self)
{
    descriptors_t allowed = descriptors_raise();
    uint32_t wanted = self->config->front.max_connections;
    self->max_receivers = allowed.receivers;
    self->max_connections = wanted && wanted < allowed.connections ? wanted : allowed.connections;
    zsys_set_io_threads(2); //  one for the front, one for what the broker connects to
    zsys_set_max_sockets(self->max_receivers + 1024);
    log_info("%lu file descriptors, so at most %u receivers and %u connections", allowed.files,
             self->max_receivers, self->max_connections);
}

//  Microseconds since 1970: greater in every later run.
static uint64_t s_wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool s_start_worker(broker_t *self, unsigned k)
{
    worker_slot_t *slot = &self->workers[k];
    if (!descriptors_left() || pipe_new(&slot->near, &slot->far, WORKER_PIPE_CAPACITY) < 0)
        return false;
    worker_settings_t settings = {.number = k,
                                  .batch_max = self->config->workers.batch_max,
                                  .batch_bytes = self->config->workers.batch_bytes,
                                  .orderer = slot->far,
                                  .stats = stats_worker(self->stats, k)};
    slot->worker = settings.stats ? worker_new(&settings) : NULL;
    slot->actor = slot->worker ? zactor_new(worker_run, slot->worker) : NULL;
    return slot->actor != NULL;
}

static bool s_start_workers(broker_t *self)
{
    self->wanted = self->config->workers.count;
    while (self->worker_count < self->wanted)
        if (!s_start_worker(self, self->worker_count++))
            return false;
    stats_set(&self->stats->worker_count, self->worker_count);
    return true;
}

//  ---- the journal -------------------------------------------------------------------------------

//  journal/path, or the state directory as systemd names it: the first of a list.
static char *s_journal_path(const broker_t *self)
{
    const char *path = self->config->journal.path, *state = getenv("STATE_DIRECTORY");
    if (*path)
        return strdup(path);
    return state && *state ? strndup(state, strcspn(state, ":")) : strdup("/var/lib/seqpush");
}

static bool s_open_journal(broker_t *self, char **error)
{
    self->engine = journal_named(self->config->journal.engine);
    if (!self->engine->keeps)
        return true;
    char *path = s_journal_path(self);
    journal_settings_t settings = {.path = path, .max_bytes = self->config->journal.max_bytes};
    if (path)
        self->store = self->engine->open(&settings, error);
    free(path);
    return self->store &&
           pipe_new(&self->journal_near, &self->journal_far, JOURNAL_PIPE_CAPACITY) == 0;
}

//  Brings the core to where the journal says that it was.
static bool s_restore(broker_t *self, char **error)
{
    if (!self->store)
        return true;
    int64_t began = pipe_clock();
    restore_t *restore = restore_new(orderer_core(self->orderer), began);
    bool ok = restore && self->engine->load(self->store, restore_take, restore, error) &&
              restore_end(restore);
    restore_destroy(&restore);
    if (!ok && !*error)
        *error =
            strdup("no memory, or not enough ordering/max_clients, for what the journal keeps");
    if (ok)
        log_info("the journal was read in %" PRId64 " ms: %" PRIu64 " pushes of %" PRIu64
                 " clients",
                 (pipe_clock() - began) / 1000000, orderer_kept(self->orderer),
                 stats_get(&self->stats->orderer.clients));
    return ok;
}

static bool s_start_committer(broker_t *self)
{
    if (!self->store)
        return true;
    const config_t *config = self->config;
    committer_settings_t settings = {.engine = self->engine,
                                     .store = self->store,
                                     .commit_max = config->journal.commit_max,
                                     .commit_interval = config->journal.commit_interval * 1000000LL,
                                     .orderer = self->journal_far,
                                     .stats = &self->stats->journal};
    self->committer = committer_new(&settings);
    self->committer_actor = self->committer ? zactor_new(committer_run, self->committer) : NULL;
    return self->committer_actor != NULL;
}

//  ---- the orderer -------------------------------------------------------------------------------

static core_settings_t s_core_settings(const broker_t *self)
{
    const config_t *config = self->config;
    uint64_t on_their_way = (uint64_t)config->workers.send_hwm * config->workers.batch_bytes;
    uint64_t largest = 4 * (uint64_t)config->front.max_payload;
    core_settings_t settings = {
        .max_clients = config->ordering.max_clients,
        .client_idle_timeout = config->ordering.client_idle_timeout * 1000000LL,
        .memory_max = config->ordering.memory_max,
        .max_unacked = config->delivery.max_unacked,
        .max_unacked_bytes = on_their_way > largest ? on_their_way : largest,
        .backlog = config->delivery.backlog,
        .backlog_bytes = config->delivery.backlog_bytes,
        .ack_timeout = config->delivery.ack_timeout * 1000000LL,
        .retain_max = config->delivery.retain_max * 1000000LL,
        .receiver_timeout = config->delivery.receiver_timeout * 1000000LL,
        .max_receivers = self->max_receivers,
        .routes = self->routes,
        .route_count = config->delivery.route_count,
        //  From the wall clock, so that a later run never uses a number again.
        .first_generation = self->instance,
        .journal = self->store != NULL,
    };
    memcpy(settings.key, self->key, sizeof self->key);
    ordering_apply(self->ordering, &settings);
    return settings;
}

static bool s_list_routes(broker_t *self)
{
    size_t count = self->config->delivery.route_count;
    self->routes = calloc(count ? count : 1, sizeof *self->routes);
    if (!self->routes)
        return false;
    for (size_t i = 0; i < count; i++) {
        self->routes[i].match = self->config->delivery.routes[i].match;
        self->routes[i].endpoint = self->config->delivery.routes[i].endpoint;
        self->routes[i].server_key = self->config->delivery.routes[i].server_key;
    }
    return true;
}

//  The broker's keys, or NULL without CURVE.
static const certificate_t *s_curve(const broker_t *self)
{
    return self->gate ? &self->curve : NULL;
}

static bool s_start_orderer(broker_t *self, char **error)
{
    self->inquiry = inquiry_new();
    if (!self->inquiry || !s_list_routes(self) ||
        pipe_new(&self->front_near, &self->front_far, FRONT_PIPE_CAPACITY) < 0)
        return false;
    pipe_t *workers[STATS_WORKERS_MAX];
    for (unsigned k = 0; k < self->worker_count; k++)
        workers[k] = self->workers[k].near;
    const config_list_t *allow = &self->config->delivery.allow_endpoint;
    orderer_settings_t settings = {.core = s_core_settings(self),
                                   .instance = self->instance,
                                   .batch_max = self->config->workers.batch_max,
                                   .batch_bytes = self->config->workers.batch_bytes,
                                   .send_hwm = self->config->workers.send_hwm,
                                   .allow_endpoint = (const char *const *)allow->items,
                                   .allow_count = allow->count,
                                   .curve = s_curve(self),
                                   .front = self->front_far,
                                   .journal = self->journal_near,
                                   .workers = workers,
                                   .worker_count = self->worker_count,
                                   .inquiry = self->inquiry,
                                   .stats = self->stats};
    self->orderer = orderer_new(&settings);
    if (!self->orderer || !s_restore(self, error) || !s_start_committer(self))
        return false;
    self->orderer_actor = zactor_new(orderer_run, self->orderer);
    return self->orderer_actor != NULL;
}

static bool s_start_gate(broker_t *self, char **error)
{
    const char *path = self->config->security.secret_file;
    const char *wrong = *path ? certificate_read(&self->curve, path) : NULL;
    if (wrong && asprintf(error, "%s %s", path, wrong) < 0)
        *error = NULL;
    if (wrong || !*path)
        return !wrong;
    access_t *access = access_new(self->config);
    self->gate = access ? gate_new(access, &self->stats->gate) : NULL;
    self->gate_actor = self->gate ? zactor_new(gate_run, self->gate) : NULL;
    if (self->gate_actor)
        log_info("CURVE is on: the broker's key is %s", self->curve.public_key);
    return self->gate_actor != NULL;
}

static bool s_run_front(broker_t *self)
{
    if (self->config->front.own_thread) {
        self->front_actor = zactor_new(front_run, self->front);
        return self->front_actor != NULL;
    }
    pipe_hand_over(self->front_near);
    return zsock_send(self->orderer_actor, "spp", "FRONT", self->front, self->front_near) == 0;
}

static bool s_start_front(broker_t *self, char **error)
{
    const config_t *config = self->config;
    front_settings_t settings = {.bind = (const char *const *)config->front.bind.items,
                                 .bind_count = config->front.bind.count,
                                 .limits = {.max_payload = config->front.max_payload,
                                            .max_pushes = config->front.publisher_credit},
                                 .paced = self->store != NULL,
                                 .publisher_credit = config->front.publisher_credit,
                                 .publisher_rate = config->front.publisher_rate,
                                 .handshake_timeout = config->front.handshake_timeout,
                                 .connections_max = self->max_connections,
                                 .unread_max = config->front.max_unread,
                                 .curve = s_curve(self),
                                 .instance = self->instance,
                                 .orderer = self->front_near,
                                 .stats = &self->stats->front};
    memcpy(settings.limits.key, self->key, sizeof self->key);
    if (settings.curve && !(settings.access = access_new(config)))
        return false;
    self->front = front_new(&settings, error);
    return self->front && s_run_front(self);
}

static bool s_start_http(broker_t *self, char **error)
{
    if (!*self->config->http.bind)
        return true;
    self->http = http_new(self->config->http.bind, self->stats, self->inquiry, error);
    return self->http != NULL;
}

broker_t *broker_new(const config_t *config, char **error)
{
    *error = NULL;
    broker_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->config = config;
    self->instance = s_wall_clock();
    randombytes_buf(self->key, sizeof self->key);
    s_raise_limits(self);
    self->stats = stats_new(self->instance, pipe_clock());
    self->ordering = ordering_new(config, error);
    if (self->ordering && self->stats && s_open_journal(self, error) && s_start_gate(self, error) &&
        s_start_workers(self) && s_start_orderer(self, error) && s_start_front(self, error) &&
        s_start_http(self, error)) {
        atomic_store(&self->stats->ready, 1);
        return self;
    }
    if (!*error)
        *error = strdup("no memory, or no more sockets");
    broker_destroy(&self, 0);
    return NULL;
}

const char *broker_endpoints(const broker_t *self)
{
    return front_endpoints(self->front);
}

const char *broker_http(const broker_t *self)
{
    return self->http ? http_address(self->http) : "off";
}

//  ---- keys that come and go ----------------------------------------------------------------------

//  The front first: it takes nothing from a key that is gone, and a key that is new is known there when
//  the gate lets it in.
void broker_admit(broker_t *self, const config_t *config)
{
    access_t *front = self->gate ? access_new(config) : NULL;
    access_t *gate = front ? access_new(config) : NULL;
    if (!gate) {
        access_destroy(&front);
        if (self->gate)
            log_error("no memory: the keys stay as they are");
        return;
    }
    zactor_t *host = self->front_actor ? self->front_actor : self->orderer_actor;
    zsock_send(host, "sp", "ACCESS", front);
    zsock_send(self->gate_actor, "sp", "ACCESS", gate);
}

//  ---- rules -------------------------------------------------------------------------------------

rule_set_t *broker_rules(const broker_t *self, const config_t *config, char **error)
{
    return ordering_rules(self->ordering, config, self->config->delivery.backlog, error);
}

void broker_reorder(broker_t *self, rule_set_t *rules)
{
    zsock_send(self->orderer_actor, "sp", "RULES", rules);
}

//  ---- workers that come and go ------------------------------------------------------------------

static void s_take_apart_worker(worker_slot_t *slot)
{
    zactor_destroy(&slot->actor);
    worker_destroy(&slot->worker);
    pipe_destroy(&slot->near);
    pipe_destroy(&slot->far);
}

//  Starts those that are missing, and gives them to the orderer. Without descriptors or memory there
//  are fewer.
static void s_add_workers(broker_t *self)
{
    while (self->worker_count < self->wanted) {
        worker_slot_t *slot = &self->workers[self->worker_count];
        if (!s_start_worker(self, self->worker_count)) {
            s_take_apart_worker(slot);
            log_error("no memory or no descriptors for %u workers", self->wanted);
            self->wanted = self->worker_count;
            return;
        }
        pipe_hand_over(slot->near);
        zsock_send(self->orderer_actor, "sp", "ADD", slot->near);
        self->worker_count++;
    }
}

static void s_count_workers(broker_t *self)
{
    stats_set(&self->stats->worker_count, self->worker_count + self->leaving);
    if (!self->leaving)
        log_info("%u workers run", self->worker_count);
}

static void s_resize(broker_t *self)
{
    s_add_workers(self);
    self->leaving = self->worker_count - self->wanted;
    self->worker_count = self->wanted;
    zsock_send(self->orderer_actor, "si", "RESIZE", (int)self->wanted);
    s_count_workers(self);
}

void broker_resize(broker_t *self, unsigned count)
{
    self->wanted = count;
    //  One after the other: a worker's number is free only when the last one that had it has ended.
    if (!self->leaving && self->wanted != self->worker_count)
        s_resize(self);
}

//  The orderer has let go of a worker, which has no endpoint any more.
static void s_released(broker_t *self)
{
    int worker = 0;
    zsock_recv(self->orderer_actor, "i", &worker);
    pipe_take_over(self->workers[worker].near);
    s_take_apart_worker(&self->workers[worker]);
    self->leaving--;
    s_count_workers(self);
    if (!self->leaving && self->wanted != self->worker_count)
        s_resize(self);
}

void broker_tend(broker_t *self)
{
    char *message = zstr_recv_nowait(self->orderer_actor);
    if (message && strcmp(message, "DRAINED") == 0)
        self->drained = true;
    else if (message && strcmp(message, "RELEASED") == 0)
        s_released(self);
    zstr_free(&message);
}

void *broker_socket(const broker_t *self)
{
    return zsock_resolve(self->orderer_actor);
}

//  ---- signs of life -----------------------------------------------------------------------------

//  Asks a worker for one, if there is one. Returns false if it has not given the last one.
static bool s_ask_worker(broker_t *self, unsigned k)
{
    worker_slot_t *slot = &self->workers[k];
    return !slot->actor ||
           pulse_ask(&slot->pulse, slot->actor, &stats_worker_get(self->stats, k)->pulses);
}

const char *broker_silent(broker_t *self)
{
    const char *silent = NULL;
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++)
        if (!s_ask_worker(self, k))
            silent = "a worker";
    if (self->committer_actor &&
        !pulse_ask(&self->committer_pulse, self->committer_actor, &self->stats->journal.pulses))
        silent = "the journal";
    if (!pulse_ask(&self->orderer_pulse, self->orderer_actor, &self->stats->orderer.pulses))
        silent = "the orderer";
    if (self->front_actor &&
        !pulse_ask(&self->front_pulse, self->front_actor, &self->stats->front.pulses))
        silent = "the front";
    if (self->gate_actor &&
        !pulse_ask(&self->gate_pulse, self->gate_actor, &self->stats->gate.pulses))
        silent = "the gate";
    return silent;
}

//  ---- stopping ----------------------------------------------------------------------------------

void broker_drain(broker_t *self)
{
    atomic_store(&self->stats->ready, 0);
    zstr_send(self->orderer_actor, "DRAIN");
}

bool broker_drained(const broker_t *self)
{
    return self->drained;
}

//  Nothing runs any more: what is in the pipes goes back to whom it belongs.
static void s_empty_front_pipe(broker_t *self)
{
    pipe_t *ends[] = {self->front_near, self->front_far};
    for (int i = 0; i < 2; i++) {
        pipe_item_t *item = ends[i] ? pipe_empty(ends[i]) : NULL;
        while (item) {
            request_t *request = (request_t *)item;
            item = item->next;
            request_destroy(&request);
        }
    }
}

static void s_empty_worker_pipes(broker_t *self)
{
    for (unsigned k = 0; self->orderer && k < STATS_WORKERS_MAX; k++) {
        if (!self->workers[k].near)
            continue;
        orderer_take_back(self->orderer, pipe_empty(self->workers[k].near));
        orderer_take_back(self->orderer, pipe_empty(self->workers[k].far));
    }
}

static void s_take_apart_journal(broker_t *self)
{
    pipe_t *ends[] = {self->journal_near, self->journal_far};
    committer_destroy(&self->committer);
    for (int i = 0; i < 2; i++)
        if (ends[i])
            keeper_take_back(pipe_empty(ends[i]));
    pipe_destroy(&self->journal_near);
    pipe_destroy(&self->journal_far);
    if (self->store)
        self->engine->close(&self->store);
}

static void s_stop_actors(broker_t *self)
{
    zactor_destroy(&self->front_actor);
    zactor_destroy(&self->orderer_actor);
    zactor_destroy(&self->gate_actor);
    zactor_destroy(&self->committer_actor);
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++)
        zactor_destroy(&self->workers[k].actor);
}

//  Takes the broker apart when all its threads have ended. Returns what was accepted and is kept.
static uint64_t s_take_apart(broker_t *self, uint32_t linger)
{
    s_empty_front_pipe(self);
    s_empty_worker_pipes(self);
    s_take_apart_journal(self);
    uint64_t kept = self->orderer ? orderer_kept(self->orderer) : 0;
    orderer_destroy(&self->orderer, linger);
    ordering_destroy(&self->ordering);
    front_destroy(&self->front, linger > REPLIES_LINGER ? linger : REPLIES_LINGER);
    gate_destroy(&self->gate);
    certificate_forget(&self->curve);
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++)
        s_take_apart_worker(&self->workers[k]);
    pipe_destroy(&self->front_near);
    pipe_destroy(&self->front_far);
    inquiry_destroy(&self->inquiry);
    stats_destroy(&self->stats);
    free(self->routes);
    free(self);
    return kept;
}

uint64_t broker_destroy(broker_t **self_p, uint32_t linger)
{
    broker_t *self = *self_p;
    if (!self)
        return 0;
    http_destroy(&self->http);
    s_stop_actors(self);
    *self_p = NULL;
    return s_take_apart(self, linger);
}
