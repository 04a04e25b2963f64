/*  core_state.h - what the parts of the ordering core share: core.c, session.c, delivery.c and
   redelivery.c

    core.c      pushes in: clients, bounds, the policy and what it may do, time
    session.c   receivers: attach, detach, takeover, which receiver a client belongs to
    delivery.c  pushes out: dispatches, acks
    redelivery.c  who waits for an ack, and goes back when none comes */

#ifndef SEQPUSH_CORE_STATE_H
#define SEQPUSH_CORE_STATE_H

#include "client_table.h"
#include "core.h"
#include "timer.h"

typedef struct {
    char *match;
    receiver_t *receiver;
} route_t;

//  What a timer is embedded in.
enum { TIMER_CLIENT, TIMER_RECEIVER, TIMER_RESEND, TIMER_IDLE, TIMER_OLDEST };

struct core {
    core_settings_t settings;
    orderer_stats_t *stats;

    client_table_t clients;
    client_t *oldest, *newest; //  all clients, by when they were listed
    uint64_t kept_bytes; //  of all clients
    uint32_t batch; //  number of the present one
    bool sparse; //  what is kept of it is copied
    uint32_t closing; //  endpoints whose close has not come back

    receiver_t nobody;
    receiver_t *by_id; //  attached and gone ones
    receiver_t *by_address; //  those with an endpoint
    uint32_t prefixes; //  of all receivers
    route_t *routes;
    size_t route_count;
    uint64_t next_generation;
    receiver_t *ready_first; //  receivers that something can be sent to
    receiver_t *ready_last;

    timer_heap_t timers;
    timer_entry_t idle_timer;
    timer_entry_t oldest_timer; //  looks for the oldest unacknowledged entry, while there is one
    core_effect_t *effects; //  a ring
    uint32_t effect_head, effect_count, effect_capacity;
};

//  ---- core.c ------------------------------------------------------------------------------------

//  The client with this id; if it has none, NULL, or a new one if `make`. NULL too if there is no
//  room for one.
client_t *core_client(core_t *self, const void *id, size_t id_size, uint64_t hash, bool make,
                      int64_t now);

//  Lets the policy move the client's stream, and looks after the hole and the timers.
void core_settle(core_t *self, client_t *client, int64_t now);

//  Moves a client of which nothing was acknowledged to a position ahead of all that was released.
void core_jump(core_t *self, client_t *client, position_t position, int64_t now);

//  Counts bytes as kept for the client, or (negative) not any more.
static inline void core_charge(core_t *self, client_t *client, int64_t bytes)
{
    client->kept_bytes = (uint32_t)(client->kept_bytes + bytes);
    client->receiver->kept_bytes += (uint64_t)bytes;
    self->kept_bytes += (uint64_t)bytes;
}

//  Appends an effect and returns it, zeroed but for its kind. Never NULL: without memory the
//  process ends, as an effect that is lost would leave peers and core apart.
core_effect_t *core_tell(core_t *self, effect_kind_t kind);

//  ---- session.c ---------------------------------------------------------------------------------

//  Opens the routes of the settings. Returns false if there is no memory.
bool session_open_routes(core_t *self);

//  Frees all receivers.
void session_fini(core_t *self);

//  The receiver that a client belongs to that nobody attached by name.
receiver_t *session_resolve(core_t *self, const client_t *client);

//  A receiver's timer fired: it is gone if it was silent for too long.
void session_due(core_t *self, receiver_t *receiver, int64_t now);

//  Frees an ended receiver once nothing of it is with a worker.
void session_release(receiver_t *receiver);

//  ---- delivery.c --------------------------------------------------------------------------------

//  Appends a released push, which has room in the queue, and counts it.
void delivery_put(core_t *self, client_t *client, retained_entry_t entry);

//  Queues the client and its receiver if there is something to send and somebody to send it to.
void delivery_offer(core_t *self, client_t *client);

//  Queues the receiver if it has clients with something to send and room for it.
void delivery_wake(core_t *self, receiver_t *receiver);

//  Counts entries that were handed over as on their way, or (-1) not any more.
void delivery_count_sent(core_t *self, client_t *client, const retained_entry_t *entry, int by);

//  Drops the retained entries up to the position, whether they were sent or not.
void delivery_cover(core_t *self, client_t *client, position_t position);

//  Forgets who has something to send.
void delivery_fini(core_t *self);

//  ---- redelivery.c ------------------------------------------------------------------------------

//  Starts to send the client's retained entries anew, after a marker: in the same generation, or in
//  another, which has been handed none of them.
void redelivery_go_back(core_t *self, client_t *client);
void redelivery_restart(core_t *self, client_t *client);

//  An entry of the client was handed over; some were acknowledged, the last of which was handed over
//  at `handed_at` or later.
void redelivery_sent(core_t *self, client_t *client, int64_t now);
void redelivery_acked(client_t *client, int64_t handed_at, int64_t now);

//  A receiver's timer fired: what was not acknowledged in time goes back.
void redelivery_due(core_t *self, receiver_t *receiver, int64_t now);

//  Sets the gauge of the oldest unacknowledged entry.
void redelivery_look_at_oldest(core_t *self, int64_t now);

//  A frame with an encoded gap notice (epoch, from..to) or marker (epoch, to) of a client. NULL: no
//  memory.
frame_t *delivery_gap(const client_t *client, uint64_t epoch, uint64_t from, uint64_t to);
frame_t *delivery_marker(const client_t *client, position_t position);

#endif
