/*  receiver_delivery.c - hands deliveries out by the receiver's rule, which stands in positions.h */

#include "receiver_state.h"

#define FRAMES_TURN 16 //  deliveries until the broker's replies are looked at
#define AHEAD 8 //  entries that are looked at before they are handed out; a power of two

static void s_hand_out(seqpush_receiver_t *self, const delivery_entry_t *entry)
{
    const seqpush_push_t *push = &entry->push;
    self->handed++;
    if (entry->skipped_to == 0) {
        self->stats.pushes++;
        self->options.on_push(self->options.arg, push);
        return;
    }
    self->stats.gaps++;
    self->stats.gap_seqs += entry->skipped_to - push->seq + 1;
    if (self->options.on_gap)
        self->options.on_gap(self->options.arg, push->client_id, push->client_id_size, push->epoch,
                             push->seq, entry->skipped_to);
}

void receiver_tell_jump(seqpush_receiver_t *self, const position_t *position)
{
    self->stats.jumps++;
    if (!self->options.on_jump)
        return;
    seqpush_position_t to = {position->id, position->id_size, position->epoch, position->seq};
    self->options.on_jump(self->options.arg, &to);
}

//  ---- entries -----------------------------------------------------------------------------------

static void s_take(seqpush_receiver_t *self, position_t *position, const delivery_entry_t *entry)
{
    position_set(position, entry->push.epoch,
                 entry->skipped_to ? entry->skipped_to : entry->push.seq);
    receiver_touch(self, position);
    if (++position->unacked >= self->options.ack_every)
        self->ack_now = true;
    s_hand_out(self, entry);
}

//  The stream goes on elsewhere. That a client begins somewhere is no jump.
static void s_move(seqpush_receiver_t *self, position_t *position, const delivery_entry_t *entry)
{
    bool jump = position->known;
    position_set(position, entry->push.epoch, entry->push.seq);
    if (!jump)
        return;
    receiver_touch(self, position);
    receiver_tell_jump(self, position);
}

void receiver_miss(seqpush_receiver_t *self, position_t *position)
{
    if (position->missing_in == self->acks_generation)
        return;
    position->missing_in = self->acks_generation;
    acks_add_missing(&self->acks, position);
    self->stats.missing++;
    self->ack_now = true;
}

//  An entry lies ahead. Without acks the broker keeps nothing that could come again, so there the
//  stream goes on with what has come.
static void s_on_ahead(seqpush_receiver_t *self, position_t *position,
                       const delivery_entry_t *entry)
{
    if (self->options.ack_mode == SEQPUSH_ACK_CUMULATIVE) {
        self->stats.ahead++;
        receiver_miss(self, position);
        return;
    }
    position_set(position, entry->push.epoch, entry->push.seq - 1);
    receiver_tell_jump(self, position);
    s_take(self, position, entry);
}

//  Brings in, or back, a client that a prefix covers, which goes on where the store has it.
static position_t *s_bring(seqpush_receiver_t *self, const seqpush_push_t *push)
{
    seqpush_position_t stored = {push->client_id, push->client_id_size, 0, 0};
    int found = receiver_load(self, &stored);
    if (found < 0) {
        self->store_error = found;
        return NULL;
    }
    position_t *position = positions_get(&self->positions, push->client_id, push->client_id_size);
    if (!position)
        return NULL;
    position->state = CLIENT_PREFIXED;
    if (found && !position->known)
        position_set(position, stored.epoch, stored.seq);
    return position;
}

//  True if the client's Attached has not come yet: another receiver may have had it meanwhile, and
//  the entry be from before. In ACK_NONE nobody else gets it.
static inline bool s_is_early(const seqpush_receiver_t *self, position_t *position)
{
    if (!position_is_awaited(position) || self->options.ack_mode == SEQPUSH_ACK_NONE)
        return false;
    position->passed_over = true;
    return true;
}

//  The position of a client that may be served; NULL drops the entry.
static inline position_t *s_admit(seqpush_receiver_t *self, const delivery_entry_t *entry,
                                  unsigned hash)
{
    const seqpush_push_t *push = &entry->push;
    position_t *position =
        positions_find_hashed(&self->positions, push->client_id, push->client_id_size, hash);
    if (position && position->state != CLIENT_OUT)
        return s_is_early(self, position) ? NULL : position;
    if (self->attachment.prefix_count == 0 || (position && !entry->marker))
        return NULL;
    return s_bring(self, push);
}

static inline void s_on_entry(seqpush_receiver_t *self, const delivery_entry_t *entry,
                              unsigned hash)
{
    position_t *position = s_admit(self, entry, hash);
    self->stats.markers += entry->marker;
    if (!position)
        return;
    switch (position_judge(position, entry)) {
    case ENTRY_FOLLOWS:
        s_take(self, position, entry);
        break;
    case ENTRY_MOVES:
        s_move(self, position, entry);
        break;
    case ENTRY_CONFIRMS:
        receiver_touch(self, position); //  an earlier ack may be lost
        break;
    case ENTRY_DUPLICATE:
        self->stats.duplicates++;
        receiver_touch(self, position);
        break;
    case ENTRY_AHEAD:
        s_on_ahead(self, position, entry);
        break;
    }
}

//  Generation 0 is passthrough and routes: neither ordered nor acknowledged.
static void s_on_unordered(seqpush_receiver_t *self)
{
    for (size_t i = 0; i < self->delivery.count; i++)
        if (!self->delivery.entries[i].marker)
            s_hand_out(self, &self->delivery.entries[i]);
}

//  The hash of an entry's client, which often is that of the entry before, whose hash is known.
static inline unsigned s_hash(const delivery_entry_t *entries, size_t at, unsigned before)
{
    const seqpush_push_t *push = &entries[at].push;
    bool same = at && push->client_id_size == entries[at - 1].push.client_id_size &&
                memcmp(push->client_id, entries[at - 1].push.client_id, push->client_id_size) == 0;
    return same ? before : positions_hash(push->client_id, push->client_id_size);
}

//  Each position is random memory: its entry is looked at in two steps, while others are handed out.
static void s_on_ordered(seqpush_receiver_t *self)
{
    const delivery_t *delivery = &self->delivery;
    unsigned hashes[AHEAD] = {0}, hash = 0;
    for (size_t i = 0; i < delivery->count + AHEAD - 1; i++) {
        if (i < delivery->count) {
            hash = hashes[i % AHEAD] = s_hash(delivery->entries, i, hash);
            positions_prefetch_slot(&self->positions, hash);
        }
        if (i - AHEAD / 2 < delivery->count)
            positions_prefetch(&self->positions, hashes[(i - AHEAD / 2) % AHEAD]);
        size_t at = i - (AHEAD - 1);
        if (at >= delivery->count)
            continue;
        s_on_entry(self, &delivery->entries[at], hashes[at % AHEAD]);
        if (self->ack_now || --self->clock_in == 0)
            receiver_look_at_clock(self);
    }
}

static void s_on_delivery(seqpush_receiver_t *self, const void *bytes, size_t size)
{
    self->stats.deliveries++;
    if (!delivery_read(&self->delivery, bytes, size))
        self->stats.malformed++;
    else if (self->delivery.generation == 0)
        s_on_unordered(self);
    else if (self->delivery.generation == self->attachment.generation)
        s_on_ordered(self);
    else
        self->stats.foreign++;
}

int receiver_take_deliveries(seqpush_receiver_t *self)
{
    int rc = 1;
    for (int i = 0; i < FRAMES_TURN && rc > 0 && receiver_may_read(self); i++) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        rc = socket_receive(self->pull, &message);
        if (rc > 0)
            s_on_delivery(self, zmq_msg_data(&message), zmq_msg_size(&message));
        zmq_msg_close(&message);
    }
    return rc < 0 ? rc : 0;
}
