/*  world.h - one run: the core, the model beside it, and all that is around them

    world.c      settings, time, effects, the end of a run
    publisher.c  publishers: pushes, Skip, Reset
    sender.c     workers and the network behind them
    gateway.c    receivers, which follow the receiver's rule

    It does what the orderer actor does with the core, and nothing that the actor would not do. */

#ifndef SIMULATION_WORLD_H
#define SIMULATION_WORLD_H

#include "dice.h"
#include "model.h"

#define WORLD_ADDRESSES 5
#define WORLD_RULES 3
#define WORLD_QUEUE 64 //  what a worker, a connection or a receiver's outgoing side holds

//  A Delivery under way, and which life of each entry's client it is of.
typedef struct {
    uint8_t *bytes;
    size_t size;
    uint32_t count;
    uint32_t lives[];
} delivery_t;

//  A worker's socket for one session, and the way from it to the receiver.
typedef struct endpoint {
    const char *address;
    uint64_t generation;
    uint32_t receiver; //  in the model
    dispatch_t *dispatches[WORLD_QUEUE]; //  not yet taken up, unsent or sent, in their order
    uint32_t dispatch_count;
    uint32_t sent; //  of them: sent, or of no more use, and about to be reported
    delivery_t *deliveries[WORLD_QUEUE]; //  under way
    uint32_t delivery_count;
    bool closed; //  the worker has closed it
    struct endpoint *next;
} endpoint_t;

//  What a receiver knows of a client.
typedef struct {
    bool known;
    bool invented; //  not from what it has received in this run
    position_t last;
    position_t told; //  acknowledged
    bool missing; //  to be named as missing
    bool changed; //  to be acknowledged
} memory_t;

//  An acknowledgement on its way to the broker.
typedef struct {
    uint64_t generation;
    uint32_t client, life;
    position_t position;
    bool missing, invented;
} ack_t;

typedef struct {
    uint32_t slot; //  in the model
    const char *address;
    uint64_t peer;
    uint64_t generation; //  that Attached told; 0: not attached
    bool ack_none;
    memory_t memory[MODEL_CLIENTS];
    memory_t saved[MODEL_CLIENTS]; //  an older copy, on its disk
    ack_t acks[WORLD_QUEUE];
    uint32_t ack_count;
} gateway_t;

//  How often things go wrong, in percent.
typedef struct {
    uint32_t loss; //  of deliveries, while a session lasts
    uint32_t hostile; //  of acks
    uint32_t invented; //  of positions that are named
} faults_t;

typedef struct {
    core_settings_t settings;
    core_route_t routes[MODEL_ROUTES];
    rule_t rules[WORLD_RULES];
    orderer_stats_t *stats;
    stats_t inflight; //  the gauge of all workers
    core_t *core;
    model_t model;
    dice_t dice;
    faults_t faults;
    int64_t now;
    uint32_t max_payload;
    uint32_t batch_max, batch_bytes; //  of dispatches
    uint32_t number; //  of the next payload
    bool evicts; //  few clients are allowed: events come one by one, each in a ms of its own
    bool forgets; //  clients are dropped when idle
    bool confirms; //  publishers want to be told of deliveries
    bool numberless; //  some clients are numbered by the broker
    bool counts_frames; //  holds every frame, to see at the end that the core does not
    frame_t **frames;
    uint32_t frame_count, frame_capacity;
    endpoint_t *endpoints;
    uint64_t next_peer;
    uint32_t lives[MODEL_CLIENTS]; //  that the receivers know of
    gateway_t gateways[MODEL_SLOTS];
} world_t;

extern const char *const world_addresses[WORLD_ADDRESSES];

//  Makes a world in which all chances are those of the seed.
world_t *world_new(uint64_t seed);

//  Everything happens, in any order, `steps` times.
void world_run(world_t *self, uint32_t steps);

//  Faults cease: what was accepted must arrive.
void world_settle(world_t *self);

//  Takes back what workers have, frees everything, and sees that nothing is held on to.
void world_destroy(world_t *self);

//  Takes the effects that the core has, and compares them with those that the model expects.
void world_do_effects(world_t *self);

//  Takes what publishers are told, and compares it with what the model owes them.
void world_confirm(world_t *self);

//  The model's number of a receiver of the core.
uint32_t world_receiver(const world_t *self, const receiver_t *receiver);

//  The model's number of a client id.
uint32_t world_client(const world_t *self, const void *id, size_t id_size);

//  ---- publisher.c -------------------------------------------------------------------------------

void publisher_push(world_t *self);
void publisher_skip(world_t *self);
void publisher_reset(world_t *self);

//  Pushes what a client with held pushes waits for. Returns false if none has any.
bool publisher_fill_holes(world_t *self);

//  ---- sender.c ----------------------------------------------------------------------------------

void sender_open(world_t *self, receiver_t *receiver, uint64_t generation);
void sender_close(world_t *self, receiver_t *receiver);

//  Hands over up to `limit` dispatches that the core has.
void sender_dispatch(world_t *self, uint32_t limit);

//  One step of some worker: something is sent, or closed, or reported. Returns false if there is
//  nothing to do.
bool sender_step(world_t *self);

//  Closes everything at the end of the process.
void sender_stop(world_t *self);

//  Takes the next Delivery that is under way to an address, of the session or of an ended one.
//  NULL: none.
delivery_t *sender_receive(world_t *self, const char *address, uint64_t session,
                           uint64_t *generation);
void sender_free(delivery_t **delivery_p);

//  Decodes a Delivery or a part of it; the caller frees the result as protobuf-c wants it.
Seqpush__V1__Delivery *sender_decode(const uint8_t *bytes, size_t size);
model_seen_t sender_seen(const Seqpush__V1__Push *push);

//  ---- gateway.c ---------------------------------------------------------------------------------

void gateway_attach(world_t *self);
void gateway_detach(world_t *self);
void gateway_restart(world_t *self);
void gateway_heartbeat(world_t *self, gateway_t *gateway);

//  Reads a Delivery, makes acks of what was read, sends one off. False: there is nothing to do.
bool gateway_read(world_t *self, gateway_t *gateway);
void gateway_acknowledge(world_t *self, gateway_t *gateway, bool all);
bool gateway_send_ack(world_t *self, gateway_t *gateway);

//  Attaches what receivers it may, and all clients to them by name.
void gateway_attach_all(world_t *self);

//  The broker has forgotten the client, and its receivers know that.
void gateway_forget(world_t *self, uint32_t client);

#endif
