//  stage.c - what a policy may ask and do; see policy.h

#include "core_state.h"
#include <assert.h>

//  ---- asking ------------------------------------------------------------------------------------

const policy_settings_t *policy_settings(const policy_stage_t *stage)
{
    return &stage->client->rule->settings;
}

const policy_view_t *policy_view(const policy_stage_t *stage)
{
    return &stage->client->view;
}

bool policy_holds(const policy_stage_t *stage, uint64_t seq)
{
    return (stage->in_hand && stage->hand_seq == seq) ||
           window_holds(&stage->client->flow->window, stage->client->view.next_seq, seq);
}

bool policy_gave_up(const policy_stage_t *stage, uint64_t seq)
{
    const client_t *client = stage->client;
    uint64_t next = client->view.next_seq;
    return seq < next ? client_gave_up(client, seq)
                      : window_marked(&client->flow->window, next, seq);
}

uint64_t policy_first_held(const policy_stage_t *stage)
{
    const client_t *client = stage->client;
    if (!client->flow->window.held)
        return stage->in_hand ? stage->hand_seq : 0;
    uint64_t seq = client->view.next_seq;
    while (!policy_holds(stage, seq))
        seq++;
    return seq;
}

int64_t policy_age(const policy_stage_t *stage, uint64_t seq)
{
    const client_t *client = stage->client;
    const window_place_t *place = &stage->hand;
    if (!stage->in_hand || stage->hand_seq != seq)
        place = window_at(&client->flow->window, client->view.next_seq, seq);
    assert(place && place->frame);
    //  From the start of the tick that it came in: so the age grows as the clock does.
    int64_t ticks = (uint32_t)(tick_of(stage->now) - place->arrived);
    return (ticks << TICK_SHIFT) + (stage->now & ((1 << TICK_SHIFT) - 1));
}

outcome_t policy_judge_by_window(const void *state, const policy_stage_t *stage, uint64_t seq)
{
    (void)state;
    assert(!stage->in_hand);
    return client_judge_by_window(stage->client, seq);
}

//  ---- the hole at the head of the line ----------------------------------------------------------

void stage_see_hole(policy_stage_t *stage)
{
    client_t *client = stage->client;
    uint64_t next = client->view.next_seq;
    bool any_held = client->flow->window.held > 0 || stage->in_hand;
    if (!any_held || policy_holds(stage, next)) {
        client->view.hole_since = 0;
    } else if (!client->view.hole_since || stage->hole_at != next) {
        client->view.hole_since = stage->now ? stage->now : 1;
        client->alarmed = false;
        repair_begin(stage->core, client, stage->now);
    }
    stage->hole_at = next;
}

//  ---- releasing ---------------------------------------------------------------------------------

//  Puts a push behind what was released; the client's stream stands at `seq` after it. There is room.
static inline void s_put(core_t *self, client_t *client, window_place_t push, uint64_t seq,
                         int64_t now)
{
    uint32_t wait = tick_of(now) - push.arrived;
    histogram_add(&self->stats->ordering_wait, (uint64_t)wait << TICK_SHIFT, 1);
    retained_put(&client->flow->retained, (retained_entry_t){.frame = push.frame,
                                                             .bytes = push.bytes,
                                                             .size = push.size & ((1u << 30) - 1),
                                                             .kind = RETAINED_PUSH,
                                                             .released_at = client_ms(now),
                                                             .seq = seq});
}

void stage_release(core_t *self, client_t *client, window_place_t push, uint64_t seq, int64_t now)
{
    s_put(self, client, push, seq, now);
    stats_add(&self->stats->released, 1);
    retention_count_put(self, client, 1, push.size, now);
}

//  Makes a notice of from..to, and room in the queue for it and `more` entries. NULL: no memory.
static frame_t *s_make_notice(client_t *client, uint64_t from, uint64_t to, uint32_t more)
{
    frame_t *notice = notice_gap(client, client->epoch, from, to);
    if (!notice || client_reserve(client, 1 + more))
        return notice;
    frame_unref(notice);
    return NULL;
}

//  Gives up next_seq..to: empties their places, which hold marks at most, and announces them.
static bool s_pass_over(policy_stage_t *stage, uint64_t to)
{
    client_t *client = stage->client;
    uint64_t from = client->view.next_seq;
    frame_t *notice = s_make_notice(client, from, to, 0);
    if (!notice)
        return false;
    for (uint64_t seq = from; seq <= to && client->flow->window.marks; seq++) {
        window_place_t *place = window_at(&client->flow->window, from, seq);
        if (place)
            window_take(&client->flow->window, place);
    }
    client->view.next_seq = to + 1;
    stream_announce(stage->core, client, from, to, notice, stage->now);
    return true;
}

static bool s_pass_marks(policy_stage_t *stage)
{
    const client_t *client = stage->client;
    uint64_t next = client->view.next_seq, to = next;
    while (window_marked(&client->flow->window, next, to + 1))
        to++;
    return s_pass_over(stage, to);
}

//  Releases the push in hand if it is the next expected one. Returns false if it is not, or there is no
//  memory.
static bool s_release_hand(policy_stage_t *stage)
{
    client_t *client = stage->client;
    if (!stage->in_hand || stage->hand_seq != client->view.next_seq || !client_reserve(client, 1))
        return false;
    stage->in_hand = false;
    stage_release(stage->core, client, stage->hand, client->view.next_seq++, stage->now);
    return true;
}

//  Releases what is held from the next expected seq on, up to `to` or the first hole. Returns false if
//  that was nothing, or there is no memory.
static bool s_release_held(policy_stage_t *stage, uint64_t to)
{
    core_t *self = stage->core;
    client_t *client = stage->client;
    window_t *window = &client->flow->window;
    uint64_t first = client->view.next_seq, seq = first, bytes = 0;
    while (seq <= to && window_holds(window, first, seq) && client_reserve(client, 1)) {
        window_place_t push = window_take(window, window_at(window, first, seq));
        s_put(self, client, push, seq++, stage->now);
        bytes += push.size;
    }
    if (seq == first)
        return false;
    client->view.next_seq = seq;
    stream_count_held(self, client, first - seq, -bytes);
    stats_add(&self->stats->released, seq - first);
    retention_count_put(self, client, seq - first, bytes, stage->now);
    return true;
}

void policy_release(policy_stage_t *stage, uint64_t to)
{
    const client_t *client = stage->client;
    assert(client->rule->policy->kind == POLICY_WINDOW);
    for (;;) {
        uint64_t next = client->view.next_seq;
        if (next <= to && (s_release_hand(stage) || s_release_held(stage, to)))
            continue;
        if (!window_marked(&client->flow->window, next, next) || !s_pass_marks(stage))
            break;
    }
    stage_see_hole(stage);
}

//  ---- giving up ---------------------------------------------------------------------------------

bool policy_give_up(policy_stage_t *stage, uint64_t to)
{
    const client_t *client = stage->client;
    assert(client->rule->policy->kind == POLICY_WINDOW && to >= client->view.next_seq);
    assert(policy_first_held(stage) == to + 1);
    if (!s_pass_over(stage, to))
        return false;
    stats_add(&stage->core->stats->gaps_expired, 1);
    stage_see_hole(stage);
    return true;
}

void policy_replace(policy_stage_t *stage)
{
    client_t *client = stage->client;
    assert(client->rule->policy->kind == POLICY_LATEST);
    if (!stage->in_hand)
        return;
    uint64_t from = retention_unhanded_from(client), seq = stage->hand_seq;
    assert(seq >= client->view.next_seq);
    frame_t *notice = NULL;
    if (from < seq ? !(notice = s_make_notice(client, from, seq - 1, 1))
                   : !client_reserve(client, 1))
        return;
    bool announced = retention_drop_unhanded(stage->core, client);
    if (notice) {
        change_drop(stage->core, client, from, seq - 1);
        //  One notice, however often it grows.
        stats_add(&stage->core->stats->gap_notices, !announced);
        retention_put_notice(stage->core, client, seq - 1, notice, stage->now);
    }
    stage->in_hand = false;
    stage_release(stage->core, client, stage->hand, seq, stage->now);
    client->view.next_seq = seq + 1;
}

void policy_pass(policy_stage_t *stage)
{
    client_t *client = stage->client;
    assert(client->rule->policy->kind == POLICY_PASSTHROUGH);
    if (!stage->in_hand || !client_reserve(client, 1))
        return;
    stage->in_hand = false;
    stage_release(stage->core, client, stage->hand, client->acked.seq, stage->now);
}
