//  intake.c - pushes into the ordering core: prefetching, judging, bounds, refusals

#include "core_state.h"
#include "wire.h"
#include <string.h>

#define RETRY_MIN_MS 10
#define RETRY_SHIFT_MAX 7 //  10 ms doubled seven times, then cut to RETRY_MAX_MS
#define RETRY_MAX_MS 1000

void core_begin_batch(core_t *self, bool sparse, uint64_t peer, bool confirm)
{
    self->batch++;
    self->batch_waits = false;
    self->sparse = sparse || compaction_is_due(self);
    self->publisher = confirm ? peer : 0;
    self->peer = peer;
    if (peer > self->newest_peer)
        self->newest_peer = peer;
}

void core_prefetch_slot(const core_t *self, const push_t *push)
{
    client_table_prefetch(&self->clients, push->hash);
}

void core_prefetch_client(const core_t *self, const push_t *push)
{
    __builtin_prefetch(push->id);
    client_prefetch(client_table_guess(&self->clients, push->hash));
}

void core_prefetch_flow(const core_t *self, const push_t *push)
{
    client_prefetch_flow(client_table_guess(&self->clients, push->hash));
}

void core_prefetch_places(const core_t *self, const push_t *push, const frame_t *frame)
{
    __builtin_prefetch(&frame->refs, 1);
    const client_t *client = client_table_guess(&self->clients, push->hash);
    if (!client)
        return;
    const retained_t *retained = &client->flow->retained;
    if (push->seq >= client->view.next_seq && client->flow->window.capacity) {
        //  The place itself, and the one that a release begins with.
        uint64_t mask = client->flow->window.capacity - 1;
        __builtin_prefetch(&client->flow->window.places[push->seq & mask], 1);
        __builtin_prefetch(&client->flow->window.places[client->view.next_seq & mask], 1);
    }
    if (retained->capacity)
        __builtin_prefetch(retained_at(retained, retained->count), 1);
}

//  Is there room for one more push? What fills a hole is always let in, but for the memory in all. What
//  the push will take the place of makes room for it.
static outcome_t s_room(const core_t *self, const client_t *client, uint64_t seq, uint32_t cost)
{
    bool fills = seq == client->view.next_seq && client->flow->window.held > 0;
    uint64_t max = self->settings.memory_max, freed = 0;
    if (fills)
        return self->kept_bytes + cost <= max ? OUTCOME_ACCEPTED : OUTCOME_OVERLOADED;
    uint32_t replaced = client_is(client, POLICY_LATEST) ? retention_unhanded(client, &freed) : 0;
    if (client_kept(client) - replaced >= self->settings.backlog ||
        client->kept_bytes - freed + cost > self->settings.backlog_bytes)
        return OUTCOME_BACKLOG_FULL;
    uint64_t kept = self->kept_bytes - freed;
    max -= max / 8;
    if (kept + cost > max)
        return OUTCOME_OVERLOADED;
    uint64_t left = max - kept;
    return client->receiver->kept_bytes - freed + cost <= left ? OUTCOME_ACCEPTED
                                                               : OUTCOME_OVERLOADED;
}

//  What the push would be counted as: its bytes, and the places that the window lacks to hold it.
static uint32_t s_cost(const client_t *client, const push_t *push, uint64_t seq)
{
    uint64_t ahead = seq - client->view.next_seq;
    uint32_t places = 0;
    if (ahead >= client->flow->window.capacity && ahead > 0 && ahead < client->view.window)
        places = window_bytes_for(&client->flow->window, ahead + 1) - client->window_bytes;
    return push->size + CLIENT_PUSH_COST + places;
}

static outcome_t s_judge_numberless(const core_t *self, const client_t *client)
{
    if (client->numbering == NUMBERED_BY_PUBLISHERS)
        return OUTCOME_INVALID;
    return client->refused_in == self->batch ? (outcome_t)client->refused_outcome
                                             : OUTCOME_ACCEPTED;
}

//  What is wrong with the push as one of the client's stream, whatever its policy says of the seq.
static outcome_t s_judge_stream(const core_t *self, const client_t *client, const push_t *push,
                                uint64_t seq)
{
    if (push->epoch != client->epoch)
        return OUTCOME_EPOCH_MISMATCH;
    //  No position can have it, so it could not be acknowledged.
    if (seq > SEQ_MAX)
        return OUTCOME_INVALID;
    if (push->numberless)
        return s_judge_numberless(self, client);
    return client->numbering == NUMBERED_BY_BROKER ? OUTCOME_INVALID : OUTCOME_ACCEPTED;
}

static outcome_t s_judge(core_t *self, client_t *client, const push_t *push, uint64_t seq,
                         int64_t now)
{
    outcome_t outcome = OUTCOME_ACCEPTED;
    if (!client_is(client, POLICY_PASSTHROUGH))
        outcome = s_judge_stream(self, client, push, seq);
    if (outcome == OUTCOME_ACCEPTED)
        outcome = stream_judge(self, client, seq, now);
    return outcome == OUTCOME_ACCEPTED ? s_room(self, client, seq, s_cost(client, push, seq))
                                       : outcome;
}

frame_t *intake_number(const uint8_t *bytes, uint32_t size, uint64_t seq)
{
    const uint8_t *body = bytes + 1, *end = bytes + size;
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
    bool to_number = push->numberless && !client_is(client, POLICY_PASSTHROUGH);
    if (to_number || self->sparse) {
        place.frame = to_number ? intake_number(push->bytes, push->size, seq)
                                : frame_copy(push->bytes, push->size);
        if (!place.frame)
            return false;
        place.bytes = frame_bytes(place.frame);
        place.size = (uint32_t)frame_size(place.frame);
    } else {
        frame_ref(frame);
    }
    place.frame->publisher = self->publisher;
    compaction_count(self, place.frame, now);
    core_charge(self, client, (int64_t)place.size + CLIENT_PUSH_COST);
    if (stream_enter(self, client, place, seq, now))
        return true;
    core_charge(self, client, -(int64_t)place.size - CLIENT_PUSH_COST);
    frame_unref(place.frame);
    return false;
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
           outcome == OUTCOME_OVERLOADED || outcome == OUTCOME_STORAGE_UNAVAILABLE;
}

static void s_refuse(core_t *self, client_t *client, push_t *push, outcome_t outcome, int64_t now)
{
    if (push->numberless && client->refused_in != self->batch) {
        client->refused_in = self->batch;
        client->refused_outcome = outcome;
    }
    push->outcome = (uint8_t)outcome;
    push->now_epoch = client->epoch;
    push->next_seq = client->view.next_seq;
    push->window_end = client->view.next_seq + client->view.window;
    push->retry_after_ms = s_may_pass(outcome) ? s_retry_after(client, now) : 0;
}

static void s_refuse_unknown(const core_t *self, push_t *push, outcome_t outcome)
{
    const policy_settings_t *settings = &client_list_rule(self, push->id, push->id_size)->settings;
    push->outcome = (uint8_t)outcome;
    push->now_epoch = 0;
    push->next_seq = settings->first_seq;
    push->window_end = settings->first_seq + settings->window;
    push->retry_after_ms = s_may_pass(outcome) ? RETRY_MAX_MS : 0;
}

//  Whether a push that would be refused now may be good when what waits before it is decided: its
//  client's stream moves on, or a Reset begins its epoch.
static bool s_may_become_good(const client_t *client, const push_t *push, outcome_t outcome,
                              bool behind)
{
    if (outcome == OUTCOME_EPOCH_MISMATCH)
        return behind && push->epoch > client->epoch;
    uint64_t reach = (uint64_t)client->view.window + client->view.held + client->waiting;
    return outcome == OUTCOME_WINDOW_FULL && client->waiting &&
           push->seq - client->view.next_seq < reach;
}

bool core_look(core_t *self, push_t *push, bool behind, int64_t now)
{
    client_t *client = client_list_get(self, push->id, push->id_size, push->hash, true, now);
    if (!client) {
        s_refuse_unknown(self, push, OUTCOME_OVERLOADED);
        return false;
    }
    if (client_is(client, POLICY_PASSTHROUGH))
        return false;
    client->active = client_ms(now);
    uint64_t seq = push->numberless ? client->view.next_seq : push->seq;
    outcome_t outcome = s_judge(self, client, push, seq, now);
    if (outcome == OUTCOME_ACCEPTED || s_may_become_good(client, push, outcome, behind)) {
        if (push->numberless)
            push->seq = seq + client->waiting;
        client->waiting++;
        push->written = true;
    } else if (outcome == OUTCOME_OVERLOADED) {
        s_refuse(self, client, push, outcome, now);
    } else if (outcome != OUTCOME_DUPLICATE) {
        push->outcome = (uint8_t)outcome;
        if (push->numberless && client->refused_in != self->batch) {
            client->refused_in = self->batch;
            client->refused_outcome = outcome;
        }
    }
    return push->written;
}

//  With a journal: a push that the journal does not keep is not accepted, nor is one that it keeps with
//  another seq than it would get now, because one before it was refused meanwhile.
static outcome_t s_judge_written(const push_t *push, uint64_t seq)
{
    if (!push->stored)
        return OUTCOME_STORAGE_UNAVAILABLE;
    return push->seq == seq ? OUTCOME_ACCEPTED : OUTCOME_OVERLOADED;
}

void core_push(core_t *self, frame_t *frame, push_t *push, int64_t now)
{
    client_t *client = client_list_get(self, push->id, push->id_size, push->hash, true, now);
    if (!client) {
        s_refuse_unknown(self, push, OUTCOME_OVERLOADED);
        return;
    }
    client->active = client_ms(now);
    repair_note(self, client);
    bool passes = client_is(client, POLICY_PASSTHROUGH);
    uint64_t seq = push->numberless && !passes ? client->view.next_seq : push->seq;
    outcome_t outcome = s_judge(self, client, push, seq, now);
    if (self->settings.journal && !passes && outcome == OUTCOME_ACCEPTED)
        outcome = s_judge_written(push, seq);
    client->waiting -= push->written;
    if (client->unstored && (outcome == OUTCOME_ACCEPTED || outcome == OUTCOME_DUPLICATE))
        self->batch_waits = true;
    if (outcome == OUTCOME_ACCEPTED && !s_take(self, client, frame, push, seq, now))
        outcome = OUTCOME_OVERLOADED;
    if (outcome == OUTCOME_DUPLICATE && self->publisher && !confirmation_renew(self, client, seq))
        outcome = OUTCOME_OVERLOADED;
    if (outcome != OUTCOME_ACCEPTED) {
        s_refuse(self, client, push, outcome, now);
        return;
    }
    client->retry_shift = 0;
    if (!passes)
        client->numbering = push->numberless ? NUMBERED_BY_BROKER : NUMBERED_BY_PUBLISHERS;
    push->assigned = seq;
    push->unreceived =
        client->receiver->kind == RECEIVER_NOBODY || client->receiver->kind == RECEIVER_GONE;
    histogram_add(&self->stats->queue_length, client_kept(client), 1);
}

void core_refused(core_t *self, push_t *push, int64_t now)
{
    outcome_t outcome = (outcome_t)push->outcome;
    if (outcome == OUTCOME_OVERLOADED || outcome == OUTCOME_FORBIDDEN)
        return;
    client_t *client = NULL;
    if (push->id_size)
        client = client_list_get(self, push->id, push->id_size, push->hash, push->numberless, now);
    if (!client) {
        s_refuse_unknown(self, push, outcome);
        return;
    }
    client->waiting -= push->written;
    s_refuse(self, client, push, outcome, now);
}
