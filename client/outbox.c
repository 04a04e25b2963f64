/*  outbox.c - sealing, sending and sending again */

#include "outbox.h"
#include "socket.h"
#include <utlist.h>

//  A silent broker is sent the oldest batch again after reply_timeout, then after twice as long,
//  and so on up to this many times.
#define DOUBLINGS_MAX 3

//  What was sent so short a time ago may still be on its way.
#define MOMENT 500 //  ms that a request and its reply may be under way

static void s_destroy_batches(batch_t *list)
{
    batch_t *batch, *next;
    DL_FOREACH_SAFE(list, batch, next)
    {
        batch_destroy(&batch);
    }
}

void outbox_fini(outbox_t *self)
{
    s_destroy_batches(self->sealed);
    s_destroy_batches(self->wire);
    s_destroy_batches(self->pool);
}

static bool s_send(outbox_t *self, batch_t *batch, int64_t now)
{
    zmq_msg_t message;
    batch->request_id = self->last_request_id + 1;
    if (!batch_request(batch, self->confirm, &message) || !socket_send(self->socket, &message))
        return false;
    self->last_request_id++;
    batch->sent_at = now;
    batch->connection = self->connection;
    return true;
}

void outbox_transmit(outbox_t *self)
{
    int64_t now = self->sealed ? socket_clock() : 0;
    self->blocked = false;
    while (self->sealed) {
        batch_t *batch = self->sealed;
        if (self->on_wire && self->on_wire + batch->count > self->credit)
            return;
        self->blocked = !s_send(self, batch, now);
        if (self->blocked)
            return;
        batch->first_id = batch->request_id;
        batch->resends = 0;
        DL_DELETE(self->sealed, batch);
        DL_APPEND(self->wire, batch);
        self->on_wire += batch->count;
    }
}

void outbox_seal(outbox_t *self, batch_t **open)
{
    if (!*open || (*open)->count == 0)
        return;
    DL_APPEND(self->sealed, *open);
    *open = NULL;
    outbox_transmit(self);
}

batch_t *outbox_open(outbox_t *self, batch_t **open)
{
    batch_t *batch = self->pool;
    if (batch)
        DL_DELETE(self->pool, batch);
    else
        batch = batch_new();
    if (batch)
        batch->serial = ++self->serials;
    return *open = batch;
}

void outbox_remove(outbox_t *self, batch_t *batch)
{
    DL_DELETE(self->wire, batch);
    self->on_wire -= batch->count;
}

void outbox_recycle(outbox_t *self, batch_t *batch)
{
    batch_clear(batch, 2 * self->batch_bytes);
    DL_PREPEND(self->pool, batch);
}

//  ---- what has no reply -------------------------------------------------------------------------

//  Puts a batch in front of what is to be sent. `*after` is the one that was put there before it,
//  so that they keep their order.
static void s_seal_again(outbox_t *self, batch_t *batch, batch_t **after)
{
    outbox_remove(self, batch);
    self->resends += batch->count;
    DL_APPEND_ELEM(self->sealed, *after, batch);
    *after = batch;
}

static void s_note_instance(outbox_t *self, uint64_t instance, uint64_t first)
{
    bool changed = self->instance && instance != self->instance;
    self->instance = instance;
    batch_t *after = NULL, *batch, *next;
    for (batch = changed ? self->wire : NULL; batch && batch->first_id < first; batch = next) {
        next = batch->next;
        if (batch->request_id < first)
            s_seal_again(self, batch, &after);
    }
}

void outbox_note_answer(outbox_t *self, uint64_t instance, uint64_t first, uint64_t last)
{
    self->answered_at = socket_clock();
    if (self->answered_id < last)
        self->answered_id = last;
    s_note_instance(self, instance, first);
}

//  The oldest batch on the wire is looked at, and those that may have been passed over.
static bool s_is_looked_at(const outbox_t *self, const batch_t *batch)
{
    return batch && (batch == self->wire || batch->first_id < self->answered_id);
}

static int64_t s_overdue_at(const outbox_t *self, const batch_t *batch)
{
    if (batch->request_id < self->answered_id)
        return batch->sent_at + self->reply_timeout;
    if (batch != self->wire)
        return -1;
    int64_t since = batch->sent_at > self->answered_at ? batch->sent_at : self->answered_at;
    uint32_t doublings = batch->resends < DOUBLINGS_MAX ? batch->resends : DOUBLINGS_MAX;
    return since + ((int64_t)self->reply_timeout << doublings);
}

int64_t outbox_overdue_at(const outbox_t *self)
{
    int64_t at = -1;
    if (self->blocked)
        return at;
    for (const batch_t *batch = self->wire; s_is_looked_at(self, batch); batch = batch->next)
        at = socket_earlier(at, s_overdue_at(self, batch));
    return at;
}

static void s_resend(outbox_t *self, batch_t *batch, int64_t now)
{
    self->blocked = !s_send(self, batch, now);
    if (self->blocked)
        return;
    batch->resends++;
    self->resends += batch->count;
}

bool outbox_may_be_lost(const batch_t *batch, int64_t now)
{
    return now - batch->sent_at >= MOMENT;
}

void outbox_resend(outbox_t *self, batch_t *batch, int64_t now)
{
    if (!self->blocked)
        s_resend(self, batch, now);
}

void outbox_resend_overdue(outbox_t *self, int64_t now)
{
    for (batch_t *batch = self->wire; s_is_looked_at(self, batch); batch = batch->next) {
        int64_t at = s_overdue_at(self, batch);
        if (at < 0 || at > now)
            continue;
        s_resend(self, batch, now);
        if (self->blocked)
            return;
    }
}
