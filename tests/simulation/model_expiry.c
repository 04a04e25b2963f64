//  model_expiry.c - what was retained for too long is given up; see model.h
//
//  What stood in the log is remembered beside it, as it may be on its way still: a receiver that
//  takes the last of it has been told of all.

#include "model.h"
#include <string.h>

static bool s_is_expired(const model_t *self, const model_entry_t *entry, int64_t now)
{
    return (now >> 20) - entry->released_at >= (self->settings->retain_max >> 20) + 2;
}

//  Where a boundary between entries is when `count` from `first` on are one.
static uint32_t s_moved(uint32_t boundary, uint32_t first, uint32_t count)
{
    if (boundary <= first)
        return boundary;
    return boundary < first + count ? first + 1 : boundary - count + 1;
}

//  Puts one notice in the place of `count` entries from `first` on, counted from those not done with.
static void s_merge(model_client_t *client, uint32_t first, uint32_t count, uint64_t from)
{
    model_entry_t *at = &client->log.items[client->acked + first];
    for (uint32_t i = 0; i < count; i++) {
        model_owe(client, at[i].publisher, at[i].after, true);
        MODEL_APPEND(&client->expired, at[i]);
    }
    at->kind = MODEL_GAP;
    at->settled = false;
    at->publisher = 0;
    at->from = from;
    at->after = at[count - 1].after;
    at->size = model_size(client, at, 0);
    memmove(at + 1, at + count, (client->log.count - client->acked - first - count) * sizeof *at);
    client->log.count -= count - 1;
    if (client->sent > first && client->sent < first + count)
        model_go_back(client);
    client->sent = s_moved(client->sent, first, count);
    client->handed = s_moved(client->handed, first, count);
}

//  What passes goes without a notice, unless a worker has something of the client.
static void s_expire_passing(model_t *self, model_client_t *client, int64_t now)
{
    while (client->sent == 0 && client->acked < client->log.count &&
           s_is_expired(self, &client->log.items[client->acked], now)) {
        client->log.items[client->acked++].settled = true;
        client->handed -= client->handed > 0;
        self->counts.expired++;
        client->expired_told--;
        client->active = now >> 20;
    }
}

static void s_expire_client(model_t *self, model_client_t *client, int64_t now)
{
    if (client->policy == MODEL_PASSTHROUGH) {
        s_expire_passing(self, client, now);
        return;
    }
    uint32_t first = self->receivers[client->receiver].ack_none ? client->sent : 0;
    for (; client->acked + first < client->log.count; first++) {
        const model_entry_t *at = &client->log.items[client->acked + first];
        if (!s_is_expired(self, at, now))
            return;
        uint32_t left = client->log.count - client->acked - first, count = 0, pushes = 0;
        for (;
             count < left && at[count].kind != MODEL_MARKER && s_is_expired(self, &at[count], now);
             count++)
            pushes += at[count].kind == MODEL_PUSH;
        if (count == 0 || (count == 1 && !pushes))
            continue;
        position_t last = at[count - 1].after;
        uint64_t from = first ? at[-1].after.seq + 1 : client->acked_at.seq + 1;
        s_merge(client, first, count, from);
        self->counts.expired += pushes;
        client->expired_told -= pushes;
        if (last.epoch == client->epoch)
            model_note_gap(client, from, last.seq);
    }
}

void model_expire(model_t *self, int64_t now)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS && self->settings->retain_max; i++)
        if (self->clients[i].exists)
            s_expire_client(self, &self->clients[i], now);
}

model_entry_t *model_expired_at(model_client_t *client, position_t after)
{
    model_entry_t *found = NULL;
    for (uint32_t i = client->expired.count; i-- > 0;) {
        model_entry_t *entry = &client->expired.items[i];
        if (position_compare(entry->after, after) == 0 && (!found || entry->settled))
            found = entry;
    }
    return found;
}

bool model_take_expired(model_client_t *client, const model_seen_t *seen)
{
    bool any = false;
    for (uint32_t i = 0; i < client->expired.count; i++) {
        model_entry_t *entry = &client->expired.items[i];
        if (!model_is_entry(entry, seen) ||
            (entry->kind == MODEL_PUSH && entry->number != seen->number))
            continue;
        entry->settled = any = true;
    }
    return any;
}

void model_compare_expired(const model_t *self)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        check(self->clients[i].expired_told == 0, "client %u: %lld pushes given up untold", i,
              -(long long)self->clients[i].expired_told);
}
