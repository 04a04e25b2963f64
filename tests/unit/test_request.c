//  test_request.c - reading Request frames: tables of cases for every rule, and protobuf-c as
//  oracle
//
//  The oracle test reads generated frames with both. SEQPUSH_SEED in the environment repeats a run.

#include "frame.h"
#include "request.h"
#include "wire.h"
#include <ctype.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

#define ROUNDS 300000

//  Small bounds, so that tables and random frames meet them.
static const request_limits_t s_small = {.max_payload = 100, .max_pushes = 3, .key = {1, 2, 3}};
static const request_limits_t s_large = {.max_payload = MIB, .max_pushes = 1 << 20, .key = {4}};

//  ---- building frames ---------------------------------------------------------------------------

typedef struct {
    uint8_t *bytes;
    size_t size;
    size_t room;
} buffer_t;

//  Makes room for `size` bytes at the end and returns where they start.
static uint8_t *s_extend(buffer_t *self, size_t size)
{
    if (self->size + size > self->room) {
        self->room = (self->size + size) * 2;
        self->bytes = realloc(self->bytes, self->room);
        assert_non_null(self->bytes);
    }
    self->size += size;
    return self->bytes + self->size - size;
}

static void s_put(buffer_t *self, const void *bytes, size_t size)
{
    if (size)
        memcpy(s_extend(self, size), bytes, size);
}

static void s_put_fill(buffer_t *self, uint8_t tag, char byte, size_t size)
{
    size_t whole = wire_bytes_field_size(size);
    uint8_t *field = s_extend(self, whole);
    memset(field, byte, whole);
    *field = tag;
    wire_put_varint(field + 1, size);
}

//  Puts what `content` holds as one field.
static void s_put_field(buffer_t *self, uint8_t tag, const buffer_t *content)
{
    uint8_t *field = s_extend(self, wire_bytes_field_size(content->size));
    wire_put_bytes_field(field, tag, content->bytes, content->size);
}

//  Adds bytes written in hexadecimal; "61*65" is 65 times the byte 61, blanks mean nothing.
static void s_put_hex(buffer_t *self, const char *hex)
{
    while (*hex) {
        if (isspace((unsigned char)*hex)) {
            hex++;
            continue;
        }
        unsigned byte, times = 1;
        int length = 0;
        assert_int_equal(sscanf(hex, "%2x%n", &byte, &length), 1);
        assert_int_equal(length, 2);
        hex += length;
        if (*hex == '*') {
            assert_int_equal(sscanf(hex, "*%u%n", &times, &length), 1);
            hex += length;
        }
        memset(s_extend(self, times), (int)byte, times);
    }
}

//  ---- reading them ------------------------------------------------------------------------------

typedef struct {
    frame_t *frame;
    request_t *request;
    error_code_t code;
    const char *reason;
    uint64_t request_id; //  of what was read, or of the refusal
} result_t;

static void s_free_bytes(void *bytes, void *hint)
{
    (void)hint;
    free(bytes);
}

//  Makes a frame whose bytes are an allocation of their own, so that AddressSanitizer sees every
//  read beyond them; ZeroMQ keeps short messages in place.
static frame_t *s_frame(const buffer_t *buffer)
{
    zmq_msg_t message;
    void *bytes = malloc(buffer->size);
    assert_true(bytes || buffer->size == 0);
    if (buffer->size)
        memcpy(bytes, buffer->bytes, buffer->size);
    assert_int_equal(zmq_msg_init_data(&message, bytes, buffer->size, s_free_bytes, NULL), 0);
    frame_t *frame = frame_new(&message);
    assert_non_null(frame);
    return frame;
}

static void s_read(result_t *self, const buffer_t *buffer, const request_limits_t *limits)
{
    *self = (result_t){.frame = s_frame(buffer)};
    self->request =
        request_read(self->frame, limits, &self->code, &self->reason, &self->request_id);
    if (self->request) {
        self->request_id = self->request->request_id;
        assert_ptr_equal(self->request->frame, self->frame);
        assert_int_equal(self->frame->refs, 2);
    } else {
        assert_non_null(self->reason);
        assert_int_equal(self->frame->refs, 1);
    }
}

static void s_done(result_t *self)
{
    request_destroy(&self->request);
    assert_int_equal(self->frame->refs, 1);
    frame_unref(self->frame);
}

//  ---- the oracle --------------------------------------------------------------------------------

static bool s_is_good_id(size_t size)
{
    return size >= 1 && size <= ID_MAX;
}

//  Bytes by which the push on the wire may exceed its shortest form: epoch, seq and payload may be
//  written out when they are 0.
static size_t s_defaults_room(const Seqpush__V1__Push *push)
{
    return (size_t)(2 * ((push->epoch == 0) + (push->seq == 0) + (push->payload.len == 0)));
}

static void s_check_regular(const push_t *push, const Seqpush__V1__Push *expected,
                            const request_limits_t *limits)
{
    assert_true(s_is_good_id(expected->client_id.len));
    assert_int_equal(expected->base.n_unknown_fields, 0);
    assert_int_equal(expected->skipped_to, 0);
    assert_false(expected->marker);
    assert_int_equal(push->outcome == OUTCOME_TOO_LARGE,
                     expected->payload.len > limits->max_payload);

    //  What is written out may make the length take a byte more, too.
    size_t packed = seqpush__v1__push__get_packed_size(expected);
    assert_in_range(push->size, wire_bytes_field_size(packed),
                    wire_bytes_field_size(packed + s_defaults_room(expected)));
}

//  An INVALID push must not be one that protobuf-c itself would have written.
static void s_check_invalid(const push_t *push, const Seqpush__V1__Push *expected)
{
    if (!s_is_good_id(expected->client_id.len) || expected->base.n_unknown_fields ||
        expected->skipped_to || expected->marker)
        return;
    Seqpush__V1__PushBatch batch = SEQPUSH__V1__PUSH_BATCH__INIT;
    Seqpush__V1__Push *pushes[] = {(Seqpush__V1__Push *)expected};
    batch.n_pushes = 1;
    batch.pushes = pushes;
    size_t size = seqpush__v1__push_batch__get_packed_size(&batch);
    uint8_t *packed = malloc(size);
    assert_non_null(packed);
    seqpush__v1__push_batch__pack(&batch, packed);
    assert_true(size != push->size || memcmp(packed, push->bytes, size) != 0);
    free(packed);
}

static void s_check_same_message(const ProtobufCMessage *got, const ProtobufCMessage *expected)
{
    size_t size = protobuf_c_message_get_packed_size(expected);
    assert_int_equal(protobuf_c_message_get_packed_size(got), size);
    uint8_t *packed = malloc(2 * size + 1);
    assert_non_null(packed);
    protobuf_c_message_pack(got, packed);
    protobuf_c_message_pack(expected, packed + size);
    assert_memory_equal(packed, packed + size, size);
    free(packed);
}

//  The bytes of a push, alone in a Delivery, are the same push.
static void s_check_passed_on(const push_t *push, const Seqpush__V1__Push *expected)
{
    Seqpush__V1__Delivery *delivery = seqpush__v1__delivery__unpack(NULL, push->size, push->bytes);
    assert_non_null(delivery);
    assert_int_equal(delivery->n_pushes, 1);
    s_check_same_message(&delivery->pushes[0]->base, &expected->base);
    seqpush__v1__delivery__free_unpacked(delivery, NULL);
}

static void s_check_push(const push_t *push, const Seqpush__V1__Push *expected,
                         const request_limits_t *limits)
{
    ProtobufCBinaryData id = expected->client_id;
    assert_int_equal(push->id_size, s_is_good_id(id.len) ? id.len : 0);
    assert_non_null(push->id);
    assert_memory_equal(push->id, id.data ? id.data : push->id, push->id_size);
    assert_true(push->hash == (push->id_size ? request_hash(limits->key, id.data, id.len) : 0));
    assert_true(push->epoch == expected->epoch);
    assert_true(push->seq == expected->seq);
    assert_int_equal(push->numberless, expected->seq == 0);
    if (push->outcome == OUTCOME_INVALID)
        s_check_invalid(push, expected);
    else
        s_check_regular(push, expected, limits);
    s_check_passed_on(push, expected);
}

static void s_check_batch(const request_t *request, const Seqpush__V1__PushBatch *batch,
                          const request_limits_t *limits)
{
    uint32_t rejected = 0, numberless = 0;
    assert_null(request->body);
    assert_int_equal(request->count, batch->n_pushes);
    assert_int_equal(request->confirm, batch->confirm);
    for (uint32_t i = 0; i < request->count; i++) {
        s_check_push(&request->pushes[i], batch->pushes[i], limits);
        rejected += request->pushes[i].outcome != OUTCOME_ACCEPTED;
        numberless += request->pushes[i].numberless;
    }
    assert_int_equal(request->rejected, rejected);
    assert_int_equal(request->numberless, numberless);
}

static void s_check_read(const request_t *request, const Seqpush__V1__Request *expected,
                         const request_limits_t *limits)
{
    assert_int_equal(request->kind + 1, expected->body_case);
    if (request->kind == REQUEST_PUSH)
        s_check_batch(request, expected->push, limits);
    else
        s_check_same_message(&request->body->base, &expected->base);
}

//  Holds what was read against what protobuf-c reads.
static void s_check_oracle(const result_t *result, const request_limits_t *limits)
{
    Seqpush__V1__Request *expected =
        seqpush__v1__request__unpack(NULL, frame_size(result->frame), frame_bytes(result->frame));
    if (!expected) {
        assert_null(result->request);
        assert_int_equal(result->code, ERROR_MALFORMED);
        assert_int_equal(result->request_id, 0);
        return;
    }
    assert_true(result->request_id == expected->request_id);
    if (result->request)
        s_check_read(result->request, expected, limits);
    else
        assert_int_equal(result->code, expected->body_case ? ERROR_INVALID : ERROR_UNSUPPORTED);
    seqpush__v1__request__free_unpacked(expected, NULL);
}

static void s_read_hex(result_t *result, const char *hex, const request_limits_t *limits)
{
    buffer_t buffer = {0};
    s_put_hex(&buffer, hex);
    s_read(result, &buffer, limits);
    s_check_oracle(result, limits);
    free(buffer.bytes);
}

//  ---- tables ------------------------------------------------------------------------------------

typedef struct {
    const char *name;
    const char *hex;
    error_code_t code;
    uint64_t request_id;
    const char *reason; //  that the reason must contain; NULL: any
} refused_t;

static const refused_t s_refused[] = {
    {"a one-byte tag of field 0", "0000", ERROR_MALFORMED, 0, NULL},
    {"a one-byte tag of field 0, delimited", "0a00 0200", ERROR_MALFORMED, 0, NULL},
    {"a tag cut off", "0a00 80", ERROR_MALFORMED, 0, NULL},
    {"a tag of six bytes", "0a00 f8 80*4 00 00", ERROR_MALFORMED, 0, NULL},
    {"a group", "0a00 8301 8401", ERROR_MALFORMED, 0, NULL},
    {"an end of group", "0a00 8401", ERROR_MALFORMED, 0, NULL},
    {"wire type 6", "0a00 8601 00", ERROR_MALFORMED, 0, NULL},
    {"wire type 7", "0a00 8701 00", ERROR_MALFORMED, 0, NULL},
    {"a value missing", "0a00 78", ERROR_MALFORMED, 0, NULL},
    {"a varint cut off", "0a00 7880", ERROR_MALFORMED, 0, NULL},
    {"a varint of eleven bytes", "0a00 78 80*10 00", ERROR_MALFORMED, 0, NULL},
    {"a length missing", "0a", ERROR_MALFORMED, 0, NULL},
    {"a length cut off", "0a 80", ERROR_MALFORMED, 0, NULL},
    {"a length of six bytes", "0a 80*5 00", ERROR_MALFORMED, 0, NULL},
    {"a length beyond the end", "0a05 00", ERROR_MALFORMED, 0, NULL},
    {"a length of 32 bits", "0a ffffffff0f 00", ERROR_MALFORMED, 0, NULL},
    {"a fixed64 cut off", "0a00 8101 00*7", ERROR_MALFORMED, 0, NULL},
    {"a fixed32 cut off", "0a00 8501 00*3", ERROR_MALFORMED, 0, NULL},
    {"a body that is a varint", "7805 0801", ERROR_MALFORMED, 0, NULL},
    {"a body that is a fixed32", "7805 15 00*4", ERROR_MALFORMED, 0, NULL},
    {"a body that is a varint beside a batch", "0a00 3800", ERROR_MALFORMED, 0, NULL},
    {"a request_id that is delimited", "0a00 7a00", ERROR_MALFORMED, 0, NULL},
    {"pushes that are a varint", "0a02 0800", ERROR_MALFORMED, 0, NULL},
    {"a confirm that is delimited", "0a02 1200", ERROR_MALFORMED, 0, NULL},
    {"a client_id that is a varint", "0a04 0a02 0800", ERROR_MALFORMED, 0, NULL},
    {"an epoch that is a fixed64", "0a0b 0a09 11 00*8", ERROR_MALFORMED, 0, NULL},
    {"a seq that is delimited", "0a04 0a02 1a00", ERROR_MALFORMED, 0, NULL},
    {"a payload that is a fixed32", "0a07 0a05 25 00*4", ERROR_MALFORMED, 0, NULL},
    {"a skipped_to that is delimited", "0a04 0a02 2a00", ERROR_MALFORMED, 0, NULL},
    {"a push cut off", "0a03 0a05 00", ERROR_MALFORMED, 0, NULL},
    {"a field of a push cut off", "0a04 0a02 0a05", ERROR_MALFORMED, 0, NULL},
    {"a group in a push", "0a04 0a02 0b0c", ERROR_MALFORMED, 0, NULL},
    {"a good push and a bad one", "0a09 0a030a0161 0a020a05", ERROR_MALFORMED, 0, NULL},
    {"a position cut off", "1205 0a0172 1a01", ERROR_MALFORMED, 0, NULL},
    {"an endpoint that is a varint", "1205 0a0172 1000", ERROR_MALFORMED, 0, NULL},
    {"an ack_mode that is delimited", "1205 0a0172 2200", ERROR_MALFORMED, 0, NULL},
    {"a good body and one that cannot be read", "0a00 1202 0a05", ERROR_MALFORMED, 0, NULL},
    {"one that cannot be read and a good one", "1202 0a05 0a00", ERROR_MALFORMED, 0, NULL},
    {"too many pushes, the last cut off", "0a08 0a000a000a00 0a01", ERROR_MALFORMED, 0, NULL},
    {"a confirm not known, a push cut off", "0a06 1002 0a020a05", ERROR_MALFORMED, 0, NULL},

    {"an empty frame", "", ERROR_UNSUPPORTED, 0, NULL},
    {"no body", "7805", ERROR_UNSUPPORTED, 5, NULL},
    {"a body not known", "7805 4200", ERROR_UNSUPPORTED, 5, NULL},

    {"two batches", "7805 0a00 0a00", ERROR_INVALID, 5, "more than one body"},
    {"a batch and a heartbeat", "0a00 2a00 7805", ERROR_INVALID, 5, "more than one body"},
    {"two heartbeats", "2a00 2a00 7805", ERROR_INVALID, 5, "more than one body"},
    {"confirm 2", "0a02 1002 7805", ERROR_INVALID, 5, "confirm"},
    {"confirm -1", "0a0b 10 ff*9 01", ERROR_INVALID, 0, "confirm"},
    {"four pushes", "0a08 0a000a000a000a00", ERROR_INVALID, 0, "more pushes than the credit"},

    {"attach: no receiver_id", "1200 7805", ERROR_INVALID, 5, "receiver_id"},
    {"attach: long receiver_id", "1243 0a41 72*65", ERROR_INVALID, 0, "receiver_id"},
    {"attach: empty client_id", "1205 0a0172 1a00", ERROR_INVALID, 0, "clients"},
    {"attach: long client_id", "1248 0a0172 1a43 0a41 61*65", ERROR_INVALID, 0, "clients"},
    {"attach: ack_mode 2", "1205 0a0172 2002", ERROR_INVALID, 0, "ack_mode"},
    {"attach: long prefix", "1246 0a0172 3241 61*65", ERROR_INVALID, 0, "client_prefix"},
    {"detach: no receiver_id", "1a00", ERROR_INVALID, 0, "receiver_id"},
    {"detach: empty client_id", "1a05 0a0172 1200", ERROR_INVALID, 0, "client_ids"},
    {"detach: long client_id", "1a46 0a0172 1241 61*65", ERROR_INVALID, 0, "client_ids"},
    {"ack: no receiver_id", "2200", ERROR_INVALID, 0, "receiver_id"},
    {"ack: empty client_id", "2205 0a0172 1a00", ERROR_INVALID, 0, "positions"},
    {"ack: long missing client_id", "2248 0a0172 2243 0a41 61*65", ERROR_INVALID, 0, "missing"},
    {"heartbeat: long receiver_id", "2a43 0a41 72*65", ERROR_INVALID, 0, "receiver_id"},
    {"ack: a seq of 64 bits", "2213 0a0172 1a0e 0a0161 18 80*9 01", ERROR_INVALID, 0, "63 bits"},
    {"skip: a seq of 64 bits", "320e 0a0161 18 80*9 01", ERROR_INVALID, 0, "63 bits"},
    {"reset: a seq of 64 bits", "3a0e 0a0161 18 80*9 01", ERROR_INVALID, 0, "63 bits"},
    {"skip: no client_id", "3200", ERROR_INVALID, 0, "client_id"},
    {"skip: long client_id", "3243 0a41 61*65", ERROR_INVALID, 0, "client_id"},
    {"reset: no client_id", "3a00", ERROR_INVALID, 0, "client_id"},
    {"reset: long client_id", "3a43 0a41 61*65", ERROR_INVALID, 0, "client_id"},
};

static void frames_that_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_refused / sizeof s_refused[0]; i++) {
        const refused_t *expected = &s_refused[i];
        result_t result;
        s_read_hex(&result, expected->hex, &s_small);
        if (result.request || result.code != expected->code ||
            result.request_id != expected->request_id ||
            (expected->reason && !strstr(result.reason, expected->reason)))
            fail_msg("%s: code %d, request_id %" PRIu64 ", %s", expected->name, result.code,
                     result.request_id, result.request ? "read" : result.reason);
        s_done(&result);
    }
}

typedef struct {
    const char *name;
    const char *hex;
    request_kind_t kind;
    uint64_t request_id;
    uint32_t count;
    bool confirm;
} read_t;

static const read_t s_reads[] = {
    {"an empty batch", "0a00", REQUEST_PUSH, 0, 0, false},
    {"a batch with an overlong tag and length", "8a00 8200 0a00", REQUEST_PUSH, 0, 1, false},
    {"as many pushes as allowed", "0a06 0a000a000a00", REQUEST_PUSH, 0, 3, false},
    {"a request_id in front", "7805 0a00", REQUEST_PUSH, 5, 0, false},
    {"a repeated request_id", "7805 0a00 7806", REQUEST_PUSH, 6, 0, false},
    {"a request_id with an overlong tag", "0a00 f8808000 05", REQUEST_PUSH, 5, 0, false},
    {"a request_id beyond 64 bits", "0a00 78 ff*9 7f", REQUEST_PUSH, UINT64_MAX, 0, false},
    {"confirm 0", "0a02 1000", REQUEST_PUSH, 0, 0, false},
    {"confirm 1", "0a02 1001", REQUEST_PUSH, 0, 0, true},
    {"confirm 1 between pushes", "0a06 0a00 1001 0a00", REQUEST_PUSH, 0, 2, true},
    {"the last of two confirms", "0a04 1002 1001", REQUEST_PUSH, 0, 0, true},
    {"confirm 1 in its low 32 bits", "0a06 10 8180808010", REQUEST_PUSH, 0, 0, true},
    {"an unknown varint", "0a00 800100", REQUEST_PUSH, 0, 0, false},
    {"an unknown fixed64", "8101 00*8 0a00", REQUEST_PUSH, 0, 0, false},
    {"an unknown delimited field", "8201 03 000000 0a00", REQUEST_PUSH, 0, 0, false},
    {"an unknown fixed32", "8501 00*4 0a00", REQUEST_PUSH, 0, 0, false},
    {"field 0 in a tag of two bytes", "0a00 8000 00", REQUEST_PUSH, 0, 0, false},
    {"the greatest field number", "0a00 f8ffffff7f 00", REQUEST_PUSH, 0, 0, false},
    {"unknown fields in the batch", "0a0d 2000 2a020000 0a00 35 00*4", REQUEST_PUSH, 0, 1, false},
    {"an attach", "1203 0a0172", REQUEST_ATTACH, 0, 0, false},
    {"an attach with all", "1214 0a0172 1203746370 1a030a0161 2001 2a016b 3200 7807",
     REQUEST_ATTACH, 7, 0, false},
    {"the longest ids", "12c801 0a40 72*64 1a42 0a40 61*64 3240 62*64", REQUEST_ATTACH, 0, 0,
     false},
    {"a detach", "1a06 0a0172 120161", REQUEST_DETACH, 0, 0, false},
    {"an ack", "220d 0a0172 1a030a0161 22030a0162", REQUEST_ACK, 0, 0, false},
    {"an empty heartbeat", "2a00", REQUEST_HEARTBEAT, 0, 0, false},
    {"a heartbeat", "2a03 0a0172", REQUEST_HEARTBEAT, 0, 0, false},
    {"a skip", "3209 0a0161 1001 1802 2003", REQUEST_SKIP, 0, 0, false},
    {"a reset", "3a05 0a0161 1001", REQUEST_RESET, 0, 0, false},
    {"a reset with an unknown field", "4200 3a03 0a0161", REQUEST_RESET, 0, 0, false},
};

static void frames_that_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_reads / sizeof s_reads[0]; i++) {
        const read_t *expected = &s_reads[i];
        result_t result;
        s_read_hex(&result, expected->hex, &s_small);
        const request_t *got = result.request;
        if (!got)
            fail_msg("%s: %s", expected->name, result.reason);
        if (got->kind != expected->kind || got->request_id != expected->request_id ||
            got->count != expected->count || got->confirm != expected->confirm)
            fail_msg("%s: kind %d, request_id %" PRIu64 ", count %u, confirm %d", expected->name,
                     got->kind, got->request_id, got->count, got->confirm);
        s_done(&result);
    }
}

typedef struct {
    const char *name;
    const char *hex; //  of the field with its tag and length
    outcome_t outcome;
    size_t id_size;
    uint64_t epoch;
    uint64_t seq;
} push_case_t;

static const push_case_t s_pushes[] = {
    {"a whole push", "0a0b 0a0161 1002 1803 2202 7879", OUTCOME_ACCEPTED, 1, 2, 3},
    {"fields in another order", "0a0a 220178 1803 1002 0a0161", OUTCOME_ACCEPTED, 1, 2, 3},
    {"an id alone", "0a03 0a0161", OUTCOME_ACCEPTED, 1, 0, 0},
    {"the longest id", "0a44 0a40 61*64 1801", OUTCOME_ACCEPTED, 64, 0, 1},
    {"defaults written out", "0a09 0a0161 1000 1800 2200", OUTCOME_ACCEPTED, 1, 0, 0},
    {"the greatest numbers", "0a19 0a0161 10 ff*9 01 18 ff*9 01", OUTCOME_ACCEPTED, 1, UINT64_MAX,
     UINT64_MAX},
    {"the largest payload", "0a6b 0a0161 1801 2264 00*100", OUTCOME_ACCEPTED, 1, 0, 1},
    {"a larger payload", "0a6c 0a0161 1801 2265 00*101", OUTCOME_TOO_LARGE, 1, 0, 1},
    {"a larger payload in front", "0a6c 2265 00*101 0a0161 1801", OUTCOME_TOO_LARGE, 1, 0, 1},

    {"an empty push", "0a00", OUTCOME_INVALID, 0, 0, 0},
    {"no id", "0a02 1801", OUTCOME_INVALID, 0, 0, 1},
    {"an empty id", "0a04 0a00 1801", OUTCOME_INVALID, 0, 0, 1},
    {"an id of 65 bytes", "0a45 0a41 61*65 1801", OUTCOME_INVALID, 0, 0, 1},
    {"an id of 257 bytes", "0a8602 0a8102 61*257 1801", OUTCOME_INVALID, 0, 0, 1},
    {"a repeated id", "0a08 0a0161 0a0162 1801", OUTCOME_INVALID, 1, 0, 1},
    {"a repeated id, the last one bad", "0a07 0a0161 0a00 1801", OUTCOME_INVALID, 0, 0, 1},
    {"a repeated epoch", "0a07 0a0161 1001 1002", OUTCOME_INVALID, 1, 2, 0},
    {"a repeated seq", "0a07 0a0161 1801 1801", OUTCOME_INVALID, 1, 0, 1},
    {"a repeated payload", "0a07 0a0161 2200 2200", OUTCOME_INVALID, 1, 0, 0},
    {"a skipped_to", "0a07 0a0161 1801 2802", OUTCOME_INVALID, 1, 0, 1},
    {"a skipped_to of 0", "0a07 0a0161 1801 2800", OUTCOME_INVALID, 1, 0, 1},
    {"a marker", "0a07 0a0161 1801 3001", OUTCOME_INVALID, 1, 0, 1},
    {"a marker of another wire type", "0a0a 0a0161 1801 35 00*4", OUTCOME_INVALID, 1, 0, 1},
    {"an unknown varint", "0a07 0a0161 3801 1801", OUTCOME_INVALID, 1, 0, 1},
    {"an unknown delimited field", "0a07 0a0161 3a00 1801", OUTCOME_INVALID, 1, 0, 1},
    {"an unknown field of a long number", "0a0a 0a0161 1801 80808001 00", OUTCOME_INVALID, 1, 0, 1},
    {"field 0 in a tag of two bytes", "0a08 0a0161 1801 800000", OUTCOME_INVALID, 1, 0, 1},
    {"an overlong tag", "0a06 0a0161 980001", OUTCOME_INVALID, 1, 0, 1},
    {"an overlong tag of the id", "0a06 8a000161 1801", OUTCOME_INVALID, 1, 0, 1},
    {"an overlong seq", "0a06 0a0161 188100", OUTCOME_INVALID, 1, 0, 1},
    {"an overlong seq of 0", "0a06 0a0161 188000", OUTCOME_INVALID, 1, 0, 0},
    {"a seq beyond 64 bits", "0a0e 0a0161 18 ff*9 03", OUTCOME_INVALID, 1, 0, UINT64_MAX},
    {"an overlong length of the id", "0a06 0a810061 1801", OUTCOME_INVALID, 1, 0, 1},
    {"an overlong length of the payload", "0a07 0a0161 22810078", OUTCOME_INVALID, 1, 0, 0},
    {"an overlong tag around it", "8a0003 0a0161", OUTCOME_INVALID, 1, 0, 0},
    {"an overlong length around it", "0a83808000 0a0161", OUTCOME_INVALID, 1, 0, 0},
    {"a larger payload and a repeated seq", "0a6e 0a0161 1801 1801 2265 00*101", OUTCOME_INVALID, 1,
     0, 1},
    {"a larger payload and no id", "0a67 2265 00*101", OUTCOME_INVALID, 0, 0, 0},
};

//  Each stands between two good ones, which are taken whatever becomes of it.
static void s_check_push_case(const push_case_t *expected)
{
    buffer_t batch = {0}, buffer = {0};
    s_put_hex(&batch, "0a05 0a0178 1801");
    s_put_hex(&batch, expected->hex);
    size_t size = batch.size - 7;
    s_put_hex(&batch, "0a05 0a0179 1801");
    s_put_field(&buffer, WIRE_REQUEST_PUSH, &batch);
    result_t result;
    s_read(&result, &buffer, &s_small);
    s_check_oracle(&result, &s_small);

    assert_non_null(result.request);
    assert_int_equal(result.request->count, 3);
    const push_t *push = result.request->pushes;
    assert_int_equal(push[0].outcome, OUTCOME_ACCEPTED);
    assert_int_equal(push[2].outcome, OUTCOME_ACCEPTED);
    assert_ptr_equal(push[1].bytes, push[0].bytes + push[0].size);
    assert_int_equal(push[1].size, size);
    assert_int_equal(result.request->rejected, expected->outcome != OUTCOME_ACCEPTED);
    assert_int_equal(result.request->numberless, expected->seq == 0);
    if (push[1].outcome != expected->outcome || push[1].id_size != expected->id_size ||
        push[1].epoch != expected->epoch || push[1].seq != expected->seq)
        fail_msg("%s: outcome %d, id of %d, epoch %" PRIu64 ", seq %" PRIu64, expected->name,
                 push[1].outcome, push[1].id_size, push[1].epoch, push[1].seq);
    s_done(&result);
    free(batch.bytes);
    free(buffer.bytes);
}

static void pushes_are_judged_one_by_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof s_pushes / sizeof s_pushes[0]; i++)
        s_check_push_case(&s_pushes[i]);
}

//  ---- sizes -------------------------------------------------------------------------------------

static void a_million_empty_pushes(void **state)
{
    (void)state;
    const uint32_t count = 1000000;
    buffer_t batch = {0}, buffer = {0};
    for (uint32_t i = 0; i < count; i++)
        s_put(&batch, "\x0a\x00", 2);
    s_put_field(&buffer, WIRE_REQUEST_PUSH, &batch);
    result_t result;
    s_read(&result, &buffer, &s_large);
    assert_non_null(result.request);
    assert_int_equal(result.request->count, count);
    assert_int_equal(result.request->rejected, count);
    assert_int_equal(result.request->numberless, count);
    s_done(&result);

    s_read(&result, &buffer, &s_small);
    assert_null(result.request);
    assert_int_equal(result.code, ERROR_INVALID);
    s_done(&result);
    free(batch.bytes);
    free(buffer.bytes);
}

static void s_put_large_push(buffer_t *batch, size_t payload)
{
    buffer_t push = {0};
    s_put_hex(&push, "0a0161 1801");
    s_put_fill(&push, WIRE_PUSH_PAYLOAD, 'x', payload);
    s_put_field(batch, WIRE_BATCH_PUSHES, &push);
    free(push.bytes);
}

static void the_largest_frame(void **state)
{
    (void)state;
    buffer_t batch = {0}, buffer = {0};
    s_put_large_push(&batch, MIB);
    s_put_large_push(&batch, MIB + 1);
    s_put_large_push(&batch, MIB);
    s_put_large_push(&batch, MIB - 1);
    s_put_field(&buffer, WIRE_REQUEST_PUSH, &batch);
    const size_t header = 4; //  tag and length of the unknown field that fills the frame up
    s_put_fill(&buffer, WIRE_TAG(9, WIRE_BYTES), 'y', 4 * MIB + 64 * KIB - buffer.size - header);
    assert_int_equal(buffer.size, 4 * MIB + 64 * KIB);
    result_t result;
    s_read(&result, &buffer, &s_large);
    s_check_oracle(&result, &s_large);
    assert_non_null(result.request);
    assert_int_equal(result.request->count, 4);
    assert_int_equal(result.request->rejected, 1);
    assert_int_equal(result.request->pushes[1].outcome, OUTCOME_TOO_LARGE);
    s_done(&result);
    free(batch.bytes);
    free(buffer.bytes);
}

//  Makes an Attach with `count` positions of `id_size` bytes.
static void s_put_attach(buffer_t *self, size_t count, size_t id_size)
{
    buffer_t attach = {0}, position = {0};
    s_put_fill(&position, WIRE_TAG(1, WIRE_BYTES), 'a', id_size);
    s_put_hex(&attach, "0a0172");
    for (size_t i = 0; i < count; i++)
        s_put_field(&attach, WIRE_TAG(3, WIRE_BYTES), &position);
    s_put_field(self, WIRE_TAG(2, WIRE_BYTES), &attach);
    free(attach.bytes);
    free(position.bytes);
}

static void an_attach_of_100000_clients(void **state)
{
    (void)state;
    buffer_t buffer = {0};
    s_put_attach(&buffer, 100000, 16);
    result_t result;
    s_read(&result, &buffer, &s_large);
    assert_non_null(result.request);
    assert_int_equal(result.request->body->attach->n_clients, 100000);
    s_done(&result);
    free(buffer.bytes);
}

static void a_request_that_takes_too_much_memory(void **state)
{
    (void)state;
    buffer_t buffer = {0};
    s_put_attach(&buffer, 500000, 1);
    s_put_hex(&buffer, "7805");
    result_t result;
    s_read(&result, &buffer, &s_large);
    assert_null(result.request);
    assert_int_equal(result.code, ERROR_INVALID);
    assert_int_equal(result.request_id, 5);
    assert_non_null(strstr(result.reason, "too large"));
    s_done(&result);

    s_put_hex(&buffer, "00");
    s_read(&result, &buffer, &s_large);
    assert_null(result.request);
    assert_int_equal(result.code, ERROR_MALFORMED);
    s_done(&result);
    free(buffer.bytes);
}

//  ---- random frames -----------------------------------------------------------------------------

static uint64_t s_random_state;

//  SplitMix64.
static uint64_t s_random(void)
{
    uint64_t z = s_random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static size_t s_below(size_t n)
{
    return (size_t)(s_random() % n);
}

static bool s_one_in(size_t n)
{
    return s_below(n) == 0;
}

//  Of any length on the wire, often 0.
static uint64_t s_random_number(void)
{
    return s_one_in(3) ? 0 : s_random() >> s_below(64);
}

//  Bytes for ids and payloads, owned by nobody; mostly short, at times beyond every bound.
static ProtobufCBinaryData s_random_bytes(void)
{
    static uint8_t bytes[200];
    size_t size = s_one_in(8) ? s_below(sizeof bytes) : 1 + s_below(12);
    return (ProtobufCBinaryData){s_one_in(20) ? 0 : size, bytes};
}

static Seqpush__V1__Position s_random_position(void)
{
    Seqpush__V1__Position self = SEQPUSH__V1__POSITION__INIT;
    self.client_id = s_random_bytes();
    self.epoch = s_random_number();
    self.seq = s_random_number();
    return self;
}

static Seqpush__V1__Push s_random_push(void)
{
    Seqpush__V1__Push self = SEQPUSH__V1__PUSH__INIT;
    self.client_id = s_random_bytes();
    self.epoch = s_random_number();
    self.seq = s_random_number();
    self.payload = s_random_bytes();
    self.skipped_to = s_one_in(30) ? s_random_number() : 0;
    self.marker = s_one_in(30);
    return self;
}

static void s_put_request(buffer_t *self, Seqpush__V1__Request *request)
{
    request->request_id = s_random_number();
    size_t size = seqpush__v1__request__get_packed_size(request);
    seqpush__v1__request__pack(request, s_extend(self, size));
}

static void s_put_random_batch(buffer_t *self)
{
    Seqpush__V1__Push pushes[4];
    Seqpush__V1__Push *pointers[4] = {&pushes[0], &pushes[1], &pushes[2], &pushes[3]};
    Seqpush__V1__PushBatch batch = SEQPUSH__V1__PUSH_BATCH__INIT;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    for (size_t i = 0; i < 4; i++)
        pushes[i] = s_random_push();
    batch.n_pushes = s_below(s_one_in(10) ? 5 : 4);
    batch.pushes = pointers;
    batch.confirm = (Seqpush__V1__Confirm)s_below(s_one_in(10) ? 3 : 2);
    request.body_case = SEQPUSH__V1__REQUEST__BODY_PUSH;
    request.push = &batch;
    s_put_request(self, &request);
}

static void s_put_random_receiver(buffer_t *self)
{
    Seqpush__V1__Position positions[2] = {s_random_position(), s_random_position()};
    Seqpush__V1__Position *pointers[2] = {&positions[0], &positions[1]};
    ProtobufCBinaryData ids[2] = {s_random_bytes(), s_random_bytes()};
    Seqpush__V1__Attach attach = SEQPUSH__V1__ATTACH__INIT;
    Seqpush__V1__Detach detach = SEQPUSH__V1__DETACH__INIT;
    Seqpush__V1__DeliveryAck ack = SEQPUSH__V1__DELIVERY_ACK__INIT;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    attach.receiver_id = detach.receiver_id = ack.receiver_id = s_random_bytes();
    attach.clients = ack.positions = ack.missing = pointers;
    attach.n_clients = ack.n_positions = s_below(3);
    ack.n_missing = s_below(3);
    attach.endpoint = "tcp://127.0.0.1:1";
    attach.prefix_case = (Seqpush__V1__Attach__PrefixCase)(s_one_in(2) ? 6 : 0);
    attach.client_prefix = s_random_bytes();
    detach.client_ids = ids;
    detach.n_client_ids = s_below(3);
    detach.generation = ack.generation = s_random_number();
    request.body_case = (Seqpush__V1__Request__BodyCase)(2 + s_below(3));
    if (request.body_case == SEQPUSH__V1__REQUEST__BODY_ATTACH)
        request.attach = &attach;
    else if (request.body_case == SEQPUSH__V1__REQUEST__BODY_DETACH)
        request.detach = &detach;
    else
        request.ack = &ack;
    s_put_request(self, &request);
}

static void s_put_random_client(buffer_t *self)
{
    Seqpush__V1__Heartbeat heartbeat = SEQPUSH__V1__HEARTBEAT__INIT;
    Seqpush__V1__Skip skip = SEQPUSH__V1__SKIP__INIT;
    Seqpush__V1__Reset reset = SEQPUSH__V1__RESET__INIT;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    heartbeat.receiver_id = skip.client_id = reset.client_id = s_random_bytes();
    heartbeat.generation = skip.epoch = reset.epoch = s_random_number();
    skip.from = reset.next_seq = s_random_number();
    request.body_case = (Seqpush__V1__Request__BodyCase)(5 + s_below(3));
    if (request.body_case == SEQPUSH__V1__REQUEST__BODY_HEARTBEAT)
        request.heartbeat = &heartbeat;
    else if (request.body_case == SEQPUSH__V1__REQUEST__BODY_SKIP)
        request.skip = &skip;
    else
        request.reset = &reset;
    s_put_request(self, &request);
}

static void s_put_random_request(buffer_t *self)
{
    switch (s_below(4)) {
    case 0:
        s_put_random_receiver(self);
        break;
    case 1:
        s_put_random_client(self);
        break;
    default:
        s_put_random_batch(self);
    }
}

//  A varint, now and then padded to more bytes than it needs.
static void s_put_odd_varint(buffer_t *self, uint64_t value)
{
    size_t size = wire_varint_size(value);
    size_t padding = s_one_in(15) ? 1 + s_below(5) : 0;
    uint8_t *at = wire_put_varint(s_extend(self, size + padding), value);
    for (size_t i = 0; i < padding; i++) {
        at[-1] |= 0x80;
        *at++ = 0;
    }
}

static uint64_t s_random_tag(unsigned level)
{
    static const uint8_t usual[3][8] = {
        {WIRE_REQUEST_PUSH, WIRE_REQUEST_PUSH, WIRE_REQUEST_PUSH, WIRE_REQUEST_PUSH,
         WIRE_REQUEST_ID, WIRE_REQUEST_ID, WIRE_TAG(3, WIRE_BYTES), WIRE_TAG(9, WIRE_BYTES)},
        {WIRE_BATCH_PUSHES, WIRE_BATCH_PUSHES, WIRE_BATCH_PUSHES, WIRE_BATCH_PUSHES,
         WIRE_BATCH_PUSHES, WIRE_BATCH_CONFIRM, WIRE_TAG(5, WIRE_FIXED32), WIRE_TAG(4, WIRE_BYTES)},
        {WIRE_PUSH_CLIENT_ID, WIRE_PUSH_EPOCH, WIRE_PUSH_SEQ, WIRE_PUSH_SEQ, WIRE_PUSH_PAYLOAD,
         WIRE_PUSH_SKIPPED_TO, WIRE_PUSH_MARKER, WIRE_TAG(7, WIRE_FIXED64)}};
    if (!s_one_in(25))
        return usual[level][s_below(8)];
    return s_one_in(2) ? s_below(256) : s_random() >> (29 + s_below(32));
}

//  A message of whole fields: mostly those of Request (level 0), PushBatch or Push, each as often
//  as it comes, with overlong encodings and fields that are out of place.
static void s_put_odd_message(buffer_t *self, unsigned level)
{
    for (size_t fields = level == 0 ? 1 + s_below(3) : s_below(5); fields > 0; fields--) {
        uint64_t tag = s_random_tag(level);
        s_put_odd_varint(self, tag);
        if ((tag & 7) == WIRE_VARINT)
            s_put_odd_varint(self, s_random_number());
        else if ((tag & 7) == WIRE_FIXED64)
            s_put(self, "fixed 64", 8);
        else if ((tag & 7) == WIRE_FIXED32)
            s_put(self, "fix.", 4);
        else {
            buffer_t content = {0};
            if (level < 2)
                s_put_odd_message(&content, level + 1);
            else
                s_put(&content, s_random_bytes().data, s_below(s_one_in(20) ? 120 : 20));
            s_put_odd_varint(self, content.size);
            s_put(self, content.bytes, content.size);
            free(content.bytes);
        }
    }
}

static void s_put_noise(buffer_t *self)
{
    for (size_t n = s_below(40); n > 0; n--)
        *s_extend(self, 1) = (uint8_t)(s_one_in(2) ? s_below(0x30) : s_random());
}

//  Puts `size` bytes into the middle.
static void s_insert(buffer_t *self, size_t at, const uint8_t *bytes, size_t size)
{
    s_extend(self, size);
    memmove(self->bytes + at + size, self->bytes + at, self->size - size - at);
    memcpy(self->bytes + at, bytes, size);
}

static void s_delete(buffer_t *self, size_t at, size_t size)
{
    memmove(self->bytes + at, self->bytes + at + size, self->size - at - size);
    self->size -= size;
}

//  Copies a piece of another request, or all of it, into this one.
static void s_splice(buffer_t *self)
{
    buffer_t other = {0};
    s_put_random_request(&other);
    size_t from = s_one_in(2) ? 0 : s_below(other.size + 1);
    size_t at = s_one_in(2) ? self->size : s_below(self->size + 1);
    if (other.size)
        s_insert(self, at, other.bytes + from, other.size - from);
    free(other.bytes);
}

static void s_mutate(buffer_t *self)
{
    const uint8_t byte = (uint8_t)s_random();
    const uint8_t bit = (uint8_t)(1u << s_below(8));
    const size_t at = s_below(self->size + 1);
    if (s_one_in(5))
        s_splice(self);
    else if (s_one_in(4))
        s_insert(self, at, &byte, 1);
    else if (at == self->size)
        return;
    else if (s_one_in(3))
        s_delete(self, at, 1 + s_below(self->size - at));
    else if (s_one_in(4))
        self->size = at;
    else
        self->bytes[at] = s_one_in(2) ? byte : self->bytes[at] ^ bit;
}

static void s_put_random_frame(buffer_t *self)
{
    switch (s_below(8)) {
    case 0:
        s_put_noise(self);
        break;
    case 1:
    case 2:
    case 3:
        s_put_odd_message(self, 0);
        break;
    default:
        s_put_random_request(self);
    }
    for (size_t n = s_one_in(2) ? 0 : s_below(4); n > 0; n--)
        s_mutate(self);
}

static uint64_t s_seed(void)
{
    const char *given = getenv("SEQPUSH_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 1;
    print_message("SEQPUSH_SEED=%" PRIu64 "\n", seed);
    return seed;
}

//  What became of the frames, so that a generator that has gone blind is noticed.
typedef struct {
    size_t read;
    size_t refused[ERROR_CODES];
    size_t outcomes[OUTCOMES];
} tally_t;

static void s_count(tally_t *self, const result_t *result)
{
    if (!result->request) {
        self->refused[result->code]++;
        return;
    }
    self->read++;
    for (uint32_t i = 0; i < result->request->count; i++)
        self->outcomes[result->request->pushes[i].outcome]++;
}

static void what_is_read_is_what_protobuf_c_reads(void **state)
{
    (void)state;
    const size_t enough = ROUNDS / 1000;
    tally_t tally = {0};
    buffer_t buffer = {0};
    s_random_state = s_seed();
    for (size_t i = 0; i < ROUNDS; i++) {
        buffer.size = 0;
        s_put_random_frame(&buffer);
        result_t result;
        s_read(&result, &buffer, &s_small);
        s_check_oracle(&result, &s_small);
        s_count(&tally, &result);
        s_done(&result);
    }
    free(buffer.bytes);
    print_message("read %zu, malformed %zu, unsupported %zu, invalid %zu; pushes accepted %zu, "
                  "invalid %zu, too large %zu\n",
                  tally.read, tally.refused[ERROR_MALFORMED], tally.refused[ERROR_UNSUPPORTED],
                  tally.refused[ERROR_INVALID], tally.outcomes[OUTCOME_ACCEPTED],
                  tally.outcomes[OUTCOME_INVALID], tally.outcomes[OUTCOME_TOO_LARGE]);
    assert_true(tally.read > enough);
    assert_true(tally.refused[ERROR_MALFORMED] > enough);
    assert_true(tally.refused[ERROR_UNSUPPORTED] > enough);
    assert_true(tally.refused[ERROR_INVALID] > enough);
    assert_true(tally.outcomes[OUTCOME_ACCEPTED] > enough);
    assert_true(tally.outcomes[OUTCOME_INVALID] > enough);
    assert_true(tally.outcomes[OUTCOME_TOO_LARGE] > enough);
}

//  ---- the rest ----------------------------------------------------------------------------------

static void hash_is_siphash_2_4(void **state)
{
    (void)state;
    uint8_t key[REQUEST_KEY_SIZE], message[15];
    for (uint8_t i = 0; i < sizeof key; i++)
        key[i] = i;
    for (uint8_t i = 0; i < sizeof message; i++)
        message[i] = i;
    //  The example in the paper that defines SipHash, appendix A.
    const uint8_t expected[] = {0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1};
    uint64_t hash = request_hash(key, message, sizeof message);
    assert_memory_equal(&hash, expected, sizeof expected);
}

static void a_frame_takes_the_message(void **state)
{
    (void)state;
    zmq_msg_t message;
    assert_int_equal(zmq_msg_init_size(&message, 1000), 0);
    memset(zmq_msg_data(&message), 'm', 1000);
    const void *bytes = zmq_msg_data(&message);
    frame_t *frame = frame_new(&message);
    assert_non_null(frame);
    assert_int_equal(zmq_msg_size(&message), 0);
    assert_int_equal(frame_size(frame), 1000);
    assert_ptr_equal(frame_bytes(frame), bytes);
    frame_ref(frame);
    frame_unref(frame);
    assert_int_equal(frame->refs, 1);
    frame_unref(frame);
    zmq_msg_close(&message);
}

static void a_frame_copies_bytes(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    frame_t *frame = frame_copy(bytes, sizeof bytes);
    assert_non_null(frame);
    assert_int_equal(frame_size(frame), sizeof bytes);
    assert_memory_equal(frame_bytes(frame), bytes, sizeof bytes);
    frame_unref(frame);
    frame = frame_copy(NULL, 0);
    assert_non_null(frame);
    assert_int_equal(frame_size(frame), 0);
    frame_unref(frame);
}

static void an_unasked_reply_is_empty(void **state)
{
    (void)state;
    request_t *self = request_new(REPLY_UNASKED, 7);
    assert_non_null(self);
    assert_int_equal(self->kind, REPLY_UNASKED);
    assert_true(self->peer == 7);
    assert_null(self->frame);
    assert_int_equal(self->count, 0);
    request_destroy(&self);
    assert_null(self);
    request_destroy(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_are_refused),
        cmocka_unit_test(frames_that_are_read),
        cmocka_unit_test(pushes_are_judged_one_by_one),
        cmocka_unit_test(a_million_empty_pushes),
        cmocka_unit_test(the_largest_frame),
        cmocka_unit_test(an_attach_of_100000_clients),
        cmocka_unit_test(a_request_that_takes_too_much_memory),
        cmocka_unit_test(what_is_read_is_what_protobuf_c_reads),
        cmocka_unit_test(hash_is_siphash_2_4),
        cmocka_unit_test(a_frame_takes_the_message),
        cmocka_unit_test(a_frame_copies_bytes),
        cmocka_unit_test(an_unasked_reply_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
