//  model.c - clients: pushes, outcomes, bounds, Skip, Reset, time; see model.h

#include "model.h"
#include <string.h>

#define COST 64 //  a kept push counts as its size and this, a notice as this alone
#define PLACE 24 //  bytes of a place for a held push, where there are more than
#define PLACES_FREE 64 //  these
#define GAPS_KNOWN 16 //  gaps of a client that are remembered

static int64_t s_ms(int64_t now)
{
    return now >> 20;
}

//  The rule of a client is that of its id, whenever it is made.
static void s_find_rule(const model_t *self, model_client_t *client)
{
    const core_settings_t *settings = self->settings;
    rule_t rest = {NULL,
                   settings->policy,
                   {settings->window, settings->first_seq, settings->gap_timeout,
                    settings->gap_alarm, settings->repair_delay}};
    const rule_t *rule = settings->rules, *end = settings->rules + settings->rule_count;
    while (rule < end && !model_glob(rule->match, client->id, client->id_size))
        rule++;
    model_set_rule(client, rule < end ? rule : &rest);
}

void model_init(model_t *self, const core_settings_t *settings)
{
    static const uint8_t long_id[64] = {0xff, 0, '*', 0};
    static const struct {
        const void *id;
        size_t size;
    } ids[MODEL_CLIENTS] = {{"a", 1}, {"ab", 2}, {"abc", 3}, {"b", 1}, {"ba", 2}, {long_id, 64}};
    static const char *const receiver_ids[MODEL_SLOTS] = {"r0", "r1", "r2", "r3"};
    *self = (model_t){.settings = settings, .next_generation = settings->first_generation};
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        self->clients[i].id = ids[i].id;
        self->clients[i].id_size = ids[i].size;
        s_find_rule(self, &self->clients[i]);
    }
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        self->receivers[i].id = receiver_ids[i];
    for (uint32_t i = 0; i < settings->route_count; i++) {
        model_receiver_t *route = &self->receivers[MODEL_SLOTS + i];
        *route = (model_receiver_t){
            .state = MODEL_ROUTE, .address = settings->routes[i].endpoint, .ack_none = true};
        model_expect(self, EFFECT_OPEN, MODEL_SLOTS + i);
    }
}

void model_fini(model_t *self)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        free(self->clients[i].held.items);
        free(self->clients[i].marks.items);
        free(self->clients[i].gaps.items);
        free(self->clients[i].log.items);
        free(self->clients[i].expired.items);
        free(self->clients[i].fates.items);
    }
}

//  ---- sums --------------------------------------------------------------------------------------

uint32_t model_kept(const model_client_t *client)
{
    return client->held.count + client->log.count - client->acked;
}

static uint64_t s_places_bytes(uint32_t places)
{
    return places > PLACES_FREE ? places * PLACE : 0;
}

//  Places are doubled until they reach as far as is asked, and stay until nothing is held.
static uint32_t s_places_for(const model_client_t *client, uint64_t span)
{
    uint32_t places = client->places ? client->places : 8;
    while (places < span)
        places *= 2;
    return places;
}

uint64_t model_kept_bytes(const model_client_t *client)
{
    uint64_t bytes = (uint64_t)model_kept(client) * COST + s_places_bytes(client->places);
    for (uint32_t i = 0; i < client->held.count; i++)
        bytes += client->held.items[i].size;
    for (uint32_t i = client->acked; i < client->log.count; i++)
        if (client->log.items[i].kind == MODEL_PUSH)
            bytes += client->log.items[i].size;
    return bytes;
}

uint64_t model_all_bytes(const model_t *self)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        bytes += model_kept_bytes(&self->clients[i]);
    return bytes;
}

uint32_t model_size(const model_client_t *client, const model_entry_t *entry, uint32_t payload)
{
    static uint8_t nothing[1];
    Seqpush__V1__Push push = SEQPUSH__V1__PUSH__INIT;
    push.client_id = (ProtobufCBinaryData){client->id_size, (uint8_t *)client->id};
    push.epoch = entry->after.epoch;
    push.seq = entry->kind == MODEL_GAP ? entry->from : entry->after.seq;
    push.skipped_to = entry->kind == MODEL_GAP ? entry->after.seq : 0;
    push.marker = entry->kind == MODEL_MARKER;
    push.payload = (ProtobufCBinaryData){payload, nothing};
    uint32_t size = (uint32_t)seqpush__v1__push__get_packed_size(&push);
    return size + (size < 128 ? 2 : 3);
}

//  ---- clients -----------------------------------------------------------------------------------

static uint32_t s_count(const model_t *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        count += self->clients[i].exists;
    return count;
}

//  Nothing of it is kept, and nobody who is there has asked for it by name.
static bool s_may_go(const model_t *self, const model_client_t *client)
{
    bool pinned = client->by_name && self->receivers[client->receiver].state == MODEL_ATTACHED;
    return client->exists && model_kept(client) == 0 && client->out == 0 &&
           client->fates.count == 0 && !pinned;
}

static void s_forget(model_t *self, model_client_t *client)
{
    trace("client %u is forgotten", (unsigned)(client - self->clients));
    client->exists = false;
    client->life++;
    client->marks.count = client->gaps.count = client->log.count = client->expired.count = 0;
    client->places = 0;
    client->acked = client->sent = client->handed = 0;
    self->counts.evicted++;
}

//  Drops the one that is idle for longest. Runs that get here let no two clients be equally idle.
static bool s_evict(model_t *self)
{
    model_client_t *idlest = NULL;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        model_client_t *client = &self->clients[i];
        if (s_may_go(self, client) && (!idlest || client->active < idlest->active))
            idlest = client;
    }
    if (idlest)
        s_forget(self, idlest);
    return idlest != NULL;
}

static void s_start_over(model_client_t *client, uint64_t epoch, uint64_t next_seq)
{
    client->epoch = epoch;
    client->next_seq = next_seq;
    client->by_publishers = client->by_broker = false;
    client->gaps.count = 0;
    client->forgotten_to = 0;
    client->hole_since = 0;
}

bool model_make_client(model_t *self, uint32_t index, int64_t now)
{
    model_client_t *client = &self->clients[index];
    if (client->exists)
        return true;
    if (s_count(self) >= self->settings->max_clients && !s_evict(self))
        return false;
    client->exists = true;
    s_start_over(client, 0, client->rule.first_seq);
    client->acked_at = (position_t){0, client->rule.first_seq - 1};
    client->refused_batch = 0;
    client->retry_after = 0;
    client->active = s_ms(now);
    client->by_name = client->was_acked = client->alarmed = false;
    client->peers[0] = client->peers[1] = 0;
    client->marker_due = true;
    client->receiver = model_resolve(self, client);
    return true;
}

static void s_drop_idle(model_t *self, bool just_due, int64_t now)
{
    int64_t limit = s_ms(self->settings->client_idle_timeout);
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        model_client_t *client = &self->clients[i];
        int64_t idle = s_ms(now) - client->active;
        if (s_may_go(self, client) && idle >= (just_due ? limit : limit + 2))
            s_forget(self, client);
    }
}

static void s_alarm(model_t *self, uint32_t index, int64_t now)
{
    model_client_t *client = &self->clients[index];
    if (!client->exists || !client->hole_since || client->alarmed || !client->rule.gap_alarm ||
        now - client->hole_since < client->rule.gap_alarm)
        return;
    client->alarmed = true;
    self->counts.alarmed++;
    model_effect_t *effect = model_expect(self, EFFECT_ALARM, MODEL_NOBODY);
    effect->client = (int)index;
    effect->position = (position_t){client->epoch, client->next_seq - 1};
}

void model_tick(model_t *self, uint64_t evicted, int64_t now)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        model_client_t *client = &self->clients[i];
        s_alarm(self, i, now);
        if (client->exists && model_has_window(client))
            model_settle(self, client, client->next_seq, now);
    }
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        model_receiver_t *receiver = &self->receivers[i];
        if (receiver->state != MODEL_ATTACHED ||
            now - receiver->heard_at < self->settings->receiver_timeout)
            continue;
        self->counts.timed_out++;
        model_park(self, i, "timeout", now);
    }
    model_expire(self, now);
    //  Time is measured in coarse units. Who has been idle for just the timeout goes with those that
    //  were idle for longer, or a unit or two later.
    uint64_t before = self->counts.evicted;
    s_drop_idle(self, false, now);
    if (self->counts.evicted - before != evicted)
        s_drop_idle(self, true, now);
    check(self->counts.evicted - before == evicted, "%llu clients dropped as idle, not %llu",
          (unsigned long long)evicted, (unsigned long long)(self->counts.evicted - before));
}

//  ---- the window --------------------------------------------------------------------------------

model_held_t *model_held(model_client_t *client, uint64_t seq)
{
    for (uint32_t i = 0; i < client->held.count; i++)
        if (client->held.items[i].seq == seq)
            return &client->held.items[i];
    return NULL;
}

static void s_unhold(model_client_t *client, model_held_t *held)
{
    *held = client->held.items[--client->held.count];
}

bool model_is_marked(const model_client_t *client, uint64_t seq)
{
    for (uint32_t i = 0; i < client->marks.count; i++)
        if (client->marks.items[i] == seq)
            return true;
    return false;
}

bool model_was_given_up(const model_client_t *client, uint64_t seq)
{
    for (uint32_t i = 0; i < client->gaps.count; i++)
        if (client->gaps.items[i].from <= seq && seq <= client->gaps.items[i].to)
            return true;
    return false;
}

//  Gaps that touch each other are one, as far as they are remembered.
void model_note_gap(model_client_t *client, uint64_t from, uint64_t to)
{
    model_range_t whole = {from, to}, *oldest = client->gaps.items;
    for (uint32_t i = client->gaps.count; i-- > 0;) {
        model_range_t *range = &client->gaps.items[i];
        if (from > range->to + 1 || to + 1 < range->from)
            continue;
        whole.from = range->from < whole.from ? range->from : whole.from;
        whole.to = range->to > whole.to ? range->to : whole.to;
        memmove(range, range + 1, (--client->gaps.count - i) * sizeof *range);
    }
    if (client->gaps.count == GAPS_KNOWN) {
        client->forgotten_to =
            oldest->to > client->forgotten_to ? oldest->to : client->forgotten_to;
        memmove(oldest, oldest + 1, --client->gaps.count * sizeof *oldest);
    }
    MODEL_APPEND(&client->gaps, whole);
}

bool model_may_have_given_up(const model_client_t *client, uint64_t seq)
{
    return seq <= client->forgotten_to || model_was_given_up(client, seq);
}

void model_announce(model_t *self, model_client_t *client, uint64_t from, uint64_t to, int64_t now)
{
    model_entry_t gap = {
        .kind = MODEL_GAP, .after = {client->epoch, to}, .from = from, .released_at = s_ms(now)};
    gap.size = model_size(client, &gap, 0);
    MODEL_APPEND(&client->log, gap);
    model_note_gap(client, from, to);
    self->counts.gap_notices++;
}

void model_release(model_t *self, model_client_t *client, model_held_t *held, int64_t now)
{
    model_entry_t entry = {.kind = MODEL_PUSH,
                           .after = {client->epoch, held->seq},
                           .number = held->number,
                           .size = held->size,
                           .publisher = held->publisher,
                           .released_at = s_ms(now)};
    MODEL_APPEND(&client->log, entry);
    s_unhold(client, held);
    client->next_seq++;
    self->counts.released++;
}

void model_give_back_places(model_client_t *client)
{
    bool any = client->held.count > 0;
    for (uint32_t i = 0; i < client->marks.count; i++)
        any |= client->marks.items[i] >= client->next_seq;
    if (!any && client->places > PLACES_FREE)
        client->places = 0;
}

//  ---- pushes ------------------------------------------------------------------------------------

//  What a newer push would take the place of: how many entries, and their bytes.
static uint32_t s_replaced(const model_client_t *client, uint64_t *bytes)
{
    uint32_t count = 0;
    *bytes = 0;
    for (uint32_t i = client->log.count; i-- > client->acked + client->handed; count++) {
        const model_entry_t *entry = &client->log.items[i];
        if (client->policy != MODEL_LATEST || entry->kind == MODEL_MARKER)
            break;
        *bytes += COST + (entry->kind == MODEL_PUSH ? entry->size : 0);
    }
    return count;
}

static outcome_t s_judge_room(const model_t *self, const model_client_t *client, uint64_t seq,
                              uint32_t size)
{
    const core_settings_t *settings = self->settings;
    if (model_has_window(client) && seq != client->next_seq)
        size += (uint32_t)(s_places_bytes(s_places_for(client, seq - client->next_seq + 1)) -
                           s_places_bytes(client->places));
    uint64_t gone, all = model_all_bytes(self) + size + COST;
    if (seq == client->next_seq && client->held.count)
        return all <= settings->memory_max ? OUTCOME_ACCEPTED : OUTCOME_OVERLOADED;
    if (model_kept(client) + 1 - s_replaced(client, &gone) > settings->backlog ||
        model_kept_bytes(client) + size + COST - gone > settings->backlog_bytes)
        return OUTCOME_BACKLOG_FULL;
    all -= gone;
    uint64_t usable = settings->memory_max - settings->memory_max / 8;
    uint64_t receiver = model_receiver_bytes(self, client->receiver) + size + COST - gone;
    uint64_t without = all - size - COST;
    return all <= usable && receiver <= usable - without ? OUTCOME_ACCEPTED : OUTCOME_OVERLOADED;
}

static outcome_t s_judge(const model_t *self, model_client_t *client, const model_push_t *push,
                         uint64_t seq)
{
    if (push->outcome != OUTCOME_ACCEPTED)
        return push->outcome;
    bool passes = client->policy == MODEL_PASSTHROUGH;
    if (!passes && push->epoch != client->epoch)
        return OUTCOME_EPOCH_MISMATCH;
    if (!passes && (push->seq ? client->by_broker : client->by_publishers))
        return OUTCOME_INVALID;
    if (!passes && !push->seq && client->refused_batch == self->batch)
        return client->refused_outcome;
    if (client->policy == MODEL_LATEST && push->seq && seq > INT64_MAX)
        return OUTCOME_INVALID;
    outcome_t outcome = model_judge_seq(client, seq);
    return outcome == OUTCOME_ACCEPTED ? s_judge_room(self, client, seq, push->size) : outcome;
}

//  10 ms, and twice as long for each refusal after the time that the last one named, up to 1 s.
static uint32_t s_retry_after(model_client_t *client, outcome_t outcome, int64_t now)
{
    if (outcome != OUTCOME_WINDOW_FULL && outcome != OUTCOME_BACKLOG_FULL &&
        outcome != OUTCOME_OVERLOADED)
        return 0;
    if (!client->retry_after || s_ms(now) >= client->retry_at) {
        client->retry_after = client->retry_after ? client->retry_after * 2 : 10;
        if (client->retry_after > 1000)
            client->retry_after = 1000;
        client->retry_at = s_ms(now) + client->retry_after;
    }
    return (uint32_t)(client->retry_at - s_ms(now));
}

static model_answer_t s_refuse(model_t *self, model_client_t *client, const model_push_t *push,
                               outcome_t outcome, int64_t now)
{
    if (!push->seq && client->refused_batch != self->batch) {
        client->refused_batch = self->batch;
        client->refused_outcome = outcome;
    }
    return (model_answer_t){.outcome = outcome,
                            .epoch = client->epoch,
                            .next_seq = client->next_seq,
                            .window_end = client->next_seq + client->rule.window,
                            .retry_after = s_retry_after(client, outcome, now)};
}

static model_answer_t s_refuse_unknown(const model_client_t *client, outcome_t outcome)
{
    uint64_t first = client->rule.first_seq;
    return (model_answer_t){.outcome = outcome == OUTCOME_ACCEPTED ? OUTCOME_OVERLOADED : outcome,
                            .next_seq = first,
                            .window_end = first + client->rule.window,
                            .retry_after = outcome == OUTCOME_ACCEPTED ? 1000 : 0};
}

static void s_hold(model_t *self, model_client_t *client, const model_push_t *push, uint64_t seq,
                   int64_t now)
{
    uint64_t next = client->next_seq;
    bool was_open = client->hole_since != 0;
    model_entry_t entry = {.kind = MODEL_PUSH, .after = {client->epoch, seq}};
    model_held_t held = {seq, push->publisher, push->number,
                         model_size(client, &entry, push->payload_size), now};
    MODEL_APPEND(&client->held, held);
    if (seq != next)
        client->places = s_places_for(client, seq - next + 1);
    if (was_open && seq == next && client->repair_at != INT64_MAX)
        model_note_filled(self, now - client->hole_since, now);
    model_settle(self, client, next, now);
    self->counts.filled += was_open && seq == next && client->next_seq != next;
}

static void s_accept(model_t *self, model_client_t *client, const model_push_t *push, uint64_t seq,
                     int64_t now)
{
    if (model_has_window(client))
        s_hold(self, client, push, seq, now);
    else
        model_accept_unheld(self, client, push, seq, now);
    client->retry_after = 0;
    if (client->policy == MODEL_PASSTHROUGH)
        return;
    client->by_publishers = push->seq != 0;
    client->by_broker = push->seq == 0;
}

static void s_touch(model_client_t *client, const model_push_t *push, int64_t now)
{
    client->active = s_ms(now);
    model_note_peer(client, push->peer);
}

model_answer_t model_push(model_t *self, uint32_t index, const model_push_t *push, int64_t now)
{
    model_client_t *client = &self->clients[index];
    bool may_make = push->outcome == OUTCOME_ACCEPTED || push->seq == 0;
    if (!client->exists && (!may_make || !model_make_client(self, index, now)))
        return s_refuse_unknown(client, push->outcome);
    if (push->outcome == OUTCOME_ACCEPTED)
        s_touch(client, push, now);
    bool passes = client->policy == MODEL_PASSTHROUGH;
    uint64_t seq = push->seq || passes ? push->seq : client->next_seq;
    outcome_t outcome = s_judge(self, client, push, seq);
    if (outcome == OUTCOME_DUPLICATE && push->outcome == OUTCOME_ACCEPTED && push->publisher)
        model_renew(client, push->publisher, seq);
    if (outcome != OUTCOME_ACCEPTED)
        return s_refuse(self, client, push, outcome, now);
    s_accept(self, client, push, seq, now);
    model_state_t state = self->receivers[client->receiver].state;
    return (model_answer_t){.assigned = seq,
                            .unreceived = state == MODEL_GONE || state == MODEL_ABSENT};
}

//  ---- ways out of a gap -------------------------------------------------------------------------

static position_t s_released(const model_client_t *client)
{
    return (position_t){client->epoch, client->next_seq - 1};
}

//  Notices are kept like pushes, and bounded: as many again as pushes.
static bool s_has_room_for_notices(const model_t *self, const model_client_t *client, uint64_t span)
{
    uint64_t places = s_places_bytes(s_places_for(client, span)) - s_places_bytes(client->places);
    return model_kept(client) < 2 * self->settings->backlog &&
           model_all_bytes(self) + 2 * COST + places <= self->settings->memory_max;
}

position_t model_skip(model_t *self, uint32_t index, uint64_t epoch, uint64_t from, uint64_t to,
                      int64_t now)
{
    model_client_t *client = &self->clients[index];
    if (!model_make_client(self, index, now))
        return (position_t){0, client->rule.first_seq - 1};
    client->active = s_ms(now);
    uint64_t next = client->next_seq, last = next + client->rule.window - 1;
    if (epoch != client->epoch || to < next || from > last || from > to ||
        !s_has_room_for_notices(self, client, (to < last ? to : last) - next + 1))
        return s_released(client);
    bool was_open = client->hole_since != 0;
    for (uint64_t seq = next; seq <= last; seq++) {
        if (seq < from || seq > to || model_held(client, seq) || model_is_marked(client, seq))
            continue;
        MODEL_APPEND(&client->marks, seq);
        client->places = s_places_for(client, seq - next + 1);
    }
    model_settle(self, client, next, now);
    self->counts.skipped += was_open && client->next_seq != next;
    return s_released(client);
}

static void s_owe_held(model_client_t *client, uint64_t upto, bool given_up)
{
    for (uint32_t i = 0; i < client->held.count; i++)
        if (client->held.items[i].seq <= upto)
            model_owe(client, client->held.items[i].publisher,
                      (position_t){client->epoch, client->held.items[i].seq}, given_up);
}

position_t model_reset(model_t *self, uint32_t index, uint64_t epoch, uint64_t next_seq,
                       int64_t now)
{
    model_client_t *client = &self->clients[index];
    if (!model_make_client(self, index, now))
        return (position_t){0, client->rule.first_seq - 1};
    client->active = s_ms(now);
    if (client->policy == MODEL_PASSTHROUGH || epoch <= client->epoch ||
        !s_has_room_for_notices(self, client, 0))
        return s_released(client);
    uint64_t last = 0;
    for (uint32_t i = 0; i < client->held.count; i++)
        if (client->held.items[i].seq > last)
            last = client->held.items[i].seq;
    s_owe_held(client, UINT64_MAX, true);
    if (last)
        model_announce(self, client, client->next_seq, last, now);
    self->counts.given_up += client->held.count;
    self->counts.reset += last != 0;
    client->held.count = client->marks.count = 0;
    model_give_back_places(client);
    s_start_over(client, epoch, next_seq ? next_seq : client->rule.first_seq);
    model_entry_t marker = {
        .kind = MODEL_MARKER, .after = s_released(client), .released_at = s_ms(now)};
    marker.size = model_size(client, &marker, 0);
    MODEL_APPEND(&client->log, marker);
    return s_released(client);
}

void model_jump(model_t *self, model_client_t *client, position_t position, int64_t now)
{
    for (uint32_t i = client->acked; i < client->log.count; i++)
        model_owe(client, client->log.items[i].publisher, client->log.items[i].after, false);
    s_owe_held(client, position.epoch != client->epoch ? UINT64_MAX : position.seq, false);
    client->acked = client->log.count;
    client->sent = client->handed = 0;
    client->acked_at = position;
    if (position.epoch != client->epoch) {
        client->held.count = client->marks.count = 0;
        model_give_back_places(client);
        s_start_over(client, position.epoch, position.seq + 1);
        return;
    }
    for (uint32_t i = client->held.count; i-- > 0;)
        if (client->held.items[i].seq <= position.seq)
            s_unhold(client, &client->held.items[i]);
    client->next_seq = position.seq + 1;
    client->hole_since = 0;
    model_settle(self, client, client->next_seq, now);
}
