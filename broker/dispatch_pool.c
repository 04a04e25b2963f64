//  dispatch_pool.c - dispatches kept for the next time; see dispatch_pool.h

#include "dispatch_pool.h"
#include <stdlib.h>

#define KEPT_MAX 1024 //  dispatches

static dispatch_t *s_unchain(dispatch_pool_t *self)
{
    dispatch_t *first = self->first;
    self->first = (dispatch_t *)first->item.next;
    self->count--;
    return first;
}

dispatch_t *dispatch_pool_take(dispatch_pool_t *self)
{
    dispatch_t *dispatch =
        self->first ? s_unchain(self)
                    : malloc(sizeof *dispatch + self->entries * sizeof dispatch->entries[0]);
    if (dispatch)
        *dispatch = (dispatch_t){0};
    return dispatch;
}

void dispatch_pool_give(dispatch_pool_t *self, dispatch_t *dispatch)
{
    if (self->count >= KEPT_MAX) {
        free(dispatch);
        return;
    }
    dispatch->item.next = (pipe_item_t *)self->first;
    self->first = dispatch;
    self->count++;
}

void dispatch_pool_fini(dispatch_pool_t *self)
{
    while (self->first)
        free(s_unchain(self));
}
