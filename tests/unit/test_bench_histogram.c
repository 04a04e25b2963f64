//  test_bench_histogram.c - the quantiles that `seqpush bench` tells

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tool_bench_histogram.h"

static void a_quantile_is_no_less_and_at_most_a_32nd_more(void **state)
{
    (void)state;
    for (int64_t ns = 0; ns < INT64_C(1) << 40; ns += ns / 7 + 1) {
        bench_histogram_t one = {0};
        bench_histogram_note(&one, ns);
        int64_t quantile = bench_histogram_quantile(&one, 500);
        assert_true(quantile >= ns && quantile <= ns + ns / 32);
    }
}

static void quantiles_are_by_rank(void **state)
{
    (void)state;
    bench_histogram_t thousand = {0};
    for (int64_t ns = 1; ns <= 1000; ns++)
        bench_histogram_note(&thousand, ns % 10 ? 5 : 20);
    bench_histogram_note(&thousand, 30);
    assert_int_equal(bench_histogram_quantile(&thousand, 0), 5);
    assert_int_equal(bench_histogram_quantile(&thousand, 500), 5);
    assert_int_equal(bench_histogram_quantile(&thousand, 990), 20);
    assert_int_equal(bench_histogram_quantile(&thousand, 1000), 30);
}

static void what_is_out_of_range_is_noted_at_its_edge(void **state)
{
    (void)state;
    bench_histogram_t sum = {0}, other = {0};
    assert_int_equal(bench_histogram_quantile(&sum, 500), 0);
    bench_histogram_note(&sum, -1);
    bench_histogram_note(&other, INT64_MAX);
    bench_histogram_add(&sum, &other);
    assert_int_equal(sum.count, 2);
    assert_int_equal(bench_histogram_quantile(&sum, 500), 0);
    assert_true(bench_histogram_quantile(&sum, 1000) > INT64_C(1) << 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quantile_is_no_less_and_at_most_a_32nd_more),
        cmocka_unit_test(quantiles_are_by_rank),
        cmocka_unit_test(what_is_out_of_range_is_noted_at_its_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
