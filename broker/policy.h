/*  policy.h - the ordering stage: what a client may receive next

    A policy is a table of functions over a small record of its own and a view of one client. It
    judges whether a push may enter, and, whenever something has happened, moves the client's stream
    upward: it releases what is held and gives up what is missing. That is all it can do; the core
    keeps the pushes, turns what was given up into gap notices, and owns bounds, retention, acks and
    timers.

    A hook does not block, keeps no pointer beyond its call, and takes the time from its argument:
    monotonic ns. Every hook is mandatory. */

#ifndef SEQPUSH_POLICY_H
#define SEQPUSH_POLICY_H

#include "outcome.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_ABI 1

//  What a policy sees of a client. Read only; kept up to date by the core.
typedef struct {
    uint64_t next_seq; //  the lowest seq neither released nor given up
    uint32_t held; //  pushes that wait behind a hole
    uint32_t window; //  seqs from next_seq on that may be held; the ring has no more places
    int64_t hole_since; //  when the hole at next_seq became head of the line; 0: nothing is held
} policy_view_t;

//  The client that a hook is called for, as the core knows it.
typedef struct policy_stage policy_stage_t;

typedef struct {
    uint32_t abi; //  POLICY_ABI
    const char *name;

    //  Bytes of a policy's own record for a client, zeroed when the client or its epoch starts.
    size_t state_size;

    //  May a push with this seq enter? OUTCOME_ACCEPTED, or why not: OUTCOME_DUPLICATE,
    //  OUTCOME_STALE or OUTCOME_WINDOW_FULL. Changes nothing: the core may still refuse the push
    //  for want of room.
    outcome_t (*judge)(const void *state, const policy_stage_t *stage, uint64_t seq);

    //  Something has happened: a push was let in, seqs were given up from outside, or the time that
    //  the last call asked for has come. Releases and gives up what is now due. Returns when to be
    //  called again though nothing happens; INT64_MAX: not needed.
    int64_t (*settle)(void *state, policy_stage_t *stage, int64_t now);
} policy_t;

//  ---- what a hook may ask and do ----------------------------------------------------------------

const policy_view_t *policy_view(const policy_stage_t *stage);

//  True if a push with this seq is held, or is the one that was just let in. `seq` >= next_seq.
bool policy_holds(const policy_stage_t *stage, uint64_t seq);

//  True if this seq was given up: any seq below next_seq (as far as is remembered: the last
//  sixteen gaps of a client) or marked by a Skip above it.
bool policy_gave_up(const policy_stage_t *stage, uint64_t seq);

//  Releases from next_seq on what is held and passes over what is marked as given up, until the
//  first hole. Returns the number of pushes released.
uint32_t policy_release_run(policy_stage_t *stage);

//  ---- the built-in ones -------------------------------------------------------------------------

extern const policy_t policy_strict;

//  The built-in policy of this name, or NULL.
const policy_t *policy_named(const char *name);

#endif
