//  test_core_repair.c - who is asked for missing pushes, and when

#include "core_fixture.h"

#define SECOND (1000 * MS)

static void s_start(fixture_t *f, const char *policy)
{
    f->settings.policy = policy_named(policy);
    f->settings.gap_timeout = 100 * MS;
    f->settings.gap_alarm = 0;
    f->settings.repair_delay = 20 * MS;
    fixture_start(f);
}

static void s_push(fixture_t *f, uint64_t peer, const char *client, uint64_t seq)
{
    f->peer = peer;
    fixture_fill(f, client, seq, seq);
}

//  Lets time pass a ms at a time, and counts what the core asks for.
static unsigned s_count(fixture_t *f, int64_t time)
{
    unsigned count = 0;
    for (int64_t end = f->now + time; f->now < end;) {
        fixture_pass(f, 1 * MS);
        count += *fixture_effects(f) != '\0';
    }
    return count;
}

static void a_hole_is_asked_for_when_it_has_stood_for_the_delay(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 5);
    fixture_pass(f, 19 * MS);
    assert_effects(f, "");
    fixture_pass(f, 1 * MS);
    assert_effects(f, "repair:7:a2-4");
}

static void the_last_two_peers_are_asked(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, 6, "a", 1);
    s_push(f, 7, "a", 2);
    s_push(f, 8, "a", 3);
    s_push(f, 7, "a", 5);
    s_push(f, 0, "a", 6); //  one that can be asked nothing takes nobody's place
    assert_outcome(fixture_push(f, "a", 6), OUTCOME_DUPLICATE);
    fixture_pass(f, 20 * MS);
    assert_effects(f, "repair:7:a4-4 repair:8:a4-4");
}

static void the_number_of_a_peer_may_have_more_bits_than_are_kept(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, UINT64_C(0x1fffffff0), "a", 1);
    s_push(f, UINT64_C(0x200000007), "a", 3);
    fixture_pass(f, 20 * MS);
    assert_effects(f, "repair:8589934599:a2-2 repair:8589934576:a2-2");
}

static void each_wait_is_twice_the_one_before(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 3);
    static const int64_t waits[] = {20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000, 5000};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        fixture_pass(f, (waits[i] - 1) * MS);
        assert_effects(f, "");
        fixture_pass(f, 1 * MS);
        assert_effects(f, "repair:7:a2-2");
    }
}

static void a_delay_above_the_longest_wait_is_the_wait(void **state)
{
    fixture_t *f = *state;
    f->settings.gap_alarm = 0;
    f->settings.repair_delay = 8 * SECOND;
    fixture_start(f);
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 3);
    assert_int_equal(s_count(f, 33 * SECOND), 4);
}

static void the_next_hole_has_its_own_delay_and_only_it_is_asked_for(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 3);
    s_push(f, 7, "a", 5);
    fixture_pass(f, 20 * MS);
    assert_effects(f, "repair:7:a2-2");
    fixture_pass(f, 39 * MS);
    s_push(f, 7, "a", 2);
    //  Twice as long as the one before, which lasted 59 ms.
    fixture_pass(f, 117 * MS);
    assert_effects(f, "");
    fixture_pass(f, 1 * MS);
    assert_effects(f, "repair:7:a4-4");
    fixture_pass(f, 235 * MS);
    assert_effects(f, "");
    fixture_pass(f, 1 * MS);
    assert_effects(f, "repair:7:a4-4");
    s_push(f, 7, "a", 4);
    assert_int_equal(s_count(f, 10 * SECOND), 0);
}

static void what_was_skipped_ahead_is_not_asked_for(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 6);
    assert_int_equal(fixture_skip(f, "a", 4, 5), 1);
    fixture_pass(f, 20 * MS);
    assert_effects(f, "repair:7:a2-3");
}

static void pure_reordering_asks_for_nothing(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, 7, "a", 1);
    for (uint64_t seq = 2; seq < 2000; seq += 4) {
        for (uint64_t i = 4; i-- > 0;) {
            s_push(f, 7 + i % 3, "a", seq + i);
            fixture_pass(f, 4 * MS);
        }
        assert_effects(f, "");
    }
}

static void a_stream_that_has_not_begun_asks_for_nothing(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    s_push(f, 7, "a", 2);
    assert_int_equal(s_count(f, 10 * SECOND), 0);
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 4);
    assert_int_equal(s_count(f, 21 * MS), 1);
}

static void a_stream_that_begins_at_a_position_asks(void **state)
{
    fixture_t *f = *state;
    s_start(f, "strict");
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    position_t at = {0, 41};
    assert_true(fixture_take(f, receiver, "a", &at));
    fixture_effects(f);
    s_push(f, 7, "a", 44);
    fixture_pass(f, 20 * MS);
    assert_effects(f, "repair:7:a42-43");
    fixture_reset(f, "a", 3, 1);
    f->peer = 8;
    assert_outcome(fixture_push_in(f, "a", 3, 2, 40), OUTCOME_ACCEPTED);
    fixture_pass(f, 20 * MS);
    assert_effects(f, "repair:8:a1-1 repair:7:a1-1");
}

static void what_is_given_up_is_not_asked_for_again(void **state)
{
    fixture_t *f = *state;
    s_start(f, "deadline");
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 3);
    assert_int_equal(s_count(f, 10 * SECOND), 2);
    assert_int_equal(fixture_stat(&f->stats.gaps_expired), 1);
}

static void latest_and_passthrough_ask_for_nothing(void **state)
{
    fixture_t *f = *state;
    f->settings.rules = (rule_t[]){{"b*", &policy_passthrough, {.repair_delay = 20 * MS}}};
    f->settings.rule_count = 1;
    s_start(f, "latest");
    s_push(f, 7, "a", 1);
    s_push(f, 7, "a", 5);
    s_push(f, 7, "b", 1);
    s_push(f, 7, "b", 5);
    assert_int_equal(s_count(f, 10 * SECOND), 0);
}

static void a_delay_of_0_asks_for_nothing_and_a_rule_has_its_own(void **state)
{
    fixture_t *f = *state;
    f->settings.rules =
        (rule_t[]){{"a*", &policy_strict, {.window = 9, .first_seq = 1, .repair_delay = 0}},
                   {"b*", &policy_strict, {.window = 9, .first_seq = 1, .repair_delay = 50 * MS}}};
    f->settings.rule_count = 2;
    s_start(f, "strict");
    for (uint64_t seq = 1; seq <= 3; seq += 2) {
        s_push(f, 7, "a", seq);
        s_push(f, 7, "b", seq);
    }
    fixture_pass(f, 49 * MS);
    assert_effects(f, "");
    fixture_pass(f, 1 * MS);
    assert_effects(f, "repair:7:b2-2");
    assert_int_equal(s_count(f, 50 * MS), 0);
}

#define core_test(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        core_test(a_hole_is_asked_for_when_it_has_stood_for_the_delay),
        core_test(the_last_two_peers_are_asked),
        core_test(the_number_of_a_peer_may_have_more_bits_than_are_kept),
        core_test(each_wait_is_twice_the_one_before),
        core_test(a_delay_above_the_longest_wait_is_the_wait),
        core_test(the_next_hole_has_its_own_delay_and_only_it_is_asked_for),
        core_test(what_was_skipped_ahead_is_not_asked_for),
        core_test(pure_reordering_asks_for_nothing),
        core_test(a_stream_that_has_not_begun_asks_for_nothing),
        core_test(a_stream_that_begins_at_a_position_asks),
        core_test(what_is_given_up_is_not_asked_for_again),
        core_test(latest_and_passthrough_ask_for_nothing),
        core_test(a_delay_of_0_asks_for_nothing_and_a_rule_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
