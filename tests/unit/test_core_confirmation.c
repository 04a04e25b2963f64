//  test_core_confirmation.c - the ordering core: what publishers are told of their pushes

#include "core_fixture.h"
#include <string.h>

static receiver_t *s_receive_all(fixture_t *f)
{
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    assert_non_null(receiver);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    return receiver;
}

static void s_fill_as(fixture_t *f, uint64_t publisher, const char *client, uint64_t from,
                      uint64_t to)
{
    f->peer = publisher;
    fixture_fill(f, client, from, to);
}

static outcome_t s_push_as(fixture_t *f, uint64_t publisher, const char *client, uint64_t seq)
{
    f->peer = publisher;
    return fixture_push(f, client, seq);
}

static void one_position_stands_for_all_before_it(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    s_fill_as(f, 7, "a", 1, 9);
    fixture_deliver(f);
    assert_confirmed(f, "");
    fixture_ack(f, receiver, "a", 3);
    fixture_ack(f, receiver, "a", 5);
    assert_confirmed(f, "7:a5");
    assert_confirmed(f, "");
    fixture_ack(f, receiver, "a", 9);
    assert_confirmed(f, "7:a9");
}

static void each_publisher_is_told_of_its_own(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    for (uint64_t seq = 1; seq <= 20; seq++)
        s_fill_as(f, seq % 10 ? seq % 10 : 10, "a", seq, seq);
    s_fill_as(f, 0, "a", 21, 22); //  these do not want to be told
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 22);
    assert_confirmed(f, "1:a11 2:a12 3:a13 4:a14 5:a15 6:a16 7:a17 8:a18 9:a19 10:a20");
}

//  A publisher that has connected anew sends again what it has heard nothing of.
static void a_push_sent_again_is_told_to_who_sent_it_last(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    f->peer = 7;
    fixture_together(f, "abc", 1, 32);
    fixture_together(f, "abc", 3, 32);
    assert_outcome(s_push_as(f, 8, "a", 1), OUTCOME_DUPLICATE); //  released
    assert_outcome(s_push_as(f, 8, "a", 3), OUTCOME_DUPLICATE); //  held
    assert_outcome(s_push_as(f, 0, "b", 1), OUTCOME_DUPLICATE); //  and does not want to be told
    f->peer = 0;
    fixture_together(f, "abc", 2, 32);
    //  Their payloads are compared: those of the first time.
    assert_delivered(f, "<a0> a1 a2 a3 <b0> b1 b2 b3 <c0> c1 c2 c3");
    fixture_ack(f, receiver, "a", 3);
    fixture_ack(f, receiver, "b", 3);
    assert_confirmed(f, "7:b3 8:a3");
    assert_outcome(s_push_as(f, 9, "a", 2), OUTCOME_DUPLICATE);
    assert_confirmed(f, "9:a2"); //  acknowledged already
}

//  The stream has notices and markers in it, and seqs of an older epoch.
static void a_push_sent_again_is_found_among_notices(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    s_fill_as(f, 7, "a", 1, 5);
    fixture_reset(f, "a", 1, 1);
    for (uint64_t seq = 1; seq <= 5; seq++)
        assert_outcome(fixture_push_in(f, "a", 1, 2 * seq, 0), OUTCOME_ACCEPTED);
    core_skip(f->core, "a", 1, 1, 1, 9, f->now);
    f->peer = 8;
    assert_outcome(fixture_push_in(f, "a", 1, 4, 0), OUTCOME_DUPLICATE);
    assert_outcome(fixture_push_in(f, "a", 1, 5, 0), OUTCOME_STALE);
    receiver_t *receiver = s_receive_all(f);
    assert_delivered(f, "<a0> a1 a2 a3 a4 a5");
    fixture_ack(f, receiver, "a", 5);
    assert_confirmed(f, "7:a5");
    assert_delivered(f, "<a1:0> [a1:1-1] a1:2 [a1:3-3] a1:4 [a1:5-5] a1:6 [a1:7-7] a1:8 [a1:9-9] "
                        "a1:10");
    fixture_ack_in(f, receiver, "a", 1, 10);
    assert_confirmed(f, "7:a1:10 8:a1:4");
}

static void what_is_given_up_is_told_one_by_one(void **state)
{
    fixture_t *f = *state;
    f->settings.retain_max = 1000 * MS;
    fixture_start(f);
    s_fill_as(f, 7, "a", 1, 2);
    s_fill_as(f, 7, "a", 4, 5);
    fixture_reset(f, "a", 1, 1); //  what is held
    assert_confirmed(f, "7:a4! 7:a5!");
    fixture_pass(f, 1005 * MS); //  what is retained
    assert_confirmed(f, "7:a1! 7:a2!");
    receiver_t *receiver = s_receive_all(f);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 5);
    assert_confirmed(f, "");
}

//  Only the last sixteen gaps are remembered. Who asks about what came before hears that nothing is
//  known of it, rather than that it was delivered.
static void what_may_have_been_given_up_is_not_confirmed(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    for (uint64_t seq = 1; seq <= 40; seq += 2) {
        s_fill_as(f, 0, "a", seq, seq);
        fixture_skip(f, "a", seq + 1, seq + 1);
    }
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 40);
    assert_outcome(s_push_as(f, 7, "a", 4), OUTCOME_DUPLICATE);
    assert_confirmed(f, "7:a4!");
    assert_outcome(s_push_as(f, 7, "a", 40), OUTCOME_STALE);
    assert_outcome(s_push_as(f, 7, "a", 39), OUTCOME_DUPLICATE);
    assert_confirmed(f, "7:a39");
}

//  The promise ends where ZeroMQ has taken it.
static void a_route_confirms_what_zeromq_has_taken(void **state)
{
    fixture_t *f = *state;
    f->settings.routes = &(core_route_t){.match = "a*", .endpoint = "tcp://127.0.0.1:9"};
    f->settings.route_count = 1;
    fixture_start(f);
    f->hold = true;
    s_fill_as(f, 7, "a", 1, 3);
    assert_delivered(f, "a1 a2 a3");
    assert_confirmed(f, "");
    fixture_report(f, true);
    assert_confirmed(f, "7:a3");
}

//  A receiver that says where it is has what is before that.
static void a_position_of_an_attach_confirms(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    s_fill_as(f, 7, "a", 1, 3);
    position_t at = {0, 2};
    assert_true(fixture_take(f, receiver, "a", &at));
    assert_confirmed(f, "7:a2");
    s_fill_as(f, 7, "b", 1, 1);
    s_fill_as(f, 7, "b", 3, 6);
    at.seq = 5; //  ahead of what was released
    assert_true(fixture_take(f, receiver, "b", &at));
    assert_confirmed(f, "7:b5");
    assert_delivered(f, "<a2> a3 <b5> b6");
}

//  Else the client could begin anew before its publisher hears how the old one ended.
static void a_client_stays_until_its_confirmations_are_taken(void **state)
{
    fixture_t *f = *state;
    f->settings.max_clients = 1;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    s_fill_as(f, 7, "a", 1, 1);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 1);
    assert_outcome(s_push_as(f, 7, "b", 1), OUTCOME_OVERLOADED);
    assert_confirmed(f, "7:a1");
    assert_outcome(s_push_as(f, 7, "b", 1), OUTCOME_ACCEPTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_position_stands_for_all_before_it),
        TEST(each_publisher_is_told_of_its_own),
        TEST(a_push_sent_again_is_told_to_who_sent_it_last),
        TEST(a_push_sent_again_is_found_among_notices),
        TEST(what_is_given_up_is_told_one_by_one),
        TEST(what_may_have_been_given_up_is_not_confirmed),
        TEST(a_route_confirms_what_zeromq_has_taken),
        TEST(a_position_of_an_attach_confirms),
        TEST(a_client_stays_until_its_confirmations_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
