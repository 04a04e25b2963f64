//  unread.c - the bytes of replies that a peer has not read; see unread.h

#include "unread.h"
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>

//  What a reply costs beside its bytes: libzmq's and malloc's own.
#define OVERHEAD 128

struct unread {
    atomic_size_t bytes; //  with the overhead
    atomic_size_t users; //  the peer, and each reply
};

unread_t *unread_new(void)
{
    unread_t *self = calloc(1, sizeof *self);
    if (self)
        atomic_init(&self->users, 1);
    return self;
}

static void s_release(unread_t *self)
{
    if (atomic_fetch_sub(&self->users, 1) == 1)
        free(self);
}

void unread_destroy(unread_t **self_p)
{
    if (*self_p)
        s_release(*self_p);
    *self_p = NULL;
}

static size_t s_cost(uint8_t *bytes)
{
    return malloc_usable_size(bytes) + OVERHEAD;
}

//  ZeroMQ lets go of a reply. Any thread.
static void s_done(void *data, void *hint)
{
    unread_t *self = hint;
    atomic_fetch_sub(&self->bytes, s_cost(data));
    s_release(self);
    free(data);
}

bool unread_message(unread_t *self, zmq_msg_t *message, uint8_t *bytes, size_t size, size_t max)
{
    size_t cost = s_cost(bytes);
    if (atomic_load(&self->bytes) + cost > max ||
        zmq_msg_init_data(message, bytes, size, s_done, self) != 0) {
        free(bytes);
        return false;
    }
    atomic_fetch_add(&self->bytes, cost);
    atomic_fetch_add(&self->users, 1);
    return true;
}
