//  test_core_memory.c - the ordering core: the memory of frames, and whose memory it is

#include "core_fixture.h"
#include <stdio.h>
#include <string.h>

#define TOGETHER "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define MEMORY_MAX 1000000

static int s_setup(void **state)
{
    fixture_setup(state);
    fixture_t *f = *state;
    f->settings.memory_max = MEMORY_MAX;
    f->settings.max_clients = 10000;
    f->settings.receiver_timeout = 100 * f->settings.receiver_timeout;
    return 0;
}

//  ---- frames ------------------------------------------------------------------------------------

//  Receivers of which one, that of client a, never acknowledges.
static receiver_t *s_stuck_and_swift(fixture_t *f)
{
    receiver_t *stuck = fixture_attach(f, "stuck", 1, 1), *swift = fixture_attach(f, "swift", 2, 2);
    fixture_effects(f);
    fixture_take_all(f, stuck, "a");
    fixture_take_prefix(f, swift, "");
    return swift;
}

//  A frame with a push of each client, of which all but a's are done with at once.
static void s_push_and_ack(fixture_t *f, receiver_t *swift, uint64_t seq)
{
    fixture_together(f, TOGETHER, seq, 500);
    fixture_deliver(f);
    for (const char *client = TOGETHER; *client; client++)
        if (*client != 'a')
            fixture_ack(f, swift, (char[]){*client, '\0'}, seq);
}

static uint64_t s_kept(const fixture_t *f)
{
    return fixture_stat(&f->stats.retained_bytes) + fixture_stat(&f->stats.held_bytes) +
           64 * core_kept(f->core);
}

//  Pushes until the frames have outgrown what is kept in them. Returns the last seq.
static uint64_t s_outgrow(fixture_t *f, receiver_t *swift, uint64_t seq)
{
    while (fixture_stat(&f->stats.frame_bytes) <= 2 * s_kept(f) + MEMORY_MAX / 8)
        s_push_and_ack(f, swift, ++seq);
    return seq;
}

//  One push of each frame stays, and sixty times its bytes with it; but not for long.
static void a_push_that_outlives_the_others_of_its_frame_leaves_it(void **state)
{
    fixture_t *f = *state;
    f->settings.ack_timeout = 3600000 * MS;
    fixture_start(f);
    receiver_t *swift = s_stuck_and_swift(f);
    uint64_t seq = 0;
    for (int times = 0; times < 3; times++) {
        seq = s_outgrow(f, swift, seq);
        fixture_pass(f, 2500 * MS);
        assert_true(fixture_stat(&f->stats.frame_bytes) <= 2 * s_kept(f));
    }
    //  However many follow.
    for (int i = 0; i < 200; i++) {
        s_push_and_ack(f, swift, ++seq);
        assert_true(fixture_stat(&f->stats.frame_bytes) <=
                    2 * s_kept(f) + MEMORY_MAX / 8 + 64 * 640);
    }
    assert_int_equal(core_kept(f->core), seq);
    //  All are what they were.
    receiver_t *other = fixture_attach(f, "other", 3, 3);
    fixture_effects(f);
    fixture_take_all(f, other, "a");
    fixture_deliver(f);
    fixture_ack(f, other, "a", seq);
    assert_int_equal(core_kept(f->core), 0);
    assert_int_equal(fixture_stat(&f->stats.frame_bytes), 0);
}

//  The same for pushes that wait for a hole to be filled.
static void a_held_push_leaves_its_frame_too(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *swift = s_stuck_and_swift(f);
    for (uint64_t seq = 1; seq <= 2; seq++)
        for (const char *client = TOGETHER; *client; client++)
            if (*client != 'a')
                fixture_fill(f, (char[]){*client, '\0'}, seq, seq);
    fixture_deliver(f);
    for (const char *client = TOGETHER; *client; client++)
        if (*client != 'a')
            fixture_ack(f, swift, (char[]){*client, '\0'}, 2);
    for (uint64_t seq = 3; seq <= 30; seq++)
        s_push_and_ack(f, swift, seq);
    assert_int_equal(fixture_stat(&f->stats.held_messages), 28);
    fixture_pass(f, 2500 * MS);
    assert_true(fixture_stat(&f->stats.frame_bytes) <= 2 * s_kept(f) + MEMORY_MAX / 8);
    fixture_fill(f, "a", 1, 2);
    assert_delivered(
        f, "<a0> a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 "
           "a22 a23 a24 a25 a26 a27 a28 a29 a30");
}

//  What is busy is left alone: nothing is copied where frames are full of what is kept.
static void full_frames_stay_as_they_are(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    for (uint64_t seq = 1; seq <= 10; seq++)
        fixture_together(f, TOGETHER, seq, 500);
    uint64_t before = fixture_stat(&f->stats.frame_bytes);
    fixture_pass(f, 10000 * MS);
    assert_int_equal(fixture_stat(&f->stats.frame_bytes), before);
}

//  ---- shares ------------------------------------------------------------------------------------

//  Pushes to many clients of one receiver until no more is taken; returns how many were.
static uint64_t s_flood(fixture_t *f, const char *prefix)
{
    for (uint64_t i = 0;; i++) {
        char client[16];
        snprintf(client, sizeof client, "%s%u", prefix, (unsigned)(i % 500));
        outcome_t outcome = fixture_push_in(f, client, 0, 1 + i / 500, 500);
        if (outcome == OUTCOME_ACCEPTED)
            continue;
        assert_outcome(outcome, OUTCOME_OVERLOADED);
        return i;
    }
}

//  However much is pushed for clients of receivers that take nothing, others have as much as is left,
//  and holes can be filled.
static void a_receiver_that_takes_nothing_leaves_room_for_others(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    receiver_t *good = fixture_attach(f, "good", 1, 1);
    receiver_t *bad = fixture_attach(f, "bad", 2, 2), *worse = fixture_attach(f, "worse", 3, 3);
    fixture_effects(f);
    fixture_take_prefix(f, good, "g");
    fixture_take_prefix(f, bad, "b");
    fixture_take_prefix(f, worse, "w");
    fixture_fill(f, "ghole", 2, 2);
    uint64_t first = s_flood(f, "b"), second = s_flood(f, "w"), third = s_flood(f, "none");
    assert_true(first > second && second > third && third > 50);
    for (uint64_t seq = 1; seq <= 1000; seq++) {
        assert_outcome(fixture_push_in(f, "good", 0, seq, 500), OUTCOME_ACCEPTED);
        fixture_deliver(f);
        fixture_ack(f, good, "good", seq);
    }
    s_flood(f, "g");
    assert_outcome(fixture_push_in(f, "g0", 0, 500, 500), OUTCOME_OVERLOADED);
    assert_outcome(fixture_push_in(f, "ghole", 0, 1, 500), OUTCOME_ACCEPTED);
}

//  Each refusal names twice the time of the one before, up to a second, and one that is let in begins
//  anew.
static void overload_asks_for_more_and_more_patience(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    fixture_fill(f, "patient", 1, 1);
    s_flood(f, "b");
    static const uint32_t expected[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_outcome(fixture_push_in(f, "patient", 0, 2, 500), OUTCOME_OVERLOADED);
        assert_int_equal(f->decided.retry_after_ms, expected[i]);
        f->now += (int64_t)expected[i] << 20;
    }
    receiver_t *receiver = fixture_attach(f, "r", 1, 1);
    fixture_effects(f);
    fixture_take_prefix(f, receiver, "b");
    fixture_deliver(f);
    fixture_ack(f, receiver, "b0", 1);
    fixture_ack(f, receiver, "b1", 1);
    assert_outcome(fixture_push_in(f, "patient", 0, 2, 500), OUTCOME_ACCEPTED);
    s_flood(f, "c");
    assert_outcome(fixture_push_in(f, "patient", 0, 3, 500), OUTCOME_OVERLOADED);
    assert_int_equal(f->decided.retry_after_ms, 10);
}

//  ---- no memory ---------------------------------------------------------------------------------

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool s_no_memory;

void *__wrap_realloc(void *memory, size_t size)
{
    return s_no_memory ? NULL : __real_realloc(memory, size);
}

//  The timers had no room for its hole; the next push finds some.
static void a_hole_whose_timer_found_no_memory_is_told_of_all_the_same(void **state)
{
    fixture_t *f = *state;
    fixture_start(f);
    s_no_memory = true;
    assert_outcome(fixture_push(f, "a", 2), OUTCOME_ACCEPTED);
    s_no_memory = false;
    assert_outcome(fixture_push(f, "a", 3), OUTCOME_ACCEPTED);
    fixture_pass(f, 2 * f->settings.gap_alarm);
    assert_int_equal(fixture_stat(&f->stats.gaps_alarmed), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, s_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_push_that_outlives_the_others_of_its_frame_leaves_it),
        TEST(a_held_push_leaves_its_frame_too),
        TEST(full_frames_stay_as_they_are),
        TEST(a_receiver_that_takes_nothing_leaves_room_for_others),
        TEST(overload_asks_for_more_and_more_patience),
        TEST(a_hole_whose_timer_found_no_memory_is_told_of_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
