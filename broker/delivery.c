//  delivery.c - pushes out of the ordering core: dispatches, acks, going back

#include "core_state.h"
#include "wire.h"
#include <stdlib.h>
#include <string.h>

//  Dispatches of one receiver that are with its worker at a time: enough to keep it busy while the
//  next turn of the orderer comes, few enough that what waits stays with the orderer.
#define SESSION_OUT_MAX 16

//  ---- encoding what the broker itself says ------------------------------------------------------

static frame_t *s_notice(const client_t *client, uint64_t epoch, uint64_t seq, uint64_t skipped_to,
                         bool marker)
{
    uint8_t body[2 + ID_MAX + 4 * (1 + WIRE_VARINT_MAX)], field[2 + sizeof body];
    uint8_t *to = wire_put_bytes_field(body, WIRE_PUSH_CLIENT_ID, client->id, client->id_size);
    to = wire_put_varint_field(to, WIRE_PUSH_EPOCH, epoch);
    to = wire_put_varint_field(to, WIRE_PUSH_SEQ, seq);
    to = wire_put_varint_field(to, WIRE_PUSH_SKIPPED_TO, skipped_to);
    to = wire_put_varint_field(to, WIRE_PUSH_MARKER, marker);
    to = wire_put_bytes_field(field, WIRE_BATCH_PUSHES, body, (size_t)(to - body));
    return frame_copy(field, (size_t)(to - field));
}

frame_t *delivery_gap(const client_t *client, uint64_t epoch, uint64_t from, uint64_t to)
{
    return s_notice(client, epoch, from, to, false);
}

frame_t *delivery_marker(const client_t *client, position_t position)
{
    return s_notice(client, position.epoch, position.seq, 0, true);
}

//  ---- what is released --------------------------------------------------------------------------

static uint32_t s_size(const retained_entry_t *entry)
{
    return entry->kind == RETAINED_PUSH ? entry->size : (uint32_t)frame_size(entry->frame);
}

static int64_t s_cost(const retained_entry_t *entry)
{
    return (entry->kind == RETAINED_PUSH ? entry->size : 0) + CLIENT_PUSH_COST;
}

void delivery_put(core_t *self, client_t *client, retained_entry_t entry)
{
    retained_put(&client->retained, entry);
    client->receiver->retained++;
    stats_add(&self->stats->retained_messages, 1);
    stats_add(&self->stats->retained_bytes, s_size(&entry));
}

void delivery_count_sent(core_t *self, client_t *client, const retained_entry_t *entry, int by)
{
    receiver_t *receiver = client->receiver;
    receiver->unacked += (uint64_t)by;
    receiver->unacked_bytes += (uint64_t)(by * (int64_t)s_size(entry));
    stats_add(&self->stats->unacked_messages, (uint64_t)by);
    if (receiver->inflight)
        stats_add(receiver->inflight, (uint64_t)by);
}

static retained_entry_t s_pop(core_t *self, client_t *client)
{
    retained_entry_t *first = retained_at(&client->retained, 0);
    if (client->retained.sent)
        delivery_count_sent(self, client, first, -1);
    client->acked = retained_after(first, client->acked);
    client->receiver->retained--;
    core_charge(self, client, -s_cost(first));
    stats_add(&self->stats->retained_messages, (uint64_t)-1);
    stats_add(&self->stats->retained_bytes, -(uint64_t)s_size(first));
    retained_entry_t entry = retained_pop(&client->retained);
    frame_unref(entry.frame);
    return entry;
}

//  How many of the first `limit` entries end at or before `position`; `*reached` is where the last
//  of them ends.
static uint32_t s_covered(const client_t *client, position_t position, uint32_t limit,
                          position_t *reached)
{
    *reached = client->acked;
    if (client->retained.notices == 0 && position.epoch == client->acked.epoch) {
        uint64_t ahead = position.seq - client->acked.seq;
        uint32_t covered = ahead < limit ? (uint32_t)ahead : limit;
        reached->seq += covered;
        return covered;
    }
    for (uint32_t i = 0; i < limit; i++) {
        position_t after = retained_after(retained_at(&client->retained, i), *reached);
        if (position_compare(after, position) > 0)
            return i;
        *reached = after;
    }
    return limit;
}

//  Makes the oldest entry, if it is a gap notice that the position lies in, begin right after the
//  position: a receiver takes only what does. Without memory it stays as it is.
static void s_shorten_gap(core_t *self, client_t *client, position_t position)
{
    if (!client->retained.count || position.epoch != client->acked.epoch ||
        position.seq <= client->acked.seq)
        return;
    retained_entry_t *first = retained_at(&client->retained, 0);
    if (first->kind != RETAINED_GAP)
        return;
    frame_t *shorter = delivery_gap(client, position.epoch, position.seq + 1, first->seq);
    if (!shorter)
        return;
    bool sent = client->retained.sent > 0;
    if (sent)
        delivery_count_sent(self, client, first, -1);
    stats_add(&self->stats->retained_bytes, frame_size(shorter) - frame_size(first->frame));
    frame_unref(first->frame);
    first->frame = shorter;
    if (sent)
        delivery_count_sent(self, client, first, 1);
    client->acked = position;
}

void delivery_cover(core_t *self, client_t *client, position_t position)
{
    position_t reached;
    uint32_t covered = s_covered(client, position, client->retained.count, &reached);
    while (covered--)
        s_pop(self, client);
    s_shorten_gap(self, client, position);
}

//  ---- who has something to send -----------------------------------------------------------------

static bool s_is_served(const receiver_t *receiver)
{
    return receiver->kind == RECEIVER_ATTACHED || receiver->kind == RECEIVER_ROUTE;
}

static bool s_has_room(const core_t *self, const receiver_t *receiver)
{
    return s_is_served(receiver) && receiver->session_out < SESSION_OUT_MAX &&
           receiver->unacked_bytes < self->settings.max_unacked_bytes;
}

//  A receiver goes wherever a marker says. So the one that starts an epoch is sent only when all
//  before it is acknowledged: if that was lost on the way, the marker would hide it.
static bool s_can_send(const core_t *self, const client_t *client)
{
    uint32_t sent = client->retained.sent;
    if (sent == client->retained.count || sent >= self->settings.max_unacked)
        return false;
    return sent == 0 || retained_at(&client->retained, sent)->kind != RETAINED_MARKER;
}

void delivery_wake(core_t *self, receiver_t *receiver)
{
    if (receiver->ready || !receiver->ready_first || !s_has_room(self, receiver))
        return;
    receiver->ready = true;
    receiver->ready_next = NULL;
    if (self->ready_last)
        self->ready_last->ready_next = receiver;
    else
        self->ready_first = receiver;
    self->ready_last = receiver;
}

void delivery_offer(core_t *self, client_t *client)
{
    if (client->ready || !s_can_send(self, client) || !s_is_served(client->receiver))
        return;
    receiver_queue(client->receiver, client);
    delivery_wake(self, client->receiver);
}

static void s_unqueue_first(core_t *self)
{
    receiver_t *receiver = self->ready_first;
    self->ready_first = receiver->ready_next;
    if (!self->ready_first)
        self->ready_last = NULL;
    receiver->ready = false;
}

//  The first client in the queue that has something to send still: acks may have left others none.
static client_t *s_first_client(const core_t *self, receiver_t *receiver)
{
    while (receiver->ready_first && !s_can_send(self, receiver->ready_first))
        receiver_unqueue(receiver);
    return receiver->ready_first;
}

receiver_t *core_ready(core_t *self)
{
    while (self->ready_first) {
        receiver_t *receiver = self->ready_first;
        if (s_first_client(self, receiver) && s_has_room(self, receiver))
            return receiver;
        s_unqueue_first(self);
        session_release(receiver);
    }
    return NULL;
}

void delivery_fini(core_t *self)
{
    while (self->ready_first) {
        receiver_t *receiver = self->ready_first;
        s_unqueue_first(self);
        session_release(receiver);
    }
}

//  ---- handing over ------------------------------------------------------------------------------

static void s_add(dispatch_t *dispatch, frame_t *frame, const uint8_t *bytes, uint32_t size)
{
    dispatch->entries[dispatch->count++] =
        (dispatch_entry_t){.frame = frame, .bytes = bytes, .size = size};
    dispatch->bytes += size;
}

//  Puts the marker in front of what the client sends anew. Generation 0 has none. A stream that
//  begins with an epoch needs none: the marker that starts it is enough, and one of the old epoch
//  would take back a receiver that is in the new one.
static bool s_add_marker(client_t *client, dispatch_t *dispatch)
{
    bool starts_epoch = retained_at(&client->retained, 0)->kind == RETAINED_MARKER;
    if (client->receiver->generation && !starts_epoch) {
        frame_t *marker = delivery_marker(client, client->acked);
        if (!marker)
            return false;
        s_add(dispatch, marker, frame_bytes(marker), (uint32_t)frame_size(marker));
    }
    client->marker_due = false;
    return true;
}

static void s_add_next(core_t *self, client_t *client, dispatch_t *dispatch, int64_t now)
{
    receiver_t *receiver = client->receiver;
    retained_entry_t *entry = retained_at(&client->retained, client->retained.sent++);
    if (client->retained.handed < client->retained.sent)
        client->retained.handed = client->retained.sent;
    delivery_count_sent(self, client, entry, 1);
    redelivery_sent(self, client, now);
    if (entry->sent_at)
        stats_add(&self->stats->redelivered, 1);
    else
        entry->sent_at = tick_of(now) | 1;
    frame_ref(entry->frame);
    if (entry->kind == RETAINED_PUSH)
        s_add(dispatch, entry->frame, entry->bytes, entry->size);
    else if (entry->kind == RETAINED_MARKER && !receiver->generation)
        s_add(dispatch, entry->frame, NULL, 0);
    else
        s_add(dispatch, entry->frame, frame_bytes(entry->frame),
              (uint32_t)frame_size(entry->frame));
    if (receiver->ack_none) {
        dispatch->entries[dispatch->count - 1].client = client;
        dispatch->entries[dispatch->count - 1].session = client->session;
        client->out++;
    }
}

static void s_fill_from(core_t *self, client_t *client, dispatch_t *dispatch, uint32_t max,
                        uint32_t max_bytes, int64_t now)
{
    if (client->marker_due && !s_add_marker(client, dispatch))
        return;
    while (s_can_send(self, client) && dispatch->count < max && dispatch->bytes < max_bytes)
        s_add_next(self, client, dispatch, now);
}

void core_fill(core_t *self, receiver_t *receiver, dispatch_t *dispatch, uint32_t max,
               uint32_t max_bytes, int64_t now)
{
    s_unqueue_first(self);
    dispatch->kind = DISPATCH_PUSHES;
    dispatch->receiver = receiver;
    dispatch->generation = receiver->generation;
    client_t *client;
    while (dispatch->count < max && dispatch->bytes < max_bytes &&
           (client = s_first_client(self, receiver))) {
        receiver_unqueue(receiver);
        uint32_t before = dispatch->count;
        s_fill_from(self, client, dispatch, max, max_bytes, now);
        if (s_can_send(self, client))
            receiver_queue(receiver, client);
        if (dispatch->count == before)
            break; //  no memory for a marker
    }
    receiver->out++;
    receiver->session_out++;
    delivery_wake(self, receiver);
}

void core_returned(core_t *self, dispatch_t *dispatch, int64_t now)
{
    receiver_t *receiver = dispatch->receiver;
    for (uint32_t i = 0; i < dispatch->count; i++) {
        dispatch_entry_t *entry = &dispatch->entries[i];
        frame_unref(entry->frame);
        if (!entry->client)
            continue;
        client_t *client = entry->client;
        client->out--;
        client->active = client_ms(now);
        if (dispatch->sent && client->receiver == receiver && client->session == entry->session) {
            s_pop(self, client);
            client->was_acked = true;
            stats_add(&self->stats->taken, 1);
            delivery_offer(self, client);
        }
    }
    receiver->out--;
    self->closing -= dispatch->kind == DISPATCH_CLOSE;
    if (dispatch->kind == DISPATCH_PUSHES && dispatch->generation == receiver->generation &&
        s_is_served(receiver))
        receiver->session_out--;
    delivery_wake(self, receiver);
    session_release(receiver);
}

//  ---- acks --------------------------------------------------------------------------------------

//  The client with this id if it is the receiver's; counts if it is not.
static client_t *s_own_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                              int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = core_client(self, id, id_size, hash, false, 0);
    if (client && client->receiver == receiver) {
        client->active = client_ms(now);
        return client;
    }
    stats_add(&self->stats->acks_unknown, 1);
    return NULL;
}

//  Returns how long ago, in ns and at most, the acknowledged entry was first handed over.
static int64_t s_count_acked(core_t *self, retained_entry_t entry, int64_t now)
{
    uint32_t ticks = (tick_of(now) | 1) - entry.sent_at; //  `sent_at` is odd
    if (entry.kind == RETAINED_PUSH) {
        histogram_add(&self->stats->delivery, (uint64_t)ticks << TICK_SHIFT, 1);
        stats_add(&self->stats->acked, 1);
    }
    return ((int64_t)ticks + 2) << TICK_SHIFT; //  both ends are rounded
}

static bool s_ack(core_t *self, client_t *client, position_t position, int64_t now)
{
    if (position_compare(position, client->acked) <= 0)
        return true;
    position_t reached;
    uint32_t handed = client->retained.handed;
    uint32_t covered = s_covered(client, position, handed, &reached);
    if (covered == handed && position_compare(position, reached) > 0)
        return false;
    int64_t took = now;
    while (covered--)
        took = s_count_acked(self, s_pop(self, client), now);
    s_shorten_gap(self, client, position);
    client->was_acked = true;
    redelivery_acked(client, now - took, now);
    return true;
}

void core_ack(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
              position_t position, int64_t now)
{
    client_t *client = s_own_client(self, receiver, id, id_size, now);
    if (!client || receiver->ack_none)
        return;
    if (!s_ack(self, client, position, now))
        stats_add(&self->stats->acks_beyond, 1);
    delivery_offer(self, client);
    delivery_wake(self, receiver);
}

void core_missing(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                  position_t position, int64_t now)
{
    client_t *client = s_own_client(self, receiver, id, id_size, now);
    if (!client || receiver->ack_none)
        return;
    if (!s_ack(self, client, position, now)) {
        stats_add(&self->stats->acks_beyond, 1);
        return;
    }
    //  Until what was sent before the return is used up, the receiver lacks the same again and again.
    if (client->retained.sent && !client->missed) {
        redelivery_go_back(self, client);
        client->missed = true;
        stats_add(&self->stats->go_backs[GO_BACK_MISSING], 1);
    }
    delivery_offer(self, client);
    delivery_wake(self, receiver);
}

uint64_t core_draining(const core_t *self)
{
    uint64_t entries = 0;
    for (const receiver_t *at = self->by_address; at; at = at->by_address.next)
        if (s_is_served(at))
            entries += at->retained;
    return entries;
}
