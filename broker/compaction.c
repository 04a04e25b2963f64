//  compaction.c - a push that outlives the others of its frame is copied out of it
//
//  A kept push holds the whole frame that it came in, while the bounds count the push alone. So the
//  frames are counted too, and may have twice the bytes that the bounds count, and an eighth of
//  ordering/memory_max. While they have more, every push that is taken is copied at once, and a walk
//  over the clients copies out what lies in a frame that is more than twice as large as all that is
//  kept in it.
//
//  The bound, then. Frames that are shared are only added below the line, so they never take more
//  than two and an eighth times ordering/memory_max, and the one frame that crossed the line; what has
//  a frame of its own never takes more than is counted, which is ordering/memory_max. When the walk
//  has been round they are below the line again. What comes on top are the frames that workers have:
//  those of sixteen dispatches a session.

#include "core_state.h"

#define EVERY 1000000000 //  ns between looks, and between rounds of the walk
#define STEP 1000000 //  ns between the steps of a round
#define LOOKS 2048 //  slots, and pushes, that a step looks at

bool compaction_is_due(const core_t *self)
{
    return stats_get(&self->stats->frame_bytes) >
           2 * self->kept_bytes + self->settings.memory_max / 8;
}

void compaction_add(core_t *self, frame_t *frame, int64_t now)
{
    frame_count(frame, &self->stats->frame_bytes);
    timer_arm(&self->timers, &self->compaction_timer, now + EVERY);
}

bool compaction_copy_out(core_t *self, frame_t **frame, const uint8_t **bytes, uint32_t size)
{
    frame_t *copy = frame_copy(*bytes, size);
    if (!copy)
        return false;
    copy->publisher = (*frame)->publisher;
    frame_count(copy, &self->stats->frame_bytes);
    frame_unref(*frame);
    *frame = copy;
    *bytes = frame_bytes(copy);
    return true;
}

//  Copies a push out if its frame is larger than twice what is kept there, were all as large as this
//  one. Small ones go before large ones, so in the end what stays in a frame is half of it.
static bool s_copy_out(core_t *self, frame_t **frame, const uint8_t **bytes, uint32_t size)
{
    uint64_t kept = (uint64_t)(*frame)->refs * (size + CLIENT_PUSH_COST);
    return frame_size(*frame) <= 2 * kept || compaction_copy_out(self, frame, bytes, size);
}

//  Returns how many pushes it has looked at; when there is no memory it leaves the rest as it is.
static uint32_t s_compact(core_t *self, client_t *client)
{
    uint32_t looked = 0;
    for (uint32_t i = 0; i < client->flow->window.capacity; i++, looked++) {
        window_place_t *place = &client->flow->window.places[i];
        if (place->frame && !s_copy_out(self, &place->frame, &place->bytes, place->size))
            return looked;
    }
    for (uint32_t i = 0; i < client->flow->retained.count; i++, looked++) {
        retained_entry_t *entry = retained_at(&client->flow->retained, i);
        if (entry->kind == RETAINED_PUSH &&
            !s_copy_out(self, &entry->frame, &entry->bytes, entry->size))
            return looked;
    }
    return looked;
}

void compaction_due(core_t *self, int64_t now)
{
    if (!stats_get(&self->stats->frame_bytes))
        return;
    const client_table_t *clients = &self->clients;
    size_t slots = clients->slots ? clients->mask + 1 : 0;
    bool due = compaction_is_due(self);
    for (uint32_t looked = 0; due && self->compaction_at < slots && looked < LOOKS; looked++) {
        client_t *client = clients->slots[self->compaction_at++].client;
        if (client)
            looked += s_compact(self, client);
    }
    bool round = !due || self->compaction_at >= slots;
    if (round)
        self->compaction_at = 0;
    timer_arm(&self->timers, &self->compaction_timer, now + (round ? EVERY : STEP));
}
