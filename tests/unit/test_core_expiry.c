//  test_core_expiry.c - the ordering core: what is retained for too long is given up, and announced

#include "core_fixture.h"
#include <stdio.h>

static int s_setup(void **state)
{
    fixture_setup(state);
    fixture_t *f = *state;
    f->settings.retain_max = 60000 * MS;
    return 0;
}

//  A receiver that all clients belong to.
static receiver_t *s_receive_all(fixture_t *f)
{
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    assert_non_null(receiver);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    return receiver;
}

//  The times are those of a coarse clock, of which a unit is more than a ms.
static void s_pass_retain_max(fixture_t *f)
{
    fixture_pass(f, f->settings.retain_max + 3 * MS);
}

//  What was retained for a position is gone: the receiver is told so.
static void a_receiver_is_told_what_is_gone_when_it_comes(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 1, 5);
    fixture_pass(f, 30000 * MS);
    fixture_fill(f, "a", 6, 7);
    fixture_pass(f, 29999 * MS);
    assert_int_equal(fixture_stat(&f->stats.pushes_expired), 0);
    fixture_pass(f, 5 * MS);
    assert_effects(f, "expired:a5:5");
    assert_int_equal(fixture_stat(&f->stats.pushes_expired), 5);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 3);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    position_t at = {0, 2};
    assert_true(fixture_take(f, receiver, "a", &at));
    assert_delivered(f, "<a2> [a3-5] a6 a7");
    fixture_ack(f, receiver, "a", 7);
    assert_int_equal(core_kept(f->core), 0);
}

//  Whoever pushes it again is told that it is too late, and what is free again is used.
static void what_was_given_up_is_stale_and_makes_room(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 5;
    fixture_start(f);
    fixture_fill(f, "a", 1, 5);
    assert_outcome(fixture_push(f, "a", 6), OUTCOME_BACKLOG_FULL);
    s_pass_retain_max(f);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_STALE);
    fixture_fill(f, "a", 6, 9);
    assert_outcome(fixture_push(f, "a", 10), OUTCOME_BACKLOG_FULL);
}

static void neighbours_are_one_notice(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    for (uint64_t seq = 1; seq <= 40; seq++) {
        fixture_fill(f, "a", 2 * seq - 1, 2 * seq - 1);
        fixture_skip(f, "a", 2 * seq, 2 * seq);
        fixture_pass(f, 1000 * MS);
    }
    s_pass_retain_max(f);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 1);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_STALE); //  one gap is remembered, not eighty
    s_receive_all(f);
    assert_delivered(f, "<a0> [a1-80]");
}

static void a_marker_stays_between_epochs(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 1, 3);
    fixture_reset(f, "a", 1, 1);
    for (uint64_t seq = 1; seq <= 2; seq++)
        fixture_push_in(f, "a", 1, seq, 0);
    s_pass_retain_max(f);
    assert_effects(f, "expired:a3:3 expired:a2:2");
    receiver_t *receiver = s_receive_all(f);
    assert_delivered(f, "<a0> [a1-3]");
    fixture_ack(f, receiver, "a", 3);
    assert_delivered(f, "<a1:0> [a1:1-2]");
    fixture_ack_in(f, receiver, "a", 1, 2);
    assert_int_equal(core_kept(f->core), 0);
}

//  A push that is held has all the time that it needs; it is retained from its release on.
static void what_is_held_does_not_expire(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 2, 3);
    s_pass_retain_max(f);
    fixture_fill(f, "a", 1, 1);
    fixture_pass(f, 59000 * MS);
    s_receive_all(f);
    assert_delivered(f, "<a0> a1 a2 a3");
}

//  Thousands of clients are due at once: what comes in meanwhile does not wait for all of them.
static void what_is_due_at_once_is_done_in_portions(void **state)
{
    fixture_t *f = *state;
    f->settings.max_clients = 5000;
    fixture_start(f);
    for (unsigned i = 0; i < 3000; i++) {
        char client[16];
        snprintf(client, sizeof client, "c%u", i);
        fixture_fill(f, client, 1, 1);
    }
    f->now += f->settings.retain_max + 3 * MS;
    uint64_t done = 0;
    while (done < 3000) {
        assert_true(core_next_tick(f->core) <= f->now);
        core_tick(f->core, f->now);
        uint64_t now_done = fixture_stat(&f->stats.pushes_expired);
        assert_in_range(now_done - done, 1, 1024);
        done = now_done;
    }
}

//  ---- on its way --------------------------------------------------------------------------------

//  A receiver that has them after all may acknowledge them, all or some.
static void an_ack_of_what_was_given_up_is_good(void **state)
{
    fixture_t *f = *state;
    f->settings.ack_timeout = 600000 * MS;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 5);
    fixture_fill(f, "b", 1, 5);
    fixture_deliver(f);
    s_pass_retain_max(f);
    assert_int_equal(fixture_stat(&f->stats.pushes_expired), 10);
    assert_delivered(f, "");
    fixture_fill(f, "a", 6, 6);
    fixture_fill(f, "b", 6, 6);
    assert_delivered(f, "a6 b6");
    fixture_ack(f, receiver, "a", 6);
    fixture_ack(f, receiver, "b", 3);
    assert_int_equal(fixture_stat(&f->stats.acks_beyond), 0);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 2);
    assert_int_equal(fixture_stat(&f->stats.unacked_messages), 2);
    //  Of the rest it is told what is gone, from where it is.
    fixture_miss(f, receiver, "b", 3);
    assert_delivered(f, "<b3> [b4-5] b6");
}

//  An endpoint that is stuck, and a client of which more is kept than may be on its way.
static void a_client_goes_back_where_a_notice_covers_more_than_is_on_its_way(void **state)
{
    fixture_t *f = *state;
    f->settings.ack_timeout = 600000 * MS;
    f->settings.max_unacked = 2;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 4);
    assert_delivered(f, "<a0> a1 a2");
    s_pass_retain_max(f);
    fixture_fill(f, "a", 5, 5);
    assert_delivered(f, "<a0> [a1-4] a5");
    fixture_ack(f, receiver, "a", 2); //  of the first time
    assert_int_equal(fixture_stat(&f->stats.acks_beyond), 0);
    fixture_miss(f, receiver, "a", 2);
    assert_delivered(f, "<a2> [a3-4] a5");
    fixture_ack(f, receiver, "a", 5);
    assert_int_equal(core_kept(f->core), 0);
}

//  What one client no longer has on its way is room for another.
static void what_expires_on_its_way_makes_room_there(void **state)
{
    fixture_t *f = *state;
    f->settings.ack_timeout = 600000 * MS;
    f->settings.max_unacked_bytes = 100;
    fixture_start(f);
    s_receive_all(f);
    fixture_fill(f, "a", 1, 9);
    fixture_deliver(f);
    fixture_pass(f, 30000 * MS);
    fixture_fill(f, "b", 1, 1);
    assert_delivered(f, "");
    s_pass_retain_max(f);
    assert_delivered(f, "<b0> [b1-1]");
}

//  ---- without acks ------------------------------------------------------------------------------

//  Nobody could tell whether it was sent.
static void what_a_worker_has_of_a_route_is_not_given_up(void **state)
{
    fixture_t *f = *state;
    f->settings.routes = &(core_route_t){.match = "a*", .endpoint = "tcp://127.0.0.1:9"};
    f->settings.route_count = 1;
    f->settings.max_unacked = 2;
    fixture_start(f);
    f->hold = true;
    fixture_fill(f, "a", 1, 5);
    assert_delivered(f, "a1 a2");
    s_pass_retain_max(f);
    assert_effects(f, "expired:a5:3");
    fixture_report(f, true);
    assert_int_equal(fixture_stat(&f->stats.taken), 2);
    assert_delivered(f, "[a3-5]");
    fixture_report(f, true);
    assert_int_equal(core_kept(f->core), 0);
}

//  Unless it is returned, and can be sent no more.
static void what_a_worker_returns_is_given_up(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach_unacked(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    f->hold = true;
    fixture_fill(f, "a", 1, 2);
    assert_delivered(f, "<a0> a1 a2");
    s_pass_retain_max(f);
    assert_int_equal(fixture_stat(&f->stats.pushes_expired), 0);
    core_detach(f->core, receiver);
    fixture_effects(f);
    fixture_report(f, false);
    fixture_pass(f, 0);
    assert_int_equal(fixture_stat(&f->stats.pushes_expired), 2);
    receiver = s_receive_all(f);
    assert_delivered(f, "<a0> [a1-2]");
    fixture_report(f, true);
}

//  A clock that jumps makes both due at once: it is one notice, not one beside the other.
static void what_a_silent_receiver_has_is_given_up_with_what_follows(void **state)
{
    fixture_t *f = *state;
    f->settings.max_unacked = 2;
    f->settings.receiver_timeout = f->settings.retain_max + 1000 * MS;
    fixture_start(f);
    receiver_t *receiver = fixture_attach_unacked(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    f->hold = true;
    fixture_fill(f, "a", 1, 4);
    assert_delivered(f, "<a0> a1 a2");
    f->now += f->settings.receiver_timeout;
    core_tick(f->core, f->now);
    assert_effects(f, "timeout:r: close:r expired:a4:4");
    fixture_report(f, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_receiver_is_told_what_is_gone_when_it_comes),
        TEST(what_was_given_up_is_stale_and_makes_room),
        TEST(neighbours_are_one_notice),
        TEST(a_marker_stays_between_epochs),
        TEST(what_is_held_does_not_expire),
        TEST(what_is_due_at_once_is_done_in_portions),
        TEST(an_ack_of_what_was_given_up_is_good),
        TEST(a_client_goes_back_where_a_notice_covers_more_than_is_on_its_way),
        TEST(what_expires_on_its_way_makes_room_there),
        TEST(what_a_worker_has_of_a_route_is_not_given_up),
        TEST(what_a_worker_returns_is_given_up),
        TEST(what_a_silent_receiver_has_is_given_up_with_what_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
