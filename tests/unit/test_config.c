//  test_config.c - the configuration: good and bad files, --set, printing, the shipped file

#include "config.h"
#include "log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
//  cmocka.h wants all of the above before it.
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SETS_MAX 4

static char s_file[] = "/tmp/test_config_XXXXXX";

static int s_make_file(void **state)
{
    (void)state;
    int handle = mkstemp(s_file);
    return handle == -1 ? -1 : close(handle);
}

static int s_remove_file(void **state)
{
    (void)state;
    return unlink(s_file);
}

static void s_write(const char *text, size_t size)
{
    FILE *out = fopen(s_file, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static config_t *s_load(const char *text, const char *const *sets, char **error)
{
    size_t count = 0;
    while (sets && count < SETS_MAX && sets[count])
        count++;
    if (text)
        s_write(text, strlen(text));
    return config_load(text ? s_file : NULL, (char *const *)sets, count, error);
}

//  Loads what must be good.
static config_t *s_load_good(const char *text, const char *const *sets)
{
    char *error = NULL;
    config_t *config = s_load(text, sets, &error);
    if (!config)
        fail_msg("refused: %s\n%s", error, text ? text : "");
    assert_null(error);
    return config;
}

//  Loads what must be refused, with an error of one line that starts with `start`, behind the
//  file's name if there is a text, and goes on to what was expected.
static void s_load_bad(const char *text, const char *const *sets, const char *start)
{
    char *error = NULL;
    config_t *config = s_load(text, sets, &error);
    if (config)
        fail_msg("taken, not refused with: %s\n%s", start, text ? text : "");
    assert_non_null(error);
    const char *rest = error;
    if (strncmp(error, s_file, strlen(s_file)) == 0)
        rest += strlen(s_file);
    if (strncmp(rest, start, strlen(start)) != 0)
        fail_msg("\"%s\" does not start with \"%s\"", rest, start);
    assert_non_null(strstr(rest, "expected "));
    assert_null(strchr(error, '\n'));
    free(error);
}

static char *s_print(const config_t *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    config_print(config, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *s_print_loaded(const char *text, const char *const *sets)
{
    config_t *config = s_load_good(text, sets);
    char *printed = s_print(config);
    config_destroy(&config);
    assert_null(config);
    return printed;
}

//  ---- values ------------------------------------------------------------------------------------

static void test_defaults(void **state)
{
    (void)state;
    config_t *config = s_load_good(NULL, NULL);
    assert_int_equal(config->broker.drain_timeout, 5000);
    assert_int_equal(config->front.bind.count, 1);
    assert_string_equal(config->front.bind.items[0], "tcp://127.0.0.1:5570");
    assert_int_equal(config->front.max_payload, 1048576);
    assert_int_equal(config->front.publisher_credit, 65536);
    assert_string_equal(config->ordering.policy, "strict");
    assert_int_equal(config->ordering.window, 1024);
    assert_int_equal(config->ordering.first_seq, 1);
    assert_string_equal(config->ordering.plugin, "");
    assert_int_equal(config->ordering.gap_timeout, 5000);
    assert_int_equal(config->ordering.gap_alarm, 1000);
    assert_int_equal(config->ordering.repair_delay, 20);
    assert_int_equal(config->ordering.rule_count, 0);
    assert_int_equal(config->ordering.max_clients, 1000000);
    assert_int_equal(config->ordering.client_idle_timeout, 86400000);
    assert_int_equal(config->ordering.memory_max, 268435456);
    assert_in_range(config->workers.count, 1, 64);
    assert_int_equal(config->workers.batch_max, 64);
    assert_int_equal(config->workers.batch_bytes, 65536);
    assert_int_equal(config->workers.send_hwm, 64);
    assert_int_equal(config->delivery.max_unacked, 1024);
    assert_int_equal(config->delivery.ack_timeout, 1000);
    assert_int_equal(config->delivery.receiver_timeout, 10000);
    assert_int_equal(config->delivery.retain_max, 0);
    assert_int_equal(config->delivery.backlog, 4096);
    assert_int_equal(config->delivery.backlog_bytes, 4194304);
    assert_int_equal(config->delivery.allow_endpoint.count, 1);
    assert_string_equal(config->delivery.allow_endpoint.items[0], "tcp://127.0.0.1:*");
    assert_int_equal(config->delivery.route_count, 0);
    assert_string_equal(config->http.bind, "127.0.0.1:5580");
    assert_false(config->security.allow_plaintext);
    assert_string_equal(config->log.level, "info");
    assert_string_equal(config->log.format, "text");
    config_destroy(&config);
    config_destroy(&config);
}

static void test_file_sets_values(void **state)
{
    (void)state;
    config_t *config = s_load_good("# a comment\n"
                                   "front # another\n"
                                   "    bind = ipc:///tmp/a # a third\r\n"
                                   "\n"
                                   "    bind='ipc:///tmp/#b'\n"
                                   "    max_payload = \"2000\"\n"
                                   "    \t \n"
                                   "ordering\n"
                                   "    first_seq = 9223372036854775807\n"
                                   "    memory_max = 1099511627776\n"
                                   "delivery\n"
                                   "    route\n"
                                   "        match = *\n"
                                   "        endpoint = tcp://[::1]:7\n"
                                   "    backlog = 5000\n"
                                   "    route\n"
                                   "        endpoint = ipc:///x\n"
                                   "        match = 'a\"b'\n"
                                   "http\n"
                                   "    bind =\n"
                                   "front\n"
                                   "    publisher_credit = 1",
                                   NULL);
    assert_int_equal(config->front.bind.count, 2);
    assert_string_equal(config->front.bind.items[0], "ipc:///tmp/a");
    assert_string_equal(config->front.bind.items[1], "ipc:///tmp/#b");
    assert_int_equal(config->front.max_payload, 2000);
    assert_int_equal(config->front.publisher_credit, 1);
    assert_true(config->ordering.first_seq == INT64_MAX);
    assert_true(config->ordering.memory_max == UINT64_C(1) << 40);
    assert_int_equal(config->delivery.backlog, 5000);
    assert_int_equal(config->delivery.route_count, 2);
    assert_string_equal(config->delivery.routes[0].match, "*");
    assert_string_equal(config->delivery.routes[0].endpoint, "tcp://[::1]:7");
    assert_string_equal(config->delivery.routes[1].match, "a\"b");
    assert_string_equal(config->delivery.routes[1].endpoint, "ipc:///x");
    assert_string_equal(config->http.bind, "");
    config_destroy(&config);
}

static void test_rules_say_what_differs(void **state)
{
    (void)state;
    const char *sets[SETS_MAX] = {"ordering/gap_timeout=70", "ordering/plugin=/x.so"};
    config_t *config = s_load_good("ordering\n"
                                   "    gap_timeout = 60\n"
                                   "    rule\n"
                                   "        match = chat-*\n"
                                   "        window = 9\n"
                                   "        gap_alarm = 0\n"
                                   "        repair_delay = 5\n"
                                   "    policy = mine\n"
                                   "    rule\n"
                                   "        policy = latest\n"
                                   "        match = '*'\n"
                                   "        gap_timeout = 80\n"
                                   "        first_seq = 3\n",
                                   sets);
    assert_int_equal(config->ordering.rule_count, 2);
    const config_rule_t *rules = config->ordering.rules;
    assert_string_equal(rules[0].match, "chat-*");
    assert_string_equal(rules[0].policy, "mine");
    assert_int_equal(rules[0].window, 9);
    assert_int_equal(rules[0].gap_alarm, 0);
    assert_int_equal(rules[0].repair_delay, 5);
    assert_int_equal(rules[0].gap_timeout, 70);
    assert_int_equal(rules[0].first_seq, 1);
    assert_string_equal(rules[1].match, "*");
    assert_string_equal(rules[1].policy, "latest");
    assert_int_equal(rules[1].window, 1024);
    assert_int_equal(rules[1].gap_alarm, 1000);
    assert_int_equal(rules[1].repair_delay, 20);
    assert_int_equal(rules[1].gap_timeout, 80);
    assert_int_equal(rules[1].first_seq, 3);
    config_destroy(&config);
}

static void test_good_files(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "\n",
        "# nothing\n",
        "front",
        "front\n# a comment may stand at any level\n    # so\n        # or so\n    max_payload = "
        "1\n",
        "http\n    bind = \"\"\n",
        "http\n    bind = [::1]:0\n",
        "front\n    bind = tcp://127.9.9.9:*\n    bind = tcp://[::1]:0\n    bind = ipc://*\n",
        "security\n    allow_plaintext = 1\nfront\n    bind = tcp://*:*\n    bind = "
        "tcp://0.0.0.0:1\n",
        "http\n    bind = 0.0.0.0:80\nsecurity\n    allow_plaintext = 1\n",
        "security\n    allow_plaintext = 1\ndelivery\n    allow_endpoint = tcp://10.0.0.1:*\n"
        "    allow_endpoint = ipc:///run/*\n",
        "security\n    allow_plaintext = 1\ndelivery\n    allow_endpoint = "
        "tcp://[fe80::1]:5600\n    allow_endpoint = tcp://*:*\n",
        "delivery\n    allow_endpoint = tcp://[::1]:*\n    allow_endpoint = ipc:///run/*\n",
        "workers\n    count = 064\n",
        "ordering\n    window = 2048\n",
        "front\n    max_payload = 4193280\n",
        "ordering\n    memory_max = 8396800\n",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        config_t *config = s_load_good(cases[i], NULL);
        config_destroy(&config);
    }
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        //  What is not ZPL, or is ZPL that zconfig would read as something else.
        {"front\n  bind = x\n", ":2: indented by 2 spaces"},
        {"front\n\tbind = x\n", ":2: indented by a tab"},
        {"front\n        bind = x\n", ":2: indented too far"},
        {"    front\n", ":1: indented too far"},
        {"front\nhttp\n        bind = x\n", ":3: indented too far"},
        {"front\n   # comment\n", ":2: indented by 3 spaces"},
        {"\n\nfro%nt\n", ":3: \"fro%nt\", expected NAME"},
        {"front bind\n", ":1: \"front bind\", expected NAME"},
        {"= 1\n", ":1: \"= 1\", expected NAME"},
        {"front/max_payload = 1\n", ":1: \"front/max_payload = 1\", expected NAME"},
        {"\xef\xbb\xbf"
         "front\n",
         ":1: \"\xef\xbb\xbf"
         "front\", expected NAME"},
        {"front\n    bind = \"x\n", ":2: a quote is not closed"},
        {"front\n    bind = 'x\"\n", ":2: a quote is not closed"},
        {"front\n    bind = 'x' y\n", ":2: \"y\" after the quote"},
        {"front\n    bind = ipc:///tmp/a#b\n", ":2: an unquoted # starts a comment"},
        {"http\n    bind = # off\n", ":2: a comment in place of the value"},
        {"front\n    bind = a\rb\n", ":2: a control character"},
        {"\x7f"
         "ELF\n",
         ":1: a control character"},

        //  What does not stand in the table.
        {"front\n# two\n\n    bnd = x\n",
         ":4: front/bnd: is not known, expected bind, max_payload"},
        {"front\n    max_payload = 1\nbackend\n",
         ":3: backend: is not known, expected broker, front"},
        {"bind = x\n", ":1: bind: is not known"},
        {"log\n    level = info\n        x = 1\n",
         ":3: log/level/x: is not known, expected nothing"},
        {"front = 1\n", ":1: front: has a value, expected a section"},
        {"front =\n", ":1: front: has a value, expected a section"},
        {"delivery\n    route = x\n", ":2: delivery/route: has a value, expected a section"},
        {"http\n    bind\n", ":2: http/bind: has no value"},
        {"front\n    max_payload\n",
         ":2: front/max_payload: has no value, expected a whole number"},
        {"log\n    level = info\n    level = info\n", ":3: log/level: is given twice"},
        {"log\n    level = info\nfront\nlog\n    level = info\n", ":5: log/level: is given twice"},

        //  Numbers.
        {"front\n    max_payload = 1M\n", ":2: front/max_payload: \"1M\" is not a whole number"},
        {"front\n    max_payload = +1\n", ":2: front/max_payload: \"+1\" is not a whole number"},
        {"front\n    max_payload = -1\n", ":2: front/max_payload: \"-1\" is not a whole number"},
        {"front\n    max_payload = 1 0\n", ":2: front/max_payload: \"1 0\" is not a whole number"},
        {"front\n    max_payload = ' 1'\n", ":2: front/max_payload: \" 1\" is not a whole number"},
        {"front\n    max_payload = 0x10\n",
         ":2: front/max_payload: \"0x10\" is not a whole number"},
        {"front\n    max_payload = 1.0\n", ":2: front/max_payload: \"1.0\" is not a whole number"},
        {"front\n    max_payload =\n", ":2: front/max_payload: \"\" is empty"},
        {"front\n    max_payload = 0\n",
         ":2: front/max_payload: \"0\" is out of range, expected a whole number of bytes from 1 to "
         "67108864"},
        {"front\n    max_payload = 4294967297\n",
         ":2: front/max_payload: \"4294967297\" is out of"},
        {"ordering\n    first_seq = 18446744073709551617\n",
         ":2: ordering/first_seq: \"18446744073709551617\" is out of range"},
        {"workers\n    count = 65\n", ":2: workers/count: \"65\" is out of range"},
        {"workers\n    count = 0\n", ":2: workers/count: \"0\" is out of range"},
        {"workers\n    batch_max = 4097\n", ":2: workers/batch_max: \"4097\" is out of range"},
        {"security\n    allow_plaintext = 2\n",
         ":2: security/allow_plaintext: \"2\" is out of range"},
        {"security\n    allow_plaintext = yes\n", ":2: security/allow_plaintext: \"yes\" is not a"},

        //  Texts.
        {"ordering\n    policy = playout\n", ":2: ordering/policy: \"playout\" is not known, "
                                             "expected strict, deadline, latest, passthrough"},
        {"ordering\n    policy =\n", ":2: ordering/policy: \"\" is empty, expected strict"},
        {"ordering\n    plugin = playout.so\n",
         ":2: ordering/plugin: \"playout.so\" is no absolute path"},
        {"log\n    level = Info\n",
         ":2: log/level: \"Info\" is not known, expected error, warning"},
        {"log\n    format = xml\n", ":2: log/format: \"xml\" is not known, expected text, json"},
        {"front\n    bind = a'b\"c\n", ":2: front/bind: \"a'b\"c\" has quotes of both kinds"},

        //  Endpoints.
        {"front\n    bind =\n", ":2: front/bind: \"\" is empty"},
        {"front\n    bind = 127.0.0.1:1\n",
         ":2: front/bind: \"127.0.0.1:1\" is neither tcp:// nor"},
        {"front\n    bind = inproc://x\n", ":2: front/bind: \"inproc://x\" is neither tcp:// nor"},
        {"front\n    bind = TCP://127.0.0.1:1\n",
         ":2: front/bind: \"TCP://127.0.0.1:1\" is neither"},
        {"front\n    bind = tcp://localhost:1\n",
         ":2: front/bind: \"tcp://localhost:1\" has no literal address"},
        {"front\n    bind = tcp://127.0.0.1\n",
         ":2: front/bind: \"tcp://127.0.0.1\" has no literal"},
        {"front\n    bind = tcp://127.0.0.256:1\n",
         ":2: front/bind: \"tcp://127.0.0.256:1\" has no literal address"},
        {"front\n    bind = tcp://::1:1\n",
         ":2: front/bind: \"tcp://::1:1\" has no literal address"},
        {"front\n    bind = tcp://[::1]\n",
         ":2: front/bind: \"tcp://[::1]\" has no literal address"},
        {"front\n    bind = tcp://[]:1\n", ":2: front/bind: \"tcp://[]:1\" has no literal address"},
        {"front\n    bind = tcp://127.0.0.1:65536\n",
         ":2: front/bind: \"tcp://127.0.0.1:65536\" has no valid port"},
        {"front\n    bind = tcp://127.0.0.1:\n",
         ":2: front/bind: \"tcp://127.0.0.1:\" has no valid port"},
        {"front\n    bind = ipc://\n", ":2: front/bind: \"ipc://\" has an empty path"},
        {"http\n    bind = *:80\n", ":2: http/bind: \"*:80\" has no literal address"},
        {"http\n    bind = 127.0.0.1:*\n", ":2: http/bind: \"127.0.0.1:*\" has no valid port"},
        {"http\n    bind = tcp://127.0.0.1:80\n",
         ":2: http/bind: \"tcp://127.0.0.1:80\" has no literal address"},
        {"delivery\n    allow_endpoint = tcp://*.example:1\n",
         ":2: delivery/allow_endpoint: \"tcp://*.example:1\" has no literal address"},
        {"delivery\n    allow_endpoint = tcp://10.0.0.0/8:1\n",
         ":2: delivery/allow_endpoint: \"tcp://10.0.0.0/8:1\" has no literal address"},
        {"delivery\n    allow_endpoint = tcp://10.0.0.1:0\n",
         ":2: delivery/allow_endpoint: \"tcp://10.0.0.1:0\" has no valid port"},

        {"delivery\n    allow_endpoint = tcp://10.0.*:1\n",
         ":2: delivery/allow_endpoint: \"tcp://10.0.*:1\" has no literal address"},
        {"delivery\n    allow_endpoint = tcp://[0:0::1]:1\n",
         ":2: delivery/allow_endpoint: \"tcp://[0:0::1]:1\" has no literal address in its usual "
         "form"},
        {"delivery\n    allow_endpoint = tcp://10.0.0.1:0123\n",
         ":2: delivery/allow_endpoint: \"tcp://10.0.0.1:0123\" has no valid port"},

        //  Routes.
        {"delivery\n    route\n        match = a\n\nlog\n",
         ":2: delivery/route: has no endpoint, expected one"},
        {"delivery\n    route\n    route\n", ":2: delivery/route: has no match, expected one"},
        {"delivery\n    route\n        match = a\n        match = b\n",
         ":4: delivery/route/match: is given twice"},
        {"delivery\n    route\n        match = \"\"\n", ":3: delivery/route/match: \"\" is empty"},
        {"delivery\n    route\n        endpoint = tcp://*:1\n",
         ":3: delivery/route/endpoint: \"tcp://*:1\" has no literal address"},
        {"delivery\n    route\n        endpoint = tcp://127.0.0.1:*\n",
         ":3: delivery/route/endpoint: \"tcp://127.0.0.1:*\" has no valid port"},
        {"delivery\n    route\n        endpoint = ipc://x\n",
         ":3: delivery/route/endpoint: \"ipc://x\" has no absolute path"},
        {"delivery\n    route\n        to = x\n",
         ":3: delivery/route/to: is not known, expected match, endpoint"},

        //  Rules.
        {"ordering\n    rule\n        policy = latest\n    window = 4\n",
         ":2: ordering/rule: has no match, expected one"},
        {"ordering\n    rule\n        match = a\n        match = b\n",
         ":4: ordering/rule/match: is given twice"},
        {"ordering\n    rule\n        match = a\n        window = 5\n        window = 5\n",
         ":5: ordering/rule/window: is given twice"},
        {"ordering\n    rule\n        match = a\n        gap_timeout = 0\n",
         ":4: ordering/rule/gap_timeout: \"0\" is out of range"},
        {"ordering\n    rule\n        match = a\n    rule\n        match = b\n        policy = x\n",
         ":6: ordering/rule/policy: \"x\" is not known, expected strict, deadline"},
        {"ordering\n    rule\n        match = a\n        max_clients = 1\n",
         ":4: ordering/rule/max_clients: is not known, expected match, policy, window"},
        {"ordering\n    rule\n        match = a\n        window = 9\n    rule\n        match = b\n"
         "        window = 2049\n",
         ":7: ordering/rule/window: 2049 does not go with delivery/backlog = 4096"},

        //  Keys that do not go together: the line is that of the key that is set.
        {"ordering\n    window = 2049\n",
         ":2: ordering/window: 2049 does not go with delivery/backlog = 4096"},
        {"log\ndelivery\n    backlog = 2047\n",
         ":3: delivery/backlog: 2047 does not go with ordering/window = 1024"},
        {"front\n    max_payload = 4193281\n",
         ":2: front/max_payload: 4193281 does not go with delivery/backlog_bytes = 4194304"},
        {"delivery\n    backlog_bytes = 1049599\n",
         ":2: delivery/backlog_bytes: 1049599 does not go with front/max_payload = 1048576"},
        {"ordering\n    memory_max = 8396799\n",
         ":2: ordering/memory_max: 8396799 does not go with front/max_payload = 1048576"},
        {"front\n    bind = ipc://x\n    bind = tcp://10.0.0.1:1\n    bind = ipc://y\n",
         ":3: front/bind: \"tcp://10.0.0.1:1\" is not a loopback address"},
        {"front\n    bind = tcp://*:5570\n", ":2: front/bind: \"tcp://*:5570\" is not a loopback"},
        {"front\n    bind = tcp://[::]:1\n", ":2: front/bind: \"tcp://[::]:1\" is not a loopback"},
        {"log\nhttp\n    bind = 0.0.0.0:80\n", ":3: http/bind: \"0.0.0.0:80\" is not a loopback"},
        {"delivery\n    allow_endpoint = ipc://*\n    allow_endpoint = tcp://*:*\n",
         ":3: delivery/allow_endpoint: \"tcp://*:*\" is not a loopback"},
        {"delivery\n    route\n        match = x\n        endpoint = tcp://10.0.0.1:1\n",
         ":4: delivery/route/endpoint: \"tcp://10.0.0.1:1\" is not a loopback"},
        {"security\n    key\n        name = a\n        public = "
         "\"Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\"\n"
         "        role = receiver\n",
         ":3: security/key: is of no use without CURVE"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        s_load_bad(cases[i].text, NULL, cases[i].error);
}

//  ---- files -------------------------------------------------------------------------------------

static void s_refuse_bytes(const char *bytes, size_t size, const char *start)
{
    s_write(bytes, size);
    char *error = NULL;
    assert_null(config_load(s_file, NULL, 0, &error));
    assert_non_null(error);
    assert_memory_equal(error, s_file, strlen(s_file));
    assert_memory_equal(error + strlen(s_file), start, strlen(start));
    free(error);
}

static void test_file_that_is_no_file(void **state)
{
    (void)state;
    static const struct {
        const char *file, *error;
    } cases[] = {
        {"/nonexistent/file", "/nonexistent/file: No such file or directory, expected"},
        {"/tmp", "/tmp: Is a directory, expected"},
        {"/dev/zero", "/dev/zero: is too large, expected"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *error = NULL;
        assert_null(config_load(cases[i].file, NULL, 0, &error));
        assert_non_null(error);
        assert_memory_equal(error, cases[i].error, strlen(cases[i].error));
        free(error);
    }
}

static void test_file_that_cannot_be_read(void **state)
{
    (void)state;
    s_write("", 0);
    assert_int_equal(chmod(s_file, 0), 0);
    bool is_root = geteuid() == 0;
    if (is_root)
        assert_int_equal(seteuid(65534), 0);
    char *error = NULL;
    assert_null(config_load(s_file, NULL, 0, &error));
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(s_file, 0600), 0);
    assert_non_null(strstr(error, ": Permission denied, expected a file that can be read"));
    free(error);
}

static void test_binary_and_large_files(void **state)
{
    (void)state;
    s_refuse_bytes("front\n\0\n", 8, ":2: a control character");
    size_t size = 10000000;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    s_refuse_bytes(bytes, size, ": is too large");
    memset(bytes, '#', size);
    s_refuse_bytes(bytes, 1 << 20, ":1: line too long");
    for (size_t i = 0; i < size; i++)
        bytes[i] = i % 2 ? '\n' : 'a';
    s_refuse_bytes(bytes, 1 << 20, ":10001: too much");
    free(bytes);
}

//  ---- --set -------------------------------------------------------------------------------------

static void test_set_goes_before_the_file(void **state)
{
    (void)state;
    const char *sets[SETS_MAX] = {"front/bind=ipc://a", "front/max_payload=7",
                                  "front/bind=ipc://b=c", "http/bind="};
    config_t *config = s_load_good("front\n    bind = ipc://x\n    bind = ipc://y\n"
                                   "    bind = ipc://z\n    max_payload = 5\n",
                                   sets);
    assert_int_equal(config->front.bind.count, 2);
    assert_string_equal(config->front.bind.items[0], "ipc://a");
    assert_string_equal(config->front.bind.items[1], "ipc://b=c");
    assert_int_equal(config->front.max_payload, 7);
    assert_string_equal(config->http.bind, "");
    config_destroy(&config);
}

static void test_bad_sets(void **state)
{
    (void)state;
    static const struct {
        const char *sets[SETS_MAX], *error;
    } cases[] = {
        {{"front/bnd=1"}, "--set: front/bnd: is not known, expected bind, max_payload"},
        {{"frnt/bind=1"}, "--set: frnt/bind: is not known, expected broker, front"},
        {{"front/bind/x=1"}, "--set: front/bind/x: is not known, expected nothing"},
        {{"front/=1"}, "--set: front/: is not known"},
        {{"/front/bind=1"}, "--set: /front/bind: is not known, expected broker"},
        {{"=1"}, "--set: : is not known, expected broker"},
        {{""}, "--set: : is not known, expected broker"},
        {{"front=1"}, "--set: front: is a section"},
        {{"front/bind"}, "--set: front/bind: has no = and value, expected tcp://"},
        {{"front/bind="}, "--set: front/bind: \"\" is empty, expected tcp://"},
        {{"log/level="}, "--set: log/level: \"\" is empty, expected error"},
        {{"front/max_payload= 1"}, "--set: front/max_payload: \" 1\" is not a whole number"},
        {{"front/max_payload=1\n"}, "--set: front/max_payload: \"1?\" is not a whole number"},
        {{"front/bind=ipc://a\nb"}, "--set: front/bind: \"ipc://a?b\" has a control character"},
        {{"log/level=info", "log/level=debug"}, "--set: log/level: is given twice"},
        {{"delivery/route=1"}, "--set: delivery/route: stands in the file alone"},
        {{"delivery/route/match=1"}, "--set: delivery/route/match: stands in the file alone"},
        {{"ordering/rule=1"}, "--set: ordering/rule: stands in the file alone"},
        {{"ordering/rule/window=1"}, "--set: ordering/rule/window: stands in the file alone"},
        {{"ordering/policy=x"}, "--set: ordering/policy: \"x\" is not known, expected strict"},
        {{"front/bind=ipc://a", "front/bind=tcp://1.1.1.1:1"},
         "--set: front/bind: \"tcp://1.1.1.1:1\" is not a loopback address"},
        {{"delivery/backlog=100"}, "--set: delivery/backlog: 100 does not go with ordering/window"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        s_load_bad(NULL, cases[i].sets, cases[i].error);
}

static void test_error_in_the_file_is_told_though_set_replaces_it(void **state)
{
    (void)state;
    const char *sets[SETS_MAX] = {"front/max_payload=7"};
    s_load_bad("front\n    max_payload = x\n", sets, ":2: front/max_payload: \"x\"");
    //  A bind beyond loopback that is not used is no danger.
    const char *binds[SETS_MAX] = {"front/bind=ipc://a"};
    config_t *config = s_load_good("front\n    bind = tcp://*:1\n", binds);
    config_destroy(&config);
}

static void test_long_values(void **state)
{
    (void)state;
    char set[2000] = "front/bind=ipc://";
    memset(set + strlen(set), 'x', 107);
    config_t *config = s_load_good(NULL, (const char *const[]){set, NULL});
    config_destroy(&config);
    strcat(set, "x");
    char *error = NULL;
    assert_null(s_load(NULL, (const char *const[]){set, NULL}, &error));
    assert_non_null(strstr(error, "has a path that is too long for a socket"));
    free(error);
    memset(set + strlen(set), 'x', 1000);
    assert_null(s_load(NULL, (const char *const[]){set, NULL}, &error));
    assert_non_null(strstr(error, "is too long, expected"));
    free(error);
}

//  ---- printing ----------------------------------------------------------------------------------

static void test_print_reads_back(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "http\n    bind =\n",
        "front\n    bind = 'ipc:///tmp/ \"a\" #b '\n    bind = \"ipc://it's\"\n",
        "security\n    allow_plaintext = 1\nlog\n    level = debug\n    format = json\n",
        "ordering\n    plugin = /p.so\n    rule\n        match = '\"*'\n        policy = mine\n"
        "    rule\n        match = ?\n        gap_alarm = 0\n        first_seq = 7\n",
        "security\n    allow_plaintext = 1\ndelivery\n    allow_endpoint = ipc://*\n"
        "    allow_endpoint = tcp://*:*\n    route\n"
        "        match = \"#\"\n        endpoint = ipc:///1\n    route\n        endpoint = "
        "ipc:///2\n"
        "        match = ' \xff '\nordering\n    first_seq = 9223372036854775807\n",
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *first = s_print_loaded(cases[i], NULL);
        char *second = s_print_loaded(first, NULL);
        assert_string_equal(first, second);
        free(first);
        free(second);
    }
}

static void test_print_shows_what_was_read(void **state)
{
    (void)state;
    char *text = s_print_loaded("front\n    bind = \"ipc://#\"\ndelivery\n    route\n"
                                "        match = x*\n        endpoint = ipc:///r\n",
                                (const char *const[]){"workers/count=3", NULL});
    assert_non_null(strstr(text, "\n    bind = \"ipc://#\"\n"));
    assert_non_null(strstr(text, "\n    count = 3\n"));
    assert_non_null(strstr(text, "\n    route\n        match = \"x*\"\n"
                                 "        endpoint = \"ipc:///r\"\n"));
    free(text);
}

//  ---- the shipped file --------------------------------------------------------------------------

//  The file's text, found beside this source.
static char *s_shipped(void)
{
    char path[4096];
    const char *slash = strrchr(__FILE__, '/');
    assert_non_null(slash);
    snprintf(path, sizeof path, "%.*s/../../config/seqpushd.conf", (int)(slash - __FILE__),
             __FILE__);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_in_range(fread(text, 1, 65535, in), 1, 65534);
    fclose(in);
    return text;
}

//  Lets the file's own key stand without CURVE.
static void s_allow_plaintext(char *text)
{
    char *at = strstr(text, "allow_plaintext = 0");
    assert_non_null(at);
    at[strlen("allow_plaintext = ")] = '1';
}

static void test_shipped_file_is_the_defaults(void **state)
{
    (void)state;
    char *shipped = s_shipped();
    char *printed = s_print_loaded(shipped, NULL);
    char *defaults = s_print_loaded(NULL, NULL);
    assert_string_equal(printed, defaults);
    free(shipped);
    free(printed);
    free(defaults);
}

//  Takes the # from what is commented out, which unlike prose follows it at once.
static void s_uncomment(char *text)
{
    char *to = text;
    for (char *at = text; *at; at++)
        if (*at != '#' || at[1] < 'a' || at[1] > 'z')
            *to++ = *at;
    *to = '\0';
}

//  The names in a file with their indentation, a line each.
static char *s_names(const char *text)
{
    char *names = calloc(1, strlen(text) + 2);
    assert_non_null(names);
    while (*text) {
        size_t indent = strspn(text, " ");
        if (!strchr("#\n", text[indent])) {
            strncat(names, text, indent + strcspn(text + indent, " \n"));
            strcat(names, "\n");
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return names;
}

static void test_shipped_file_has_every_key(void **state)
{
    (void)state;
    char *shipped = s_shipped();
    s_uncomment(shipped);
    s_allow_plaintext(shipped);
    char *printed = s_print_loaded(shipped, NULL);
    char *has = s_names(shipped), *wanted = s_names(printed);
    assert_string_equal(has, wanted);
    assert_non_null(strstr(has, "\n        endpoint\n"));
    free(shipped);
    free(printed);
    free(has);
    free(wanted);
}

//  ---- mutations ---------------------------------------------------------------------------------

static uint64_t s_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

//  Changes a text of `size` bytes, with room for twice that and 16, in one place. Returns its new
//  size.
static size_t s_mutate(char *text, size_t size, uint64_t *seed)
{
    static const char likely[] = "\n    =#\"'*:/\t\r\0[]09az-\xff";
    size_t at = s_random(seed) % (size + 1), length = s_random(seed) % 40;
    if (at + length > size)
        length = size - at;
    switch (s_random(seed) % 4) {
    case 0: //  one byte is another
        text[at] = likely[s_random(seed) % sizeof likely];
        return at < size ? size : size + 1;
    case 1: //  one byte more
        memmove(text + at + 1, text + at, size - at);
        text[at] = likely[s_random(seed) % sizeof likely];
        return size + 1;
    case 2: //  a piece is missing
        memmove(text + at, text + at + length, size - at - length);
        return size - length;
    default: //  a piece stands there twice
        memmove(text + at + length, text + at, size - at);
        return size + length;
    }
}

//  Whatever was read prints to what reads as the same; whatever was not has an error of one line
//  that is our own, not zconfig's.
static void s_load_any(const char *text, size_t size)
{
    s_write(text, size);
    char *error = NULL;
    config_t *config = config_load(s_file, NULL, 0, &error);
    if (!config) {
        assert_non_null(error);
        assert_memory_equal(error, s_file, strlen(s_file));
        assert_non_null(strstr(error, "expected "));
        assert_null(strchr(error, '\n'));
        assert_null(strstr(error, "zconfig"));
        free(error);
        return;
    }
    char *first = s_print(config);
    config_destroy(&config);
    char *second = s_print_loaded(first, NULL);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void test_mutated_files_do_no_harm(void **state)
{
    (void)state;
    const char *given = getenv("SEQPUSH_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    print_message("SEQPUSH_TEST_SEED=%llu\n", (unsigned long long)seed);
    char *shipped = s_shipped();
    s_uncomment(shipped);
    s_allow_plaintext(shipped);
    size_t shipped_size = strlen(shipped);
    char *text = malloc(2 * shipped_size + 1024);
    assert_non_null(text);
    for (int round = 0; round < 5000; round++) {
        size_t size = shipped_size;
        memcpy(text, shipped, size);
        for (uint64_t changes = 1 + s_random(&seed) % 8; changes > 0; changes--)
            size = s_mutate(text, size, &seed);
        s_load_any(text, size);
    }
    free(text);
    free(shipped);
}

//  ---- names -------------------------------------------------------------------------------------

static void test_levels_and_formats_are_those_of_the_log(void **state)
{
    (void)state;
    static const char *const levels[] = {"error", "warning", "info", "debug", "x", ""};
    static const char *const formats[] = {"text", "json", "x", ""};
    for (size_t i = 0; i < COUNT(levels) * COUNT(formats); i++) {
        const char *level = levels[i % COUNT(levels)], *format = formats[i / COUNT(levels)];
        char sets[2][32], *error;
        snprintf(sets[0], sizeof sets[0], "log/level=%s", level);
        snprintf(sets[1], sizeof sets[1], "log/format=%s", format);
        config_t *config = s_load(NULL, (const char *const[]){sets[0], sets[1], NULL}, &error);
        assert_int_equal(config != NULL, log_setup(level, format));
        config_destroy(&config);
        free(error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_file_sets_values),
        cmocka_unit_test(test_rules_say_what_differs),
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_file_that_is_no_file),
        cmocka_unit_test(test_file_that_cannot_be_read),
        cmocka_unit_test(test_binary_and_large_files),
        cmocka_unit_test(test_set_goes_before_the_file),
        cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_error_in_the_file_is_told_though_set_replaces_it),
        cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_print_reads_back),
        cmocka_unit_test(test_print_shows_what_was_read),
        cmocka_unit_test(test_shipped_file_is_the_defaults),
        cmocka_unit_test(test_shipped_file_has_every_key),
        cmocka_unit_test(test_mutated_files_do_no_harm),
        cmocka_unit_test(test_levels_and_formats_are_those_of_the_log),
    };
    return cmocka_run_group_tests(tests, s_make_file, s_remove_file);
}
