/*  unconfirmed.c - the table of pushes by client, and the queue through them */

#include "unconfirmed.h"
#include "positions.h"
#include <stdlib.h>

struct unconfirmed_client {
    unconfirmed_push_t *pushes;
    unconfirmed_push_t *near; //  found or added last: the next one is probably close to it
    UT_hash_handle hh;
    uint8_t id_size;
    uint8_t id[];
};

//  ---- clients -----------------------------------------------------------------------------------

static unconfirmed_client_t *s_find_client(unconfirmed_t *self, const void *id, size_t id_size)
{
    unconfirmed_client_t *client = NULL;
    HASH_FIND(hh, self->table, id, id_size, client);
    return client;
}

static unconfirmed_client_t *s_add_client(unconfirmed_t *self, const void *id, size_t id_size)
{
    unconfirmed_client_t *client = calloc(1, sizeof *client + id_size);
    if (!client)
        return NULL;
    memcpy(client->id, id, id_size);
    client->id_size = (uint8_t)id_size;
    HASH_ADD_KEYPTR(hh, self->table, client->id, id_size, client);
    if (client->hh.tbl)
        return client;
    free(client);
    return NULL;
}

static void s_drop_if_empty(unconfirmed_t *self, unconfirmed_client_t *client)
{
    if (client->pushes)
        return;
    HASH_DEL(self->table, client);
    free(client);
}

void unconfirmed_fini(unconfirmed_t *self)
{
    while (self->table) {
        unconfirmed_client_t *client = self->table;
        while (client->pushes) {
            unconfirmed_push_t *push = client->pushes;
            DL_DELETE(client->pushes, push);
            free(push);
        }
        HASH_DEL(self->table, client);
        free(client);
    }
}

//  ---- pushes ------------------------------------------------------------------------------------

static bool s_is_after(const unconfirmed_push_t *push, uint64_t epoch, uint64_t seq)
{
    return push->epoch > epoch || (push->epoch == epoch && push->seq > seq);
}

//  The last push that is not after a place, or NULL. Pushes come in runs, so the search is short.
static unconfirmed_push_t *s_last_until(const unconfirmed_client_t *client, uint64_t epoch,
                                        uint64_t seq)
{
    unconfirmed_push_t *at = client->near;
    if (!at && client->pushes)
        at = client->pushes->prev; //  the last one
    while (at && at->next && !s_is_after(at->next, epoch, seq))
        at = at->next;
    while (at && s_is_after(at, epoch, seq))
        at = at == client->pushes ? NULL : at->prev;
    return at;
}

//  The push at a place, or NULL.
static unconfirmed_push_t *s_at(unconfirmed_client_t *client, uint64_t epoch, uint64_t seq)
{
    unconfirmed_push_t *at = s_last_until(client, epoch, seq);
    if (!at || at->epoch != epoch || at->seq != seq)
        return NULL;
    return client->near = at;
}

unconfirmed_push_t *unconfirmed_find(unconfirmed_t *self, const seqpush_push_t *push)
{
    unconfirmed_client_t *client = s_find_client(self, push->client_id, push->client_id_size);
    return client ? s_at(client, push->epoch, push->seq) : NULL;
}

static unconfirmed_push_t *s_add(unconfirmed_client_t *client, const seqpush_push_t *push)
{
    unconfirmed_push_t *added = calloc(1, sizeof *added + push->payload_size);
    if (!added)
        return NULL;
    added->client = client;
    added->epoch = push->epoch;
    added->seq = push->seq;
    added->payload_size = push->payload_size;
    if (push->payload_size)
        memcpy(added->payload, push->payload, push->payload_size);
    unconfirmed_push_t *before = s_last_until(client, push->epoch, push->seq);
    DL_APPEND_ELEM(client->pushes, before, added);
    return client->near = added;
}

unconfirmed_push_t *unconfirmed_get(unconfirmed_t *self, const seqpush_push_t *push)
{
    unconfirmed_client_t *client = s_find_client(self, push->client_id, push->client_id_size);
    if (!client)
        client = s_add_client(self, push->client_id, push->client_id_size);
    if (!client)
        return NULL;
    unconfirmed_push_t *at = s_at(client, push->epoch, push->seq);
    if (!at)
        at = s_add(client, push);
    s_drop_if_empty(self, client);
    return at;
}

unconfirmed_push_t *unconfirmed_first(unconfirmed_t *self, const void *client_id, size_t size)
{
    unconfirmed_client_t *client = s_find_client(self, client_id, size);
    return client ? client->pushes : NULL;
}

seqpush_push_t unconfirmed_view(const unconfirmed_push_t *push)
{
    return (seqpush_push_t){
        push->client->id, push->client->id_size, push->epoch,
        push->seq,        push->payload,         push->payload_size,
    };
}

void unconfirmed_wait(unconfirmed_t *self, unconfirmed_push_t *push)
{
    DL_APPEND2(self->queue, push, older, newer);
    self->waiting++;
}

void unconfirmed_leave(unconfirmed_t *self, unconfirmed_push_t *push)
{
    if (!unconfirmed_waits(push))
        return;
    DL_DELETE2(self->queue, push, older, newer);
    push->older = push->newer = NULL;
    self->waiting--;
}

void unconfirmed_remove(unconfirmed_t *self, unconfirmed_push_t *push)
{
    unconfirmed_client_t *client = push->client;
    unconfirmed_leave(self, push);
    if (client->near == push)
        client->near = push->next;
    DL_DELETE(client->pushes, push);
    free(push);
    s_drop_if_empty(self, client);
}
