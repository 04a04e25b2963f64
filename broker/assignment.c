//  assignment.c - to whom a client belongs: by name, by the longest prefix, by a route, or to nobody

#include "core_state.h"
#include <string.h>

receiver_t *assignment_resolve(core_t *self, const client_t *client)
{
    receiver_t *receiver = prefix_longest(self, client);
    if (!receiver)
        receiver = route_of(self, client);
    return receiver ? receiver : &self->nobody;
}

void assignment_move(core_t *self, client_t *client, receiver_t *to)
{
    if (client->receiver == to)
        return;
    redelivery_restart(self, client);
    receiver_unlink(client->receiver, client);
    receiver_link(to, client);
    delivery_offer(self, client);
}

static void s_take_over(core_t *self, client_t *client, receiver_t *to)
{
    if (client->receiver == to)
        return;
    if (client->receiver->kind == RECEIVER_ATTACHED) {
        effect_tell_detached(self, client->receiver, client, "taken_over");
        stats_add(&self->stats->takeovers, 1);
    }
    assignment_move(self, client, to);
}

//  Brings the client to where the receiver says that it is. Returns false if that is ahead of all
//  that was released, while the broker knows better. Passthrough has no positions: all are well.
static bool s_agree(core_t *self, client_t *client, position_t position, int64_t now)
{
    if (client_is(client, POLICY_PASSTHROUGH) || position_compare(position, client->acked) <= 0)
        return true;
    if (position_compare(position, client_released(client)) <= 0) {
        retention_cover(self, client, position);
        client->was_acked = true;
        change_position(self, client);
        return true;
    }
    if (client->was_acked)
        return false;
    gap_jump(self, client, position, now);
    return true;
}

bool core_attach_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                        position_t *position, int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = client_list_get(self, id, id_size, hash, true, now);
    if (!client) {
        *position = (position_t){0, 0};
        return false;
    }
    if (!s_agree(self, client, *position, now)) {
        *position = client_released(client);
        return false;
    }
    if (!client_is(client, POLICY_PASSTHROUGH)) {
        redelivery_go_back(self, client);
        *position = client->acked;
    }
    s_take_over(self, client, receiver);
    client->attached_by_name = true;
    delivery_offer(self, client);
    return true;
}

bool core_attach_prefix(core_t *self, receiver_t *receiver, const void *prefix, size_t size,
                        int64_t now)
{
    (void)now;
    if (prefix_holder(self, prefix, size) == receiver)
        return true;
    if (!prefix_give(self, receiver, prefix, size))
        return false;
    for (client_t *client = self->oldest; client; client = client->newer)
        if (!client->attached_by_name && size <= client->id_size &&
            (size == 0 || memcmp(client->id, prefix, size) == 0))
            s_take_over(self, client, assignment_resolve(self, client));
    return true;
}

void core_detach_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = client_list_get(self, id, id_size, hash, false, 0);
    if (!client || client->receiver != receiver)
        return;
    client->attached_by_name = false;
    assignment_move(self, client, assignment_resolve(self, client));
}

bool core_expel_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = client_list_get(self, id, id_size, hash, false, 0);
    if (!client || client->receiver != receiver || !client->attached_by_name ||
        prefix_covers(receiver, client))
        return false;
    effect_tell_detached(self, receiver, client, "asked");
    core_detach_client(self, receiver, id, id_size);
    return true;
}
