//  retention.c - what was released and is kept until it is acknowledged, and the figures of it

#include "core_state.h"

static int64_t s_cost(const retained_entry_t *entry)
{
    return (entry->kind == RETAINED_PUSH ? entry->size : 0) + CLIENT_PUSH_COST;
}

//  Counts entries as retained, or (negative) not any more.
static void s_count(core_t *self, client_t *client, uint64_t entries, uint64_t bytes)
{
    client->receiver->retained += entries;
    stats_add(&self->stats->retained_messages, entries);
    stats_add(&self->stats->retained_bytes, bytes);
}

//  The same of those that are on their way.
static void s_count_sent(core_t *self, client_t *client, uint64_t entries, uint64_t bytes)
{
    receiver_t *receiver = client->receiver;
    receiver->unacked += entries;
    receiver->unacked_bytes += bytes;
    stats_add(&self->stats->unacked_messages, entries);
    if (receiver->inflight)
        stats_add(receiver->inflight, entries);
}

static void s_drop(core_t *self, client_t *client, const retained_entry_t *entry)
{
    s_count(self, client, (uint64_t)-1, -(uint64_t)retained_size(entry));
    core_charge(self, client, -s_cost(entry));
    frame_unref(entry->frame);
}

void retention_count_put(core_t *self, client_t *client, uint64_t entries, uint64_t bytes,
                         int64_t now)
{
    s_count(self, client, entries, bytes);
    expiry_watch(self, client, now);
}

void retention_put(core_t *self, client_t *client, retained_entry_t entry, int64_t now)
{
    entry.released_at = client_ms(now);
    retained_put(&client->flow->retained, entry);
    retention_count_put(self, client, 1, retained_size(&entry), now);
}

void retention_count_sent(core_t *self, client_t *client, const retained_entry_t *entry, int by)
{
    s_count_sent(self, client, (uint64_t)by, (uint64_t)(by * (int64_t)retained_size(entry)));
}

void retention_count_handed(core_t *self, client_t *client, uint32_t entries, uint32_t bytes)
{
    s_count_sent(self, client, entries, bytes);
}

void retention_put_notice(core_t *self, client_t *client, uint64_t to, frame_t *notice, int64_t now)
{
    core_charge(self, client, CLIENT_PUSH_COST);
    retention_put(self, client,
                  (retained_entry_t){.frame = notice, .kind = RETAINED_GAP, .seq = to}, now);
}

void retention_drop(core_t *self, client_t *client, uint32_t count)
{
    retained_t *retained = &client->flow->retained;
    uint32_t sent = count < retained->sent ? count : retained->sent;
    bool confirms = !client_is(client, POLICY_PASSTHROUGH);
    uint64_t bytes = 0, sent_bytes = 0;
    int64_t cost = 0;
    for (uint32_t i = 0; i < count; i++) {
        const retained_entry_t *entry = retained_at(retained, i);
        client->acked = retained_after(entry, client->acked);
        if (entry->kind == RETAINED_PUSH && confirms)
            confirmation_add(self, client, entry->frame, client->acked, false);
        bytes += retained_size(entry);
        sent_bytes += i < sent ? retained_size(entry) : 0;
        cost += s_cost(entry);
        frame_unref(entry->frame);
    }
    retained_drop(retained, count);
    s_count(self, client, -(uint64_t)count, -bytes);
    s_count_sent(self, client, -(uint64_t)sent, -sent_bytes);
    core_charge(self, client, -cost);
}

void retention_merge(core_t *self, client_t *client, uint32_t first, uint32_t end, frame_t *notice)
{
    retained_t *retained = &client->flow->retained;
    bool on_its_way = retained->sent >= end;
    retained_entry_t merged = *retained_at(retained, first);
    merged.frame = notice;
    merged.kind = RETAINED_GAP;
    merged.seq = retained_at(retained, end - 1)->seq;
    for (uint32_t i = first; i < end; i++) {
        if (on_its_way)
            retention_count_sent(self, client, retained_at(retained, i), -1);
        s_drop(self, client, retained_at(retained, i));
    }
    retained_merge(retained, first, end, merged);
    core_charge(self, client, s_cost(&merged));
    s_count(self, client, 1, retained_size(&merged));
    if (on_its_way)
        retention_count_sent(self, client, &merged, 1);
}

//  How many entries at the start of the queue a newer push cannot replace: those that a worker has
//  got in this generation, and all up to the start of the epoch.
static uint32_t s_fixed(const client_t *client)
{
    const retained_t *retained = &client->flow->retained;
    uint32_t fixed = retained->count;
    while (fixed > retained->handed && retained_at(retained, fixed - 1)->kind != RETAINED_MARKER)
        fixed--;
    return fixed;
}

uint64_t retention_unhanded_from(const client_t *client)
{
    uint32_t fixed = s_fixed(client);
    return 1 + (fixed ? retained_at(&client->flow->retained, fixed - 1)->seq : client->acked.seq);
}

uint32_t retention_unhanded(const client_t *client, uint64_t *bytes)
{
    uint32_t fixed = s_fixed(client);
    *bytes = 0;
    for (uint32_t i = fixed; i < client->flow->retained.count; i++)
        *bytes += (uint64_t)s_cost(retained_at(&client->flow->retained, i));
    return client->flow->retained.count - fixed;
}

bool retention_drop_unhanded(core_t *self, client_t *client)
{
    bool announced = false;
    for (uint32_t fixed = s_fixed(client); client->flow->retained.count > fixed;) {
        retained_entry_t entry = retained_pop_newest(&client->flow->retained);
        announced |= entry.kind == RETAINED_GAP;
        if (entry.kind == RETAINED_PUSH) {
            confirmation_add(self, client, entry.frame, (position_t){client->epoch, entry.seq},
                             true);
            stats_add(&self->stats->pushes_given_up, 1);
        }
        s_drop(self, client, &entry);
    }
    return announced;
}

uint32_t retention_covered(const client_t *client, position_t position, uint32_t limit,
                           position_t *reached)
{
    *reached = client->acked;
    if (client->flow->retained.notices == 0 && position.epoch == client->acked.epoch) {
        uint64_t ahead = position.seq - client->acked.seq;
        uint32_t covered = ahead < limit ? (uint32_t)ahead : limit;
        reached->seq += covered;
        return covered;
    }
    for (uint32_t i = 0; i < limit; i++) {
        position_t after = retained_after(retained_at(&client->flow->retained, i), *reached);
        if (position_compare(after, position) > 0)
            return i;
        *reached = after;
    }
    return limit;
}

void retention_shorten_gap(core_t *self, client_t *client, position_t position)
{
    if (!client->flow->retained.count || position.epoch != client->acked.epoch ||
        position.seq <= client->acked.seq)
        return;
    retained_entry_t *first = retained_at(&client->flow->retained, 0);
    if (first->kind != RETAINED_GAP)
        return;
    frame_t *shorter = notice_gap(client, position.epoch, position.seq + 1, first->seq);
    if (!shorter)
        return;
    bool sent = client->flow->retained.sent > 0;
    if (sent)
        retention_count_sent(self, client, first, -1);
    stats_add(&self->stats->retained_bytes, frame_size(shorter) - frame_size(first->frame));
    frame_unref(first->frame);
    first->frame = shorter;
    if (sent)
        retention_count_sent(self, client, first, 1);
    client->acked = position;
}

void retention_cover(core_t *self, client_t *client, position_t position)
{
    position_t reached;
    uint32_t covered = retention_covered(client, position, client->flow->retained.count, &reached);
    //  What idle clients share is not written to.
    if (covered)
        retention_drop(self, client, covered);
    retention_shorten_gap(self, client, position);
}
