//  client_list.c - all clients, by when they were last looked at: finding, making, and forgetting them
//
//  A client of which nothing is kept may be forgotten: the one idle longest when room is needed for
//  another, and each when it was idle for long. The list is sorted by `listed`, which lags behind
//  `active`, so that a client that is busy is not moved with every event.

#include "core_state.h"
#include <stdlib.h>

#define EVICT_LOOKS 1024 //  clients looked at for one that can go, a turn

static void s_list(core_t *self, client_t *client)
{
    //  Sorted by `listed`; nearly always the place is at the end.
    client_t *after = self->newest;
    while (after && (int32_t)(after->listed - client->listed) > 0)
        after = after->older;
    client->older = after;
    client->newer = after ? after->newer : self->oldest;
    if (after)
        after->newer = client;
    else
        self->oldest = client;
    if (client->newer)
        client->newer->older = client;
    else
        self->newest = client;
}

static void s_unlist(core_t *self, client_t *client)
{
    if (client->older)
        client->older->newer = client->newer;
    else
        self->oldest = client->newer;
    if (client->newer)
        client->newer->older = client->older;
    else
        self->newest = client->older;
}

static void s_destroy(core_t *self, client_t *client)
{
    rule_drop(client->rule);
    client_destroy(&client, &self->slab);
}

static void s_drop_client(core_t *self, client_t *client)
{
    if (client->window_bytes)
        window_fini(&client->flow->window);
    stream_count_window(self, client);
    s_unlist(self, client);
    receiver_unlink(client->receiver, client);
    timer_disarm(&self->timers, &client->timer);
    change_forget(self, client);
    uint64_t hash = request_hash(self->settings.key, client->id, client->id_size);
    client_table_remove(&self->clients, hash, client);
    s_destroy(self, client);
    stats_set(&self->stats->clients, self->clients.count);
    stats_add(&self->stats->clients_evicted, 1);
}

//  True if the client may be forgotten. One that a receiver which is there has attached by name
//  stays: the attachment is kept in it.
static bool s_may_go(const client_t *client)
{
    return client_is_idle(client) &&
           !(client->attached_by_name && client->receiver->kind == RECEIVER_ATTACHED);
}

//  The client that was idle for longest, or NULL if none was found within some looks. A client that
//  was active since it was listed, or may not go, is listed anew.
static client_t *s_idlest(core_t *self, int64_t now)
{
    for (int i = 0; i < EVICT_LOOKS && self->oldest; i++) {
        client_t *client = self->oldest;
        bool idle = s_may_go(client);
        if (idle && client->active == client->listed)
            return client;
        s_unlist(self, client);
        client->listed = idle ? client->active : client_ms(now);
        if (!idle)
            client->active = client->listed;
        s_list(self, client);
    }
    return NULL;
}

static client_t *s_make_client(core_t *self, const void *id, size_t id_size, uint64_t hash,
                               int64_t now)
{
    if (self->clients.count >= self->settings.max_clients) {
        client_t *idlest = s_idlest(self, now);
        if (!idlest)
            return NULL;
        s_drop_client(self, idlest);
    }
    client_t *client = client_new(&self->slab, id, id_size, client_list_rule(self, id, id_size));
    if (!client || !client_table_add(&self->clients, hash, client)) {
        client_destroy(&client, &self->slab);
        return NULL;
    }
    rule_keep(client->rule);
    client->timer.kind = TIMER_CLIENT;
    client->active = client->listed = client_ms(now);
    s_list(self, client);
    receiver_link(assignment_resolve(self, client), client);
    change_position(self, client);
    stats_set(&self->stats->clients, self->clients.count);
    timer_arm(&self->timers, &self->idle_timer, now + self->settings.client_idle_timeout);
    return client;
}

client_t *client_list_get(core_t *self, const void *id, size_t id_size, uint64_t hash, bool make,
                          int64_t now)
{
    client_t *client = client_table_find(&self->clients, hash, id, id_size);
    return client || !make ? client : s_make_client(self, id, id_size, hash, now);
}

void client_list_drop_idle(core_t *self, int64_t now)
{
    int64_t timeout = self->settings.client_idle_timeout;
    uint32_t limit = client_ms(timeout);
    client_t *client;
    while ((client = s_idlest(self, now)) && client_ms(now) - client->listed >= limit)
        s_drop_client(self, client);
    if (!self->clients.count)
        return;
    uint32_t idle = client_ms(now) - self->oldest->listed;
    int64_t left = idle < limit ? (int64_t)(limit - idle + 1) << 20 : 1 << 20;
    timer_arm(&self->timers, &self->idle_timer, now + left);
}

void client_list_fini(core_t *self)
{
    while (self->oldest) {
        client_t *client = self->oldest;
        s_unlist(self, client);
        s_destroy(self, client);
    }
    client_table_fini(&self->clients);
}
