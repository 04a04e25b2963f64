/*  broker_state.h - what a broker is made of, as its own parts see it

    The parts: its workers (broker_workers.h), its journal (broker_journal.h), its orderer
    (broker_orderer.h), and the rest (broker.c). Main thread. */

#ifndef SEQPUSH_BROKER_STATE_H
#define SEQPUSH_BROKER_STATE_H

#include "broker.h"
#include "certificate.h"
#include "committer.h"
#include "front.h"
#include "gate.h"
#include "http.h"
#include "inquiry.h"
#include "orderer.h"
#include "ordering.h"
#include "pulse.h"
#include "worker.h"

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

//  The broker's keys, or NULL without CURVE.
const certificate_t *broker_curve(const broker_t *self);

#endif
