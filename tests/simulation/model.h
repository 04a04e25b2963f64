/*  model.h - what the ordering core must do, in the plainest way there is

    Arrays that are searched from one end to the other, sums that are made anew whenever they are
    asked for, a log of each client's stream that is never cut. It shares no code with the core but
    the types of its interface. What the model says is compared with what the core does after every
    event.

    model.c           clients: pushes, outcomes, bounds, Skip, Reset, time
    model_session.c   receivers: attach, takeover, detach, who serves whom
    model_delivery.c  what is handed over, acknowledged and sent anew, and the figures
    model_expiry.c    what was retained for too long
    model_policy.c    what a client may receive next
    model_confirmation.c  what publishers are told
    model_repair.c    what publishers are asked for

    Receivers are numbered: first those with an id, then the routes, then the one that stands for
    nobody. */

#ifndef SIMULATION_MODEL_H
#define SIMULATION_MODEL_H

#include "check.h"
#include "core.h"
#include <stdlib.h>

#define MODEL_CLIENTS 6
#define MODEL_SLOTS 4 //  receivers with an id
#define MODEL_ROUTES 2
#define MODEL_NOBODY (MODEL_SLOTS + MODEL_ROUTES)
#define MODEL_RECEIVERS (MODEL_NOBODY + 1)
#define MODEL_PREFIXES 4
#define MODEL_EFFECTS 64

typedef enum {
    MODEL_STRICT,
    MODEL_DEADLINE,
    MODEL_LATEST,
    MODEL_PASSTHROUGH,
    MODEL_PLAYOUT, //  the plug-in of tests/plugin
} model_policy_t;

//  What a client's stream consists of.
typedef enum { MODEL_PUSH, MODEL_GAP, MODEL_MARKER } model_kind_t;

typedef struct {
    model_kind_t kind;
    position_t after; //  where the stream stands after it
    uint64_t from; //  gaps: the first seq
    uint32_t number; //  pushes: of the payload
    uint32_t size; //  encoded
    bool settled; //  a receiver has taken it, or says that it needs it no more
    int64_t released_at; //  ms
    uint64_t publisher; //  pushes: who is to be told of it; 0: nobody
} model_entry_t;

//  What a publisher is to be told of a push.
typedef struct {
    uint64_t publisher;
    position_t position;
    bool given_up;
} model_fate_t;

typedef struct {
    uint64_t seq;
    uint64_t publisher;
    uint32_t number;
    uint32_t size;
    int64_t arrived; //  ns
} model_held_t;

typedef struct {
    uint64_t from, to;
} model_range_t;

#define MODEL_LIST(type) \
    struct { \
        type *items; \
        uint32_t count, capacity; \
    }

#define MODEL_APPEND(list, item) \
    do { \
        if ((list)->count == (list)->capacity) { \
            (list)->capacity = (list)->capacity * 2 + 16; \
            (list)->items = realloc((list)->items, (list)->capacity * sizeof *(list)->items); \
            check((list)->items, "no memory for the model"); \
        } \
        (list)->items[(list)->count++] = (item); \
    } while (0)

typedef struct {
    const uint8_t *id;
    size_t id_size;
    model_policy_t policy;
    policy_settings_t rule;
    bool exists;
    uint32_t life; //  grows each time that the broker forgets the client
    uint64_t epoch, next_seq;
    MODEL_LIST(model_held_t) held;
    MODEL_LIST(uint64_t) marks; //  seqs that a Skip gave up, ahead of next_seq
    MODEL_LIST(model_range_t) gaps; //  that are remembered, of this epoch
    uint64_t forgotten_to; //  none that was remembered once ends after it
    MODEL_LIST(model_entry_t) log; //  all that was ever released, and stands
    MODEL_LIST(model_entry_t) expired; //  what a notice in the log has taken the place of
    MODEL_LIST(model_fate_t) fates; //  that publishers are to be told, and have not been
    uint64_t expired_told; //  pushes of which the core has said so
    uint32_t places; //  that it has for what is held
    uint32_t acked; //  entries of the log that are done with
    uint32_t sent; //  entries that are handed over, since the last time it went back
    uint32_t handed; //  entries that were handed over in this generation
    int64_t waits_since; //  ns, when what is sent was sent, or something acknowledged; 0: no wait
    position_t acked_at; //  where the stream stands after the entries that are done with
    bool by_publishers, by_broker; //  who numbers it
    uint32_t refused_batch;
    outcome_t refused_outcome;
    int64_t retry_at; //  ms
    uint32_t retry_after; //  ms, of the last refusal; 0: there was none
    int64_t hole_since; //  0: no hole
    bool alarmed;
    uint64_t peers[2]; //  that pushed last, the latest first; 0: there was none
    int64_t repair_at; //  when the hole is to be asked for; INT64_MAX: never
    uint32_t repairs; //  how often it was
    uint32_t asked; //  peers that are still to be asked this time
    int64_t active; //  ms, of the last event
    uint32_t receiver;
    bool by_name, marker_due, was_acked;
    bool missed; //  went back for what is missing, and nothing was acknowledged since
    uint32_t out; //  entries with workers whose report counts as the ack
    uint32_t session; //  grows when it starts to be sent anew
} model_client_t;

typedef enum { MODEL_ABSENT, MODEL_ATTACHED, MODEL_GONE, MODEL_ROUTE } model_state_t;

typedef struct {
    model_state_t state;
    const char *id;
    const char *address; //  NULL: none
    const char *prefixes[MODEL_PREFIXES];
    uint32_t prefix_count;
    uint64_t made; //  when it was made, in receivers
    uint64_t generation;
    uint64_t peer;
    bool ack_none;
    int64_t heard_at;
    int64_t gone_at;
    int64_t progress_at; //  of the last ack that covered something
    uint32_t session_out; //  dispatches of this session that are not back
} model_receiver_t;

//  What the core must want done or told; compared by model_expects.
typedef struct {
    effect_kind_t kind;
    uint32_t receiver; //  OPEN, CLOSE, DETACHED
    uint64_t generation; //  OPEN, DETACHED
    uint64_t peer; //  DETACHED
    const char *reason; //  DETACHED
    int client; //  DETACHED, ALARM; -1: all
    position_t position; //  ALARM
} model_effect_t;

typedef struct {
    uint64_t released, acked, taken, gap_notices, given_up, beyond, unknown, takeovers, timed_out,
        evicted, attaches, alarmed, filled, skipped, reset, missing, overdue, expired, gaps_expired;
} model_counts_t;

typedef struct {
    const core_settings_t *settings;
    model_client_t clients[MODEL_CLIENTS];
    model_receiver_t receivers[MODEL_RECEIVERS];
    model_effect_t effects[MODEL_EFFECTS]; //  expected and not seen yet
    uint32_t effect_count;
    uint64_t next_generation;
    uint64_t made;
    uint32_t batch;
    int64_t hole_longest; //  ns that a hole lasted which was filled, and when it was
    int64_t hole_longest_at;
    model_counts_t counts;
} model_t;

//  Starts a model whose clients have these ids.
void model_init(model_t *self, const core_settings_t *settings);
void model_fini(model_t *self);

//  ---- model.c -----------------------------------------------------------------------------------

typedef struct {
    uint64_t epoch, seq; //  seq 0: the broker numbers it
    uint32_t number; //  of the payload
    uint32_t payload_size;
    uint32_t size; //  encoded, as sent
    outcome_t outcome; //  ACCEPTED, or what the front has refused it with
    uint64_t publisher; //  who is to be told of it; 0: nobody
    uint64_t peer; //  who sends it; 0: nobody that may be asked
} model_push_t;

typedef struct {
    outcome_t outcome;
    uint64_t assigned; //  accepted
    bool unreceived; //  accepted
    uint64_t epoch, next_seq, window_end; //  refused
    uint32_t retry_after; //  refused
} model_answer_t;

//  What the core must decide, and what it keeps then.
model_answer_t model_push(model_t *self, uint32_t client, const model_push_t *push, int64_t now);
position_t model_skip(model_t *self, uint32_t client, uint64_t epoch, uint64_t from, uint64_t to,
                      int64_t now);
position_t model_reset(model_t *self, uint32_t client, uint64_t epoch, uint64_t next_seq,
                       int64_t now);

//  Finds the client, or makes it. Returns false if the bounds do not allow it.
bool model_make_client(model_t *self, uint32_t client, int64_t now);

//  Time has passed. `evicted` says how many clients the core has dropped.
void model_tick(model_t *self, uint64_t evicted, int64_t now);

//  The held push with this seq, or NULL; was the seq skipped ahead; was it given up?
model_held_t *model_held(model_client_t *client, uint64_t seq);
bool model_is_marked(const model_client_t *client, uint64_t seq);
bool model_was_given_up(const model_client_t *client, uint64_t seq);

//  Announces from..to as given up; releases a push that is held, which is next; gives back places
//  that nothing needs.
void model_announce(model_t *self, model_client_t *client, uint64_t from, uint64_t to, int64_t now);
void model_release(model_t *self, model_client_t *client, model_held_t *held, int64_t now);
void model_give_back_places(model_client_t *client);

//  Remembers that from..to of the client's epoch were given up.
void model_note_gap(model_client_t *client, uint64_t from, uint64_t to);

//  Moves the client ahead of all that was released, where a receiver says that it is.
void model_jump(model_t *self, model_client_t *client, position_t position, int64_t now);

//  Sums over what is kept of a client, and of all.
uint32_t model_kept(const model_client_t *client);
uint64_t model_kept_bytes(const model_client_t *client);
uint64_t model_all_bytes(const model_t *self);

//  Encoded size of an entry of a client, as field 1 of a Delivery.
uint32_t model_size(const model_client_t *client, const model_entry_t *entry, uint32_t payload);

//  ---- model_policy.c ----------------------------------------------------------------------------

//  Sets the policy and the settings of a client.
void model_set_rule(model_client_t *client, const rule_t *rule);

//  True if the policy holds what comes too early.
bool model_has_window(const model_client_t *client);

//  What the policy says of a seq.
outcome_t model_judge_seq(model_client_t *client, uint64_t seq);

//  Releases and gives up what is due, where there is a window; `next` is next_seq before all that has
//  happened.
void model_settle(model_t *self, model_client_t *client, uint64_t next, int64_t now);

//  Lets a push in where there is none.
void model_accept_unheld(model_t *self, model_client_t *client, const model_push_t *push,
                         uint64_t seq, int64_t now);

//  ---- model_session.c ---------------------------------------------------------------------------

//  Returns true, or false with the code of the Error.
bool model_attach(model_t *self, uint32_t receiver, const char *address, uint64_t peer,
                  bool ack_none, int64_t now, error_code_t *code);
bool model_attach_client(model_t *self, uint32_t receiver, uint32_t client, position_t *position,
                         int64_t now);
void model_attach_prefix(model_t *self, uint32_t receiver, const char *prefix);
void model_detach_client(model_t *self, uint32_t receiver, uint32_t client);
void model_detach(model_t *self, uint32_t receiver);

//  Does the whole of the id match?
bool model_glob(const char *pattern, const uint8_t *id, size_t size);

//  The receiver that a client belongs to that nobody attached by name.
uint32_t model_resolve(const model_t *self, const model_client_t *client);

//  Ends the session of a receiver, which keeps its clients.
void model_park(model_t *self, uint32_t receiver, const char *reason, int64_t now);

bool model_is_served(const model_receiver_t *receiver);
uint64_t model_receiver_bytes(const model_t *self, uint32_t receiver);

//  Appends an effect that must come; takes the one that has come, or fails.
model_effect_t *model_expect(model_t *self, effect_kind_t kind, uint32_t receiver);
void model_expects(model_t *self, const model_effect_t *effect);

//  ---- model_delivery.c --------------------------------------------------------------------------

//  An entry as it was decoded.
typedef struct {
    uint64_t epoch, seq, skipped_to;
    bool marker;
    uint32_t number; //  pushes: of the payload
    uint32_t payload_size;
} model_seen_t;

//  A dispatch is about to be filled; one entry of it (NULL: an empty one); all that could be
//  handed over was.
void model_fill(model_t *self, uint32_t receiver);
void model_hand(model_t *self, uint32_t receiver, uint32_t client, const model_seen_t *seen,
                int64_t now);
void model_all_handed(const model_t *self);

//  An entry came back whose report counts as the ack.
void model_reported(model_t *self, uint32_t receiver, uint32_t client, uint32_t session, bool sent,
                    int64_t now);

//  True if this is the entry that was decoded.
bool model_is_entry(const model_entry_t *entry, const model_seen_t *seen);

//  A receiver took an entry of the stream; it needs nothing up to the position.
void model_take(model_t *self, uint32_t client, const model_seen_t *seen);
void model_claim(model_t *self, uint32_t client, position_t position);

void model_ack(model_t *self, uint32_t receiver, uint32_t client, position_t position, int64_t now);
void model_missing(model_t *self, uint32_t receiver, uint32_t client, position_t position,
                   int64_t now);

//  The core sends a client anew because no ack came in time: of the client, or, if the receiver is
//  stalled, of any.
bool model_is_stalled(const model_t *self, uint32_t receiver, int64_t now);
void model_overdue(model_t *self, uint32_t client, bool stalled, int64_t now);

//  Drops what is done with, up to the position, handed over or not.
void model_cover(model_client_t *client, position_t position);

//  Starts to send the client anew, in the same generation or in another.
void model_go_back(model_client_t *client);
void model_restart(model_client_t *client);

//  ---- model_expiry.c ----------------------------------------------------------------------------

//  Time has passed: gives up what is due.
void model_expire(model_t *self, int64_t now);

//  The expired entry that stood where the stream stands now, one that a receiver has if there are
//  several; or NULL.
model_entry_t *model_expired_at(model_client_t *client, position_t after);

//  A receiver took an expired entry that was on its way. Returns false if there is no such entry.
bool model_take_expired(model_client_t *client, const model_seen_t *seen);

//  The core has told of all that was given up, and of no more.
void model_compare_expired(const model_t *self);

//  ---- model_confirmation.c ----------------------------------------------------------------------

//  A push is done with, and its publisher, unless that is 0, is to be told.
void model_owe(model_client_t *client, uint64_t publisher, position_t position, bool given_up);

//  A publisher sends a push again that is a duplicate.
void model_renew(model_client_t *client, uint64_t publisher, uint64_t seq);

//  The core tells a publisher: it must owe that, and everything that is owed must be told.
void model_told(model_t *self, uint32_t client, uint64_t publisher, position_t position,
                bool given_up);
void model_all_told(const model_t *self);

//  True if the seq is in a gap, or in one that is not remembered may be.
bool model_may_have_given_up(const model_client_t *client, uint64_t seq);

//  Compares all figures with the core's, and with the bounds.
void model_compare(const model_t *self, const core_t *core, const orderer_stats_t *stats);

//  Nothing is kept, and everything that was accepted was taken or announced.
void model_nothing_lost(const model_t *self);

//  ---- model_repair.c ----------------------------------------------------------------------------

//  A peer has pushed for the client; 0: one that may not be asked.
void model_note_peer(model_client_t *client, uint64_t peer);

//  The client's hole begins: hole_since is set.
void model_begin_repair(const model_t *self, model_client_t *client, int64_t now);

//  A push has filled a hole that lasted so long.
void model_note_filled(model_t *self, int64_t lasted, int64_t now);

//  The core asks a peer for what follows `at` up to `to`: it must be time, and the right one.
void model_repair(model_t *self, uint32_t index, uint64_t peer, position_t at, uint64_t to,
                  int64_t now);

//  What was to be asked for has been, where there was somebody to ask.
void model_all_repaired(model_t *self, int64_t now);

#endif
