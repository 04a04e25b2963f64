//  confirmation.c - publishers that want to be told when their pushes are delivered
//
//  Who is to be told stands in the frame that a push lies in, so a client of which nobody wants to
//  know costs nothing, and there are never more registrations than pushes kept. A push that another
//  publisher sends again is copied into a frame of its own to be registered anew.
//
//  A confirmation that waits to be taken is smaller than what its push was counted as, and until then
//  its client is not forgotten.

#include "core_state.h"
#include <stdlib.h>

#define LOOK_BACK 4 //  confirmations that may go on: of publishers that take turns in a stream
#define CAPACITY_KEPT 1024 //  of an array that is empty

static bool s_same_stream(const core_confirmation_t *a, const core_confirmation_t *b)
{
    return a->publisher == b->publisher && a->client == b->client &&
           a->position.epoch == b->position.epoch && a->given_up == b->given_up;
}

//  True if a confirmation of late now tells of this one, too.
static bool s_join(core_t *self, const core_confirmation_t *added)
{
    size_t count = self->confirmation_count;
    for (size_t i = 1; i <= LOOK_BACK && i <= count && !added->given_up; i++) {
        core_confirmation_t *at = &self->confirmations[count - i];
        if (!s_same_stream(at, added))
            continue;
        if (added->position.seq > at->position.seq)
            at->position = added->position;
        return true;
    }
    return false;
}

static bool s_grow(core_t *self)
{
    size_t capacity = self->confirmation_capacity ? self->confirmation_capacity * 2 : 64;
    core_confirmation_t *grown = realloc(self->confirmations, capacity * sizeof *grown);
    if (!grown)
        return false;
    self->confirmations = grown;
    self->confirmation_capacity = capacity;
    return true;
}

void confirmation_append(core_t *self, core_confirmation_t added)
{
    if (s_join(self, &added))
        return;
    //  The publisher sends again what it has not heard of.
    if (self->confirmation_count == self->confirmation_capacity && !s_grow(self))
        return;
    self->confirmations[self->confirmation_count++] = added;
    added.client->in_confirmation = true;
}

//  Registers the publisher of the batch for a push that is kept.
static bool s_register(core_t *self, frame_t **frame, const uint8_t **bytes, uint32_t size)
{
    if ((*frame)->publisher == self->publisher)
        return true;
    if ((*frame)->refs > 1 && !compaction_copy_out(self, frame, bytes, size))
        return false;
    (*frame)->publisher = self->publisher;
    return true;
}

bool confirmation_renew(core_t *self, client_t *client, uint64_t seq)
{
    uint64_t next = client->view.next_seq;
    if (seq >= next && window_holds(&client->flow->window, next, seq)) {
        window_place_t *place = window_at(&client->flow->window, next, seq);
        return s_register(self, &place->frame, &place->bytes, place->size);
    }
    retained_entry_t *entry = retained_find(&client->flow->retained, seq);
    if (entry)
        return s_register(self, &entry->frame, &entry->bytes, entry->size);
    position_t position = {client->epoch, seq};
    bool given_up = client_may_have_given_up(client, seq);
    confirmation_append(self, (core_confirmation_t){self->publisher, client, position, given_up});
    return true;
}

//  ---- taking them -------------------------------------------------------------------------------

//  By publisher, so that each gets one reply; then the positions of a stream next to each other.
static int s_compare(const void *left, const void *right)
{
    const core_confirmation_t *a = left, *b = right;
    if (a->publisher != b->publisher)
        return a->publisher < b->publisher ? -1 : 1;
    if (a->client != b->client)
        return (uintptr_t)a->client < (uintptr_t)b->client ? -1 : 1;
    if (a->given_up != b->given_up)
        return a->given_up ? 1 : -1;
    return position_compare(a->position, b->position);
}

//  True if the later one, which is not before it, says all that the earlier one does.
static bool s_covers(const core_confirmation_t *later, const core_confirmation_t *earlier)
{
    return s_same_stream(later, earlier) &&
           (!later->given_up || later->position.seq == earlier->position.seq);
}

static void s_shrink(core_t *self)
{
    free(self->confirmations);
    self->confirmations = NULL;
    self->confirmation_capacity = 0;
}

size_t core_confirmations(core_t *self, const core_confirmation_t **confirmations)
{
    core_confirmation_t *all = self->confirmations;
    size_t count = self->confirmation_count, kept = 0;
    if (!count && self->confirmation_capacity > CAPACITY_KEPT)
        s_shrink(self);
    if (count > 1)
        qsort(all, count, sizeof *all, s_compare);
    for (size_t i = 0; i < count; i++) {
        all[i].client->in_confirmation = false;
        if (i + 1 == count || !s_covers(&all[i + 1], &all[i]))
            all[kept++] = all[i];
    }
    self->confirmation_count = 0;
    *confirmations = self->confirmations;
    return kept;
}
