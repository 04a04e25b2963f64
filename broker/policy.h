/*  policy.h - the ordering stage: what a client may receive next

    A policy is a table of functions over a small record of its own and a view of one client. It
    judges whether a push may enter, and, whenever something has happened, moves the client's stream
    upward: it releases what is held and gives up what is missing. That is all it can do; the core
    keeps the pushes, turns what was given up into gap notices, and owns bounds, retention, acks and
    timers.

    This header is all that a policy of your own needs. Built into a shared object that exports one
    policy_t by the name `seqpush_policy`, it is loaded by ordering/plugin, and named like any other
    in ordering/policy or a rule. The object stays loaded as long as the broker runs.

    A hook does not block, keeps no pointer beyond its call, starts no thread, and takes the time from
    its argument: monotonic ns. It is called by one thread, for one client at a time. The same calls
    with the same times must have the same result. Every hook is mandatory. A function below that is
    called against what it asks for ends the process. */

#ifndef SEQPUSH_POLICY_H
#define SEQPUSH_POLICY_H

#include "outcome.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

//  Grows with every change to this header that a policy has to be built anew for.
#define POLICY_ABI 1u

//  What a client of the policy is like to the core.
typedef enum {
    //  Pushes ahead of the next expected seq are held in a window until it is their turn.
    POLICY_WINDOW,
    //  Nothing is held. A push goes out when the one before it is acknowledged, and may be replaced
    //  by a newer one (policy_replace) until then. The window is 0.
    POLICY_LATEST,
    //  A push goes out as it came (policy_pass), whatever its seq and epoch, without position, ack or
    //  notice. The window is 0.
    POLICY_PASSTHROUGH,
} policy_kind_t;

//  What the configuration says for the client.
typedef struct {
    uint32_t window; //  seqs from next_seq on that may be held; the ring has no more places
    uint64_t first_seq; //  of a client without state
    int64_t gap_timeout; //  ns that a policy with a deadline may wait; at least 1 ms
    int64_t gap_alarm; //  ns until a hole is reported; 0: never
    int64_t repair_delay; //  ns until publishers are asked for what is missing; 0: never
} policy_settings_t;

//  What a policy sees of a client. Read only; kept up to date by the core.
typedef struct {
    uint64_t next_seq; //  the lowest seq neither released nor given up
    uint32_t held; //  pushes in the window, without the one that was just let in
    uint32_t window; //  as in the settings
    int64_t hole_since; //  when next_seq became a hole with something held behind it; 0: it is none
} policy_view_t;

//  The client that a hook is called for, as the core knows it.
typedef struct policy_stage policy_stage_t;

typedef struct {
    uint32_t abi; //  POLICY_ABI
    policy_kind_t kind;
    const char *name; //  letters, digits, - and _; at most POLICY_NAME_MAX

    //  Bytes of a policy's own record for a client, at most POLICY_STATE_MAX, aligned for anything.
    //  Zeroed when the client or its epoch starts; the core frees it, so it owns nothing.
    size_t state_size;

    //  May a push with this seq enter? OUTCOME_ACCEPTED, or why not: OUTCOME_DUPLICATE,
    //  OUTCOME_STALE or OUTCOME_WINDOW_FULL. Changes nothing: the core may still refuse the push
    //  for want of room. In a window, what is accepted lies in it, and is neither held nor given up.
    outcome_t (*judge)(const void *state, const policy_stage_t *stage, uint64_t seq);

    //  Something has happened: a push was let in, seqs were given up from outside, or the time that
    //  an earlier call asked for has come. Releases and gives up what is now due. Returns when to be
    //  called again though nothing happens, later than `now`; INT64_MAX: not needed. It may be called
    //  sooner.
    int64_t (*settle)(void *state, policy_stage_t *stage, int64_t now);
} policy_t;

#define POLICY_NAME_MAX 32
#define POLICY_STATE_MAX 1024

//  ---- what a hook may ask -----------------------------------------------------------------------

const policy_settings_t *policy_settings(const policy_stage_t *stage);
const policy_view_t *policy_view(const policy_stage_t *stage);

//  True if a push with this seq is held, or is the one that was just let in. `seq` >= next_seq.
bool policy_holds(const policy_stage_t *stage, uint64_t seq);

//  True if this seq was given up: any seq below next_seq (as far as is remembered: the last
//  sixteen gaps of a client) or marked by a Skip above it.
bool policy_gave_up(const policy_stage_t *stage, uint64_t seq);

//  The lowest seq that policy_holds; 0: none. Looks at one seq after the other.
uint64_t policy_first_held(const policy_stage_t *stage);

//  How long ago a push that policy_holds was let in: ns, to within 20 us, of at most 19 hours.
int64_t policy_age(const policy_stage_t *stage, uint64_t seq);

//  ---- what settle may do ------------------------------------------------------------------------

//  POLICY_WINDOW: releases from next_seq on what is held, up to `to`, and passes over what a Skip has
//  given up, until the first hole.
void policy_release(policy_stage_t *stage, uint64_t to);

//  POLICY_WINDOW: gives up the seqs from next_seq to `to`, of which none is held and the last is
//  followed by one that is, and announces them as one gap. Returns false, with nothing changed, if
//  there is no memory: try again later.
bool policy_give_up(policy_stage_t *stage, uint64_t to);

//  POLICY_LATEST: releases the push that was just let in, if there is one; its seq is at least
//  next_seq. What is missing before it is given up, with what was released before and no worker has
//  got yet, and announced as one gap.
void policy_replace(policy_stage_t *stage);

//  POLICY_PASSTHROUGH: releases the push that was just let in, if there is one.
void policy_pass(policy_stage_t *stage);

//  ---- the usual judgement -----------------------------------------------------------------------

//  A `judge` for POLICY_WINDOW that goes by the window alone: DUPLICATE what is held or was released,
//  STALE what was given up, WINDOW_FULL what lies behind the window.
outcome_t policy_judge_by_window(const void *state, const policy_stage_t *stage, uint64_t seq);

//  ---- the built-in ones -------------------------------------------------------------------------

extern const policy_t policy_strict;
extern const policy_t policy_deadline;
extern const policy_t policy_latest;
extern const policy_t policy_passthrough;

//  The built-in policy of this name, or NULL.
const policy_t *policy_named(const char *name);

#endif
