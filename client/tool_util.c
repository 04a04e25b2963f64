/*  tool_util.c - messages, JSON, time and signals for the commands of the tool */

#include "tool.h"
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMPLAINTS_MAX 10

static volatile sig_atomic_t s_interrupted;

static void s_say(const char *format, va_list arguments)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    fprintf(stderr, "seqpush: %s\n", text);
}

void tool_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s_say(format, arguments);
    va_end(arguments);
}

//  A key that the broker does not know looks the same as no broker.
void tool_say_silent(const tool_t *tool)
{
    tool_say("%s does not answer: is it the broker's front%s?", tool->broker,
             tool->key ? ", and the key one that it knows" : "");
}

void tool_say_unusable(const tool_t *tool, int error)
{
    if (error == EINVAL)
        tool_say("'%s' is no endpoint such as tcp://127.0.0.1:5570", tool->broker);
    else
        tool_say("%s: %s", error == EACCES ? tool->key : tool->broker, strerror(error));
}

void tool_say_refused(const tool_t *tool, int error, const char *right)
{
    switch (-error) {
    case ETIMEDOUT:
        tool_say_silent(tool);
        break;
    case EACCES:
        tool_say("%s refuses it: the key needs %s", tool->broker, right);
        break;
    case EINVAL:
        tool_say("%s refuses it: there cannot be such seqs or epochs, see seqpush(7)",
                 tool->broker);
        break;
    case ESHUTDOWN:
        tool_say("%s is ending: try again when it is back", tool->broker);
        break;
    case EAGAIN:
        tool_say("%s has too much to do: try again", tool->broker);
        break;
    case EPROTO:
        tool_say("%s refuses it: is it as new as this tool?", tool->broker);
        break;
    default:
        tool_say("%s", strerror(-error));
    }
}

void tool_complain(uint64_t *count, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (*count < COMPLAINTS_MAX)
        s_say(format, arguments);
    va_end(arguments);
    if (++*count == COMPLAINTS_MAX)
        tool_say("no more of these are printed");
}

void tool_print_json(FILE *out, json_t *object)
{
    if (!object)
        abort();
    json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref(object);
}

static void s_set_base64(json_t *object, const char *name, const void *bytes, size_t size)
{
    size_t room = sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(room);
    char member[64];
    snprintf(member, sizeof member, "%s_base64", name);
    if (text)
        json_object_set_new(object, member,
                            json_string(sodium_bin2base64(text, room, bytes, size,
                                                          sodium_base64_VARIANT_ORIGINAL)));
    free(text);
}

void tool_set_bytes(json_t *object, const char *name, const void *bytes, size_t size)
{
    json_t *text = json_stringn(size ? bytes : "", size);
    if (text)
        json_object_set_new(object, name, text);
    else
        s_set_base64(object, name, bytes, size);
}

json_t *tool_json_number(uint64_t number)
{
    return number > INT64_MAX ? json_real((double)number) : json_integer((json_int_t)number);
}

int64_t tool_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void tool_sleep_until(int64_t when)
{
    struct timespec at = {when / 1000000000, when % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void s_on_signal(int number)
{
    (void)number;
    s_interrupted = 1;
}

void tool_catch_signals(void)
{
    struct sigaction action = {.sa_handler = s_on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool tool_interrupted(void)
{
    return s_interrupted != 0;
}
