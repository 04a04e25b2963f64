//  core.c - the ordering core: pushes in, the policy, time; see core.h and core_state.h

#include "core_state.h"
#include "wire.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MIN_MS 10
#define RETRY_SHIFT_MAX 7 //  10 ms doubled seven times, then cut to RETRY_MAX_MS
#define RETRY_MAX_MS 1000
#define EVICT_LOOKS 1024 //  clients looked at for one that can go, a turn

//  A push between being let in and being released or held.
struct policy_stage {
    core_t *core;
    client_t *client;
    int64_t now;
    window_place_t hand;
    uint64_t hand_seq;
    bool in_hand;
};

//  What a timer is embedded in.
#define TIMER_OWNER(entry, type, field) ((type *)((char *)(entry)-offsetof(type, field)))

//  ---- effects -----------------------------------------------------------------------------------

core_effect_t *core_tell(core_t *self, effect_kind_t kind)
{
    if (self->effect_count == self->effect_capacity) {
        uint32_t capacity = self->effect_capacity ? self->effect_capacity * 2 : 16;
        core_effect_t *effects = malloc(capacity * sizeof *effects);
        if (!effects)
            abort();
        for (uint32_t i = 0; i < self->effect_count; i++)
            effects[i] = self->effects[(self->effect_head + i) % self->effect_capacity];
        free(self->effects);
        self->effects = effects;
        self->effect_capacity = capacity;
        self->effect_head = 0;
    }
    core_effect_t *effect =
        &self->effects[(self->effect_head + self->effect_count++) % self->effect_capacity];
    *effect = (core_effect_t){.kind = kind};
    return effect;
}

bool core_effect(core_t *self, core_effect_t *effect)
{
    if (!self->effect_count)
        return false;
    *effect = self->effects[self->effect_head];
    self->effect_head = (self->effect_head + 1) % self->effect_capacity;
    self->effect_count--;
    return true;
}

//  ---- clients -----------------------------------------------------------------------------------

static void s_list(core_t *self, client_t *client)
{
    //  Sorted by `listed`; nearly always the place is at the end.
    client_t *after = self->newest;
    while (after && (int32_t)(after->listed - client->listed) > 0)
        after = after->older;
    client->older = after;
    client->newer = after ? after->newer : self->oldest;
    if (after)
        after->newer = client;
    else
        self->oldest = client;
    if (client->newer)
        client->newer->older = client;
    else
        self->newest = client;
}

static void s_unlist(core_t *self, client_t *client)
{
    if (client->older)
        client->older->newer = client->newer;
    else
        self->oldest = client->newer;
    if (client->newer)
        client->newer->older = client->older;
    else
        self->newest = client->older;
}

//  Counts the window's places as kept, and gives back those that are not needed any more.
static void s_count_window(core_t *self, client_t *client)
{
    window_trim(&client->window);
    uint32_t bytes = window_bytes(client->window.capacity);
    if (bytes != client->window_bytes)
        core_charge(self, client, (int64_t)bytes - client->window_bytes);
    client->window_bytes = bytes;
}

static void s_drop_client(core_t *self, client_t *client)
{
    window_fini(&client->window);
    s_count_window(self, client);
    s_unlist(self, client);
    receiver_unlink(client->receiver, client);
    timer_disarm(&self->timers, &client->timer);
    client_table_remove(&self->clients, client);
    client_destroy(&client);
    stats_set(&self->stats->clients, self->clients.count);
    stats_add(&self->stats->clients_evicted, 1);
}

//  True if the client may be forgotten. One that a receiver which is there has attached by name
//  stays: the attachment is kept in it.
static bool s_may_go(const client_t *client)
{
    return client_is_idle(client) &&
           !(client->attached_by_name && client->receiver->kind == RECEIVER_ATTACHED);
}

//  The client that was idle for longest, or NULL if none was found within some looks. A client that
//  was active since it was listed, or may not go, is listed anew.
static client_t *s_idlest(core_t *self, int64_t now)
{
    for (int i = 0; i < EVICT_LOOKS && self->oldest; i++) {
        client_t *client = self->oldest;
        bool idle = s_may_go(client);
        if (idle && client->active == client->listed)
            return client;
        s_unlist(self, client);
        client->listed = idle ? client->active : client_ms(now);
        if (!idle)
            client->active = client->listed;
        s_list(self, client);
    }
    return NULL;
}

static client_t *s_make_client(core_t *self, const void *id, size_t id_size, uint64_t hash,
                               int64_t now)
{
    if (self->clients.count >= self->settings.max_clients) {
        client_t *idlest = s_idlest(self, now);
        if (!idlest)
            return NULL;
        s_drop_client(self, idlest);
    }
    client_t *client = client_new(id, id_size, hash, self->settings.policy, self->settings.window,
                                  self->settings.first_seq);
    if (!client || !client_table_add(&self->clients, client)) {
        client_destroy(&client);
        return NULL;
    }
    client->timer.kind = TIMER_CLIENT;
    client->active = client->listed = client_ms(now);
    s_list(self, client);
    receiver_link(session_resolve(self, client), client);
    stats_set(&self->stats->clients, self->clients.count);
    timer_arm(&self->timers, &self->idle_timer, now + self->settings.client_idle_timeout);
    return client;
}

client_t *core_client(core_t *self, const void *id, size_t id_size, uint64_t hash, bool make,
                      int64_t now)
{
    client_t *client = client_table_find(&self->clients, hash, id, id_size);
    return client || !make ? client : s_make_client(self, id, id_size, hash, now);
}

static void s_drop_idle(core_t *self, int64_t now)
{
    int64_t timeout = self->settings.client_idle_timeout;
    uint32_t limit = client_ms(timeout);
    client_t *client;
    while ((client = s_idlest(self, now)) && client_ms(now) - client->listed >= limit)
        s_drop_client(self, client);
    if (!self->clients.count)
        return;
    uint32_t idle = client_ms(now) - self->oldest->listed;
    int64_t left = idle < limit ? (int64_t)(limit - idle + 1) << 20 : 1 << 20;
    timer_arm(&self->timers, &self->idle_timer, now + left);
}

//  ---- what a policy may ask and do --------------------------------------------------------------

const policy_view_t *policy_view(const policy_stage_t *stage)
{
    return &stage->client->view;
}

bool policy_holds(const policy_stage_t *stage, uint64_t seq)
{
    return (stage->in_hand && stage->hand_seq == seq) ||
           window_holds(&stage->client->window, stage->client->view.next_seq, seq);
}

bool policy_gave_up(const policy_stage_t *stage, uint64_t seq)
{
    const client_t *client = stage->client;
    uint64_t next = client->view.next_seq;
    return seq < next ? client_gave_up(client, seq) : window_marked(&client->window, next, seq);
}

static void s_release(policy_stage_t *stage, window_place_t push)
{
    client_t *client = stage->client;
    orderer_stats_t *stats = stage->core->stats;
    uint32_t wait = tick_of(stage->now) - push.arrived;
    histogram_add(&stats->ordering_wait, (uint64_t)wait << TICK_SHIFT, 1);
    stats_add(&stats->released, 1);
    delivery_put(stage->core, client,
                 (retained_entry_t){.frame = push.frame,
                                    .bytes = push.bytes,
                                    .size = push.size & ((1u << 30) - 1),
                                    .kind = RETAINED_PUSH,
                                    .seq = client->view.next_seq});
    client->view.next_seq++;
}

static window_place_t s_take_held(core_t *self, client_t *client, window_place_t *place)
{
    window_place_t taken = window_take(&client->window, place);
    client->view.held = client->window.held;
    if (taken.frame) {
        stats_add(&self->stats->held_messages, (uint64_t)-1);
        stats_add(&self->stats->held_bytes, -(uint64_t)taken.size);
    }
    return taken;
}

//  Announces from..to, which ends right before next_seq, as given up. There is room for it.
static void s_announce(core_t *self, client_t *client, uint64_t from, uint64_t to, frame_t *notice)
{
    client_note_gap(client, from, to);
    stats_add(&self->stats->gap_notices, 1);
    core_charge(self, client, CLIENT_PUSH_COST);
    delivery_put(self, client,
                 (retained_entry_t){.frame = notice, .kind = RETAINED_GAP, .seq = to});
}

//  Passes over the marks from next_seq on. Returns false if there is no memory for the notice.
static bool s_pass_marks(core_t *self, client_t *client)
{
    uint64_t from = client->view.next_seq, to = from;
    while (window_marked(&client->window, from, to + 1))
        to++;
    frame_t *notice = delivery_gap(client, client->epoch, from, to);
    if (!notice || !retained_reserve(&client->retained, 1)) {
        if (notice)
            frame_unref(notice);
        return false;
    }
    for (uint64_t seq = from; seq <= to; seq++)
        s_take_held(self, client, window_at(&client->window, from, seq));
    client->view.next_seq = to + 1;
    s_announce(self, client, from, to, notice);
    return true;
}

uint32_t policy_release_run(policy_stage_t *stage)
{
    client_t *client = stage->client;
    for (uint32_t released = 0;; released++) {
        uint64_t next = client->view.next_seq;
        window_place_t *place = window_at(&client->window, next, next);
        bool from_hand = stage->in_hand && stage->hand_seq == next;
        if (!from_hand && window_marked(&client->window, next, next)) {
            if (!s_pass_marks(stage->core, client))
                return released;
            released--;
            continue;
        }
        if (!from_hand && (!place || !place->frame))
            return released;
        if (!retained_reserve(&client->retained, 1))
            return released;
        if (from_hand)
            stage->in_hand = false;
        s_release(stage, from_hand ? stage->hand : s_take_held(stage->core, client, place));
    }
}

//  Looks after the hole at the head of the line and the client's timer, `next` being next_seq as it
//  was before.
static void s_watch(core_t *self, client_t *client, uint64_t next, int64_t wake, int64_t now)
{
    bool was_open = client->view.hole_since != 0;
    bool is_open = client->window.held > 0;
    client->view.held = client->window.held;
    s_count_window(self, client);
    if (was_open != is_open)
        stats_add(&self->stats->gaps_open, is_open ? 1 : (uint64_t)-1);
    if (!is_open) {
        client->view.hole_since = 0;
    } else if (!was_open || client->view.next_seq != next) {
        client->view.hole_since = now ? now : 1;
        client->alarmed = false;
    }
    if (is_open && self->settings.gap_alarm && !client->alarmed)
        timer_arm(&self->timers, &client->timer,
                  client->view.hole_since + self->settings.gap_alarm);
    if (wake != INT64_MAX)
        timer_arm(&self->timers, &client->timer, wake);
}

void core_settle(core_t *self, client_t *client, int64_t now)
{
    policy_stage_t stage = {.core = self, .client = client, .now = now};
    uint64_t next = client->view.next_seq;
    int64_t wake = client->policy->settle(client_state(client), &stage, now);
    s_watch(self, client, next, wake, now);
    delivery_offer(self, client);
}

static void s_client_due(core_t *self, client_t *client, int64_t now)
{
    int64_t alarm = client->view.hole_since + self->settings.gap_alarm;
    if (client->view.hole_since && self->settings.gap_alarm && !client->alarmed && now >= alarm) {
        client->alarmed = true;
        stats_add(&self->stats->gaps_alarmed, 1);
        core_effect_t *effect = core_tell(self, EFFECT_ALARM);
        memcpy(effect->id, client->id, client->id_size);
        effect->id_size = client->id_size;
        effect->position = client_released(client);
    }
    core_settle(self, client, now);
}

//  ---- pushes ------------------------------------------------------------------------------------

void core_begin_batch(core_t *self, bool sparse)
{
    self->batch++;
    self->sparse = sparse;
}

void core_prefetch_slot(const core_t *self, const push_t *push)
{
    client_table_prefetch(&self->clients, push->hash);
}

void core_prefetch_client(const core_t *self, const push_t *push)
{
    const char *client = (const char *)client_table_guess(&self->clients, push->hash);
    for (size_t line = 0; client && line < sizeof(client_t) + 16; line += 64)
        __builtin_prefetch(client + line, 1);
}

void core_prefetch_places(const core_t *self, const push_t *push)
{
    const client_t *client = client_table_guess(&self->clients, push->hash);
    if (!client)
        return;
    const retained_t *retained = &client->retained;
    if (push->seq >= client->view.next_seq && client->window.capacity) {
        //  The place itself, and the one that a release begins with.
        uint64_t mask = client->window.capacity - 1;
        __builtin_prefetch(&client->window.places[push->seq & mask], 1);
        __builtin_prefetch(&client->window.places[client->view.next_seq & mask], 1);
    }
    if (retained->capacity)
        __builtin_prefetch(retained_at(retained, retained->count), 1);
}

//  Is there room for one more push? What fills a hole is always let in, but for the memory in all.
static outcome_t s_room(const core_t *self, const client_t *client, uint64_t seq, uint32_t cost)
{
    bool fills = seq == client->view.next_seq && client->window.held > 0;
    uint64_t max = self->settings.memory_max;
    if (fills)
        return self->kept_bytes + cost <= max ? OUTCOME_ACCEPTED : OUTCOME_OVERLOADED;
    if (client_kept(client) >= self->settings.backlog ||
        client->kept_bytes + (uint64_t)cost > self->settings.backlog_bytes)
        return OUTCOME_BACKLOG_FULL;
    max -= max / 8;
    if (self->kept_bytes + cost > max)
        return OUTCOME_OVERLOADED;
    uint64_t left = max - self->kept_bytes;
    return client->receiver->kept_bytes + cost <= left ? OUTCOME_ACCEPTED : OUTCOME_OVERLOADED;
}

//  What the push would be counted as: its bytes, and the places that the window lacks to hold it.
static uint32_t s_cost(const client_t *client, const push_t *push, uint64_t seq)
{
    uint64_t ahead = seq - client->view.next_seq;
    uint32_t places = 0;
    if (ahead >= client->window.capacity && ahead > 0)
        places = window_bytes_for(&client->window, ahead + 1) - client->window_bytes;
    return push->size + CLIENT_PUSH_COST + places;
}

static outcome_t s_judge_numberless(const core_t *self, const client_t *client)
{
    if (client->numbering == NUMBERED_BY_PUBLISHERS)
        return OUTCOME_INVALID;
    return client->refused_in == self->batch ? (outcome_t)client->refused_outcome
                                             : OUTCOME_ACCEPTED;
}

static outcome_t s_judge(core_t *self, client_t *client, const push_t *push, uint64_t seq,
                         int64_t now)
{
    if (push->epoch != client->epoch)
        return OUTCOME_EPOCH_MISMATCH;
    if (push->numberless) {
        outcome_t outcome = s_judge_numberless(self, client);
        if (outcome != OUTCOME_ACCEPTED)
            return outcome;
    } else if (client->numbering == NUMBERED_BY_BROKER) {
        return OUTCOME_INVALID;
    }
    policy_stage_t stage = {.core = self, .client = client, .now = now};
    outcome_t outcome = client->policy->judge(client_state(client), &stage, seq);
    if (outcome != OUTCOME_ACCEPTED)
        return outcome;
    return s_room(self, client, seq, s_cost(client, push, seq));
}

//  The push with the seq that the broker gave it: its own bytes, and the seq behind them.
static frame_t *s_numbered(const push_t *push, uint64_t seq)
{
    const uint8_t *body = push->bytes + 1, *end = push->bytes + push->size;
    uint64_t body_size;
    bool canonical = true;
    if (!wire_get_varint(&body, end, &body_size, &canonical))
        return NULL;
    uint8_t head[1 + WIRE_VARINT_MAX], tail[1 + WIRE_VARINT_MAX];
    uint8_t *tail_end = wire_put_varint_field(tail, WIRE_PUSH_SEQ, seq);
    size_t tail_size = (size_t)(tail_end - tail);
    head[0] = WIRE_BATCH_PUSHES;
    size_t head_size = (size_t)(wire_put_varint(head + 1, body_size + tail_size) - head);
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, head_size + (size_t)body_size + tail_size) != 0)
        return NULL;
    uint8_t *to = zmq_msg_data(&message);
    memcpy(to, head, head_size);
    memcpy(to + head_size, body, (size_t)body_size);
    memcpy(to + head_size + body_size, tail, tail_size);
    frame_t *frame = frame_new(&message);
    zmq_msg_close(&message);
    return frame;
}

//  Takes a push that was let in: the policy may release it at once, else it is held. Returns false,
//  with nothing changed, if there is no memory.
static bool s_take(core_t *self, client_t *client, frame_t *frame, const push_t *push, uint64_t seq,
                   int64_t now)
{
    window_place_t place = {frame, push->bytes, push->size, tick_of(now)};
    if (push->numberless || self->sparse) {
        place.frame =
            push->numberless ? s_numbered(push, seq) : frame_copy(push->bytes, push->size);
        if (!place.frame)
            return false;
        place.bytes = frame_bytes(place.frame);
        place.size = (uint32_t)frame_size(place.frame);
    } else {
        frame_ref(frame);
    }
    policy_stage_t stage = {self, client, now, place, seq, true};
    uint64_t next = client->view.next_seq;
    core_charge(self, client, (int64_t)place.size + CLIENT_PUSH_COST);
    int64_t wake = client->policy->settle(client_state(client), &stage, now);
    if (stage.in_hand) {
        if (!window_put(&client->window, client->view.next_seq, seq, place)) {
            core_charge(self, client, -(int64_t)place.size - CLIENT_PUSH_COST);
            frame_unref(place.frame);
            return false;
        }
        stats_add(&self->stats->held_messages, 1);
        stats_add(&self->stats->held_bytes, place.size);
    }
    if (client->view.hole_since && client->view.next_seq != next)
        stats_add(&self->stats->gaps_filled, 1);
    s_watch(self, client, next, wake, now);
    delivery_offer(self, client);
    return true;
}

//  When a refused publisher is to try again: doubled with every refusal that comes after its time.
static uint32_t s_retry_after(client_t *client, int64_t now)
{
    uint32_t ms = client_ms(now), left = client->retry_at - ms;
    if (!client->retry_shift || left == 0 || left > RETRY_MAX_MS) {
        uint32_t delay = RETRY_MIN_MS << client->retry_shift;
        client->retry_at = ms + (delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS);
        if (client->retry_shift < RETRY_SHIFT_MAX)
            client->retry_shift++;
    }
    return client->retry_at - ms;
}

static bool s_may_pass(outcome_t outcome)
{
    return outcome == OUTCOME_WINDOW_FULL || outcome == OUTCOME_BACKLOG_FULL ||
           outcome == OUTCOME_OVERLOADED;
}

static void s_refuse(core_t *self, client_t *client, push_t *push, outcome_t outcome, int64_t now)
{
    if (push->numberless && client->refused_in != self->batch) {
        client->refused_in = self->batch;
        client->refused_outcome = (uint8_t)outcome;
    }
    push->outcome = (uint8_t)outcome;
    push->now_epoch = client->epoch;
    push->next_seq = client->view.next_seq;
    push->window_end = client->view.next_seq + client->view.window;
    push->retry_after_ms = s_may_pass(outcome) ? s_retry_after(client, now) : 0;
}

static void s_refuse_unknown(const core_t *self, push_t *push, outcome_t outcome)
{
    push->outcome = (uint8_t)outcome;
    push->now_epoch = 0;
    push->next_seq = self->settings.first_seq;
    push->window_end = self->settings.first_seq + self->settings.window;
    push->retry_after_ms = s_may_pass(outcome) ? RETRY_MAX_MS : 0;
}

void core_push(core_t *self, frame_t *frame, push_t *push, int64_t now)
{
    client_t *client = core_client(self, push->id, push->id_size, push->hash, true, now);
    if (!client) {
        s_refuse_unknown(self, push, OUTCOME_OVERLOADED);
        return;
    }
    client->active = client_ms(now);
    uint64_t seq = push->numberless ? client->view.next_seq : push->seq;
    outcome_t outcome = s_judge(self, client, push, seq, now);
    if (outcome == OUTCOME_ACCEPTED && !s_take(self, client, frame, push, seq, now))
        outcome = OUTCOME_OVERLOADED;
    if (outcome != OUTCOME_ACCEPTED) {
        s_refuse(self, client, push, outcome, now);
        return;
    }
    client->retry_shift = 0;
    client->numbering = push->numberless ? NUMBERED_BY_BROKER : NUMBERED_BY_PUBLISHERS;
    push->assigned = seq;
    push->unreceived =
        client->receiver->kind == RECEIVER_NOBODY || client->receiver->kind == RECEIVER_GONE;
    histogram_add(&self->stats->queue_length, client_kept(client), 1);
}

void core_refused(core_t *self, push_t *push, int64_t now)
{
    outcome_t outcome = (outcome_t)push->outcome;
    if (outcome == OUTCOME_OVERLOADED)
        return;
    client_t *client = NULL;
    if (push->id_size)
        client = core_client(self, push->id, push->id_size, push->hash, push->numberless, now);
    if (client)
        s_refuse(self, client, push, outcome, now);
    else
        s_refuse_unknown(self, push, outcome);
}

//  ---- ways out of a gap -------------------------------------------------------------------------

//  Notices are kept like pushes, and may be as many again: a Skip or Reset beyond that changes
//  nothing. `span` is how many seqs from next_seq on are to be marked.
static bool s_has_room_for_notices(const core_t *self, const client_t *client, uint64_t span)
{
    uint32_t places = window_bytes_for(&client->window, span) - client->window_bytes;
    return client_kept(client) < 2 * (uint64_t)self->settings.backlog &&
           self->kept_bytes + 2 * CLIENT_PUSH_COST + places <= self->settings.memory_max;
}

//  Marks what is missing of from..to, as far as there is memory.
static void s_mark_missing(client_t *client, uint64_t from, uint64_t to)
{
    uint64_t next = client->view.next_seq;
    for (uint64_t seq = from; seq <= to; seq++)
        if (!window_holds(&client->window, next, seq) &&
            !window_marked(&client->window, next, seq) && !window_mark(&client->window, next, seq))
            return;
}

position_t core_skip(core_t *self, const void *id, size_t id_size, uint64_t epoch, uint64_t from,
                     uint64_t to, int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = core_client(self, id, id_size, hash, true, now);
    if (!client)
        return (position_t){0, self->settings.first_seq - 1};
    uint64_t next = client->view.next_seq, last = next + client->view.window - 1;
    client->active = client_ms(now);
    from = from > next ? from : next;
    to = to < last ? to : last;
    if (epoch != client->epoch || from > to || !s_has_room_for_notices(self, client, to - next + 1))
        return client_released(client);
    bool was_open = client->view.hole_since != 0;
    s_mark_missing(client, from, to);
    core_settle(self, client, now);
    if (was_open && client->view.next_seq != next)
        stats_add(&self->stats->gaps_skipped, 1);
    return client_released(client);
}

//  Drops what is held and marked. Returns the last seq that was held, 0 if none was.
static uint64_t s_clear_window(core_t *self, client_t *client, uint64_t upto)
{
    uint64_t next = client->view.next_seq, last = 0;
    for (uint64_t i = 0; i < client->window.capacity && next + i <= upto; i++) {
        window_place_t taken =
            s_take_held(self, client, window_at(&client->window, next, next + i));
        if (!taken.frame)
            continue;
        core_charge(self, client, -(int64_t)taken.size - CLIENT_PUSH_COST);
        frame_unref(taken.frame);
        last = next + i;
    }
    return last;
}

static void s_forget_hole(core_t *self, client_t *client)
{
    if (client->view.hole_since)
        stats_add(&self->stats->gaps_open, (uint64_t)-1);
    client->view.hole_since = 0;
}

static void s_start_epoch(core_t *self, client_t *client, uint64_t epoch, uint64_t next_seq)
{
    client->epoch = epoch;
    client->view.next_seq = next_seq;
    client->numbering = NUMBERED_BY_NOBODY;
    free(client->gaps);
    client->gaps = NULL;
    memset(client_state(client), 0, client->policy->state_size);
    s_forget_hole(self, client);
}

position_t core_reset(core_t *self, const void *id, size_t id_size, uint64_t epoch,
                      uint64_t next_seq, int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = core_client(self, id, id_size, hash, true, now);
    if (!client)
        return (position_t){0, self->settings.first_seq - 1};
    client->active = client_ms(now);
    if (epoch <= client->epoch || !s_has_room_for_notices(self, client, 0))
        return client_released(client);
    next_seq = next_seq ? next_seq : self->settings.first_seq;
    uint64_t from = client->view.next_seq;
    uint32_t held = client->window.held;
    frame_t *marker = delivery_marker(client, (position_t){epoch, next_seq - 1});
    if (!marker || !retained_reserve(&client->retained, 2)) {
        if (marker)
            frame_unref(marker);
        return client_released(client);
    }
    uint64_t last = s_clear_window(self, client, UINT64_MAX);
    s_count_window(self, client);
    frame_t *notice = last ? delivery_gap(client, client->epoch, from, last) : NULL;
    if (notice)
        s_announce(self, client, from, last, notice);
    if (last)
        stats_add(&self->stats->gaps_reset, 1);
    stats_add(&self->stats->pushes_given_up, held);
    s_start_epoch(self, client, epoch, next_seq);
    core_charge(self, client, CLIENT_PUSH_COST);
    delivery_put(
        self, client,
        (retained_entry_t){
            .frame = marker, .kind = RETAINED_MARKER, .epoch = epoch, .seq = next_seq - 1});
    delivery_offer(self, client);
    return client_released(client);
}

void core_jump(core_t *self, client_t *client, position_t position, int64_t now)
{
    bool same_epoch = position.epoch == client->epoch;
    s_forget_hole(self, client);
    delivery_cover(self, client, client_released(client));
    s_clear_window(self, client, same_epoch ? position.seq : UINT64_MAX);
    if (same_epoch)
        client->view.next_seq = position.seq + 1;
    else
        s_start_epoch(self, client, position.epoch, position.seq + 1);
    client->acked = position;
    core_settle(self, client, now);
}

//  ---- the core ----------------------------------------------------------------------------------

core_t *core_new(const core_settings_t *settings, orderer_stats_t *stats)
{
    core_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->settings = *settings;
    self->stats = stats;
    self->next_generation = settings->first_generation;
    self->idle_timer.kind = TIMER_IDLE;
    self->oldest_timer.kind = TIMER_OLDEST;
    if (!session_open_routes(self))
        core_destroy(&self);
    return self;
}

void core_destroy(core_t **self_p)
{
    core_t *self = *self_p;
    if (!self)
        return;
    while (self->oldest) {
        client_t *client = self->oldest;
        s_unlist(self, client);
        client_destroy(&client);
    }
    client_table_fini(&self->clients);
    delivery_fini(self);
    session_fini(self);
    timer_fini(&self->timers);
    free(self->effects);
    free(self);
    *self_p = NULL;
}

void core_tick(core_t *self, int64_t now)
{
    timer_entry_t *due;
    while ((due = timer_take(&self->timers, now))) {
        switch (due->kind) {
        case TIMER_CLIENT:
            s_client_due(self, TIMER_OWNER(due, client_t, timer), now);
            break;
        case TIMER_RECEIVER:
            session_due(self, TIMER_OWNER(due, receiver_t, timer), now);
            break;
        case TIMER_RESEND:
            redelivery_due(self, TIMER_OWNER(due, receiver_t, resend), now);
            break;
        case TIMER_OLDEST:
            redelivery_look_at_oldest(self, now);
            break;
        default:
            s_drop_idle(self, now);
        }
    }
}

int64_t core_next_tick(const core_t *self)
{
    return timer_next(&self->timers);
}

uint64_t core_kept(const core_t *self)
{
    return stats_get(&self->stats->held_messages) + stats_get(&self->stats->retained_messages);
}
