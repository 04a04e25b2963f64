//  test_core_delivery.c - the ordering core: receivers, sessions, acks, going back

#include "core_fixture.h"
#include <string.h>

//  A receiver that all clients belong to.
static receiver_t *s_receive_all(fixture_t *f)
{
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    assert_non_null(receiver);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    return receiver;
}

//  ---- acks --------------------------------------------------------------------------------------

static void a_cumulative_ack_covers_what_is_before_it(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 10);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 4);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 6);
    assert_int_equal(fixture_stat(&f->stats.unacked_messages), 6);
    fixture_ack(f, receiver, "a", 3);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 6);
    fixture_ack(f, receiver, "a", 10);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 0);
    assert_int_equal(fixture_stat(&f->stats.retained_bytes), 0);
    assert_int_equal(core_kept(f->core), 0);
    assert_int_equal(fixture_stat(&f->stats.acked), 10);
}

static void an_ack_beyond_what_was_sent_is_ignored(void **state)
{
    fixture_t *f = *state;
    f->settings.max_unacked = 3;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 5);
    fixture_ack(f, receiver, "a", 1);
    assert_delivered(f, "<a0> a1 a2 a3");
    fixture_ack(f, receiver, "a", 4);
    fixture_ack_in(f, receiver, "a", 1, 0);
    assert_int_equal(fixture_stat(&f->stats.acks_beyond), 3);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 5);
    fixture_ack(f, receiver, "b", 1);
    assert_int_equal(fixture_stat(&f->stats.acks_unknown), 1);
}

//  Nothing is sent again for an ack that comes first.
static void an_ack_may_come_before_the_report(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 3);
    f->hold = true;
    assert_delivered(f, "<a0> a1 a2 a3");
    fixture_ack(f, receiver, "a", 3);
    assert_int_equal(core_kept(f->core), 0);
    fixture_report(f, true);
    f->hold = false;
    assert_delivered(f, "");
    fixture_pass(f, 100000 * MS);
    assert_delivered(f, "");
    assert_int_equal(fixture_stat(&f->stats.acked), 3);
}

//  The entry that the receiver has taken is taken, whether or not it was to be sent again.
static void an_ack_of_what_was_sent_before_going_back_is_good(void **state)
{
    fixture_t *f = *state;
    f->batch_max = 3;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 5);
    fixture_deliver(f);
    position_t at = {0, 2};
    assert_true(fixture_take(f, receiver, "a", &at)); //  the same session
    fixture_ack(f, receiver, "a", 5);
    assert_int_equal(core_kept(f->core), 0);
    assert_delivered(f, "");
}

static void a_partial_ack_leaves_every_payload_under_its_own_seq(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 10);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 5);
    fixture_miss(f, receiver, "a", 6);
    assert_delivered(f, "<a6> a7 a8 a9 a10");
    assert_int_equal(fixture_stat(&f->stats.redelivered), 4);
}

static void what_is_missing_is_sent_again_in_order(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 10);
    fixture_deliver(f);
    fixture_miss(f, receiver, "a", 0);
    assert_delivered(f, "<a0> a1 a2 a3 a4 a5 a6 a7 a8 a9 a10");
    fixture_miss(f, receiver, "a", 11); //  never sent
    assert_delivered(f, "");
}

static void what_is_missing_is_sent_again_once_for_a_position(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 4);
    fixture_deliver(f);
    fixture_miss(f, receiver, "a", 1);
    assert_delivered(f, "<a1> a2 a3 a4");
    for (int i = 0; i < 10; i++)
        fixture_miss(f, receiver, "a", 1);
    assert_delivered(f, "");
    fixture_miss(f, receiver, "a", 2);
    assert_delivered(f, "<a2> a3 a4");
}

static void an_ack_in_the_tick_of_the_delivery_took_no_time(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    f->now &= ~((INT64_C(2) << TICK_SHIFT) - 1); //  an even tick
    fixture_fill(f, "a", 1, 1);
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 1);
    assert_int_equal(stats_get(&f->stats.delivery.sum), 0);
}

static void the_way_is_bounded_a_client_and_an_endpoint(void **state)
{
    fixture_t *f = *state;
    f->settings.max_unacked = 2;
    f->settings.max_unacked_bytes = 200; //  about four pushes
    f->batch_max = 1;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 4);
    fixture_fill(f, "b", 1, 4);
    fixture_fill(f, "c", 1, 4);
    assert_delivered(f, "<a0> <b0> <c0> a1 b1 c1 a2 b2");
    fixture_ack(f, receiver, "b", 1);
    assert_delivered(f, "c2");
    fixture_ack(f, receiver, "c", 2);
    fixture_ack(f, receiver, "a", 2);
    assert_delivered(f, "b3 c3 a3 c4");
}

//  ---- markers and notices -----------------------------------------------------------------------

static void the_first_entry_of_a_client_is_a_marker(void **state)
{
    fixture_t *f = *state;
    f->settings.first_seq = 7;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "new", 7, 8);
    assert_delivered(f, "<new6> new7 new8");
    fixture_fill(f, "new", 9, 9);
    assert_delivered(f, "new9");
    fixture_miss(f, receiver, "new", 7);
    assert_delivered(f, "<new7> new8 new9");
}

//  A receiver goes where a marker says: one that overtook a loss would hide it.
static void a_new_epoch_starts_when_all_before_it_is_acknowledged(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 2);
    fixture_reset(f, "a", 1, 1);
    fixture_push_in(f, "a", 1, 1, 0);
    assert_delivered(f, "<a0> a1 a2");
    fixture_ack(f, receiver, "a", 1);
    assert_delivered(f, "");
    fixture_ack(f, receiver, "a", 2);
    assert_delivered(f, "<a1:0> a1:1");
    fixture_miss(f, receiver, "a", 2);
    assert_delivered(f, "<a1:0> a1:1");
    //  An ack in the new epoch covers the old.
    fixture_ack_in(f, receiver, "a", 1, 1);
    assert_int_equal(core_kept(f->core), 0);
}

//  A receiver takes a notice only if it begins right behind its last one.
static void a_notice_begins_where_the_receiver_is(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *first = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_skip(f, "a", 1, 9);
    fixture_fill(f, "a", 10, 10);
    position_t at = {0, 7};
    assert_true(fixture_take(f, first, "a", &at));
    assert_int_equal(at.seq, 7);
    assert_delivered(f, "<a7> [a8-9] a10");
    fixture_miss(f, first, "a", 8);
    assert_delivered(f, "<a8> [a9-9] a10");
    fixture_ack(f, first, "a", 10);
    assert_int_equal(core_kept(f->core), 0);
    assert_int_equal(fixture_stat(&f->stats.retained_bytes), 0);
    assert_int_equal(first->unacked_bytes, 0);
}

//  ---- positions ---------------------------------------------------------------------------------

static void a_position_says_where_delivery_goes_on(void **state)
{
    static const struct {
        position_t asked;
        uint64_t goes_on;
        const char *delivered;
    } cases[] = {
        {{0, 0}, 2, "<a2> a3 a4 a5"}, //  where the broker is
        {{0, 1}, 2, "<a2> a3 a4 a5"}, //  what followed is gone, and the receiver told so
        {{0, 3}, 3, "<a3> a4 a5"},
        {{0, 5}, 5, ""},
    };
    fixture_t *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_start(f);
        receiver_t *first = s_receive_all(f);
        fixture_fill(f, "a", 1, 5);
        fixture_deliver(f);
        fixture_ack(f, first, "a", 2);
        receiver_t *second = fixture_attach(f, "s", 2, 2);
        position_t at = cases[i].asked;
        assert_true(fixture_take(f, second, "a", &at));
        assert_int_equal(at.seq, cases[i].goes_on);
        assert_effects(f, "open:s:101 taken_over:r:a");
        assert_delivered(f, cases[i].delivered);
        core_destroy(&f->core);
        memset(&f->stats, 0, sizeof f->stats);
    }
    fixture_start(f);
}

static void a_position_ahead_of_an_unacknowledged_client_moves_it(void **state)
{
    fixture_t *f = *state;
    f->settings.window = 8;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_fill(f, "a", 1, 2);
    fixture_fill(f, "a", 4, 5);
    fixture_fill(f, "a", 7, 7);
    position_t at = {0, 5};
    assert_true(fixture_take(f, receiver, "a", &at));
    assert_int_equal(at.seq, 5);
    assert_int_equal(core_kept(f->core), 1);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_DUPLICATE);
    assert_outcome(fixture_push(f, "a", 5), OUTCOME_DUPLICATE);
    assert_outcome(fixture_push(f, "a", 14), OUTCOME_WINDOW_FULL);
    assert_outcome(fixture_push(f, "a", 13), OUTCOME_ACCEPTED);
    fixture_fill(f, "a", 6, 6);
    assert_delivered(f, "<a5> a6 a7");

    at = (position_t){4, 20};
    assert_true(fixture_take(f, receiver, "b", &at));
    assert_outcome(fixture_push(f, "b", 1), OUTCOME_EPOCH_MISMATCH);
    assert_outcome(fixture_push_in(f, "b", 4, 21, 0), OUTCOME_ACCEPTED);
    assert_delivered(f, "<b4:20> b4:21");
}

static void a_position_ahead_of_an_acknowledged_client_is_refused(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *first = s_receive_all(f);
    fixture_fill(f, "a", 1, 3);
    fixture_fill(f, "a", 5, 5);
    fixture_deliver(f);
    fixture_ack(f, first, "a", 1);
    receiver_t *second = fixture_attach(f, "s", 2, 2);
    fixture_effects(f);
    static const position_t ahead[] = {{0, 4}, {0, 5}, {1, 0}, {0, INT64_MAX}};
    for (size_t i = 0; i < sizeof ahead / sizeof *ahead; i++) {
        position_t at = ahead[i];
        assert_false(fixture_take(f, second, "a", &at));
        assert_true(at.epoch == 0 && at.seq == 3);
    }
    assert_effects(f, "");
    assert_delivered(f, "");
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 2);
    position_t at = {0, 3};
    assert_true(fixture_take(f, second, "a", &at));
}

//  ---- sessions ----------------------------------------------------------------------------------

static void a_session_lasts_as_long_as_nothing_changes(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 3);
    fixture_deliver(f);
    for (int i = 0; i < 100; i++) {
        fixture_pass(f, 5 * MS);
        core_heard(receiver, f->now);
        assert_ptr_equal(fixture_attach(f, "r", 1, 1), receiver);
    }
    assert_int_equal(receiver->generation, 100);
    assert_effects(f, "");
    assert_delivered(f, "");
    fixture_attach(f, "r", 1, 2);
    assert_effects(f, "close:r open:r:101");
    assert_delivered(f, "<a0> a1 a2 a3");
    fixture_attach(f, "r", 2, 2);
    assert_effects(f, "close:r open:r:102");
    assert_delivered(f, "<a0> a1 a2 a3");
}

//  A receiver dies with a batch that it has not acknowledged: who comes next gets it as it was.
static void what_a_dead_receiver_left_goes_on_in_its_order(void **state)
{
    fixture_t *f = *state;
    f->settings.receiver_timeout = 1000 * MS;
    fixture_start(f);
    receiver_t *first = s_receive_all(f);
    fixture_fill(f, "a", 1, 6);
    f->hold = true;
    assert_delivered(f, "<a0> a1 a2 a3 a4 a5 a6");
    fixture_ack(f, first, "a", 2);
    fixture_pass(f, 1000 * MS);
    fixture_fill(f, "a", 7, 7);
    assert_true(f->decided.unreceived);
    assert_null(core_receiver(f->core, "r", 1));
    assert_effects(f, "timeout:r: close:r");
    assert_delivered(f, "");
    receiver_t *second = fixture_attach(f, "s", 2, 2);
    assert_effects(f, "open:s:101");
    fixture_take_prefix(f, second, "");
    assert_delivered(f, "<a2> a3 a4 a5 a6 a7");
    fixture_report(f, false);
}

static void a_receiver_that_returns_has_its_clients(void **state)
{
    fixture_t *f = *state;
    f->settings.receiver_timeout = 1000 * MS;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    fixture_pass(f, 2000 * MS);
    assert_effects(f, "timeout:r: close:r");
    fixture_fill(f, "a", 1, 2);
    fixture_attach(f, "r", 1, 1);
    assert_effects(f, "open:r:101");
    assert_delivered(f, "<a0> a1 a2");
}

static void an_endpoint_has_one_receiver(void **state)
{
    fixture_t *f = *state;
    f->settings.routes = &(core_route_t){.match = "*", .endpoint = "tcp://127.0.0.1:9"};
    f->settings.route_count = 1;
    fixture_start(f);
    fixture_attach(f, "r", 1, 1);
    assert_effects(f, "open:r:100");
    fixture_attach(f, "s", 1, 2);
    assert_effects(f, "taken_over:r: close:r open:s:101");
    assert_null(core_receiver(f->core, "r", 1));
    assert_null(fixture_attach(f, "s", 9, 2));
    assert_non_null(core_receiver(f->core, "s", 1));
}

static void clients_go_to_the_name_the_longest_prefix_or_the_route(void **state)
{
    fixture_t *f = *state;
    f->settings.routes = &(core_route_t){.match = "a*", .endpoint = "tcp://127.0.0.1:9"};
    f->settings.route_count = 1;
    fixture_start(f);
    receiver_t *r = fixture_attach(f, "r", 1, 1), *s = fixture_attach(f, "s", 2, 2);
    fixture_effects(f);
    fixture_fill(f, "abc", 1, 1);
    assert_delivered(f, "abc1");
    fixture_take_prefix(f, r, "a");
    fixture_fill(f, "abc", 2, 2);
    assert_delivered(f, "<abc1> abc2");
    fixture_take_prefix(f, s, "ab");
    assert_effects(f, "taken_over:r:abc");
    assert_true(core_attach_prefix(f->core, s, NULL, 0, f->now)); //  one receiver, two prefixes
    assert_effects(f, "");
    assert_delivered(f, "<abc1> abc2");
    fixture_ack(f, s, "abc", 2);
    fixture_take_all(f, r, "abc");
    assert_effects(f, "taken_over:s:abc");
    fixture_take_prefix(f, r, "ab"); //  the same prefix again: s has lost it
    fixture_fill(f, "abd", 1, 1);
    assert_delivered(f, "<abd0> abd1");
    fixture_ack(f, r, "abd", 1);
    core_detach(f->core, r);
    assert_effects(f, "close:r");
    fixture_fill(f, "abc", 3, 3);
    assert_delivered(f, "<abc2> abc3");
    fixture_ack(f, s, "abc", 3);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 0);
    core_detach(f->core, s);
    fixture_effects(f);
    fixture_fill(f, "abc", 4, 4);
    assert_delivered(f, "abc4");
}

static void receivers_and_prefixes_are_bounded(void **state)
{
    fixture_t *f = *state;
    f->settings.max_receivers = 2;
    f->settings.receiver_timeout = 1000 * MS;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_attach(f, "s", 2, 2);
    assert_null(fixture_attach(f, "t", 3, 3));
    fixture_effects(f);
    for (int i = 0; i < 64; i++)
        assert_true(core_attach_prefix(f->core, receiver, &(char){(char)('0' + i)}, 1, f->now));
    assert_false(core_attach_prefix(f->core, receiver, "~", 1, f->now));
    assert_false(core_attach_prefix(f->core, receiver, NULL, 0, f->now));
    assert_true(core_attach_prefix(f->core, receiver, "0", 1, f->now));
    fixture_take_all(f, receiver, "a");
    fixture_pass(f, 2000 * MS);
    //  Who is gone and has no clients makes room.
    assert_non_null(fixture_attach(f, "t", 3, 3));
    assert_non_null(fixture_attach(f, "r", 1, 1));
    assert_null(fixture_attach(f, "u", 4, 4));
}

//  Receivers that are gone for good do not keep others out, and their clients go elsewhere.
static void the_receiver_gone_longest_makes_room(void **state)
{
    fixture_t *f = *state;
    f->settings.max_receivers = 3;
    f->settings.receiver_timeout = 1000 * MS;
    fixture_start(f);
    static const char *const ids[] = {"r", "s"}, *const clients[] = {"a", "b"};
    for (unsigned i = 0; i < 2; i++) {
        receiver_t *gone = fixture_attach(f, ids[i], 1 + i, 1 + i);
        fixture_effects(f);
        fixture_take_all(f, gone, clients[i]);
        fixture_fill(f, clients[i], 1, 2);
        fixture_deliver(f);
        fixture_pass(f, 2000 * MS);
    }
    receiver_t *all = fixture_attach(f, "t", 3, 3);
    fixture_effects(f);
    fixture_take_prefix(f, all, "");
    assert_delivered(f, "");
    assert_non_null(fixture_attach(f, "u", 4, 4));
    fixture_effects(f);
    assert_delivered(f, "<a0> a1 a2");
    assert_non_null(fixture_attach(f, "v", 5, 5));
    fixture_effects(f);
    assert_delivered(f, "<b0> b1 b2");
    assert_null(fixture_attach(f, "w", 6, 6));
}

//  A peer that attaches faster than sockets close has to wait, and may attach then.
static void endpoints_that_are_being_closed_are_bounded(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    f->hold = true;
    uint64_t peer = 0;
    while (fixture_attach(f, "r", 1, ++peer)) {
        assert_true(peer < 2000);
        fixture_effects(f);
    }
    fixture_report(f, true);
    assert_non_null(fixture_attach(f, "r", 1, ++peer));
}

//  What others wait to send is sent when a client leaves that had filled the endpoint's way.
static void room_that_a_client_leaves_behind_is_used(void **state)
{
    fixture_t *f = *state;
    f->settings.max_unacked_bytes = 1;
    f->batch_max = 2;
    fixture_start(f);
    s_receive_all(f);
    receiver_t *other = fixture_attach(f, "s", 2, 2);
    fixture_effects(f);
    fixture_fill(f, "a", 1, 1);
    fixture_fill(f, "b", 1, 1);
    assert_delivered(f, "<a0> a1");
    fixture_take_all(f, other, "a");
    assert_delivered(f, "<b0> b1 <a0> a1");
}

static void a_detached_receiver_may_have_dispatches_out(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 2);
    f->hold = true;
    fixture_deliver(f);
    core_detach(f->core, receiver);
    assert_effects(f, "close:r");
    receiver = fixture_attach(f, "r", 1, 1);
    fixture_take_prefix(f, receiver, "a");
    assert_effects(f, "open:r:101");
    assert_delivered(f, "<a0> a1 a2");
    fixture_report(f, true);
    assert_int_equal(fixture_stat(&f->stats.unacked_messages), 2);
}

//  ---- without acks ------------------------------------------------------------------------------

static void without_acks_the_report_counts(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach_unacked(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    fixture_fill(f, "a", 1, 2);
    f->hold = true;
    assert_delivered(f, "<a0> a1 a2");
    fixture_ack(f, receiver, "a", 2);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 2);
    fixture_report(f, true);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 0);
    assert_int_equal(fixture_stat(&f->stats.taken), 2);
    //  What a closed endpoint did not send comes again; a report of the old session is none.
    fixture_fill(f, "a", 3, 4);
    assert_delivered(f, "a3 a4");
    fixture_attach_unacked(f, "r", 1, 2);
    assert_effects(f, "close:r open:r:101");
    assert_delivered(f, "<a2> a3 a4");
    dispatch_t *second = f->held[--f->held_count];
    fixture_report(f, true);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 2);
    f->held[f->held_count++] = second;
    fixture_report(f, true);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 0);
}

static void a_route_has_neither_markers_nor_acks(void **state)
{
    fixture_t *f = *state;
    f->settings.routes = &(core_route_t){.match = "a?", .endpoint = "tcp://127.0.0.1:9"};
    f->settings.route_count = 1;
    fixture_start(f);
    fixture_fill(f, "ab", 1, 2);
    assert_false(f->decided.unreceived);
    fixture_skip(f, "ab", 3, 4);
    fixture_reset(f, "ab", 1, 1);
    fixture_push_in(f, "ab", 1, 1, 0);
    assert_delivered(f, "ab1 ab2 [ab3-4] ab1:1");
    assert_int_equal(core_kept(f->core), 0);
}

//  ---- acks that do not come ---------------------------------------------------------------------

static void what_is_not_acknowledged_in_time_is_sent_again_in_order(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    s_receive_all(f);
    fixture_fill(f, "a", 1, 10);
    fixture_deliver(f);
    fixture_pass(f, 999 * MS);
    assert_delivered(f, "");
    fixture_pass(f, 1 * MS);
    assert_delivered(f, "<a0> a1 a2 a3 a4 a5 a6 a7 a8 a9 a10");
    //  With doubled patience while there is no progress.
    fixture_pass(f, 1900 * MS);
    assert_delivered(f, "");
    fixture_pass(f, 400 * MS);
    assert_delivered(f, "<a0> a1 a2 a3 a4 a5 a6 a7 a8 a9 a10");
}

static void nothing_is_overdue_while_the_endpoint_would_block(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    s_receive_all(f);
    fixture_fill(f, "a", 1, 2);
    f->hold = true;
    fixture_deliver(f);
    fixture_pass(f, 60000 * MS);
    assert_delivered(f, "");
    fixture_report(f, true);
    fixture_pass(f, 1300 * MS);
    assert_delivered(f, "<a0> a1 a2");
}

//  One client's entries are lost, the others' go on without a pause.
static void a_loss_beside_traffic_is_made_good(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 1);
    assert_delivered(f, "<a0> a1"); //  lost
    f->hold = true; //  something is always with the worker
    for (uint64_t seq = 1; seq <= 400; seq++) {
        fixture_fill(f, "b", seq, seq);
        dispatch_t *last = f->held_count ? f->held[0] : NULL;
        f->held_count = 0;
        bool again = strstr(fixture_deliver(f), "a1") != NULL;
        dispatch_t *next = f->held[0];
        if (last) {
            f->held[0] = last;
            f->held_count = 1;
            fixture_report(f, true);
            f->held[0] = next;
            f->held_count = 1;
        }
        fixture_pass(f, 10 * MS);
        fixture_ack(f, receiver, "b", seq);
        if (again)
            return;
    }
    fail_msg("the lost push was not sent again");
}

//  It works through what one client has, and acknowledges; the other's turn comes.
static void a_receiver_that_is_only_slow_is_sent_nothing_twice(void **state)
{
    fixture_t *f = *state;
    f->batch_max = 1000;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 500);
    fixture_deliver(f);
    fixture_pass(f, 1 * MS);
    fixture_fill(f, "b", 1, 1);
    assert_delivered(f, "<b0> b1");
    for (uint64_t seq = 1; seq <= 500; seq++) {
        fixture_pass(f, 20 * MS);
        fixture_ack(f, receiver, "a", seq);
        assert_delivered(f, "");
    }
    fixture_ack(f, receiver, "b", 1);
    assert_int_equal(fixture_stat(&f->stats.redelivered), 0);
}

static void the_oldest_unacknowledged_entry_is_told(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = s_receive_all(f);
    fixture_fill(f, "a", 1, 1);
    fixture_deliver(f);
    fixture_pass(f, 900 * MS);
    assert_in_range(fixture_stat(&f->stats.oldest_unacked), 400 * MS, 900 * MS);
    fixture_ack(f, receiver, "a", 1);
    fixture_pass(f, 600 * MS);
    assert_int_equal(fixture_stat(&f->stats.oldest_unacked), 0);
}

#define core_test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        core_test(a_cumulative_ack_covers_what_is_before_it),
        core_test(an_ack_beyond_what_was_sent_is_ignored),
        core_test(an_ack_may_come_before_the_report),
        core_test(an_ack_of_what_was_sent_before_going_back_is_good),
        core_test(a_partial_ack_leaves_every_payload_under_its_own_seq),
        core_test(what_is_missing_is_sent_again_in_order),
        core_test(what_is_missing_is_sent_again_once_for_a_position),
        core_test(an_ack_in_the_tick_of_the_delivery_took_no_time),
        core_test(the_way_is_bounded_a_client_and_an_endpoint),
        core_test(the_first_entry_of_a_client_is_a_marker),
        core_test(a_new_epoch_starts_when_all_before_it_is_acknowledged),
        core_test(a_notice_begins_where_the_receiver_is),
        core_test(a_position_says_where_delivery_goes_on),
        core_test(a_position_ahead_of_an_unacknowledged_client_moves_it),
        core_test(a_position_ahead_of_an_acknowledged_client_is_refused),
        core_test(a_session_lasts_as_long_as_nothing_changes),
        core_test(what_a_dead_receiver_left_goes_on_in_its_order),
        core_test(a_receiver_that_returns_has_its_clients),
        core_test(an_endpoint_has_one_receiver),
        core_test(clients_go_to_the_name_the_longest_prefix_or_the_route),
        core_test(receivers_and_prefixes_are_bounded),
        core_test(the_receiver_gone_longest_makes_room),
        core_test(endpoints_that_are_being_closed_are_bounded),
        core_test(room_that_a_client_leaves_behind_is_used),
        core_test(a_detached_receiver_may_have_dispatches_out),
        core_test(without_acks_the_report_counts),
        core_test(a_route_has_neither_markers_nor_acks),
        core_test(what_is_not_acknowledged_in_time_is_sent_again_in_order),
        core_test(nothing_is_overdue_while_the_endpoint_would_block),
        core_test(a_loss_beside_traffic_is_made_good),
        core_test(a_receiver_that_is_only_slow_is_sent_nothing_twice),
        core_test(the_oldest_unacknowledged_entry_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
