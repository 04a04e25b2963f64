//  publisher.c - publishers: pushes in any order, again, too early, too late, wrong; Skip, Reset
//
//  All publishers together are one double: the core does not know who pushes. A push that is sent
//  again carries another payload than the first, so that a duplicate in its place would be seen.

#include "wire.h"
#include "world.h"
#include <string.h>

#define BATCH_MAX 6

typedef struct {
    uint32_t client;
    model_push_t as_sent;
} sent_t;

//  ---- encoding ----------------------------------------------------------------------------------

//  Appends the push as field 1 of a PushBatch, and refers to it. Returns what follows.
static uint8_t *s_encode(const world_t *self, uint8_t *to, sent_t *sent, push_t *push)
{
    const model_client_t *client = &self->model.clients[sent->client];
    static uint8_t payload[512];
    memset(payload, (int)sent->as_sent.number, sent->as_sent.payload_size);
    memcpy(payload, &sent->as_sent.number, sizeof sent->as_sent.number);
    Seqpush__V1__Push body = SEQPUSH__V1__PUSH__INIT;
    body.client_id = (ProtobufCBinaryData){client->id_size, (uint8_t *)client->id};
    body.epoch = sent->as_sent.epoch;
    body.seq = sent->as_sent.seq;
    body.payload = (ProtobufCBinaryData){sent->as_sent.payload_size, payload};
    *push = (push_t){.bytes = to,
                     .epoch = body.epoch,
                     .seq = body.seq,
                     .id_size = (uint8_t)client->id_size,
                     .outcome = (uint8_t)sent->as_sent.outcome,
                     .numberless = body.seq == 0,
                     .hash = request_hash(self->settings.key, client->id, client->id_size)};
    *to++ = 1 << 3 | 2;
    to = wire_put_varint(to, seqpush__v1__push__get_packed_size(&body));
    push->id = to + 2; //  client_id is the first field, and shorter than 128 bytes
    to += seqpush__v1__push__pack(&body, to);
    push->size = sent->as_sent.size = (uint32_t)(to - push->bytes);
    return to;
}

static frame_t *s_frame(world_t *self, sent_t *sent, push_t *pushes, uint32_t count)
{
    zmq_msg_t message;
    zmq_msg_init_size(&message, count * (self->max_payload + 128));
    uint8_t *to = zmq_msg_data(&message);
    for (uint32_t i = 0; i < count; i++)
        to = s_encode(self, to, &sent[i], &pushes[i]);
    frame_t *frame = frame_new(&message);
    check(frame, "no memory");
    if (self->counts_frames) {
        if (self->frame_count == self->frame_capacity) {
            self->frame_capacity = self->frame_capacity * 2 + 64;
            self->frames = realloc(self->frames, self->frame_capacity * sizeof *self->frames);
        }
        frame_ref(frame);
        self->frames[self->frame_count++] = frame;
    }
    return frame;
}

//  ---- pushing -----------------------------------------------------------------------------------

static void s_compare(const push_t *push, const model_answer_t *answer, bool numberless)
{
    check(push->outcome == answer->outcome, "outcome %s, not %s", outcome_name(push->outcome),
          outcome_name(answer->outcome));
    if (answer->outcome == OUTCOME_ACCEPTED) {
        check(push->unreceived == answer->unreceived, "unreceived");
        check(!numberless || push->assigned == answer->assigned, "seq %llu assigned, not %llu",
              (unsigned long long)push->assigned, (unsigned long long)answer->assigned);
        return;
    }
    check(push->now_epoch == answer->epoch, "epoch of the Rejection");
    check(push->next_seq == answer->next_seq, "next_seq %llu, not %llu",
          (unsigned long long)push->next_seq, (unsigned long long)answer->next_seq);
    check(push->window_end == answer->window_end, "window_end of the Rejection");
    check(push->retry_after_ms == answer->retry_after, "retry after %u, not %u",
          push->retry_after_ms, answer->retry_after);
}

static void s_decide(world_t *self, frame_t *frame, sent_t *sent, push_t *push)
{
    bool numberless = push->numberless;
    uint64_t evicted = stats_get(&self->stats->clients_evicted);
    model_answer_t answer = model_push(&self->model, sent->client, &sent->as_sent, self->now);
    core_prefetch_slot(self->core, push);
    core_prefetch_client(self->core, push);
    core_prefetch_places(self->core, push, frame);
    if (push->outcome == OUTCOME_ACCEPTED)
        core_push(self->core, frame, push, self->now);
    else
        core_refused(self->core, push, self->now);
    trace("push %u:%llu/%llu payload %u -> %s", sent->client,
          (unsigned long long)sent->as_sent.epoch, (unsigned long long)sent->as_sent.seq,
          sent->as_sent.number, outcome_name(push->outcome));
    s_compare(push, &answer, numberless);
    check(self->evicts || stats_get(&self->stats->clients_evicted) == evicted, "evicted");
}

static void s_push(world_t *self, sent_t *sent, uint32_t count)
{
    push_t pushes[BATCH_MAX];
    frame_t *frame = s_frame(self, sent, pushes, count);
    bool sparse = dice_chance(&self->dice, 30);
    uint64_t peer = dice_roll(&self->dice, 4);
    for (uint32_t i = 0; i < count; i++)
        sent[i].as_sent.peer = peer;
    for (uint32_t i = 0; i < count && self->confirms; i++)
        sent[i].as_sent.publisher = peer;
    core_begin_batch(self->core, sparse, peer, self->confirms);
    self->model.batch++;
    for (uint32_t i = 0; i < count; i++)
        s_decide(self, frame, &sent[i], &pushes[i]);
    check(!sparse || frame->refs == 1 + (uint32_t)self->counts_frames, "a sparse frame is kept");
    frame_unref(frame);
}

//  A seq that is likely to matter.
static uint64_t s_seq(world_t *self, const model_client_t *client)
{
    uint64_t next = client->exists ? client->next_seq : client->rule.first_seq;
    uint32_t window = client->rule.window ? client->rule.window : self->settings.window;
    uint32_t kind = dice_roll(&self->dice, 100);
    if (kind < 45)
        return next;
    if (kind < 80)
        return next + dice_roll(&self->dice, window);
    if (kind < 92) {
        uint64_t back = dice_roll(&self->dice, 2 * window + 2);
        return next > back ? next - back : 1;
    }
    return next + window - 1 + dice_roll(&self->dice, 3) * (kind < 98 ? 1 : 1000000);
}

static uint64_t s_epoch(world_t *self, const model_client_t *client)
{
    uint64_t epoch = client->exists ? client->epoch : 0;
    if (!dice_chance(&self->dice, 3))
        return epoch;
    return dice_chance(&self->dice, 50) ? epoch + 1 : epoch - (epoch > 0);
}

static outcome_t s_front(world_t *self)
{
    if (!dice_chance(&self->dice, 2))
        return OUTCOME_ACCEPTED;
    return dice_chance(&self->dice, 50) ? OUTCOME_TOO_LARGE : OUTCOME_INVALID;
}

static void s_make_push(world_t *self, sent_t *sent, uint32_t client)
{
    const model_client_t *at = &self->model.clients[client];
    bool by_broker = self->numberless && client % 2 == 0;
    if (dice_chance(&self->dice, 2))
        by_broker = !by_broker;
    *sent = (sent_t){.client = client, .as_sent = {.number = self->number++}};
    sent->as_sent.epoch = s_epoch(self, at);
    sent->as_sent.seq = by_broker ? 0 : s_seq(self, at);
    sent->as_sent.payload_size = 4 + dice_roll(&self->dice, self->max_payload - 3);
    sent->as_sent.outcome = s_front(self);
}

void publisher_push(world_t *self)
{
    sent_t sent[BATCH_MAX];
    uint32_t count = self->evicts ? 1 : 1 + dice_roll(&self->dice, BATCH_MAX);
    uint32_t client = dice_roll(&self->dice, MODEL_CLIENTS);
    for (uint32_t i = 0; i < count; i++) {
        if (dice_chance(&self->dice, 40))
            client = dice_roll(&self->dice, MODEL_CLIENTS);
        s_make_push(self, &sent[i], client);
    }
    s_push(self, sent, count);
}

bool publisher_fill_holes(world_t *self)
{
    bool any = false;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        const model_client_t *client = &self->model.clients[i];
        if (!client->exists || !client->held.count)
            continue;
        any = true;
        sent_t sent = {i, {.epoch = client->epoch, .seq = client->next_seq, .payload_size = 4}};
        sent.as_sent.number = self->number++;
        s_push(self, &sent, 1);
    }
    return any;
}

//  ---- ways out of a gap -------------------------------------------------------------------------

static void s_same_position(position_t core, position_t model)
{
    check(position_compare(core, model) == 0, "position %llu/%llu, not %llu/%llu",
          (unsigned long long)core.epoch, (unsigned long long)core.seq,
          (unsigned long long)model.epoch, (unsigned long long)model.seq);
}

void publisher_skip(world_t *self)
{
    uint32_t client = dice_roll(&self->dice, MODEL_CLIENTS);
    const model_client_t *at = &self->model.clients[client];
    uint64_t from = s_seq(self, at), to = from;
    uint64_t epoch = s_epoch(self, at);
    if (dice_chance(&self->dice, 30))
        from = dice_roll(&self->dice, 2);
    if (dice_chance(&self->dice, 50))
        to = from + dice_roll(&self->dice, 2 * self->settings.window);
    else if (dice_chance(&self->dice, 10))
        to = dice_chance(&self->dice, 50) ? INT64_MAX : from - (from > 0);
    position_t model = model_skip(&self->model, client, epoch, from, to, self->now);
    position_t core = core_skip(self->core, at->id, at->id_size, epoch, from, to, self->now);
    trace("skip %u:%llu/%llu-%llu -> %llu", client, (unsigned long long)epoch,
          (unsigned long long)from, (unsigned long long)to, (unsigned long long)core.seq);
    s_same_position(core, model);
}

void publisher_reset(world_t *self)
{
    uint32_t client = dice_roll(&self->dice, MODEL_CLIENTS);
    const model_client_t *at = &self->model.clients[client];
    uint64_t epoch = at->exists ? at->epoch : 0;
    epoch = dice_chance(&self->dice, 80) ? epoch + 1 : epoch - (epoch > 0);
    uint64_t next = dice_chance(&self->dice, 50) ? 0 : 1 + dice_roll(&self->dice, 50);
    position_t model = model_reset(&self->model, client, epoch, next, self->now);
    position_t core = core_reset(self->core, at->id, at->id_size, epoch, next, self->now);
    trace("reset %u to %llu/%llu -> %llu/%llu", client, (unsigned long long)epoch,
          (unsigned long long)next, (unsigned long long)core.epoch, (unsigned long long)core.seq);
    s_same_position(core, model);
}
