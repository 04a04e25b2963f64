/*  outbox.c - sealing, sending and sending again */

#include "outbox.h"
#include "socket.h"
#include <utlist.h>

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
    if (!batch_request(batch, &message) || !socket_send(self->socket, &message))
        return false;
    self->last_request_id++;
    batch->sent_at = now;
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

//  Puts a batch in front of what is to be sent. `*after` is the one that was put there before it,
//  so that they keep their order.
static void s_send_again(outbox_t *self, batch_t *batch, batch_t **after)
{
    outbox_remove(self, batch);
    self->resends += batch->count;
    DL_APPEND_ELEM(self->sealed, *after, batch);
    *after = batch;
}

void outbox_note_instance(outbox_t *self, uint64_t instance, uint64_t request_id)
{
    bool changed = self->instance && instance != self->instance;
    self->instance = instance;
    batch_t *after = NULL;
    while (changed && self->wire && self->wire->request_id < request_id)
        s_send_again(self, self->wire, &after);
}

//  True if the broker has answered since it was sent the oldest batch on the wire.
static bool s_is_alive(const outbox_t *self)
{
    return self->heard_at > self->wire->sent_at;
}

int64_t outbox_overdue_at(const outbox_t *self)
{
    if (!self->wire)
        return -1;
    int64_t since = self->wire->sent_at;
    if (!s_is_alive(self) && self->probed_at > since)
        since = self->probed_at;
    return since + self->reply_timeout;
}

void outbox_resend_overdue(outbox_t *self, int64_t now)
{
    batch_t *after = NULL;
    while (self->wire && outbox_overdue_at(self) <= now) {
        if (!s_is_alive(self))
            self->probed_at = now;
        s_send_again(self, self->wire, &after);
    }
}
