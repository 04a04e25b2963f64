/*  test_confirm.c - a publisher that is told what its receivers have acknowledged */

#include "publisher_fixture.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void s_start(fixture_t *f, seqpush_publisher_options_t options)
{
    options.confirm = true;
    fixture_start(f, options);
}

//  Pushes, and accepts them.
static void s_push_and_accept(fixture_t *f, const char *client, uint64_t first, uint64_t last)
{
    size_t events = f->event_count;
    for (uint64_t seq = first; seq <= last; seq++)
        assert_int_equal(fixture_push(f, client, seq, "payload"), 0);
    while (f->event_count < events + last - first + 1) {
        request_t *request = fixture_take(f);
        fixture_accept(f, request->request_id, 0);
        fixture_await_events(f, f->event_count + request->push->n_pushes);
        front_free(request);
    }
}

//  Refuses the only push of a request.
static void s_refuse(fixture_t *f, uint64_t id, seqpush_outcome_t outcome)
{
    fixture_refuse(f, id, 0, 0, (int)outcome, 0);
}

//  ---- what is told ------------------------------------------------------------------------------

static void test_the_request_asks_for_confirmations(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "payload");
    request_t *request = fixture_take(f);
    assert_int_equal(request->push->confirm, SEQPUSH__V1__CONFIRM__CONFIRM_DELIVERED);
    uint8_t packed[256];
    assert_int_equal(seqpush__v1__request__pack(request, packed), f->front.frame_size);
    assert_memory_equal(packed, f->front.frame, f->front.frame_size);
    front_free(request);
}

static void test_each_push_is_told_delivered_once_up_to_the_position(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push_and_accept(f, "a", 1, 5);
    s_push_and_accept(f, "b", 7, 8);
    assert_int_equal(seqpush_publisher_poll(f->publisher, 0), 7);
    fixture_confirm(f, "a3", "");
    fixture_await_delivered(f, 3, "a1 a2 a3");
    fixture_confirm(f, "a3", ""); //  once more, of no effect
    fixture_confirm(f, "b8 a4", "");
    fixture_await_delivered(f, 6, "a1 a2 a3 b7 b8 a4");
    assert_int_equal(seqpush_publisher_drain(f->publisher, 1), -ETIMEDOUT);
    fixture_confirm(f, "c9 a100", ""); //  of a client of which nothing waits, and beyond
    fixture_await_delivered(f, 7, "a1 a2 a3 b7 b8 a4 a5");
    assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
    assert_int_equal(fixture_stats(f)->delivered, 7);
    assert_int_equal(fixture_stats(f)->outcomes[SEQPUSH_ACCEPTED], 7);
    assert_int_equal(f->event_count, 7);
}

static void test_a_position_confirms_its_own_epoch_alone(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        seqpush_push_t push = {"a", 1, epoch, 1, NULL, 0};
        assert_int_equal(seqpush_publisher_push(f->publisher, &push), 0);
    }
    fixture_accept(f, fixture_expect(f, "a1 a1 a1"), 0);
    fixture_await_events(f, 3);
    fixture_confirm(f, "a1/9", "");
    fixture_await_delivered(f, 1, "a1/1");
    fixture_confirm(f, "a2/1 a0", "");
    fixture_await_delivered(f, 2, "a1/1 a2/1");
    fixture_confirm(f, "a1", "");
    fixture_await_delivered(f, 3, "a1/1 a2/1 a1");
}

static void test_what_is_given_up_is_told_singly(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push_and_accept(f, "a", 1, 4);
    fixture_confirm(f, "a3", "a2 b7 a9"); //  those that nobody pushed are of no effect
    fixture_await_delivered(f, 3, "!a2 a1 a3");
    fixture_confirm(f, "", "a4 a2");
    fixture_await_delivered(f, 4, "!a2 a1 a3 !a4");
    assert_int_equal(fixture_stats(f)->given_up, 2);
    assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
}

static void test_what_the_broker_did_not_take_is_not_waited_for(void **state)
{
    static const seqpush_outcome_t outcomes[] = {SEQPUSH_STALE,     SEQPUSH_EPOCH_MISMATCH,
                                                 SEQPUSH_TOO_LARGE, SEQPUSH_INVALID,
                                                 SEQPUSH_FORBIDDEN, SEQPUSH_SHUTTING_DOWN};
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        fixture_push(f, "a", 1, "");
        s_refuse(f, fixture_expect(f, "a1"), outcomes[i]);
        fixture_await_events(f, i + 1);
        assert_int_equal(f->events[i].outcome, outcomes[i]);
        assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
    }
    fixture_confirm(f, "a1", "");
    s_push_and_accept(f, "b", 1, 1);
    fixture_confirm(f, "b1", "");
    fixture_await_delivered(f, 1, "b1");
}

static void test_a_duplicate_is_waited_for(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    s_refuse(f, fixture_expect(f, "a1"), SEQPUSH_DUPLICATE);
    fixture_await_events(f, 1);
    assert_int_equal(seqpush_publisher_poll(f->publisher, 0), 1);
    fixture_confirm(f, "a1", "");
    fixture_await_delivered(f, 1, "a1");
}

static void test_a_confirmation_that_comes_before_the_outcome_is_told_after_it(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    uint64_t id = fixture_expect(f, "a1");
    fixture_confirm(f, "a1", "");
    front_reply_error(&f->front, 0, "malformed"); //  when this is read, that is
    fixture_await_errors(f, 1);
    assert_string_equal(f->delivered, "");
    fixture_accept(f, id, 0);
    fixture_await_delivered(f, 1, "a1");
    assert_int_equal(f->event_count, 1);
}

static void test_the_same_push_twice_has_two_outcomes_and_one_delivery(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 1});
    fixture_push(f, "a", 1, "");
    fixture_push(f, "a", 1, "");
    fixture_accept(f, fixture_expect(f, "a1"), 0);
    s_refuse(f, fixture_expect(f, "a1"), SEQPUSH_DUPLICATE);
    fixture_await_events(f, 2);
    assert_int_equal(seqpush_publisher_poll(f->publisher, 0), 1);
    fixture_push(f, "a", 1, ""); //  while it waits
    s_refuse(f, fixture_expect(f, "a1"), SEQPUSH_DUPLICATE);
    fixture_await_events(f, 3);
    fixture_confirm(f, "a1", "");
    fixture_await_delivered(f, 1, "a1");
    assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
}

static void test_without_confirm_nothing_is_told_nor_asked(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    request_t *request = fixture_take(f);
    assert_int_equal(request->push->confirm, SEQPUSH__V1__CONFIRM__CONFIRM_ACCEPTED);
    fixture_accept(f, request->request_id, 0);
    front_free(request);
    fixture_confirm(f, "a1", "");
    fixture_await_events(f, 1);
    seqpush_publisher_poll(f->publisher, 20);
    assert_string_equal(f->delivered, "");
}

//  ---- bounds ------------------------------------------------------------------------------------

static void test_what_is_unconfirmed_counts_as_undecided(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.undecided_max = 3});
    s_push_and_accept(f, "a", 1, 3);
    assert_int_equal(fixture_push(f, "a", 4, ""), -EAGAIN);
    fixture_confirm(f, "a1", "");
    fixture_await_delivered(f, 1, "a1");
    assert_int_equal(fixture_push(f, "a", 4, ""), 0);
    assert_int_equal(fixture_push(f, "a", 5, ""), -EAGAIN);
    seqpush_publisher_destroy(&f->publisher);
    s_start(f, (seqpush_publisher_options_t){.undecided_bytes = 20});
    s_push_and_accept(f, "b", 1, 2);
    assert_int_equal(fixture_push(f, "b", 3, ""), -EAGAIN);
    fixture_confirm(f, "b2", "");
    fixture_await_delivered(f, 2, "a1 b1 b2");
    assert_int_equal(fixture_push(f, "b", 3, ""), 0);
}

static void test_what_waits_for_a_receiver_takes_up_no_credit(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.credit = 2;
    for (uint64_t seq = 1; seq <= 10; seq++) {
        assert_int_equal(fixture_push(f, "a", seq, ""), 0);
        request_t *request = fixture_take(f);
        fixture_reply_ack(f, request->request_id, ack);
        front_free(request);
        fixture_await_events(f, seq);
    }
    assert_int_equal(seqpush_publisher_poll(f->publisher, 0), 10);
}

static void test_a_push_that_the_broker_is_to_number_cannot_be_confirmed(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    assert_int_equal(fixture_push(f, "a", 0, ""), -EINVAL);
    assert_int_equal(seqpush_publisher_poll(f->publisher, 0), 0);
}

//  ---- offering again ----------------------------------------------------------------------------

static void test_a_new_instance_is_offered_what_is_unconfirmed(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    s_push_and_accept(f, "a", 1, 4);
    fixture_confirm(f, "a1", "");
    fixture_await_delivered(f, 1, "a1");
    f->front.instance = 8;
    s_push_and_accept(f, "b", 1, 1); //  by which the new instance is noticed
    fixture_accept(f, fixture_expect(f, "a2 a3"), 0);
    s_refuse(f, fixture_expect(f, "a4"), SEQPUSH_DUPLICATE);
    fixture_confirm(f, "b1", "");
    fixture_await_delivered(f, 2, "a1 b1");
    assert_int_equal(f->event_count, 5); //  no outcome is told twice
    fixture_expect_nothing(f); //  and nothing is offered a third time
    fixture_confirm(f, "a4", "");
    fixture_await_delivered(f, 5, "a1 b1 a2 a3 a4");
    assert_int_equal(fixture_stats(f)->resends, 3);
    assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
}

static void test_a_broker_that_comes_back_is_offered_what_is_unconfirmed(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push_and_accept(f, "a", 1, 3);
    front_restart(&f->front);
    uint64_t id = fixture_expect(f, "a1 a2 a3"); //  without a new push
    fixture_accept(f, id, 0);
    fixture_confirm(f, "a3", "");
    fixture_await_delivered(f, 3, "a1 a2 a3");
    fixture_expect_nothing(f);
    assert_int_equal(f->event_count, 3);
}

static void test_a_connection_that_comes_back_is_offered_what_is_unconfirmed(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push_and_accept(f, "a", 1, 2);
    front_restart(&f->front);
    f->front.instance--; //  the broker is the same
    uint64_t id = fixture_expect(f, "a1 a2");
    fixture_confirm(f, "a1", ""); //  only what the answer to this says counts
    fixture_refuse(f, id, 0, 1, SEQPUSH_DUPLICATE, 0);
    fixture_await_delivered(f, 1, "a1");
    fixture_confirm(f, "a2", "");
    fixture_await_delivered(f, 2, "a1 a2");
}

static void test_a_push_that_is_refused_when_it_is_offered_again_is_given_up(void **state)
{
    static const seqpush_outcome_t outcomes[] = {SEQPUSH_STALE, SEQPUSH_EPOCH_MISMATCH,
                                                 SEQPUSH_TOO_LARGE, SEQPUSH_INVALID,
                                                 SEQPUSH_FORBIDDEN};
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        s_push_and_accept(f, "a", i + 1, i + 1);
        front_restart(&f->front);
        request_t *request = fixture_take(f);
        s_refuse(f, request->request_id, outcomes[i]);
        front_free(request);
        int64_t until = front_now() + PATIENCE;
        while (fixture_stats(f)->given_up <= i) {
            assert_true(front_now() < until);
            seqpush_publisher_poll(f->publisher, 1);
        }
        assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
    }
    assert_string_equal(f->delivered, "!a1 !a2 !a3 !a4 !a5");
    assert_int_equal(f->event_count, 5);
}

static void test_a_bound_that_is_hit_when_it_is_offered_again_passes(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push_and_accept(f, "a", 5, 6);
    front_restart(&f->front);
    fixture_refuse(f, fixture_expect(f, "a5 a6"), 0, 1, SEQPUSH_WINDOW_FULL, 5);
    fixture_accept(f, fixture_expect(f, "a5"), 0);
    assert_int_equal(fixture_push(f, "a", 7, ""), 0);
    fixture_accept(f, fixture_expect(f, "a6 a7"), 0);
    fixture_await_events(f, 3);
    fixture_confirm(f, "a7", "");
    fixture_await_delivered(f, 3, "a5 a6 a7");
    assert_int_equal(seqpush_publisher_drain(f->publisher, 0), 0);
}

static void test_a_broker_that_shuts_down_is_asked_again_when_it_is_back(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){0});
    s_push_and_accept(f, "a", 1, 1);
    front_restart(&f->front);
    s_refuse(f, fixture_expect(f, "a1"), SEQPUSH_SHUTTING_DOWN);
    front_reply_error(&f->front, 0, "malformed"); //  when this is read, that is
    fixture_await_errors(f, 1);
    fixture_expect_nothing(f);
    front_restart(&f->front);
    fixture_accept(f, fixture_expect(f, "a1"), 0);
    fixture_confirm(f, "a1", "");
    fixture_await_delivered(f, 1, "a1");
}

static void test_a_confirmation_that_was_lost_is_asked_for(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.reply_timeout = 10}); //  30 times that
    int64_t began = front_now();
    s_push_and_accept(f, "a", 1, 2);
    fixture_refuse(f, fixture_expect(f, "a1 a2"), 0, 1, SEQPUSH_DUPLICATE, 0);
    assert_true(front_now() - began >= 300);
    fixture_confirm(f, "a2", "");
    fixture_await_delivered(f, 2, "a1 a2");
}

static void test_more_is_not_offered_again_than_the_credit(void **state)
{
    fixture_t *f = *state;
    s_start(f, (seqpush_publisher_options_t){.batch_max = 4});
    s_push_and_accept(f, "a", 1, 40);
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.credit = 8;
    fixture_push(f, "b", 1, "");
    fixture_reply_ack(f, fixture_expect(f, "b1"), ack);
    fixture_await_events(f, 41);
    front_restart(&f->front);
    fixture_expect(f, "a1 a2 a3 a4");
    uint64_t id = fixture_expect(f, "a5 a6 a7 a8");
    fixture_expect_nothing(f);
    fixture_accept(f, id, 2);
    fixture_expect(f, "a9 a10 a11 a12");
    fixture_expect(f, "a13 a14 a15 a16");
    fixture_expect_nothing(f);
}

//  ---- everything at random ----------------------------------------------------------------------

#define RANDOM_CLIENTS 4
#define RANDOM_PUSHES 2000

//  A broker that forgets all it has now and then, refuses at random, answers late or not at all, and
//  confirms what it has in order.
typedef struct {
    bool has[RANDOM_CLIENTS][RANDOM_PUSHES + 2];
    uint64_t delivered[RANDOM_CLIENTS]; //  by receivers, who do not forget
    uint64_t outcomes, told;
} random_t;

static void s_take_at_random(fixture_t *f, uint64_t *seed, random_t *random)
{
    request_t *request = front_receive(&f->front);
    rejection_t rejections[8], *pointers[8];
    Seqpush__V1__PushAck ack = SEQPUSH__V1__PUSH_ACK__INIT;
    ack.rejected = pointers;
    for (uint32_t i = 0; i < request->push->n_pushes; i++) {
        const Seqpush__V1__Push *push = request->push->pushes[i];
        size_t client = (size_t)(push->client_id.data[0] - 'a');
        bool refused = front_random(seed) % 8 == 0;
        bool *has = &random->has[client][push->seq];
        if (!refused && !*has && push->seq > random->delivered[client]) {
            *has = true;
            continue;
        }
        rejection_t *rejection = pointers[ack.n_rejected] = &rejections[ack.n_rejected];
        ack.n_rejected++;
        seqpush__v1__rejection__init(rejection);
        rejection->index = i;
        rejection->outcome =
            refused ? SEQPUSH__V1__OUTCOME__OVERLOADED : SEQPUSH__V1__OUTCOME__DUPLICATE;
        rejection->retry_after_ms = 1;
    }
    if (front_random(seed) % 8)
        fixture_reply_ack(f, request->request_id, ack);
    front_free(request);
}

static void s_confirm_at_random(fixture_t *f, random_t *random)
{
    char text[128] = "";
    for (size_t client = 0; client < RANDOM_CLIENTS; client++) {
        uint64_t *seq = &random->delivered[client];
        while (random->has[client][*seq + 1])
            ++*seq;
        if (*seq)
            sprintf(text + strlen(text), "%s%c%d", *text ? " " : "", (char)('a' + client),
                    (int)*seq);
    }
    fixture_confirm(f, text, "");
}

static void s_count_outcome(void *arg, const seqpush_push_t *push, seqpush_outcome_t outcome)
{
    random_t *random = arg;
    assert_true(push->seq && outcome <= SEQPUSH_DUPLICATE);
    random->outcomes++;
}

static void s_count_delivered(void *arg, const void *client_id, size_t size, uint64_t epoch,
                              uint64_t seq, bool given_up)
{
    random_t *random = arg;
    assert_true(size == 1 && epoch == 0 && !given_up);
    assert_true(seq <= random->delivered[*(const char *)client_id - 'a']);
    random->told++;
}

static void test_every_push_is_told_delivered_once_whatever_happens(void **state)
{
    fixture_t *f = *state;
    random_t *random = calloc(1, sizeof *random);
    uint64_t seed = (uint64_t)time(NULL), next[RANDOM_CLIENTS] = {0}, handed = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    f->publisher = seqpush_publisher_new(&(seqpush_publisher_options_t){
        .broker = f->front.endpoint,
        .batch_max = 8,
        .undecided_max = 300,
        .reply_timeout = 10,
        .confirm = true,
        .on_outcome = s_count_outcome,
        .on_delivered = s_count_delivered,
        .arg = random,
    });
    int64_t until = front_now() + 3 * PATIENCE;
    while (handed < RANDOM_PUSHES || seqpush_publisher_poll(f->publisher, 0) > 0) {
        assert_true(front_now() < until);
        for (int i = 0; i < 20 && handed < RANDOM_PUSHES; i++) {
            size_t client = front_random(&seed) % RANDOM_CLIENTS;
            char id[] = {(char)('a' + client), 0};
            if (fixture_push(f, id, next[client] + 1, "payload") != 0)
                break;
            next[client]++;
            handed++;
        }
        seqpush_publisher_poll(f->publisher, 1);
        if (front_random(&seed) % 200 == 0) {
            front_restart(&f->front);
            memset(random->has, 0, sizeof random->has);
            f->front.peer_size = 0;
        }
        while (front_has_request(&f->front, 0))
            s_take_at_random(f, &seed, random);
        if (f->front.peer_size && front_random(&seed) % 4 == 0)
            s_confirm_at_random(f, random);
    }
    assert_int_equal(random->outcomes, RANDOM_PUSHES);
    assert_int_equal(random->told, RANDOM_PUSHES);
    assert_int_equal(fixture_stats(f)->delivered, RANDOM_PUSHES);
    seqpush_publisher_destroy(&f->publisher);
    free(random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_broker(test_the_request_asks_for_confirmations),
        with_broker(test_each_push_is_told_delivered_once_up_to_the_position),
        with_broker(test_a_position_confirms_its_own_epoch_alone),
        with_broker(test_what_is_given_up_is_told_singly),
        with_broker(test_what_the_broker_did_not_take_is_not_waited_for),
        with_broker(test_a_duplicate_is_waited_for),
        with_broker(test_a_confirmation_that_comes_before_the_outcome_is_told_after_it),
        with_broker(test_the_same_push_twice_has_two_outcomes_and_one_delivery),
        with_broker(test_without_confirm_nothing_is_told_nor_asked),
        with_broker(test_what_is_unconfirmed_counts_as_undecided),
        with_broker(test_what_waits_for_a_receiver_takes_up_no_credit),
        with_broker(test_a_push_that_the_broker_is_to_number_cannot_be_confirmed),
        with_broker(test_a_new_instance_is_offered_what_is_unconfirmed),
        with_broker(test_a_broker_that_comes_back_is_offered_what_is_unconfirmed),
        with_broker(test_a_connection_that_comes_back_is_offered_what_is_unconfirmed),
        with_broker(test_a_push_that_is_refused_when_it_is_offered_again_is_given_up),
        with_broker(test_a_bound_that_is_hit_when_it_is_offered_again_passes),
        with_broker(test_a_broker_that_shuts_down_is_asked_again_when_it_is_back),
        with_broker(test_a_confirmation_that_was_lost_is_asked_for),
        with_broker(test_more_is_not_offered_again_than_the_credit),
        with_broker(test_every_push_is_told_delivered_once_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
