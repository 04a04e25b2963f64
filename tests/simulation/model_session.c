//  model_session.c - receivers: attach, takeover, detach, who serves whom; see model.h

#include "model.h"
#include <string.h>

//  ---- effects -----------------------------------------------------------------------------------

model_effect_t *model_expect(model_t *self, effect_kind_t kind, uint32_t receiver)
{
    check(self->effect_count < MODEL_EFFECTS, "too many effects at once");
    model_effect_t *effect = &self->effects[self->effect_count++];
    *effect = (model_effect_t){.kind = kind, .receiver = receiver, .client = -1};
    if (kind == EFFECT_OPEN)
        effect->generation = self->receivers[receiver].generation;
    return effect;
}

static bool s_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

void model_expects(model_t *self, const model_effect_t *seen)
{
    for (uint32_t i = 0; i < self->effect_count; i++) {
        model_effect_t *effect = &self->effects[i];
        if (effect->kind != seen->kind || effect->receiver != seen->receiver ||
            effect->generation != seen->generation || effect->peer != seen->peer ||
            !s_same_text(effect->reason, seen->reason) || effect->client != seen->client ||
            position_compare(effect->position, seen->position) != 0)
            continue;
        *effect = self->effects[--self->effect_count];
        return;
    }
    check(false, "effect %d of receiver %u, client %d was not to come", seen->kind, seen->receiver,
          seen->client);
}

static void s_expect_detached(model_t *self, uint32_t receiver, int client, const char *reason)
{
    model_effect_t *effect = model_expect(self, EFFECT_DETACHED, receiver);
    effect->generation = self->receivers[receiver].generation;
    effect->peer = self->receivers[receiver].peer;
    effect->reason = reason;
    effect->client = client;
}

//  ---- who serves whom ---------------------------------------------------------------------------

bool model_is_served(const model_receiver_t *receiver)
{
    return receiver->state == MODEL_ATTACHED || receiver->state == MODEL_ROUTE;
}

uint64_t model_receiver_bytes(const model_t *self, uint32_t receiver)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        if (self->clients[i].exists && self->clients[i].receiver == receiver)
            bytes += model_kept_bytes(&self->clients[i]);
    return bytes;
}

static bool s_begins_with(const model_client_t *client, const char *prefix)
{
    size_t size = strlen(prefix);
    return size <= client->id_size && memcmp(client->id, prefix, size) == 0;
}

bool model_glob(const char *pattern, const uint8_t *id, size_t size)
{
    if (*pattern == '*')
        return model_glob(pattern + 1, id, size) || (size && model_glob(pattern, id + 1, size - 1));
    if (size == 0 || *pattern == '\0')
        return size == 0 && *pattern == '\0';
    return (*pattern == '?' || (uint8_t)*pattern == *id) &&
           model_glob(pattern + 1, id + 1, size - 1);
}

uint32_t model_resolve(const model_t *self, const model_client_t *client)
{
    uint32_t best = MODEL_NOBODY;
    size_t best_size = 0;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        for (uint32_t k = 0; k < self->receivers[i].prefix_count; k++) {
            const char *prefix = self->receivers[i].prefixes[k];
            if (!s_begins_with(client, prefix) ||
                (best != MODEL_NOBODY && strlen(prefix) <= best_size))
                continue;
            best = i;
            best_size = strlen(prefix);
        }
    for (uint32_t i = 0; i < self->settings->route_count && best == MODEL_NOBODY; i++)
        if (model_glob(self->settings->routes[i].match, client->id, client->id_size))
            best = MODEL_SLOTS + i;
    return best;
}

static void s_move(model_client_t *client, uint32_t to)
{
    if (client->receiver == to)
        return;
    model_restart(client);
    client->receiver = to;
}

static void s_take_over(model_t *self, uint32_t index, uint32_t to)
{
    model_client_t *client = &self->clients[index];
    if (client->receiver == to)
        return;
    if (self->receivers[client->receiver].state == MODEL_ATTACHED) {
        s_expect_detached(self, client->receiver, (int)index, "taken_over");
        self->counts.takeovers++;
    }
    s_move(client, to);
}

static uint32_t s_clients_of(const model_t *self, uint32_t receiver)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        count += self->clients[i].exists && self->clients[i].receiver == receiver;
    return count;
}

//  ---- sessions ----------------------------------------------------------------------------------

static void s_restart_clients(model_t *self, uint32_t receiver)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        if (self->clients[i].exists && self->clients[i].receiver == receiver)
            model_restart(&self->clients[i]);
}

void model_park(model_t *self, uint32_t index, const char *reason, int64_t now)
{
    model_receiver_t *receiver = &self->receivers[index];
    s_expect_detached(self, index, -1, reason);
    model_expect(self, EFFECT_CLOSE, index);
    receiver->state = MODEL_GONE;
    receiver->gone_at = now;
    receiver->address = NULL;
    s_restart_clients(self, index);
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        if (self->clients[i].receiver == index && self->clients[i].by_name)
            self->clients[i].active = now >> 20;
}

static void s_end(model_t *self, uint32_t index)
{
    model_receiver_t *receiver = &self->receivers[index];
    if (receiver->state == MODEL_ATTACHED)
        model_expect(self, EFFECT_CLOSE, index);
    *receiver = (model_receiver_t){.id = receiver->id};
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        model_client_t *client = &self->clients[i];
        if (!client->exists || client->receiver != index)
            continue;
        client->by_name = false;
        s_move(client, model_resolve(self, client));
    }
}

//  True if `a` makes room rather than `b`: it has no clients, or has been gone for longer; if there is
//  no other difference, it was made first.
static bool s_goes_before(const model_t *self, uint32_t a, uint32_t b)
{
    const model_receiver_t *left = &self->receivers[a], *right = &self->receivers[b];
    bool left_has = s_clients_of(self, a) > 0, right_has = s_clients_of(self, b) > 0;
    if (left_has != right_has)
        return right_has;
    if (left_has && left->gone_at != right->gone_at)
        return left->gone_at < right->gone_at;
    return left->made < right->made;
}

static bool s_drop_gone(model_t *self)
{
    uint32_t first = MODEL_NOBODY;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        if (self->receivers[i].state == MODEL_GONE &&
            (first == MODEL_NOBODY || s_goes_before(self, i, first)))
            first = i;
    if (first == MODEL_NOBODY)
        return false;
    s_end(self, first);
    return true;
}

static bool s_make_receiver(model_t *self, uint32_t index)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        count += self->receivers[i].state != MODEL_ABSENT;
    if (count >= self->settings->max_receivers && !s_drop_gone(self))
        return false;
    self->receivers[index].state = MODEL_GONE;
    self->receivers[index].made = self->made++;
    return true;
}

static void s_new_session(model_t *self, uint32_t index, uint64_t peer, bool ack_none)
{
    model_receiver_t *receiver = &self->receivers[index];
    receiver->state = MODEL_ATTACHED;
    receiver->generation = self->next_generation++;
    receiver->peer = peer;
    receiver->ack_none = ack_none;
    receiver->session_out = 0;
    model_expect(self, EFFECT_OPEN, index);
    s_restart_clients(self, index);
}

static uint32_t s_holder(const model_t *self, const char *address)
{
    for (uint32_t i = 0; i < MODEL_NOBODY; i++)
        if (s_same_text(self->receivers[i].address, address))
            return i;
    return MODEL_NOBODY;
}

bool model_attach(model_t *self, uint32_t index, const char *address, uint64_t peer, bool ack_none,
                  int64_t now, error_code_t *code)
{
    model_receiver_t *receiver = &self->receivers[index];
    uint32_t holder = s_holder(self, address);
    *code = holder >= MODEL_SLOTS ? ERROR_ENDPOINT_REFUSED : ERROR_OVERLOADED;
    if (holder != MODEL_NOBODY && holder >= MODEL_SLOTS)
        return false;
    if (receiver->state == MODEL_ABSENT && !s_make_receiver(self, index))
        return *code = ERROR_OVERLOADED, false;
    if (holder != MODEL_NOBODY && holder != index) {
        model_park(self, holder, "taken_over", now);
        self->counts.takeovers++;
    }
    bool same = receiver->state == MODEL_ATTACHED && holder == index && receiver->peer == peer &&
                receiver->ack_none == ack_none;
    if (!same && receiver->state == MODEL_ATTACHED)
        model_expect(self, EFFECT_CLOSE, index);
    receiver->address = address;
    if (!same)
        s_new_session(self, index, peer, ack_none);
    receiver->heard_at = now;
    self->counts.attaches++;
    return true;
}

//  ---- clients of a receiver ---------------------------------------------------------------------

static bool s_agree(model_t *self, model_client_t *client, position_t position, int64_t now)
{
    position_t released = {client->epoch, client->next_seq - 1};
    if (position_compare(position, client->acked_at) <= 0)
        return true;
    if (position_compare(position, released) <= 0) {
        model_cover(client, position);
        client->was_acked = true;
        return true;
    }
    if (client->was_acked)
        return false;
    model_jump(self, client, position, now);
    return true;
}

bool model_attach_client(model_t *self, uint32_t receiver, uint32_t index, position_t *position,
                         int64_t now)
{
    model_client_t *client = &self->clients[index];
    if (!model_make_client(self, index, now)) {
        *position = (position_t){0, 0};
        return false;
    }
    if (client->policy == MODEL_PASSTHROUGH) {
        s_take_over(self, index, receiver);
        client->by_name = true;
        return true;
    }
    if (!s_agree(self, client, *position, now)) {
        *position = (position_t){client->epoch, client->next_seq - 1};
        return false;
    }
    model_go_back(client);
    s_take_over(self, index, receiver);
    client->by_name = true;
    *position = client->acked_at;
    return true;
}

static void s_drop_prefix(model_receiver_t *receiver, const char *prefix)
{
    for (uint32_t i = 0; i < receiver->prefix_count; i++)
        if (s_same_text(receiver->prefixes[i], prefix)) {
            receiver->prefixes[i] = receiver->prefixes[--receiver->prefix_count];
            return;
        }
}

void model_attach_prefix(model_t *self, uint32_t receiver, const char *prefix)
{
    for (uint32_t i = 0; i < MODEL_SLOTS; i++)
        s_drop_prefix(&self->receivers[i], prefix);
    model_receiver_t *to = &self->receivers[receiver];
    check(to->prefix_count < MODEL_PREFIXES, "too many prefixes");
    to->prefixes[to->prefix_count++] = prefix;
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        if (self->clients[i].exists && !self->clients[i].by_name)
            s_take_over(self, i, model_resolve(self, &self->clients[i]));
}

void model_detach_client(model_t *self, uint32_t receiver, uint32_t index)
{
    model_client_t *client = &self->clients[index];
    if (!client->exists || client->receiver != receiver)
        return;
    client->by_name = false;
    s_move(client, model_resolve(self, client));
}

void model_detach(model_t *self, uint32_t receiver)
{
    s_end(self, receiver);
}
