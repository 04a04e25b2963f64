/*  keeper.h - requests that wait for the journal, and what the journal is told

    Between the orderer and the journal's actor. The pushes of a request go to the journal first, and the
    request is decided when they are kept, or are not: so the ordering core never knows a push that a
    restart could forget. Requests of one peer stay in order: what follows one that waits waits too, but
    for acks and heartbeats. Changes of the core go the same way, positions now and then.

    What waits takes memory, which counts against ordering/memory_max: beyond that pushes are
    OVERLOADED. The orderer's thread. */

#ifndef SEQPUSH_KEEPER_H
#define SEQPUSH_KEEPER_H

#include "core.h"

typedef struct keeper keeper_t;

typedef struct {
    core_t *core; //  borrowed
    pipe_t *journal; //  borrowed; the orderer's end
    uint64_t memory_max; //  bytes
    orderer_stats_t *stats; //  borrowed
} keeper_settings_t;

//  NULL: no memory.
keeper_t *keeper_new(const keeper_settings_t *settings);

//  When the journal's actor has ended: frees what is left in the pipe's ends.
void keeper_take_back(pipe_item_t *batches);

//  Takes NULL.
void keeper_destroy(keeper_t **self_p);

//  Takes a request that has to wait: true; it comes back from keeper_next. False: it is to be decided
//  now. `refuse`: nothing new is accepted any more.
bool keeper_take(keeper_t *self, request_t *request, bool refuse, int64_t now);

//  Takes what has come back from the journal, until there is a request that is to be decided now
//  (`*decide`), or whose reply may go. NULL: there is none. The one before must have been given to
//  keeper_decided.
request_t *keeper_next(keeper_t *self, bool *decide);

//  A request was decided, whether it had waited or not. Returns true if its reply may go; else it waits
//  until what it has changed is kept.
bool keeper_decided(keeper_t *self, request_t *request);

//  True while a reply waits for a change to be kept.
bool keeper_holds(const keeper_t *self);

//  At the end, when the disk is not well: the request of such a reply, which goes without it.
request_t *keeper_give_up(keeper_t *self);

//  Gives the journal what has changed, and (`all`, or from time to time) positions.
void keeper_tell(keeper_t *self, bool all, int64_t now);

//  When keeper_tell is to be called next; INT64_MAX: not needed.
int64_t keeper_next_tick(const keeper_t *self);

//  True while the journal has something that lasts.
bool keeper_is_busy(const keeper_t *self);

#endif
