//  delivery.c - pushes out of the ordering core: who has something to send, and dispatches

#include "core_state.h"

//  Dispatches of one receiver that are with its worker at a time: enough to keep it busy while the
//  next turn of the orderer comes, few enough that what waits stays with the orderer.
#define SESSION_OUT_MAX 16

//  ---- who has something to send -----------------------------------------------------------------

bool delivery_worker_is_full(const receiver_t *receiver)
{
    return receiver->session_out >= SESSION_OUT_MAX;
}

static bool s_has_room(const core_t *self, const receiver_t *receiver)
{
    return receiver_is_served(receiver) && !delivery_worker_is_full(receiver) &&
           receiver->unacked_bytes < self->settings.max_unacked_bytes;
}

//  Does the push on its way keep the next one back?
static bool s_is_kept_back(const client_t *client)
{
    uint32_t sent = client->flow->retained.sent;
    return client_is(client, POLICY_LATEST) && sent > 0 &&
           retained_at(&client->flow->retained, sent - 1)->kind == RETAINED_PUSH;
}

//  A receiver goes wherever a marker says. So the one that starts an epoch is sent only when all
//  before it is acknowledged: if that was lost on the way, the marker would hide it.
static bool s_can_send(const core_t *self, const client_t *client)
{
    uint32_t sent = client->flow->retained.sent;
    if (sent == client->flow->retained.count || sent >= self->settings.max_unacked ||
        client->unstored || s_is_kept_back(client))
        return false;
    return sent == 0 || retained_at(&client->flow->retained, sent)->kind != RETAINED_MARKER;
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
    if (client->ready || !s_can_send(self, client) || !receiver_is_served(client->receiver))
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

uint64_t core_draining(const core_t *self)
{
    uint64_t entries = 0;
    for (const receiver_t *at = self->by_address; at; at = at->by_address.next)
        if (receiver_is_served(at))
            entries += at->retained;
    return entries;
}

//  ---- handing over ------------------------------------------------------------------------------

static void s_add(dispatch_t *dispatch, frame_t *frame, const uint8_t *bytes, uint32_t size)
{
    dispatch->entries[dispatch->count++] =
        (dispatch_entry_t){.frame = frame, .bytes = bytes, .size = size};
    dispatch->bytes += size;
}

//  Puts the marker in front of what the client sends anew. Generation 0 has none, passthrough neither. A stream that
//  begins with an epoch needs none: the marker that starts it is enough, and one of the old epoch
//  would take back a receiver that is in the new one.
static bool s_add_marker(client_t *client, dispatch_t *dispatch)
{
    bool starts_epoch = retained_at(&client->flow->retained, 0)->kind == RETAINED_MARKER;
    if (client->receiver->generation && !starts_epoch && !client_is(client, POLICY_PASSTHROUGH)) {
        frame_t *marker = notice_marker(client, client->acked);
        if (!marker)
            return false;
        s_add(dispatch, marker, frame_bytes(marker), (uint32_t)frame_size(marker));
    }
    client->marker_due = false;
    return true;
}

static void s_add_entry(const client_t *client, dispatch_t *dispatch, const retained_entry_t *entry)
{
    frame_ref(entry->frame);
    if (entry->kind == RETAINED_PUSH)
        s_add(dispatch, entry->frame, entry->bytes, entry->size);
    else if (entry->kind == RETAINED_MARKER && !client->receiver->generation)
        s_add(dispatch, entry->frame, NULL, 0);
    else
        s_add(dispatch, entry->frame, frame_bytes(entry->frame),
              (uint32_t)frame_size(entry->frame));
}

//  The report of these entries will count as the ack.
static void s_await_report(client_t *client, dispatch_t *dispatch, uint32_t first)
{
    for (uint32_t i = first; i < dispatch->count; i++) {
        dispatch->entries[i].client = client;
        dispatch->entries[i].session = client->session;
        client->out++;
    }
}

//  The index behind the last entry that may be sent beside those that are on their way; the first one
//  may, as s_can_send says.
static uint32_t s_end(const core_t *self, const client_t *client)
{
    const retained_t *retained = &client->flow->retained;
    if (client_is(client, POLICY_LATEST))
        return retained->sent + 1;
    return retained->count < self->settings.max_unacked ? retained->count
                                                        : self->settings.max_unacked;
}

//  Adds what can be sent up to `end`, but no marker behind something else.
static void s_add_run(core_t *self, client_t *client, dispatch_t *dispatch, uint32_t end,
                      uint32_t max_bytes, int64_t now)
{
    retained_t *retained = &client->flow->retained;
    uint32_t at = retained->sent, first = dispatch->count, bytes = 0, again = 0;
    for (; at < end && dispatch->bytes < max_bytes; at++) {
        retained_entry_t *entry = retained_at(retained, at);
        if (at > 0 && entry->kind == RETAINED_MARKER)
            break;
        again += entry->sent_at != 0;
        entry->sent_at = entry->sent_at ? entry->sent_at : tick_of(now) | 1;
        bytes += retained_size(entry);
        s_add_entry(client, dispatch, entry);
    }
    retention_count_handed(self, client, at - retained->sent, bytes);
    retained->sent = at;
    if (retained->handed < at)
        retained->handed = at;
    redelivery_sent(self, client, now);
    stats_add(&self->stats->redelivered, again);
    if (delivery_is_unacked(client))
        s_await_report(client, dispatch, first);
}

static void s_fill_from(core_t *self, client_t *client, dispatch_t *dispatch, uint32_t max,
                        uint32_t max_bytes, int64_t now)
{
    if (client->marker_due && !s_add_marker(client, dispatch))
        return;
    while (s_can_send(self, client) && dispatch->count < max && dispatch->bytes < max_bytes) {
        uint32_t end = s_end(self, client), room = max - dispatch->count;
        if (end - client->flow->retained.sent > room)
            end = client->flow->retained.sent + room;
        s_add_run(self, client, dispatch, end, max_bytes, now);
    }
}

void core_fill(core_t *self, receiver_t *receiver, dispatch_t *dispatch, uint32_t max,
               uint32_t max_bytes, int64_t now)
{
    s_unqueue_first(self);
    dispatch->kind = DISPATCH_PUSHES;
    dispatch->receiver = receiver;
    dispatch->generation = receiver->generation;
    client_t *client = s_first_client(self, receiver);
    dispatch->passthrough = client && client_is(client, POLICY_PASSTHROUGH);
    while (dispatch->count < max && dispatch->bytes < max_bytes && client &&
           client_is(client, POLICY_PASSTHROUGH) == dispatch->passthrough) {
        receiver_unqueue(receiver);
        uint32_t before = dispatch->count;
        s_fill_from(self, client, dispatch, max, max_bytes, now);
        if (s_can_send(self, client))
            receiver_queue(receiver, client);
        if (dispatch->count == before)
            break; //  no memory for a marker
        client = s_first_client(self, receiver);
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
            retention_pop(self, client);
            client->was_acked = true;
            if (!client_is(client, POLICY_PASSTHROUGH))
                change_position(self, client);
            stats_add(&self->stats->taken, 1);
            if (client_is(client, POLICY_PASSTHROUGH) && client->flow->retained.sent == 0)
                expiry_look_soon(self, client);
            delivery_offer(self, client);
            client_rest(client);
        }
    }
    receiver->out--;
    self->closing -= dispatch->kind == DISPATCH_CLOSE;
    if (dispatch->kind == DISPATCH_PUSHES && dispatch->generation == receiver->generation &&
        receiver_is_served(receiver))
        receiver->session_out--;
    delivery_wake(self, receiver);
    session_release(receiver);
}
