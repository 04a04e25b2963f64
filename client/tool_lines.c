/*  tool_lines.c - reads lines of any bytes from a descriptor, with bounds on memory and on waiting

    Neither stdio nor a library has both: a line that is longer than a limit must not be loaded, and
    while a pipe has nothing new the caller has replies to take in. */

#include "tool.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_FIRST 65536

struct tool_lines {
    int fd;
    size_t limit;
    char *buffer;
    size_t room;
    size_t start, scanned, end; //  the line in hand starts at start; no newline before scanned
    bool passing_over; //  the line in hand is longer than the limit
    bool ended;
};

tool_lines_t *tool_lines_new(int fd, size_t limit)
{
    tool_lines_t *self = calloc(1, sizeof *self);
    char *buffer = malloc(ROOM_FIRST);
    if (!self || !buffer) {
        free(self);
        free(buffer);
        return NULL;
    }
    *self = (tool_lines_t){.fd = fd, .limit = limit, .buffer = buffer, .room = ROOM_FIRST};
    return self;
}

void tool_lines_destroy(tool_lines_t **self_p)
{
    if (*self_p)
        free((*self_p)->buffer);
    free(*self_p);
    *self_p = NULL;
}

//  Ends the line in hand at `end`, in front of `next`.
static tool_lines_result_t s_take(tool_lines_t *self, size_t end, size_t next, const char **line,
                                  size_t *size)
{
    bool too_long = self->passing_over || end - self->start > self->limit;
    *line = self->buffer + self->start;
    *size = end - self->start;
    self->start = self->scanned = next;
    self->passing_over = false;
    return too_long ? LINES_TOO_LONG : LINES_LINE;
}

//  Makes room behind what there is, and drops what is known to be too long.
static bool s_make_room(tool_lines_t *self)
{
    if (self->passing_over || self->end - self->start > self->limit) {
        self->passing_over = true;
        self->start = self->end;
    }
    memmove(self->buffer, self->buffer + self->start, self->end - self->start);
    self->end -= self->start;
    self->start = 0;
    self->scanned = self->end;
    if (self->end < self->room)
        return true;
    char *buffer = realloc(self->buffer, self->room * 2);
    if (!buffer)
        return false;
    self->buffer = buffer;
    self->room *= 2;
    return true;
}

//  Reads more, if it comes in time.
static tool_lines_result_t s_read(tool_lines_t *self, int timeout_ms)
{
    struct pollfd input = {.fd = self->fd, .events = POLLIN};
    int ready = poll(&input, 1, timeout_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR))
        return LINES_WAIT;
    ssize_t got = ready < 0 ? -1 : read(self->fd, self->buffer + self->end, self->room - self->end);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN ? LINES_WAIT : LINES_FAILED;
    self->ended = got == 0;
    self->end += (size_t)got;
    return LINES_LINE;
}

static tool_lines_result_t s_end(tool_lines_t *self, const char **line, size_t *size)
{
    bool rest = self->passing_over || self->end > self->start;
    return rest ? s_take(self, self->end, self->end, line, size) : LINES_END;
}

tool_lines_result_t tool_lines_next(tool_lines_t *self, int timeout_ms, const char **line,
                                    size_t *size)
{
    for (;;) {
        const char *from = self->buffer + self->scanned;
        const char *newline = memchr(from, '\n', self->end - self->scanned);
        if (newline) {
            size_t end = (size_t)(newline - self->buffer);
            return s_take(self, end, end + 1, line, size);
        }
        self->scanned = self->end;
        if (self->ended)
            return s_end(self, line, size);
        if (!s_make_room(self))
            return LINES_FAILED;
        tool_lines_result_t result = s_read(self, timeout_ms);
        if (result != LINES_LINE)
            return result;
    }
}
