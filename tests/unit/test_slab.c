//  test_slab.c - records side by side: none overlaps another, and what is given back is there again

#include "slab.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RECORDS 40000

static slab_t s_slab;

static size_t s_size(size_t i)
{
    return 1 + i * 7919 % 640;
}

static void s_fill(uint8_t *record, size_t i)
{
    for (size_t at = 0; at < s_size(i); at++)
        assert_int_equal(record[at], 0);
    memset(record, (int)(1 + i % 255), s_size(i));
}

static void s_check(const uint8_t *record, size_t i)
{
    assert_int_equal((uintptr_t)record % 8, 0);
    for (size_t at = 0; at < s_size(i); at++)
        assert_int_equal(record[at], 1 + i % 255);
}

static void records_do_not_overlap_and_are_zeroed_each_time(void **state)
{
    (void)state;
    uint8_t **records = calloc(RECORDS, sizeof *records);
    assert_non_null(records);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < RECORDS; i++)
            if (!records[i]) {
                assert_non_null(records[i] = slab_take(&s_slab, s_size(i)));
                s_fill(records[i], i);
            }
        for (size_t i = 0; i < RECORDS; i++) {
            s_check(records[i], i);
            if (round == 2 || i * 2654435761u >> 7 & 1) {
                slab_give(&s_slab, records[i]);
                records[i] = NULL;
            }
        }
    }
    slab_give(&s_slab, NULL);
    free(records);
}

//  KiB of memory that the process has, counted page by page.
static long s_resident(void)
{
    long resident = 0;
    char line[256];
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "Rss: %ld", &resident) != 1)
        continue;
    fclose(file);
    assert_int_not_equal(resident, 0);
    return resident;
}

static void a_region_without_records_goes_back(void **state)
{
    (void)state;
    enum { MANY = 200000, SIZE = 208, KIB = MANY / 1024 * SIZE };
    void **records = calloc(MANY, sizeof *records);
    assert_non_null(records);
    long before = s_resident();
    for (size_t i = 0; i < MANY; i++)
        assert_non_null(records[i] = slab_take(&s_slab, SIZE));
    long grown = s_resident() - before;
#ifndef __SANITIZE_ADDRESS__
    assert_in_range(grown, KIB * 19 / 20, KIB * 11 / 10);
#endif
    for (size_t i = 0; i < MANY; i++)
        slab_give(&s_slab, records[i]);
#ifndef __SANITIZE_ADDRESS__
    assert_in_range(s_resident(), 0, before + KIB / 10);
#endif
    (void)grown;
    free(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_do_not_overlap_and_are_zeroed_each_time),
        cmocka_unit_test(a_region_without_records_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
