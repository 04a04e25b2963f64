//  test_log.c - the lines of the log, as standard error gets them

#include "log.h"
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
//  cmocka.h wants all of the above before it.
#include <cmocka.h>

#define TIME_PATTERN "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

//  Runs `write_log` with standard error in a file. Returns what was written, in memory of its own.
static char *s_capture(void (*write_log)(void *), void *argument)
{
    int saved = dup(STDERR_FILENO);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_not_equal(dup2(fileno(file), STDERR_FILENO), -1);
    write_log(argument);
    assert_int_not_equal(dup2(saved, STDERR_FILENO), -1);
    close(saved);
    long size = lseek(fileno(file), 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fileno(file), text, (size_t)size, 0), size);
    fclose(file);
    return text;
}

static void s_error(void *message)
{
    errno = EAGAIN;
    log_error("%s", (const char *)message);
    assert_int_equal(errno, EAGAIN);
}

static void s_all(void *argument)
{
    (void)argument;
    log_error("e %d", 1);
    log_warning("w %d", 2);
    log_info("i %d", 3);
    log_debug("d %d", 4);
}

static void s_assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, text, 0, NULL, 0) != 0)
        fail_msg("\"%s\" does not match \"%s\"", text, pattern);
    regfree(&regex);
}

static void test_text_lines(void **state)
{
    (void)state;
    assert_true(log_setup("debug", "text"));
    char *text = s_capture(s_all, NULL);
    s_assert_matches(text,
                     "^" TIME_PATTERN " error   e 1\n" TIME_PATTERN " warning w 2\n" TIME_PATTERN
                     " info    i 3\n" TIME_PATTERN " debug   d 4\n$");
    free(text);
}

static void test_level_and_unknown_names(void **state)
{
    (void)state;
    assert_true(log_setup("warning", "text"));
    assert_false(log_setup("debug", "xml"));
    assert_false(log_setup("loud", "json"));
    char *text = s_capture(s_all, NULL);
    s_assert_matches(text, "^[^{\n]* error   e 1\n[^\n]* warning w 2\n$");
    free(text);
}

//  What must stand in the line for a message, as text; the end only.
static void s_assert_line(const char *format, const char *message, const char *expected)
{
    assert_true(log_setup("info", format));
    char *line = s_capture(s_error, (char *)message);
    size_t size = strlen(line);
    assert_in_range(size, 1, PIPE_BUF);
    assert_ptr_equal(strchr(line, '\n'), line + size - 1);
    line[size - 1] = '\0';
    if (strcmp(format, "text") == 0) {
        assert_string_equal(line + strlen("2026-11-22T15:04:05.123Z error   "), expected);
    } else {
        json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_int_equal(json_object_size(json), 3);
        s_assert_matches(json_string_value(json_object_get(json, "time")), "^" TIME_PATTERN "$");
        assert_string_equal(json_string_value(json_object_get(json, "level")), "error");
        assert_string_equal(json_string_value(json_object_get(json, "message")), expected);
        json_decref(json);
    }
    free(line);
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *format, *message, *expected;
    } cases[] = {
        {"text", "", ""},
        {"text", "a\nb\r\tc\x1b[2J", "a b  c [2J"},
        {"text", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"json", "", ""},
        {"json", "say \"hi\" \\ \n", "say \"hi\" \\  "},
        {"json", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"json", "id \xff\xfe \xc3\xbc", "id ?? ??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        s_assert_line(cases[i].format, cases[i].message, cases[i].expected);
}

static void test_long_lines_are_cut(void **state)
{
    (void)state;
    static const char *const units[] = {"x", "\"", "\xc3\xbc", "\xf0\x9f\x98\x80", "\xff", "\x80"};
    for (size_t i = 0; i < 2 * (sizeof units / sizeof *units); i++) {
        char message[20000] = "";
        for (size_t size = 0; size < 16000; size += strlen(units[i / 2]))
            strcat(message + size, units[i / 2]);
        assert_true(log_setup("info", i % 2 ? "json" : "text"));
        char *line = s_capture(s_error, message);
        assert_in_range(strlen(line), 100 * (i / 2 != 5), PIPE_BUF);
        assert_non_null(strstr(line, i % 2 ? "...\"}\n" : "...\n"));
        json_t *json = json_loads(line, 0, NULL);
        assert_int_equal(json != NULL, i % 2);
        json_decref(json);
        free(line);
    }
}

static void *s_log_many(void *unused)
{
    for (int i = 0; i < 500; i++)
        log_info("0123456789012345678901234567890123456789");
    return unused;
}

static void s_log_from_threads(void *unused)
{
    (void)unused;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, s_log_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    assert_true(log_setup("info", "json"));
    char *text = s_capture(s_log_from_threads, NULL);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        json_t *json = json_loads(line, 0, NULL);
        assert_non_null(json);
        json_decref(json);
    }
    assert_int_equal(lines, 2000);
    free(text);
}

static void s_limited(void *unused)
{
    (void)unused;
    for (int i = 0; i < 5; i++) {
        log_limited(LOG_GAPS, LOG_LEVEL_WARNING, "gap %d", i);
        log_limited(LOG_HTTP, LOG_LEVEL_DEBUG, "http %d", i);
    }
    log_limited(LOG_ENDPOINTS, LOG_LEVEL_ERROR, "endpoint");
    log_sum_up();
    log_limited(LOG_GAPS, LOG_LEVEL_WARNING, "gap again");
    log_sum_up();
}

static void test_what_peers_provoke_is_limited_and_summed_up(void **state)
{
    (void)state;
    assert_true(log_setup("warning", "text"));
    log_limit(2);
    char *text = s_capture(s_limited, NULL);
    s_assert_matches(text, "^[^\n]* gap 0\n[^\n]* gap 1\n[^\n]* endpoint\n"
                           "[^\n]* 3 more lines about holes that stay open were left out\n"
                           "[^\n]* gap again\n$");
    free(text);
}

//  Standard error is what the service manager says that it is, or another file.
static void s_as_in_a_service(void *format)
{
    struct stat status;
    char stream[64];
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    assert_true(log_setup("debug", format));
    s_all(NULL);
    setenv("JOURNAL_STREAM", "1:1", 1);
    assert_true(log_setup("error", format));
    s_all(NULL);
    unsetenv("JOURNAL_STREAM");
    assert_true(log_setup("debug", format));
}

static void test_lines_for_the_journal_have_their_priority(void **state)
{
    (void)state;
    char *text = s_capture(s_as_in_a_service, "text");
    s_assert_matches(text, "^<3>e 1\n<4>w 2\n<6>i 3\n<7>d 4\n" TIME_PATTERN " error   e 1\n$");
    free(text);
    text = s_capture(s_as_in_a_service, "json");
    s_assert_matches(text, "^<3>\\{[^\n]*\"error\"[^\n]*\\}\n<4>\\{[^\n]*\\}\n<6>\\{[^\n]*\\}\n"
                           "<7>\\{[^\n]*\\}\n\\{[^\n]*\\}\n$");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_lines),
        cmocka_unit_test(test_level_and_unknown_names),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_lines_of_threads_do_not_mix),
        cmocka_unit_test(test_what_peers_provoke_is_limited_and_summed_up),
        cmocka_unit_test(test_lines_for_the_journal_have_their_priority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
