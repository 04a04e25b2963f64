//  broker.c - makes the pipes and the actors of one broker; see broker.h

#include "broker_journal.h"
#include "broker_orderer.h"
#include "broker_workers.h"
#include "descriptors.h"
#include "log.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define REPLIES_LINGER 100 //  ms that the last replies have to leave, at least

//  ---- starting ----------------------------------------------------------------------------------

//  As many as are wanted, if so many are allowed. 0: as many as are allowed.
static uint32_t s_limit(uint32_t wanted, uint32_t allowed)
{
    return wanted && wanted < allowed ? wanted : allowed;
}

static void s_raise_limits(broker_t *self)
{
    descriptors_t allowed = descriptors_raise();
    self->max_receivers = s_limit(self->config->delivery.max_receivers, allowed.receivers);
    self->max_connections = s_limit(self->config->front.max_connections, allowed.connections);
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

const certificate_t *broker_curve(const broker_t *self)
{
    return self->gate ? &self->curve : NULL;
}

static bool s_start_gate(broker_t *self, char **error)
{
    const char *path = self->config->security.secret_file;
    const char *wrong = *path ? certificate_read(&self->curve, path) : NULL;
    if (wrong && asprintf(error, "%s %s", path, wrong) < 0)
        *error = NULL;
    if (wrong || !*path)
        return !wrong;
    //  A core file would have the secret key in it.
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
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
                                 .curve = broker_curve(self),
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
    if (self->ordering && self->stats && broker_journal_open(self, error) &&
        s_start_gate(self, error) && broker_workers_start(self) &&
        broker_orderer_start(self, error) && s_start_front(self, error) &&
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

void broker_tend(broker_t *self)
{
    char *message = zstr_recv_nowait(self->orderer_actor);
    if (message && strcmp(message, "DRAINED") == 0)
        self->drained = true;
    else if (message && strcmp(message, "RELEASED") == 0)
        broker_workers_released(self);
    zstr_free(&message);
}

void *broker_socket(const broker_t *self)
{
    return zsock_resolve(self->orderer_actor);
}

//  ---- signs of life -----------------------------------------------------------------------------

const char *broker_silent(broker_t *self)
{
    const char *silent = NULL;
    if (!broker_workers_ask(self))
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

uint64_t broker_work(const broker_t *self)
{
    const orderer_stats_t *stats = &self->stats->orderer;
    uint64_t work = stats_get(&stats->acked) + stats_get(&stats->taken);
    for (unsigned outcome = 0; outcome < OUTCOMES; outcome++)
        work += stats_get(&stats->outcomes[outcome]);
    return work;
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

static void s_stop_actors(broker_t *self)
{
    zactor_destroy(&self->front_actor);
    zactor_destroy(&self->orderer_actor);
    zactor_destroy(&self->gate_actor);
    zactor_destroy(&self->committer_actor);
    broker_workers_stop(self);
}

//  Takes the broker apart when all its threads have ended. Returns what was accepted and is kept.
static uint64_t s_take_apart(broker_t *self, uint32_t linger)
{
    s_empty_front_pipe(self);
    broker_workers_empty_pipes(self);
    broker_journal_close(self);
    uint64_t kept = self->orderer ? orderer_kept(self->orderer) : 0;
    orderer_destroy(&self->orderer, linger);
    ordering_destroy(&self->ordering);
    front_destroy(&self->front, linger > REPLIES_LINGER ? linger : REPLIES_LINGER);
    gate_destroy(&self->gate);
    certificate_forget(&self->curve);
    broker_workers_destroy(self);
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
