//  test_client_table.c - the table of clients, against a plain list, with hashes that collide

#include "client_table.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CLIENTS 2000

static slab_t s_slab;

static client_t *s_client(unsigned number)
{
    char id[16];
    int size = snprintf(id, sizeof id, "%u", number);
    static const rule_t rule = {"*", &policy_strict, {.window = 8, .first_seq = 1}};
    client_t *client = client_new(&s_slab, id, (size_t)size, &rule);
    assert_non_null(client);
    return client;
}

static client_t *s_find(const client_table_t *table, unsigned number, uint64_t hash)
{
    char id[16];
    int size = snprintf(id, sizeof id, "%u", number);
    return client_table_find(table, hash, id, (size_t)size);
}

static void equal_hashes_are_told_apart_by_id(void **state)
{
    (void)state;
    client_table_t table = {0};
    client_t *clients[50];
    assert_null(s_find(&table, 0, 7));
    for (unsigned i = 0; i < 50; i++) {
        clients[i] = s_client(i);
        assert_true(client_table_add(&table, 7, clients[i]));
    }
    for (unsigned i = 0; i < 50; i++) {
        assert_ptr_equal(s_find(&table, i, 7), clients[i]);
        assert_null(s_find(&table, i, 7 + 64));
    }
    assert_null(client_table_find(&table, 7, "1", 0));
    for (unsigned i = 0; i < 50; i++) {
        client_table_remove(&table, 7, clients[i]);
        assert_null(s_find(&table, i, 7));
        for (unsigned k = i + 1; k < 50; k++)
            assert_ptr_equal(s_find(&table, k, 7), clients[k]);
        client_destroy(&clients[i], &s_slab);
    }
    assert_int_equal(table.count, 0);
    client_table_fini(&table);
}

//  Random adds and removes; `spread` is how many hashes there are, so few make long runs, and the
//  greatest ones make runs that go round the end of the table.
static void s_compare_with_list(uint64_t spread)
{
    client_table_t table = {0};
    client_t *list[CLIENTS] = {0};
    uint32_t dice = 1;
    size_t count = 0;
    for (int round = 0; round < 40000; round++) {
        dice = dice * 1664525 + 1013904223;
        unsigned i = (dice >> 8) % CLIENTS;
        uint64_t hash = UINT64_MAX - i % spread;
        assert_ptr_equal(s_find(&table, i, hash), list[i]);
        if (!list[i] && dice >> 31) {
            list[i] = s_client(i);
            assert_true(client_table_add(&table, hash, list[i]));
            count++;
        } else if (list[i]) {
            client_table_remove(&table, hash, list[i]);
            client_destroy(&list[i], &s_slab);
            count--;
        }
        assert_int_equal(table.count, count);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_ptr_equal(s_find(&table, i, UINT64_MAX - i % spread), list[i]);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_destroy(&list[i], &s_slab);
    client_table_fini(&table);
}

static void the_table_is_where_the_list_is(void **state)
{
    (void)state;
    static const uint64_t spreads[] = {3, 40, 500, CLIENTS};
    for (size_t i = 0; i < sizeof spreads / sizeof *spreads; i++)
        s_compare_with_list(spreads[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_hashes_are_told_apart_by_id),
        cmocka_unit_test(the_table_is_where_the_list_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
