//  explain.c - why a client does not move; see explain.h

#include "explain.h"
#include "core_state.h"
#include <stdio.h>
#include <string.h>

#define SLOTS_A_SLICE 512 //  of the table of clients: some 10 us
#define RECEIVERS_A_SLICE 64
#define SEQS_LOOKED_AT 65536 //  for those that are held
#define AHEAD_MAX 65536 //  units that a kept time may lie ahead
#define PREFETCH 8 //  slots ahead

//  Sent ticks are good for 19 hours; what is older is dated by its release.
#define TICKS_GOOD (INT64_C(18) * 3600 * 1000000000)

//  ---- since when --------------------------------------------------------------------------------

//  When a time that was kept in units of 2^shift ns was, which is less than 2^32 of them ago. It may lie
//  a little ahead, as a tick that was rounded up does.
static int64_t s_since(int64_t now, uint32_t kept, int shift)
{
    uint32_t ago = (uint32_t)(now >> shift) - kept;
    if (ago > UINT32_MAX - AHEAD_MAX)
        ago = 0;
    return ((now >> shift) - ago) * (INT64_C(1) << shift);
}

static int64_t s_released_since(const client_t *client, int64_t now)
{
    return s_since(now, retained_at(&client->flow->retained, 0)->released_at, 20);
}

//  What keeps the oldest of the client's released entries, and since when. There is one.
static explain_state_t s_delivery(const client_t *client, int64_t now, int64_t *since)
{
    const receiver_t *receiver = client->receiver;
    uint32_t sent_at = retained_at(&client->flow->retained, 0)->sent_at;
    *since = s_released_since(client, now);
    if (receiver->kind == RECEIVER_NOBODY)
        return EXPLAIN_UNATTACHED;
    if (!receiver_is_served(receiver)) {
        *since = receiver->gone_at > *since ? receiver->gone_at : *since;
        return EXPLAIN_GONE;
    }
    if (!sent_at)
        return client->unstored ? EXPLAIN_UNSTORED : EXPLAIN_QUEUED;
    if (now - *since < TICKS_GOOD)
        *since = s_since(now, sent_at, TICK_SHIFT);
    return EXPLAIN_UNACKNOWLEDGED;
}

static explain_state_t s_state(const client_t *client, int64_t now, int64_t *since)
{
    explain_state_t state = EXPLAIN_IDLE;
    *since = INT64_MAX;
    if (client->flow->retained.count)
        state = s_delivery(client, now, since);
    if (client->view.hole_since && client->view.hole_since < *since) {
        *since = client->view.hole_since;
        state = EXPLAIN_GAP;
    }
    return state;
}

static void s_fill_key(shortlist_key_t *key, int64_t since, const void *id, uint8_t id_size)
{
    key->since = since;
    key->id_size = id_size;
    memcpy(key->id, id, id_size);
}

static void s_fill_row(const client_t *client, int64_t now, explain_row_t *row)
{
    int64_t since;
    row->state = s_state(client, now, &since);
    s_fill_key(&row->key, since, client->id, client->id_size);
    row->position = client_released(client);
    row->held = client->flow->window.held;
    row->retained = client->flow->retained.count;
    row->unacked = client->flow->retained.sent;
    row->waiting = client->waiting;
}

//  ---- one receiver ------------------------------------------------------------------------------

//  What keeps the oldest entry of the client that waits for longest, and since when; INT64_MAX: none waits.
static explain_state_t s_receiver_state(const receiver_t *receiver, int64_t now, int64_t *since)
{
    const client_t *client = receiver->waiting_first;
    if (!client)
        client = receiver->ready_first;
    *since = INT64_MAX;
    return client && client->flow->retained.count ? s_delivery(client, now, since) : EXPLAIN_IDLE;
}

int64_t explain_unacked_since(const receiver_t *receiver, int64_t now)
{
    int64_t since;
    //  The first that is ready may be one that nobody acknowledges.
    if (!receiver->waiting_first && receiver->ready_first &&
        delivery_is_unacked(receiver->ready_first))
        return INT64_MAX;
    bool unacked = s_receiver_state(receiver, now, &since) == EXPLAIN_UNACKNOWLEDGED;
    return unacked ? since : INT64_MAX;
}

static void s_fill_receiver(const core_t *core, const receiver_t *receiver, int64_t now,
                            explain_receiver_t *row)
{
    *row = (explain_receiver_t){
        .kind = receiver->kind,
        .ack_none = receiver->ack_none,
        .worker_full = delivery_worker_is_full(receiver),
        .bytes_full = receiver->unacked_bytes >= core->settings.max_unacked_bytes,
        .worker = receiver->worker,
        .clients = receiver->client_count,
        .generation = receiver->generation,
        .unacked = receiver->unacked,
        .unacked_bytes = receiver->unacked_bytes,
        .retained = receiver->retained,
        .kept_bytes = receiver->kept_bytes,
        .heard = receiver->heard_at,
    };
    int64_t since;
    s_receiver_state(receiver, now, &since);
    s_fill_key(&row->key, since, receiver->id, receiver->id_size);
    if (receiver->address)
        snprintf(row->endpoint, sizeof row->endpoint, "%s", receiver->address);
}

//  ---- one client --------------------------------------------------------------------------------

static void s_fill_held(const client_t *client, int64_t now, explain_client_t *filled)
{
    uint32_t left = client->flow->window.held, looks = client->flow->window.capacity;
    if (looks > SEQS_LOOKED_AT)
        looks = SEQS_LOOKED_AT;
    uint64_t next = client->view.next_seq;
    for (uint64_t seq = next; left && seq < next + looks; seq++) {
        const window_place_t *place = window_at(&client->flow->window, next, seq);
        if (!place->frame)
            continue;
        if (!filled->first_held) {
            filled->first_held = seq;
            filled->held_for = now - s_since(now, place->arrived, TICK_SHIFT);
        }
        filled->held_bytes += place->size;
        left--;
    }
}

static void s_fill_policy(const client_t *client, int64_t now, explain_client_t *filled)
{
    const rule_t *rule = client->rule;
    snprintf(filled->policy, sizeof filled->policy, "%s", rule->policy->name);
    snprintf(filled->match, sizeof filled->match, "%s", rule->match);
    filled->settings = rule->settings;
    filled->gives_up_in = INT64_MAX;
    int64_t hole = client->view.hole_since;
    if (hole && rule->policy == &policy_deadline)
        filled->gives_up_in = hole + rule->settings.gap_timeout - now;
}

static void s_fill_publishers(const core_t *core, const client_t *client, int64_t now,
                              explain_client_t *filled)
{
    bool asked = client->view.hole_since && client->flow->repair_at != INT64_MAX;
    filled->repairs = client->view.hole_since ? client->repairs : 0;
    filled->repair_in = asked ? client->flow->repair_at - now : INT64_MAX;
    for (int i = 0; i < 2 && client->publishers[i]; i++)
        filled->publishers[i] = repair_peer(core, client->publishers[i]);
}

bool explain_client(const core_t *core, const void *id, size_t id_size, int64_t now,
                    explain_client_t *filled)
{
    uint64_t hash = request_hash(core->settings.key, id, id_size);
    const client_t *client = client_table_find(&core->clients, hash, id, id_size);
    if (!client)
        return false;
    *filled = (explain_client_t){.acked = client->acked,
                                 .kept_bytes = client->kept_bytes,
                                 .numbering = client->numbering,
                                 .attached_by_name = client->attached_by_name};
    s_fill_row(client, now, &filled->row);
    s_fill_held(client, now, filled);
    s_fill_policy(client, now, filled);
    s_fill_publishers(core, client, now, filled);
    s_fill_receiver(core, client->receiver, now, &filled->receiver);
    filled->hole = client->view.hole_since ? now - client->view.hole_since : 0;
    filled->released = client->flow->retained.count ? now - s_released_since(client, now) : 0;
    filled->backlog_full = client_kept(client) >= core->settings.backlog ||
                           client->kept_bytes >= core->settings.backlog_bytes;
    return true;
}

//  ---- all of them -------------------------------------------------------------------------------

static bool s_is_wanted(const explain_list_t *list, const shortlist_key_t *key, int64_t now)
{
    if (list->stuck && (key->since == INT64_MAX || now - key->since < EXPLAIN_STUCK))
        return false;
    if (list->after.id_size && shortlist_compare(key, &list->after) <= 0)
        return false;
    return shortlist_wants(&list->first, key);
}

static void s_look_at_client(const client_t *client, explain_list_t *list, int64_t now)
{
    explain_row_t row = {0};
    s_fill_row(client, now, &row);
    if (s_is_wanted(list, &row.key, now))
        shortlist_add(&list->first, &row);
    list->looked++;
}

//  The table has grown meanwhile, and everybody has another place: once more.
static void s_start_over(explain_list_t *list, size_t slots)
{
    list->slots = slots;
    list->at = list->looked = list->first.count = 0;
}

bool explain_more_clients(const core_t *core, explain_list_t *list, int64_t now)
{
    const client_table_t *clients = &core->clients;
    size_t slots = clients->slots ? clients->mask + 1 : 0;
    if (list->slots != slots)
        s_start_over(list, slots);
    for (int i = 0; i < SLOTS_A_SLICE && list->at < slots; i++, list->at++) {
        if (list->at + PREFETCH < slots)
            __builtin_prefetch(clients->slots[list->at + PREFETCH].client);
        if (clients->slots[list->at].client)
            s_look_at_client(clients->slots[list->at].client, list, now);
    }
    if (list->at < slots)
        return false;
    shortlist_sort(&list->first);
    return true;
}

static void s_look_at_receiver(const core_t *core, const receiver_t *receiver, explain_list_t *list,
                               int64_t now)
{
    explain_receiver_t row;
    s_fill_receiver(core, receiver, now, &row);
    if (s_is_wanted(list, &row.key, now))
        shortlist_add(&list->first, &row);
    list->looked++;
}

//  Routes to one endpoint share a receiver.
static bool s_is_first_route(const core_t *core, size_t route)
{
    for (size_t i = 0; i < route; i++)
        if (core->routes[i].receiver == core->routes[route].receiver)
            return false;
    return true;
}

//  Routes are few, and cannot be found again by an id: they are looked at together.
static void s_look_at_routes(const core_t *core, explain_list_t *list, int64_t now)
{
    for (size_t i = 0; i < core->route_count; i++)
        if (s_is_first_route(core, i))
            s_look_at_receiver(core, core->routes[i].receiver, list, now);
}

static const receiver_t *s_go_on_with(const core_t *core, explain_list_t *list, int64_t now)
{
    if (list->begun) {
        const receiver_t *next = receiver_table_find(core, list->next, list->next_size);
        list->cut = !next;
        return next;
    }
    list->begun = true;
    s_look_at_routes(core, list, now);
    return core->by_id;
}

bool explain_more_receivers(const core_t *core, explain_list_t *list, int64_t now)
{
    const receiver_t *at = s_go_on_with(core, list, now);
    for (int i = 0; i < RECEIVERS_A_SLICE && at; i++, at = at->by_id.next)
        s_look_at_receiver(core, at, list, now);
    if (at) {
        list->next_size = at->id_size;
        memcpy(list->next, at->id, at->id_size);
        return false;
    }
    shortlist_sort(&list->first);
    return true;
}
