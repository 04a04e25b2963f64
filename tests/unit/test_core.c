//  test_core.c - the ordering core: outcomes, bounds, epochs, time

#include "core_fixture.h"
#include <string.h>

//  ---- order and outcomes ------------------------------------------------------------------------

static void what_comes_out_of_order_goes_out_in_order(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    static const uint64_t seqs[] = {6, 3, 2, 5, 7, 1, 4, 8};
    for (size_t i = 0; i < 5; i++)
        assert_outcome(fixture_push(f, "a", seqs[i]), OUTCOME_ACCEPTED);
    assert_delivered(f, "");
    fixture_push(f, "a", seqs[5]);
    assert_delivered(f, "<a0> a1 a2 a3");
    fixture_push(f, "a", seqs[6]);
    fixture_push(f, "a", seqs[7]);
    assert_delivered(f, "a4 a5 a6 a7 a8");
    assert_int_equal(fixture_stat(&f->stats.gaps_open), 0);
    assert_int_equal(fixture_stat(&f->stats.gaps_filled), 2);
}

//  One of two racing publishers is ahead with 6: it cannot reach the receiver before 5.
static void the_later_of_two_racing_pushes_waits(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    fixture_fill(f, "a", 1, 4);
    assert_delivered(f, "<a0> a1 a2 a3 a4");
    fixture_push(f, "a", 6);
    assert_delivered(f, "");
    fixture_push(f, "a", 5);
    assert_delivered(f, "a5 a6");
}

static void every_seq_has_its_outcome(void **state)
{
    fixture_t *f = *state;
    f->settings.window = 8;
    f->settings.first_seq = 10;
    fixture_start(f);
    fixture_fill(f, "a", 10, 11);
    fixture_push(f, "a", 14);
    fixture_skip(f, "a", 16, 17);
    static const struct {
        uint64_t seq;
        outcome_t outcome;
    } cases[] = {
        {1, OUTCOME_DUPLICATE},    {9, OUTCOME_DUPLICATE},    {11, OUTCOME_DUPLICATE},
        {14, OUTCOME_DUPLICATE},   {16, OUTCOME_STALE},       {17, OUTCOME_STALE},
        {20, OUTCOME_WINDOW_FULL}, {21, OUTCOME_WINDOW_FULL}, {INT64_MAX, OUTCOME_WINDOW_FULL},
        {19, OUTCOME_ACCEPTED},    {19, OUTCOME_DUPLICATE},   {12, OUTCOME_ACCEPTED},
        {20, OUTCOME_ACCEPTED},    {21, OUTCOME_WINDOW_FULL}, {13, OUTCOME_ACCEPTED},
        {15, OUTCOME_ACCEPTED},    {16, OUTCOME_STALE},       {18, OUTCOME_ACCEPTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_outcome(fixture_push(f, "a", cases[i].seq), cases[i].outcome);
    assert_outcome(fixture_push(f, "a", 29), OUTCOME_WINDOW_FULL);
    assert_int_equal(f->decided.next_seq, 21);
    assert_int_equal(f->decided.window_end, 29);
    assert_int_equal(f->decided.now_epoch, 0);
}

//  The capacity is looked at after the hole: what everybody waits for is let in.
static void a_full_window_takes_the_push_that_it_waits_for(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 999;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    fixture_fill(f, "a", 2, 1000);
    assert_outcome(fixture_push(f, "a", 1001), OUTCOME_WINDOW_FULL);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_ACCEPTED);
    assert_int_equal(fixture_stat(&f->stats.released), 1000);
    assert_int_equal(strncmp(fixture_deliver(f), "<a0> a1 a2 a3 ", 14), 0);
}

static void what_was_refused_for_the_window_is_taken_later(void **state)
{
    fixture_t *f = *state;
    f->settings.window = 4;
    fixture_start(f);
    assert_outcome(fixture_push(f, "a", 5), OUTCOME_WINDOW_FULL);
    fixture_fill(f, "a", 1, 1);
    assert_outcome(fixture_push(f, "a", 5), OUTCOME_ACCEPTED);
}

static void only_the_last_sixteen_gaps_are_remembered(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    for (uint64_t seq = 1; seq <= 34; seq += 2) {
        assert_int_equal(fixture_skip(f, "a", seq, seq), seq);
        fixture_fill(f, "a", seq + 1, seq + 1);
    }
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_DUPLICATE);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_STALE);
    assert_outcome(fixture_push(f, "a", 33), OUTCOME_STALE);
    assert_outcome(fixture_push(f, "a", 34), OUTCOME_DUPLICATE);
}

//  ---- numbering and epochs ----------------------------------------------------------------------

static void a_client_is_numbered_by_one_side_in_an_epoch(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    assert_outcome(fixture_push(f, "a", 0), OUTCOME_ACCEPTED);
    assert_int_equal(f->decided.assigned, 1);
    assert_outcome(fixture_push(f, "a", 0), OUTCOME_ACCEPTED);
    assert_int_equal(f->decided.assigned, 2);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_INVALID);
    assert_outcome(fixture_push(f, "b", 1), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push(f, "b", 0), OUTCOME_INVALID);
    fixture_reset(f, "a", 1, 5);
    assert_outcome(fixture_push_in(f, "a", 1, 5, 0), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "a", 1, 0, 0), OUTCOME_INVALID);
}

static void numberless_pushes_get_their_seq_in_their_bytes(void **state)
{
    fixture_t *f = *state;
    f->settings.first_seq = 300;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    outcome_t outcomes[3] = {OUTCOME_ACCEPTED, OUTCOME_ACCEPTED, OUTCOME_ACCEPTED};
    fixture_batch(f, "a", 3, 100, outcomes);
    assert_delivered(f, "<a299> a300 a301 a302");
}

static void numberless_pushes_behind_a_refusal_are_refused(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 2;
    fixture_start(f);
    outcome_t full[4] = {OUTCOME_ACCEPTED, OUTCOME_ACCEPTED, OUTCOME_ACCEPTED, OUTCOME_ACCEPTED};
    fixture_batch(f, "a", 4, 40, full);
    assert_outcome(full[1], OUTCOME_ACCEPTED);
    assert_outcome(full[2], OUTCOME_BACKLOG_FULL);
    assert_outcome(full[3], OUTCOME_BACKLOG_FULL);

    outcome_t large[3] = {OUTCOME_ACCEPTED, OUTCOME_TOO_LARGE, OUTCOME_ACCEPTED};
    fixture_batch(f, "b", 3, 40, large);
    assert_outcome(large[0], OUTCOME_ACCEPTED);
    assert_outcome(large[2], OUTCOME_TOO_LARGE);
    assert_int_equal(f->decided.next_seq, 2);
    assert_int_equal(f->decided.retry_after_ms, 0);

    //  The first push of a client that is not known is the one that is refused.
    outcome_t unknown[2] = {OUTCOME_TOO_LARGE, OUTCOME_ACCEPTED};
    fixture_batch(f, "c", 2, 40, unknown);
    assert_outcome(unknown[1], OUTCOME_TOO_LARGE);
    //  The next batch is another matter.
    assert_outcome(fixture_push(f, "c", 0), OUTCOME_ACCEPTED);
}

static void an_epoch_is_changed_by_a_reset_alone(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 1, 3);
    assert_outcome(fixture_push_in(f, "a", 1, 1, 0), OUTCOME_EPOCH_MISMATCH);
    assert_int_equal(f->decided.now_epoch, 0);
    assert_int_equal(f->decided.next_seq, 4);
    assert_int_equal(f->decided.retry_after_ms, 0);

    position_t at = fixture_reset(f, "a", 7, 0);
    assert_true(at.epoch == 7 && at.seq == 0);
    assert_outcome(fixture_push(f, "a", 4), OUTCOME_EPOCH_MISMATCH);
    assert_int_equal(f->decided.now_epoch, 7);
    assert_outcome(fixture_push_in(f, "a", 7, 1, 0), OUTCOME_ACCEPTED);
    //  To the present epoch or an older one, nothing changes.
    at = fixture_reset(f, "a", 7, 100);
    assert_true(at.epoch == 7 && at.seq == 1);
    at = fixture_reset(f, "a", 6, 100);
    assert_true(at.epoch == 7 && at.seq == 1);
}

static void a_reset_announces_what_was_held_before_the_new_epoch(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    fixture_fill(f, "a", 1, 2);
    fixture_fill(f, "a", 4, 5);
    fixture_fill(f, "a", 7, 7);
    fixture_reset(f, "a", 3, 10);
    fixture_push_in(f, "a", 3, 10, 0);
    assert_int_equal(fixture_stat(&f->stats.pushes_given_up), 3);
    assert_int_equal(fixture_stat(&f->stats.gaps_open), 0);
    assert_delivered(f, "<a0> a1 a2 [a3-7]");
    fixture_ack(f, receiver, "a", 7);
    assert_delivered(f, "<a3:9> a3:10");
}

//  ---- Skip --------------------------------------------------------------------------------------

static void a_skip_gives_up_what_is_missing_and_keeps_what_is_held(void **state)
{
    fixture_t *f = *state;
    f->settings.window = 16;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    fixture_fill(f, "a", 4, 4);
    fixture_fill(f, "a", 6, 6);
    assert_int_equal(fixture_skip(f, "a", 2, 5), 0); //  1 is missing still
    assert_delivered(f, "");
    assert_int_equal(fixture_skip(f, "a", 0, 1), 6);
    assert_delivered(f, "<a0> [a1-3] a4 [a5-5] a6");
    assert_int_equal(fixture_stat(&f->stats.gaps_skipped), 1);
    //  As far as the window reaches.
    assert_int_equal(fixture_skip(f, "a", 7, INT64_MAX), 22);
    assert_delivered(f, "[a7-22]");
    assert_int_equal(core_skip(f->core, "a", 1, 1, 23, 24, f->now).seq, 22); //  another epoch
    assert_int_equal(fixture_skip(f, "a", 25, 24), 22);
}

//  The next one is held already when the stream is brought to the one before it.
static void a_resync_releases_what_is_held_behind_it(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    fixture_fill(f, "a", 11, 12);
    fixture_fill(f, "b", 11, 12);
    fixture_skip(f, "a", 1, 10);
    assert_delivered(f, "<a0> [a1-10] a11 a12");
    position_t at = {0, 10};
    assert_true(fixture_take(f, receiver, "b", &at));
    assert_int_equal(at.seq, 10);
    assert_delivered(f, "<b10> b11 b12");
    assert_outcome(fixture_push(f, "b", 10), OUTCOME_DUPLICATE);
}

//  ---- bounds ------------------------------------------------------------------------------------

#define COST 64

//  Bytes that one more push of this size is counted as.
static uint64_t s_cost(fixture_t *f, uint32_t size)
{
    uint64_t before = fixture_stat(&f->stats.held_bytes);
    assert_outcome(fixture_push_in(f, "sample", 0, 2, size), OUTCOME_ACCEPTED);
    uint64_t cost = fixture_stat(&f->stats.held_bytes) - before + COST;
    fixture_reset(f, "sample", 1, 1);
    return cost;
}

static void the_backlog_bounds_the_pushes_of_a_client(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 4;
    fixture_start(f);
    fixture_fill(f, "a", 1, 2);
    fixture_fill(f, "a", 4, 5);
    assert_outcome(fixture_push(f, "a", 6), OUTCOME_BACKLOG_FULL);
    assert_int_equal(f->decided.retry_after_ms, 10);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_ACCEPTED); //  it fills the hole
    assert_outcome(fixture_push(f, "a", 6), OUTCOME_BACKLOG_FULL);
    fixture_fill(f, "b", 1, 4);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    assert_delivered(f, "<a0> a1 a2 a3 a4 a5");
    fixture_ack(f, receiver, "a", 1);
    assert_outcome(fixture_push(f, "a", 6), OUTCOME_BACKLOG_FULL);
    fixture_ack(f, receiver, "a", 2);
    assert_outcome(fixture_push(f, "a", 6), OUTCOME_ACCEPTED);
}

static void the_backlog_bounds_the_bytes_of_a_client(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    uint32_t cost = (uint32_t)s_cost(f, 200);
    core_destroy(&f->core);
    memset(&f->stats, 0, sizeof f->stats);
    f->settings.backlog_bytes = 2 * cost;
    fixture_start(f);
    assert_outcome(fixture_push_in(f, "sample", 0, 2, 200), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "sample", 0, 3, 200), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "sample", 0, 4, 32), OUTCOME_BACKLOG_FULL);
    assert_outcome(fixture_push_in(f, "sample", 0, 1, 200), OUTCOME_ACCEPTED);
}

static void memory_is_bounded_with_a_reserve_for_holes(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    uint64_t cost = s_cost(f, 200);
    core_destroy(&f->core);
    memset(&f->stats, 0, sizeof f->stats);
    //  Seven eighths for everybody: each of two receivers can have what the other leaves free.
    f->settings.memory_max = 16 * cost;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "second");
    for (uint64_t seq = 2; seq <= 8; seq++)
        assert_outcome(fixture_push_in(f, "sample", 0, seq, 200), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "sample", 0, 9, 200), OUTCOME_OVERLOADED);
    for (uint64_t seq = 2; seq <= 5; seq++)
        assert_outcome(fixture_push_in(f, "second", 0, seq, 200), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "second", 0, 6, 200), OUTCOME_OVERLOADED);
    assert_outcome(fixture_push_in(f, "second", 0, 1, 200), OUTCOME_ACCEPTED);
    assert_delivered(f, "<second0> second1 second2 second3 second4 second5");
    fixture_ack(f, receiver, "second", 5);
    //  What was acknowledged is free again.
    for (uint64_t seq = 6; seq <= 9; seq++)
        assert_outcome(fixture_push_in(f, "second", 0, seq, 200), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "second", 0, 10, 200), OUTCOME_OVERLOADED);
}

static void the_reserve_ends(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    uint64_t cost = s_cost(f, 200);
    core_destroy(&f->core);
    memset(&f->stats, 0, sizeof f->stats);
    f->settings.memory_max = 8 * cost;
    fixture_start(f);
    char client[] = "sampl0";
    for (; client[5] < '3'; client[5]++)
        assert_outcome(fixture_push_in(f, client, 0, 2, 200), OUTCOME_ACCEPTED);
    for (client[5] = '0'; client[5] < '3'; client[5]++)
        assert_outcome(fixture_push_in(f, client, 0, 1, 200), OUTCOME_ACCEPTED);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "second");
    assert_outcome(fixture_push_in(f, "second", 0, 2, 32), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push_in(f, "second", 0, 1, 400), OUTCOME_OVERLOADED);
    assert_outcome(fixture_push_in(f, "second", 0, 1, 100), OUTCOME_ACCEPTED);
}

//  One small push far ahead of a hole takes a large ring of places.
static void places_for_pushes_far_ahead_count(void **state)
{
    fixture_t *f = *state;
    f->settings.memory_max = 100000;
    fixture_start(f);
    assert_outcome(fixture_push(f, "a", 900), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push(f, "b", 900), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push(f, "c", 900), OUTCOME_OVERLOADED);
    static const char *const clients[] = {"d", "e", "f"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(fixture_skip(f, clients[i], 2, 900), 0);
    assert_outcome(fixture_push(f, "e", 900), OUTCOME_STALE);
    assert_outcome(fixture_push(f, "f", 900), OUTCOME_OVERLOADED); //  no room for the Skip either
    assert_int_equal(fixture_skip(f, "f", 1, 1), 1);
    //  They are given back when nothing is held.
    fixture_reset(f, "a", 1, 1);
    assert_int_equal(fixture_skip(f, "b", 1, 899), 900);
    fixture_skip(f, "e", 1, 1);
    assert_outcome(fixture_push(f, "c", 900), OUTCOME_ACCEPTED);
}

//  Notices are kept too, and may be asked for by anybody.
static void notices_are_bounded(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 10;
    fixture_start(f);
    for (uint64_t seq = 1; seq <= 1000; seq++)
        fixture_skip(f, "a", seq, seq);
    for (uint64_t epoch = 1; epoch <= 1000; epoch++)
        fixture_reset(f, "b", epoch, 1);
    assert_int_equal(fixture_stat(&f->stats.retained_messages), 40);
    //  Nothing has changed since the bound was reached, and the answer said so.
    assert_int_equal(fixture_skip(f, "a", 21, 21), 20);
    assert_outcome(fixture_push(f, "a", 21), OUTCOME_BACKLOG_FULL);
    position_t at = fixture_reset(f, "b", 1001, 1);
    assert_int_equal(at.epoch, 20);
}

static void refusals_name_longer_and_longer_times(void **state)
{
    fixture_t *f = *state;
    f->settings.backlog = 1;
    fixture_start(f);
    fixture_fill(f, "a", 1, 1);
    static const uint32_t expected[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_outcome(fixture_push(f, "a", 2), OUTCOME_BACKLOG_FULL);
        assert_int_equal(f->decided.retry_after_ms, expected[i]);
        //  Who comes too early learns what is left, and does not make it longer.
        f->now += (int64_t)(expected[i] - 4) << 20;
        assert_outcome(fixture_push(f, "a", 2), OUTCOME_BACKLOG_FULL);
        assert_int_equal(f->decided.retry_after_ms, 4);
        f->now += INT64_C(4) << 20;
    }
    //  A month later too, though the clock of these times goes round.
    for (int days = 0; days < 60; days++) {
        f->now += 86400000 * MS;
        if (days % 29 == 0) {
            assert_outcome(fixture_push(f, "a", 2), OUTCOME_BACKLOG_FULL);
            assert_int_equal(f->decided.retry_after_ms, 1000);
        }
    }
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    fixture_deliver(f);
    fixture_ack(f, receiver, "a", 1);
    fixture_fill(f, "a", 2, 2);
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_BACKLOG_FULL);
    assert_int_equal(f->decided.retry_after_ms, 10);
}

//  ---- how many clients --------------------------------------------------------------------------

//  A client of which everything was acknowledged at the present time.
static void s_come_and_go(fixture_t *f, receiver_t *receiver, const char *client)
{
    fixture_fill(f, client, 1, 1);
    fixture_deliver(f);
    fixture_ack(f, receiver, client, 1);
}

static void the_client_idle_longest_makes_room(void **state)
{
    fixture_t *f = *state;
    f->settings.max_clients = 3;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    static const char *const clients[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++, f->now += 100 * MS)
        s_come_and_go(f, receiver, clients[i]);
    //  Something of b is kept, and somebody pushed for a.
    fixture_fill(f, "b", 2, 2);
    f->now += 100 * MS;
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_DUPLICATE);
    f->now += 100 * MS;
    fixture_fill(f, "d", 1, 1);
    assert_int_equal(fixture_stat(&f->stats.clients), 3);
    assert_int_equal(fixture_stat(&f->stats.clients_evicted), 1);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_DUPLICATE);
    assert_outcome(fixture_push(f, "b", 1), OUTCOME_DUPLICATE);
    f->now += 100 * MS;
    //  c starts over, in place of a.
    fixture_fill(f, "c", 1, 1);
    assert_int_equal(fixture_stat(&f->stats.clients_evicted), 2);
    //  Now something of everybody is kept.
    assert_outcome(fixture_push(f, "e", 1), OUTCOME_OVERLOADED);
    assert_int_equal(f->decided.next_seq, 1);
    assert_int_equal(f->decided.window_end, 1001);
    assert_int_equal(f->decided.retry_after_ms, 1000);
    //  b is acknowledged now, and so it is idle since now; the others are not idle.
    fixture_deliver(f);
    fixture_ack(f, receiver, "b", 2);
    assert_outcome(fixture_push(f, "e", 1), OUTCOME_ACCEPTED);
    assert_outcome(fixture_push(f, "b", 3), OUTCOME_OVERLOADED);
}

static void a_client_is_idle_since_its_last_ack(void **state)
{
    fixture_t *f = *state;
    f->settings.max_clients = 2;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    fixture_fill(f, "a", 1, 1);
    f->now += 100 * MS;
    s_come_and_go(f, receiver, "b");
    f->now += 100 * MS;
    fixture_ack(f, receiver, "a", 1);
    f->now += 100 * MS;
    fixture_fill(f, "c", 1, 1);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_DUPLICATE);
}

//  A receiver that died must not keep its clients from being forgotten.
static void clients_attached_by_name_stay_while_their_receiver_does(void **state)
{
    fixture_t *f = *state;
    f->settings.max_clients = 1;
    f->settings.receiver_timeout = 1000 * MS;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_all(f, receiver, "a");
    assert_outcome(fixture_push(f, "b", 1), OUTCOME_OVERLOADED);
    fixture_pass(f, 1001 * MS);
    assert_effects(f, "timeout:r: close:r");
    assert_outcome(fixture_push(f, "b", 1), OUTCOME_ACCEPTED);
}

static void clients_idle_for_too_long_are_forgotten(void **state)
{
    fixture_t *f = *state;
    f->settings.client_idle_timeout = 10000 * MS;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "");
    s_come_and_go(f, receiver, "a");
    fixture_fill(f, "b", 1, 1);
    fixture_pass(f, 9000 * MS);
    s_come_and_go(f, receiver, "c");
    assert_int_equal(fixture_stat(&f->stats.clients), 3);
    fixture_pass(f, 2000 * MS);
    assert_int_equal(fixture_stat(&f->stats.clients), 2);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_ACCEPTED);
    fixture_pass(f, 9000 * MS);
    assert_int_equal(fixture_stat(&f->stats.clients), 2);
    assert_outcome(fixture_push(f, "b", 1), OUTCOME_DUPLICATE);
    assert_outcome(fixture_push(f, "a", 1), OUTCOME_DUPLICATE);
}

//  ---- time --------------------------------------------------------------------------------------

static void a_hole_that_stays_open_is_reported_once_without_new_input(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 1, 1);
    fixture_fill(f, "a", 3, 3);
    fixture_pass(f, 999 * MS);
    assert_effects(f, "");
    fixture_pass(f, 1 * MS);
    assert_effects(f, "alarm:a1");
    fixture_pass(f, 3600000 * MS);
    assert_effects(f, "");
    assert_int_equal(fixture_stat(&f->stats.gaps_alarmed), 1);
}

static void a_filled_hole_leaves_no_deadline_behind(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "a", 2, 2);
    fixture_pass(f, 900 * MS);
    fixture_fill(f, "a", 1, 1);
    fixture_fill(f, "a", 4, 4); //  the next hole
    fixture_pass(f, 999 * MS);
    assert_effects(f, "");
    fixture_fill(f, "a", 6, 6); //  a hole behind the first one
    fixture_pass(f, 1 * MS);
    assert_effects(f, "alarm:a2");
    fixture_fill(f, "a", 3, 3); //  and it becomes head of the line
    fixture_pass(f, 999 * MS);
    assert_effects(f, "");
    fixture_pass(f, 1 * MS);
    assert_effects(f, "alarm:a4");
}

static void a_hole_behind_an_attached_position_has_its_own_full_time(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_fill(f, "a", 5, 5);
    fixture_fill(f, "a", 9, 9);
    fixture_pass(f, 900 * MS);
    position_t at = {0, 6};
    assert_true(fixture_take(f, receiver, "a", &at));
    assert_int_equal(fixture_stat(&f->stats.gaps_open), 1);
    fixture_pass(f, 999 * MS);
    assert_effects(f, "");
    fixture_pass(f, 1 * MS);
    assert_effects(f, "alarm:a6");
}

//  Pushes that overtake each other, without loss, want nothing done and leave nothing behind.
static void reordering_alone_has_no_effects(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    for (uint64_t seq = 1; seq <= 1000; seq += 10) {
        for (uint64_t k = 10; k-- > 0;)
            fixture_fill(f, "a", seq + k, seq + k);
        fixture_pass(f, 500 * MS);
    }
    assert_effects(f, "");
    assert_int_equal(fixture_stat(&f->stats.released), 1000);
}

#define core_test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        core_test(what_comes_out_of_order_goes_out_in_order),
        core_test(the_later_of_two_racing_pushes_waits),
        core_test(every_seq_has_its_outcome),
        core_test(a_full_window_takes_the_push_that_it_waits_for),
        core_test(what_was_refused_for_the_window_is_taken_later),
        core_test(only_the_last_sixteen_gaps_are_remembered),
        core_test(a_client_is_numbered_by_one_side_in_an_epoch),
        core_test(numberless_pushes_get_their_seq_in_their_bytes),
        core_test(numberless_pushes_behind_a_refusal_are_refused),
        core_test(an_epoch_is_changed_by_a_reset_alone),
        core_test(a_reset_announces_what_was_held_before_the_new_epoch),
        core_test(a_skip_gives_up_what_is_missing_and_keeps_what_is_held),
        core_test(a_resync_releases_what_is_held_behind_it),
        core_test(the_backlog_bounds_the_pushes_of_a_client),
        core_test(the_backlog_bounds_the_bytes_of_a_client),
        core_test(memory_is_bounded_with_a_reserve_for_holes),
        core_test(the_reserve_ends),
        core_test(places_for_pushes_far_ahead_count),
        core_test(notices_are_bounded),
        core_test(refusals_name_longer_and_longer_times),
        core_test(the_client_idle_longest_makes_room),
        core_test(a_client_is_idle_since_its_last_ack),
        core_test(clients_attached_by_name_stay_while_their_receiver_does),
        core_test(clients_idle_for_too_long_are_forgotten),
        core_test(a_hole_that_stays_open_is_reported_once_without_new_input),
        core_test(a_filled_hole_leaves_no_deadline_behind),
        core_test(a_hole_behind_an_attached_position_has_its_own_full_time),
        core_test(reordering_alone_has_no_effects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
