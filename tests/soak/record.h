/*  record.h - what the soak's publishers and receivers write down, and the payloads they exchange

    A record is a log that survives the death of its process at any instruction: lines are written
    into a shared mapping of the file, and a line counts once its newline is there. So a line that
    is written before a push is acknowledged is there if the push was. The lines are described in
    checker.py, which reads them.

    A payload is the keyed hash of the push's name, "CLIENT SEQ", over and over. */

#ifndef RECORD_H
#define RECORD_H

#include <seqpush.h>

//  Bytes of the hash; the least payload there is.
#define RECORD_HASH 16

//  Bytes of a line at most: a client's id, two numbers, a tag.
#define RECORD_LINE 160

typedef struct {
    int fd;
    char *bytes;
    size_t size; //  mapped; NUL from `end` on
    size_t end; //  of the last whole line
} record_t;

//  Opens the log at `path`, new or behind what is in it. Returns 0 or a negative errno.
int record_open(record_t *self, const char *path);

//  Cuts off the room that was not used, and closes. Takes one that failed to open.
void record_close(record_t *self);

//  Writes a line; the format has no newline. Ends the process if the disk is full: a soak that
//  cannot write down what happens is void.
void record_write(record_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

//  Writes that a push was taken, with the tag of its payload.
void record_taken(record_t *self, const seqpush_push_t *push);

//  Fills the payload of a push, whose id and seq are set.
void record_fill(const seqpush_push_t *push, uint8_t *payload);

//  Monotonic time in ns.
int64_t record_clock(void);

#endif
