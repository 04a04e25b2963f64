//  inquiry.c - the way of a query to the orderer and back; see inquiry.h

#include "inquiry.h"
#include <poll.h>
#include <stdlib.h>

#define PATIENCE 2000 //  ms that who asks waits

struct inquiry {
    pipe_t *near, *far; //  who asks, who answers
    query_t *query;
    bool asked; //  near: the query is not there
    bool busy; //  far: it is here
};

inquiry_t *inquiry_new(void)
{
    inquiry_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
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

query_t *inquiry_query(inquiry_t *self)
{
    return s_take_back(self) ? self->query : NULL;
}

bool inquiry_ask(inquiry_t *self)
{
    self->asked = true;
    pipe_put(self->near, &self->query->item, 1);
    pipe_flush(self->near);
    int64_t end = pipe_clock() + PATIENCE * INT64_C(1000000), left;
    while (!s_take_back(self) && (left = end - pipe_clock()) > 0) {
        struct pollfd item = {.fd = pipe_descriptor(self->near), .events = POLLIN};
        if (pipe_begin_wait(self->near))
            poll(&item, 1, (int)(left / 1000000) + 1);
        pipe_end_wait(self->near, item.revents & POLLIN);
    }
    return !self->asked;
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
