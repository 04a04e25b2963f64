/*  load_peer_receiver.c - a receiver of seqpush.h in a counterpart's protocol */

#include "load.h"
#include "session.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seqpush_receiver {
    session_t session;
    uint16_t index;
    bool subscribed;
    seqpush_receiver_stats_t stats;
};

seqpush_receiver_t *seqpush_receiver_new(const seqpush_receiver_options_t *options)
{
    seqpush_receiver_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->index = (uint16_t)atomic_fetch_add(&load->receivers, 1);
    snprintf(self->session.name, sizeof self->session.name, "receiver-%u", self->index);
    memcpy(load->bound[self->index], self->session.name, sizeof self->session.name);
    self->session.on_push = options->on_push;
    self->session.arg = options->arg;
    if (!session_open(&self->session, load->from))
        seqpush_receiver_destroy(&self);
    return self;
}

void seqpush_receiver_destroy(seqpush_receiver_t **self_p)
{
    seqpush_receiver_t *self = *self_p;
    if (!self)
        return;
    session_close(&self->session);
    free(self);
    *self_p = NULL;
}

int seqpush_receiver_attach(seqpush_receiver_t *self, const void *client_id, size_t client_id_size,
                            uint64_t epoch, uint64_t seq)
{
    session_t *session = &self->session;
    size_t count = session->client_count;
    (void)epoch;
    (void)seq;
    if ((count & (count - 1)) == 0) { //  room doubles when it is used up
        size_t room = count ? 2 * count : 1;
        session_client_t *clients = realloc(session->clients, room * sizeof *clients);
        if (!clients)
            return -ENOMEM;
        session->clients = clients;
    }
    session_client_t *client = &session->clients[session->client_count++];
    memcpy(client->id, client_id, client_id_size);
    client->id[client_id_size] = '\0';
    client->size = client_id_size;
    load->receiver_of[load_client(client_id, client_id_size)] = self->index;
    return 0;
}

bool seqpush_receiver_attached(const seqpush_receiver_t *self)
{
    return self->session.attached;
}

const seqpush_receiver_stats_t *seqpush_receiver_stats(const seqpush_receiver_t *self)
{
    return &self->stats;
}

long seqpush_receiver_poll(seqpush_receiver_t *self, int timeout_ms)
{
    session_t *session = &self->session;
    uint64_t before = session->taken;
    if (!self->subscribed)
        session->protocol->subscribe(session);
    self->subscribed = true;
    int error = session_turn(session, timeout_ms);
    atomic_fetch_add(&load->received, session->taken - before);
    return error ? error : (long)(session->taken - before);
}
