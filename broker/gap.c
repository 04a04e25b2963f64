//  gap.c - ways out of a gap: Skip, Reset, and a receiver that is ahead

#include "core_state.h"
#include <stdlib.h>
#include <string.h>

//  Notices are kept like pushes, and may be as many again: a Skip or Reset beyond that changes
//  nothing. `span` is how many seqs from next_seq on are to be marked.
static bool s_has_room_for_notices(const core_t *self, const client_t *client, uint64_t span)
{
    uint32_t places = window_bytes_for(&client->window, span) - client->window_bytes;
    return client_kept(client) < 2 * (uint64_t)self->settings.backlog &&
           self->kept_bytes + 2 * CLIENT_PUSH_COST + places <= self->settings.memory_max;
}

//  Marks what is missing of from..to, as far as there is memory.
static void s_mark_missing(core_t *self, client_t *client, uint64_t from, uint64_t to)
{
    uint64_t next = client->view.next_seq, first = from;
    for (uint64_t seq = from; seq <= to; seq++) {
        if (window_holds(&client->window, next, seq)) {
            if (first < seq)
                change_gap(self, client, client->epoch, first, seq - 1);
            first = seq + 1;
        } else if (!window_marked(&client->window, next, seq) &&
                   !window_mark(&client->window, next, seq)) {
            to = seq - 1;
        }
    }
    if (first <= to)
        change_gap(self, client, client->epoch, first, to);
}

//  Where a client is that there is no room for.
static position_t s_start(const core_t *self, const void *id, size_t id_size)
{
    return (position_t){0, client_list_rule(self, id, id_size)->settings.first_seq - 1};
}

position_t core_skip(core_t *self, const void *id, size_t id_size, uint64_t epoch, uint64_t from,
                     uint64_t to, int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = client_list_get(self, id, id_size, hash, true, now);
    if (!client)
        return s_start(self, id, id_size);
    uint64_t next = client->view.next_seq, last = next + client->view.window - 1;
    client->active = client_ms(now);
    from = from > next ? from : next;
    to = to < last ? to : last;
    if (epoch != client->epoch || from > to || !s_has_room_for_notices(self, client, to - next + 1))
        return client_released(client);
    bool was_open = client->view.hole_since != 0;
    s_mark_missing(self, client, from, to);
    stream_settle(self, client, now);
    if (was_open && client->view.next_seq != next)
        stats_add(&self->stats->gaps_skipped, 1);
    return client_released(client);
}

uint64_t gap_clear_window(core_t *self, client_t *client, uint64_t upto, bool given_up)
{
    uint64_t next = client->view.next_seq, last = 0;
    for (uint64_t i = 0; i < client->window.capacity && next + i <= upto; i++) {
        window_place_t taken =
            stream_take_held(self, client, window_at(&client->window, next, next + i));
        if (!taken.frame)
            continue;
        last = next + i;
        confirmation_add(self, client, taken.frame, (position_t){client->epoch, last}, given_up);
        core_charge(self, client, -(int64_t)taken.size - CLIENT_PUSH_COST);
        frame_unref(taken.frame);
    }
    return last;
}

static void s_forget_hole(core_t *self, client_t *client)
{
    if (client->view.hole_since)
        stats_add(&self->stats->gaps_open, (uint64_t)-1);
    client->view.hole_since = 0;
}

void gap_start_epoch(core_t *self, client_t *client, uint64_t epoch, uint64_t next_seq)
{
    client->epoch = epoch;
    client->view.next_seq = next_seq;
    client->numbering = NUMBERED_BY_NOBODY;
    free(client->gaps);
    client->gaps = NULL;
    memset(client_state(client), 0, client->rule->policy->state_size);
    s_forget_hole(self, client);
}

position_t core_reset(core_t *self, const void *id, size_t id_size, uint64_t epoch,
                      uint64_t next_seq, int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = client_list_get(self, id, id_size, hash, true, now);
    if (!client)
        return s_start(self, id, id_size);
    client->active = client_ms(now);
    if (client_is(client, POLICY_PASSTHROUGH) || epoch <= client->epoch ||
        !s_has_room_for_notices(self, client, 0))
        return client_released(client);
    next_seq = next_seq ? next_seq : client->rule->settings.first_seq;
    uint64_t from = client->view.next_seq;
    uint32_t held = client->window.held;
    frame_t *marker = notice_marker(client, (position_t){epoch, next_seq - 1});
    if (!marker || !retained_reserve(&client->retained, 2)) {
        if (marker)
            frame_unref(marker);
        return client_released(client);
    }
    uint64_t last = gap_clear_window(self, client, UINT64_MAX, true);
    stream_count_window(self, client);
    frame_t *notice = last ? notice_gap(client, client->epoch, from, last) : NULL;
    if (last)
        change_drop(self, client, from, last);
    if (notice)
        stream_announce(self, client, from, last, notice, now);
    if (last)
        stats_add(&self->stats->gaps_reset, 1);
    stats_add(&self->stats->pushes_given_up, held);
    gap_start_epoch(self, client, epoch, next_seq);
    change_marker(self, client);
    core_charge(self, client, CLIENT_PUSH_COST);
    retention_put(
        self, client,
        (retained_entry_t){
            .frame = marker, .kind = RETAINED_MARKER, .epoch = epoch, .seq = next_seq - 1},
        now);
    delivery_offer(self, client);
    return client_released(client);
}

void gap_jump(core_t *self, client_t *client, position_t position, int64_t now)
{
    bool same_epoch = position.epoch == client->epoch;
    s_forget_hole(self, client);
    retention_cover(self, client, client_released(client));
    gap_clear_window(self, client, same_epoch ? position.seq : UINT64_MAX, false);
    if (same_epoch)
        client->view.next_seq = position.seq + 1;
    else
        gap_start_epoch(self, client, position.epoch, position.seq + 1);
    client->acked = position;
    change_jump(self, client);
    stream_settle(self, client, now);
}
