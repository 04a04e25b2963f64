/*  test_publisher.c - the publisher against a broker that the test plays, step by step

    The library encodes by hand; here protobuf-c reads and writes the other end, so each is held
    against an independent implementation.                                                        */

#include "publisher_fixture.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

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
    fixture_start(f, (seqpush_publisher_options_t){.batch_bytes = 1 << 20});
    memset(large, 'z', sizeof large);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(seqpush_publisher_push(f->publisher, &pushes[i]), 0);
    request_t *request = fixture_take(f);
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
    assert_int_equal(seqpush__v1__request__pack(request, packed), f->front.frame_size);
    assert_memory_equal(packed, f->front.frame, size);
    free(packed);
    front_free(request);
}

static void test_a_full_batch_goes_out_at_once_and_the_rest_with_a_flush(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    fixture_push(f, "a", 1, "");
    fixture_accept(f, fixture_expect(f, "a1"), 0); //  from here on it is connected
    fixture_await_events(f, 1);
    for (uint64_t seq = 2; seq <= 6; seq++)
        assert_int_equal(fixture_push(f, "a", seq, ""), 0);
    assert_true(front_has_request(&f->front, PATIENCE));
    fixture_expect(f, "a2 a3");
    assert_true(front_has_request(&f->front, PATIENCE));
    fixture_expect(f, "a4 a5");
    assert_false(front_has_request(&f->front, 20));
    seqpush_publisher_flush(f->publisher);
    assert_true(front_has_request(&f->front, PATIENCE));
    fixture_expect(f, "a6");
}

static void test_batches_are_bounded_in_bytes_and_a_larger_push_goes_alone(void **state)
{
    fixture_t *f = *state;
    static char large[301];
    memset(large, 'x', 300);
    fixture_start(f, (seqpush_publisher_options_t){.batch_bytes = 64});
    fixture_push(f, "a", 1, "12345678901234567890");
    fixture_push(f, "a", 2, "12345678901234567890");
    fixture_push(f, "a", 3, "12345678901234567890");
    fixture_push(f, "a", 4, large);
    fixture_push(f, "a", 5, "");
    fixture_expect(f, "a1 a2");
    fixture_expect(f, "a3");
    fixture_expect(f, "a4");
    fixture_expect(f, "a5");
}

static void test_what_cannot_be_is_refused(void **state)
{
    fixture_t *f = *state;
    char id[SEQPUSH_ID_MAX + 1] = {0};
    fixture_start(f, (seqpush_publisher_options_t){0});
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
        fixture_start(f, cases[i].options);
        int taken = 0;
        while (fixture_push(f, "a", (uint64_t)taken + 1,
                            "123456789012345678901234567890123456789") == 0)
            taken++;
        assert_int_equal(taken, cases[i].taken);
        assert_int_equal(fixture_push(f, "a", 1, ""), -EAGAIN);
        assert_int_equal(seqpush_publisher_poll(f->publisher, 0), taken);
        seqpush_publisher_destroy(&f->publisher);
    }
}

static void test_no_more_is_on_the_wire_than_the_credit(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 4});
    fixture_push(f, "a", 1, "");
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.credit = 6;
    uint64_t id = fixture_expect(f, "a1");
    for (uint64_t seq = 2; seq <= 13; seq++)
        assert_int_equal(fixture_push(f, "a", seq, ""), 0);
    fixture_expect(f, "a2 a3 a4 a5");
    uint64_t second = fixture_expect(f, "a6 a7 a8 a9"); //  was sent under the first credit
    uint64_t third = fixture_expect(f, "a10 a11 a12 a13");
    fixture_reply_ack(f, id, ack);
    fixture_await_events(f, 1);
    assert_int_equal(fixture_push(f, "a", 14, ""), -EAGAIN); //  12 undecided, 6 allowed
    fixture_accept(f, second, 2);
    fixture_await_events(f, 9);
    for (uint64_t seq = 14; seq <= 15; seq++)
        assert_int_equal(fixture_push(f, "a", seq, ""), 0);
    assert_int_equal(fixture_push(f, "a", 16, ""), -EAGAIN);
    fixture_expect(f, "a14 a15");
    fixture_accept(f, third, 0);
    fixture_await_events(f, 13);
    ack.credit = 3; //  less than a batch
    fixture_push(f, "a", 16, "");
    fixture_reply_ack(f, fixture_expect(f, "a16"), ack);
    fixture_await_events(f, 14);
    assert_int_equal(fixture_push(f, "a", 17, ""), 0);
    assert_int_equal(fixture_push(f, "a", 18, ""), -EAGAIN);
    fixture_expect(f, "a17");
}

static void test_a_full_window_is_waited_for_until_an_eighth_is_free(void **state)
{
    fixture_t *f = *state;
    uint64_t ids[8];
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 4, .undecided_max = 32});
    for (uint64_t seq = 1; seq <= 32; seq++)
        assert_int_equal(fixture_push(f, "a", seq, ""), 0);
    for (int i = 0; i < 8; i++) {
        request_t *request = fixture_take(f);
        ids[i] = request->request_id;
        front_free(request);
    }
    fixture_refuse(f, ids[0], 1, 3, SEQPUSH__V1__OUTCOME__WINDOW_FULL, 100000);
    fixture_await_events(f, 1);
    assert_int_equal(fixture_push(f, "a", 33, ""), 0); //  waits behind those three
    fixture_accept(f, ids[1], 0);
    assert_int_equal(seqpush_publisher_poll(f->publisher, PATIENCE), 28);
}

//  ---- outcomes ----------------------------------------------------------------------------------

static void test_every_push_is_told_its_outcome(void **state)
{
    static const int outcomes[] = {1, 2, 6, 7, 8, 9, 11, 99};
    fixture_t *f = *state;
    rejection_t rejections[8], *pointers[8];
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    fixture_start(f, (seqpush_publisher_options_t){0});
    for (uint64_t seq = 1; seq <= 10; seq++)
        fixture_push(f, "a", seq, "payload");
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
    fixture_reply_ack(f, fixture_expect(f, "a1 a2 a3 a4 a5 a6 a7 a8 a9 a10"), ack);
    fixture_await_events(f, 10);
    fixture_assert_event(f, 0, "a", 1, SEQPUSH_ACCEPTED);
    for (size_t i = 0; i < 7; i++)
        fixture_assert_event(f, i + 1, "a", i + 2, (seqpush_outcome_t)outcomes[i]);
    fixture_assert_event(f, 8, "a", 9,
                         SEQPUSH_INVALID); //  an outcome that this library does not know
    fixture_assert_event(f, 9, "a", 10, SEQPUSH_ACCEPTED);
    assert_string_equal(f->events[9].payload, "payload");
    assert_int_equal(fixture_stats(f)->outcomes[SEQPUSH_ACCEPTED], 2);
    assert_int_equal(fixture_stats(f)->outcomes[SEQPUSH_INVALID], 2);
    assert_int_equal(fixture_stats(f)->unreceived, 2);
    assert_int_equal(seqpush_publisher_poll(f->publisher, -1), 0);
}

static void test_the_application_may_push_when_it_is_told_an_outcome(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 1});
    for (uint64_t seq = 1; seq <= 3; seq++)
        fixture_push(f, "a", seq, "");
    fixture_expect(f, "a1");
    fixture_expect(f, "a2");
    uint64_t id = fixture_expect(f, "a3");
    f->next = 4;
    fixture_accept(f, id, 3);
    fixture_await_events(f, 3);
    f->next = 0;
    fixture_expect(f, "a4");
    fixture_expect(f, "a5");
    fixture_accept(f, fixture_expect(f, "a6"), 3);
    fixture_await_events(f, 6);
    for (size_t i = 0; i < 6; i++)
        fixture_assert_event(f, i, "a", i + 1, SEQPUSH_ACCEPTED);
}

static void test_one_ack_covers_the_last_requests(void **state)
{
    fixture_t *f = *state;
    uint64_t ids[5];
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 1});
    for (uint64_t seq = 1; seq <= 5; seq++)
        fixture_push(f, "a", seq, "");
    for (int i = 0; i < 5; i++) {
        char text[16];
        ids[i] = fixture_take_text(f, text, sizeof text);
    }
    fixture_accept(f, ids[3], 3);
    fixture_await_events(f, 3);
    for (size_t i = 0; i < 3; i++)
        fixture_assert_event(f, i, "a", i + 2, SEQPUSH_ACCEPTED);
    fixture_accept(f, ids[3], 3); //  once more, of no effect
    fixture_accept(f, ids[4], 1000);
    fixture_await_events(f, 5);
    assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
    assert_int_equal(fixture_stats(f)->outcomes[SEQPUSH_ACCEPTED], 5);
}

static void test_the_outcome_carries_the_assigned_seq(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 0, "one");
    fixture_push(f, "b", 5, "five");
    fixture_push(f, "a", 0, "two");
    fixture_push(f, "c", 0, "no");
    rejection_t rejection = SEQPUSH__V1__REJECTION__INIT, *rejections[] = {&rejection};
    rejection.index = 3;
    rejection.outcome = SEQPUSH__V1__OUTCOME__FORBIDDEN;
    uint64_t assigned[] = {41, 42, 0};
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.rejected = rejections;
    ack.n_rejected = 1;
    ack.assigned = assigned;
    ack.n_assigned = 3;
    fixture_reply_ack(f, fixture_expect(f, "a0 b5 a0 c0"), ack);
    fixture_await_events(f, 4);
    fixture_assert_event(f, 0, "a", 41, SEQPUSH_ACCEPTED);
    fixture_assert_event(f, 1, "b", 5, SEQPUSH_ACCEPTED);
    fixture_assert_event(f, 2, "a", 42, SEQPUSH_ACCEPTED);
    fixture_assert_event(f, 3, "c", 0, SEQPUSH_FORBIDDEN);
}

//  ---- refusals that may pass --------------------------------------------------------------------

static void test_a_refused_push_is_tried_again_before_later_ones_of_its_client(void **state)
{
    static const int outcomes[] = {
        SEQPUSH__V1__OUTCOME__WINDOW_FULL, SEQPUSH__V1__OUTCOME__BACKLOG_FULL,
        SEQPUSH__V1__OUTCOME__OVERLOADED, SEQPUSH__V1__OUTCOME__STORAGE_UNAVAILABLE};
    fixture_t *f = *state;
    for (size_t i = 0; i < 4; i++) {
        fixture_start(f, (seqpush_publisher_options_t){.batch_max = 4});
        f->event_count = 0;
        for (uint64_t seq = 11; seq <= 14; seq++)
            fixture_push(f, "a", seq, "");
        int64_t refused_at = front_now();
        fixture_refuse(f, fixture_expect(f, "a11 a12 a13 a14"), 1, 3, outcomes[i], 40);
        fixture_await_events(f, 1); //  a11
        fixture_push(f, "a", 15, "");
        fixture_push(f, "a", 10, "");
        fixture_push(f, "b", 1, "");
        fixture_accept(f, fixture_expect(f, "a10 b1"),
                       0); //  what fills a hole, and others, need not wait
        uint64_t probe = fixture_expect(f, "a12"); //  one, to see whether the bound still holds
        assert_true(front_now() - refused_at >= 40);
        fixture_push(f, "a", 16, "");
        fixture_expect_nothing(f);
        fixture_accept(f, probe, 0);
        uint64_t more = fixture_expect(f, "a13 a14"); //  then two
        fixture_accept(f, more, 0);
        fixture_accept(f, fixture_expect(f, "a15 a16"), 0);
        assert_int_equal(seqpush_publisher_drain(f->publisher, PATIENCE), 0);
        assert_int_equal(f->event_count, 8);
        assert_int_equal(fixture_stats(f)->retries, 3);
        assert_int_equal(fixture_stats(f)->outcomes[SEQPUSH_ACCEPTED], 8);
        fixture_push(f, "a", 17, ""); //  the client is as any other again
        fixture_push(f, "a", 18, "");
        fixture_expect(f, "a17 a18");
        seqpush_publisher_destroy(&f->publisher);
    }
}

static void test_the_pause_doubles_where_the_broker_names_none(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 9, "");
    uint64_t id = fixture_expect(f, "a9");
    for (int64_t pause = 10; pause <= 80; pause *= 2) {
        int64_t refused_at = front_now();
        fixture_refuse(f, id, 0, 0, SEQPUSH__V1__OUTCOME__WINDOW_FULL, 0);
        id = fixture_expect(f, "a9");
        assert_true(front_now() - refused_at >= pause);
    }
    fixture_refuse(f, id, 0, 0, SEQPUSH__V1__OUTCOME__DUPLICATE, 0);
    fixture_await_events(f, 1);
    fixture_assert_event(f, 0, "a", 9, SEQPUSH_DUPLICATE);
    assert_int_equal(fixture_stats(f)->retries, 4);
}

static void test_refusals_of_one_client_hold_up_no_other(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    fixture_push(f, "well", 0, "");
    fixture_push(f, "stuck", 1001, "");
    fixture_refuse(f, fixture_expect(f, "well0 stuck1001"), 1, 1, SEQPUSH__V1__OUTCOME__WINDOW_FULL,
                   1000000);
    fixture_await_events(f, 1);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        char text[32];
        fixture_push(f, "stuck", 1001 + seq, "");
        fixture_push(f, "well", seq, "");
        snprintf(text, sizeof text, "well%d", (int)seq);
        fixture_accept(f, fixture_expect(f, text), 0);
        fixture_await_events(f, seq + 1);
    }
    assert_int_equal(seqpush_publisher_poll(f->publisher, 0), 21);
    assert_int_equal(seqpush_publisher_drain(f->publisher, 1), -ETIMEDOUT);
}

static void test_of_a_numberless_client_one_batch_is_under_way(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    const char *payloads[] = {"1", "2", "3", "4", "5"};
    for (int i = 0; i < 5; i++)
        fixture_push(f, "a", 0, payloads[i]);
    fixture_push(f, "b", 0, "1");
    uint64_t first = fixture_expect(f, "a0 a0");
    fixture_accept(f, fixture_expect(f, "b0"), 0);
    fixture_await_events(f, 1);
    fixture_refuse(f, first, 1, 1, SEQPUSH__V1__OUTCOME__OVERLOADED, 5);
    fixture_await_events(f, 2);
    fixture_accept(f, fixture_expect(f, "a0"), 0); //  2, again
    fixture_accept(f, fixture_expect(f, "a0 a0"), 0);
    fixture_accept(f, fixture_expect(f, "a0"), 0);
    fixture_await_events(f, 6);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(f->events[i ? i + 1 : 1].payload, payloads[i]);
    assert_int_equal(fixture_stats(f)->retries, 1);
}

//  ---- replies that do not come ------------------------------------------------------------------

static void test_a_request_without_a_reply_is_sent_again(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 2, .reply_timeout = 50});
    for (uint64_t seq = 1; seq <= 6; seq++)
        fixture_push(f, "a", seq, "");
    uint64_t first = fixture_expect(f, "a1 a2");
    fixture_expect(f, "a3 a4");
    fixture_expect(f, "a5 a6");
    uint64_t again = fixture_expect(f, "a1 a2"); //  to a silent broker only the oldest one
    assert_true(again > first + 2);
    fixture_accept(f, again, 0);
    fixture_accept(f, fixture_expect(f, "a3 a4"), 0); //  now that it answers, the others
    fixture_accept(f, fixture_expect(f, "a5 a6"), 0);
    fixture_await_events(f, 6);
    assert_int_equal(fixture_stats(f)->resends, 6);
}

//  Takes requests until one carries just this push, and returns its id.
static uint64_t s_take_until(fixture_t *f, const char *expected)
{
    char text[32];
    uint64_t id;
    do
        id = fixture_take_text(f, text, sizeof text);
    while (strcmp(text, expected) != 0);
    return id;
}

//  Sends a reply that changes nothing, and waits until it has been read.
static void s_accept_in_vain(fixture_t *f, uint64_t id)
{
    size_t events = f->event_count;
    uint64_t errors = fixture_stats(f)->errors;
    fixture_accept(f, id, 0);
    front_reply_error(&f->front, 0, "malformed");
    fixture_await_errors(f, errors + 1);
    assert_int_equal(f->event_count, events);
}

static void test_a_reply_counts_although_the_request_was_sent_again(void **state)
{
    static const struct {
        const char *text;
        seqpush_outcome_t outcome;
    } cases[] = {{"a1", SEQPUSH_ACCEPTED}, {"a2", SEQPUSH_DUPLICATE}, {"a3", SEQPUSH_STALE}};
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 1, .reply_timeout = 20});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_push(f, "a", i + 1, "");
        uint64_t first = s_take_until(f, cases[i].text);
        fixture_expect(f, cases[i].text);
        uint64_t last = fixture_expect(f, cases[i].text);
        if (cases[i].outcome == SEQPUSH_ACCEPTED)
            fixture_accept(f, first, 0);
        else
            fixture_refuse(f, first, 0, 0, (int)cases[i].outcome, 0);
        fixture_await_events(f, i + 1);
        fixture_assert_event(f, i, "a", i + 1, cases[i].outcome);
        s_accept_in_vain(f, last);
    }
}

static void test_an_ack_of_several_requests_covers_first_sendings_and_copies(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 1, .reply_timeout = 50});
    for (uint64_t seq = 1; seq <= 4; seq++)
        fixture_push(f, "a", seq, "");
    uint64_t first = fixture_expect(f, "a1");
    fixture_expect(f, "a2");
    uint64_t third = fixture_expect(f, "a3");
    fixture_expect(f, "a4");
    uint64_t again = fixture_expect(f, "a1");
    assert_int_equal(again, first + 4);
    fixture_accept(f, third, 2); //  2 and 3, and not 1
    fixture_await_events(f, 2);
    fixture_assert_event(f, 0, "a", 2, SEQPUSH_ACCEPTED);
    fixture_assert_event(f, 1, "a", 3, SEQPUSH_ACCEPTED);
    fixture_accept(f, again, 2); //  4, and the copy of 1
    fixture_await_events(f, 4);
    s_accept_in_vain(f, first);
}

#define SLOW_PUSHES 3000
#define SLOW_REQUESTS_MAX 8192

//  Takes the requests that are there and notes when each is to be answered.
static uint64_t s_note_due(fixture_t *f, int64_t *due, uint64_t taken, uint32_t delay)
{
    while (front_has_request(&f->front, 0)) {
        request_t *request = fixture_take(f);
        assert_int_equal(request->request_id, ++taken);
        assert_true(taken < SLOW_REQUESTS_MAX);
        due[taken] = front_now() + delay;
        front_free(request);
    }
    return taken;
}

//  Pushes to a broker that takes `delay` ms for every request, and answers what is due with one
//  PushAck for up to `requests` of them.
static void s_push_to_slow_broker(fixture_t *f, uint32_t delay, uint32_t requests)
{
    int64_t due[SLOW_REQUESTS_MAX]; //  by request_id
    uint64_t taken = 0, answered = 0, seq = 0;
    int64_t until = front_now() + PATIENCE;
    while (f->event_count < SLOW_PUSHES) {
        assert_true(front_now() < until);
        while (seq < SLOW_PUSHES && fixture_push(f, "a", seq + 1, "") == 0)
            seq++;
        seqpush_publisher_poll(f->publisher, 1);
        taken = s_note_due(f, due, taken, delay);
        uint32_t count = 0;
        for (; count < requests && answered < taken && due[answered + 1] <= front_now(); count++)
            answered++;
        if (count)
            fixture_accept(f, answered, count);
    }
}

static void test_a_broker_slower_than_the_reply_timeout_is_heard(void **state)
{
    static const uint32_t requests[] = {1, 16};
    fixture_t *f = *state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        fixture_start(f, (seqpush_publisher_options_t){.batch_max = 8, .reply_timeout = 10});
        s_push_to_slow_broker(f, 40, requests[i]);
        assert_int_equal(fixture_stats(f)->outcomes[SEQPUSH_ACCEPTED], SLOW_PUSHES);
        assert_true(fixture_stats(f)->resends < SLOW_PUSHES);
        seqpush_publisher_destroy(&f->publisher);
        f->event_count = 0;
    }
}

static void test_a_new_instance_is_sent_what_the_old_one_had(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    for (uint64_t seq = 1; seq <= 8; seq++)
        fixture_push(f, "a", seq, "");
    fixture_accept(f, fixture_expect(f, "a1 a2"), 0);
    fixture_expect(f, "a3 a4");
    fixture_expect(f, "a5 a6");
    uint64_t last = fixture_expect(f, "a7 a8");
    fixture_await_events(f, 2);
    f->front.instance = 8;
    fixture_accept(f, last, 0);
    fixture_accept(f, fixture_expect(f, "a3 a4"), 0);
    fixture_accept(f, fixture_expect(f, "a5 a6"), 0);
    fixture_await_events(f, 8);
    fixture_assert_event(f, 2, "a", 7, SEQPUSH_ACCEPTED);
    fixture_assert_event(f, 4, "a", 3, SEQPUSH_ACCEPTED);
    fixture_expect_nothing(f);
    assert_int_equal(fixture_stats(f)->resends, 4);
}

static void test_a_broker_that_comes_back_gets_everything(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 2, .reply_timeout = 50});
    for (uint64_t seq = 1; seq <= 4; seq++)
        fixture_push(f, "a", seq, "");
    fixture_expect(f, "a1 a2");
    fixture_expect(f, "a3 a4");
    front_restart(&f->front);
    bool seen[5] = {false};
    while (f->event_count < 4) {
        request_t *request = fixture_take(f);
        for (size_t i = 0; i < request->push->n_pushes; i++)
            seen[request->push->pushes[i]->seq] = true;
        fixture_accept(f, request->request_id, 0);
        front_free(request);
        seqpush_publisher_poll(f->publisher, 1);
    }
    assert_true(seen[1] && seen[2] && seen[3] && seen[4]);
    assert_int_equal(fixture_stats(f)->outcomes[SEQPUSH_ACCEPTED], 4);
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
    fixture_start(f, (seqpush_publisher_options_t){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_push(f, "a", 2 * i + 1, "");
        fixture_push(f, "a", 2 * i + 2, "");
        request_t *request = fixture_take(f);
        front_reply_error(&f->front, request->request_id, cases[i].code);
        front_free(request);
        fixture_await_events(f, 2 * i + 2);
        fixture_assert_event(f, 2 * i, "a", 2 * i + 1, cases[i].outcome);
        fixture_assert_event(f, 2 * i + 1, "a", 2 * i + 2, cases[i].outcome);
    }
    fixture_push(f, "a", 99, "");
    front_reply_error(&f->front, fixture_expect(f, "a99"), "overloaded");
    fixture_accept(f, fixture_expect(f, "a99"), 0);
    fixture_await_events(f, 11);
    assert_int_equal(fixture_stats(f)->errors, 6);
    assert_int_equal(fixture_stats(f)->retries, 1);
}

static void test_replies_that_make_no_sense_are_counted_and_change_nothing(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    fixture_push(f, "a", 2, "");
    uint64_t id = fixture_expect(f, "a1 a2");
    front_reply_error(&f->front, 0, "malformed");
    front_send(&f->front, "\xff\xff\xff", 3);
    fixture_accept(f, id + 1, 0); //  never sent
    front_reply_error(&f->front, id + 1, "invalid"); //  never sent
    rejection_t one = SEQPUSH__V1__REJECTION__INIT, two = one, *rejections[] = {&one, &two};
    one.index = 1;
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.rejected = rejections;
    ack.n_rejected = 2; //  not in the order of the batch
    fixture_reply_ack(f, id, ack);
    fixture_await_errors(f, 5);
    assert_int_equal(f->event_count, 0);
    fixture_accept(f, id, 0);
    fixture_await_events(f, 2);
}

//  ---- skip and reset ----------------------------------------------------------------------------

//  The broker's side of a Skip or Reset, on a thread of its own because the call waits.
static void s_answer_asks(void *arg)
{
    fixture_t *f = arg;
    for (;;) {
        assert_true(front_has_request(&f->front, PATIENCE));
        f->front.peer_size =
            (size_t)zmq_recv(f->front.router, f->front.peer, sizeof f->front.peer, 0);
        uint8_t bytes[256];
        size_t size = (size_t)zmq_recv(f->front.router, bytes, sizeof bytes, 0);
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
            front_reply(&f->front, &reply);
            break;
        case SEQPUSH__V1__REQUEST__BODY_RESET:
            last = request->reset->next_seq == 0;
            front_reply_error(&f->front, id, "invalid");
            break;
        default:
            fixture_accept(f, id, 0);
        }
        front_free(request);
        if (last)
            return;
    }
}

static void test_skip_and_reset_wait_for_their_answer(void **state)
{
    fixture_t *f = *state;
    seqpush_position_t position = {0};
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    void *thread = zmq_threadstart(s_answer_asks, f);
    assert_int_equal(seqpush_publisher_skip(f->publisher, "a", 1, 3, 5, 9, &position, PATIENCE), 0);
    assert_int_equal(position.epoch, 3);
    assert_int_equal(position.seq, 9);
    assert_int_equal(f->event_count, 1); //  what was handed in goes first
    assert_int_equal(seqpush_publisher_reset(f->publisher, "a", 1, 4, 0, &position, PATIENCE),
                     -EINVAL);
    zmq_threadclose(thread);
    assert_int_equal(seqpush_publisher_skip(f->publisher, "a", 1, 3, 5, 9, NULL, 20), -ETIMEDOUT);
    assert_int_equal(fixture_stats(f)->errors, 1);
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
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    fixture_expect(f, "a1");
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

//  A broker that numbers pushes, refuses at random, and answers late. It checks that those of one
//  client come in the order in which they were handed in.
static void s_decide_at_random(fixture_t *f, uint64_t *seed, uint64_t *next, bool refusing)
{
    static const int passing[] = {3, 4, 5, 10};
    request_t *request = fixture_take(f);
    rejection_t rejections[8], *pointers[8];
    bool refused[RANDOM_CLIENTS] = {false};
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.rejected = pointers;
    for (uint32_t i = 0; i < request->push->n_pushes; i++) {
        const Seqpush__V1__Push *push = request->push->pushes[i];
        size_t client = (size_t)(push->client_id.data[0] - 'a');
        uint64_t number = strtoull((char *)push->payload.data, NULL, 10);
        refused[client] |= refusing && front_random(seed) % 4 == 0;
        if (!refused[client]) {
            assert_int_equal(number, next[client]);
            next[client]++;
            continue;
        }
        rejection_t *rejection = pointers[ack.n_rejected] = &rejections[ack.n_rejected];
        ack.n_rejected++;
        seqpush__v1__rejection__init(rejection);
        rejection->index = i;
        rejection->outcome = passing[front_random(seed) % 4];
        rejection->retry_after_ms = (uint32_t)(front_random(seed) % 3);
    }
    fixture_reply_ack(f, request->request_id, ack);
    front_free(request);
}

static void test_numberless_pushes_keep_their_order_through_refusals(void **state)
{
    fixture_t *f = *state;
    uint64_t seed = (uint64_t)time(NULL), handed[RANDOM_CLIENTS] = {0}, next[RANDOM_CLIENTS] = {0};
    print_message("seed %llu\n", (unsigned long long)seed);
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 8, .undecided_max = 200});
    for (size_t i = 0; i < RANDOM_PUSHES;) {
        size_t client = front_random(&seed) % RANDOM_CLIENTS;
        char id[] = {(char)('a' + client), 0}, payload[16];
        snprintf(payload, sizeof payload, "%d ", (int)handed[client]);
        if (fixture_push(f, id, 0, payload) == 0) {
            handed[client]++;
            i++;
        } else {
            s_decide_at_random(f, &seed, next, true);
        }
    }
    while (seqpush_publisher_poll(f->publisher, 0) > 0)
        if (front_has_request(&f->front, 0))
            s_decide_at_random(f, &seed, next, front_random(&seed) % 2);
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
