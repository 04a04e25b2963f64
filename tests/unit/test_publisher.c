/*  test_publisher.c - the publisher against a broker that the test plays, step by step

    The library encodes by hand; here protobuf-c reads and writes the other end, so each is held
    against an independent implementation.                                                        */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "seqpush.h"
#include "seqpush.pb-c.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <zmq.h>

#define PATIENCE 10000 //  ms until a test that waits has failed
#define EVENTS_MAX 20000

typedef Seqpush__V1__Request request_t;
typedef Seqpush__V1__Reply reply_t;
typedef Seqpush__V1__Rejection rejection_t;

//  One outcome that the application was told.
typedef struct {
    char client[SEQPUSH_ID_MAX + 1];
    uint64_t epoch, seq;
    char payload[16];
    seqpush_outcome_t outcome;
} event_t;

//  The broker that the test plays, and the publisher that talks to it.
typedef struct {
    void *context, *router;
    char endpoint[256];
    uint8_t peer[16];
    size_t peer_size;
    uint64_t instance;
    uint8_t *frame; //  the last request as it came
    size_t frame_size;
    seqpush_publisher_t *publisher;
    event_t *events;
    size_t event_count;
    uint64_t next; //  seq that s_on_outcome pushes for the same client; 0: none
} fixture_t;

static int64_t s_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void s_on_outcome(void *arg, const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    fixture_t *f = arg;
    assert_true(f->event_count < EVENTS_MAX);
    event_t *event = &f->events[f->event_count++];
    *event = (event_t){.epoch = push->epoch, .seq = push->seq, .outcome = outcome};
    memcpy(event->client, push->client_id, push->client_id_size);
    if (push->payload_size < sizeof event->payload && push->payload_size)
        memcpy(event->payload, push->payload, push->payload_size);
    if (f->next) {
        seqpush_push_t another = {push->client_id, push->client_id_size, 0, f->next++, NULL, 0};
        assert_int_equal(seqpush_publisher_push(f->publisher, &another), 0);
    }
}

static int s_setup(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    f->events = calloc(EVENTS_MAX, sizeof *f->events);
    f->context = zmq_ctx_new();
    f->router = zmq_socket(f->context, ZMQ_ROUTER);
    f->instance = 7;
    size_t size = sizeof f->endpoint;
    assert_int_equal(zmq_bind(f->router, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(f->router, ZMQ_LAST_ENDPOINT, f->endpoint, &size);
    *state = f;
    return 0;
}

static int s_teardown(void **state)
{
    fixture_t *f = *state;
    int linger = 0;
    seqpush_publisher_destroy(&f->publisher);
    zmq_setsockopt(f->router, ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(f->router);
    zmq_ctx_term(f->context);
    free(f->frame);
    free(f->events);
    free(f);
    return 0;
}

static void s_start(fixture_t *f, seqpush_publisher_options_t options)
{
    options.broker = f->endpoint;
    options.on_outcome = s_on_outcome;
    options.arg = f;
    if (!options.reply_timeout)
        options.reply_timeout = PATIENCE * 10; //  no test but those about it waits for that
    f->publisher = seqpush_publisher_new(&options);
    assert_non_null(f->publisher);
}

static const seqpush_publisher_stats_t *s_stats(const fixture_t *f)
{
    return seqpush_publisher_stats(f->publisher);
}

static int s_push(fixture_t *f, const char *client, uint64_t seq, const char *payload)
{
    seqpush_push_t push = {client, strlen(client), 0, seq, payload, strlen(payload)};
    return seqpush_publisher_push(f->publisher, &push);
}

static bool s_has_request(fixture_t *f, int timeout)
{
    zmq_pollitem_t item = {.socket = f->router, .events = ZMQ_POLLIN};
    return zmq_poll(&item, 1, timeout) == 1;
}

//  Lets the publisher work until a request is there, and reads it.
static request_t *s_take(fixture_t *f)
{
    int64_t until = s_now() + PATIENCE;
    while (!s_has_request(f, 0)) {
        assert_true(s_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
    f->peer_size = (size_t)zmq_recv(f->router, f->peer, sizeof f->peer, 0);
    zmq_msg_t message;
    zmq_msg_init(&message);
    f->frame_size = (size_t)zmq_msg_recv(&message, f->router, 0);
    assert_false(zmq_msg_more(&message));
    free(f->frame);
    f->frame = malloc(f->frame_size);
    memcpy(f->frame, zmq_msg_data(&message), f->frame_size);
    zmq_msg_close(&message);
    request_t *request = seqpush__v1__request__unpack(NULL, f->frame_size, f->frame);
    assert_non_null(request);
    return request;
}

static void s_free(request_t *request)
{
    seqpush__v1__request__free_unpacked(request, NULL);
}

//  What a request carries, as "a1 a2 b1", and its id.
static uint64_t s_take_text(fixture_t *f, char *text, size_t size)
{
    request_t *request = s_take(f);
    assert_int_equal(request->body_case, SEQPUSH__V1__REQUEST__BODY_PUSH);
    *text = 0;
    for (size_t i = 0; i < request->push->n_pushes; i++) {
        const Seqpush__V1__Push *push = request->push->pushes[i];
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%.*s%d", i ? " " : "", (int)push->client_id.len,
                 (char *)push->client_id.data, (int)push->seq);
    }
    uint64_t id = request->request_id;
    s_free(request);
    return id;
}

#define s_expect(f, expected) s_expect_at(f, expected, __LINE__)

static uint64_t s_expect_at(fixture_t *f, const char *expected, int line)
{
    char text[4096];
    uint64_t id = s_take_text(f, text, sizeof text);
    if (strcmp(text, expected) != 0)
        fail_msg("line %d: got '%s', expected '%s'", line, text, expected);
    return id;
}

//  No request is there, nor comes of letting the publisher work for a little while.
static void s_expect_nothing(fixture_t *f)
{
    for (int i = 0; i < 5; i++)
        seqpush_publisher_poll(f->publisher, 0);
    assert_false(s_has_request(f, 20));
}

static void s_send(fixture_t *f, const void *bytes, size_t size)
{
    assert_true(zmq_send(f->router, f->peer, f->peer_size, ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(f->router, bytes, size, 0) >= 0);
}

static void s_reply(fixture_t *f, reply_t *reply)
{
    uint8_t bytes[8192];
    reply->instance = f->instance;
    assert_true(seqpush__v1__reply__get_packed_size(reply) <= sizeof bytes);
    s_send(f, bytes, seqpush__v1__reply__pack(reply, bytes));
}

static void s_reply_ack(fixture_t *f, uint64_t id, Seqpush__V1__PushAck ack)
{
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_PUSH_ACK;
    reply.push_ack = &ack;
    reply.request_id = id;
    s_reply(f, &reply);
}

static void s_accept(fixture_t *f, uint64_t id, uint32_t requests)
{
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.requests = requests;
    s_reply_ack(f, id, ack);
}

//  Refuses the pushes first..last of a request with one outcome.
static void s_refuse(fixture_t *f, uint64_t id, uint32_t first, uint32_t last, int outcome,
                     uint32_t retry_after_ms)
{
    rejection_t rejections[64], *pointers[64];
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    for (uint32_t i = first; i <= last; i++) {
        seqpush__v1__rejection__init(&rejections[i]);
        rejections[i].index = i;
        rejections[i].outcome = outcome;
        rejections[i].retry_after_ms = retry_after_ms;
        pointers[ack.n_rejected++] = &rejections[i];
    }
    ack.rejected = pointers;
    s_reply_ack(f, id, ack);
}

static void s_reply_error(fixture_t *f, uint64_t id, char *code)
{
    Seqpush__V1__Error error = SEQPUSH__V1__ERROR__INIT;
    error.code = code;
    reply_t reply = SEQPUSH__V1__REPLY__INIT;
    reply.body_case = SEQPUSH__V1__REPLY__BODY_ERROR;
    reply.error = &error;
    reply.request_id = id;
    s_reply(f, &reply);
}

//  Lets the publisher work until the application was told of `count` outcomes in all.
static void s_await_events(fixture_t *f, size_t count)
{
    int64_t until = s_now() + PATIENCE;
    while (f->event_count < count) {
        assert_true(s_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
    assert_int_equal(f->event_count, count);
}

static void s_await_errors(fixture_t *f, uint64_t count)
{
    int64_t until = s_now() + PATIENCE;
    while (s_stats(f)->errors < count) {
        assert_true(s_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
}

static void s_assert_event(const fixture_t *f, size_t i, const char *client, uint64_t seq,
                           seqpush_outcome_t outcome)
{
    assert_true(i < f->event_count);
    assert_string_equal(f->events[i].client, client);
    assert_int_equal(f->events[i].seq, seq);
    assert_int_equal(f->events[i].outcome, outcome);
}

//  ---- requests ----------------------------------------------------------------------------------

static void test_pushes_are_encoded_as_protobuf_c_does(void **state)
{
    fixture_t *f = *state;
    static char large[100000];
    char id[SEQPUSH_ID_MAX] = "with\0nul";
    const seqpush_push_t pushes[] = {
        {"a", 1, 0, 1, "x", 1},
        {"a", 1, 0, 0, "numberless", 10},
        {id, sizeof id, 0, 127, NULL, 0},
        {"b", 1, 128, 16384, large, 127},
        {"b", 1, UINT64_MAX, UINT64_MAX, large, 128},
        {"b", 1, 1, 1ull << 63, large, sizeof large},
    };
    size_t count = sizeof pushes / sizeof *pushes;
    s_start(f, (seqpush_publisher_options_t){.batch_bytes = 1 << 20});
    memset(large, 'z', sizeof large);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(seqpush_publisher_push(f->publisher, &pushes[i]), 0);
    request_t *request = s_take(f);
    assert_int_equal(request->push->n_pushes, count);
    for (size_t i = 0; i < count; i++) {
        const Seqpush__V1__Push *push = request->push->pushes[i];
        assert_int_equal(push->client_id.len, pushes[i].client_id_size);
        assert_memory_equal(push->client_id.data, pushes[i].client_id, push->client_id.len);
        assert_true(push->epoch == pushes[i].epoch && push->seq == pushes[i].seq);
        assert_int_equal(push->payload.len, pushes[i].payload_size);
        if (push->payload.len)
            assert_memory_equal(push->payload.data, pushes[i].payload, push->payload.len);
    }
    size_t size = seqpush__v1__request__get_packed_size(request);
    uint8_t *packed = malloc(size);
    assert_int_equal(seqpush__v1__request__pack(request, packed), f->frame_size);
    assert_memory_equal(packed, f->frame, size);
    free(packed);
    s_free(request);
}

static void test_a_full_batch_goes_out_at_once_and_the_rest_with_a_flush(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    s_push(f, "a", 1, "");
    s_accept(f, s_expect(f, "a1"), 0); //  from here on it is connected
    s_await_events(f, 1);
    for (uint64_t seq = 2; seq <= 6; seq++)
        assert_int_equal(s_push(f, "a", seq, ""), 0);
    assert_true(s_has_request(f, PATIENCE));
    s_expect(f, "a2 a3");
    assert_true(s_has_request(f, PATIENCE));
    s_expect(f, "a4 a5");
    assert_false(s_has_request(f, 20));
    seqpush_publisher_flush(f->publisher);
    assert_true(s_has_request(f, PATIENCE));
    s_expect(f, "a6");
}

static void test_batches_are_bounded_in_bytes_and_a_larger_push_goes_alone(void **state)
{
    fixture_t *f = *state;
    static char large[301];
    memset(large, 'x', 300);
    s_start(f, (seqpush_publisher_options_t){.batch_bytes = 64});
    s_push(f, "a", 1, "12345678901234567890");
    s_push(f, "a", 2, "12345678901234567890");
    s_push(f, "a", 3, "12345678901234567890");
    s_push(f, "a", 4, large);
    s_push(f, "a", 5, "");
    s_expect(f, "a1 a2");
    s_expect(f, "a3");
    s_expect(f, "a4");
    s_expect(f, "a5");
}

static void test_what_cannot_be_is_refused(void **state)
{
    fixture_t *f = *state;
    char id[SEQPUSH_ID_MAX + 1] = {0};
    s_start(f, (seqpush_publisher_options_t){0});
    seqpush_push_t push = {id, 0, 0, 1, NULL, 0};
    assert_int_equal(seqpush_publisher_push(f->publisher, &push), -EINVAL);
    push.client_id_size = sizeof id;
    assert_int_equal(seqpush_publisher_push(f->publisher, &push), -EINVAL);
    assert_int_equal(seqpush_publisher_skip(f->publisher, id, 0, 0, 1, 2, NULL, 0), -EINVAL);
    assert_int_equal(seqpush_publisher_reset(f->publisher, id, 65, 1, 1, NULL, 0), -EINVAL);
    const char *endpoints[] = {NULL, "", "nonsense", "tcp://127.0.0.1", "udp://127.0.0.1:1"};
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        seqpush_publisher_options_t options = {.broker = endpoints[i]};
        errno = 0;
        assert_null(seqpush_publisher_new(&options));
        assert_int_equal(errno, EINVAL);
    }
}

//  ---- bounds ------------------------------------------------------------------------------------

static void test_no_more_is_taken_than_the_bounds_allow(void **state)
{
    static const struct {
        seqpush_publisher_options_t options;
        int taken;
    } cases[] = {
        {{0}, 1024}, //  the credit before the first PushAck
        {{.undecided_max = 3}, 3},
        {{.undecided_bytes = 100}, 3}, //  the one that crosses the line is taken
    };
    fixture_t *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s_start(f, cases[i].options);
        int taken = 0;
        while (s_push(f, "a", (uint64_t)taken + 1, "123456789012345678901234567890123456789") == 0)
            taken++;
        assert_int_equal(taken, cases[i].taken);
        assert_int_equal(s_push(f, "a", 1, ""), -EAGAIN);
        assert_int_equal(seqpush_publisher_poll(f->publisher, 0), taken);
        seqpush_publisher_destroy(&f->publisher);
    }
}

static void test_no_more_is_on_the_wire_than_the_credit(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 4});
    s_push(f, "a", 1, "");
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.credit = 6;
    uint64_t id = s_expect(f, "a1");
    for (uint64_t seq = 2; seq <= 13; seq++)
        assert_int_equal(s_push(f, "a", seq, ""), 0);
    s_expect(f, "a2 a3 a4 a5");
    uint64_t second = s_expect(f, "a6 a7 a8 a9"); //  was sent under the first credit
    uint64_t third = s_expect(f, "a10 a11 a12 a13");
    s_reply_ack(f, id, ack);
    s_await_events(f, 1);
    assert_int_equal(s_push(f, "a", 14, ""), -EAGAIN); //  12 undecided, 6 allowed
    s_accept(f, second, 2);
    s_await_events(f, 9);
    for (uint64_t seq = 14; seq <= 15; seq++)
        assert_int_equal(s_push(f, "a", seq, ""), 0);
    assert_int_equal(s_push(f, "a", 16, ""), -EAGAIN);
    s_expect(f, "a14 a15");
    s_accept(f, third, 0);
    s_await_events(f, 13);
    ack.credit = 3; //  less than a batch
    s_push(f, "a", 16, "");
    s_reply_ack(f, s_expect(f, "a16"), ack);
    s_await_events(f, 14);
    assert_int_equal(s_push(f, "a", 17, ""), 0);
    assert_int_equal(s_push(f, "a", 18, ""), -EAGAIN);
    s_expect(f, "a17");
}

static void test_a_full_window_is_waited_for_until_an_eighth_is_free(void **state)
{
    fixture_t *f = *state;
    uint64_t ids[8];
    s_start(f, (seqpush_publisher_options_t){.batch_max = 4, .undecided_max = 32});
    for (uint64_t seq = 1; seq <= 32; seq++)
        assert_int_equal(s_push(f, "a", seq, ""), 0);
    for (int i = 0; i < 8; i++) {
        request_t *request = s_take(f);
        ids[i] = request->request_id;
        s_free(request);
    }
    s_refuse(f, ids[0], 1, 3, SEQPUSH__V1__OUTCOME__WINDOW_FULL, 100000);
    s_await_events(f, 1);
    assert_int_equal(s_push(f, "a", 33, ""), 0); //  waits behind those three
    s_accept(f, ids[1], 0);
    assert_int_equal(seqpush_publisher_poll(f->publisher, PATIENCE), 28);
}

//  ---- outcomes ----------------------------------------------------------------------------------

static void test_every_push_is_told_its_outcome(void **state)
{
    static const int outcomes[] = {1, 2, 6, 7, 8, 9, 11, 99};
    fixture_t *f = *state;
    rejection_t rejections[8], *pointers[8];
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    s_start(f, (seqpush_publisher_options_t){0});
    for (uint64_t seq = 1; seq <= 10; seq++)
        s_push(f, "a", seq, "payload");
    for (uint32_t i = 0; i < 8; i++) {
        seqpush__v1__rejection__init(&rejections[i]);
        rejections[i].index = i + 1;
        rejections[i].outcome = outcomes[i];
        pointers[i] = &rejections[i];
    }
    ack.rejected = pointers;
    ack.n_rejected = 8;
    ack.accepted = 2;
    ack.unreceived = 2;
    s_reply_ack(f, s_expect(f, "a1 a2 a3 a4 a5 a6 a7 a8 a9 a10"), ack);
    s_await_events(f, 10);
    s_assert_event(f, 0, "a", 1, SEQPUSH_ACCEPTED);
    for (size_t i = 0; i < 7; i++)
        s_assert_event(f, i + 1, "a", i + 2, (seqpush_outcome_t)outcomes[i]);
    s_assert_event(f, 8, "a", 9, SEQPUSH_INVALID); //  an outcome that this library does not know
    s_assert_event(f, 9, "a", 10, SEQPUSH_ACCEPTED);
    assert_string_equal(f->events[9].payload, "payload");
    assert_int_equal(s_stats(f)->outcomes[SEQPUSH_ACCEPTED], 2);
    assert_int_equal(s_stats(f)->outcomes[SEQPUSH_INVALID], 2);
    assert_int_equal(s_stats(f)->unreceived, 2);
    assert_int_equal(seqpush_publisher_poll(f->publisher, -1), 0);
}

static void test_the_application_may_push_when_it_is_told_an_outcome(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 1});
    for (uint64_t seq = 1; seq <= 3; seq++)
        s_push(f, "a", seq, "");
    s_expect(f, "a1");
    s_expect(f, "a2");
    uint64_t id = s_expect(f, "a3");
    f->next = 4;
    s_accept(f, id, 3);
    s_await_events(f, 3);
    f->next = 0;
    s_expect(f, "a4");
    s_expect(f, "a5");
    s_accept(f, s_expect(f, "a6"), 3);
    s_await_events(f, 6);
    for (size_t i = 0; i < 6; i++)
        s_assert_event(f, i, "a", i + 1, SEQPUSH_ACCEPTED);
}

static void test_one_ack_covers_the_last_requests(void **state)
{
    fixture_t *f = *state;
    uint64_t ids[5];
    s_start(f, (seqpush_publisher_options_t){.batch_max = 1});
    for (uint64_t seq = 1; seq <= 5; seq++)
        s_push(f, "a", seq, "");
    for (int i = 0; i < 5; i++) {
        char text[16];
        ids[i] = s_take_text(f, text, sizeof text);
    }
    s_accept(f, ids[3], 3);
    s_await_events(f, 3);
    for (size_t i = 0; i < 3; i++)
        s_assert_event(f, i, "a", i + 2, SEQPUSH_ACCEPTED);
    s_accept(f, ids[3], 3); //  once more, of no effect
    s_accept(f, ids[4], 1000);
    s_await_events(f, 5);
    assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
    assert_int_equal(s_stats(f)->outcomes[SEQPUSH_ACCEPTED], 5);
}

static void test_the_outcome_carries_the_assigned_seq(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push(f, "a", 0, "one");
    s_push(f, "b", 5, "five");
    s_push(f, "a", 0, "two");
    s_push(f, "c", 0, "no");
    rejection_t rejection = SEQPUSH__V1__REJECTION__INIT, *rejections[] = {&rejection};
    rejection.index = 3;
    rejection.outcome = SEQPUSH__V1__OUTCOME__FORBIDDEN;
    uint64_t assigned[] = {41, 42, 0};
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.rejected = rejections;
    ack.n_rejected = 1;
    ack.assigned = assigned;
    ack.n_assigned = 3;
    s_reply_ack(f, s_expect(f, "a0 b5 a0 c0"), ack);
    s_await_events(f, 4);
    s_assert_event(f, 0, "a", 41, SEQPUSH_ACCEPTED);
    s_assert_event(f, 1, "b", 5, SEQPUSH_ACCEPTED);
    s_assert_event(f, 2, "a", 42, SEQPUSH_ACCEPTED);
    s_assert_event(f, 3, "c", 0, SEQPUSH_FORBIDDEN);
}

//  ---- refusals that may pass --------------------------------------------------------------------

static void test_a_refused_push_is_tried_again_before_later_ones_of_its_client(void **state)
{
    static const int outcomes[] = {
        SEQPUSH__V1__OUTCOME__WINDOW_FULL, SEQPUSH__V1__OUTCOME__BACKLOG_FULL,
        SEQPUSH__V1__OUTCOME__OVERLOADED, SEQPUSH__V1__OUTCOME__STORAGE_UNAVAILABLE};
    fixture_t *f = *state;
    for (size_t i = 0; i < 4; i++) {
        s_start(f, (seqpush_publisher_options_t){.batch_max = 4});
        f->event_count = 0;
        for (uint64_t seq = 11; seq <= 14; seq++)
            s_push(f, "a", seq, "");
        int64_t refused_at = s_now();
        s_refuse(f, s_expect(f, "a11 a12 a13 a14"), 1, 3, outcomes[i], 40);
        s_await_events(f, 1); //  a11
        s_push(f, "a", 15, "");
        s_push(f, "a", 10, "");
        s_push(f, "b", 1, "");
        s_accept(f, s_expect(f, "a10 b1"), 0); //  what fills a hole, and others, need not wait
        uint64_t probe = s_expect(f, "a12"); //  one, to see whether the bound still holds
        assert_true(s_now() - refused_at >= 40);
        s_push(f, "a", 16, "");
        s_expect_nothing(f);
        s_accept(f, probe, 0);
        uint64_t more = s_expect(f, "a13 a14"); //  then two
        s_accept(f, more, 0);
        s_accept(f, s_expect(f, "a15 a16"), 0);
        assert_int_equal(seqpush_publisher_drain(f->publisher, PATIENCE), 0);
        assert_int_equal(f->event_count, 8);
        assert_int_equal(s_stats(f)->retries, 3);
        assert_int_equal(s_stats(f)->outcomes[SEQPUSH_ACCEPTED], 8);
        s_push(f, "a", 17, ""); //  the client is as any other again
        s_push(f, "a", 18, "");
        s_expect(f, "a17 a18");
        seqpush_publisher_destroy(&f->publisher);
    }
}

static void test_the_pause_doubles_where_the_broker_names_none(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push(f, "a", 9, "");
    uint64_t id = s_expect(f, "a9");
    for (int64_t pause = 10; pause <= 80; pause *= 2) {
        int64_t refused_at = s_now();
        s_refuse(f, id, 0, 0, SEQPUSH__V1__OUTCOME__WINDOW_FULL, 0);
        id = s_expect(f, "a9");
        assert_true(s_now() - refused_at >= pause);
    }
    s_refuse(f, id, 0, 0, SEQPUSH__V1__OUTCOME__DUPLICATE, 0);
    s_await_events(f, 1);
    s_assert_event(f, 0, "a", 9, SEQPUSH_DUPLICATE);
    assert_int_equal(s_stats(f)->retries, 4);
}

static void test_refusals_of_one_client_hold_up_no_other(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    s_push(f, "well", 0, "");
    s_push(f, "stuck", 1001, "");
    s_refuse(f, s_expect(f, "well0 stuck1001"), 1, 1, SEQPUSH__V1__OUTCOME__WINDOW_FULL, 1000000);
    s_await_events(f, 1);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        char text[32];
        s_push(f, "stuck", 1001 + seq, "");
        s_push(f, "well", seq, "");
        snprintf(text, sizeof text, "well%d", (int)seq);
        s_accept(f, s_expect(f, text), 0);
        s_await_events(f, seq + 1);
    }
    assert_int_equal(seqpush_publisher_poll(f->publisher, 0), 21);
    assert_int_equal(seqpush_publisher_drain(f->publisher, 1), -ETIMEDOUT);
}

static void test_of_a_numberless_client_one_batch_is_under_way(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    const char *payloads[] = {"1", "2", "3", "4", "5"};
    for (int i = 0; i < 5; i++)
        s_push(f, "a", 0, payloads[i]);
    s_push(f, "b", 0, "1");
    uint64_t first = s_expect(f, "a0 a0");
    s_accept(f, s_expect(f, "b0"), 0);
    s_await_events(f, 1);
    s_refuse(f, first, 1, 1, SEQPUSH__V1__OUTCOME__OVERLOADED, 5);
    s_await_events(f, 2);
    s_accept(f, s_expect(f, "a0"), 0); //  2, again
    s_accept(f, s_expect(f, "a0 a0"), 0);
    s_accept(f, s_expect(f, "a0"), 0);
    s_await_events(f, 6);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(f->events[i ? i + 1 : 1].payload, payloads[i]);
    assert_int_equal(s_stats(f)->retries, 1);
}

//  ---- replies that do not come ------------------------------------------------------------------

static void test_a_request_without_a_reply_is_sent_again(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 2, .reply_timeout = 50});
    for (uint64_t seq = 1; seq <= 6; seq++)
        s_push(f, "a", seq, "");
    uint64_t first = s_expect(f, "a1 a2");
    s_expect(f, "a3 a4");
    s_expect(f, "a5 a6");
    uint64_t again = s_expect(f, "a1 a2"); //  to a silent broker only the oldest one
    assert_true(again > first + 2);
    s_accept(f, again, 0);
    s_accept(f, s_expect(f, "a3 a4"), 0); //  now that it answers, the others
    s_accept(f, s_expect(f, "a5 a6"), 0);
    s_await_events(f, 6);
    assert_int_equal(s_stats(f)->resends, 6);
}

//  Takes requests until one carries just this push, and returns its id.
static uint64_t s_take_until(fixture_t *f, const char *expected)
{
    char text[32];
    uint64_t id;
    do
        id = s_take_text(f, text, sizeof text);
    while (strcmp(text, expected) != 0);
    return id;
}

//  Sends a reply that changes nothing, and waits until it has been read.
static void s_accept_in_vain(fixture_t *f, uint64_t id)
{
    size_t events = f->event_count;
    uint64_t errors = s_stats(f)->errors;
    s_accept(f, id, 0);
    s_reply_error(f, 0, "malformed");
    s_await_errors(f, errors + 1);
    assert_int_equal(f->event_count, events);
}

static void test_a_reply_counts_although_the_request_was_sent_again(void **state)
{
    static const struct {
        const char *text;
        seqpush_outcome_t outcome;
    } cases[] = {{"a1", SEQPUSH_ACCEPTED}, {"a2", SEQPUSH_DUPLICATE}, {"a3", SEQPUSH_STALE}};
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 1, .reply_timeout = 20});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s_push(f, "a", i + 1, "");
        uint64_t first = s_take_until(f, cases[i].text);
        s_expect(f, cases[i].text);
        uint64_t last = s_expect(f, cases[i].text);
        if (cases[i].outcome == SEQPUSH_ACCEPTED)
            s_accept(f, first, 0);
        else
            s_refuse(f, first, 0, 0, (int)cases[i].outcome, 0);
        s_await_events(f, i + 1);
        s_assert_event(f, i, "a", i + 1, cases[i].outcome);
        s_accept_in_vain(f, last);
    }
}

static void test_an_ack_of_several_requests_covers_first_sendings_and_copies(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 1, .reply_timeout = 50});
    for (uint64_t seq = 1; seq <= 4; seq++)
        s_push(f, "a", seq, "");
    uint64_t first = s_expect(f, "a1");
    s_expect(f, "a2");
    uint64_t third = s_expect(f, "a3");
    s_expect(f, "a4");
    uint64_t again = s_expect(f, "a1");
    assert_int_equal(again, first + 4);
    s_accept(f, third, 2); //  2 and 3, and not 1
    s_await_events(f, 2);
    s_assert_event(f, 0, "a", 2, SEQPUSH_ACCEPTED);
    s_assert_event(f, 1, "a", 3, SEQPUSH_ACCEPTED);
    s_accept(f, again, 2); //  4, and the copy of 1
    s_await_events(f, 4);
    s_accept_in_vain(f, first);
}

#define SLOW_PUSHES 3000
#define SLOW_REQUESTS_MAX 8192

//  Takes the requests that are there and notes when each is to be answered.
static uint64_t s_note_due(fixture_t *f, int64_t *due, uint64_t taken, uint32_t delay)
{
    while (s_has_request(f, 0)) {
        request_t *request = s_take(f);
        assert_int_equal(request->request_id, ++taken);
        assert_true(taken < SLOW_REQUESTS_MAX);
        due[taken] = s_now() + delay;
        s_free(request);
    }
    return taken;
}

//  Pushes to a broker that takes `delay` ms for every request, and answers what is due with one
//  PushAck for up to `requests` of them.
static void s_push_to_slow_broker(fixture_t *f, uint32_t delay, uint32_t requests)
{
    int64_t due[SLOW_REQUESTS_MAX]; //  by request_id
    uint64_t taken = 0, answered = 0, seq = 0;
    int64_t until = s_now() + PATIENCE;
    while (f->event_count < SLOW_PUSHES) {
        assert_true(s_now() < until);
        while (seq < SLOW_PUSHES && s_push(f, "a", seq + 1, "") == 0)
            seq++;
        seqpush_publisher_poll(f->publisher, 1);
        taken = s_note_due(f, due, taken, delay);
        uint32_t count = 0;
        for (; count < requests && answered < taken && due[answered + 1] <= s_now(); count++)
            answered++;
        if (count)
            s_accept(f, answered, count);
    }
}

static void test_a_broker_slower_than_the_reply_timeout_is_heard(void **state)
{
    static const uint32_t requests[] = {1, 16};
    fixture_t *f = *state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        s_start(f, (seqpush_publisher_options_t){.batch_max = 8, .reply_timeout = 10});
        s_push_to_slow_broker(f, 40, requests[i]);
        assert_int_equal(s_stats(f)->outcomes[SEQPUSH_ACCEPTED], SLOW_PUSHES);
        assert_true(s_stats(f)->resends < SLOW_PUSHES);
        seqpush_publisher_destroy(&f->publisher);
        f->event_count = 0;
    }
}

static void test_a_new_instance_is_sent_what_the_old_one_had(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    for (uint64_t seq = 1; seq <= 8; seq++)
        s_push(f, "a", seq, "");
    s_accept(f, s_expect(f, "a1 a2"), 0);
    s_expect(f, "a3 a4");
    s_expect(f, "a5 a6");
    uint64_t last = s_expect(f, "a7 a8");
    s_await_events(f, 2);
    f->instance = 8;
    s_accept(f, last, 0);
    s_accept(f, s_expect(f, "a3 a4"), 0);
    s_accept(f, s_expect(f, "a5 a6"), 0);
    s_await_events(f, 8);
    s_assert_event(f, 2, "a", 7, SEQPUSH_ACCEPTED);
    s_assert_event(f, 4, "a", 3, SEQPUSH_ACCEPTED);
    s_expect_nothing(f);
    assert_int_equal(s_stats(f)->resends, 4);
}

static void test_a_broker_that_comes_back_gets_everything(void **state)
{
    fixture_t *f = *state;
    int linger = 0;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 2, .reply_timeout = 50});
    for (uint64_t seq = 1; seq <= 4; seq++)
        s_push(f, "a", seq, "");
    s_expect(f, "a1 a2");
    s_expect(f, "a3 a4");
    zmq_setsockopt(f->router, ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(f->router);
    f->router = zmq_socket(f->context, ZMQ_ROUTER);
    f->instance = 8;
    int64_t until = s_now() + PATIENCE;
    while (zmq_bind(f->router, f->endpoint) == -1) {
        assert_true(s_now() < until); //  the old listener goes in the background
        seqpush_publisher_poll(f->publisher, 1);
    }
    bool seen[5] = {false};
    while (f->event_count < 4) {
        request_t *request = s_take(f);
        for (size_t i = 0; i < request->push->n_pushes; i++)
            seen[request->push->pushes[i]->seq] = true;
        s_accept(f, request->request_id, 0);
        s_free(request);
        seqpush_publisher_poll(f->publisher, 1);
    }
    assert_true(seen[1] && seen[2] && seen[3] && seen[4]);
    assert_int_equal(s_stats(f)->outcomes[SEQPUSH_ACCEPTED], 4);
}

//  ---- errors ------------------------------------------------------------------------------------

static void test_an_error_for_a_batch_is_the_outcome_of_its_pushes(void **state)
{
    static const struct {
        char *code;
        seqpush_outcome_t outcome;
    } cases[] = {
        {"invalid", SEQPUSH_INVALID},
        {"malformed", SEQPUSH_INVALID},
        {"forbidden", SEQPUSH_FORBIDDEN},
        {"shutting_down", SEQPUSH_SHUTTING_DOWN},
        {"of a later version", SEQPUSH_INVALID},
    };
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s_push(f, "a", 2 * i + 1, "");
        s_push(f, "a", 2 * i + 2, "");
        request_t *request = s_take(f);
        s_reply_error(f, request->request_id, cases[i].code);
        s_free(request);
        s_await_events(f, 2 * i + 2);
        s_assert_event(f, 2 * i, "a", 2 * i + 1, cases[i].outcome);
        s_assert_event(f, 2 * i + 1, "a", 2 * i + 2, cases[i].outcome);
    }
    s_push(f, "a", 99, "");
    s_reply_error(f, s_expect(f, "a99"), "overloaded");
    s_accept(f, s_expect(f, "a99"), 0);
    s_await_events(f, 11);
    assert_int_equal(s_stats(f)->errors, 6);
    assert_int_equal(s_stats(f)->retries, 1);
}

static void test_replies_that_make_no_sense_are_counted_and_change_nothing(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push(f, "a", 1, "");
    s_push(f, "a", 2, "");
    uint64_t id = s_expect(f, "a1 a2");
    s_reply_error(f, 0, "malformed");
    s_send(f, "\xff\xff\xff", 3);
    s_accept(f, id + 1, 0); //  never sent
    s_reply_error(f, id + 1, "invalid"); //  never sent
    rejection_t one = SEQPUSH__V1__REJECTION__INIT, two = one, *rejections[] = {&one, &two};
    one.index = 1;
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.rejected = rejections;
    ack.n_rejected = 2; //  not in the order of the batch
    s_reply_ack(f, id, ack);
    s_await_errors(f, 5);
    assert_int_equal(f->event_count, 0);
    s_accept(f, id, 0);
    s_await_events(f, 2);
}

//  ---- skip and reset ----------------------------------------------------------------------------

//  The broker's side of a Skip or Reset, on a thread of its own because the call waits.
static void s_answer_asks(void *arg)
{
    fixture_t *f = arg;
    for (;;) {
        assert_true(s_has_request(f, PATIENCE));
        f->peer_size = (size_t)zmq_recv(f->router, f->peer, sizeof f->peer, 0);
        uint8_t bytes[256];
        size_t size = (size_t)zmq_recv(f->router, bytes, sizeof bytes, 0);
        request_t *request = seqpush__v1__request__unpack(NULL, size, bytes);
        uint64_t id = request->request_id;
        Seqpush__V1__Position position = SEQPUSH__V1__POSITION__INIT;
        reply_t reply = SEQPUSH__V1__REPLY__INIT;
        bool last = false;
        reply.body_case = SEQPUSH__V1__REPLY__BODY_POSITION;
        reply.position = &position;
        reply.request_id = id;
        switch (request->body_case) {
        case SEQPUSH__V1__REQUEST__BODY_SKIP:
            position.epoch = request->skip->epoch;
            position.seq = request->skip->to;
            s_reply(f, &reply);
            break;
        case SEQPUSH__V1__REQUEST__BODY_RESET:
            last = request->reset->next_seq == 0;
            s_reply_error(f, id, "invalid");
            break;
        default:
            s_accept(f, id, 0);
        }
        s_free(request);
        if (last)
            return;
    }
}

static void test_skip_and_reset_wait_for_their_answer(void **state)
{
    fixture_t *f = *state;
    seqpush_position_t position = {0};
    s_start(f, (seqpush_publisher_options_t){0});
    s_push(f, "a", 1, "");
    void *thread = zmq_threadstart(s_answer_asks, f);
    assert_int_equal(seqpush_publisher_skip(f->publisher, "a", 1, 3, 5, 9, &position, PATIENCE), 0);
    assert_int_equal(position.epoch, 3);
    assert_int_equal(position.seq, 9);
    assert_int_equal(f->event_count, 1); //  what was handed in goes first
    assert_int_equal(seqpush_publisher_reset(f->publisher, "a", 1, 4, 0, &position, PATIENCE),
                     -EPROTO);
    zmq_threadclose(thread);
    assert_int_equal(seqpush_publisher_skip(f->publisher, "a", 1, 3, 5, 9, NULL, 20), -ETIMEDOUT);
    assert_int_equal(s_stats(f)->errors, 1);
}

//  ---- signals -----------------------------------------------------------------------------------

static void s_on_alarm(int number)
{
    (void)number;
}

static void test_a_signal_ends_the_wait(void **state)
{
    fixture_t *f = *state;
    struct sigaction action = {.sa_handler = s_on_alarm};
    struct itimerval timer = {{0, 20000}, {0, 20000}}, off = {{0, 0}, {0, 0}};
    s_start(f, (seqpush_publisher_options_t){0});
    s_push(f, "a", 1, "");
    s_expect(f, "a1");
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    assert_int_equal(seqpush_publisher_poll(f->publisher, -1), -EINTR);
    assert_int_equal(seqpush_publisher_drain(f->publisher, -1), -EINTR);
    assert_int_equal(seqpush_publisher_skip(f->publisher, "a", 1, 0, 1, 1, NULL, -1), -EINTR);
    setitimer(ITIMER_REAL, &off, NULL);
}

//  ---- everything at random ----------------------------------------------------------------------

#define RANDOM_CLIENTS 5
#define RANDOM_PUSHES 3000

static uint64_t s_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

//  A broker that numbers pushes, refuses at random, and answers late. It checks that those of one
//  client come in the order in which they were handed in.
static void s_decide_at_random(fixture_t *f, uint64_t *seed, uint64_t *next, bool refusing)
{
    static const int passing[] = {3, 4, 5, 10};
    request_t *request = s_take(f);
    rejection_t rejections[8], *pointers[8];
    bool refused[RANDOM_CLIENTS] = {false};
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.rejected = pointers;
    for (uint32_t i = 0; i < request->push->n_pushes; i++) {
        const Seqpush__V1__Push *push = request->push->pushes[i];
        size_t client = (size_t)(push->client_id.data[0] - 'a');
        uint64_t number = strtoull((char *)push->payload.data, NULL, 10);
        refused[client] |= refusing && s_random(seed) % 4 == 0;
        if (!refused[client]) {
            assert_int_equal(number, next[client]);
            next[client]++;
            continue;
        }
        rejection_t *rejection = pointers[ack.n_rejected] = &rejections[ack.n_rejected];
        ack.n_rejected++;
        seqpush__v1__rejection__init(rejection);
        rejection->index = i;
        rejection->outcome = passing[s_random(seed) % 4];
        rejection->retry_after_ms = (uint32_t)(s_random(seed) % 3);
    }
    s_reply_ack(f, request->request_id, ack);
    s_free(request);
}

static void test_numberless_pushes_keep_their_order_through_refusals(void **state)
{
    fixture_t *f = *state;
    uint64_t seed = (uint64_t)time(NULL), handed[RANDOM_CLIENTS] = {0}, next[RANDOM_CLIENTS] = {0};
    print_message("seed %llu\n", (unsigned long long)seed);
    s_start(f, (seqpush_publisher_options_t){.batch_max = 8, .undecided_max = 200});
    for (size_t i = 0; i < RANDOM_PUSHES;) {
        size_t client = s_random(&seed) % RANDOM_CLIENTS;
        char id[] = {(char)('a' + client), 0}, payload[16];
        snprintf(payload, sizeof payload, "%d ", (int)handed[client]);
        if (s_push(f, id, 0, payload) == 0) {
            handed[client]++;
            i++;
        } else {
            s_decide_at_random(f, &seed, next, true);
        }
    }
    while (seqpush_publisher_poll(f->publisher, 0) > 0)
        if (s_has_request(f, 0))
            s_decide_at_random(f, &seed, next, s_random(&seed) % 2);
    assert_int_equal(f->event_count, RANDOM_PUSHES);
    for (size_t i = 0; i < RANDOM_CLIENTS; i++)
        assert_int_equal(next[i], handed[i]);
    uint64_t told[RANDOM_CLIENTS] = {0};
    for (size_t i = 0; i < f->event_count; i++)
        assert_int_equal(strtoull(f->events[i].payload, NULL, 10),
                         told[f->events[i].client[0] - 'a']++);
}

static void test_names_of_outcomes(void **state)
{
    (void)state;
    assert_string_equal(seqpush_outcome_name(SEQPUSH_ACCEPTED), "accepted");
    assert_string_equal(seqpush_outcome_name(SEQPUSH_WINDOW_FULL), "window_full");
    assert_string_equal(seqpush_outcome_name(SEQPUSH_SHUTTING_DOWN), "shutting_down");
    assert_string_equal(seqpush_outcome_name((seqpush_outcome_t)12), "unknown");
}

#define with_broker(test) cmocka_unit_test_setup_teardown(test, s_setup, s_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_broker(test_pushes_are_encoded_as_protobuf_c_does),
        with_broker(test_a_full_batch_goes_out_at_once_and_the_rest_with_a_flush),
        with_broker(test_batches_are_bounded_in_bytes_and_a_larger_push_goes_alone),
        with_broker(test_what_cannot_be_is_refused),
        with_broker(test_no_more_is_taken_than_the_bounds_allow),
        with_broker(test_no_more_is_on_the_wire_than_the_credit),
        with_broker(test_a_full_window_is_waited_for_until_an_eighth_is_free),
        with_broker(test_every_push_is_told_its_outcome),
        with_broker(test_the_application_may_push_when_it_is_told_an_outcome),
        with_broker(test_one_ack_covers_the_last_requests),
        with_broker(test_the_outcome_carries_the_assigned_seq),
        with_broker(test_a_refused_push_is_tried_again_before_later_ones_of_its_client),
        with_broker(test_the_pause_doubles_where_the_broker_names_none),
        with_broker(test_refusals_of_one_client_hold_up_no_other),
        with_broker(test_of_a_numberless_client_one_batch_is_under_way),
        with_broker(test_a_request_without_a_reply_is_sent_again),
        with_broker(test_a_reply_counts_although_the_request_was_sent_again),
        with_broker(test_an_ack_of_several_requests_covers_first_sendings_and_copies),
        with_broker(test_a_broker_slower_than_the_reply_timeout_is_heard),
        with_broker(test_a_new_instance_is_sent_what_the_old_one_had),
        with_broker(test_a_broker_that_comes_back_gets_everything),
        with_broker(test_an_error_for_a_batch_is_the_outcome_of_its_pushes),
        with_broker(test_replies_that_make_no_sense_are_counted_and_change_nothing),
        with_broker(test_skip_and_reset_wait_for_their_answer),
        with_broker(test_a_signal_ends_the_wait),
        with_broker(test_numberless_pushes_keep_their_order_through_refusals),
        cmocka_unit_test(test_names_of_outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
