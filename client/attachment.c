/*  attachment.c - what a receiver asks for, and what of it is due */

#include "attachment_state.h"
#include <stdlib.h>
#include <string.h>

#define BEATS_MISSED 3 //  heartbeats without an answer until the generation is taken as lost

bool attachment_init(attachment_t *self)
{
    self->ask = calloc(1, sizeof *self->ask);
    return self->ask != NULL;
}

void attachment_fini(attachment_t *self)
{
    free(self->prefixes);
    free(self->ask);
}

//  ---- clients -----------------------------------------------------------------------------------

static void s_set_state(attachment_t *self, position_t *position, client_state_t state)
{
    self->client_count -= position->state == CLIENT_ATTACHED;
    self->client_count += state == CLIENT_ATTACHED;
    position->state = state;
}

void attachment_lose_generation(attachment_t *self)
{
    position_t *position, *next;
    self->generation = 0;
    self->ask->request_id = 0;
    self->first_request_id = self->last_request_id + 1;
    self->unanswered = 0;
    self->detach_all = false;
    HASH_ITER (hh, self->positions->table, position, next)
        position_enlist(position, position->state == CLIENT_ATTACHED ? &self->to_attach : NULL);
}

bool attachment_add_client(attachment_t *self, const void *id, size_t id_size, uint64_t epoch,
                           uint64_t seq)
{
    position_t *position = positions_get(self->positions, id, id_size);
    if (!position)
        return false;
    s_set_state(self, position, CLIENT_ATTACHED);
    position_set(position, epoch, seq);
    position->known = epoch || seq;
    position_enlist(position, &self->to_attach);
    return true;
}

void attachment_give_back(attachment_t *self, position_t *position)
{
    bool attached = self->generation && position->attached_in == self->generation;
    s_set_state(self, position, CLIENT_OUT);
    position_enlist(position, attached ? &self->to_detach : NULL);
}

void attachment_forget_all(attachment_t *self)
{
    position_t *position, *next;
    self->prefix_count = 0;
    HASH_ITER (hh, self->positions->table, position, next) {
        s_set_state(self, position, CLIENT_OUT);
        position->attached_in = 0;
        position_enlist(position, NULL);
    }
}

void attachment_remove_client(attachment_t *self, const void *id, size_t id_size)
{
    position_t *position = positions_find(self->positions, id, id_size);
    if (position)
        attachment_give_back(self, position);
}

void attachment_remove_all(attachment_t *self)
{
    attachment_forget_all(self);
    self->detach_all = self->generation || self->ask->request_id;
}

//  ---- prefixes ----------------------------------------------------------------------------------

attachment_prefix_t *attachment_find_prefix(const attachment_t *self, const void *prefix,
                                            size_t size)
{
    for (size_t i = 0; i < self->prefix_count; i++)
        if (self->prefixes[i].size == size &&
            (size == 0 || memcmp(self->prefixes[i].bytes, prefix, size) == 0))
            return &self->prefixes[i];
    return NULL;
}

bool attachment_add_prefix(attachment_t *self, const void *prefix, size_t size)
{
    if (attachment_find_prefix(self, prefix, size))
        return true;
    attachment_prefix_t *prefixes =
        realloc(self->prefixes, (self->prefix_count + 1) * sizeof *self->prefixes);
    if (!prefixes)
        return false;
    self->prefixes = prefixes;
    attachment_prefix_t *last = &prefixes[self->prefix_count++];
    *last = (attachment_prefix_t){.size = size};
    if (size)
        memcpy(last->bytes, prefix, size);
    return true;
}

void attachment_remove_prefix(attachment_t *self, attachment_prefix_t *prefix)
{
    *prefix = self->prefixes[--self->prefix_count];
}

attachment_prefix_t *attachment_prefix_to_attach(const attachment_t *self)
{
    for (size_t i = 0; i < self->prefix_count; i++)
        if (!self->generation || self->prefixes[i].attached_in != self->generation)
            return &self->prefixes[i];
    return NULL;
}

//  ---- what is due -------------------------------------------------------------------------------

bool attachment_is_wanted(const attachment_t *self)
{
    return self->client_count || self->prefix_count;
}

bool attachment_is_complete(const attachment_t *self)
{
    return self->generation && !self->ask->request_id && !self->to_attach &&
           !attachment_prefix_to_attach(self);
}

void attachment_beat(attachment_t *self, int64_t now)
{
    if (self->generation == 0 || now < self->beat_at)
        return;
    self->beat_at = now + self->heartbeat;
    if (self->unanswered++ < BEATS_MISSED)
        attachment_send_heartbeat(self);
    else
        attachment_lose_generation(self);
}

int64_t attachment_due_at(const attachment_t *self)
{
    int64_t at = self->generation ? self->beat_at : -1;
    return self->ask->request_id ? socket_earlier(at, self->ask->due) : at;
}
