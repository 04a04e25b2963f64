//  broker_workers.c - a broker's workers: started, resized, taken apart; see broker_workers.h

#include "broker_workers.h"
#include "descriptors.h"
#include "log.h"

#define WORKER_PIPE_CAPACITY 1024 //  dispatches

static bool s_start(broker_t *self, unsigned k)
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

bool broker_workers_start(broker_t *self)
{
    self->wanted = self->config->workers.count;
    while (self->worker_count < self->wanted)
        if (!s_start(self, self->worker_count++))
            return false;
    stats_set(&self->stats->worker_count, self->worker_count);
    return true;
}

static void s_take_apart(worker_slot_t *slot)
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
        if (!s_start(self, self->worker_count)) {
            s_take_apart(slot);
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
void broker_workers_released(broker_t *self)
{
    int worker = 0;
    zsock_recv(self->orderer_actor, "i", &worker);
    pipe_take_over(self->workers[worker].near);
    s_take_apart(&self->workers[worker]);
    self->leaving--;
    s_count_workers(self);
    if (!self->leaving && self->wanted != self->worker_count)
        s_resize(self);
}

//  ---- signs of life -----------------------------------------------------------------------------

//  Asks a worker for one, if there is one. Returns false if it has not given the last one.
static bool s_ask(broker_t *self, unsigned k)
{
    worker_slot_t *slot = &self->workers[k];
    return !slot->actor ||
           pulse_ask(&slot->pulse, slot->actor, &stats_worker_get(self->stats, k)->pulses);
}

bool broker_workers_ask(broker_t *self)
{
    bool alive = true;
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++)
        alive &= s_ask(self, k);
    return alive;
}

//  ---- stopping ----------------------------------------------------------------------------------

void broker_workers_empty_pipes(broker_t *self)
{
    for (unsigned k = 0; self->orderer && k < STATS_WORKERS_MAX; k++) {
        if (!self->workers[k].near)
            continue;
        orderer_take_back(self->orderer, pipe_empty(self->workers[k].near));
        orderer_take_back(self->orderer, pipe_empty(self->workers[k].far));
    }
}

void broker_workers_stop(broker_t *self)
{
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++)
        zactor_destroy(&self->workers[k].actor);
}

void broker_workers_destroy(broker_t *self)
{
    for (unsigned k = 0; k < STATS_WORKERS_MAX; k++)
        s_take_apart(&self->workers[k]);
}
