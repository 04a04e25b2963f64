//  model_delivery.c - what is handed over, acknowledged and sent anew, and the figures; see model.h

#include "model.h"

#define SESSION_OUT_MAX 16 //  dispatches of a session with its worker

//  ---- handing over ------------------------------------------------------------------------------

static uint64_t s_unacked_bytes(const model_t *self, uint32_t receiver)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        const model_client_t *client = &self->clients[i];
        if (client->exists && client->receiver == receiver)
            for (uint32_t k = 0; k < client->sent; k++)
                bytes += client->log.items[client->acked + k].size;
    }
    return bytes;
}

static bool s_has_room(const model_t *self, uint32_t receiver)
{
    const model_receiver_t *at = &self->receivers[receiver];
    return model_is_served(at) && at->session_out < SESSION_OUT_MAX &&
           s_unacked_bytes(self, receiver) < self->settings->max_unacked_bytes;
}

static bool s_can_send(const model_t *self, const model_client_t *client)
{
    uint32_t next = client->acked + client->sent;
    if (!client->exists || next == client->log.count)
        return false;
    if (client->policy == MODEL_LATEST && client->sent > 0 &&
        client->log.items[next - 1].kind == MODEL_PUSH)
        return false;
    bool starts_epoch = client->log.items[next].kind == MODEL_MARKER;
    return client->sent < self->settings->max_unacked && (client->sent == 0 || !starts_epoch);
}

void model_fill(model_t *self, uint32_t receiver)
{
    check(s_has_room(self, receiver), "receiver %u has no room for a dispatch", receiver);
    self->receivers[receiver].session_out++;
}

static void s_check_entry(const model_entry_t *entry, const model_seen_t *seen)
{
    uint64_t seq = entry->kind == MODEL_GAP ? entry->from : entry->after.seq;
    check(seen->epoch == entry->after.epoch && seen->seq == seq, "another entry was to follow");
    check(seen->marker == (entry->kind == MODEL_MARKER), "marker or none");
    check(seen->skipped_to == (entry->kind == MODEL_GAP ? entry->after.seq : 0), "gap or none");
    if (entry->kind == MODEL_PUSH)
        check(seen->number == entry->number, "payload %u under the seq of %u", seen->number,
              entry->number);
}

void model_hand(model_t *self, uint32_t receiver, uint32_t index, const model_seen_t *seen,
                int64_t now)
{
    model_client_t *client = &self->clients[index];
    bool passes = client->policy == MODEL_PASSTHROUGH;
    bool in_session = self->receivers[receiver].generation != 0 && !passes;
    check(client->exists && client->receiver == receiver, "client %u is not of receiver %u", index,
          receiver);
    check(s_can_send(self, client), "client %u has nothing to send", index);
    const model_entry_t *entry = &client->log.items[client->acked + client->sent];
    //  An epoch begins with a marker anyway.
    if (client->marker_due && in_session && entry->kind != MODEL_MARKER) {
        check(seen && seen->marker && seen->epoch == client->acked_at.epoch &&
                  seen->seq == client->acked_at.seq,
              "client %u begins with a marker after its last ack", index);
        client->marker_due = false;
        return;
    }
    client->marker_due = false;
    client->sent++;
    if (client->handed < client->sent)
        client->handed = client->sent;
    if (seen)
        s_check_entry(entry, seen);
    else
        check(entry->kind == MODEL_MARKER && !in_session, "client %u: an empty entry", index);
    client->out += self->receivers[receiver].ack_none || passes;
    if (!client->waits_since && !passes)
        client->waits_since = now;
}

void model_all_handed(const model_t *self)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        check(!s_can_send(self, &self->clients[i]) || !s_has_room(self, self->clients[i].receiver),
              "client %u has something to send, and nobody sends it", i);
}

//  ---- done with ---------------------------------------------------------------------------------

static void s_pop(model_client_t *client)
{
    model_entry_t *entry = &client->log.items[client->acked++];
    const model_entry_t *last = model_expired_at(client, entry->after);
    entry->settled |= last && last->settled;
    check(entry->settled || entry->kind == MODEL_MARKER, "seq %llu is dropped, and nobody has it",
          (unsigned long long)entry->after.seq);
    if (client->policy != MODEL_PASSTHROUGH)
        model_owe(client, entry->publisher, entry->after, false);
    if (client->policy != MODEL_PASSTHROUGH)
        client->acked_at = entry->after;
    client->sent -= client->sent > 0;
    client->handed -= client->handed > 0;
}

//  Entries that end at or before the position, of the first `limit` that are kept.
static uint32_t s_covered(const model_client_t *client, position_t position, uint32_t limit)
{
    uint32_t covered = 0;
    while (covered < limit &&
           position_compare(client->log.items[client->acked + covered].after, position) <= 0)
        covered++;
    return covered;
}

//  A notice that the position lies in says from now on what follows the position.
static void s_shorten_gap(model_client_t *client, position_t position)
{
    if (client->acked == client->log.count)
        return;
    model_entry_t *entry = &client->log.items[client->acked];
    if (entry->kind != MODEL_GAP || entry->after.epoch != position.epoch ||
        position.seq < entry->from)
        return;
    entry->from = position.seq + 1;
    entry->size = model_size(client, entry, 0);
    client->acked_at = position;
}

//  Returns how many pushes were dropped.
static uint32_t s_drop(model_client_t *client, position_t position, uint32_t limit)
{
    uint32_t covered = s_covered(client, position, limit), pushes = 0;
    for (uint32_t i = 0; i < covered; i++) {
        pushes += client->log.items[client->acked].kind == MODEL_PUSH;
        s_pop(client);
    }
    s_shorten_gap(client, position);
    return pushes;
}

void model_cover(model_client_t *client, position_t position)
{
    s_drop(client, position, client->log.count - client->acked);
}

void model_go_back(model_client_t *client)
{
    client->sent = 0;
    client->waits_since = 0;
    client->marker_due = true;
    client->missed = false;
    client->session++;
}

bool model_is_stalled(const model_t *self, uint32_t receiver, int64_t now)
{
    int64_t timeout = self->settings->ack_timeout;
    bool any = false;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        const model_client_t *client = &self->clients[i];
        any |= client->exists && client->receiver == receiver && client->waits_since &&
               now - client->waits_since >= timeout;
    }
    return any && now - self->receivers[receiver].progress_at >= timeout;
}

//  Whether the core should have is seen at the end, when nothing but time is left to help.
void model_overdue(model_t *self, uint32_t index, bool stalled, int64_t now)
{
    model_client_t *client = &self->clients[index];
    check(!self->receivers[client->receiver].ack_none &&
              (stalled || now - client->waits_since >= self->settings->ack_timeout),
          "client %u goes back too early, after %lld of %lld ns", index,
          (long long)(now - client->waits_since), (long long)self->settings->ack_timeout);
    model_go_back(client);
    self->counts.overdue++;
}

void model_restart(model_client_t *client)
{
    model_go_back(client);
    client->handed = 0;
}

//  Returns false if the position lies beyond all that was handed over in this generation.
static bool s_ack(model_t *self, model_client_t *client, position_t position, int64_t now)
{
    if (position_compare(position, client->acked_at) <= 0)
        return true;
    uint32_t covered = s_covered(client, position, client->handed);
    bool at_end = covered == client->handed;
    position_t end =
        covered ? client->log.items[client->acked + covered - 1].after : client->acked_at;
    if (at_end && position_compare(position, end) > 0) {
        self->counts.beyond++;
        return false;
    }
    self->counts.acked += s_drop(client, position, client->handed);
    client->waits_since = client->sent ? now : 0;
    self->receivers[client->receiver].progress_at = now;
    client->was_acked = true;
    client->missed = false;
    return true;
}

static model_client_t *s_own(model_t *self, uint32_t receiver, uint32_t index, int64_t now)
{
    model_client_t *client = &self->clients[index];
    if (!client->exists || client->receiver != receiver) {
        self->counts.unknown++;
        return NULL;
    }
    client->active = now >> 20;
    bool acks = !self->receivers[receiver].ack_none && client->policy != MODEL_PASSTHROUGH;
    return acks ? client : NULL;
}

void model_ack(model_t *self, uint32_t receiver, uint32_t index, position_t position, int64_t now)
{
    model_client_t *client = s_own(self, receiver, index, now);
    if (client)
        s_ack(self, client, position, now);
}

void model_missing(model_t *self, uint32_t receiver, uint32_t index, position_t position,
                   int64_t now)
{
    model_client_t *client = s_own(self, receiver, index, now);
    if (!client || !s_ack(self, client, position, now) || !client->sent || client->missed)
        return;
    model_go_back(client);
    client->missed = true;
    self->counts.missing++;
}

void model_reported(model_t *self, uint32_t receiver, uint32_t index, uint32_t session, bool sent,
                    int64_t now)
{
    model_client_t *client = &self->clients[index];
    check(client->exists && client->out > 0, "a client went before its reports came");
    client->out--;
    client->active = now >> 20;
    if (!sent || client->receiver != receiver || client->session != session)
        return;
    client->log.items[client->acked].settled = true;
    s_pop(client);
    client->was_acked = true;
    self->counts.taken++;
}

//  ---- what receivers take -----------------------------------------------------------------------

bool model_is_entry(const model_entry_t *entry, const model_seen_t *seen)
{
    if (seen->marker || entry->after.epoch != seen->epoch)
        return false;
    return seen->skipped_to ? entry->kind == MODEL_GAP && entry->after.seq == seen->skipped_to
                            : entry->kind == MODEL_PUSH && entry->after.seq == seen->seq;
}

void model_take(model_t *self, uint32_t index, const model_seen_t *seen)
{
    model_client_t *client = &self->clients[index];
    for (uint32_t i = client->log.count; i-- > 0;) {
        model_entry_t *entry = &client->log.items[i];
        if (!model_is_entry(entry, seen))
            continue;
        check(entry->kind == MODEL_GAP || entry->number == seen->number,
              "client %u: payload %u came as seq %llu", index, seen->number,
              (unsigned long long)seen->seq);
        entry->settled = true;
        return;
    }
    if (model_take_expired(client, seen))
        return;
    check(false, "client %u: seq %llu came from nowhere", index, (unsigned long long)seen->seq);
}

void model_claim(model_t *self, uint32_t index, position_t position)
{
    model_client_t *client = &self->clients[index];
    for (uint32_t i = 0; i < client->log.count; i++)
        if (position_compare(client->log.items[i].after, position) <= 0)
            client->log.items[i].settled = true;
    for (uint32_t i = 0; i < client->expired.count; i++)
        if (position_compare(client->expired.items[i].after, position) <= 0)
            client->expired.items[i].settled = true;
}

//  ---- figures -----------------------------------------------------------------------------------

typedef struct {
    uint64_t clients, receivers, held, held_bytes, retained, retained_bytes, unacked, open;
} sums_t;

static void s_add_client(const model_client_t *client, sums_t *sums)
{
    sums->clients++;
    sums->open += client->hole_since != 0;
    sums->held += client->held.count;
    for (uint32_t i = 0; i < client->held.count; i++)
        sums->held_bytes += client->held.items[i].size;
    sums->retained += client->log.count - client->acked;
    for (uint32_t i = client->acked; i < client->log.count; i++)
        sums->retained_bytes += client->log.items[i].size;
    sums->unacked += client->sent;
}

static void s_equal(const char *what, uint64_t core, uint64_t model)
{
    check(core == model, "%s: %llu, not %llu", what, (unsigned long long)core,
          (unsigned long long)model);
}

static void s_compare_gauges(const model_t *self, const orderer_stats_t *stats)
{
    sums_t sums = {0};
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        if (self->clients[i].exists)
            s_add_client(&self->clients[i], &sums);
    for (uint32_t i = 0; i < MODEL_NOBODY; i++)
        sums.receivers += model_is_served(&self->receivers[i]);
    s_equal("clients", stats_get(&stats->clients), sums.clients);
    s_equal("receivers", stats_get(&stats->receivers), sums.receivers);
    s_equal("held", stats_get(&stats->held_messages), sums.held);
    s_equal("held bytes", stats_get(&stats->held_bytes), sums.held_bytes);
    s_equal("retained", stats_get(&stats->retained_messages), sums.retained);
    s_equal("retained bytes", stats_get(&stats->retained_bytes), sums.retained_bytes);
    s_equal("unacked", stats_get(&stats->unacked_messages), sums.unacked);
    s_equal("holes", stats_get(&stats->gaps_open), sums.open);
}

static void s_compare_counters(const model_counts_t *counts, const orderer_stats_t *stats)
{
    s_equal("expired", stats_get(&stats->pushes_expired), counts->expired);
    s_equal("released", stats_get(&stats->released), counts->released);
    s_equal("acked", stats_get(&stats->acked), counts->acked);
    s_equal("taken", stats_get(&stats->taken), counts->taken);
    s_equal("gap notices", stats_get(&stats->gap_notices), counts->gap_notices);
    s_equal("given up", stats_get(&stats->pushes_given_up), counts->given_up);
    s_equal("beyond", stats_get(&stats->acks_beyond), counts->beyond);
    s_equal("unknown", stats_get(&stats->acks_unknown), counts->unknown);
    s_equal("takeovers", stats_get(&stats->takeovers), counts->takeovers);
    s_equal("timed out", stats_get(&stats->receivers_timed_out), counts->timed_out);
    s_equal("evicted", stats_get(&stats->clients_evicted), counts->evicted);
    s_equal("attaches", stats_get(&stats->attaches), counts->attaches);
    s_equal("alarms", stats_get(&stats->gaps_alarmed), counts->alarmed);
    s_equal("holes expired", stats_get(&stats->gaps_expired), counts->gaps_expired);
    s_equal("filled", stats_get(&stats->gaps_filled), counts->filled);
    s_equal("skipped", stats_get(&stats->gaps_skipped), counts->skipped);
    s_equal("reset", stats_get(&stats->gaps_reset), counts->reset);
    s_equal("missed", stats_get(&stats->go_backs[GO_BACK_MISSING]), counts->missing);
    //  Who went back, and whose receiver was then found gone at the same moment, is not seen.
    check(stats_get(&stats->go_backs[GO_BACK_TIMEOUT]) >= counts->overdue, "overdue");
}

//  Pushes that fill holes, and the notices of seqs that were skipped ahead, may exceed the backlog
//  by a window each. The number that the broker gives a push is not counted when it is let in.
static void s_check_bounds(const model_t *self)
{
    const core_settings_t *settings = self->settings;
    uint64_t notices = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        const model_client_t *client = &self->clients[i];
        check(model_kept(client) <= 2 * settings->backlog + 2 * client->rule.window,
              "client %u keeps %u", i, model_kept(client));
        check(client->sent <= settings->max_unacked, "client %u has %u on their way", i,
              client->sent);
        for (uint32_t k = client->acked; k < client->log.count; k++)
            notices += client->log.items[k].kind != MODEL_PUSH;
    }
    check(model_all_bytes(self) <= settings->memory_max + 64 * notices + 1024, "%llu bytes kept",
          (unsigned long long)model_all_bytes(self));
}

void model_compare(const model_t *self, const core_t *core, const orderer_stats_t *stats)
{
    check(self->effect_count == 0, "effect %d of receiver %u, client %d did not come",
          self->effects[0].kind, self->effects[0].receiver, self->effects[0].client);
    s_compare_gauges(self, stats);
    s_compare_counters(&self->counts, stats);
    s_check_bounds(self);
    model_compare_expired(self);
    uint64_t draining = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        if (self->clients[i].exists && model_is_served(&self->receivers[self->clients[i].receiver]))
            draining += self->clients[i].log.count - self->clients[i].acked;
    s_equal("draining", core_draining(core), draining);
}

void model_nothing_lost(const model_t *self)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        const model_client_t *client = &self->clients[i];
        check(model_kept(client) == 0, "client %u keeps %u at the end", i, model_kept(client));
        for (uint32_t k = 0; k < client->log.count; k++)
            check(client->log.items[k].settled || client->log.items[k].kind == MODEL_MARKER,
                  "client %u: seq %llu was lost", i,
                  (unsigned long long)client->log.items[k].after.seq);
    }
}
