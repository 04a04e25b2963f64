//  stream.c - a client's stream moves on: what its policy may ask and do, and the hole at its head

#include "core_state.h"
#include <string.h>

//  A push between being let in and being released or held.
struct policy_stage {
    core_t *core;
    client_t *client;
    int64_t now;
    window_place_t hand;
    uint64_t hand_seq;
    bool in_hand;
};

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
    retention_put(stage->core, client,
                  (retained_entry_t){.frame = push.frame,
                                     .bytes = push.bytes,
                                     .size = push.size & ((1u << 30) - 1),
                                     .kind = RETAINED_PUSH,
                                     .seq = client->view.next_seq},
                  stage->now);
    client->view.next_seq++;
}

window_place_t stream_take_held(core_t *self, client_t *client, window_place_t *place)
{
    window_place_t taken = window_take(&client->window, place);
    client->view.held = client->window.held;
    if (taken.frame) {
        stats_add(&self->stats->held_messages, (uint64_t)-1);
        stats_add(&self->stats->held_bytes, -(uint64_t)taken.size);
    }
    return taken;
}

void stream_announce(core_t *self, client_t *client, uint64_t from, uint64_t to, frame_t *notice,
                     int64_t now)
{
    client_note_gap(client, from, to);
    stats_add(&self->stats->gap_notices, 1);
    core_charge(self, client, CLIENT_PUSH_COST);
    retention_put(self, client,
                  (retained_entry_t){.frame = notice, .kind = RETAINED_GAP, .seq = to}, now);
}

//  Passes over the marks from next_seq on. Returns false if there is no memory for the notice.
static bool s_pass_marks(core_t *self, client_t *client, int64_t now)
{
    uint64_t from = client->view.next_seq, to = from;
    while (window_marked(&client->window, from, to + 1))
        to++;
    frame_t *notice = notice_gap(client, client->epoch, from, to);
    if (!notice || !retained_reserve(&client->retained, 1)) {
        if (notice)
            frame_unref(notice);
        return false;
    }
    for (uint64_t seq = from; seq <= to; seq++)
        stream_take_held(self, client, window_at(&client->window, from, seq));
    client->view.next_seq = to + 1;
    stream_announce(self, client, from, to, notice, now);
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
            if (!s_pass_marks(stage->core, client, stage->now))
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
        s_release(stage, from_hand ? stage->hand : stream_take_held(stage->core, client, place));
    }
}

void stream_count_window(core_t *self, client_t *client)
{
    window_trim(&client->window);
    uint32_t bytes = window_bytes(client->window.capacity);
    if (bytes != client->window_bytes)
        core_charge(self, client, (int64_t)bytes - client->window_bytes);
    client->window_bytes = bytes;
}

//  Looks after the hole at the head of the line and the client's timer, `next` being next_seq as it
//  was before.
static void s_watch(core_t *self, client_t *client, uint64_t next, int64_t wake, int64_t now)
{
    bool was_open = client->view.hole_since != 0;
    bool is_open = client->window.held > 0;
    client->view.held = client->window.held;
    stream_count_window(self, client);
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

//  ---- moving on ---------------------------------------------------------------------------------

outcome_t stream_judge(core_t *self, client_t *client, uint64_t seq, int64_t now)
{
    policy_stage_t stage = {.core = self, .client = client, .now = now};
    return client->policy->judge(client_state(client), &stage, seq);
}

bool stream_enter(core_t *self, client_t *client, window_place_t push, uint64_t seq, int64_t now)
{
    policy_stage_t stage = {self, client, now, push, seq, true};
    uint64_t next = client->view.next_seq;
    int64_t wake = client->policy->settle(client_state(client), &stage, now);
    if (stage.in_hand) {
        if (!window_put(&client->window, client->view.next_seq, seq, push))
            return false;
        stats_add(&self->stats->held_messages, 1);
        stats_add(&self->stats->held_bytes, push.size);
    }
    if (client->view.hole_since && client->view.next_seq != next)
        stats_add(&self->stats->gaps_filled, 1);
    s_watch(self, client, next, wake, now);
    delivery_offer(self, client);
    return true;
}

void stream_settle(core_t *self, client_t *client, int64_t now)
{
    policy_stage_t stage = {.core = self, .client = client, .now = now};
    uint64_t next = client->view.next_seq;
    int64_t wake = client->policy->settle(client_state(client), &stage, now);
    s_watch(self, client, next, wake, now);
    delivery_offer(self, client);
}

void stream_due(core_t *self, client_t *client, int64_t now)
{
    int64_t alarm = client->view.hole_since + self->settings.gap_alarm;
    if (client->view.hole_since && self->settings.gap_alarm && !client->alarmed && now >= alarm) {
        client->alarmed = true;
        stats_add(&self->stats->gaps_alarmed, 1);
        core_effect_t *effect = effect_tell(self, EFFECT_ALARM);
        memcpy(effect->id, client->id, client->id_size);
        effect->id_size = client->id_size;
        effect->position = client_released(client);
    }
    stream_settle(self, client, now);
    expiry_due(self, client, now);
}
