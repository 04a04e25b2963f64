//  core_fixture.c - the ordering core on a virtual clock; see core_fixture.h

#include "core_fixture.h"
#include "wire.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUSH_MIN 32

int fixture_setup(void **state)
{
    fixture_t *self = calloc(1, sizeof *self);
    assert_non_null(self);
    self->settings = (core_settings_t){.policy = policy_named("strict"),
                                       .window = 1000,
                                       .first_seq = 1,
                                       .gap_alarm = 1000 * MS,
                                       .max_clients = 1000,
                                       .client_idle_timeout = 86400000 * MS,
                                       .memory_max = 1 << 28,
                                       .max_unacked = 1000,
                                       .max_unacked_bytes = 1 << 20,
                                       .backlog = 4000,
                                       .backlog_bytes = 1 << 22,
                                       .ack_timeout = 1000 * MS,
                                       .receiver_timeout = 3600000 * MS,
                                       .max_receivers = 100,
                                       .key = "an even 16 bytes",
                                       .first_generation = 100};
    self->now = 1000000 * MS;
    self->batch_max = 64;
    *state = self;
    return 0;
}

void fixture_start(fixture_t *self)
{
    self->core = core_new(&self->settings, &self->stats);
    assert_non_null(self->core);
    fixture_effects(self);
}

int fixture_teardown(void **state)
{
    fixture_t *self = *state;
    fixture_effects(self);
    fixture_report(self, false);
    core_destroy(&self->core);
    free(self);
    return 0;
}

uint64_t fixture_stat(const stats_t *stat)
{
    return stats_get(stat);
}

//  ---- pushes ------------------------------------------------------------------------------------

//  The payload tells which push it is.
static void s_payload(char *payload, uint32_t size, const char *client, uint64_t epoch,
                      uint64_t seq)
{
    memset(payload, '.', size);
    int used = snprintf(payload, size, "%s %" PRIu64 " %" PRIu64, client, epoch, seq);
    assert_true(used > 0 && (uint32_t)used < size);
}

static uint8_t *s_encode(const fixture_t *self, uint8_t *to, push_t *push, const char *client,
                         uint64_t epoch, uint64_t seq, uint32_t size)
{
    char *payload = malloc(size);
    assert_non_null(payload);
    s_payload(payload, size, client, epoch, seq);
    Seqpush__V1__Push body = SEQPUSH__V1__PUSH__INIT;
    body.client_id = (ProtobufCBinaryData){strlen(client), (uint8_t *)client};
    body.epoch = epoch;
    body.seq = seq;
    body.payload = (ProtobufCBinaryData){size, (uint8_t *)payload};
    *push = (push_t){.bytes = to,
                     .epoch = epoch,
                     .seq = seq,
                     .hash = request_hash(self->settings.key, client, strlen(client)),
                     .id_size = (uint8_t)strlen(client),
                     .numberless = seq == 0};
    *to++ = WIRE_BATCH_PUSHES;
    to = wire_put_varint(to, seqpush__v1__push__get_packed_size(&body));
    push->id = to + 2;
    to += seqpush__v1__push__pack(&body, to);
    push->size = (uint32_t)(to - push->bytes);
    free(payload);
    return to;
}

static frame_t *s_frame(size_t size)
{
    zmq_msg_t message;
    assert_int_equal(zmq_msg_init_size(&message, size), 0);
    frame_t *frame = frame_new(&message);
    assert_non_null(frame);
    return frame;
}

outcome_t fixture_push_in(fixture_t *self, const char *client, uint64_t epoch, uint64_t seq,
                          uint32_t size)
{
    size = size < PUSH_MIN ? PUSH_MIN : size;
    frame_t *frame = s_frame(size + 128);
    s_encode(self, zmq_msg_data(&frame->message), &self->decided, client, epoch, seq, size);
    core_begin_batch(self->core, false, self->peer, true);
    if (self->write && core_look(self->core, &self->decided, false, self->now))
        self->write(self, &self->decided);
    if (self->decided.outcome == OUTCOME_ACCEPTED)
        core_push(self->core, frame, &self->decided, self->now);
    else
        core_refused(self->core, &self->decided, self->now);
    frame_unref(frame);
    return (outcome_t)self->decided.outcome;
}

outcome_t fixture_push(fixture_t *self, const char *client, uint64_t seq)
{
    return fixture_push_in(self, client, 0, seq, PUSH_MIN);
}

void fixture_fill(fixture_t *self, const char *client, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++)
        assert_outcome(fixture_push(self, client, seq), OUTCOME_ACCEPTED);
}

void fixture_batch(fixture_t *self, const char *client, uint32_t count, uint32_t size,
                   outcome_t *outcomes)
{
    push_t pushes[64];
    frame_t *frame = s_frame(count * (size + 128));
    uint8_t *to = zmq_msg_data(&frame->message);
    for (uint32_t i = 0; i < count; i++)
        to = s_encode(self, to, &pushes[i], client, 0, 0, size);
    core_begin_batch(self->core, false, self->peer, true);
    for (uint32_t i = 0; i < count; i++) {
        pushes[i].outcome = (uint8_t)outcomes[i];
        if (outcomes[i] == OUTCOME_ACCEPTED)
            core_push(self->core, frame, &pushes[i], self->now);
        else
            core_refused(self->core, &pushes[i], self->now);
        outcomes[i] = (outcome_t)pushes[i].outcome;
        self->decided = pushes[i];
    }
    frame_unref(frame);
}

void fixture_together(fixture_t *self, const char *clients, uint64_t seq, uint32_t size)
{
    size_t count = strlen(clients);
    frame_t *frame = s_frame(count * (size + 128));
    uint8_t *to = zmq_msg_data(&frame->message);
    core_begin_batch(self->core, false, self->peer, true);
    for (size_t i = 0; i < count; i++) {
        char client[2] = {clients[i]};
        to = s_encode(self, to, &self->decided, client, 0, seq, size);
        core_push(self->core, frame, &self->decided, self->now);
        assert_outcome(self->decided.outcome, OUTCOME_ACCEPTED);
    }
    frame_unref(frame);
}

uint64_t fixture_skip(fixture_t *self, const char *client, uint64_t from, uint64_t to)
{
    return core_skip(self->core, client, strlen(client), 0, from, to, self->now).seq;
}

position_t fixture_reset(fixture_t *self, const char *client, uint64_t epoch, uint64_t next_seq)
{
    return core_reset(self->core, client, strlen(client), epoch, next_seq, self->now);
}

//  ---- receivers ---------------------------------------------------------------------------------

static receiver_t *s_attach(fixture_t *self, const char *id, unsigned port, uint64_t peer,
                            bool ack_none)
{
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", port);
    core_attach_t attach = {
        .id = id, .id_size = strlen(id), .address = address, .peer = peer, .ack_none = ack_none};
    error_code_t code;
    return core_attach(self->core, &attach, self->now, &code);
}

receiver_t *fixture_attach(fixture_t *self, const char *id, unsigned port, uint64_t peer)
{
    return s_attach(self, id, port, peer, false);
}

receiver_t *fixture_attach_unacked(fixture_t *self, const char *id, unsigned port, uint64_t peer)
{
    return s_attach(self, id, port, peer, true);
}

bool fixture_take(fixture_t *self, receiver_t *receiver, const char *client, position_t *at)
{
    return core_attach_client(self->core, receiver, client, strlen(client), at, self->now);
}

void fixture_take_all(fixture_t *self, receiver_t *receiver, const char *client)
{
    position_t at = {0, 0};
    assert_true(fixture_take(self, receiver, client, &at));
}

void fixture_take_prefix(fixture_t *self, receiver_t *receiver, const char *prefix)
{
    assert_true(core_attach_prefix(self->core, receiver, prefix, strlen(prefix), self->now));
}

void fixture_ack_in(fixture_t *self, receiver_t *receiver, const char *client, uint64_t epoch,
                    uint64_t seq)
{
    core_ack_t ack = {client, strlen(client), {epoch, seq}};
    core_ack(self->core, receiver, &ack, 1, self->now);
}

void fixture_ack(fixture_t *self, receiver_t *receiver, const char *client, uint64_t seq)
{
    fixture_ack_in(self, receiver, client, 0, seq);
}

void fixture_miss(fixture_t *self, receiver_t *receiver, const char *client, uint64_t seq)
{
    core_missing(self->core, receiver, client, strlen(client), (position_t){0, seq}, self->now);
}

void fixture_pass(fixture_t *self, int64_t by)
{
    //  As the orderer does: it wakes when the core wants it, and perhaps a little later.
    for (int64_t end = self->now + by; self->now < end;) {
        int64_t next = core_next_tick(self->core);
        self->now = next > self->now && next < end ? next : end;
        if (next <= self->now)
            core_tick(self->core, self->now);
    }
    core_tick(self->core, self->now);
}

//  ---- text --------------------------------------------------------------------------------------

__attribute__((format(printf, 2, 3))) static void s_say(fixture_t *self, const char *format, ...)
{
    size_t used = strlen(self->text);
    va_list arguments;
    va_start(arguments, format);
    if (used)
        self->text[used++] = ' ';
    vsnprintf(self->text + used, sizeof self->text - used, format, arguments);
    va_end(arguments);
}

static void s_say_entry(fixture_t *self, const Seqpush__V1__Push *push)
{
    char client[ID_MAX + 1] = "", epoch[32] = "", expected[256];
    memcpy(client, push->client_id.data, push->client_id.len);
    if (push->epoch)
        snprintf(epoch, sizeof epoch, "%" PRIu64 ":", push->epoch);
    if (push->marker) {
        s_say(self, "<%s%s%" PRIu64 ">", client, epoch, push->seq);
    } else if (push->skipped_to) {
        s_say(self, "[%s%s%" PRIu64 "-%" PRIu64 "]", client, epoch, push->seq, push->skipped_to);
    } else {
        s_say(self, "%s%s%" PRIu64, client, epoch, push->seq);
        //  A push that the broker numbered was encoded without a seq.
        snprintf(expected, sizeof expected, "%s %" PRIu64 " %" PRIu64, client, push->epoch,
                 push->seq);
        const char *payload = (const char *)push->payload.data;
        if (strncmp(payload + strlen(payload) - 2, " 0", 2) != 0)
            assert_string_equal(payload, expected);
    }
}

static void s_say_dispatch(fixture_t *self, const dispatch_t *dispatch)
{
    for (uint32_t i = 0; i < dispatch->count; i++) {
        const dispatch_entry_t *entry = &dispatch->entries[i];
        if (!entry->size)
            continue;
        Seqpush__V1__Delivery *decoded =
            seqpush__v1__delivery__unpack(NULL, entry->size, entry->bytes);
        assert_non_null(decoded);
        assert_int_equal(decoded->n_pushes, 1);
        s_say_entry(self, decoded->pushes[0]);
        seqpush__v1__delivery__free_unpacked(decoded, NULL);
    }
}

static void s_keep(fixture_t *self, dispatch_t *dispatch)
{
    assert_true(self->held_count < FIXTURE_HELD);
    self->held[self->held_count++] = dispatch;
}

static dispatch_t *s_dispatch(const fixture_t *self, receiver_t *receiver, dispatch_kind_t kind)
{
    dispatch_t *dispatch =
        calloc(1, sizeof *dispatch + self->batch_max * sizeof dispatch->entries[0]);
    assert_non_null(dispatch);
    dispatch->kind = kind;
    dispatch->receiver = receiver;
    return dispatch;
}

const char *fixture_deliver(fixture_t *self)
{
    receiver_t *receiver;
    self->text[0] = '\0';
    while ((receiver = core_ready(self->core))) {
        dispatch_t *dispatch = s_dispatch(self, receiver, DISPATCH_PUSHES);
        core_fill(self->core, receiver, dispatch, self->batch_max, 1 << 16, self->now);
        s_say_dispatch(self, dispatch);
        s_keep(self, dispatch);
        if (!self->hold)
            fixture_report(self, true);
    }
    return self->text;
}

void fixture_report(fixture_t *self, bool sent)
{
    for (uint32_t i = 0; i < self->held_count; i++) {
        self->held[i]->sent = sent && self->held[i]->kind == DISPATCH_PUSHES;
        core_returned(self->core, self->held[i], self->now);
        free(self->held[i]);
    }
    self->held_count = 0;
}

static void s_do_command(fixture_t *self, receiver_t *receiver, dispatch_kind_t kind)
{
    s_keep(self, s_dispatch(self, receiver, kind));
    if (!self->hold)
        fixture_report(self, true);
}

const char *fixture_effects(fixture_t *self)
{
    core_effect_t effect;
    self->text[0] = '\0';
    while (core_effect(self->core, &effect)) {
        char receiver[ID_MAX + 1] = "", client[ID_MAX + 1] = "";
        memcpy(receiver, effect.receiver_id, effect.receiver_id_size);
        memcpy(client, effect.id, effect.id_size);
        if (effect.kind == EFFECT_OPEN)
            s_say(self, "open:%.*s:%" PRIu64, effect.receiver->id_size,
                  (const char *)effect.receiver->id, effect.generation);
        else if (effect.kind == EFFECT_CLOSE)
            s_say(self, "close:%.*s", effect.receiver->id_size, (const char *)effect.receiver->id);
        else if (effect.kind == EFFECT_DETACHED)
            s_say(self, "%s:%s:%s", effect.reason, receiver, client);
        else if (effect.kind == EFFECT_EXPIRED)
            s_say(self, "expired:%s%" PRIu64 ":%" PRIu32, client, effect.position.seq,
                  effect.count);
        else if (effect.kind == EFFECT_REPAIR)
            s_say(self, "repair:%" PRIu64 ":%s%" PRIu64 "-%" PRIu64, effect.peer, client,
                  effect.position.seq + 1, effect.to);
        else
            s_say(self, "alarm:%s%" PRIu64, client, effect.position.seq);
        if (effect.kind == EFFECT_OPEN || effect.kind == EFFECT_CLOSE)
            s_do_command(self, effect.receiver,
                         effect.kind == EFFECT_OPEN ? DISPATCH_OPEN : DISPATCH_CLOSE);
    }
    return self->text;
}

const char *fixture_confirmations(fixture_t *self)
{
    const core_confirmation_t *told;
    size_t count = core_confirmations(self->core, &told);
    self->text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char epoch[32] = "";
        if (told[i].position.epoch)
            snprintf(epoch, sizeof epoch, "%" PRIu64 ":", told[i].position.epoch);
        s_say(self, "%" PRIu64 ":%.*s%s%" PRIu64 "%s", told[i].publisher, told[i].client->id_size,
              (const char *)told[i].client->id, epoch, told[i].position.seq,
              told[i].given_up ? "!" : "");
    }
    return self->text;
}
