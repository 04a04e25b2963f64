/*  attachment_reply.c - what the broker's replies mean to an attachment */

#include "attachment_state.h"
#include <string.h>

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
        ask->has_prefix ? attachment_find_prefix(self, ask->prefix, ask->prefix_size) : NULL;
    if (prefix)
        prefix->attached_in = self->generation;
    ask->request_id = 0;
}

//  True if the client is still asked for and not to be attached anew.
static bool s_is_attached(const position_t *position)
{
    return position->state == CLIENT_ATTACHED && !position_is_awaited(position);
}

//  The client of which a reply speaks, if that is so.
static position_t *s_find_attached(const attachment_t *self, const Seqpush__V1__Position *at)
{
    position_t *position = positions_find(self->positions, at->client_id.data, at->client_id.len);
    return position && s_is_attached(position) ? position : NULL;
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

//  What was dropped may have been sent after the Attach, and would come again only after a while.
static void s_ask_for_passed_over(attachment_t *self)
{
    attachment_ask_t *ask = self->ask;
    for (size_t i = 0; i < ask->count; i++)
        if (ask->clients[i]->passed_over && s_is_attached(ask->clients[i]))
            self->on_passed_over(self->arg, ask->clients[i]);
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
    s_ask_for_passed_over(self);
}

static void s_drop_client(attachment_t *self, const void *id, size_t size, const char *reason)
{
    position_t *position = positions_find(self->positions, id, size);
    if (!position || position->state == CLIENT_OUT)
        return;
    position->attached_in = 0;
    attachment_give_back(self, position);
    self->on_detached(self->arg, position->id, position->id_size, reason);
}

//  Replies come in the order of the requests, so what the broker takes away before it has answered an
//  Attach was taken before that, and the Attach takes it back.
static bool s_is_older_than(const attachment_t *self, uint64_t attach_id)
{
    return attach_id > self->last_answered_id;
}

static void s_take_away(attachment_t *self, const void *id, size_t size, const char *reason)
{
    const position_t *position = positions_find(self->positions, id, size);
    if (position && !s_is_older_than(self, position->asked))
        s_drop_client(self, id, size, reason);
}

static void s_take_away_all(attachment_t *self, const char *reason)
{
    if (s_is_older_than(self, self->last_attach_id))
        return;
    attachment_forget_all(self);
    attachment_lose_generation(self);
    self->on_detached(self->arg, NULL, 0, reason);
}

//  The broker took clients away. After a timeout they are attached again; else it is the
//  application's turn, because somebody else may have them now.
static void s_on_detached(attachment_t *self, const Seqpush__V1__Reply *reply)
{
    const Seqpush__V1__Detached *detached = reply->detached;
    if (reply->request_id || (self->generation && detached->generation != self->generation))
        return; //  the answer to a Detach, or of an older session
    if (strcmp(detached->reason, "timeout") == 0) {
        attachment_lose_generation(self);
        return;
    }
    for (size_t i = 0; i < detached->n_client_ids; i++)
        s_take_away(self, detached->client_ids[i].data, detached->client_ids[i].len,
                    detached->reason);
    if (detached->n_client_ids == 0)
        s_take_away_all(self, detached->reason);
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
        if (ask->clients[i]->asked == request_id && !ask->clients[i]->list)
            s_drop_client(self, ask->clients[i]->id, ask->clients[i]->id_size, code);
    attachment_prefix_t *prefix =
        ask->has_prefix ? attachment_find_prefix(self, ask->prefix, ask->prefix_size) : NULL;
    if (prefix) {
        attachment_remove_prefix(self, prefix);
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
        attachment_lose_generation(self);
}

//  Another run of the broker may know nothing of the clients that a prefix brought, so they are named
//  once, with their positions, before the prefix takes them in again.
static void s_note_instance(attachment_t *self, uint64_t instance)
{
    position_t *position, *next;
    bool changed = self->instance && instance != self->instance;
    self->instance = instance;
    if (!changed)
        return;
    attachment_lose_generation(self);
    HASH_ITER (hh, self->positions->table, position, next)
        if (position->state == CLIENT_PREFIXED && position->known)
            position_enlist(position, &self->to_attach);
}

void attachment_reply(attachment_t *self, const Seqpush__V1__Reply *reply)
{
    self->unanswered = 0;
    if (reply->request_id > self->last_answered_id)
        self->last_answered_id = reply->request_id;
    s_note_instance(self, reply->instance);
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
