/*  link.c - a TCP connection to a counterpart, with room on both sides */

#include "link.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10) //  bytes that are read at a time
#define LINE_MAX_SIZE 512

bool link_open(link_t *self, const char *address)
{
    char host[INET_ADDRSTRLEN] = "";
    unsigned port = 0;
    *self = (link_t){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (sscanf(address, "%15[0-9.]:%u", host, &port) != 2) {
        errno = EINVAL;
        return false;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    if (self->fd == -1 || connect(self->fd, (struct sockaddr *)&to, sizeof to) == -1)
        return false;
    return setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0;
}

void link_close(link_t *self)
{
    if (self->fd != -1)
        close(self->fd);
    free(self->out.bytes);
    free(self->in.bytes);
    *self = (link_t){.fd = -1};
}

//  Makes room for `size` bytes behind what is in it.
static bool s_reserve(link_buffer_t *self, size_t size)
{
    if (self->room - self->end >= size)
        return true;
    if (self->begin)
        memmove(self->bytes, self->bytes + self->begin, self->end - self->begin);
    self->end -= self->begin;
    self->begin = 0;
    size_t room = self->room ? self->room : PIECE;
    while (room - self->end < size)
        room *= 2;
    uint8_t *bytes = room > self->room ? realloc(self->bytes, room) : self->bytes;
    if (!bytes)
        return false;
    self->bytes = bytes;
    self->room = room;
    return true;
}

void link_put(link_t *self, const void *bytes, size_t size)
{
    if (!s_reserve(&self->out, size)) {
        self->broken = true;
        return;
    }
    memcpy(self->out.bytes + self->out.end, bytes, size);
    self->out.end += size;
}

void link_text(link_t *self, const char *text)
{
    link_put(self, text, strlen(text));
}

void link_number(link_t *self, size_t number)
{
    char digits[20], *at = digits + sizeof digits;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    link_put(self, at, (size_t)(digits + sizeof digits - at));
}

void link_print(link_t *self, const char *format, ...)
{
    char line[LINE_MAX_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    self->broken |= size < 0 || size >= LINE_MAX_SIZE;
    if (!self->broken)
        link_put(self, line, (size_t)size);
}

//  What a call to read or write returned. True if it did something.
static bool s_moved(link_t *self, ssize_t size)
{
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        self->broken = true;
    return size > 0;
}

bool link_flush(link_t *self)
{
    link_buffer_t *out = &self->out;
    while (out->begin < out->end && !self->broken) {
        ssize_t size = send(self->fd, out->bytes + out->begin, out->end - out->begin,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (!s_moved(self, size))
            return false;
        out->begin += (size_t)size;
    }
    out->begin = out->end = 0;
    return true;
}

void link_wait(const link_t *self, int timeout_ms)
{
    short events = POLLIN;
    if (self->out.begin < self->out.end)
        events |= POLLOUT;
    poll(&(struct pollfd){.fd = self->fd, .events = events}, 1, timeout_ms);
}

bool link_read(link_t *self)
{
    link_buffer_t *in = &self->in;
    if (!s_reserve(in, PIECE)) {
        self->broken = true;
        return false;
    }
    ssize_t size = recv(self->fd, in->bytes + in->end, in->room - in->end, MSG_DONTWAIT);
    if (!s_moved(self, size))
        return false;
    in->end += (size_t)size;
    return true;
}
