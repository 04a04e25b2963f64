/*  log.h - one line a message to standard error, as text or as JSON

    A line is written with one write, so lines of different threads do not mix. Nobody waits for the
    reader: a line that finds no room is dropped, and the next one says how many were. Modules return what
    went wrong; main and the actors log it. Any thread may log.                                   */

#ifndef SEQPUSH_LOG_H
#define SEQPUSH_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } log_level_t;

//  Sets level ("error", "warning", "info", "debug") and format ("text", "json") for the process.
//  Returns false and changes nothing if a name is not known. Main thread.
bool log_setup(const char *level, const char *format);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

//  How much of what peers can provoke is logged: some lines a second. Begins with zeros.
typedef struct {
    int64_t since; //  when the present second began
    unsigned count; //  in it
} log_limit_t;

//  True if one more line may be logged at monotonic ns `now`. The first of a second says how many
//  were left out in the one before. The owner's thread.
bool log_limit(log_limit_t *self, int64_t now);

#endif
