//  broker_orderer.c - a broker's orderer, with its settings; see broker_orderer.h

#include "broker_orderer.h"
#include "broker_journal.h"
#include <stdlib.h>
#include <string.h>

//  In units of request weight: one a request, and one for every 4 KiB of it. What is beyond waits
//  in the ROUTER; a longer pipe would only make the wait of those in it longer.
#define FRONT_PIPE_CAPACITY 64

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

bool broker_orderer_start(broker_t *self, char **error)
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
                                   .curve = broker_curve(self),
                                   .front = self->front_far,
                                   .journal = self->journal_near,
                                   .workers = workers,
                                   .worker_count = self->worker_count,
                                   .inquiry = self->inquiry,
                                   .stats = self->stats};
    self->orderer = orderer_new(&settings);
    if (!self->orderer || !broker_journal_restore(self, error) || !broker_journal_start(self))
        return false;
    self->orderer_actor = zactor_new(orderer_run, self->orderer);
    return self->orderer_actor != NULL;
}
