//  client.c - one client; see client.h

#include "client.h"
#include <stdlib.h>
#include <string.h>

client_t *client_new(const void *id, size_t id_size, uint64_t hash, const policy_t *policy,
                     uint32_t window, uint64_t first_seq)
{
    client_t *self = calloc(1, client_state_offset(id_size) + policy->state_size);
    if (!self)
        return NULL;
    self->policy = policy;
    self->hash = hash;
    self->view = (policy_view_t){.next_seq = first_seq, .window = window};
    self->acked = (position_t){0, first_seq - 1};
    self->marker_due = true;
    self->id_size = (uint8_t)id_size;
    memcpy(self->id, id, id_size);
    return self;
}

void client_destroy(client_t **self_p)
{
    client_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t i = 0; i < self->window.capacity; i++)
        if (self->window.places[i].frame)
            frame_unref(self->window.places[i].frame);
    for (uint32_t i = 0; i < self->retained.count; i++)
        frame_unref(retained_at(&self->retained, i)->frame);
    window_fini(&self->window);
    retained_fini(&self->retained);
    free(self->gaps);
    free(self);
    *self_p = NULL;
}

void client_note_gap(client_t *self, uint64_t from, uint64_t to)
{
    //  Without memory a late push is told DUPLICATE, which keeps it out just as well.
    if (!self->gaps && !(self->gaps = calloc(1, sizeof *self->gaps)))
        return;
    uint32_t place = self->gaps->count++ % CLIENT_GAPS;
    self->gaps->ranges[place].from = from;
    self->gaps->ranges[place].to = to;
}

bool client_gave_up(const client_t *self, uint64_t seq)
{
    if (!self->gaps)
        return false;
    uint32_t known = self->gaps->count < CLIENT_GAPS ? self->gaps->count : CLIENT_GAPS;
    for (uint32_t i = 0; i < known; i++)
        if (seq >= self->gaps->ranges[i].from && seq <= self->gaps->ranges[i].to)
            return true;
    return false;
}
