//  test_timer.c - the heap of deadlines, against a plain array

#include "timer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define TIMERS 300

static void an_earlier_deadline_counts_and_a_later_one_does_not(void **state)
{
    (void)state;
    timer_heap_t heap = {0};
    timer_entry_t entry = {0};
    assert_int_equal(timer_next(&heap), INT64_MAX);
    assert_true(timer_arm(&heap, &entry, 50));
    assert_true(timer_arm(&heap, &entry, 70));
    assert_int_equal(timer_next(&heap), 50);
    assert_true(timer_arm(&heap, &entry, 30));
    assert_int_equal(timer_next(&heap), 30);
    assert_null(timer_take(&heap, 29));
    assert_ptr_equal(timer_take(&heap, 30), &entry);
    assert_null(timer_take(&heap, 1000));
    timer_disarm(&heap, &entry);
    assert_true(timer_arm(&heap, &entry, 90));
    assert_int_equal(timer_next(&heap), 90);
    timer_disarm(&heap, &entry);
    assert_int_equal(timer_next(&heap), INT64_MAX);
    timer_fini(&heap);
}

//  The deadlines that are armed, INT64_MAX where there is none.
static int64_t s_earliest(const int64_t *deadlines)
{
    int64_t earliest = INT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (deadlines[i] < earliest)
            earliest = deadlines[i];
    return earliest;
}

//  With so many of the timers in use: where there are few, each place in the heap is met often.
static void s_compare_with_array(uint32_t used)
{
    timer_heap_t heap = {0};
    timer_entry_t entries[TIMERS] = {0};
    int64_t deadlines[TIMERS];
    for (int i = 0; i < TIMERS; i++)
        deadlines[i] = INT64_MAX;
    uint32_t dice = 1;
    for (int round = 0; round < 20000; round++) {
        dice = dice * 1664525 + 1013904223;
        uint32_t i = (dice >> 8) % used;
        if (dice >> 31) {
            int64_t at = (dice >> 4) % 10000;
            assert_true(timer_arm(&heap, &entries[i], at));
            deadlines[i] = at < deadlines[i] ? at : deadlines[i];
        } else if (dice >> 30) {
            timer_disarm(&heap, &entries[i]);
            deadlines[i] = INT64_MAX;
        } else {
            int64_t earliest = s_earliest(deadlines);
            timer_entry_t *due = timer_take(&heap, earliest);
            if (earliest != INT64_MAX)
                deadlines[due - entries] = INT64_MAX;
            assert_int_equal(due != NULL ? due->at : INT64_MAX, earliest);
        }
        assert_int_equal(timer_next(&heap), s_earliest(deadlines));
    }
    timer_fini(&heap);
}

static void timers_fire_in_order_whatever_is_armed_and_disarmed(void **state)
{
    (void)state;
    static const uint32_t used[] = {1, 2, 3, 5, 8, 13, TIMERS};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        s_compare_with_array(used[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_earlier_deadline_counts_and_a_later_one_does_not),
        cmocka_unit_test(timers_fire_in_order_whatever_is_armed_and_disarmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
