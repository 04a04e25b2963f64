/*  test_repair.c - a publisher is asked for pushes that the broker misses */

#include "publisher_fixture.h"
#include <errno.h>
#include <string.h>

//  Lets the publisher work until so many Repairs have come in all.
static void s_await_repairs(fixture_t *f, uint64_t count)
{
    int64_t until = front_now() + PATIENCE;
    while (fixture_stats(f)->repairs < count) {
        assert_true(front_now() < until);
        seqpush_publisher_poll(f->publisher, 1);
    }
    assert_int_equal(fixture_stats(f)->repairs, count);
}

//  Asks, and expects that the application is told this and nothing is sent.
static void s_ask_in_vain(fixture_t *f, uint64_t epoch, uint64_t from, uint64_t to,
                          const char *missing)
{
    uint64_t repairs = fixture_stats(f)->repairs;
    f->missing[0] = '\0';
    fixture_ask(f, "a", epoch, from, to);
    s_await_repairs(f, repairs + 1);
    assert_string_equal(f->missing, missing);
    fixture_expect_nothing(f);
}

static void test_what_has_no_reply_is_sent_again(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.batch_max = 2});
    for (uint64_t seq = 1; seq <= 6; seq++)
        fixture_push(f, "a", seq, "");
    fixture_expect(f, "a1 a2");
    fixture_expect(f, "a3 a4");
    fixture_expect(f, "a5 a6");
    uint64_t asked = 0;
    do { //  of no effect a moment after it was sent
        fixture_ask(f, "a", 0, 4, 4);
        s_await_repairs(f, ++asked);
    } while (!front_has_request(&f->front, 1) && asked < PATIENCE);
    uint64_t again = fixture_expect(f, "a3 a4");
    fixture_expect_nothing(f);
    assert_int_equal(fixture_stats(f)->resends, 2);
    assert_string_equal(f->missing, "");
    fixture_accept(f, again, 0);
    fixture_await_events(f, 2);
}

static void test_the_application_is_told_of_what_is_not_kept(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    for (uint64_t seq = 1; seq <= 3; seq++)
        fixture_push(f, "a", seq, "");
    uint64_t id = fixture_expect(f, "a1 a2 a3");
    s_ask_in_vain(f, 0, 4, 9, "a0/4-9");
    s_ask_in_vain(f, 1, 1, 3, "a1/1-3"); //  another epoch
    s_ask_in_vain(f, 0, 3, 5, ""); //  the next Repair is about 4 and 5
    fixture_accept(f, id, 0);
    fixture_await_events(f, 3);
    s_ask_in_vain(f, 0, 2, 3, "a0/2-3");
}

static void test_what_will_be_sent_is_sent_once(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    fixture_accept(f, fixture_expect(f, "a1"), 0);
    fixture_await_events(f, 1);
    fixture_push(f, "a", 3, "");
    fixture_ask(f, "a", 0, 2, 3);
    fixture_expect(f, "a3");
    s_await_repairs(f, 1);
    assert_string_equal(f->missing, "");
    fixture_expect_nothing(f);
}

static void test_what_was_refused_waits_no_longer(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 2, "");
    fixture_push(f, "a", 3, "");
    fixture_refuse(f, fixture_expect(f, "a2 a3"), 0, 1, SEQPUSH_OVERLOADED, PATIENCE);
    s_ask_in_vain(f, 0, 4, 4, "a0/4-4");
    f->missing[0] = '\0';
    fixture_ask(f, "a", 0, 1, 2);
    fixture_accept(f, fixture_expect(f, "a2"), 0);
    fixture_accept(f, fixture_expect(f, "a3"), 0);
    fixture_await_events(f, 2);
    assert_string_equal(f->missing, "");
}

static void test_what_waits_for_a_receiver_is_offered_again(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){.confirm = true});
    for (uint64_t seq = 1; seq <= 4; seq++)
        fixture_push(f, "a", seq, "");
    fixture_accept(f, fixture_expect(f, "a1 a2 a3 a4"), 0);
    fixture_await_events(f, 4);
    fixture_ask(f, "a", 0, 2, 3);
    fixture_accept(f, fixture_expect(f, "a2 a3"), 0);
    fixture_confirm(f, "a4", "");
    fixture_await_delivered(f, 4, "a1 a2 a3 a4");
    assert_string_equal(f->missing, "");
    assert_int_equal(f->event_count, 4);
}

static void test_a_repair_that_makes_no_sense_is_an_error(void **state)
{
    fixture_t *f = *state;
    fixture_start(f, (seqpush_publisher_options_t){0});
    fixture_push(f, "a", 1, "");
    fixture_expect(f, "a1");
    fixture_ask(f, "", 0, 1, 1);
    fixture_ask(f, "a", 0, 2, 1);
    fixture_ask(f, "a", 0, 0, 1);
    fixture_await_errors(f, 3);
    assert_int_equal(fixture_stats(f)->repairs, 0);
    assert_string_equal(f->missing, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_broker(test_what_has_no_reply_is_sent_again),
        with_broker(test_the_application_is_told_of_what_is_not_kept),
        with_broker(test_what_will_be_sent_is_sent_once),
        with_broker(test_what_was_refused_waits_no_longer),
        with_broker(test_what_waits_for_a_receiver_is_offered_again),
        with_broker(test_a_repair_that_makes_no_sense_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
