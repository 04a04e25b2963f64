//  pipe.c - an inproc pipe between two actors; see pipe.h

#include "pipe.h"
#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

//  What goes over the socket; small enough that libzmq keeps it inside its message struct.
typedef struct {
    pipe_item_t *first; //  NULL: nothing but credit
    int64_t sent_at;
    uint32_t weight; //  of the chain
    uint32_t credit; //  weight that the sender has worked through
} message_t;

//  libzmq hands the chain over behind fences that ThreadSanitizer cannot see, since Debian's build
//  is not instrumented; these two say so, and are nothing in any other build.
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define HANDED_OVER(item) __tsan_release(item)
#define TAKEN_OVER(item) __tsan_acquire(item)
#else
#define HANDED_OVER(item) (void)(item)
#define TAKEN_OVER(item) (void)(item)
#endif

struct pipe {
    zsock_t *socket;
    void *handle; //  the same, as libzmq knows it
    pipe_item_t *first;
    pipe_item_t *last;
    uint32_t waiting; //  weight of the chain to be flushed
    uint32_t taken; //  weight of the chain that is being worked through
    uint32_t due; //  credit to give back
    uint32_t capacity;
    int64_t under_way; //  weight that was sent and not given back as credit
};

int64_t pipe_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static pipe_t *s_end_new(uint32_t capacity)
{
    pipe_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->capacity = capacity;
    self->socket = zsock_new(ZMQ_PAIR);
    if (!self->socket) {
        free(self);
        return NULL;
    }
    self->handle = zsock_resolve(self->socket);
    zsock_set_sndhwm(self->socket, 0);
    zsock_set_rcvhwm(self->socket, 0);
    zsock_set_linger(self->socket, 0);
    return self;
}

int pipe_new(pipe_t **left, pipe_t **right, uint32_t capacity)
{
    static _Atomic unsigned number;
    assert(capacity > 1);
    *left = s_end_new(capacity);
    *right = *left ? s_end_new(capacity) : NULL;
    char address[32];
    snprintf(address, sizeof address, "inproc://pipe-%u", atomic_fetch_add(&number, 1));
    if (*right && zsock_bind((*left)->socket, "%s", address) == 0 &&
        zsock_connect((*right)->socket, "%s", address) == 0)
        return 0;
    int error = errno ? -errno : -ENOMEM;
    pipe_destroy(left);
    pipe_destroy(right);
    return error;
}

void pipe_destroy(pipe_t **self_p)
{
    pipe_t *self = *self_p;
    if (!self)
        return;
    zsock_destroy(&self->socket);
    free(self);
    *self_p = NULL;
}

bool pipe_has_credit(const pipe_t *self)
{
    return self->under_way + self->waiting < self->capacity;
}

void pipe_put(pipe_t *self, pipe_item_t *item, uint32_t weight)
{
    assert(weight > 0);
    item->next = NULL;
    if (self->last)
        self->last->next = item;
    else
        self->first = item;
    self->last = item;
    self->waiting += weight;
}

static void s_send(pipe_t *self)
{
    message_t message = {.first = self->first, .weight = self->waiting, .credit = self->due};
    message.sent_at = pipe_clock();
    HANDED_OVER(self->first);
    int rc = zmq_send(self->handle, &message, sizeof message, ZMQ_DONTWAIT);
    assert(rc >= 0);
    self->under_way += self->waiting;
    self->first = self->last = NULL;
    self->waiting = self->due = 0;
}

static void s_send_credit(pipe_t *self)
{
    message_t message = {.credit = self->due};
    int rc = zmq_send(self->handle, &message, sizeof message, ZMQ_DONTWAIT);
    assert(rc >= 0);
    self->due = 0;
}

void pipe_flush(pipe_t *self)
{
    if (self->first && self->under_way < self->capacity)
        s_send(self);
    else if (self->due >= self->capacity / 2)
        s_send_credit(self);
}

pipe_item_t *pipe_take(pipe_t *self, int64_t *waited)
{
    self->due += self->taken;
    self->taken = 0;
    if (self->due >= self->capacity / 2)
        s_send_credit(self);
    message_t message;
    while (zmq_recv(self->handle, &message, sizeof message, ZMQ_DONTWAIT) == sizeof message) {
        self->under_way -= message.credit;
        if (!message.first)
            continue;
        TAKEN_OVER(message.first);
        self->taken = message.weight;
        *waited = pipe_clock() - message.sent_at;
        return message.first;
    }
    return NULL;
}

pipe_item_t *pipe_empty(pipe_t *self)
{
    pipe_item_t *all = self->first, *chain;
    self->first = self->last = NULL;
    int64_t waited;
    while ((chain = pipe_take(self, &waited))) {
        pipe_item_t *last = chain;
        while (last->next)
            last = last->next;
        last->next = all;
        all = chain;
    }
    return all;
}

void pipe_hand_over(pipe_t *self)
{
    HANDED_OVER(self);
}

void pipe_take_over(pipe_t *self)
{
    TAKEN_OVER(self);
}

void *pipe_socket(const pipe_t *self)
{
    return self->handle;
}
