//  test_core_scenarios.c - the ordering core: what has gone wrong in other systems

#include "core_fixture.h"
#include <stdio.h>
#include <string.h>

static receiver_t *s_receive_all(fixture_t *f)
{
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    assert_non_null(receiver);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    return receiver;
}

//  A peer that goes on sending behind a hole fills its window, and nothing else: what comes before the
//  hole, and what other clients have, is sent, acknowledged and forgotten.
static void what_is_retained_does_not_grow_while_a_hole_is_open(void **state)
{
    fixture_t *f = *state;
    f->settings.window = 100;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 5);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 5);
    for (uint64_t seq = 7; seq <= 1000; seq++) {
        outcome_t expected = seq < 6 + 100 ? OUTCOME_ACCEPTED : OUTCOME_WINDOW_FULL;
        assert_outcome(fixture_push(f, "a", seq), expected);
        fixture_fill(f, "b", seq - 6, seq - 6);
        assert_string_not_equal(fixture_deliver(f), "");
        fixture_ack(f, receiver, "b", seq - 6);
        assert_int_equal(fixture_stat(&f->stats.retained_messages), 0);
        fixture_pass(f, 100 * MS);
    }
    fixture_fill(f, "a", 6, 6);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 105);
    assert_int_equal(core_kept(f->core), 0);
}

//  The receiver drops whatever is for one client; all that is for others arrives, and is sent once.
static void a_client_that_can_never_be_delivered_holds_up_nobody(void **state)
{
    fixture_t *f = *state;
    f->settings.max_unacked = 4;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "never", 1, 100);
    fixture_deliver(f);
    fixture_fill(f, "a", 1, 1);
    assert_delivered(f, "<a0> a1");
    fixture_ack(f, receiver, "a", 1);
    uint64_t sent_again = 0;
    for (uint64_t seq = 2; seq <= 200; seq++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "a%u", (unsigned)seq);
        fixture_fill(f, "a", seq, seq);
        const char *delivered = fixture_deliver(f), *found = strstr(delivered, wanted);
        assert_non_null(found);
        assert_null(strstr(delivered, "<a"));
        sent_again += strstr(delivered, "<never0> never1") != NULL;
        fixture_ack(f, receiver, "a", seq);
        fixture_pass(f, 100 * MS);
    }
    assert_true(sent_again > 5);
    assert_outcome(fixture_push(f, "never", 101), OUTCOME_ACCEPTED);
}

//  More than may be on its way has piled up while nobody was there.
static void what_piled_up_goes_out_in_order_after_a_reconnect(void **state)
{
    fixture_t *f = *state;
    f->settings.max_unacked = 7;
    f->settings.receiver_timeout = 1000 * MS;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 3);
    fixture_deliver(f);
    fixture_pass(f, 2000 * MS);
    fixture_fill(f, "a", 4, 60);
    assert_delivered(f, "");
    receiver = fixture_attach(f, "r", 1, 2);
    fixture_effects(f);
    char expected[64] = "<a0>";
    for (uint64_t seq = 1; seq <= 60; seq++) {
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%sa%u",
                 *expected ? " " : "", (unsigned)seq);
        if (seq % 7 && seq < 60)
            continue;
        assert_delivered(f, expected);
        fixture_ack(f, receiver, "a", seq);
        *expected = '\0';
    }
    assert_int_equal(core_kept(f->core), 0);
}

//  Heartbeats, acks that say nothing new, and pushes that are refused change no session, go back to
//  nothing and start no epoch.
static void idle_traffic_resets_nothing(void **state)
{
    fixture_t *f = *state;
    f->settings.receiver_timeout = 1000 * MS;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 3);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 3);
    for (uint64_t i = 0; i < 1000; i++) {
        fixture_pass(f, 500 * MS);
        core_heard(receiver, f->now);
        fixture_ack(f, receiver, "a", i % 4);
        fixture_ack(f, receiver, "nobody", 1);
        assert_outcome(fixture_push(f, "a", 1 + i % 3), OUTCOME_DUPLICATE);
        assert_delivered(f, "");
        assert_effects(f, "");
    }
    assert_int_equal(receiver->generation, 100);
    fixture_fill(f, "a", 4, 4);
    assert_delivered(f, "a4");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_retained_does_not_grow_while_a_hole_is_open),
        TEST(a_client_that_can_never_be_delivered_holds_up_nobody),
        TEST(what_piled_up_goes_out_in_order_after_a_reconnect),
        TEST(idle_traffic_resets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
