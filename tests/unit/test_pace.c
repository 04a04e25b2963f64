//  test_pace.c - the credit of a publisher whose pushes wait for a disk

#include "pace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000LL
#define MOST 65536

//  A disk that decides `rate` pushes a second, of a publisher that uses all of its credit: the wait of
//  the last of them, in ns, after so many rounds.
static int64_t s_wait_after(uint32_t *credit, int64_t rate, int rounds)
{
    int64_t wait = 0;
    while (rounds--) {
        uint32_t undecided = *credit;
        wait = undecided * 1000 * MS / rate;
        *credit = pace_next(*credit, MOST, undecided, undecided / 8, wait);
    }
    return wait;
}

static void a_fast_disk_has_all_the_credit(void **state)
{
    (void)state;
    uint32_t credit = pace_begin(MOST);
    assert_int_equal(credit, PACE_LEAST);
    s_wait_after(&credit, 1000000, 100);
    assert_int_equal(credit, MOST);
}

static void a_slow_disk_has_what_it_decides_in_time(void **state)
{
    (void)state;
    uint32_t credit = MOST;
    int64_t wait = s_wait_after(&credit, 50000, 100);
    assert_true(wait <= PACE_WAIT && wait > PACE_WAIT / 2);
    credit = pace_begin(MOST);
    wait = s_wait_after(&credit, 50000, 100);
    assert_true(wait <= PACE_WAIT && wait > PACE_WAIT / 2);
}

static void a_disk_that_gets_faster_has_more(void **state)
{
    (void)state;
    uint32_t credit = MOST;
    s_wait_after(&credit, 50000, 100);
    uint32_t before = credit;
    s_wait_after(&credit, 200000, 100);
    assert_true(credit > 2 * before - before / 8);
}

static void no_disk_is_so_slow_that_nothing_is_left(void **state)
{
    (void)state;
    uint32_t credit = MOST;
    s_wait_after(&credit, 10, 100);
    assert_int_equal(credit, PACE_LEAST);
    assert_int_equal(pace_next(100, 100, 100, 1, 60000 * MS), 100);
}

static void one_push_that_waited_costs_no_more_than_there_was(void **state)
{
    (void)state;
    assert_int_equal(pace_next(MOST, MOST, MOST, 1, 2 * PACE_WAIT), MOST / 2);
    assert_int_equal(pace_next(5000, MOST, 60000, 1, 2 * PACE_WAIT), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fast_disk_has_all_the_credit),
        cmocka_unit_test(a_slow_disk_has_what_it_decides_in_time),
        cmocka_unit_test(a_disk_that_gets_faster_has_more),
        cmocka_unit_test(no_disk_is_so_slow_that_nothing_is_left),
        cmocka_unit_test(one_push_that_waited_costs_no_more_than_there_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
