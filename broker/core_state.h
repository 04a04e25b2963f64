/*  core_state.h - what the parts of the ordering core share

    core            its life and its time
    client_list     all clients: finding, making, forgetting them
    intake          pushes in: judging, bounds, refusals
    stream          a client's stream moves on: the policy, the hole at its head
    stage           what a policy may ask and do
    gap             ways out of a gap: Skip, Reset, a receiver that is ahead
    receiver_table  all receivers, by id and by endpoint
    session         sessions of receivers: attach, silence, the end
    assignment      to whom a client belongs, with prefix and route
    retention       what is kept until it is acknowledged
    delivery        pushes out: who has something to send, dispatches
    ack             what receivers say that they have, or lack
    redelivery      who waits for an ack, and goes back when none comes
    explain         why a client does not move, for those who look
    expiry          what was retained for too long is given up
    repair          publishers that are asked for what is missing
    confirmation    publishers that are told what became of their pushes
    compaction      pushes that outlive the others of their frame are copied out of it
    notice          gap notices and markers, encoded
    effect          what the core wants done or told
    change          what the journal has to know
    restore         clients, as the journal has kept them */

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
enum { TIMER_CLIENT, TIMER_RECEIVER, TIMER_RESEND, TIMER_IDLE, TIMER_OLDEST, TIMER_COMPACTION };

struct core {
    core_settings_t settings;
    orderer_stats_t *stats;

    rule_set_t *rules; //  of the clients that will come
    client_table_t clients;
    slab_t slab; //  that they lie in
    client_t *oldest, *newest; //  all clients, by when they were listed
    uint64_t kept_bytes; //  of all clients
    uint32_t batch; //  number of the present one
    bool sparse; //  what is kept of it is copied
    uint64_t publisher; //  who is told of its pushes; 0: nobody
    uint64_t peer; //  who sent it; 0: nobody that may be asked for anything
    uint64_t newest_peer; //  the greatest of those numbers
    int64_t hole_longest; //  ns that a hole lasted which was filled
    int64_t hole_longest_at; //  ns, when it was
    uint32_t closing; //  endpoints whose close has not come back

    receiver_t nobody;
    receiver_t *by_id; //  attached and gone ones
    receiver_t *by_address; //  those with an endpoint
    prefix_t *prefixes; //  of all receivers
    uint32_t prefix_sizes[ID_MAX + 1]; //  how many there are of each size
    route_t *routes;
    size_t route_count;
    uint64_t next_generation;
    receiver_t *ready_first; //  receivers that something can be sent to
    receiver_t *ready_last;

    timer_heap_t timers;
    timer_entry_t idle_timer;
    timer_entry_t oldest_timer; //  looks for the oldest unacknowledged entry, while there is one
    timer_entry_t compaction_timer;
    size_t compaction_at; //  slot of the table of clients that is next
    core_confirmation_t *confirmations; //  not yet taken
    size_t confirmation_count, confirmation_capacity;
    struct change *changes; //  not yet taken
    size_t change_count, change_capacity;
    bool batch_waits; //  a client of the present batch has one that is not kept
    uint32_t ticket; //  number of the last change that a client waits for
    struct awaited *awaited; //  clients that wait for one, in order: a ring
    size_t awaited_head, awaited_count, awaited_capacity;
    client_t **unsaved; //  clients whose position is to be written, in order: a ring
    size_t unsaved_head, unsaved_count, unsaved_capacity;
    bool restoring; //  what changes comes from the journal

    core_effect_t *effects; //  a ring
    uint32_t effect_head, effect_count, effect_capacity;
};

//  Counts bytes as kept for the client, or (negative) not any more.
static inline void core_charge(core_t *self, client_t *client, int64_t bytes)
{
    client->kept_bytes = (uint32_t)(client->kept_bytes + bytes);
    client->receiver->kept_bytes += (uint64_t)bytes;
    self->kept_bytes += (uint64_t)bytes;
}

//  ---- client_list.c -----------------------------------------------------------------------------

//  The client with this id; if there is none, NULL, or a new one if `make`. NULL too if there is no
//  room for one.
client_t *client_list_get(core_t *self, const void *id, size_t id_size, uint64_t hash, bool make,
                          int64_t now);

//  The idle timer fired: forgets the clients that were idle for too long.
void client_list_drop_idle(core_t *self, int64_t now);

//  The policy and settings that a client with this id is made with.
static inline const rule_t *client_list_rule(const core_t *self, const void *id, size_t id_size)
{
    return rule_set_match(self->rules, id, id_size);
}

//  Frees all clients.
void client_list_fini(core_t *self);

//  ---- stage.c -----------------------------------------------------------------------------------

//  A client while its policy is asked.
struct policy_stage {
    core_t *core;
    client_t *client;
    int64_t now;
    uint64_t hole_at; //  the next_seq that the client's hole_since is of
    window_place_t hand; //  the push that was let in, until it is released or held
    uint64_t hand_seq;
    bool in_hand;
};

//  Brings hole_since up to date: a hole that was not the head of the line before begins now.
void stage_see_hole(policy_stage_t *stage);

//  Releases a push that is in no place of the window; the client's stream stands at `seq` after it.
//  There is room in the queue.
void stage_release(core_t *self, client_t *client, window_place_t push, uint64_t seq, int64_t now);

//  ---- stream.c ----------------------------------------------------------------------------------

//  What the client's policy says of a push with this seq.
outcome_t stream_judge(core_t *self, client_t *client, uint64_t seq, int64_t now);

//  Lets in a push that was judged good and is counted: it is released at once, or held. Takes over
//  the reference to its frame. Returns false, with nothing changed, if there is no memory.
bool stream_enter(core_t *self, client_t *client, window_place_t push, uint64_t seq, int64_t now);

//  Lets the policy move the client's stream, and looks after the hole and the timers.
void stream_settle(core_t *self, client_t *client, int64_t now);

//  The client's timer fired.
void stream_due(core_t *self, client_t *client, int64_t now);

//  Counts pushes with so many bytes as held, or (negative) not any more.
void stream_count_held(core_t *self, client_t *client, uint64_t pushes, uint64_t bytes);

//  Takes out what a place of the window holds, and counts it as held no more.
window_place_t stream_take_held(core_t *self, client_t *client, window_place_t *place);

//  Announces from..to, which ends right before next_seq, as given up. There is room for it.
void stream_announce(core_t *self, client_t *client, uint64_t from, uint64_t to, frame_t *notice,
                     int64_t now);

//  Counts the window's places as kept, and gives back those that are not needed any more.
void stream_count_window(core_t *self, client_t *client);

//  ---- gap.c -------------------------------------------------------------------------------------

//  Moves a client of which nothing was acknowledged to a position ahead of all that was released.
void gap_jump(core_t *self, client_t *client, position_t position, int64_t now);

//  Drops what is held and marked up to a seq: given up, or known to the receiver. Returns the last seq
//  that was held, 0 if none was.
uint64_t gap_clear_window(core_t *self, client_t *client, uint64_t upto, bool given_up);

//  The client's stream goes on in another epoch, of which nothing is known yet.
void gap_start_epoch(core_t *self, client_t *client, uint64_t epoch, uint64_t next_seq);

//  ---- effect.c ----------------------------------------------------------------------------------

//  Appends an effect and returns it, zeroed but for its kind. Never NULL: without memory the
//  process ends, as an effect that is lost would leave peers and core apart.
core_effect_t *effect_tell(core_t *self, effect_kind_t kind);

//  Tells the receiver's peer that a client, or all if NULL, was taken from it.
void effect_tell_detached(core_t *self, const receiver_t *receiver, const client_t *client,
                          const char *reason);

//  ---- receiver_table.c --------------------------------------------------------------------------

//  The receiver with this id, or at this endpoint, or NULL.
receiver_t *receiver_table_find(const core_t *self, const void *id, size_t id_size);
receiver_t *receiver_table_at(const core_t *self, const char *address);

//  Makes a receiver that is gone still. NULL: no memory.
receiver_t *receiver_table_add(core_t *self, const void *id, size_t id_size);

//  Takes a receiver out, without freeing it.
void receiver_table_remove(core_t *self, receiver_t *receiver);

//  Gives the receiver an endpoint (false: no memory), or takes it away.
bool receiver_table_place(core_t *self, receiver_t *receiver, const char *address);
void receiver_table_displace(core_t *self, receiver_t *receiver);

//  Frees all receivers.
void receiver_table_fini(core_t *self);

//  ---- session.c ---------------------------------------------------------------------------------

//  Asks for the endpoint of a receiver. The answers of the worker to this and to the closing count
//  as dispatches that are out.
void session_open(core_t *self, receiver_t *receiver);

//  A receiver's timer fired: it is gone if it was silent for too long.
void session_due(core_t *self, receiver_t *receiver, int64_t now);

//  Frees an ended receiver once nothing of it is with a worker.
void session_release(receiver_t *receiver);

//  ---- assignment.c ------------------------------------------------------------------------------

//  The receiver that a client belongs to that nobody attached by name.
receiver_t *assignment_resolve(core_t *self, const client_t *client);

//  Moves a client to another receiver, which starts it anew.
void assignment_move(core_t *self, client_t *client, receiver_t *to);

//  ---- prefix.c ----------------------------------------------------------------------------------

//  Who has just this prefix; who has the longest one that the client begins with. NULL: nobody.
receiver_t *prefix_holder(const core_t *self, const void *bytes, size_t size);
receiver_t *prefix_longest(const core_t *self, const client_t *client);

//  Whether the client begins with one of the receiver's prefixes.
bool prefix_covers(const receiver_t *receiver, const client_t *client);

//  Gives the receiver a prefix that it does not have, and takes it from whoever has it. False, and nothing
//  has changed, if it has too many, or there is no memory.
bool prefix_give(core_t *self, receiver_t *receiver, const void *bytes, size_t size);

//  Drops all of a receiver's; all of all receivers'.
void prefix_drop_all(core_t *self, receiver_t *receiver);
void prefix_fini(core_t *self);

//  ---- route.c -----------------------------------------------------------------------------------

//  Opens the routes of the settings. Returns false if there is no memory.
bool route_open_all(core_t *self);

//  The receiver of the first route that matches the client, or NULL.
receiver_t *route_of(const core_t *self, const client_t *client);

//  Frees the routes, not their receivers.
void route_fini(core_t *self);

//  ---- notice.c ----------------------------------------------------------------------------------

//  A frame with an encoded gap notice (epoch, from..to) or marker (epoch, to) of a client. NULL: no
//  memory.
frame_t *notice_gap(const client_t *client, uint64_t epoch, uint64_t from, uint64_t to);
frame_t *notice_marker(const client_t *client, position_t position);

//  ---- retention.c -------------------------------------------------------------------------------

//  Appends a released push or a notice, which has room in the queue, and counts it.
void retention_put(core_t *self, client_t *client, retained_entry_t entry, int64_t now);

//  Counts entries that were put into the queue now, and sees to it that they expire.
void retention_count_put(core_t *self, client_t *client, uint64_t entries, uint64_t bytes,
                         int64_t now);

//  Makes one entry, the notice, of the entries from `first` up to and without `end`, all of which are
//  on their way or none. Takes over the reference to the notice's frame.
void retention_merge(core_t *self, client_t *client, uint32_t first, uint32_t end, frame_t *notice);

//  Appends a gap notice that ends at `to`, which has room in the queue. Takes over the frame.
void retention_put_notice(core_t *self, client_t *client, uint64_t to, frame_t *notice,
                          int64_t now);

//  The first seq of what was released in this epoch and not handed to a worker in this generation;
//  next_seq if there is nothing.
uint64_t retention_unhanded_from(const client_t *client);

//  How many entries that is, and their bytes as they are counted.
uint32_t retention_unhanded(const client_t *client, uint64_t *bytes);

//  Drops all of that, pushes as given up. Returns true if a gap notice was among it.
bool retention_drop_unhanded(core_t *self, client_t *client);

//  Drops the oldest entries, as delivered; or the oldest one.
void retention_drop(core_t *self, client_t *client, uint32_t count);

static inline void retention_pop(core_t *self, client_t *client)
{
    retention_drop(self, client, 1);
}

//  How many of the first `limit` entries end at or before `position`; `*reached` is where the last
//  of them ends.
uint32_t retention_covered(const client_t *client, position_t position, uint32_t limit,
                           position_t *reached);

//  Makes the oldest entry, if it is a gap notice that the position lies in, begin right after the
//  position: a receiver takes only what does. Without memory it stays as it is.
void retention_shorten_gap(core_t *self, client_t *client, position_t position);

//  Drops the entries up to the position, whether they were sent or not.
void retention_cover(core_t *self, client_t *client, position_t position);

//  Counts entries that were handed over as on their way, or (-1) not any more.
void retention_count_sent(core_t *self, client_t *client, const retained_entry_t *entry, int by);

//  Counts a run of entries with so many bytes as on their way.
void retention_count_handed(core_t *self, client_t *client, uint32_t entries, uint32_t bytes);

//  ---- delivery.c --------------------------------------------------------------------------------

//  Queues the client and its receiver if there is something to send and somebody to send it to.
void delivery_offer(core_t *self, client_t *client);

//  True if a worker's report that it was sent counts as the ack of what the client sends.
static inline bool delivery_is_unacked(const client_t *client)
{
    return client->receiver->ack_none || client_is(client, POLICY_PASSTHROUGH);
}

//  True if the receiver's worker has as many dispatches for it as it may have.
bool delivery_worker_is_full(const receiver_t *receiver);

//  Queues the receiver if it has clients with something to send and room for it.
void delivery_wake(core_t *self, receiver_t *receiver);

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

//  ---- confirmation.c ----------------------------------------------------------------------------

//  Adds what will be told; without memory it is lost, as any reply may be.
void confirmation_append(core_t *self, core_confirmation_t added);

//  A push of the client in this frame, at this position, is delivered or given up: its publisher, if
//  it wants to, will be told.
static inline void confirmation_add(core_t *self, client_t *client, const frame_t *frame,
                                    position_t position, bool given_up)
{
    if (frame->publisher)
        confirmation_append(self,
                            (core_confirmation_t){frame->publisher, client, position, given_up});
}

//  The publisher of the present batch has sent a push again: it will be told of it in the place of
//  whoever was to be told, or at once if nothing of it is kept. Returns false if there is no memory.
bool confirmation_renew(core_t *self, client_t *client, uint64_t seq);

//  ---- change.c ----------------------------------------------------------------------------------

//  Told to the journal. The client waits until it is kept: from..to of the epoch were given up; a new
//  epoch has begun; the client has moved to its position.
void change_gap(core_t *self, client_t *client, uint64_t epoch, uint64_t from, uint64_t to);
void change_marker(core_t *self, client_t *client);
void change_jump(core_t *self, client_t *client);

//  Nothing waits for these: pushes from..to of the present epoch are not kept any more; the client is
//  forgotten.
void change_drop(core_t *self, client_t *client, uint64_t from, uint64_t to);
void change_forget(core_t *self, const client_t *client);

//  The client's position will be told, with what has become of it until then.
void change_note_position(core_t *self, client_t *client);

static inline void change_position(core_t *self, client_t *client)
{
    if (self->settings.journal && !client->unsaved)
        change_note_position(self, client);
}

void change_fini(core_t *self);

//  ---- intake.c ----------------------------------------------------------------------------------

//  A frame with the encoded push, and the seq that the broker gave it behind its own bytes. NULL: no
//  memory.
frame_t *intake_number(const uint8_t *bytes, uint32_t size, uint64_t seq);
//  ---- repair.c ----------------------------------------------------------------------------------

//  Notes that the peer of the present batch has pushed for the client.
static inline void repair_note(const core_t *self, client_t *client)
{
    uint32_t peer = (uint32_t)self->peer;
    if (peer == 0 || peer == client->publishers[0])
        return;
    client->publishers[1] = client->publishers[0];
    client->publishers[0] = peer;
}

//  The client's hole begins now.
void repair_begin(const core_t *self, client_t *client, int64_t now);

//  A push fills the client's hole now.
void repair_filled(core_t *self, const client_t *client, int64_t now);

//  Asks for the client's hole if that is due. Returns when it will be next; INT64_MAX: never.
int64_t repair_look(core_t *self, client_t *client, int64_t now);

//  The peer with these low bits of its number, which is not newer than the newest.
uint64_t repair_peer(const core_t *self, uint32_t low);

//  ---- compaction.c ------------------------------------------------------------------------------

//  Counts a frame, which was not counted before.
void compaction_add(core_t *self, frame_t *frame, int64_t now);

//  Counts the frame of a push that is kept from now on.
static inline void compaction_count(core_t *self, frame_t *frame, int64_t now)
{
    if (!frame->gauge)
        compaction_add(self, frame, now);
}

//  True if the frames have outgrown what is kept in them.
bool compaction_is_due(const core_t *self);

//  Copies a kept push into a frame of its own. Returns false if there is no memory.
bool compaction_copy_out(core_t *self, frame_t **frame, const uint8_t **bytes, uint32_t size);

//  The timer fired: copies out what lies in frames that are mostly something else.
void compaction_due(core_t *self, int64_t now);

//  ---- expiry.c ----------------------------------------------------------------------------------

//  Sees to it that the client is looked at when an entry that is released now expires; soon.
void expiry_arm(core_t *self, client_t *client, int64_t now);
void expiry_look_soon(core_t *self, client_t *client);

static inline void expiry_watch(core_t *self, client_t *client, int64_t now)
{
    if (self->settings.retain_max)
        expiry_arm(self, client, now);
}

//  The client's timer fired: gives up what has expired.
void expiry_due(core_t *self, client_t *client, int64_t now);

#endif
