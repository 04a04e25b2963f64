/*  session.c - one client's conversation with a counterpart */

#include "session.h"
#include "load.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const protocol_t *const s_protocols[] = {
    &protocol_nats,    &protocol_jetstream, &protocol_jetstream_file, &protocol_redis,
    &protocol_streams, &protocol_mqtt_qos0, &protocol_mqtt_qos1};

const protocol_t *session_protocol(void)
{
    for (size_t i = 0; i < sizeof s_protocols / sizeof *s_protocols; i++)
        if (strcmp(s_protocols[i]->kind, load->kind) == 0)
            return s_protocols[i];
    return NULL;
}

bool session_open(session_t *self, const char *address)
{
    self->protocol = session_protocol();
    if (!self->protocol || !link_open(&self->link, address))
        return false;
    self->protocol->greet(self);
    return true;
}

void session_close(session_t *self)
{
    link_close(&self->link);
    free(self->clients);
}

static void s_take_all(session_t *self)
{
    link_buffer_t *in = &self->link.in;
    const uint8_t *at = in->bytes + in->begin, *end = in->bytes + in->end;
    while (at && at < end && !self->failed) {
        in->begin = (size_t)(at - in->bytes);
        at = self->protocol->take(self, at, end);
    }
    if (at)
        in->begin = in->end = 0;
}

int session_turn(session_t *self, int timeout_ms)
{
    link_flush(&self->link);
    bool came = link_read(&self->link);
    if (!came && timeout_ms) {
        link_wait(&self->link, timeout_ms);
        link_flush(&self->link);
        came = link_read(&self->link);
    }
    if (came) {
        s_take_all(self);
        self->protocol->settle(self);
        link_flush(&self->link);
    }
    if (self->failed)
        return -EPROTO;
    return self->link.broken ? -ECONNRESET : 0;
}

void session_hand(session_t *self, const void *id, size_t id_size, const void *payload,
                  size_t payload_size)
{
    seqpush_push_t push = {id, id_size, 0, 0, payload, payload_size};
    if (!load_seq(payload, payload_size, &push.seq)) {
        self->failed = true;
        return;
    }
    self->on_push(self->arg, &push);
    self->taken++;
}
