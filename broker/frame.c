//  frame.c - frames: a ZeroMQ message with a count of its holders

#include "frame.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

frame_t *frame_new(zmq_msg_t *message)
{
    frame_t *self = malloc(sizeof *self);
    if (!self)
        return NULL;
    zmq_msg_init(&self->message);
    int rc = zmq_msg_move(&self->message, message);
    assert(rc == 0);
    (void)rc;
    self->refs = 1;
    self->publisher = 0;
    self->gauge = NULL;
    return self;
}

frame_t *frame_copy(const void *bytes, size_t size)
{
    frame_t *self = malloc(sizeof *self);
    if (!self)
        return NULL;
    if (zmq_msg_init_size(&self->message, size) == -1) {
        free(self);
        return NULL;
    }
    if (size)
        memcpy(zmq_msg_data(&self->message), bytes, size);
    self->refs = 1;
    self->publisher = 0;
    self->gauge = NULL;
    return self;
}

const uint8_t *frame_bytes(frame_t *self)
{
    return zmq_msg_data(&self->message);
}

size_t frame_size(const frame_t *self)
{
    return zmq_msg_size(&self->message);
}

void frame_count(frame_t *self, stats_t *gauge)
{
    assert(!self->gauge);
    self->gauge = gauge;
    stats_add(gauge, frame_size(self));
}

void frame_free(frame_t *self)
{
    assert(self->refs == 0);
    if (self->gauge)
        stats_add(self->gauge, -(uint64_t)frame_size(self));
    zmq_msg_close(&self->message);
    free(self);
}
