/*  protocol_mqtt.c - MQTT 3.1.1 with quality of service 0 and 1

    A client's id is the topic. With quality of service 1 publishers go on without waiting for the
    server's PUBACK, and receivers answer all PUBLISH of a read together. */

#include "load.h"
#include "session.h"
#include <string.h>

//  mosquitto drops what has quality of service 0 when much of it waits for a receiver.
#define QOS0_WINDOW 1024

enum { CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9 };

static bool s_is_qos1(const session_t *self)
{
    return self->protocol->answers;
}

//  ---- writing ------------------------------------------------------------------------------------

static void s_put_byte(session_t *self, unsigned byte)
{
    link_put(&self->link, &(uint8_t){(uint8_t)byte}, 1);
}

static void s_put_short(session_t *self, size_t number)
{
    link_put(&self->link, (uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

static void s_put_string(session_t *self, const void *bytes, size_t size)
{
    s_put_short(self, size);
    link_put(&self->link, bytes, size);
}

//  Type, flags and the size of what follows.
static void s_put_head(session_t *self, unsigned type, unsigned flags, size_t size)
{
    s_put_byte(self, type << 4 | flags);
    for (; size >= 0x80; size >>= 7)
        s_put_byte(self, (unsigned)(size & 0x7f) | 0x80);
    s_put_byte(self, (unsigned)size);
}

//  The next packet's number, which is never 0.
static size_t s_number(session_t *self)
{
    return self->number++ % 0xffff + 1;
}

//  A clean session, of which nothing is kept, and no keep-alive.
static void s_greet(session_t *self)
{
    s_put_head(self, CONNECT, 0, 10 + 2 + strlen(self->name));
    s_put_string(self, "MQTT", 4);
    s_put_byte(self, 4);
    s_put_byte(self, 2);
    s_put_short(self, 0);
    s_put_string(self, self->name, strlen(self->name));
}

static void s_publish(session_t *self, const seqpush_push_t *push)
{
    unsigned qos = s_is_qos1(self);
    size_t size = 2 + push->client_id_size + (qos ? 2 : 0) + push->payload_size;
    s_put_head(self, PUBLISH, qos << 1, size);
    s_put_string(self, push->client_id, push->client_id_size);
    if (qos)
        s_put_short(self, s_number(self));
    link_put(&self->link, push->payload, push->payload_size);
}

static void s_subscribe(session_t *self)
{
    size_t size = 2;
    for (size_t i = 0; i < self->client_count; i++)
        size += 2 + self->clients[i].size + 1;
    s_put_head(self, SUBSCRIBE, 2, size);
    s_put_short(self, s_number(self));
    for (size_t i = 0; i < self->client_count; i++) {
        s_put_string(self, self->clients[i].id, self->clients[i].size);
        s_put_byte(self, s_is_qos1(self));
    }
}

//  ---- reading ------------------------------------------------------------------------------------

static void s_take_publish(session_t *self, unsigned flags, const uint8_t *at, const uint8_t *end)
{
    unsigned qos = flags >> 1 & 3;
    size_t size = end - at >= 2 ? (size_t)(at[0] << 8 | at[1]) : SIZE_MAX / 2;
    size_t head = 2 + size + (qos ? 2 : 0);
    if ((size_t)(end - at) < head || qos != s_is_qos1(self)) {
        self->failed = true;
        return;
    }
    session_hand(self, at + 2, size, at + head, (size_t)(end - at) - head);
    if (qos) {
        s_put_head(self, PUBACK, 0, 2);
        link_put(&self->link, at + 2 + size, 2);
    }
}

static void s_take_packet(session_t *self, unsigned first, const uint8_t *at, const uint8_t *end)
{
    switch (first >> 4) {
    case PUBLISH:
        s_take_publish(self, first & 0xf, at, end);
        break;
    case PUBACK:
        self->answered++;
        break;
    case SUBACK: //  0x80 for a topic says that it was refused
        self->attached = true;
        self->failed |= memchr(at + 2, 0x80, (size_t)(end - at) - 2) != NULL;
        break;
    default:
        self->failed |= first >> 4 != CONNACK || at[1] != 0;
    }
}

static const uint8_t *s_take(session_t *self, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *p = at + 1;
    size_t size = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        if (p == end)
            return NULL;
        size |= (size_t)(*p & 0x7f) << shift;
        if (*p++ < 0x80)
            break;
    }
    if ((size_t)(end - p) < size)
        return NULL;
    if (size < 2)
        self->failed = true;
    else
        s_take_packet(self, *at, p, p + size);
    return p + size;
}

static void s_settle(session_t *self)
{
    (void)self;
}

const protocol_t protocol_mqtt_qos0 = {
    .kind = "qos0",
    .window = QOS0_WINDOW,
    .answers = false,
    .greet = s_greet,
    .publish = s_publish,
    .subscribe = s_subscribe,
    .take = s_take,
    .settle = s_settle,
};

const protocol_t protocol_mqtt_qos1 = {
    .kind = "qos1",
    .window = LOAD_WINDOW,
    .answers = true,
    .greet = s_greet,
    .publish = s_publish,
    .subscribe = s_subscribe,
    .take = s_take,
    .settle = s_settle,
};
