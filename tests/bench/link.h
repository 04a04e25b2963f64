/*  link.h - a TCP connection to a counterpart, with room on both sides

    What is written gathers until it is flushed, what comes is read in large pieces: that is how a
    client pipelines. Nothing blocks but link_wait. */

#ifndef SEQPUSH_LINK_H
#define SEQPUSH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *bytes;
    size_t begin, end, room; //  what is in it lies between begin and end
} link_buffer_t;

typedef struct {
    int fd;
    bool broken; //  the other side is gone, or there is no memory
    link_buffer_t out, in;
} link_t;

//  Connects to ADDRESS:PORT. False with errno set if that fails; link_close is good then, too.
bool link_open(link_t *self, const char *address);
void link_close(link_t *self);

//  Adds bytes to what is to be written: as they are, decimal, or formatted, which is for what is
//  seldom and short.
void link_put(link_t *self, const void *bytes, size_t size);
void link_text(link_t *self, const char *text);
void link_number(link_t *self, size_t number);
void link_print(link_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

//  Writes what the connection takes. True if all is written.
bool link_flush(link_t *self);

//  Waits for something to read, or for room if there is something to write.
void link_wait(const link_t *self, int timeout_ms);

//  Reads what has come, up to a large piece. True if there was any.
bool link_read(link_t *self);

#endif
