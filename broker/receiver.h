/*  receiver.h - receivers as the ordering core sees them: who serves which clients, in which
   session

    A receiver is one endpoint and the clients that are delivered to it. A route is a receiver that
    nobody attached, without an id and of generation 0. Clients without a receiver belong to one
   that stands for nobody, so that a client always has one and the memory of all of them is bounded
   like that of any other.

    Only the orderer's thread touches it, through the core. */

#ifndef SEQPUSH_RECEIVER_H
#define SEQPUSH_RECEIVER_H

#include "client.h"
#include "stats.h"
#include "timer.h"
#include <uthash.h>

typedef enum {
    RECEIVER_NOBODY, //  of clients that nobody attached
    RECEIVER_ROUTE, //  a fixed endpoint of the configuration
    RECEIVER_ATTACHED, //  has a session
    RECEIVER_GONE, //  was silent for too long, or lost its endpoint: keeps its clients, parked
    RECEIVER_ENDED, //  detached; waits for the dispatches that are with workers
} receiver_kind_t;

//  Bytes of a key as text, with the NUL.
#define RECEIVER_KEY_SIZE 41

//  Prefixes of client ids that a receiver may have.
#define RECEIVER_PREFIXES 64

typedef struct prefix prefix_t;

typedef struct receiver {
    receiver_kind_t kind;
    bool ack_none;
    bool ready; //  in the core's ready queue
    uint64_t generation; //  of the session; 0: deliveries are taken as they are
    uint64_t peer; //  the front's number for whom to tell
    uint64_t owner; //  whose key has the session; 0: nobody was asked
    char *address; //  endpoint
    char server_key[RECEIVER_KEY_SIZE]; //  CURVE key of the endpoint; empty: plaintext
    prefix_t *prefixes; //  all clients that begin with one, unless attached by name
    uint32_t prefix_count;

    client_t *clients; //  doubly linked through previous and next
    uint32_t client_count;
    client_t *ready_first; //  clients with something to send, in turn
    client_t *ready_last;
    struct receiver *ready_next;

    uint32_t out; //  dispatches with workers, of any session
    uint32_t session_out; //  of these, of the present one
    uint64_t unacked; //  entries handed over in this session, not yet acknowledged
    uint64_t unacked_bytes; //  of them
    uint64_t kept_bytes; //  of its clients, held and retained
    uint64_t retained; //  entries of its clients, released and not acknowledged
    int64_t heard_at; //  when the receiver was last heard of
    int64_t gone_at; //  when it was last taken as gone
    timer_entry_t timer; //  its silence

    client_t *waiting_first; //  clients with unacknowledged entries, by waits_since
    client_t *waiting_last;
    int64_t acked; //  ns: something that was handed over then, or later, is acknowledged
    int64_t overdue; //  what `acked` was an ack_timeout ago: older hand-overs should be acked too
    int64_t overdue_at; //  ns, when that was set
    int64_t progress_at; //  ns of the last ack that covered something
    uint8_t patience; //  how often the patience was doubled for want of progress
    timer_entry_t resend; //  when to look for clients that must go back

    struct endpoint *endpoint; //  the worker's handle for its socket; the orderer's to set
    struct seat *seat; //  what the orderer knows of it; the orderer's to set
    unsigned worker; //  who has it; the orderer's to set
    stats_t *inflight; //  that worker's gauge; the orderer's to set

    UT_hash_handle by_id;
    UT_hash_handle by_address;
    uint8_t id_size;
    uint8_t id[ID_MAX];
} receiver_t;

//  Sets the CURVE key of its endpoint; NULL or empty: plaintext.
void receiver_set_key(receiver_t *self, const char *server_key);

//  Frees a receiver that is in no table and no list any more.
void receiver_free(receiver_t *self);

//  True if it has an endpoint, so that something can be sent to it.
static inline bool receiver_is_served(const receiver_t *self)
{
    return self->kind == RECEIVER_ATTACHED || self->kind == RECEIVER_ROUTE;
}

//  Adds a client to the receiver's, at the end of a move; takes one out, from its ready queue too.
void receiver_link(receiver_t *self, client_t *client);
void receiver_unlink(receiver_t *self, client_t *client);

//  Queues a client that has something to send, if it is not queued.
void receiver_queue(receiver_t *self, client_t *client);

//  Takes the first of the queue; NULL if it is empty.
client_t *receiver_unqueue(receiver_t *self);

#endif
