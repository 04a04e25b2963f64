//  ack.c - what receivers say that they have, or lack

#include "core_state.h"

#define AHEAD 16 //  acks that are looked at before they are taken; a power of two
#define STEP 3 //  of those between two looks at one

//  The client with this id if it is the receiver's; counts if it is not.
static client_t *s_own_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                              uint64_t hash, int64_t now)
{
    client_t *client = client_list_get(self, id, id_size, hash, false, 0);
    if (client && client->receiver == receiver) {
        client->active = client_ms(now);
        return client;
    }
    stats_add(&self->stats->acks_unknown, 1);
    return NULL;
}

//  `sent_at` is odd.
static uint32_t s_ticks_since(uint32_t sent_at, int64_t now)
{
    return (tick_of(now) | 1) - sent_at;
}

static void s_count_run(core_t *self, uint32_t sent_at, uint32_t pushes, int64_t now)
{
    uint64_t ticks = s_ticks_since(sent_at, now);
    histogram_add(&self->stats->delivery, ticks << TICK_SHIFT, pushes);
}

//  Counts the oldest entries as acknowledged; those that were handed over together, at once. Returns
//  how long ago, in ns and at most, the last of them was first handed over.
static int64_t s_count_acked(core_t *self, const retained_t *retained, uint32_t count, int64_t now)
{
    uint32_t run = 0, acked = 0, sent_at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const retained_entry_t *entry = retained_at(retained, i);
        if (run && entry->sent_at != sent_at) {
            s_count_run(self, sent_at, run, now);
            run = 0;
        }
        sent_at = entry->sent_at;
        run += entry->kind == RETAINED_PUSH;
        acked += entry->kind == RETAINED_PUSH;
        __builtin_prefetch(entry->frame, 1);
    }
    s_count_run(self, sent_at, run, now);
    stats_add(&self->stats->acked, acked);
    return ((int64_t)s_ticks_since(sent_at, now) + 2) << TICK_SHIFT; //  both ends are rounded
}

static bool s_ack(core_t *self, client_t *client, position_t position, int64_t now)
{
    if (position_compare(position, client->acked) <= 0)
        return true;
    position_t reached;
    uint32_t handed = client->flow->retained.handed;
    uint32_t covered = retention_covered(client, position, handed, &reached);
    if (covered == handed && position_compare(position, reached) > 0)
        return false;
    int64_t took = now;
    if (covered) {
        took = s_count_acked(self, &client->flow->retained, covered, now);
        retention_drop(self, client, covered);
    }
    retention_shorten_gap(self, client, position);
    client->was_acked = true;
    change_position(self, client);
    redelivery_acked(client, now - took, now);
    return true;
}

static void s_take(core_t *self, receiver_t *receiver, const core_ack_t *ack, uint64_t hash,
                   int64_t now)
{
    client_t *client = s_own_client(self, receiver, ack->id, ack->id_size, hash, now);
    if (!client || delivery_is_unacked(client))
        return;
    if (!s_ack(self, client, ack->position, now))
        stats_add(&self->stats->acks_beyond, 1);
    delivery_offer(self, client);
    delivery_wake(self, receiver);
    client_rest(client);
}

//  What an ack touches last: the oldest entry that is retained, and then its frame.
static void s_prefetch_oldest(const client_t *client, bool frame)
{
    if (!client || !client->flow->retained.count)
        return;
    const retained_entry_t *oldest = retained_at(&client->flow->retained, 0);
    __builtin_prefetch(frame ? (const void *)oldest->frame : oldest, 1);
}

static const client_t *s_guess(const core_t *self, const uint64_t hashes[AHEAD], size_t at)
{
    return client_table_guess(&self->clients, hashes[at % AHEAD]);
}

//  All that acks touch is random memory, and each step needs what the one before it has fetched: so each
//  ack is looked at in five steps, while others are taken.
void core_ack(core_t *self, receiver_t *receiver, const core_ack_t *acks, size_t count, int64_t now)
{
    uint64_t hashes[AHEAD] = {0};
    for (size_t i = 0; i < count + AHEAD - 1; i++) {
        if (i < count) {
            hashes[i % AHEAD] = request_hash(self->settings.key, acks[i].id, acks[i].id_size);
            client_table_prefetch(&self->clients, hashes[i % AHEAD]);
        }
        if (i - STEP < count)
            client_prefetch(s_guess(self, hashes, i - STEP));
        if (i - 2 * STEP < count)
            client_prefetch_flow(s_guess(self, hashes, i - 2 * STEP));
        if (i - 3 * STEP < count)
            s_prefetch_oldest(s_guess(self, hashes, i - 3 * STEP), false);
        if (i - 4 * STEP < count)
            s_prefetch_oldest(s_guess(self, hashes, i - 4 * STEP), true);
        size_t at = i - (AHEAD - 1);
        if (at < count)
            s_take(self, receiver, &acks[at], hashes[at % AHEAD], now);
    }
}

void core_missing(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                  position_t position, int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = s_own_client(self, receiver, id, id_size, hash, now);
    if (!client || delivery_is_unacked(client))
        return;
    if (!s_ack(self, client, position, now)) {
        stats_add(&self->stats->acks_beyond, 1);
        return;
    }
    //  Until what was sent before the return is used up, the receiver lacks the same again and again.
    if (client->flow->retained.sent && !client->missed) {
        redelivery_go_back(self, client);
        client->missed = true;
        stats_add(&self->stats->go_backs[GO_BACK_MISSING], 1);
    }
    delivery_offer(self, client);
    delivery_wake(self, receiver);
}
