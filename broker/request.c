/*  request.c - reads Request frames

    A PushBatch is walked: the fields that the broker needs are read in place, the rest is stepped
    over, and no push is decoded into memory of its own. Every other body is unpacked by protobuf-c
    and checked here.

    One rule joins the two: a frame is malformed if and only if protobuf-c cannot read it; field.h
    knows what protobuf-c takes.                                                                  */

#include "request.h"
#include "arena.h"
#include "field.h"
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

//  Larger frames are not read: protobuf-c takes no longer field, and a push has 32 bits of size.
#define FRAME_MAX ((size_t)INT32_MAX)

//  ---- the walk over a PushBatch -----------------------------------------------------------------

//  Why there is no request.
typedef struct {
    error_code_t code;
    const char *reason;
} refusal_t;

static request_t *s_refuse(refusal_t *refusal, error_code_t code, const char *reason)
{
    refusal->code = code;
    refusal->reason = reason;
    return NULL;
}

uint64_t request_hash(const uint8_t key[REQUEST_KEY_SIZE], const void *id, size_t id_size)
{
    _Static_assert(REQUEST_KEY_SIZE == crypto_shorthash_KEYBYTES, "key of SipHash");
    _Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "result of SipHash");
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, id, id_size, key);
    return hash;
}

static inline void s_set_id(push_t *push, field_t field)
{
    push->id = field.content;
    push->id_size = field.value <= ID_MAX ? (uint8_t)field.value : 0;
}

//  Takes the field with this tag off `rest`, if it is the next one. False if it is not canonical.
static inline bool s_take(span_t *rest, uint8_t tag, field_t *field)
{
    if (rest->at == rest->end || *rest->at != tag)
        return true;
    *field = field_value((field_t){.tag = tag, .canonical = true}, rest->at + 1, rest->end);
    rest->at = field->next;
    return field->next && field->canonical;
}

//  Reads a Push as encoders write it, its fields canonical and in the order of their numbers. False
//  if it is another: that is for s_read_fields.
static inline bool s_read_usual(push_t *push, span_t rest, uint64_t *payload)
{
    field_t id = {0}, epoch = {0}, seq = {0}, body = {0};
    if (!s_take(&rest, WIRE_PUSH_CLIENT_ID, &id) || !s_take(&rest, WIRE_PUSH_EPOCH, &epoch) ||
        !s_take(&rest, WIRE_PUSH_SEQ, &seq) || !s_take(&rest, WIRE_PUSH_PAYLOAD, &body) ||
        rest.at != rest.end || id.value == 0)
        return false;
    s_set_id(push, id);
    push->epoch = epoch.value;
    push->seq = seq.value;
    *payload = body.value;
    return true;
}

//  Reads any Push as protobuf-c does, where the last occurrence of a field counts. `*regular` is
//  set to false if a field is not canonical, repeated, not known or not for publishers. False if
//  protobuf-c could not read it.
static bool s_read_fields(push_t *push, span_t rest, uint64_t *payload, bool *regular)
{
    unsigned seen = 0;
    push->id = rest.at;
    push->id_size = 0;
    push->epoch = push->seq = 0;
    while (rest.at < rest.end) {
        field_t field = field_read(rest);
        if (!field.next)
            return false;
        rest.at = field.next;
        *regular &= field.canonical;
        switch (field.tag) {
        case WIRE_PUSH_CLIENT_ID:
            s_set_id(push, field);
            break;
        case WIRE_PUSH_EPOCH:
            push->epoch = field.value;
            break;
        case WIRE_PUSH_SEQ:
            push->seq = field.value;
            break;
        case WIRE_PUSH_PAYLOAD:
            *payload = field.value;
            break;
        default:
            if (!field_fits(&seqpush__v1__push__descriptor, field))
                return false;
            *regular = false;
            continue;
        }
        unsigned bit = 1u << (field.tag >> 3);
        if (seen & bit)
            *regular = false;
        seen |= bit;
    }
    return true;
}

//  Reads one push of a batch; `whole` is the field with its tag and length. `regular` tells whether
//  these are canonical. An irregular push is read as far as it goes, since the client that it names
//  matters to the pushes after it.
static inline bool s_read_push(push_t *push, span_t whole, span_t content, bool regular,
                               const request_limits_t *limits)
{
    uint64_t payload = 0;
    push->bytes = whole.at;
    push->size = (uint32_t)span_size(whole);
    if (!s_read_usual(push, content, &payload) && !s_read_fields(push, content, &payload, &regular))
        return false;
    push->numberless = push->seq == 0;
    push->written = push->stored = false;
    push->hash = push->id_size ? request_hash(limits->key, push->id, push->id_size) : 0;
    if (!regular || push->id_size == 0)
        push->outcome = OUTCOME_INVALID;
    else
        push->outcome = payload > limits->max_payload ? OUTCOME_TOO_LARGE : OUTCOME_ACCEPTED;
    return true;
}

//  Counts the pushes and reads the other fields of a batch. False if protobuf-c could not read.
static bool s_survey_batch(span_t rest, size_t *count, uint32_t *confirm)
{
    while (rest.at < rest.end) {
        field_t field = field_read(rest);
        if (!field.next)
            return false;
        rest.at = field.next;
        if (field.tag == WIRE_BATCH_PUSHES)
            ++*count;
        else if (field.tag == WIRE_BATCH_CONFIRM)
            *confirm = (uint32_t)field.value; //  protobuf-c keeps 32 bits of an enum
        else if (!field_fits(&seqpush__v1__push_batch__descriptor, field))
            return false;
    }
    return true;
}

//  Reads the pushes of a batch that was surveyed. False if protobuf-c could not read one.
static bool s_read_pushes(request_t *self, span_t rest, const request_limits_t *limits)
{
    while (rest.at < rest.end) {
        span_t whole = rest;
        field_t field = field_read(rest);
        if (!field.next)
            return false;
        rest.at = field.next;
        if (field.tag != WIRE_BATCH_PUSHES)
            continue;
        whole.end = rest.at;
        push_t *push = &self->pushes[self->count++];
        if (!s_read_push(push, whole, field_content(field), field.canonical, limits))
            return false;
        self->rejected += push->outcome != OUTCOME_ACCEPTED;
        self->numberless += push->numberless;
    }
    return true;
}

static request_t *s_new(size_t pushes)
{
    request_t *self = malloc(sizeof *self + pushes * sizeof self->pushes[0]);
    if (self)
        memset(self, 0, sizeof *self);
    return self;
}

static request_t *s_read_batch(span_t batch, const request_limits_t *limits, refusal_t *refusal)
{
    size_t count = 0;
    uint32_t confirm = SEQPUSH__V1__CONFIRM__CONFIRM_ACCEPTED;
    if (!s_survey_batch(batch, &count, &confirm))
        return s_refuse(refusal, ERROR_MALFORMED, "a field of the batch cannot be read");
    if (count > limits->max_pushes)
        return s_refuse(refusal, ERROR_INVALID, "more pushes than the credit");
    if (confirm > SEQPUSH__V1__CONFIRM__CONFIRM_DELIVERED)
        return s_refuse(refusal, ERROR_INVALID, "confirm is not known");
    request_t *self = s_new(count);
    if (!self)
        return s_refuse(refusal, ERROR_OVERLOADED, "no memory for the batch");
    self->kind = REQUEST_PUSH;
    self->confirm = confirm == SEQPUSH__V1__CONFIRM__CONFIRM_DELIVERED;
    if (!s_read_pushes(self, batch, limits)) {
        request_destroy(&self);
        return s_refuse(refusal, ERROR_MALFORMED, "a push cannot be read");
    }
    return self;
}

//  ---- the other bodies --------------------------------------------------------------------------

static bool s_is_id(ProtobufCBinaryData id)
{
    return id.len >= 1 && id.len <= ID_MAX;
}

static bool s_are_positions(Seqpush__V1__Position *const *positions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!s_is_id(positions[i]->client_id) || positions[i]->seq > SEQ_MAX)
            return false;
    return true;
}

//  The checks return what is wrong, NULL if nothing is.
static const char *s_check_attach(const Seqpush__V1__Attach *attach)
{
    if (!s_is_id(attach->receiver_id))
        return "attach: receiver_id must have 1 to 64 bytes";
    if (!s_are_positions(attach->clients, attach->n_clients))
        return "attach: every client_id in clients must have 1 to 64 bytes, every seq at most 63 "
               "bits";
    if ((uint32_t)attach->ack_mode > SEQPUSH__V1__ACK_MODE__ACK_NONE)
        return "attach: ack_mode is not known";
    if (attach->prefix_case == SEQPUSH__V1__ATTACH__PREFIX_CLIENT_PREFIX &&
        attach->client_prefix.len > ID_MAX)
        return "attach: client_prefix must have at most 64 bytes";
    return NULL;
}

static const char *s_check_detach(const Seqpush__V1__Detach *detach)
{
    if (!s_is_id(detach->receiver_id))
        return "detach: receiver_id must have 1 to 64 bytes";
    for (size_t i = 0; i < detach->n_client_ids; i++)
        if (!s_is_id(detach->client_ids[i]))
            return "detach: every one of client_ids must have 1 to 64 bytes";
    return NULL;
}

static const char *s_check_ack(const Seqpush__V1__DeliveryAck *ack)
{
    if (!s_is_id(ack->receiver_id))
        return "ack: receiver_id must have 1 to 64 bytes";
    if (!s_are_positions(ack->positions, ack->n_positions))
        return "ack: every client_id in positions must have 1 to 64 bytes, every seq at most 63 "
               "bits";
    if (!s_are_positions(ack->missing, ack->n_missing))
        return "ack: every client_id in missing must have 1 to 64 bytes, every seq at most 63 bits";
    return NULL;
}

static const char *s_check_skip(const Seqpush__V1__Skip *skip)
{
    if (!s_is_id(skip->client_id))
        return "skip: client_id must have 1 to 64 bytes";
    return skip->from <= SEQ_MAX && skip->to <= SEQ_MAX ? NULL : "skip: a seq has at most 63 bits";
}

static const char *s_check_reset(const Seqpush__V1__Reset *reset)
{
    if (!s_is_id(reset->client_id))
        return "reset: client_id must have 1 to 64 bytes";
    return reset->next_seq <= SEQ_MAX ? NULL : "reset: a seq has at most 63 bits";
}

static const char *s_check_body(const Seqpush__V1__Request *body)
{
    switch (body->body_case) {
    case SEQPUSH__V1__REQUEST__BODY_ATTACH:
        return s_check_attach(body->attach);
    case SEQPUSH__V1__REQUEST__BODY_DETACH:
        return s_check_detach(body->detach);
    case SEQPUSH__V1__REQUEST__BODY_ACK:
        return s_check_ack(body->ack);
    case SEQPUSH__V1__REQUEST__BODY_HEARTBEAT:
        return body->heartbeat->receiver_id.len <= ID_MAX
                   ? NULL
                   : "heartbeat: receiver_id must have at most 64 bytes";
    case SEQPUSH__V1__REQUEST__BODY_SKIP:
        return s_check_skip(body->skip);
    case SEQPUSH__V1__REQUEST__BODY_RESET:
        return s_check_reset(body->reset);
    default:
        assert(false);
        return NULL;
    }
}

static request_kind_t s_kind(Seqpush__V1__Request__BodyCase number)
{
    _Static_assert(REQUEST_PUSH == 0 && REQUEST_RESET == SEQPUSH__V1__REQUEST__BODY_RESET -
                                                             SEQPUSH__V1__REQUEST__BODY_PUSH,
                   "kinds in the order of the bodies");
    return (request_kind_t)(number - SEQPUSH__V1__REQUEST__BODY_PUSH);
}

static request_t *s_read_other(span_t frame, refusal_t *refusal)
{
    request_t *self = s_new(0);
    if (!self)
        return s_refuse(refusal, ERROR_OVERLOADED, "no memory for the request");
    ProtobufCAllocator allocator = arena_allocator(&self->arena);
    self->body = seqpush__v1__request__unpack(&allocator, span_size(frame), frame.at);
    const char *wrong = self->body ? s_check_body(self->body) : "request too large to read";
    if (wrong) {
        request_destroy(&self);
        return s_refuse(refusal, ERROR_INVALID, wrong);
    }
    self->kind = s_kind(self->body->body_case);
    return self;
}

//  ---- the frame ---------------------------------------------------------------------------------

typedef struct {
    uint64_t request_id;
    unsigned bodies; //  known ones
    field_t body; //  the last of them
} envelope_t;

//  Reads the outermost fields. False if protobuf-c could not read one, bodies apart.
static bool s_open(span_t rest, envelope_t *envelope)
{
    while (rest.at < rest.end) {
        field_t field = field_read(rest);
        if (!field.next)
            return false;
        rest.at = field.next;
        if (field.tag >= WIRE_TAG(SEQPUSH__V1__REQUEST__BODY_PUSH, WIRE_BYTES) &&
            field.tag <= WIRE_TAG(SEQPUSH__V1__REQUEST__BODY_RESET, WIRE_BYTES) &&
            (field.tag & 7) == WIRE_BYTES) {
            envelope->bodies++;
            envelope->body = field;
        } else if (field.tag == WIRE_REQUEST_ID)
            envelope->request_id = field.value;
        else if (!field_fits(&seqpush__v1__request__descriptor, field))
            return false;
    }
    return true;
}

static request_t *s_read(span_t frame, const request_limits_t *limits, envelope_t *envelope,
                         refusal_t *refusal)
{
    if (span_size(frame) > FRAME_MAX)
        return s_refuse(refusal, ERROR_INVALID, "request too large to read");
    if (!s_open(frame, envelope))
        return s_refuse(refusal, ERROR_MALFORMED, "a field of the request cannot be read");
    if (envelope->bodies == 0)
        return s_refuse(refusal, ERROR_UNSUPPORTED, "no body that is known");
    if (envelope->bodies > 1)
        return s_refuse(refusal, ERROR_INVALID, "more than one body");
    if (envelope->body.tag == WIRE_REQUEST_PUSH)
        return s_read_batch(field_content(envelope->body), limits, refusal);
    return s_read_other(frame, refusal);
}

request_t *request_read(frame_t *frame, const request_limits_t *limits, error_code_t *code,
                        const char **reason, uint64_t *request_id)
{
    span_t bytes = {frame_bytes(frame), frame_bytes(frame) + frame_size(frame)};
    envelope_t envelope = {0};
    refusal_t refusal;
    request_t *self = s_read(bytes, limits, &envelope, &refusal);
    if (self) {
        self->request_id = envelope.request_id;
        self->frame = frame;
        frame_ref(frame);
        return self;
    }
    //  What cannot be read as a whole is malformed, whatever else is wrong with it.
    if (!field_readable(&seqpush__v1__request__descriptor, bytes)) {
        s_refuse(&refusal, ERROR_MALFORMED, "the frame is not a Request");
        envelope.request_id = 0;
    }
    *code = refusal.code;
    *reason = refusal.reason;
    *request_id = envelope.request_id;
    return NULL;
}

request_t *request_new(request_kind_t kind, uint64_t peer)
{
    request_t *self = s_new(0);
    if (!self)
        return NULL;
    self->kind = kind;
    self->peer = peer;
    return self;
}

void request_destroy(request_t **self_p)
{
    request_t *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    if (self->frame)
        frame_unref(self->frame);
    arena_destroy(&self->arena);
    free(self->reply);
    free(self);
}
