//  seat.c - where an endpoint sits; see seat.h

#include "seat.h"

void seat_keep(seat_t *self, pipe_item_t *dispatch)
{
    dispatch->next = NULL;
    if (self->last)
        self->last->next = dispatch;
    else
        self->first = dispatch;
    self->last = dispatch;
}

pipe_item_t *seat_next(seat_t *self)
{
    pipe_item_t *first = self->first;
    if (first)
        self->first = first->next;
    if (!self->first)
        self->last = NULL;
    return first;
}

void seat_link(seat_t *self, seat_t **list)
{
    self->previous = NULL;
    self->next = *list;
    if (*list)
        (*list)->previous = self;
    *list = self;
}

void seat_unlink(seat_t *self, seat_t **list)
{
    if (self->previous)
        self->previous->next = self->next;
    else
        *list = self->next;
    if (self->next)
        self->next->previous = self->previous;
}
