//  receiver.c - the clients of one receiver; see receiver.h

#include "receiver.h"
#include <stdlib.h>
#include <string.h>

void receiver_link(receiver_t *self, client_t *client)
{
    client->receiver = self;
    client->previous = NULL;
    client->next = self->clients;
    if (self->clients)
        self->clients->previous = client;
    self->clients = client;
    self->client_count++;
    self->kept_bytes += client->kept_bytes;
    self->retained += client->flow->retained.count;
}

static void s_drop_from_queue(receiver_t *self, client_t *client)
{
    if (client->flow->ready_previous)
        client->flow->ready_previous->flow->ready_next = client->flow->ready_next;
    else
        self->ready_first = client->flow->ready_next;
    if (client->flow->ready_next)
        client->flow->ready_next->flow->ready_previous = client->flow->ready_previous;
    else
        self->ready_last = client->flow->ready_previous;
    client->ready = false;
}

void receiver_unlink(receiver_t *self, client_t *client)
{
    if (client->ready)
        s_drop_from_queue(self, client);
    if (client->previous)
        client->previous->next = client->next;
    else
        self->clients = client->next;
    if (client->next)
        client->next->previous = client->previous;
    self->client_count--;
    self->kept_bytes -= client->kept_bytes;
    self->retained -= client->flow->retained.count;
}

void receiver_queue(receiver_t *self, client_t *client)
{
    if (client->ready)
        return;
    client->ready = true;
    client->flow->ready_previous = self->ready_last;
    client->flow->ready_next = NULL;
    if (self->ready_last)
        self->ready_last->flow->ready_next = client;
    else
        self->ready_first = client;
    self->ready_last = client;
}

client_t *receiver_unqueue(receiver_t *self)
{
    client_t *client = self->ready_first;
    if (client)
        s_drop_from_queue(self, client);
    return client;
}

void receiver_set_key(receiver_t *self, const char *server_key)
{
    size_t size = server_key ? strnlen(server_key, RECEIVER_KEY_SIZE - 1) : 0;
    if (size)
        memcpy(self->server_key, server_key, size);
    self->server_key[size] = '\0';
}

void receiver_free(receiver_t *self)
{
    free(self->address);
    free(self);
}
