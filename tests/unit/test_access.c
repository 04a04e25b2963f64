//  test_access.c - the table of keys: which globs name what

#include "access.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const char s_public[] = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

//  A table of one key with a glob over clients, receivers and endpoints each.
static access_t *s_table(const char *role, const char *clients, const char *receivers,
                         const char *endpoints)
{
    char *items[] = {(char *)role, (char *)clients, (char *)receivers, (char *)endpoints};
    config_access_t key = {.name = "key", .public = (char *)s_public};
    config_list_t *lists[] = {&key.role, &key.clients, &key.receivers, &key.endpoints};
    for (size_t i = 0; i < 4; i++)
        *lists[i] = (config_list_t){&items[i], items[i] != NULL};
    config_t config = {.security = {.keys = &key, .key_count = 1}};
    access_t *access = access_new(&config);
    assert_non_null(access);
    return access;
}

static bool s_has_client(const char *glob, const char *id)
{
    access_t *access = s_table("publisher", glob, NULL, NULL);
    bool has = access_has_client(access_find(access, s_public), (const uint8_t *)id, strlen(id));
    access_destroy(&access);
    return has;
}

static bool s_has_prefix(const char *glob, const char *prefix)
{
    access_t *access = s_table("receiver", glob, NULL, NULL);
    bool has =
        access_has_prefix(access_find(access, s_public), (const uint8_t *)prefix, strlen(prefix));
    access_destroy(&access);
    return has;
}

static void test_a_key_has_the_clients_that_its_globs_name(void **state)
{
    (void)state;
    assert_true(s_has_client("*", "x"));
    assert_true(s_has_client("a-*", "a-1"));
    assert_true(s_has_client("a-?", "a-1"));
    assert_false(s_has_client("a-?", "a-12"));
    assert_false(s_has_client("a-*", "a"));
    assert_false(s_has_client("a", "ab"));
    assert_false(s_has_client(NULL, "a"));
}

static void test_a_key_has_a_prefix_if_it_has_all_clients_that_begin_with_it(void **state)
{
    (void)state;
    assert_true(s_has_prefix("*", ""));
    assert_true(s_has_prefix("a-*", "a-"));
    assert_true(s_has_prefix("a-*", "a-1"));
    assert_true(s_has_prefix("a*b*", "axb"));
    assert_false(s_has_prefix("a*b*", "ax"));
    assert_false(s_has_prefix("a-*", "a"));
    assert_false(s_has_prefix("a-*", ""));
    assert_false(s_has_prefix("a-?", "a-"));
    assert_false(s_has_prefix("a-1", "a-1"));
    assert_false(s_has_prefix("*a", "a"));
    assert_false(s_has_prefix(NULL, ""));
}

//  Of what a glob is said to have as a prefix it has every client: tried out on short ids.
static void test_no_prefix_lets_a_client_through_that_the_globs_do_not(void **state)
{
    (void)state;
    static const char *const globs[] = {"*",  "a*",  "a*b*", "?*", "*b",
                                        "a?", "a?*", "*a*",  "ab", "**"};
    static const char *const ids[] = {"",    "a",   "b",   "aa",  "ab",  "ba",  "bb",
                                      "aaa", "aab", "aba", "abb", "baa", "bab", "bba"};
    for (size_t g = 0; g < sizeof globs / sizeof *globs; g++)
        for (size_t p = 0; p < sizeof ids / sizeof *ids; p++)
            for (size_t i = 1; i < sizeof ids / sizeof *ids; i++)
                if (strncmp(ids[i], ids[p], strlen(ids[p])) == 0 && s_has_prefix(globs[g], ids[p]))
                    assert_true(s_has_client(globs[g], ids[i]));
}

static void test_receivers_and_endpoints_are_named_too(void **state)
{
    (void)state;
    access_t *access = s_table("receiver", NULL, "r*", "tcp://10.0.0.1:*");
    const access_key_t *key = access_find(access, s_public);
    assert_true(access_has_receiver(key, (const uint8_t *)"r1", 2));
    assert_false(access_has_receiver(key, (const uint8_t *)"x", 1));
    assert_true(access_has_endpoint(key, "tcp://10.0.0.1:5"));
    assert_false(access_has_endpoint(key, "tcp://10.0.0.2:5"));
    assert_false(access_has_endpoint(key, "ipc:///10.0.0.1"));
    access_destroy(&access);
}

static void test_a_key_has_its_roles_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned role;
    } roles[] = {{"publisher", ROLE_PUBLISHER}, {"receiver", ROLE_RECEIVER}, {"admin", ROLE_ADMIN}};
    for (size_t i = 0; i < 3; i++) {
        access_t *access = s_table(roles[i].name, NULL, NULL, NULL);
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(access_has_role(access_find(access, s_public), roles[k].role), i == k);
        access_destroy(&access);
    }
}

static void test_a_key_is_found_by_the_whole_of_its_text(void **state)
{
    (void)state;
    access_t *access = s_table("admin", "*", "*", "tcp://*:*");
    assert_string_equal(access_name(access_find(access, s_public)), "key");
    assert_null(access_find(access, ""));
    assert_null(access_find(access, "Yne@"));
    access_destroy(&access);
    access_destroy(&access);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_has_the_clients_that_its_globs_name),
        cmocka_unit_test(test_a_key_has_a_prefix_if_it_has_all_clients_that_begin_with_it),
        cmocka_unit_test(test_no_prefix_lets_a_client_through_that_the_globs_do_not),
        cmocka_unit_test(test_receivers_and_endpoints_are_named_too),
        cmocka_unit_test(test_a_key_has_its_roles_and_no_other),
        cmocka_unit_test(test_a_key_is_found_by_the_whole_of_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
