/*  log.h - one line a message to standard error, as text or as JSON

    A line is written with one write, so lines of different threads do not mix. Nobody waits for the
    reader: a line that finds no room is dropped, and the next one says how many were. Modules return what
    went wrong; main and the actors log it. Any thread may log.

    What a peer can provoke is logged with log_limited: so many lines a second of each kind, and then one
    that says how many more there were. Nobody outside can fill the disk, or hide a line among others.

    If standard error is the journal, each line begins with its priority in angle brackets, and text has
    neither time nor level, which the journal has.                                                */

#ifndef SEQPUSH_LOG_H
#define SEQPUSH_LOG_H

#include <stdbool.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } log_level_t;

//  What peers can provoke.
typedef enum {
    LOG_GAPS, //  holes that stay open
    LOG_EXPIRIES, //  pushes given up
    LOG_ENDPOINTS, //  endpoints that are opened, or cannot be
    LOG_STRANGERS, //  peers that may not connect
    LOG_DENIALS, //  what a key asked for and may not have
    LOG_HTTP, //  what is wrong with http connections
    LOG_KINDS
} log_kind_t;

//  Sets level ("error", "warning", "info", "debug") and format ("text", "json") for the process.
//  Returns false and changes nothing if a name is not known. Main thread.
bool log_setup(const char *level, const char *format);

//  Sets how many lines of each kind log_limited writes from one log_sum_up to the next. Main thread.
void log_limit(unsigned lines);

//  Logs how many lines of each kind were left out since the last call, if any were. Main thread, once
//  a second.
void log_sum_up(void);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

//  Logs unless there were too many of this kind.
void log_limited(log_kind_t kind, log_level_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
