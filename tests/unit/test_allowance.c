//  test_allowance.c - so much may come a second

#include "allowance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000LL
#define START (5000 * MS)

static void a_second_of_it_may_come_at_once(void **state)
{
    (void)state;
    int64_t full_at = 0;
    assert_int_equal(allowance_take(&full_at, 100, 30, START), 30);
    assert_int_equal(allowance_take(&full_at, 100, 100, START), 70);
    assert_int_equal(allowance_take(&full_at, 100, 1, START), 0);
}

static void it_comes_back_with_time_up_to_a_second_of_it(void **state)
{
    (void)state;
    int64_t full_at = 0;
    assert_int_equal(allowance_take(&full_at, 100, 100, START), 100);
    assert_int_equal(allowance_take(&full_at, 100, 100, START + 9 * MS), 0);
    assert_int_equal(allowance_take(&full_at, 100, 100, START + 250 * MS), 25);
    assert_int_equal(allowance_take(&full_at, 100, 1000, START + 10000 * MS), 100);
}

//  Whoever waits as it is told gets what it waited for, and not earlier.
static void the_wait_is_just_long_enough(void **state)
{
    (void)state;
    int64_t full_at = 0;
    assert_int_equal(allowance_wait(full_at, 100, 100, START), 0);
    assert_int_equal(allowance_take(&full_at, 100, 100, START), 100);
    uint32_t wait = allowance_wait(full_at, 100, 10, START);
    assert_int_equal(wait, 100);
    assert_int_equal(allowance_take(&full_at, 100, 10, START + (wait - 1) * MS), 9);
    assert_int_equal(allowance_take(&full_at, 100, 10, START + wait * MS), 1);
    assert_int_equal(allowance_wait(full_at, 100, 5000, START + wait * MS), 1000);
}

//  What comes as fast as it may gets the rate, at any rate and in any portions.
static void the_rate_holds_for_long(void **state)
{
    (void)state;
    const uint32_t rates[] = {1, 7, 1000, 999983, UINT32_MAX};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        int64_t full_at = 0;
        uint64_t taken = 0;
        for (int64_t now = START; now < START + 100000 * MS; now += 10 * MS)
            taken += allowance_take(&full_at, rates[i], rates[i], now);
        assert_in_range(taken, 99 * (uint64_t)rates[i], 101 * (uint64_t)rates[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_of_it_may_come_at_once),
        cmocka_unit_test(it_comes_back_with_time_up_to_a_second_of_it),
        cmocka_unit_test(the_wait_is_just_long_enough),
        cmocka_unit_test(the_rate_holds_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
