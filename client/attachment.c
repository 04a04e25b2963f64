/*  attachment.c - Attach, Detach, Heartbeat, and the replies to them */

#include "attachment.h"
#include <stdlib.h>
#include <string.h>

#define CHUNK 2048 //  clients an Attach or Detach at most
#define BEATS_MISSED 3 //  heartbeats without an answer until the generation is taken as lost
#define FAREWELL 100 //  ms to wait for the answer to the last Detach

struct attachment_prefix {
    uint64_t attached_in; //  generation, or 0
    size_t size;
    uint8_t bytes[SEQPUSH_ID_MAX];
};

//  The Attach that is under way, and room for what it and a Detach are made of.
struct attachment_ask {
    uint64_t request_id; //  0: none
    int64_t due; //  monotonic ms when it is asked again
    bool has_prefix;
    uint8_t prefix[SEQPUSH_ID_MAX];
    size_t prefix_size;
    size_t count;
    position_t *clients[CHUNK];
    Seqpush__V1__Position positions[CHUNK];
    Seqpush__V1__Position *pointers[CHUNK];
    ProtobufCBinaryData ids[CHUNK];
};

bool attachment_init(attachment_t *self)
{
    self->ask = calloc(1, sizeof *self->ask);
    return self->ask != NULL;
}

void attachment_fini(attachment_t *self)
{
    free(self->prefixes);
    free(self->ask);
}

//  ---- requests ----------------------------------------------------------------------------------

static ProtobufCBinaryData s_binary(const void *bytes, size_t size)
{
    return (ProtobufCBinaryData){size, (uint8_t *)bytes};
}

static bool s_send(attachment_t *self, Seqpush__V1__Request *request)
{
    request->request_id = ++self->last_request_id;
    bool sent = socket_send_request(self->dealer, request);
    self->blocked |= !sent;
    return sent;
}

//  ---- attach and detach -------------------------------------------------------------------------

static void s_set_state(attachment_t *self, position_t *position, client_state_t state)
{
    self->client_count -= position->state == CLIENT_ATTACHED;
    self->client_count += state == CLIENT_ATTACHED;
    position->state = state;
}

//  Everything is to be attached again: the broker does not know this receiver, or another one of
//  it.
static void s_lose_generation(attachment_t *self)
{
    position_t *position, *next;
    self->generation = 0;
    self->ask->request_id = 0;
    self->first_request_id = self->last_request_id + 1;
    self->unanswered = 0;
    self->detach_all = false;
    HASH_ITER (hh, self->positions->table, position, next)
        position_enlist(position, position->state == CLIENT_ATTACHED ? &self->to_attach : NULL);
}

bool attachment_add_client(attachment_t *self, const void *id, size_t id_size, uint64_t epoch,
                           uint64_t seq)
{
    position_t *position = positions_get(self->positions, id, id_size);
    if (!position)
        return false;
    s_set_state(self, position, CLIENT_ATTACHED);
    position_set(position, epoch, seq);
    position->known = epoch || seq;
    position->asked = 0;
    position_enlist(position, &self->to_attach);
    return true;
}

static attachment_prefix_t *s_find_prefix(const attachment_t *self, const void *prefix, size_t size)
{
    for (size_t i = 0; i < self->prefix_count; i++)
        if (self->prefixes[i].size == size &&
            (size == 0 || memcmp(self->prefixes[i].bytes, prefix, size) == 0))
            return &self->prefixes[i];
    return NULL;
}

bool attachment_add_prefix(attachment_t *self, const void *prefix, size_t size)
{
    if (s_find_prefix(self, prefix, size))
        return true;
    attachment_prefix_t *prefixes =
        realloc(self->prefixes, (self->prefix_count + 1) * sizeof *self->prefixes);
    if (!prefixes)
        return false;
    self->prefixes = prefixes;
    attachment_prefix_t *last = &prefixes[self->prefix_count++];
    *last = (attachment_prefix_t){.size = size};
    if (size)
        memcpy(last->bytes, prefix, size);
    return true;
}

static void s_remove_prefix(attachment_t *self, attachment_prefix_t *prefix)
{
    *prefix = self->prefixes[--self->prefix_count];
}

//  The client is not asked for any more, and the broker is told so if it has it.
static void s_give_back(attachment_t *self, position_t *position)
{
    bool attached = self->generation && position->attached_in == self->generation;
    s_set_state(self, position, CLIENT_OUT);
    position_enlist(position, attached ? &self->to_detach : NULL);
}

//  Nothing is asked for any more. What the broker still has attached is left to the caller.
static void s_forget_all(attachment_t *self)
{
    position_t *position, *next;
    self->prefix_count = 0;
    HASH_ITER (hh, self->positions->table, position, next) {
        s_set_state(self, position, CLIENT_OUT);
        position->attached_in = 0;
        position_enlist(position, NULL);
    }
}

void attachment_remove_client(attachment_t *self, const void *id, size_t id_size)
{
    position_t *position = positions_find(self->positions, id, id_size);
    if (position)
        s_give_back(self, position);
}

void attachment_remove_all(attachment_t *self)
{
    s_forget_all(self);
    self->detach_all = self->generation || self->ask->request_id;
}

bool attachment_is_wanted(const attachment_t *self)
{
    return self->client_count || self->prefix_count;
}

static bool s_send_detach(attachment_t *self, size_t count)
{
    Seqpush__V1__Detach detach = SEQPUSH__V1__DETACH__INIT;
    detach.receiver_id = s_binary(self->id, self->id_size);
    detach.generation = self->generation;
    detach.n_client_ids = count;
    detach.client_ids = self->ask->ids;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_DETACH;
    request.detach = &detach;
    return s_send(self, &request);
}

//  Fills the ids of a Detach from the list, of which they stay part until it is sent.
static size_t s_gather_detach(attachment_t *self)
{
    size_t count = 0;
    for (position_t *p = self->to_detach; p && count < CHUNK; p = p->next)
        self->ask->ids[count++] = s_binary(p->id, p->id_size);
    return count;
}

static bool s_detach(attachment_t *self)
{
    if (self->detach_all) {
        if (!s_send_detach(self, 0))
            return false;
        self->detach_all = false;
    }
    while (self->to_detach) {
        size_t count = s_gather_detach(self);
        if (!s_send_detach(self, count))
            return false;
        for (; count; count--) {
            self->to_detach->attached_in = 0;
            position_enlist(self->to_detach, NULL);
        }
    }
    return true;
}

static attachment_prefix_t *s_prefix_to_attach(const attachment_t *self)
{
    for (size_t i = 0; i < self->prefix_count; i++)
        if (!self->generation || self->prefixes[i].attached_in != self->generation)
            return &self->prefixes[i];
    return NULL;
}

//  Fills the Attach from the list, of which the clients stay part until it is sent.
static void s_gather_attach(attachment_t *self)
{
    attachment_ask_t *ask = self->ask;
    ask->count = 0;
    for (position_t *p = self->to_attach; p && ask->count < CHUNK; p = p->next) {
        Seqpush__V1__Position *position = &ask->positions[ask->count];
        seqpush__v1__position__init(position);
        position->client_id = s_binary(p->id, p->id_size);
        position->epoch = p->epoch;
        position->seq = p->seq;
        ask->pointers[ask->count] = position;
        ask->clients[ask->count++] = p;
    }
    attachment_prefix_t *prefix = ask->count ? NULL : s_prefix_to_attach(self);
    ask->has_prefix = prefix != NULL;
    if (prefix) {
        memcpy(ask->prefix, prefix->bytes, prefix->size);
        ask->prefix_size = prefix->size;
    }
}

static bool s_send_attach(attachment_t *self)
{
    Seqpush__V1__Attach body = SEQPUSH__V1__ATTACH__INIT;
    body.receiver_id = s_binary(self->id, self->id_size);
    body.endpoint = (char *)self->endpoint;
    body.ack_mode =
        self->no_acks ? SEQPUSH__V1__ACK_MODE__ACK_NONE : SEQPUSH__V1__ACK_MODE__ACK_CUMULATIVE;
    body.n_clients = self->ask->count;
    body.clients = self->ask->pointers;
    if (self->ask->has_prefix) {
        body.prefix_case = SEQPUSH__V1__ATTACH__PREFIX_CLIENT_PREFIX;
        body.client_prefix = s_binary(self->ask->prefix, self->ask->prefix_size);
    }
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_ATTACH;
    request.attach = &body;
    return s_send(self, &request);
}

//  Asks for the next chunk: clients first, so that none of them comes by a prefix.
static void s_attach(attachment_t *self, int64_t now)
{
    attachment_ask_t *ask = self->ask;
    s_gather_attach(self);
    if ((ask->count == 0 && !ask->has_prefix) || !s_send_attach(self))
        return;
    ask->request_id = self->last_request_id;
    ask->due = now + self->heartbeat;
    for (size_t i = 0; i < ask->count; i++) {
        ask->clients[i]->asked = ask->request_id;
        position_enlist(ask->clients[i], NULL);
    }
}

//  No answer came: what is still wanted of the Attach is to be asked for again.
static void s_abandon_attach(attachment_t *self)
{
    attachment_ask_t *ask = self->ask;
    for (size_t i = 0; i < ask->count; i++)
        if (ask->clients[i]->asked == ask->request_id && ask->clients[i]->state == CLIENT_ATTACHED)
            position_enlist(ask->clients[i], &self->to_attach);
    ask->request_id = 0;
}

//  Makes what is attached what is wanted. One Attach is under way at a time.
static void s_reconcile(attachment_t *self, int64_t now)
{
    if (self->ask->request_id && now >= self->ask->due)
        s_abandon_attach(self);
    if (self->ask->request_id == 0 && s_detach(self))
        s_attach(self, now);
}

bool attachment_is_complete(const attachment_t *self)
{
    return self->generation && !self->ask->request_id && !self->to_attach &&
           !s_prefix_to_attach(self);
}

//  ---- replies -----------------------------------------------------------------------------------

//  Clients that were attached in another generation are not in this one.
static void s_begin_generation(attachment_t *self, uint64_t generation)
{
    position_t *position, *next;
    bool other = self->generation != 0;
    self->generation = generation;
    self->beat_at = socket_clock() + self->heartbeat;
    if (!other)
        return;
    HASH_ITER (hh, self->positions->table, position, next)
        if (position->state == CLIENT_ATTACHED && position->asked != self->ask->request_id)
            position_enlist(position, &self->to_attach);
}

static void s_finish_attach(attachment_t *self)
{
    attachment_ask_t *ask = self->ask;
    for (size_t i = 0; i < ask->count; i++) {
        position_t *position = ask->clients[i];
        position->attached_in = self->generation;
        position->asked = 0;
        if (position->state != CLIENT_ATTACHED)
            position_enlist(position, &self->to_detach);
    }
    attachment_prefix_t *prefix =
        ask->has_prefix ? s_find_prefix(self, ask->prefix, ask->prefix_size) : NULL;
    if (prefix)
        prefix->attached_in = self->generation;
    ask->request_id = 0;
}

//  The client of which a reply speaks, if it is still asked for and not to be attached anew.
static position_t *s_find_attached(const attachment_t *self, const Seqpush__V1__Position *at)
{
    position_t *position = positions_find(self->positions, at->client_id.data, at->client_id.len);
    return position && position->state == CLIENT_ATTACHED && !position->list ? position : NULL;
}

//  The broker goes on after a position; that may lie ahead of what was named.
static void s_on_position(attachment_t *self, const Seqpush__V1__Position *at)
{
    position_t *position = s_find_attached(self, at);
    bool jump = position && position->known;
    if (!position || (jump && !position_is_behind(position, at->epoch, at->seq)))
        return;
    position_set(position, at->epoch, at->seq);
    if (jump)
        self->on_jump(self->arg, position);
}

//  The broker is behind what was named: the client is asked for at the broker's place, unless the
//  application gives it back when it hears of the jump.
static void s_on_refused(attachment_t *self, const Seqpush__V1__Position *at)
{
    position_t *position = s_find_attached(self, at);
    if (!position)
        return;
    position->attached_in = 0;
    position_set(position, at->epoch, at->seq);
    position_enlist(position, &self->to_attach);
    self->on_jump(self->arg, position);
}

static void s_on_attached(attachment_t *self, const Seqpush__V1__Reply *reply)
{
    const Seqpush__V1__Attached *attached = reply->attached;
    if (reply->request_id != self->ask->request_id || attached->generation == 0)
        return;
    self->attaches++;
    if (attached->generation != self->generation)
        s_begin_generation(self, attached->generation);
    s_finish_attach(self);
    for (size_t i = 0; i < attached->n_positions; i++)
        s_on_position(self, attached->positions[i]);
    for (size_t i = 0; i < attached->n_refused; i++)
        s_on_refused(self, attached->refused[i]);
}

static void s_drop_client(attachment_t *self, const void *id, size_t size, const char *reason)
{
    position_t *position = positions_find(self->positions, id, size);
    if (!position || position->state == CLIENT_OUT)
        return;
    position->attached_in = 0;
    s_give_back(self, position);
    self->on_detached(self->arg, position->id, position->id_size, reason);
}

//  The broker took clients away. After a timeout they are attached again; else it is the
//  application's turn, because somebody else may have them now.
static void s_on_detached(attachment_t *self, const Seqpush__V1__Reply *reply)
{
    const Seqpush__V1__Detached *detached = reply->detached;
    if (reply->request_id || (self->generation && detached->generation != self->generation))
        return; //  the answer to a Detach, or of an older session
    if (strcmp(detached->reason, "timeout") == 0) {
        s_lose_generation(self);
        return;
    }
    for (size_t i = 0; i < detached->n_client_ids; i++)
        s_drop_client(self, detached->client_ids[i].data, detached->client_ids[i].len,
                      detached->reason);
    if (detached->n_client_ids == 0) {
        s_forget_all(self);
        s_lose_generation(self);
        self->on_detached(self->arg, NULL, 0, detached->reason);
    }
}

static bool s_is_one_of(const char *code, const char *const *codes)
{
    while (*codes && strcmp(code, *codes) != 0)
        codes++;
    return *codes != NULL;
}

//  The Attach under way was refused. Where asking again is of no use, the application is told.
static void s_on_attach_error(attachment_t *self, const char *code)
{
    static const char *const lasting[] = {"forbidden", "endpoint_refused", "invalid",
                                          "malformed", "unsupported",      NULL};
    attachment_ask_t *ask = self->ask;
    if (!s_is_one_of(code, lasting))
        return; //  asked again when it is due
    uint64_t request_id = ask->request_id;
    ask->request_id = 0;
    for (size_t i = 0; i < ask->count; i++)
        if (ask->clients[i]->asked == request_id)
            s_drop_client(self, ask->clients[i]->id, ask->clients[i]->id_size, code);
    attachment_prefix_t *prefix =
        ask->has_prefix ? s_find_prefix(self, ask->prefix, ask->prefix_size) : NULL;
    if (prefix) {
        s_remove_prefix(self, prefix);
        self->on_detached(self->arg, ask->prefix, ask->prefix_size, code);
    }
}

static void s_on_error(attachment_t *self, const Seqpush__V1__Reply *reply)
{
    static const char *const lost[] = {"stale_generation", "unknown_receiver", NULL};
    uint64_t id = reply->request_id;
    if (id && id == self->ask->request_id)
        s_on_attach_error(self, reply->error->code);
    else if (self->generation && (id == 0 || id >= self->first_request_id) &&
             s_is_one_of(reply->error->code, lost))
        s_lose_generation(self);
}

void attachment_reply(attachment_t *self, const Seqpush__V1__Reply *reply)
{
    self->unanswered = 0;
    if (self->instance && reply->instance != self->instance)
        s_lose_generation(self);
    self->instance = reply->instance;
    switch (reply->body_case) {
    case SEQPUSH__V1__REPLY__BODY_ATTACHED:
        s_on_attached(self, reply);
        break;
    case SEQPUSH__V1__REPLY__BODY_DETACHED:
        s_on_detached(self, reply);
        break;
    case SEQPUSH__V1__REPLY__BODY_ERROR:
        s_on_error(self, reply);
        break;
    default:
        break; //  a heartbeat's answer has done its work by coming
    }
}

//  ---- what is due -------------------------------------------------------------------------------

static void s_send_heartbeat(attachment_t *self)
{
    Seqpush__V1__Heartbeat heartbeat = SEQPUSH__V1__HEARTBEAT__INIT;
    heartbeat.receiver_id = s_binary(self->id, self->id_size);
    heartbeat.generation = self->generation;
    Seqpush__V1__Request request = SEQPUSH__V1__REQUEST__INIT;
    request.body_case = SEQPUSH__V1__REQUEST__BODY_HEARTBEAT;
    request.heartbeat = &heartbeat;
    s_send(self, &request);
}

//  Sends a heartbeat that is due, or gives the generation up after some without an answer.
static void s_beat(attachment_t *self, int64_t now)
{
    if (self->generation == 0 || now < self->beat_at)
        return;
    self->beat_at = now + self->heartbeat;
    if (self->unanswered++ < BEATS_MISSED)
        s_send_heartbeat(self);
    else
        s_lose_generation(self);
}

void attachment_turn(attachment_t *self, int64_t now)
{
    s_beat(self, now);
    s_reconcile(self, now);
}

int64_t attachment_due_at(const attachment_t *self)
{
    int64_t at = self->generation ? self->beat_at : -1;
    return self->ask->request_id ? socket_earlier(at, self->ask->due) : at;
}

//  ---- the end -----------------------------------------------------------------------------------

//  Waits for the answer to the request sent last.
static void s_await_answer(attachment_t *self)
{
    int64_t until = socket_deadline(FAREWELL);
    zmq_pollitem_t item = {.socket = self->dealer, .events = ZMQ_POLLIN};
    for (bool answered = false; !answered && socket_clock() < until;) {
        Seqpush__V1__Reply *reply;
        if (socket_receive_reply(self->dealer, &reply) == 0)
            socket_wait(&item, 1, until);
        answered = reply && reply->request_id == self->last_request_id;
        seqpush__v1__reply__free_unpacked(reply, NULL);
    }
}

void attachment_farewell(attachment_t *self)
{
    if (self->generation && s_send_detach(self, 0))
        s_await_answer(self);
}
