//  test_policy.c - the ordering policies beside strict: what they release, give up and refuse

#include "core_fixture.h"
#include <string.h>

#define HOUR (3600000 * MS)

static receiver_t *s_start(fixture_t *f, const char *policy)
{
    f->settings.policy = policy_named(policy);
    f->settings.gap_timeout = 5000 * MS;
    f->settings.gap_alarm = 0;
    f->settings.ack_timeout = HOUR;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    return receiver;
}

static void s_keep_alive(fixture_t *f, receiver_t *receiver, int64_t by)
{
    core_heard(receiver, f->now);
    fixture_pass(f, by);
}

//  ---- deadline ----------------------------------------------------------------------------------

static void a_hole_is_given_up_at_its_deadline_without_new_input(void **state)
{
    fixture_t *f = *state;
    s_start(f, "deadline");
    fixture_fill(f, "a", 1, 1);
    fixture_fill(f, "a", 4, 5);
    assert_delivered(f, "<a0> a1");
    fixture_pass(f, 4999 * MS);
    assert_delivered(f, "");
    fixture_pass(f, 1 * MS);
    assert_delivered(f, "[a2-3] a4 a5");
    assert_int_equal(fixture_stat(&f->stats.gaps_expired), 1);
    assert_int_equal(fixture_stat(&f->stats.gaps_filled), 0);
    assert_int_equal(fixture_stat(&f->stats.gaps_open), 0);
    fixture_pass(f, HOUR / 2);
    assert_int_equal(fixture_stat(&f->stats.gap_notices), 1);
}

static void what_comes_for_a_given_up_hole_is_stale_and_moves_nothing_back(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "deadline");
    fixture_fill(f, "a", 1, 1);
    fixture_fill(f, "a", 4, 4);
    fixture_pass(f, 5000 * MS);
    assert_delivered(f, "<a0> a1 [a2-3] a4");
    fixture_ack(f, receiver, "a", 4);
    assert_outcome(fixture_push(f, "a", 2), OUTCOME_STALE);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_STALE);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_DUPLICATE);
    assert_outcome(fixture_push(f, "a", 4), OUTCOME_DUPLICATE);
    assert_int_equal(f->decided.next_seq, 5);
    assert_outcome(fixture_push(f, "a", 5), OUTCOME_ACCEPTED);
    assert_delivered(f, "a5");
}

static void each_hole_has_its_own_full_time(void **state)
{
    fixture_t *f = *state;
    s_start(f, "deadline");
    fixture_fill(f, "a", 2, 2);
    fixture_fill(f, "a", 4, 4);
    fixture_pass(f, 5000 * MS);
    assert_delivered(f, "<a0> [a1-1] a2");
    fixture_pass(f, 4999 * MS);
    assert_delivered(f, "");
    fixture_pass(f, 1 * MS);
    assert_delivered(f, "[a3-3] a4");
}

static void a_filled_hole_leaves_no_timer_behind(void **state)
{
    fixture_t *f = *state;
    s_start(f, "deadline");
    fixture_fill(f, "a", 2, 2);
    fixture_pass(f, 4000 * MS);
    fixture_fill(f, "a", 1, 1);
    fixture_fill(f, "a", 4, 4);
    assert_delivered(f, "<a0> a1 a2");
    fixture_pass(f, 4999 * MS);
    assert_delivered(f, "");
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_ACCEPTED);
    assert_delivered(f, "a3 a4");
    fixture_pass(f, 20000 * MS);
    assert_int_equal(fixture_stat(&f->stats.gaps_expired), 0);
    assert_int_equal(fixture_stat(&f->stats.gaps_filled), 2);
}

static void a_deadline_passes_while_nobody_is_attached(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "deadline");
    core_detach(f->core, receiver);
    fixture_effects(f);
    fixture_fill(f, "a", 2, 2);
    fixture_pass(f, 5000 * MS);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_STALE);
    receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    assert_delivered(f, "<a0> [a1-1] a2");
}

static void a_skip_ahead_goes_with_the_hole_before_it(void **state)
{
    fixture_t *f = *state;
    s_start(f, "deadline");
    fixture_fill(f, "a", 5, 5);
    assert_int_equal(fixture_skip(f, "a", 3, 4), 0);
    fixture_pass(f, 5000 * MS);
    assert_delivered(f, "<a0> [a1-4] a5");
    assert_outcome(fixture_push(f, "a", 4), OUTCOME_STALE);
}

static void a_full_window_takes_what_it_waits_for_until_the_deadline(void **state)
{
    fixture_t *f = *state;
    s_start(f, "deadline");
    fixture_fill(f, "a", 2, 1000);
    assert_outcome(fixture_push(f, "a", 1001), OUTCOME_WINDOW_FULL);
    fixture_pass(f, 4999 * MS);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_ACCEPTED);
    assert_int_equal(fixture_stat(&f->stats.released), 1000);
    assert_outcome(fixture_push(f, "a", 1001), OUTCOME_ACCEPTED);
}

static void what_a_full_window_refused_is_taken_after_the_deadline(void **state)
{
    fixture_t *f = *state;
    f->settings.window = 4;
    s_start(f, "deadline");
    fixture_fill(f, "a", 2, 4);
    assert_outcome(fixture_push(f, "a", 5), OUTCOME_WINDOW_FULL);
    fixture_pass(f, 5000 * MS);
    assert_outcome(fixture_push(f, "a", 5), OUTCOME_ACCEPTED);
    assert_delivered(f, "<a0> [a1-1] a2 a3 a4 a5");
}

//  A turn of the orderer may come late, with a push in it: what is due is done first.
static void a_push_after_the_deadline_finds_the_hole_given_up(void **state)
{
    fixture_t *f = *state;
    s_start(f, "deadline");
    fixture_fill(f, "a", 4, 4);
    f->now += 6000 * MS;
    assert_outcome(fixture_push(f, "a", 2), OUTCOME_ACCEPTED);
    assert_delivered(f, "<a0> [a1-1] a2");
    fixture_pass(f, 5000 * MS);
    assert_delivered(f, "[a3-3] a4");
}

static void reordering_in_time_gives_nothing_up(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "deadline");
    for (uint64_t seq = 1; seq <= 1000; seq += 10) {
        for (uint64_t k = 10; k-- > 0;)
            fixture_fill(f, "a", seq + k, seq + k);
        s_keep_alive(f, receiver, 3000 * MS);
    }
    assert_int_equal(fixture_stat(&f->stats.released), 1000);
    assert_int_equal(fixture_stat(&f->stats.gap_notices), 0);
}

//  ---- latest ------------------------------------------------------------------------------------

static void a_newer_push_replaces_the_one_that_waits(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "latest");
    fixture_fill(f, "a", 1, 1);
    assert_delivered(f, "<a0> a1");
    fixture_fill(f, "a", 2, 4);
    fixture_fill(f, "a", 9, 9);
    assert_delivered(f, "");
    assert_int_equal(core_kept(f->core), 2);
    fixture_ack(f, receiver, "a", 1);
    assert_delivered(f, "[a2-8] a9");
    assert_int_equal(fixture_stat(&f->stats.gap_notices), 1);
    assert_int_equal(fixture_stat(&f->stats.pushes_given_up), 3);
    fixture_ack(f, receiver, "a", 9);
    assert_int_equal(core_kept(f->core), 0);
}

static void the_latest_push_does_not_wait_for_a_hole(void **state)
{
    fixture_t *f = *state;
    s_start(f, "latest");
    fixture_fill(f, "a", 5, 5);
    assert_delivered(f, "<a0> [a1-4] a5");
    assert_int_equal(fixture_stat(&f->stats.gaps_open), 0);
}

static void the_highest_again_is_a_duplicate_and_below_is_stale(void **state)
{
    fixture_t *f = *state;
    s_start(f, "latest");
    fixture_fill(f, "a", 5, 5);
    fixture_fill(f, "a", 7, 7);
    for (int round = 0; round < 2; round++) {
        assert_outcome(fixture_push(f, "a", 7), OUTCOME_DUPLICATE);
        assert_outcome(fixture_push(f, "a", 6), OUTCOME_STALE);
        assert_outcome(fixture_push(f, "a", 5), OUTCOME_STALE);
        assert_outcome(fixture_push(f, "a", 1), OUTCOME_STALE);
        fixture_deliver(f);
    }
    assert_int_equal(f->decided.next_seq, 8);
}

static void any_higher_seq_is_taken_without_room_for_those_between(void **state)
{
    fixture_t *f = *state;
    f->settings.window = 1;
    receiver_t *receiver = s_start(f, "latest");
    fixture_fill(f, "a", 1, 1);
    assert_delivered(f, "<a0> a1");
    assert_outcome(fixture_push(f, "a", INT64_MAX - 1), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push(f, "a", INT64_MAX), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push(f, "a", UINT64_C(1) << 63), OUTCOME_INVALID);
    assert_outcome(fixture_push(f, "a", UINT64_MAX), OUTCOME_INVALID);
    fixture_ack(f, receiver, "a", 1);
    assert_delivered(f, "[a2-9223372036854775806] a9223372036854775807");
    fixture_ack(f, receiver, "a", INT64_MAX);
    assert_int_equal(core_kept(f->core), 0);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_STALE);
}

static void what_is_replaced_makes_room_for_the_newest(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 2;
    f->settings.backlog_bytes = 1024;
    f->settings.memory_max = 4096;
    receiver_t *receiver = s_start(f, "latest");
    assert_outcome(fixture_push_in(f, "a", 0, 1, 300), OUTCOME_ACCEPTED);
    assert_delivered(f, "<a0> a1");
    for (uint64_t seq = 2; seq < 100; seq++)
        assert_outcome(fixture_push_in(f, "a", 0, seq, 400), OUTCOME_ACCEPTED);
    assert_int_equal(core_kept(f->core), 2); //  one on its way, and the newest; a notice is none
    assert_outcome(fixture_push_in(f, "a", 0, 100, 600), OUTCOME_BACKLOG_FULL);
    fixture_ack(f, receiver, "a", 1);
    assert_delivered(f, "[a2-98] a99");
    fixture_fill(f, "b", 1, 1);
    assert_outcome(fixture_push_in(f, "b", 0, 2, 800), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "b", 0, 3, 1000), OUTCOME_BACKLOG_FULL);
    assert_outcome(fixture_push_in(f, "b", 0, 3, 800), OUTCOME_ACCEPTED);
}

static void a_receiver_that_comes_gets_the_newest(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "latest");
    core_detach(f->core, receiver);
    fixture_effects(f);
    fixture_fill(f, "a", 1, 100);
    assert_int_equal(core_kept(f->core), 1);
    receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    assert_delivered(f, "<a0> [a1-99] a100");
}

//  It may have been received: replacing it would announce as given up what was delivered.
static void what_is_on_its_way_is_sent_again_and_not_replaced(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "latest");
    fixture_fill(f, "a", 1, 1);
    assert_delivered(f, "<a0> a1");
    fixture_miss(f, receiver, "a", 0);
    fixture_fill(f, "a", 2, 3);
    assert_delivered(f, "<a0> a1");
    fixture_ack(f, receiver, "a", 1);
    assert_delivered(f, "[a2-2] a3");
}

static void after_a_reset_the_new_epoch_replaces_nothing_of_the_old(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "latest");
    fixture_fill(f, "a", 1, 3);
    fixture_reset(f, "a", 1, 5);
    assert_outcome(fixture_push_in(f, "a", 1, 6, 0), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "a", 1, 8, 0), OUTCOME_ACCEPTED);
    assert_delivered(f, "<a0> [a1-2] a3");
    fixture_ack(f, receiver, "a", 3);
    assert_delivered(f, "<a1:4> [a1:5-7] a1:8");
}

static void the_broker_numbers_for_the_latest_too(void **state)
{
    fixture_t *f = *state;
    s_start(f, "latest");
    for (uint64_t seq = 1; seq <= 5; seq++) {
        assert_outcome(fixture_push(f, "a", 0), OUTCOME_ACCEPTED);
        assert_int_equal(f->decided.assigned, seq);
    }
    assert_delivered(f, "<a0> [a1-4] a5");
    assert_int_equal(fixture_skip(f, "a", 6, 9), 5);
}

static void without_acks_the_latest_goes_on_with_the_report(void **state)
{
    fixture_t *f = *state;
    f->settings.policy = policy_named("latest");
    fixture_start(f);
    receiver_t *receiver = fixture_attach_unacked(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    f->hold = true;
    fixture_fill(f, "a", 1, 1);
    assert_delivered(f, "<a0> a1");
    fixture_fill(f, "a", 2, 4);
    assert_delivered(f, "");
    fixture_report(f, true);
    assert_delivered(f, "[a2-3] a4");
}

//  ---- passthrough -------------------------------------------------------------------------------

static void pushes_pass_as_they_come(void **state)
{
    fixture_t *f = *state;
    receiver_t *receiver = s_start(f, "passthrough");
    static const uint64_t seqs[] = {7, 3, 3, 0, INT64_MAX, 1, 0};
    for (size_t i = 0; i < sizeof seqs / sizeof *seqs; i++)
        assert_outcome(fixture_push(f, "a", seqs[i]), OUTCOME_ACCEPTED);
    assert_int_equal(f->decided.assigned, 0);
    assert_outcome(fixture_push_in(f, "a", 9, 2, 0), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "a", 0, UINT64_MAX, 0), OUTCOME_ACCEPTED);
    assert_delivered(f, "a7 a3 a3 a0 a9223372036854775807 a1 a0 a9:2 a18446744073709551615");
    assert_int_equal(core_kept(f->core), 0);
    assert_int_equal(fixture_stat(&f->stats.taken), 9);
    fixture_ack(f, receiver, "a", 7);
    fixture_miss(f, receiver, "a", 3);
    s_keep_alive(f, receiver, HOUR / 2);
    assert_delivered(f, "");
}

static void a_dispatch_has_passthrough_clients_or_others(void **state)
{
    fixture_t *f = *state;
    static const rule_t rules[] = {{"p*", &policy_passthrough, {.first_seq = 1}}};
    f->settings.rules = rules;
    f->settings.rule_count = 1;
    s_start(f, "strict");
    f->hold = true;
    static const char *const clients[] = {"p1", "p2", "a", "b", "p1", "p3"};
    for (size_t i = 0; i < 6; i++)
        fixture_fill(f, clients[i], 1 + i / 4, 1 + i / 4);
    assert_delivered(f, "p11 p12 p21 <a0> a1 <b0> b1 p32");
    assert_int_equal(f->held_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(f->held[i]->passthrough, i != 1);
}

static void what_passes_needs_a_report_and_goes_to_the_next_receiver_without_one(void **state)
{
    fixture_t *f = *state;
    receiver_t *first = s_start(f, "passthrough");
    f->hold = true;
    fixture_fill(f, "a", 1, 2);
    assert_delivered(f, "a1 a2");
    fixture_take_all(f, first, "a"); //  attached again: nothing is sent twice
    assert_delivered(f, "");
    fixture_report(f, true);
    assert_int_equal(core_kept(f->core), 0);
    fixture_fill(f, "a", 3, 3);
    assert_delivered(f, "a3");
    receiver_t *second = fixture_attach(f, "s", 2, 2);
    position_t at = {3, 500};
    assert_true(fixture_take(f, second, "a", &at));
    assert_int_equal(at.seq, 500);
    fixture_report(f, false);
    fixture_effects(f);
    assert_delivered(f, "a3");
    fixture_report(f, true);
    assert_int_equal(core_kept(f->core), 0);
}

static void a_passing_client_has_no_stream_to_skip_or_reset(void **state)
{
    fixture_t *f = *state;
    s_start(f, "passthrough");
    fixture_fill(f, "a", 5, 5);
    assert_int_equal(fixture_skip(f, "a", 1, 9), 0);
    position_t at = fixture_reset(f, "a", 3, 9);
    assert_int_equal(at.epoch, 0);
    assert_int_equal(at.seq, 0);
    assert_delivered(f, "a5");
}

static void what_passes_is_bounded_while_nobody_takes_it(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 3;
    receiver_t *receiver = s_start(f, "passthrough");
    core_detach(f->core, receiver);
    fixture_effects(f);
    fixture_fill(f, "a", 1, 3);
    assert_outcome(fixture_push(f, "a", 4), OUTCOME_BACKLOG_FULL);
    receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    assert_delivered(f, "a1 a2 a3");
    fixture_fill(f, "a", 4, 4);
}

static void what_passes_expires_without_a_notice(void **state)
{
    fixture_t *f = *state;
    f->settings.retain_max = 100 * MS;
    receiver_t *receiver = s_start(f, "passthrough");
    core_detach(f->core, receiver);
    fixture_effects(f);
    fixture_fill(f, "a", 7, 8);
    fixture_pass(f, 200 * MS);
    assert_int_equal(fixture_stat(&f->stats.pushes_expired), 2);
    assert_int_equal(core_kept(f->core), 0);
    fixture_fill(f, "a", 9, 9);
    receiver = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, receiver, "a");
    assert_delivered(f, "a9");
}

static void the_latest_push_expires_and_is_stale_then(void **state)
{
    fixture_t *f = *state;
    f->settings.retain_max = 100 * MS;
    receiver_t *receiver = s_start(f, "latest");
    core_detach(f->core, receiver);
    fixture_effects(f);
    fixture_fill(f, "a", 1, 3);
    fixture_pass(f, 200 * MS);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_STALE);
    fixture_fill(f, "a", 5, 5);
    receiver = fixture_attach(f, "r", 1, 1);
    fixture_take_all(f, receiver, "a");
    assert_delivered(f, "<a0> [a1-4] a5");
}

//  ---- rules -------------------------------------------------------------------------------------

static void the_first_rule_that_matches_holds(void **state)
{
    fixture_t *f = *state;
    static const rule_t rules[] = {
        {"chat-*", &policy_deadline, {.window = 4, .first_seq = 10, .gap_timeout = 50 * MS}},
        {"*-pos", &policy_latest, {.window = 4, .first_seq = 20}},
        {"chat-a*", &policy_passthrough, {.first_seq = 1}},
    };
    f->settings.rules = rules;
    f->settings.rule_count = 3;
    s_start(f, "strict");
    fixture_fill(f, "chat-a-pos", 12, 12);
    assert_outcome(fixture_push(f, "chat-a-pos", 14), OUTCOME_WINDOW_FULL);
    fixture_fill(f, "b-pos", 25, 25);
    fixture_fill(f, "c", 2, 2);
    assert_delivered(f, "<b-pos19> [b-pos20-24] b-pos25");
    fixture_pass(f, 50 * MS);
    assert_delivered(f, "<chat-a-pos9> [chat-a-pos10-11] chat-a-pos12");
}

static void an_alarm_is_the_rules(void **state)
{
    fixture_t *f = *state;
    static const rule_t rules[] = {
        {"a", &policy_strict, {.window = 9, .first_seq = 1, .gap_alarm = 30 * MS}},
        {"b", &policy_strict, {.window = 9, .first_seq = 1}},
    };
    f->settings.rules = rules;
    f->settings.rule_count = 2;
    s_start(f, "strict");
    fixture_fill(f, "a", 2, 2);
    fixture_fill(f, "b", 2, 2);
    fixture_pass(f, HOUR / 2);
    assert_effects(f, "alarm:a0");
}

static void a_client_without_room_is_told_where_its_rule_starts(void **state)
{
    fixture_t *f = *state;
    static const rule_t rules[] = {{"a", &policy_strict, {.window = 9, .first_seq = 70}}};
    f->settings.rules = rules;
    f->settings.rule_count = 1;
    f->settings.max_clients = 1;
    s_start(f, "strict");
    fixture_fill(f, "b", 2, 2);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_OVERLOADED);
    assert_int_equal(f->decided.next_seq, 70);
    assert_int_equal(f->decided.window_end, 79);
    assert_int_equal(fixture_skip(f, "a", 70, 71), 69);
}

//  ---- every policy ------------------------------------------------------------------------------

//  A publisher that lost its count and begins again with 1 is told so at its first push.
static void a_publisher_that_starts_again_is_answered(void **state)
{
    static const struct {
        const char *policy;
        outcome_t again;
    } cases[] = {{"strict", OUTCOME_DUPLICATE},
                 {"deadline", OUTCOME_DUPLICATE},
                 {"latest", OUTCOME_STALE},
                 {"passthrough", OUTCOME_ACCEPTED}};
    fixture_t *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        receiver_t *receiver = s_start(f, cases[i].policy);
        fixture_fill(f, "a", 1, 50);
        fixture_deliver(f);
        fixture_ack(f, receiver, "a", 50);
        assert_outcome(fixture_push(f, "a", 1), cases[i].again);
        if (cases[i].again != OUTCOME_ACCEPTED) {
            assert_int_equal(f->decided.next_seq, 51);
            fixture_deliver(f);
            fixture_ack(f, receiver, "a", 50);
            assert_int_equal(fixture_reset(f, "a", 1, 0).seq, 0);
            assert_outcome(fixture_push_in(f, "a", 1, 1, 0), OUTCOME_ACCEPTED);
            assert_delivered(f, "<a1:0> a1:1");
        }
        core_destroy(&f->core);
        f->stats = (orderer_stats_t){0};
    }
    s_start(f, "strict");
}

static void heartbeats_and_idle_time_move_no_stream(void **state)
{
    static const char *const policies[] = {"strict", "deadline", "latest", "passthrough"};
    fixture_t *f = *state;
    f->settings.receiver_timeout = 1000 * MS;
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        receiver_t *receiver = s_start(f, policies[i]);
        fixture_fill(f, "a", 1, 1);
        fixture_deliver(f);
        fixture_ack(f, receiver, "a", 1);
        for (int beat = 0; beat < 1000; beat++)
            s_keep_alive(f, receiver, 500 * MS);
        assert_effects(f, "");
        assert_delivered(f, "");
        fixture_fill(f, "a", 2, 2);
        assert_delivered(f, "a2");
        fixture_ack(f, receiver, "a", 2);
        core_destroy(&f->core);
        f->stats = (orderer_stats_t){0};
    }
    s_start(f, "strict");
}

//  A set of one rule for all clients, made where nothing of it lasts.
static rule_set_t *s_rules(const policy_t *policy, uint64_t first_seq)
{
    char all[] = "*";
    rule_t rule = {all, policy, {.window = 9, .first_seq = first_seq, .gap_timeout = 10 * MS}};
    rule_set_t *set = rule_set_new(&rule, 1);
    assert_non_null(set);
    memset(all, 'x', sizeof all - 1);
    return set;
}

static void new_rules_hold_for_clients_that_come_later(void **state)
{
    fixture_t *f = *state;
    f->settings.max_clients = 3;
    s_start(f, "strict");
    fixture_fill(f, "a", 1, 1);
    core_set_rules(f->core, s_rules(&policy_deadline, 20));
    core_set_rules(f->core, s_rules(&policy_latest, 5)); //  nobody had those before
    fixture_fill(f, "b", 9, 9);
    core_set_rules(f->core, s_rules(&policy_deadline, 20));
    assert_outcome(fixture_push(f, "c", 19), OUTCOME_DUPLICATE);
    fixture_fill(f, "a", 3, 3);
    fixture_fill(f, "b", 11, 11);
    fixture_fill(f, "c", 21, 21);
    fixture_pass(f, 10 * MS);
    const char *delivered = fixture_deliver(f);
    assert_non_null(strstr(delivered, "<a0> a1"));
    assert_null(strstr(delivered, "a3"));
    assert_non_null(strstr(delivered, "[b5-10] b11"));
    assert_non_null(strstr(delivered, "[c20-20] c21"));
}

static void a_client_that_is_forgotten_comes_back_with_the_new_rule(void **state)
{
    fixture_t *f = *state;
    f->settings.max_clients = 1;
    receiver_t *receiver = s_start(f, "strict");
    fixture_fill(f, "a", 1, 1);
    assert_delivered(f, "<a0> a1");
    fixture_ack(f, receiver, "a", 1);
    core_set_rules(f->core, s_rules(&policy_strict, 5));
    for (uint64_t seq = 5; seq < 50; seq++) {
        const char *client = seq % 2 ? "b" : "a";
        fixture_pass(f, 2 * MS);
        assert_outcome(fixture_push(f, client, seq), OUTCOME_ACCEPTED);
        fixture_deliver(f);
        fixture_ack(f, receiver, client, seq);
        core_set_rules(f->core, s_rules(&policy_strict, seq + 1));
    }
}

#define policy_test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        policy_test(a_hole_is_given_up_at_its_deadline_without_new_input),
        policy_test(what_comes_for_a_given_up_hole_is_stale_and_moves_nothing_back),
        policy_test(each_hole_has_its_own_full_time),
        policy_test(a_filled_hole_leaves_no_timer_behind),
        policy_test(a_deadline_passes_while_nobody_is_attached),
        policy_test(a_skip_ahead_goes_with_the_hole_before_it),
        policy_test(a_full_window_takes_what_it_waits_for_until_the_deadline),
        policy_test(what_a_full_window_refused_is_taken_after_the_deadline),
        policy_test(a_push_after_the_deadline_finds_the_hole_given_up),
        policy_test(reordering_in_time_gives_nothing_up),
        policy_test(a_newer_push_replaces_the_one_that_waits),
        policy_test(the_latest_push_does_not_wait_for_a_hole),
        policy_test(what_is_replaced_makes_room_for_the_newest),
        policy_test(the_highest_again_is_a_duplicate_and_below_is_stale),
        policy_test(any_higher_seq_is_taken_without_room_for_those_between),
        policy_test(a_receiver_that_comes_gets_the_newest),
        policy_test(what_is_on_its_way_is_sent_again_and_not_replaced),
        policy_test(after_a_reset_the_new_epoch_replaces_nothing_of_the_old),
        policy_test(the_broker_numbers_for_the_latest_too),
        policy_test(without_acks_the_latest_goes_on_with_the_report),
        policy_test(pushes_pass_as_they_come),
        policy_test(a_dispatch_has_passthrough_clients_or_others),
        policy_test(what_passes_needs_a_report_and_goes_to_the_next_receiver_without_one),
        policy_test(a_passing_client_has_no_stream_to_skip_or_reset),
        policy_test(what_passes_is_bounded_while_nobody_takes_it),
        policy_test(what_passes_expires_without_a_notice),
        policy_test(the_latest_push_expires_and_is_stale_then),
        policy_test(the_first_rule_that_matches_holds),
        policy_test(an_alarm_is_the_rules),
        policy_test(a_client_without_room_is_told_where_its_rule_starts),
        policy_test(a_publisher_that_starts_again_is_answered),
        policy_test(heartbeats_and_idle_time_move_no_stream),
        policy_test(new_rules_hold_for_clients_that_come_later),
        policy_test(a_client_that_is_forgotten_comes_back_with_the_new_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
