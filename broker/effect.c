//  effect.c - the queue of what the ordering core wants done or told; see core.h

#include "core_state.h"
#include <stdlib.h>
#include <string.h>

core_effect_t *effect_tell(core_t *self, effect_kind_t kind)
{
    if (self->effect_count == self->effect_capacity) {
        uint32_t capacity = self->effect_capacity ? self->effect_capacity * 2 : 16;
        core_effect_t *effects = malloc(capacity * sizeof *effects);
        if (!effects)
            abort();
        for (uint32_t i = 0; i < self->effect_count; i++)
            effects[i] = self->effects[(self->effect_head + i) % self->effect_capacity];
        free(self->effects);
        self->effects = effects;
        self->effect_capacity = capacity;
        self->effect_head = 0;
    }
    core_effect_t *effect =
        &self->effects[(self->effect_head + self->effect_count++) % self->effect_capacity];
    *effect = (core_effect_t){.kind = kind};
    return effect;
}

void effect_tell_detached(core_t *self, const receiver_t *receiver, const client_t *client,
                          const char *reason)
{
    core_effect_t *effect = effect_tell(self, EFFECT_DETACHED);
    effect->peer = receiver->peer;
    effect->generation = receiver->generation;
    effect->reason = reason;
    memcpy(effect->receiver_id, receiver->id, receiver->id_size);
    effect->receiver_id_size = receiver->id_size;
    if (client) {
        memcpy(effect->id, client->id, client->id_size);
        effect->id_size = client->id_size;
    }
}

bool core_effect(core_t *self, core_effect_t *effect)
{
    if (!self->effect_count)
        return false;
    *effect = self->effects[self->effect_head];
    self->effect_head = (self->effect_head + 1) % self->effect_capacity;
    self->effect_count--;
    return true;
}
