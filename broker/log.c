/*  log.c - one line a message to standard error, as text or as JSON; see log.h

    A line has at most PIPE_BUF bytes, so that one write puts it whole even into a pipe that other
    processes write to. What a peer has sent may be quoted in a message: control characters never
    reach the terminal, and JSON gets valid UTF-8.                                                */

#include "log.h"
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

//  Escaped for JSON, where a byte of text becomes two at most, a message still fits a line.
#define MESSAGE_SIZE (PIPE_BUF / 2 - 64)
#define TIME_SIZE sizeof "2026-11-22T15:04:05.123Z"
#define CUT "..."

#define LIMIT_EVERY 1000000000 //  ns
#define LIMIT_LINES 10 //  in that time

static const char *const s_levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};
static const char *const s_formats[] = {"text", "json"};

static _Atomic unsigned s_dropped; //  lines, since the last one that was written
static _Atomic size_t s_level = LOG_LEVEL_INFO;
static _Atomic size_t s_format = 0;

//  The place of a name; `count` if it is not there.
static size_t s_find(const char *const *names, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    return i;
}

bool log_setup(const char *level, const char *format)
{
    size_t levels = sizeof s_levels / sizeof *s_levels;
    size_t formats = sizeof s_formats / sizeof *s_formats;
    size_t new_level = s_find(s_levels, levels, level);
    size_t new_format = s_find(s_formats, formats, format);
    if (new_level == levels || new_format == formats)
        return false;
    s_level = new_level;
    s_format = new_format;
    return true;
}

//  Marks a message that was cut, between two characters of UTF-8.
static void s_mark_cut(char message[MESSAGE_SIZE])
{
    size_t end = MESSAGE_SIZE - sizeof CUT;
    while (end > 0 && ((unsigned char)message[end] & 0xc0) == 0x80)
        end--;
    memcpy(message + end, CUT, sizeof CUT);
}

static void s_write_message(char message[MESSAGE_SIZE], const char *format, va_list arguments)
{
    int size = vsnprintf(message, MESSAGE_SIZE, format, arguments);
    if (size < 0)
        message[0] = '\0';
    else if (size >= (int)MESSAGE_SIZE)
        s_mark_cut(message);
    for (char *at = message; *at; at++)
        if (iscntrl((unsigned char)*at))
            *at = ' ';
}

//  UTC, with milliseconds.
static void s_write_time(char time[TIME_SIZE])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t size = strftime(time, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(time + size, TIME_SIZE - size, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

static size_t s_text(char line[PIPE_BUF], const char *time, const char *level, const char *message)
{
    return (size_t)snprintf(line, PIPE_BUF, "%s %-7s %s", time, level, message);
}

//  The message as a JSON string; where it is not UTF-8, without what is not ASCII.
static json_t *s_json_message(char *message)
{
    json_t *json = json_string(message);
    if (json)
        return json;
    for (char *at = message; *at; at++)
        if ((unsigned char)*at > 0x7f)
            *at = '?';
    return json_string(message);
}

//  Returns 0 if there is no memory.
static size_t s_json(char line[PIPE_BUF], const char *time, const char *level, char *message)
{
    json_t *json = json_pack("{s:s, s:s, s:o}", "time", time, "level", level, "message",
                             s_json_message(message));
    size_t size = json ? json_dumpb(json, line, PIPE_BUF - 1, JSON_COMPACT) : 0;
    json_decref(json);
    return size < PIPE_BUF ? size : 0;
}

//  True if a line can be written without waiting for whoever reads standard error.
static bool s_has_room(void)
{
    struct pollfd standard_error = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&standard_error, 1, 0) == 1;
}

//  An actor must not wait for a reader of the log: a line that finds no room is dropped and counted.
static void s_write_line(const char *line, size_t size)
{
    if (!s_has_room()) {
        atomic_fetch_add(&s_dropped, 1);
        return;
    }
    unsigned dropped = atomic_exchange(&s_dropped, 0);
    while (write(STDERR_FILENO, line, size) == -1 && errno == EINTR)
        ;
    if (dropped)
        log_warning("%u lines before this one were dropped: nobody read them", dropped);
}

__attribute__((format(printf, 2, 0))) static void s_log(size_t level, const char *format,
                                                        va_list arguments)
{
    if (level > s_level)
        return;
    int saved = errno;
    char message[MESSAGE_SIZE], time[TIME_SIZE], line[PIPE_BUF];
    s_write_message(message, format, arguments);
    s_write_time(time);
    size_t size = s_format ? s_json(line, time, s_levels[level], message) : 0;
    if (size == 0)
        size = s_text(line, time, s_levels[level], message);
    line[size++] = '\n';
    s_write_line(line, size);
    errno = saved;
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s_log(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s_log(LOG_LEVEL_WARNING, format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s_log(LOG_LEVEL_INFO, format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s_log(LOG_LEVEL_DEBUG, format, arguments);
    va_end(arguments);
}

bool log_limit(log_limit_t *self, int64_t now)
{
    if (now - self->since > LIMIT_EVERY) {
        if (self->count > LIMIT_LINES)
            log_warning("%u more of these were not logged", self->count - LIMIT_LINES);
        *self = (log_limit_t){.since = now};
    }
    return ++self->count <= LIMIT_LINES;
}
