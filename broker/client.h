/*  client.h - one client: its stream from the next expected seq down to the last acknowledged one

         acked            sent                    next_seq                  window's end
           |  retained: handed | retained: waiting |  window: held and holes  |
    -------+-------------------+-------------------+--------------------------+-----> seq

    Only the orderer's thread touches it, through the core. Times are ticks (see below). */

#ifndef SEQPUSH_CLIENT_H
#define SEQPUSH_CLIENT_H

#include "push.h"
#include "retained.h"
#include "rule.h"
#include "slab.h"
#include "timer.h"
#include "window.h"

//  A tick is 2^14 ns (16 us); 32 bits of them go round in 19 hours, which is only for durations.
#define TICK_SHIFT 14

static inline uint32_t tick_of(int64_t now)
{
    return (uint32_t)(now >> TICK_SHIFT);
}

//  About a ms, 2^20 ns; 32 bits of them go round in 52 days.
static inline uint32_t client_ms(int64_t now)
{
    return (uint32_t)(now >> 20);
}

//  Bytes that a kept push is counted as, beside its encoded size: its place and its share of a
//  frame.
#define CLIENT_PUSH_COST 64

//  The last gaps that were given up, so that a push that comes too late is told STALE.
#define CLIENT_GAPS 16

typedef struct {
    uint64_t from;
    uint64_t to;
} client_gap_t;

typedef struct {
    client_gap_t ranges[CLIENT_GAPS]; //  the oldest first; no two touch each other
    uint32_t count;
    uint64_t forgotten_to; //  no gap that was remembered once ends after it
} client_gaps_t;

typedef enum { NUMBERED_BY_NOBODY, NUMBERED_BY_PUBLISHERS, NUMBERED_BY_BROKER } numbering_t;

//  What only a client needs of which something is kept. It is made when the first push comes and goes
//  with the last one, so that very many idle clients cost little.
typedef struct {
    window_t window;
    retained_t retained;
    struct client *ready_previous, *ready_next; //  those that have something to send
    struct client *waits_before, *waits_after; //  those with unacknowledged entries
    int64_t waits_since; //  ns, when it began to wait for an ack; 0: it does not
    int64_t repair_at; //  ns, when the present hole is asked for next; INT64_MAX: never
} client_flow_t;

typedef struct client {
    //  What is seldom looked at. What every push touches is at the end, beside the id.
    client_gaps_t *gaps; //  NULL: none yet
    struct client *previous, *next; //  the receiver's clients
    struct client *older, *newer; //  all clients, by `listed`
    uint32_t listed; //  `active` when it was put there
    uint32_t refused_in; //  batch in which a numberless push was refused
    uint32_t retry_at; //  client_ms, when the last refusal said to come again
    uint32_t out; //  entries with workers whose report counts as the ack
    timer_entry_t timer; //  the policy's next call, or the gap alarm

    client_flow_t *flow; //  never NULL: idle clients share one, all zeros
    const rule_t *rule;
    struct receiver *receiver; //  that it is delivered to; never NULL
    policy_view_t view;
    uint64_t epoch; //  of next_seq
    position_t acked; //  before the first retained entry
    uint32_t active; //  client_ms of the last event; it is idle since then if it is idle
    uint32_t kept_bytes; //  held and retained, and window_bytes
    uint32_t window_bytes; //  of the window's places, as they are counted
    uint32_t session; //  grows when the client starts to be sent anew
    uint32_t unstored; //  number of the last change that the journal must keep first; 0: none
    uint32_t waiting; //  pushes that wait for the journal
    uint32_t publishers[2]; //  the last two peers, the latest first: the low bits of their numbers
    uint8_t retry_shift : 4; //  how often that was doubled
    uint8_t repairs : 4; //  how often the present hole was asked for
    outcome_t refused_outcome : 4; //  of that numberless push
    numbering_t numbering : 4; //  in this epoch
    bool attached_by_name : 1;
    bool ready : 1; //  in the receiver's ready queue
    bool marker_due : 1; //  the next entry to be sent is a marker
    bool missed : 1; //  went back for what is missing, and nothing was acknowledged since
    bool was_acked : 1; //  something was acknowledged in this instance
    bool alarmed : 1; //  the present hole was reported
    bool in_confirmation : 1; //  that is not yet taken, so it cannot be forgotten
    bool unsaved : 1; //  its position is to be written to the journal
    uint8_t id_size;
    uint8_t id[]; //  then the policy's record
} client_t;

//  Makes a client that expects the first seq of its rule, which outlives it as the slab does, in epoch 0.
//  NULL: no memory.
client_t *client_new(slab_t *slab, const void *id, size_t id_size, const rule_t *rule);

//  Frees the client and what it keeps. It must be in no list any more.
void client_destroy(client_t **self_p, slab_t *slab);

//  Gives the client a flow of its own, if it has none. False: no memory.
bool client_flows(client_t *self);

//  Takes the flow away if nothing is kept in it and the client stands in no list of it.
void client_rest(client_t *self);

//  Makes room in the queue for `count` more entries, so that as many puts cannot fail. False: no
//  memory.
static inline bool client_reserve(client_t *self, uint32_t count)
{
    return client_flows(self) && retained_reserve(&self->flow->retained, count);
}

//  Brings into the cache what every push and every ack touches: all from the timer to the id. NULL: nothing.
static inline void client_prefetch(const client_t *self)
{
    size_t end = self ? offsetof(client_t, id) + 16 : 0;
    for (size_t at = offsetof(client_t, timer); at < end; at += 64)
        __builtin_prefetch((const char *)self + at, 1);
}

//  The same of its flow.
static inline void client_prefetch_flow(const client_t *self)
{
    size_t end = self ? sizeof(client_flow_t) : 0;
    for (size_t at = 0; at < end; at += 64)
        __builtin_prefetch((const char *)self->flow + at);
}

//  Where the policy's record starts in the memory of a client, aligned for anything.
static inline size_t client_state_offset(size_t id_size)
{
    return (offsetof(client_t, id) + id_size + 15) & ~(size_t)15;
}

static inline void *client_state(client_t *self)
{
    return (uint8_t *)self + client_state_offset(self->id_size);
}

static inline bool client_is(const client_t *self, policy_kind_t kind)
{
    return self->rule->policy->kind == kind;
}

//  Pushes and notices kept, held or released.
static inline uint32_t client_kept(const client_t *self)
{
    return self->flow->window.held + self->flow->retained.count;
}

//  Where the stream stands when all that was released is delivered.
static inline position_t client_released(const client_t *self)
{
    return (position_t){self->epoch, self->view.next_seq - 1};
}

//  True if nothing would be lost with the client but its position.
static inline bool client_is_idle(const client_t *self)
{
    return client_kept(self) == 0 && self->out == 0 && !self->in_confirmation && !self->unsaved &&
           !self->unstored && !self->waiting;
}

//  True if `seq`, below next_seq, lies in a gap that is remembered, or may lie in one that is not.
bool client_gave_up(const client_t *self, uint64_t seq);
bool client_may_have_given_up(const client_t *self, uint64_t seq);

//  What the window alone says of a push with this seq.
static inline outcome_t client_judge_by_window(const client_t *self, uint64_t seq)
{
    uint64_t next = self->view.next_seq;
    if (seq < next)
        return client_gave_up(self, seq) ? OUTCOME_STALE : OUTCOME_DUPLICATE;
    if (seq - next >= self->view.window)
        return OUTCOME_WINDOW_FULL;
    const window_place_t *place = window_at(&self->flow->window, next, seq);
    if (place && place->frame)
        return OUTCOME_DUPLICATE;
    return place && place->size == WINDOW_GIVEN_UP ? OUTCOME_STALE : OUTCOME_ACCEPTED;
}

//  Remembers that the seqs from..to of the present epoch were given up.
void client_note_gap(client_t *self, uint64_t from, uint64_t to);

#endif
