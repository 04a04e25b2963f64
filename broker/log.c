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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

//  Escaped for JSON, where a byte of text becomes two at most, a message still fits a line.
#define MESSAGE_SIZE (PIPE_BUF / 2 - 64)
#define TIME_SIZE sizeof "2026-11-22T15:04:05.123Z"
#define PRIORITY_SIZE (sizeof "<6>" - 1)
#define CUT "..."

static const char *const s_levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};
static const char *const s_formats[] = {"text", "json"};
static const char *const s_kinds[] = {
    [LOG_GAPS] = "holes that stay open",     [LOG_EXPIRIES] = "pushes given up",
    [LOG_ENDPOINTS] = "endpoints",           [LOG_STRANGERS] = "peers that may not connect",
    [LOG_DENIALS] = "what keys were denied", [LOG_HTTP] = "http connections",
};

//  Priorities of the journal, those of syslog.
static const char s_priorities[] = {
    [LOG_LEVEL_ERROR] = '3',
    [LOG_LEVEL_WARNING] = '4',
    [LOG_LEVEL_INFO] = '6',
    [LOG_LEVEL_DEBUG] = '7',
};

static _Atomic unsigned s_dropped; //  lines, since the last one that was written
static _Atomic size_t s_level = LOG_LEVEL_INFO;
static _Atomic size_t s_format = 0;
static _Atomic bool s_journal; //  standard error is the journal
static _Atomic unsigned s_limit = UINT_MAX; //  lines of a kind
static _Atomic unsigned s_seen[LOG_KINDS]; //  since the last sum

//  The place of a name; `count` if it is not there.
static size_t s_find(const char *const *names, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    return i;
}

//  The service manager names, in the environment, the device and inode that it has made of standard error.
static bool s_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    char mine[64];
    if (!stream || fstat(STDERR_FILENO, &status) != 0)
        return false;
    snprintf(mine, sizeof mine, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, mine) == 0;
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
    s_journal = s_is_journal();
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
    if (s_journal)
        return (size_t)snprintf(line, PIPE_BUF, "%s", message);
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

//  Writes the message as a line without its end. Returns the size.
static size_t s_write_format(char line[PIPE_BUF], size_t level, char *message)
{
    char time[TIME_SIZE];
    s_write_time(time);
    size_t size = s_format ? s_json(line, time, s_levels[level], message) : 0;
    return size ? size : s_text(line, time, s_levels[level], message);
}

__attribute__((format(printf, 2, 0))) static void s_log(size_t level, const char *format,
                                                        va_list arguments)
{
    if (level > s_level)
        return;
    int saved = errno;
    char message[MESSAGE_SIZE], line[PRIORITY_SIZE + PIPE_BUF];
    s_write_message(message, format, arguments);
    size_t size = s_journal ? PRIORITY_SIZE : 0;
    memcpy(line, (char[]){'<', s_priorities[level], '>'}, size);
    size += s_write_format(line + size, level, message);
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

//  ---- what peers can provoke --------------------------------------------------------------------

void log_limit(unsigned lines)
{
    s_limit = lines;
}

void log_limited(log_kind_t kind, log_level_t level, const char *format, ...)
{
    if (level > s_level || atomic_fetch_add(&s_seen[kind], 1) >= s_limit)
        return;
    va_list arguments;
    va_start(arguments, format);
    s_log(level, format, arguments);
    va_end(arguments);
}

void log_sum_up(void)
{
    for (size_t kind = 0; kind < LOG_KINDS; kind++) {
        unsigned seen = atomic_exchange(&s_seen[kind], 0);
        if (seen > s_limit)
            log_warning("%u more lines about %s were left out", seen - s_limit, s_kinds[kind]);
    }
}
