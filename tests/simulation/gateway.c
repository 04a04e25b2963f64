//  gateway.c - receivers, which follow the receiver's rule
//
//  A receiver reads what is bound for its address, drops what is not of its generation, takes of
//  each client what follows, names what is missing, and acknowledges late, partly, or in a wrong
//  way. When it starts again it has all of its memory, an older copy, or none.

#include "world.h"
#include <string.h>

//  ---- memory ------------------------------------------------------------------------------------

static void s_set(memory_t *memory, position_t position)
{
    memory->known = true;
    memory->last = position;
    memory->changed = true;
}

void gateway_forget(world_t *self, uint32_t client)
{
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        self->gateways[i].memory[client] = (memory_t){0};
        self->gateways[i].saved[client] = (memory_t){0};
    }
}

void gateway_restart(world_t *self)
{
    gateway_t *gateway = &self->gateways[dice_roll(&self->dice, MODEL_SLOTS)];
    uint32_t kind = dice_roll(&self->dice, 4);
    trace("receiver %u starts again: %s", gateway->slot,
          kind == 0   ? "empty"
          : kind == 1 ? "from its older copy"
                      : "with its memory");
    if (kind == 0)
        memset(gateway->memory, 0, sizeof gateway->memory);
    else if (kind == 1)
        memcpy(gateway->memory, gateway->saved, sizeof gateway->memory);
    else
        memcpy(gateway->saved, gateway->memory, sizeof gateway->memory);
    gateway->generation = 0;
    gateway->ack_count = 0;
    gateway->peer = ++self->next_peer;
}

//  ---- attaching ---------------------------------------------------------------------------------

static position_t s_invent(world_t *self, uint32_t client)
{
    const model_client_t *at = &self->model.clients[client];
    position_t position = {at->exists ? at->epoch : 0, 0};
    if (dice_chance(&self->dice, 20))
        position.epoch += dice_chance(&self->dice, 50) ? 1 : -(uint64_t)(position.epoch > 0);
    uint64_t next = at->exists ? at->next_seq : at->rule.first_seq;
    uint32_t reach = self->settings.window * 2;
    position.seq = dice_roll(&self->dice, (uint32_t)next + reach);
    return position;
}

//  Attaches a client by name, from what the receiver knows. Returns true if it was granted.
static bool s_attach_client(world_t *self, gateway_t *gateway, receiver_t *receiver,
                            uint32_t client)
{
    memory_t *memory = &gateway->memory[client];
    if (dice_chance(&self->dice, self->faults.invented)) {
        *memory = (memory_t){.known = true, .invented = true, .last = s_invent(self, client)};
    }
    position_t asked = memory->known ? memory->last : (position_t){0, 0};
    position_t model = asked, core = asked;
    const model_client_t *at = &self->model.clients[client];
    bool ahead = position_compare(asked, (position_t){at->epoch, at->next_seq - 1}) > 0;
    if (memory->invented && !(ahead && at->was_acked))
        model_claim(&self->model, client, asked);
    bool granted = model_attach_client(&self->model, gateway->slot, client, &model, self->now);
    bool same = core_attach_client(self->core, receiver, at->id, at->id_size, &core, self->now);
    trace("receiver %u attaches %u at %llu/%llu -> %s %llu/%llu", gateway->slot, client,
          (unsigned long long)asked.epoch, (unsigned long long)asked.seq,
          granted ? "granted" : "refused", (unsigned long long)model.epoch,
          (unsigned long long)model.seq);
    check(same == granted && position_compare(model, core) == 0,
          "%s at %llu/%llu, not %s at %llu/%llu", same ? "granted" : "refused",
          (unsigned long long)core.epoch, (unsigned long long)core.seq,
          granted ? "granted" : "refused", (unsigned long long)model.epoch,
          (unsigned long long)model.seq);
    if (granted && (!memory->known || position_compare(model, memory->last) > 0))
        s_set(memory, model);
    if (!granted && at->exists && dice_chance(&self->dice, 50)) {
        s_set(memory, model);
        memory->invented = true;
    }
    return granted;
}

static void s_attach_prefix(world_t *self, gateway_t *gateway, receiver_t *receiver)
{
    static const char *const prefixes[MODEL_PREFIXES] = {"", "a", "ab", "b"};
    const char *prefix = prefixes[dice_roll(&self->dice, MODEL_PREFIXES)];
    trace("receiver %u attaches the prefix '%s'", gateway->slot, prefix);
    model_attach_prefix(&self->model, gateway->slot, prefix);
    core_attach_prefix(self->core, receiver, prefix, strlen(prefix), self->now);
}

//  Returns the receiver, or NULL if the Attach was refused.
static receiver_t *s_attach(world_t *self, gateway_t *gateway)
{
    const char *id = self->model.receivers[gateway->slot].id;
    core_attach_t attach = {.id = id,
                            .id_size = strlen(id),
                            .address = gateway->address,
                            .peer = gateway->peer,
                            .ack_none = gateway->ack_none};
    error_code_t expected, code;
    bool granted = model_attach(&self->model, gateway->slot, gateway->address, gateway->peer,
                                gateway->ack_none, self->now, &expected);
    receiver_t *receiver = core_attach(self->core, &attach, self->now, &code);
    trace("receiver %u attaches at %s as peer %llu: %s", gateway->slot, gateway->address,
          (unsigned long long)gateway->peer, receiver ? "granted" : "refused");
    check(granted == (receiver != NULL), "the Attach was %s", receiver ? "granted" : "refused");
    check(granted || code == expected, "%s, not %s", error_code_name(code),
          error_code_name(expected));
    if (!receiver)
        return NULL;
    uint64_t generation = self->model.receivers[gateway->slot].generation;
    check(receiver->generation == generation, "generation");
    if (gateway->generation != generation)
        for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
            gateway->memory[i].changed = gateway->memory[i].known;
    gateway->generation = generation;
    return receiver;
}

void gateway_attach(world_t *self)
{
    gateway_t *gateway = &self->gateways[dice_roll(&self->dice, MODEL_SLOTS)];
    gateway_t before = *gateway;
    if (dice_chance(&self->dice, 30) && !self->evicts)
        gateway->address = world_addresses[dice_roll(&self->dice, WORLD_ADDRESSES)];
    if (dice_chance(&self->dice, 20))
        gateway->peer = ++self->next_peer;
    if (dice_chance(&self->dice, 10) && !self->evicts)
        gateway->ack_none = !gateway->ack_none;
    receiver_t *receiver = s_attach(self, gateway);
    if (!receiver) {
        *gateway = before;
        return;
    }
    for (uint32_t i = dice_roll(&self->dice, 4); i > 0; i--)
        s_attach_client(self, gateway, receiver, dice_roll(&self->dice, MODEL_CLIENTS));
    if (dice_chance(&self->dice, 30))
        s_attach_prefix(self, gateway, receiver);
}

void gateway_attach_all(world_t *self)
{
    uint32_t attached[MODEL_SLOTS], count = 0;
    receiver_t *receivers[MODEL_SLOTS];
    for (uint32_t i = 0; i < MODEL_SLOTS; i++) {
        gateway_t *gateway = &self->gateways[i];
        gateway->address = world_addresses[i];
        gateway->peer = ++self->next_peer;
        gateway->ack_none = false;
        receivers[count] = s_attach(self, gateway);
        if (receivers[count])
            attached[count++] = i;
        world_do_effects(self);
    }
    check(count, "no receiver can be attached");
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++) {
        uint32_t to = i % count;
        if (!self->model.clients[i].exists)
            continue;
        while (!s_attach_client(self, &self->gateways[attached[to]], receivers[to], i))
            ;
    }
    world_do_effects(self);
}

void gateway_detach(world_t *self)
{
    gateway_t *gateway = &self->gateways[dice_roll(&self->dice, MODEL_SLOTS)];
    const char *id = self->model.receivers[gateway->slot].id;
    receiver_t *receiver = core_receiver(self->core, id, strlen(id));
    bool attached = self->model.receivers[gateway->slot].state == MODEL_ATTACHED;
    check(attached == (receiver != NULL), "receiver %u is %s", gateway->slot,
          receiver ? "there" : "not there");
    if (!receiver || self->evicts || self->forgets)
        return;
    if (dice_chance(&self->dice, 50)) {
        uint32_t client = dice_roll(&self->dice, MODEL_CLIENTS);
        const model_client_t *at = &self->model.clients[client];
        trace("receiver %u detaches %u", gateway->slot, client);
        model_detach_client(&self->model, gateway->slot, client);
        core_detach_client(self->core, receiver, at->id, at->id_size);
    } else {
        trace("receiver %u detaches", gateway->slot);
        model_detach(&self->model, gateway->slot);
        core_detach(self->core, receiver);
        gateway->generation = 0;
    }
}

//  The core's receiver if it is in the session that the generation names, as the orderer looks.
static receiver_t *s_session(world_t *self, const gateway_t *gateway, uint64_t generation)
{
    const char *id = self->model.receivers[gateway->slot].id;
    receiver_t *receiver = core_receiver(self->core, id, strlen(id));
    return receiver && receiver->generation == generation ? receiver : NULL;
}

void gateway_heartbeat(world_t *self, gateway_t *gateway)
{
    receiver_t *receiver = s_session(self, gateway, gateway->generation);
    if (!receiver)
        return;
    core_heard(receiver, self->now);
    self->model.receivers[gateway->slot].heard_at = self->now;
}

//  ---- reading: the receiver's rule --------------------------------------------------------------

//  Without acks nothing comes again: the stream goes on with what has come.
static void s_take_unacked(memory_t *memory, const model_seen_t *seen)
{
    position_t after = {seen->epoch, seen->skipped_to ? seen->skipped_to : seen->seq};
    if (!memory->known || position_compare(after, memory->last) > 0)
        s_set(memory, after);
    memory->invented = true;
}

//  A marker of an older epoch is from before the client went to another receiver and came back: the
//  broker's instance is one and the same here, so epochs can be compared.
static void s_read_marker(memory_t *memory, position_t position)
{
    if (!memory->known || position_compare(position, memory->last) > 0)
        s_set(memory, position);
    memory->changed = true;
}

static void s_read_entry(world_t *self, gateway_t *gateway, uint32_t client,
                         const model_seen_t *seen)
{
    memory_t *memory = &gateway->memory[client];
    position_t at = {seen->epoch, seen->seq};
    if (gateway->ack_none) {
        s_take_unacked(memory, seen);
    } else if (seen->marker) {
        s_read_marker(memory, at);
    } else if (memory->known && at.epoch == memory->last.epoch && at.seq == memory->last.seq + 1) {
        model_take(&self->model, client, seen);
        s_set(memory, (position_t){at.epoch, seen->skipped_to ? seen->skipped_to : at.seq});
        trace("  receiver %u takes %u:%llu/%llu", gateway->slot, client,
              (unsigned long long)at.epoch, (unsigned long long)at.seq);
    } else if (!memory->known || position_compare(at, memory->last) > 0) {
        memory->missing = true;
    } else {
        memory->changed = true;
    }
}

bool gateway_read(world_t *self, gateway_t *gateway)
{
    if (!gateway->generation)
        return false;
    uint64_t generation;
    delivery_t *delivery = sender_receive(self, gateway->address, gateway->generation, &generation);
    if (!delivery)
        return false;
    Seqpush__V1__Delivery *decoded = sender_decode(delivery->bytes, delivery->size);
    check(decoded->generation == generation || decoded->generation == 0,
          "generation of the Delivery");
    check(decoded->n_pushes == delivery->count, "entries of the Delivery");
    for (uint32_t i = 0; i < delivery->count && generation == gateway->generation; i++) {
        const Seqpush__V1__Push *push = decoded->pushes[i];
        uint32_t client = world_client(self, push->client_id.data, push->client_id.len);
        model_seen_t seen = sender_seen(push);
        bool passes = self->model.clients[client].policy == MODEL_PASSTHROUGH;
        check(passes == (decoded->generation == 0), "generation of the Delivery of %u", client);
        if (!passes && self->model.clients[client].life == delivery->lives[i])
            s_read_entry(self, gateway, client, &seen);
    }
    seqpush__v1__delivery__free_unpacked(decoded, NULL);
    sender_free(&delivery);
    return true;
}

//  ---- acknowledging -----------------------------------------------------------------------------

static void s_queue_ack(world_t *self, gateway_t *gateway, uint32_t client, position_t position,
                        bool missing)
{
    if (gateway->ack_count == WORLD_QUEUE)
        return;
    gateway->acks[gateway->ack_count++] = (ack_t){.generation = gateway->generation,
                                                  .client = client,
                                                  .life = self->model.clients[client].life,
                                                  .position = position,
                                                  .missing = missing,
                                                  .invented = gateway->memory[client].invented};
}

//  Some earlier position, which covers a part of what was received.
static position_t s_partly(world_t *self, const memory_t *memory)
{
    position_t position = memory->last;
    if (position.epoch == memory->told.epoch && position.seq > memory->told.seq)
        position.seq -= dice_roll(&self->dice, (uint32_t)(position.seq - memory->told.seq));
    return position;
}

static void s_acknowledge_client(world_t *self, gateway_t *gateway, uint32_t client, bool all)
{
    memory_t *memory = &gateway->memory[client];
    if (memory->changed && memory->known && (all || dice_chance(&self->dice, 60))) {
        bool partly = !all && dice_chance(&self->dice, 30);
        position_t position = partly ? s_partly(self, memory) : memory->last;
        s_queue_ack(self, gateway, client, position, false);
        memory->told = position;
        memory->changed = partly;
    }
    if (memory->missing && (all || dice_chance(&self->dice, 60))) {
        position_t last = memory->known ? memory->last : (position_t){0, 0};
        s_queue_ack(self, gateway, client, last, true);
        memory->missing = false;
    }
}

//  A position that lies beyond what was handed over, or of a client that is another's.
static void s_acknowledge_wrongly(world_t *self, gateway_t *gateway)
{
    uint32_t client = dice_roll(&self->dice, MODEL_CLIENTS);
    const model_client_t *at = &self->model.clients[client];
    position_t position = at->acked_at;
    if (at->handed)
        position = at->log.items[at->acked + at->handed - 1].after;
    if (at->receiver == gateway->slot) {
        position.seq += 1 + dice_roll(&self->dice, 5);
        position.epoch += dice_chance(&self->dice, 10);
    }
    ack_t ack = {gateway->generation,          client, at->life, position,
                 dice_chance(&self->dice, 30), false};
    receiver_t *receiver = s_session(self, gateway, ack.generation);
    if (!receiver)
        return;
    trace("receiver %u acks wrongly %u:%llu/%llu", gateway->slot, client,
          (unsigned long long)position.epoch, (unsigned long long)position.seq);
    if (ack.missing) {
        model_missing(&self->model, gateway->slot, client, position, self->now);
        core_missing(self->core, receiver, at->id, at->id_size, position, self->now);
    } else {
        model_ack(&self->model, gateway->slot, client, position, self->now);
        core_ack_t wrong = {at->id, at->id_size, position};
        core_ack(self->core, receiver, &wrong, 1, self->now);
    }
}

void gateway_acknowledge(world_t *self, gateway_t *gateway, bool all)
{
    for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
        s_acknowledge_client(self, gateway, i, all);
    if (!all && dice_chance(&self->dice, self->faults.hostile))
        s_acknowledge_wrongly(self, gateway);
}

static void s_apply_ack(world_t *self, gateway_t *gateway, receiver_t *receiver, const ack_t *ack)
{
    const model_client_t *at = &self->model.clients[ack->client];
    if (ack->life != at->life)
        return;
    if (ack->invented && at->receiver == gateway->slot)
        model_claim(&self->model, ack->client, ack->position);
    trace("receiver %u %s %u:%llu/%llu", gateway->slot, ack->missing ? "misses" : "acks",
          ack->client, (unsigned long long)ack->position.epoch,
          (unsigned long long)ack->position.seq);
    if (ack->missing) {
        model_missing(&self->model, gateway->slot, ack->client, ack->position, self->now);
        core_missing(self->core, receiver, at->id, at->id_size, ack->position, self->now);
    } else {
        model_ack(&self->model, gateway->slot, ack->client, ack->position, self->now);
        core_ack_t right = {at->id, at->id_size, ack->position};
        core_ack(self->core, receiver, &right, 1, self->now);
    }
}

bool gateway_send_ack(world_t *self, gateway_t *gateway)
{
    if (!gateway->ack_count)
        return false;
    ack_t ack = gateway->acks[0];
    memmove(gateway->acks, gateway->acks + 1, --gateway->ack_count * sizeof ack);
    receiver_t *receiver = s_session(self, gateway, ack.generation);
    if (!receiver)
        return true;
    core_heard(receiver, self->now);
    self->model.receivers[gateway->slot].heard_at = self->now;
    s_apply_ack(self, gateway, receiver, &ack);
    return true;
}
