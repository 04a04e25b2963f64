//  session.c - receivers of the ordering core: attach, detach, takeover, and to whom a client
//  belongs

#include "core_state.h"
#include "glob.h"
#include <stdlib.h>
#include <string.h>

#define CLOSING_MAX 1024 //  endpoints that are being closed; beyond, an Attach is OVERLOADED

//  ---- finding receivers -------------------------------------------------------------------------

//  uthash with the keyed hash: ids and addresses are named by peers.
static unsigned s_hash(const core_t *self, const void *key, size_t size)
{
    return (unsigned)request_hash(self->settings.key, key, size);
}

static receiver_t *s_by_id(const core_t *self, const void *id, size_t id_size)
{
    receiver_t *found = NULL;
    unsigned hash = s_hash(self, id, id_size);
    HASH_FIND_BYHASHVALUE(by_id, self->by_id, id, id_size, hash, found);
    return found;
}

static receiver_t *s_by_address(const core_t *self, const char *address)
{
    receiver_t *found = NULL;
    size_t size = strlen(address);
    unsigned hash = s_hash(self, address, size);
    HASH_FIND_BYHASHVALUE(by_address, self->by_address, address, size, hash, found);
    return found;
}

static bool s_set_address(core_t *self, receiver_t *receiver, const char *address)
{
    char *copy = strdup(address);
    if (!copy)
        return false;
    size_t size = strlen(copy);
    unsigned hash = s_hash(self, copy, size);
    receiver->address = copy;
    HASH_ADD_KEYPTR_BYHASHVALUE(by_address, self->by_address, copy, size, hash, receiver);
    return true;
}

static void s_clear_address(core_t *self, receiver_t *receiver)
{
    if (!receiver->address)
        return;
    HASH_DELETE(by_address, self->by_address, receiver);
    free(receiver->address);
    receiver->address = NULL;
}

receiver_t *core_receiver(core_t *self, const void *id, size_t id_size)
{
    receiver_t *receiver = s_by_id(self, id, id_size);
    return receiver && receiver->kind == RECEIVER_ATTACHED ? receiver : NULL;
}

void core_heard(receiver_t *receiver, int64_t now)
{
    receiver->heard_at = now;
}

//  ---- to whom a client belongs ------------------------------------------------------------------

//  The receiver's longest prefix that the client begins with, or NULL.
static const receiver_prefix_t *s_prefix_of(const receiver_t *receiver, const client_t *client)
{
    const receiver_prefix_t *best = NULL;
    for (uint32_t i = 0; i < receiver->prefix_count; i++) {
        const receiver_prefix_t *at = &receiver->prefixes[i];
        if (at->size <= client->id_size && memcmp(at->bytes, client->id, at->size) == 0 &&
            (!best || at->size > best->size))
            best = at;
    }
    return best;
}

receiver_t *session_resolve(core_t *self, const client_t *client)
{
    receiver_t *best = NULL;
    const receiver_prefix_t *longest = NULL;
    for (receiver_t *at = self->prefixes ? self->by_id : NULL; at; at = at->by_id.next) {
        const receiver_prefix_t *prefix = s_prefix_of(at, client);
        if (prefix && (!longest || prefix->size > longest->size)) {
            best = at;
            longest = prefix;
        }
    }
    for (size_t i = 0; !best && i < self->route_count; i++)
        if (glob_match(self->routes[i].match, client->id, client->id_size))
            best = self->routes[i].receiver;
    return best ? best : &self->nobody;
}

static void s_tell_detached(core_t *self, const receiver_t *receiver, const client_t *client,
                            const char *reason)
{
    core_effect_t *effect = core_tell(self, EFFECT_DETACHED);
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

//  Moves a client to another receiver, which starts it anew.
static void s_move(core_t *self, client_t *client, receiver_t *to)
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
        s_tell_detached(self, client->receiver, client, "taken_over");
        stats_add(&self->stats->takeovers, 1);
    }
    s_move(self, client, to);
}

//  ---- sessions ----------------------------------------------------------------------------------

//  The worker's answers to these two count as dispatches that are out.
static void s_open(core_t *self, receiver_t *receiver)
{
    core_effect_t *effect = core_tell(self, EFFECT_OPEN);
    effect->receiver = receiver;
    effect->generation = receiver->generation;
    receiver->out++;
    receiver->session_out = 0;
    stats_add(&self->stats->receivers, 1);
}

static void s_close(core_t *self, receiver_t *receiver)
{
    core_effect_t *effect = core_tell(self, EFFECT_CLOSE);
    effect->receiver = receiver;
    receiver->out++;
    self->closing++;
    stats_add(&self->stats->receivers, (uint64_t)-1);
}

//  Ends the session; the receiver keeps its clients, parked with what they retain.
static void s_park(core_t *self, receiver_t *receiver, const char *reason, int64_t now)
{
    s_tell_detached(self, receiver, NULL, reason);
    s_close(self, receiver);
    s_clear_address(self, receiver);
    receiver->kind = RECEIVER_GONE;
    for (client_t *client = receiver->clients; client; client = client->next) {
        redelivery_restart(self, client);
        //  From now on it may go when it is idle; see core.c.
        if (client->attached_by_name)
            client->active = client_ms(now);
    }
}

static void s_new_session(core_t *self, receiver_t *receiver, const core_attach_t *attach)
{
    if (receiver->kind == RECEIVER_ATTACHED)
        s_close(self, receiver);
    receiver->kind = RECEIVER_ATTACHED;
    receiver->generation = self->next_generation++;
    receiver->peer = attach->peer;
    receiver->ack_none = attach->ack_none;
    s_open(self, receiver);
    for (client_t *client = receiver->clients; client; client = client->next) {
        redelivery_restart(self, client);
        stats_add(&self->stats->go_backs[GO_BACK_GENERATION], 1);
        delivery_offer(self, client);
    }
    delivery_wake(self, receiver);
}

static void s_free(receiver_t *receiver)
{
    free(receiver->address);
    free(receiver->prefixes);
    free(receiver);
}

static void s_end(core_t *self, receiver_t *receiver)
{
    if (receiver->kind == RECEIVER_ATTACHED)
        s_close(self, receiver);
    s_clear_address(self, receiver);
    HASH_DELETE(by_id, self->by_id, receiver);
    timer_disarm(&self->timers, &receiver->timer);
    timer_disarm(&self->timers, &receiver->resend);
    self->prefixes -= receiver->prefix_count;
    receiver->prefix_count = 0;
    receiver->kind = RECEIVER_ENDED;
    while (receiver->clients) {
        client_t *client = receiver->clients;
        client->attached_by_name = false;
        s_move(self, client, session_resolve(self, client));
    }
    session_release(receiver);
}

void session_release(receiver_t *receiver)
{
    if (receiver->kind == RECEIVER_ENDED && receiver->out == 0 && !receiver->ready)
        s_free(receiver);
}

//  Ends a receiver that is gone and has no clients, to make room for another.
static bool s_drop_gone(core_t *self)
{
    for (receiver_t *at = self->by_id; at; at = at->by_id.next)
        if (at->kind == RECEIVER_GONE && !at->clients) {
            s_end(self, at);
            return true;
        }
    return false;
}

static receiver_t *s_new_receiver(core_t *self, const core_attach_t *attach)
{
    if (HASH_CNT(by_id, self->by_id) >= self->settings.max_receivers && !s_drop_gone(self))
        return NULL;
    receiver_t *receiver = calloc(1, sizeof *receiver);
    if (!receiver)
        return NULL;
    receiver->kind = RECEIVER_GONE;
    receiver->timer.kind = TIMER_RECEIVER;
    receiver->resend.kind = TIMER_RESEND;
    receiver->id_size = (uint8_t)attach->id_size;
    memcpy(receiver->id, attach->id, attach->id_size);
    unsigned hash = s_hash(self, receiver->id, receiver->id_size);
    HASH_ADD_KEYPTR_BYHASHVALUE(by_id, self->by_id, receiver->id, receiver->id_size, hash,
                                receiver);
    return receiver;
}

receiver_t *core_attach(core_t *self, const core_attach_t *attach, int64_t now, error_code_t *code)
{
    receiver_t *receiver = s_by_id(self, attach->id, attach->id_size);
    receiver_t *holder = s_by_address(self, attach->address);
    *code = ERROR_ENDPOINT_REFUSED;
    if (holder && holder->kind == RECEIVER_ROUTE)
        return NULL;
    *code = ERROR_OVERLOADED;
    //  Sockets go slower than Attaches come.
    if (self->closing >= CLOSING_MAX)
        return NULL;
    if (!receiver && !(receiver = s_new_receiver(self, attach)))
        return NULL;
    if (holder && holder != receiver) {
        s_park(self, holder, "taken_over", now);
        stats_add(&self->stats->takeovers, 1);
    }
    bool same_address = holder == receiver;
    if (!same_address) {
        if (receiver->kind == RECEIVER_ATTACHED) {
            s_close(self, receiver);
            receiver->kind = RECEIVER_GONE;
        }
        s_clear_address(self, receiver);
        if (!s_set_address(self, receiver, attach->address))
            return NULL;
    }
    if (receiver->kind != RECEIVER_ATTACHED || receiver->peer != attach->peer ||
        receiver->ack_none != attach->ack_none)
        s_new_session(self, receiver, attach);
    receiver->heard_at = now;
    timer_arm(&self->timers, &receiver->timer, now + self->settings.receiver_timeout);
    stats_add(&self->stats->attaches, 1);
    return receiver;
}

void session_due(core_t *self, receiver_t *receiver, int64_t now)
{
    if (receiver->kind != RECEIVER_ATTACHED)
        return;
    int64_t silent_at = receiver->heard_at + self->settings.receiver_timeout;
    if (now < silent_at) {
        timer_arm(&self->timers, &receiver->timer, silent_at);
        return;
    }
    stats_add(&self->stats->receivers_timed_out, 1);
    s_park(self, receiver, "timeout", now);
}

receiver_t *core_any_endpoint(const core_t *self)
{
    for (receiver_t *at = self->by_address; at; at = at->by_address.next)
        if (at->endpoint)
            return at;
    return NULL;
}

//  ---- clients of a receiver ---------------------------------------------------------------------

//  Brings the client to where the receiver says that it is. Returns false if that is ahead of all
//  that was released, while the broker knows better.
static bool s_agree(core_t *self, client_t *client, position_t position, int64_t now)
{
    if (position_compare(position, client->acked) <= 0)
        return true;
    if (position_compare(position, client_released(client)) <= 0) {
        delivery_cover(self, client, position);
        client->was_acked = true;
        return true;
    }
    if (client->was_acked)
        return false;
    core_jump(self, client, position, now);
    return true;
}

bool core_attach_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size,
                        position_t *position, int64_t now)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = core_client(self, id, id_size, hash, true, now);
    if (!client) {
        *position = (position_t){0, 0};
        return false;
    }
    if (!s_agree(self, client, *position, now)) {
        *position = client_released(client);
        return false;
    }
    redelivery_go_back(self, client);
    s_take_over(self, client, receiver);
    client->attached_by_name = true;
    *position = client->acked;
    delivery_offer(self, client);
    return true;
}

static receiver_prefix_t *s_find_prefix(const receiver_t *receiver, const void *bytes, size_t size)
{
    for (uint32_t i = 0; i < receiver->prefix_count; i++)
        if (receiver->prefixes[i].size == size &&
            (size == 0 || memcmp(receiver->prefixes[i].bytes, bytes, size) == 0))
            return &receiver->prefixes[i];
    return NULL;
}

static bool s_add_prefix(core_t *self, receiver_t *receiver, const void *bytes, size_t size)
{
    if (receiver->prefix_count == RECEIVER_PREFIXES || size > ID_MAX)
        return false;
    receiver_prefix_t *prefixes =
        realloc(receiver->prefixes, (receiver->prefix_count + 1) * sizeof *prefixes);
    if (!prefixes)
        return false;
    receiver->prefixes = prefixes;
    receiver_prefix_t *added = &prefixes[receiver->prefix_count++];
    added->size = (uint8_t)size;
    if (size)
        memcpy(added->bytes, bytes, size);
    self->prefixes++;
    return true;
}

static void s_drop_prefix(core_t *self, receiver_t *receiver, receiver_prefix_t *prefix)
{
    *prefix = receiver->prefixes[--receiver->prefix_count];
    self->prefixes--;
}

bool core_attach_prefix(core_t *self, receiver_t *receiver, const void *prefix, size_t size,
                        int64_t now)
{
    (void)now;
    if (s_find_prefix(receiver, prefix, size))
        return true;
    if (!s_add_prefix(self, receiver, prefix, size))
        return false;
    for (receiver_t *at = self->by_id; at; at = at->by_id.next) {
        receiver_prefix_t *same = at != receiver ? s_find_prefix(at, prefix, size) : NULL;
        if (same)
            s_drop_prefix(self, at, same);
    }
    for (client_t *client = self->oldest; client; client = client->newer)
        if (!client->attached_by_name && size <= client->id_size &&
            (size == 0 || memcmp(client->id, prefix, size) == 0))
            s_take_over(self, client, session_resolve(self, client));
    return true;
}

void core_detach_client(core_t *self, receiver_t *receiver, const void *id, size_t id_size)
{
    uint64_t hash = request_hash(self->settings.key, id, id_size);
    client_t *client = core_client(self, id, id_size, hash, false, 0);
    if (!client || client->receiver != receiver)
        return;
    client->attached_by_name = false;
    s_move(self, client, session_resolve(self, client));
}

void core_detach(core_t *self, receiver_t *receiver)
{
    s_end(self, receiver);
}

//  ---- routes ------------------------------------------------------------------------------------

static receiver_t *s_route_receiver(core_t *self, const char *endpoint)
{
    receiver_t *receiver = s_by_address(self, endpoint);
    if (receiver)
        return receiver;
    receiver = calloc(1, sizeof *receiver);
    if (!receiver)
        return NULL;
    receiver->kind = RECEIVER_ROUTE;
    receiver->resend.kind = TIMER_RESEND;
    receiver->ack_none = true;
    if (!s_set_address(self, receiver, endpoint)) {
        free(receiver);
        return NULL;
    }
    s_open(self, receiver);
    return receiver;
}

bool session_open_routes(core_t *self)
{
    size_t count = self->settings.route_count;
    self->routes = calloc(count ? count : 1, sizeof *self->routes);
    if (!self->routes)
        return false;
    for (size_t i = 0; i < count; i++) {
        route_t *route = &self->routes[i];
        route->match = strdup(self->settings.routes[i].match);
        route->receiver = s_route_receiver(self, self->settings.routes[i].endpoint);
        self->route_count = i + 1;
        if (!route->match || !route->receiver)
            return false;
    }
    return true;
}

void session_fini(core_t *self)
{
    for (size_t i = 0; i < self->route_count; i++)
        free(self->routes[i].match);
    free(self->routes);
    receiver_t *at, *next;
    HASH_ITER (by_id, self->by_id, at, next) {
        HASH_DELETE(by_id, self->by_id, at);
        if (!at->address)
            s_free(at);
    }
    HASH_ITER (by_address, self->by_address, at, next) {
        HASH_DELETE(by_address, self->by_address, at);
        s_free(at);
    }
}
