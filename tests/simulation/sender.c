//  sender.c - workers, and the network behind them
//
//  A worker holds what it has for as long as the dice say, sends in order, reports in order, and
//  returns what is left unsent when the endpoint is closed. A report may come before or after the
//  Delivery arrives, or the receiver's ack. What is under way is lost, from some point on, when the
//  connection ends.

#include "wire.h"
#include "world.h"
#include <string.h>

//  ---- decoding ----------------------------------------------------------------------------------

Seqpush__V1__Delivery *sender_decode(const uint8_t *bytes, size_t size)
{
    Seqpush__V1__Delivery *delivery = seqpush__v1__delivery__unpack(NULL, size, bytes);
    check(delivery, "what is sent is no Delivery");
    return delivery;
}

model_seen_t sender_seen(const Seqpush__V1__Push *push)
{
    model_seen_t seen = {.epoch = push->epoch,
                         .seq = push->seq,
                         .skipped_to = push->skipped_to,
                         .marker = push->marker,
                         .payload_size = (uint32_t)push->payload.len};
    if (!push->payload.len)
        return seen;
    memcpy(&seen.number, push->payload.data, sizeof seen.number);
    for (size_t i = sizeof seen.number; i < push->payload.len; i++)
        check(push->payload.data[i] == (uint8_t)seen.number, "the payload is damaged");
    return seen;
}

//  ---- endpoints ---------------------------------------------------------------------------------

static void s_append(endpoint_t *endpoint, dispatch_t *dispatch)
{
    check(endpoint->dispatch_count < WORLD_QUEUE, "a worker has more than it may be given");
    endpoint->dispatches[endpoint->dispatch_count++] = dispatch;
}

//  What the worker notes of a dispatch, behind its entries.
typedef struct {
    uint32_t sum; //  of all bytes
    struct {
        uint32_t session, life; //  of the entry's client, in the model
    } entries[];
} note_t;

static note_t *s_note(const world_t *self, dispatch_t *dispatch)
{
    return (note_t *)&dispatch->entries[self->batch_max];
}

static uint32_t s_sum(const dispatch_t *dispatch)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < dispatch->count; i++)
        for (uint32_t k = 0; k < dispatch->entries[i].size; k++)
            sum = sum * 31 + dispatch->entries[i].bytes[k];
    return sum;
}

static dispatch_t *s_new_dispatch(const world_t *self, receiver_t *receiver, dispatch_kind_t kind)
{
    dispatch_t *dispatch = malloc(sizeof *dispatch + self->batch_max * sizeof dispatch->entries[0] +
                                  sizeof(note_t) + self->batch_max * 2 * sizeof(uint32_t));
    check(dispatch, "no memory");
    *dispatch = (dispatch_t){.kind = kind, .receiver = receiver, .endpoint = receiver->endpoint};
    return dispatch;
}

static void s_command(const world_t *self, receiver_t *receiver, dispatch_kind_t kind)
{
    dispatch_t *dispatch = s_new_dispatch(self, receiver, kind);
    dispatch->generation = receiver->generation;
    s_append(receiver->endpoint, dispatch);
}

void sender_open(world_t *self, receiver_t *receiver, uint64_t generation)
{
    endpoint_t *endpoint = calloc(1, sizeof *endpoint);
    check(endpoint, "no memory");
    check(!receiver->endpoint, "opened twice");
    endpoint->receiver = world_receiver(self, receiver);
    endpoint->address = self->model.receivers[endpoint->receiver].address;
    check(strcmp(endpoint->address, receiver->address) == 0, "opened at %s", receiver->address);
    endpoint->generation = generation;
    endpoint->next = self->endpoints;
    self->endpoints = endpoint;
    receiver->endpoint = endpoint;
    receiver->inflight = &self->inflight;
    s_command(self, receiver, DISPATCH_OPEN);
}

void sender_close(world_t *self, receiver_t *receiver)
{
    check(receiver->endpoint, "closed twice");
    s_command(self, receiver, DISPATCH_CLOSE);
    receiver->endpoint = NULL;
}

//  ---- dispatches --------------------------------------------------------------------------------

//  Decodes an entry and holds it against what the model says that it must be. Returns its client.
static uint32_t s_check_entry(world_t *self, uint32_t receiver, const dispatch_entry_t *entry)
{
    if (!entry->size) {
        uint32_t client = world_client(self, entry->client->id, entry->client->id_size);
        model_hand(&self->model, receiver, client, NULL, self->now);
        return client;
    }
    Seqpush__V1__Delivery *decoded = sender_decode(entry->bytes, entry->size);
    check(decoded->n_pushes == 1, "an entry is one Push");
    const Seqpush__V1__Push *push = decoded->pushes[0];
    model_seen_t seen = sender_seen(push);
    uint32_t client = world_client(self, push->client_id.data, push->client_id.len);
    trace("  hand %u: %u:%llu/%llu%s", receiver, client, (unsigned long long)seen.epoch,
          (unsigned long long)seen.seq, seen.marker ? " marker" : "");
    model_hand(&self->model, receiver, client, &seen, self->now);
    seqpush__v1__delivery__free_unpacked(decoded, NULL);
    return client;
}

static void s_check_dispatch(world_t *self, uint32_t receiver, dispatch_t *dispatch)
{
    uint32_t bytes = 0;
    check(dispatch->count > 0 && dispatch->count <= self->batch_max, "%u entries", dispatch->count);
    for (uint32_t i = 0; i < dispatch->count; i++) {
        check(bytes < self->batch_bytes, "the dispatch was full already");
        bytes += dispatch->entries[i].size;
        uint32_t client = s_check_entry(self, receiver, &dispatch->entries[i]);
        check(dispatch->passthrough == (self->model.clients[client].policy == MODEL_PASSTHROUGH),
              "client %u in a dispatch of others", client);
        s_note(self, dispatch)->entries[i].session = self->model.clients[client].session;
        s_note(self, dispatch)->entries[i].life = self->model.clients[client].life;
    }
    check(dispatch->bytes == bytes, "bytes of the dispatch");
    s_note(self, dispatch)->sum = s_sum(dispatch);
}

void sender_dispatch(world_t *self, uint32_t limit)
{
    receiver_t *receiver;
    uint32_t done = 0;
    while (done < limit && (receiver = core_ready(self->core))) {
        uint32_t index = world_receiver(self, receiver);
        dispatch_t *dispatch = s_new_dispatch(self, receiver, DISPATCH_PUSHES);
        model_fill(&self->model, index);
        core_fill(self->core, receiver, dispatch, self->batch_max, self->batch_bytes, self->now);
        dispatch->endpoint = receiver->endpoint;
        check(dispatch->generation == dispatch->endpoint->generation, "generation");
        s_check_dispatch(self, index, dispatch);
        s_append(receiver->endpoint, dispatch);
        done++;
    }
    if (done < limit)
        model_all_handed(&self->model);
}

//  ---- sending -----------------------------------------------------------------------------------

//  Copies the entries into a Delivery, as the worker does.
static delivery_t *s_gather(const world_t *self, dispatch_t *dispatch)
{
    delivery_t *delivery =
        calloc(1, sizeof *delivery + dispatch->count * sizeof delivery->lives[0]);
    check(delivery, "no memory");
    delivery->bytes = malloc(dispatch->bytes + 1 + WIRE_VARINT_MAX);
    check(delivery->bytes, "no memory");
    uint8_t *to = delivery->bytes;
    for (uint32_t i = 0; i < dispatch->count; i++) {
        if (!dispatch->entries[i].size)
            continue;
        memcpy(to, dispatch->entries[i].bytes, dispatch->entries[i].size);
        delivery->lives[delivery->count++] = s_note(self, dispatch)->entries[i].life;
        to += dispatch->entries[i].size;
    }
    to = wire_put_varint_field(to, WIRE_DELIVERY_GENERATION,
                               dispatch->passthrough ? 0 : dispatch->generation);
    delivery->size = (size_t)(to - delivery->bytes);
    return delivery;
}

void sender_free(delivery_t **delivery_p)
{
    free((*delivery_p)->bytes);
    free(*delivery_p);
    *delivery_p = NULL;
}

static void s_send(world_t *self, endpoint_t *endpoint, dispatch_t *dispatch)
{
    dispatch->sent = true;
    if (endpoint->delivery_count == WORLD_QUEUE || dice_chance(&self->dice, self->faults.loss))
        return;
    endpoint->deliveries[endpoint->delivery_count++] = s_gather(self, dispatch);
}

//  LINGER is 0: what is under way may be lost, from some point on.
static void s_cut(world_t *self, endpoint_t *endpoint)
{
    uint32_t kept = dice_roll(&self->dice, endpoint->delivery_count + 1);
    while (endpoint->delivery_count > kept)
        sender_free(&endpoint->deliveries[--endpoint->delivery_count]);
    endpoint->closed = true;
}

static bool s_is_closing(const endpoint_t *endpoint)
{
    return endpoint->dispatch_count > 0 &&
           endpoint->dispatches[endpoint->dispatch_count - 1]->kind == DISPATCH_CLOSE;
}

static void s_report(world_t *self, endpoint_t *endpoint)
{
    dispatch_t *dispatch = endpoint->dispatches[0];
    model_receiver_t *receiver = &self->model.receivers[endpoint->receiver];
    if (dispatch->kind == DISPATCH_PUSHES)
        check(s_note(self, dispatch)->sum == s_sum(dispatch), "the bytes were gone too early");
    for (uint32_t i = 0; i < dispatch->count; i++) {
        const dispatch_entry_t *entry = &dispatch->entries[i];
        if (entry->client)
            model_reported(&self->model, endpoint->receiver,
                           world_client(self, entry->client->id, entry->client->id_size),
                           s_note(self, dispatch)->entries[i].session, dispatch->sent, self->now);
    }
    if (dispatch->kind == DISPATCH_PUSHES && model_is_served(receiver) &&
        receiver->generation == endpoint->generation)
        receiver->session_out--;
    core_returned(self->core, dispatch, self->now);
    free(dispatch);
    endpoint->dispatch_count--;
    endpoint->sent--;
    memmove(endpoint->dispatches, endpoint->dispatches + 1,
            endpoint->dispatch_count * sizeof endpoint->dispatches[0]);
}

//  Takes up the next dispatch of the endpoint: sends it, or closes what is to be closed.
static void s_take_up(world_t *self, endpoint_t *endpoint)
{
    if (s_is_closing(endpoint) && dice_chance(&self->dice, 50)) {
        endpoint->sent = endpoint->dispatch_count;
        s_cut(self, endpoint);
        return;
    }
    dispatch_t *dispatch = endpoint->dispatches[endpoint->sent++];
    if (dispatch->kind == DISPATCH_PUSHES)
        s_send(self, endpoint, dispatch);
    else if (dispatch->kind == DISPATCH_CLOSE)
        s_cut(self, endpoint);
}

static void s_free_endpoint(world_t *self, endpoint_t *endpoint)
{
    endpoint_t **at = &self->endpoints;
    while (*at != endpoint)
        at = &(*at)->next;
    *at = endpoint->next;
    while (endpoint->delivery_count)
        sender_free(&endpoint->deliveries[--endpoint->delivery_count]);
    free(endpoint);
}

bool sender_step(world_t *self)
{
    uint32_t count = 0;
    endpoint_t *chosen = NULL;
    for (endpoint_t *at = self->endpoints; at; at = at->next)
        if (at->dispatch_count && dice_roll(&self->dice, ++count) == 0)
            chosen = at;
    if (!chosen)
        return false;
    if (chosen->sent && (chosen->sent == chosen->dispatch_count || dice_chance(&self->dice, 50)))
        s_report(self, chosen);
    else
        s_take_up(self, chosen);
    if (chosen->closed && !chosen->dispatch_count && !chosen->delivery_count)
        s_free_endpoint(self, chosen);
    return true;
}

void sender_stop(world_t *self)
{
    receiver_t *receiver;
    while ((receiver = core_any_endpoint(self->core)))
        receiver->endpoint = NULL;
    while (self->endpoints) {
        endpoint_t *endpoint = self->endpoints;
        endpoint->sent = endpoint->dispatch_count;
        while (endpoint->dispatch_count)
            s_report(self, endpoint);
        s_free_endpoint(self, endpoint);
    }
}

delivery_t *sender_receive(world_t *self, const char *address, uint64_t session,
                           uint64_t *generation)
{
    uint32_t count = 0;
    endpoint_t *chosen = NULL;
    for (endpoint_t *at = self->endpoints; at; at = at->next)
        if (at->delivery_count && (at->closed || at->generation == session) &&
            strcmp(at->address, address) == 0 && dice_roll(&self->dice, ++count) == 0)
            chosen = at;
    if (!chosen)
        return NULL;
    delivery_t *delivery = chosen->deliveries[0];
    *generation = chosen->generation;
    chosen->delivery_count--;
    memmove(chosen->deliveries, chosen->deliveries + 1,
            chosen->delivery_count * sizeof chosen->deliveries[0]);
    if (chosen->closed && !chosen->dispatch_count && !chosen->delivery_count)
        s_free_endpoint(self, chosen);
    return delivery;
}
