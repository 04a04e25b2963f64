//  stream.c - a client's stream moves on: its policy is asked, and the hole at its head looked after

#include "core_state.h"
#include <assert.h>
#include <string.h>

void stream_count_held(core_t *self, client_t *client, uint64_t pushes, uint64_t bytes)
{
    client->view.held = client->flow->window.held;
    stats_add(&self->stats->held_messages, pushes);
    stats_add(&self->stats->held_bytes, bytes);
}

window_place_t stream_take_held(core_t *self, client_t *client, window_place_t *place)
{
    window_place_t taken = window_take(&client->flow->window, place);
    if (taken.frame)
        stream_count_held(self, client, (uint64_t)-1, -(uint64_t)taken.size);
    return taken;
}

void stream_announce(core_t *self, client_t *client, uint64_t from, uint64_t to, frame_t *notice,
                     int64_t now)
{
    client_note_gap(client, from, to);
    change_gap(self, client, client->epoch, from, to);
    stats_add(&self->stats->gap_notices, 1);
    retention_put_notice(self, client, to, notice, now);
}

void stream_count_window(core_t *self, client_t *client)
{
    window_trim(&client->flow->window);
    uint32_t bytes = window_bytes(client->flow->window.capacity);
    if (bytes != client->window_bytes)
        core_charge(self, client, (int64_t)bytes - client->window_bytes);
    client->window_bytes = bytes;
}

static policy_stage_t s_stage(core_t *self, client_t *client, int64_t now)
{
    return (policy_stage_t){
        .core = self, .client = client, .now = now, .hole_at = client->view.next_seq};
}

static int64_t s_alarm_at(const client_t *client)
{
    int64_t alarm = client->rule->settings.gap_alarm;
    return client->view.hole_since && alarm && !client->alarmed ? client->view.hole_since + alarm
                                                                : INT64_MAX;
}

//  Holds a push that the policy has let in and not released. Returns false if there is no memory.
static bool s_hold(core_t *self, client_t *client, window_place_t push, uint64_t seq)
{
    if (client->rule->policy->kind != POLICY_WINDOW || !client_flows(client) ||
        !window_put(&client->flow->window, client->view.next_seq, seq, push))
        return false;
    stream_count_held(self, client, 1, push.size);
    return true;
}

//  Lets the policy do what is due, and looks after the hole at the head of the line and the client's
//  timer. Returns false if a push that was let in could be neither released nor held.
static bool s_move(policy_stage_t *stage)
{
    core_t *self = stage->core;
    client_t *client = stage->client;
    bool was_open = client->view.hole_since != 0;
    int64_t wake = client->rule->policy->settle(client_state(client), stage, stage->now);
    bool ok = !stage->in_hand || s_hold(self, client, stage->hand, stage->hand_seq);
    stage->in_hand = false;
    stage_see_hole(stage);
    stream_count_window(self, client);
    bool is_open = client->view.hole_since != 0;
    if (was_open != is_open)
        stats_add(&self->stats->gaps_open, is_open ? 1 : (uint64_t)-1);
    assert(wake > stage->now);
    int64_t alarm = s_alarm_at(client), repair = repair_look(self, client, stage->now);
    int64_t at = wake < alarm ? wake : alarm;
    at = at < repair ? at : repair;
    if (at != INT64_MAX)
        timer_arm(&self->timers, &client->timer, at);
    delivery_offer(self, client);
    return ok;
}

//  ---- moving on ---------------------------------------------------------------------------------

outcome_t stream_judge(core_t *self, client_t *client, uint64_t seq, int64_t now)
{
    const policy_t *policy = client->rule->policy;
    if (policy->judge == policy_judge_by_window)
        return client_judge_by_window(client, seq);
    policy_stage_t stage = s_stage(self, client, now);
    return policy->judge(client_state(client), &stage, seq);
}

//  The two most common cases, where nothing is to be asked: the next expected push of a client that
//  holds nothing, and a push behind a hole that is known, for which the timer is armed. Returns false,
//  with nothing changed, if it is another case, or there is no memory.
static bool s_enter_plainly(core_t *self, client_t *client, window_place_t push, uint64_t seq,
                            int64_t now)
{
    const window_t *window = &client->flow->window;
    if (client->rule->policy != &policy_strict)
        return false;
    if (seq == client->view.next_seq) {
        if (window->held + window->marks > 0 || client->window_bytes || !client_reserve(client, 1))
            return false;
        stage_release(self, client, push, seq, now);
        client->view.next_seq++;
        delivery_offer(self, client);
        return true;
    }
    return client->view.hole_since && client->timer.place &&
           seq - client->view.next_seq < window->capacity && s_hold(self, client, push, seq);
}

bool stream_enter(core_t *self, client_t *client, window_place_t push, uint64_t seq, int64_t now)
{
    if (s_enter_plainly(self, client, push, seq, now))
        return true;
    policy_stage_t stage = s_stage(self, client, now);
    stage.hand = push;
    stage.hand_seq = seq;
    stage.in_hand = true;
    bool fills = client->view.hole_since && client->view.next_seq == seq;
    if (fills)
        repair_filled(self, client, now);
    if (!s_move(&stage))
        return false;
    if (fills && client->view.next_seq != seq)
        stats_add(&self->stats->gaps_filled, 1);
    return true;
}

void stream_settle(core_t *self, client_t *client, int64_t now)
{
    policy_stage_t stage = s_stage(self, client, now);
    s_move(&stage);
}

void stream_due(core_t *self, client_t *client, int64_t now)
{
    if (now >= s_alarm_at(client)) {
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
