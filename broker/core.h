/*  core.h - the ordering core: (event, now) -> what to send, what to tell

    It owns the clients, the receivers as far as ordering and retention go, and every bound on what
   is kept. It has no socket, no thread and no clock: events and the time come in as arguments, what
   is to be sent is asked for (core_ready, core_fill), and what is to be told is taken from a queue
   of effects. So the same core runs under a simulated clock, with the same seed a million times
   alike.

    Times are monotonic ns. One thread, the owner's. Nothing here blocks. */

#ifndef SEQPUSH_CORE_H
#define SEQPUSH_CORE_H

#include "dispatch.h"
#include "journal.h"
#include "push.h"
#include "receiver.h"
#include "request.h"
#include "rule.h"
#include "stats.h"

typedef struct core core_t;

typedef struct {
    const char *match; //  glob over client ids
    const char *endpoint;
    const char *server_key; //  CURVE key of the endpoint; empty: plaintext
} core_route_t;

typedef struct {
    const policy_t *policy;
    uint32_t window; //  seqs
    uint64_t first_seq;
    int64_t gap_timeout; //  ns
    int64_t gap_alarm; //  ns; 0: never
    int64_t repair_delay; //  ns; 0: never
    const rule_t
        *rules; //  borrowed for core_new: of clients that one matches, in place of the six above
    size_t rule_count;
    uint32_t max_clients;
    int64_t client_idle_timeout; //  ns
    uint64_t memory_max; //  bytes
    uint32_t max_unacked; //  pushes a client
    uint64_t max_unacked_bytes; //  bytes an endpoint, on their way
    uint32_t backlog; //  pushes a client
    uint32_t backlog_bytes; //  bytes a client
    int64_t ack_timeout; //  ns
    int64_t retain_max; //  ns from the release; 0: for ever
    int64_t receiver_timeout; //  ns
    uint32_t max_receivers; //  with an endpoint of their own
    const core_route_t *routes;
    size_t route_count;
    uint8_t key[REQUEST_KEY_SIZE]; //  of hashes
    uint64_t first_generation; //  greater than any that an earlier run has used
    bool journal; //  nothing is accepted that a journal does not keep
} core_settings_t;

//  What the core wants done or told. It is valid until the next call that takes an event.
typedef enum {
    EFFECT_OPEN, //  the receiver has a new session: open its endpoint
    EFFECT_CLOSE, //  its endpoint is not needed any more: close it, forget what waits for it
    EFFECT_DETACHED, //  tell the peer that a client, or all if id_size is 0, was taken from it
    EFFECT_ALARM, //  log: the client's hole is open for long
    EFFECT_EXPIRED, //  log: pushes of the client were retained for too long, and given up
    EFFECT_REPAIR, //  ask the peer for pushes of the client that are missing
} effect_kind_t;

typedef struct {
    effect_kind_t kind;
    receiver_t *receiver; //  OPEN, CLOSE
    uint64_t peer; //  DETACHED, REPAIR: whom to tell
    uint64_t generation; //  OPEN: the new one; DETACHED: the one it was
    const char *reason; //  DETACHED: taken_over, timeout
    uint8_t receiver_id[ID_MAX];
    uint8_t receiver_id_size;
    uint8_t id[ID_MAX]; //  DETACHED, ALARM, EXPIRED, REPAIR: the client
    uint8_t id_size;
    position_t position; //  ALARM, REPAIR: the hole follows it; EXPIRED: the last push given up
    uint64_t to; //  REPAIR: the last seq of the hole
    uint32_t count; //  EXPIRED: pushes given up
} core_effect_t;

//  Makes a core; the settings are copied, `stats` is borrowed. NULL: no memory. Routes are open at
//  once: their effects wait.
core_t *core_new(const core_settings_t *settings, orderer_stats_t *stats);

//  Frees it with all it keeps. All dispatches must have been returned. Takes NULL.
void core_destroy(core_t **self_p);

//  Clients that come from now on have one of these rules, the others keep theirs. Takes over the caller's
//  use of the set.
void core_set_rules(core_t *self, rule_set_t *rules);

//  ---- pushes ------------------------------------------------------------------------------------

//  Starts a batch: what follows until the next one came in one request. `sparse`: the pushes are a small
//  part of their frame, so what is kept of them is copied out of it. `peer` has sent it and may be asked
//  for what is missing before its pushes; 0: nobody. `confirm`: it is told when they are delivered.
void core_begin_batch(core_t *self, bool sparse, uint64_t peer, bool confirm);

//  Prefetches what core_push will read of this push, in four steps some pushes ahead of it: the
//  slot in the table of clients, the client, its flow, its places in window and queue.
void core_prefetch_slot(const core_t *self, const push_t *push);
void core_prefetch_client(const core_t *self, const push_t *push);
void core_prefetch_flow(const core_t *self, const push_t *push);
void core_prefetch_places(const core_t *self, const push_t *push, const frame_t *frame);

//  Decides one push, whose outcome is still OUTCOME_ACCEPTED, and writes the decision over it. An
//  accepted push is kept, with a reference of its own to `frame`.
void core_push(core_t *self, frame_t *frame, push_t *push, int64_t now);

//  Takes note of a push that was refused before it came here, in its place in the batch: tells where
//  its client is, and the numberless pushes of the client that follow in the batch are refused too.
//  One that is OUTCOME_OVERLOADED is beyond the publisher's credit, with all that follow, and left
//  as it is. So is one that is OUTCOME_FORBIDDEN, as are all of its client in the batch.
void core_refused(core_t *self, push_t *push, int64_t now);

//  Gives up what is missing of from..to, unless too many notices are kept for the client already.
//  Returns where the client then is.
position_t core_skip(core_t *self, const void *id, size_t id_size, uint64_t epoch, uint64_t from,
                     uint64_t to, int64_t now);

//  Starts the client over at `next_seq` (0: first_seq) of a greater epoch, unless too many notices
//  are kept for it already. Returns where it then is.
position_t core_reset(core_t *self, const void *id, size_t id_size, uint64_t epoch,
                      uint64_t next_seq, int64_t now);

//  ---- the journal -------------------------------------------------------------------------------
//
//  With a journal a push is written before it is decided. What the core changes by itself, it tells
//  afterwards, and does not send what depends on it until that is kept.

//  Looks at a push, of a batch that was begun, before it is written: true if it is to be. If not, it is
//  refused, which core_refused completes, or core_push will say what it is. A numberless one gets its
//  seq here; core_push gives it no other. `behind`: its peer has sent something that waits.
bool core_look(core_t *self, push_t *push, bool behind, int64_t now);

//  True if a push of the present batch was accepted, or is kept already, and its client waits for the
//  journal to keep a change.
bool core_batch_waits(const core_t *self);

//  The number of the last change that a client waits for.
uint32_t core_ticket(const core_t *self);

//  Bytes that are kept. What waits for the journal has its place within memory_max, too.
uint64_t core_kept_bytes(const core_t *self);

//  What has changed since the last call, and the positions of at most `positions` clients, as a batch
//  that the caller frees. NULL: nothing has, or there is no memory.
journal_batch_t *core_changes(core_t *self, size_t positions);

//  True if core_changes has something that is to be written soon; how many positions it has that are at
//  leisure.
bool core_has_changes(const core_t *self);
size_t core_positions(const core_t *self);

//  The journal keeps all changes up to that of a batch with this ticket.
void core_stored(core_t *self, uint32_t ticket);

//  A push was written, and then refused: the next changes take it out again.
void core_take_out(core_t *self, const journal_op_t *push);

//  ---- receivers ---------------------------------------------------------------------------------

typedef struct {
    const void *id; //  receiver_id
    size_t id_size;
    const char *address; //  checked, in its canonical form
    uint64_t peer;
    bool ack_none;
    uint64_t owner; //  whose key asks; 0: nobody is asked
    const char *server_key; //  CURVE key of the endpoint; empty: plaintext
} core_attach_t;

//  Takes an Attach: makes the receiver or finds it, with a new generation if it is not the session
//  it was. Returns NULL and sets `*code` if it cannot be: ERROR_FORBIDDEN where a receiver or an
//  endpoint with a session belongs to another owner.
receiver_t *core_attach(core_t *self, const core_attach_t *attach, int64_t now, error_code_t *code);

//  Gives a client to the receiver. `*position` is the last one that the receiver has ({0, 0}: go on
//  where the broker is), and is set to where the delivery goes on. Returns false if the receiver is
//  ahead of the broker; then nothing changes, and `*position` is set to where the broker is.
bool core_attach_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                        position_t *position, int64_t now);

//  Gives the receiver all clients with the prefix too, but for those that somebody attached by name.
//  Returns false, with nothing changed, if the receiver has too many prefixes or there is no memory.
bool core_attach_prefix(core_t *self, receiver_t *receiver, const void *prefix, size_t size,
                        int64_t now);

//  Takes a client from the receiver, if it has it.
void core_detach_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size);

//  Takes all from the receiver and ends it; it is not valid any more.
void core_detach(core_t *self, receiver_t *receiver);

//  Ends the receivers of this owner, and tells them "timeout", so that they attach anew: then they are asked
//  what they may have.
void core_end_owner(core_t *self, uint64_t owner);

//  The same for an operator: the receiver, which has not asked for it, is told. A client stays with a
//  receiver that has it by prefix: returns false then, and if it is another's.
bool core_expel_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size);
void core_expel(core_t *self, receiver_t *receiver);

//  The receiver with this id if it has a session, or NULL.
receiver_t *core_receiver(core_t *self, const void *id, size_t id_size);

//  The receiver gave a sign of life.
void core_heard(receiver_t *receiver, int64_t now);

//  Cumulative acks, each of one client; what one cannot cover is counted and ignored.
typedef struct {
    const void *id;
    size_t id_size;
    position_t position;
} core_ack_t;

void core_ack(core_t *self, receiver_t *receiver, const core_ack_t *acks, size_t count,
              int64_t now);

//  The receiver lacks what follows the position: delivery of the client goes back to there, once until
//  something is acknowledged. If that is lost too, the ack that does not come takes it back.
void core_missing(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                  position_t position, int64_t now);

//  ---- sending -----------------------------------------------------------------------------------

//  The next receiver that something can be sent to now, or NULL. It stays next until core_fill has
//  taken what there is.
receiver_t *core_ready(core_t *self);

//  Fills an empty dispatch with up to `max` entries and about `max_bytes`, oldest client first.
void core_fill(core_t *self, receiver_t *receiver, dispatch_t *dispatch, uint32_t max,
               uint32_t max_bytes, int64_t now);

//  A dispatch came back from its worker: drops its references and counts it as the report.
void core_returned(core_t *self, dispatch_t *dispatch, int64_t now);

//  ---- time and effects --------------------------------------------------------------------------

//  Does what is due, or the first of it: core_next_tick then is not later than now.
void core_tick(core_t *self, int64_t now);

//  When core_tick is to be called next; INT64_MAX: not needed.
int64_t core_next_tick(const core_t *self);

//  Takes the oldest effect. Returns false if there is none.
bool core_effect(core_t *self, core_effect_t *effect);

//  What became of a push whose publisher is to be told.
typedef struct {
    uint64_t publisher;
    client_t *client;
    position_t position; //  delivered: and so are the publisher's before it in the epoch
    bool given_up; //  this push alone
} core_confirmation_t;

//  Takes all of them: how many. Those of a publisher follow each other, and no position covers another.
//  They are valid until the next call that takes an event.
size_t core_confirmations(core_t *self, const core_confirmation_t **confirmations);

//  Entries that are released, for a receiver that is there, and not yet done with: what a drain
//  waits for.
uint64_t core_draining(const core_t *self);

//  A receiver that has the handle of an endpoint set, or NULL. For closing them all at the end.
receiver_t *core_any_endpoint(const core_t *self);

//  Pushes that are kept, held or released; notices and markers are not counted. Looks at all clients.
uint64_t core_kept(const core_t *self);

#endif
