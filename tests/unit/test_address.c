//  test_address.c - endpoints that peers may name, and globs over client ids

#include "address.h"
#include "glob.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void literal_addresses_have_one_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *canonical; //  NULL: refused
    } cases[] = {
        {"tcp://127.0.0.1:5570", "tcp://127.0.0.1:5570"},
        {"tcp://127.0.0.1:05570", "tcp://127.0.0.1:5570"},
        {"tcp://[::1]:80", "tcp://[::1]:80"},
        {"tcp://[0:0:0:0:0:0:0:1]:80", "tcp://[::1]:80"},
        {"ipc:///run/x.sock", "ipc:///run/x.sock"},
        {"tcp://localhost:80", NULL},
        {"tcp://*:80", NULL},
        {"tcp://127.0.0.1:*", NULL},
        {"tcp://127.0.0.1:0", NULL},
        {"tcp://127.0.0.1:65536", NULL},
        {"tcp://127.0.0.1:99999999999", NULL},
        {"tcp://127.0.0.1:", NULL},
        {"tcp://127.0.0.1", NULL},
        {"tcp://127.1:80", NULL},
        {"tcp://0x7f000001:80", NULL},
        {"tcp://::1:80", NULL},
        {"tcp://[::1:80", NULL},
        {"tcp://[::1]80", NULL},
        {"tcp://10.0.0.1:0;127.0.0.1:80", NULL},
        {"tcp://127.0.0.1:80;10.0.0.1:80", NULL},
        {"tcp://127.0.0.1:80 ", NULL},
        {"tcp://", NULL},
        {"udp://127.0.0.1:80", NULL},
        {"inproc://front", NULL},
        {"ipc://relative", NULL},
        {"ipc://*", NULL},
        {"ipc:///run/../etc/x", NULL},
        {"ipc:///run/./x", NULL},
        {"ipc:///run//x", NULL},
        {"ipc:///run/x/..", NULL},
        {"ipc:///run/x/", NULL},
        {"ipc:///", NULL},
        {"ipc:///run/..x", "ipc:///run/..x"},
        {"ipc://@abstract", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char canonical[ADDRESS_MAX] = "";
        bool parsed = address_parse(cases[i].text, canonical);
        if (parsed != (cases[i].canonical != NULL))
            fail_msg("%s: %s", cases[i].text, parsed ? canonical : "refused");
        if (parsed)
            assert_string_equal(canonical, cases[i].canonical);
    }
}

static void over_long_addresses_are_refused(void **state)
{
    (void)state;
    char text[4096], canonical[ADDRESS_MAX];
    memset(text, '1', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "tcp://", 6);
    assert_false(address_parse(text, canonical));
    memcpy(text, "ipc:///", 7);
    assert_false(address_parse(text, canonical));
}

static void patterns_are_compared_part_by_part(void **state)
{
    (void)state;
    static const struct {
        const char *address, *pattern;
        bool matches;
    } cases[] = {
        {"tcp://127.0.0.1:80", "tcp://127.0.0.1:*", true},
        {"tcp://127.0.0.1:80", "tcp://*:*", true},
        {"tcp://127.0.0.1:80", "tcp://*:80", true},
        {"tcp://127.0.0.1:80", "tcp://127.0.0.1:8", false},
        {"tcp://127.0.0.10:80", "tcp://127.0.0.1*:80", false},
        {"tcp://10.0.0.1:80", "tcp://127.0.0.1:*", false},
        {"tcp://[::1]:80", "tcp://[::1]:*", true},
        {"tcp://[::1]:80", "tcp://127.0.0.1:*", false},
        {"ipc:///run/a.sock", "ipc:///run/*", true},
        {"ipc:///tmp/a.sock", "ipc:///run/*", false},
        {"ipc:///run/a.sock", "tcp://*:*", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (address_matches(cases[i].address, cases[i].pattern) != cases[i].matches)
            fail_msg("%s against %s", cases[i].address, cases[i].pattern);
}

static void globs_match_any_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *id;
        size_t id_size;
        bool matches;
    } cases[] = {
        {"*", "", 0, true},
        {"", "", 0, true},
        {"", "a", 1, false},
        {"a*", "abc", 3, true},
        {"*c", "abc", 3, true},
        {"a?c", "abc", 3, true},
        {"a?c", "ac", 2, false},
        {"a*b*c", "axxbyyc", 7, true},
        {"a*b*c", "axxbyy", 6, false},
        {"a*", "a\0b", 3, true},
        {"a?b", "a\0b", 3, true},
        {"a", "a\0", 2, false},
        {"**", "x", 1, true},
        {"*ab", "aab", 3, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (glob_match(cases[i].pattern, (const uint8_t *)cases[i].id, cases[i].id_size) !=
            cases[i].matches)
            fail_msg("pattern %s, case %zu", cases[i].pattern, i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literal_addresses_have_one_spelling),
        cmocka_unit_test(over_long_addresses_are_refused),
        cmocka_unit_test(patterns_are_compared_part_by_part),
        cmocka_unit_test(globs_match_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
