//  inquiry.c - the way of a query to the orderer and back; see inquiry.h

#include "inquiry.h"
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_SECOND 1000000000

struct inquiry {
    pthread_mutex_t lock; //  of the next two
    pthread_cond_t free; //  it is not taken
    bool taken; //  somebody's turn to ask
    pipe_t *near, *far; //  who asks, who answers
    query_t *query;
    bool asked; //  near: the query is not there
    bool busy; //  far: it is here
};

//  Waits are not to notice when somebody sets the clock.
static void s_init_turns(inquiry_t *self)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&self->free, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&self->lock, NULL);
}

inquiry_t *inquiry_new(void)
{
    inquiry_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    s_init_turns(self);
    self->query = calloc(1, sizeof *self->query);
    if (!self->query || pipe_new(&self->near, &self->far, 2) < 0)
        inquiry_destroy(&self);
    return self;
}

void inquiry_destroy(inquiry_t **self_p)
{
    inquiry_t *self = *self_p;
    if (!self)
        return;
    pipe_destroy(&self->near);
    pipe_destroy(&self->far);
    pthread_cond_destroy(&self->free);
    pthread_mutex_destroy(&self->lock);
    free(self->query);
    free(self);
    *self_p = NULL;
}

//  ---- who asks ----------------------------------------------------------------------------------

static bool s_take_back(inquiry_t *self)
{
    int64_t waited;
    if (self->asked && pipe_take(self->near, &waited))
        self->asked = false;
    return !self->asked;
}

static bool s_wait(inquiry_t *self, int64_t end)
{
    int64_t left;
    while (!s_take_back(self) && (left = end - pipe_clock()) > 0) {
        zmq_pollitem_t items[1];
        pipe_wait(&self->near, 1, items, 0, (long)((left + 999999) / 1000000));
    }
    return !self->asked;
}

static bool s_take_turn(inquiry_t *self, int64_t end)
{
    struct timespec until = {end / NS_PER_SECOND, end % NS_PER_SECOND};
    int error = 0;
    pthread_mutex_lock(&self->lock);
    while (self->taken && !error)
        error = pthread_cond_timedwait(&self->free, &self->lock, &until);
    if (!error)
        self->taken = true;
    pthread_mutex_unlock(&self->lock);
    return !error;
}

query_t *inquiry_begin(inquiry_t *self, int64_t end)
{
    if (!s_take_turn(self, end))
        return NULL;
    if (s_wait(self, end))
        return self->query;
    inquiry_end(self);
    return NULL;
}

bool inquiry_ask(inquiry_t *self, int64_t end)
{
    self->asked = true;
    pipe_put(self->near, &self->query->item, 1);
    pipe_flush(self->near);
    return s_wait(self, end);
}

void inquiry_end(inquiry_t *self)
{
    pthread_mutex_lock(&self->lock);
    self->taken = false;
    pthread_cond_signal(&self->free);
    pthread_mutex_unlock(&self->lock);
}

//  ---- who answers -------------------------------------------------------------------------------

bool inquiry_answer(inquiry_t *self, const core_t *core, int64_t now)
{
    int64_t waited;
    if (!self->busy && !pipe_take(self->far, &waited))
        return false;
    if (!self->busy)
        query_begin(self->query, now);
    self->busy = !query_go_on(self->query, core, now);
    if (!self->busy) {
        pipe_put(self->far, &self->query->item, 1);
        pipe_flush(self->far);
    }
    return true;
}

pipe_t *inquiry_pipe(const inquiry_t *self)
{
    return self->far;
}
