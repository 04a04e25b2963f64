//  client.c - one client; see client.h

#include "client.h"
#include <stdlib.h>
#include <string.h>

client_t *client_new(const void *id, size_t id_size, uint64_t hash, const rule_t *rule)
{
    uint64_t first_seq = rule->settings.first_seq;
    client_t *self = calloc(1, client_state_offset(id_size) + rule->policy->state_size);
    if (!self)
        return NULL;
    self->rule = rule;
    self->hash = hash;
    self->view = (policy_view_t){.next_seq = first_seq, .window = rule->settings.window};
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

static uint32_t s_known(const client_gaps_t *gaps)
{
    return gaps->count < CLIENT_GAPS ? gaps->count : CLIENT_GAPS;
}

//  Adds from..to to the youngest gap remembered that it touches. Returns false if there is none.
static bool s_widen(client_gaps_t *gaps, uint64_t from, uint64_t to)
{
    for (uint32_t i = 1; i <= s_known(gaps); i++) {
        uint32_t place = (gaps->count - i) % CLIENT_GAPS;
        if (from > gaps->ranges[place].to + 1 || to + 1 < gaps->ranges[place].from)
            continue;
        if (from < gaps->ranges[place].from)
            gaps->ranges[place].from = from;
        if (to > gaps->ranges[place].to)
            gaps->ranges[place].to = to;
        return true;
    }
    return false;
}

void client_note_gap(client_t *self, uint64_t from, uint64_t to)
{
    if (self->gaps && s_widen(self->gaps, from, to))
        return;
    //  Without memory a late push is told DUPLICATE, which keeps it out just as well.
    if (!self->gaps && !(self->gaps = calloc(1, sizeof *self->gaps)))
        return;
    uint32_t place = self->gaps->count++ % CLIENT_GAPS;
    if (self->gaps->ranges[place].to > self->gaps->forgotten_to)
        self->gaps->forgotten_to = self->gaps->ranges[place].to;
    self->gaps->ranges[place].from = from;
    self->gaps->ranges[place].to = to;
}

bool client_gave_up(const client_t *self, uint64_t seq)
{
    if (!self->gaps)
        return false;
    for (uint32_t i = 0; i < s_known(self->gaps); i++)
        if (seq >= self->gaps->ranges[i].from && seq <= self->gaps->ranges[i].to)
            return true;
    return false;
}

bool client_may_have_given_up(const client_t *self, uint64_t seq)
{
    return client_gave_up(self, seq) || (self->gaps && seq <= self->gaps->forgotten_to);
}
