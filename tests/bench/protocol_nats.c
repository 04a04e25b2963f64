/*  protocol_nats.c - NATS, core and JetStream, as its text protocol has it

    A client's id is the subject. In JetStream each receiver makes a stream, in memory or in files, for
    the subjects of its clients, and a push consumer on it with cumulative acknowledgements; publishers go on
    without waiting for the server's. */

#include "load.h"
#include "session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 6

//  ---- both ---------------------------------------------------------------------------------------

static void s_greet(session_t *self)
{
    link_print(&self->link, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\","
                            "\"version\":\"1\",\"protocol\":1}\r\n");
}

//  A message that has come.
typedef struct {
    const char *subject, *reply; //  not terminated; no reply: of size 0
    size_t subject_size, reply_size, size;
    const uint8_t *payload;
} message_t;

//  Splits "MSG subject sid [reply] size", which ends before `end`.
static bool s_split(message_t *message, const uint8_t *line, const uint8_t *end)
{
    const char *fields[FIELDS_MAX], *at = (const char *)line, *stop = (const char *)end;
    size_t sizes[FIELDS_MAX], count = 0;
    while (at < stop && count < FIELDS_MAX) {
        const char *space = memchr(at, ' ', (size_t)(stop - at));
        const char *to = space ? space : stop;
        fields[count] = at;
        sizes[count++] = (size_t)(to - at);
        at = to + 1;
    }
    if (count != 4 && count != 5)
        return false;
    *message = (message_t){.subject = fields[1], .subject_size = sizes[1], .reply = fields[3]};
    message->reply_size = count == 5 ? sizes[3] : 0;
    message->size = strtoul(fields[count - 1], NULL, 10);
    return true;
}

static bool s_begins(const uint8_t *line, const uint8_t *end, const char *word)
{
    size_t size = strlen(word);
    return (size_t)(end - line) >= size && memcmp(line, word, size) == 0;
}

//  Takes a line, and the message behind it if it announces one. Everything else needs no answer but
//  PING, and -ERR is a failure.
static const uint8_t *s_take(session_t *self, const uint8_t *at, const uint8_t *end,
                             void (*on_message)(session_t *self, const message_t *message))
{
    const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
    message_t message;
    if (!newline || newline == at)
        return NULL;
    const uint8_t *next = newline + 1;
    if (s_begins(at, newline, "MSG ")) {
        if (!s_split(&message, at, newline - 1)) {
            self->failed = true;
            return NULL;
        }
        if ((size_t)(end - next) < message.size + 2)
            return NULL;
        message.payload = next;
        on_message(self, &message);
        return next + message.size + 2;
    }
    if (s_begins(at, newline, "PING"))
        link_print(&self->link, "PONG\r\n");
    else if (s_begins(at, newline, "PONG"))
        self->attached = true;
    self->failed |= s_begins(at, newline, "-ERR");
    return next;
}

//  The end of a PUB line, and what follows it.
static void s_put_payload(session_t *self, const void *payload, size_t size)
{
    link_text(&self->link, " ");
    link_number(&self->link, size);
    link_text(&self->link, "\r\n");
    link_put(&self->link, payload, size);
    link_put(&self->link, "\r\n", 2);
}

//  ---- core ---------------------------------------------------------------------------------------

static void s_publish(session_t *self, const seqpush_push_t *push)
{
    link_text(&self->link, "PUB ");
    link_put(&self->link, push->client_id, push->client_id_size);
    s_put_payload(self, push->payload, push->payload_size);
}

//  PONG comes when the server has them all.
static void s_subscribe(session_t *self)
{
    for (size_t i = 0; i < self->client_count; i++)
        link_print(&self->link, "SUB %s %zu\r\n", self->clients[i].id, i + 1);
    link_print(&self->link, "PING\r\n");
}

static void s_on_message(session_t *self, const message_t *message)
{
    session_hand(self, message->subject, message->subject_size, message->payload, message->size);
}

static const uint8_t *s_take_core(session_t *self, const uint8_t *at, const uint8_t *end)
{
    return s_take(self, at, end, s_on_message);
}

static void s_settle_core(session_t *self)
{
    (void)self;
}

//  ---- JetStream ----------------------------------------------------------------------------------

//  Where answers go: a subject of the publisher's, or of the receiver's, own.
static void s_greet_jetstream(session_t *self)
{
    s_greet(self);
    link_print(&self->link, "SUB answers.%s 1\r\n", self->name);
}

static void s_publish_jetstream(session_t *self, const seqpush_push_t *push)
{
    link_text(&self->link, "PUB ");
    link_put(&self->link, push->client_id, push->client_id_size);
    link_text(&self->link, " answers.");
    link_text(&self->link, self->name);
    s_put_payload(self, push->payload, push->payload_size);
}

static void s_ask(session_t *self, const char *what, const char *json)
{
    link_print(&self->link, "PUB $JS.API.%s.%s answers.%s", what, self->name, self->name);
    s_put_payload(self, json, strlen(json));
}

static bool s_in_files(const session_t *self)
{
    return self->protocol == &protocol_jetstream_file;
}

static void s_make_stream(session_t *self)
{
    size_t room = self->client_count * (SEQPUSH_ID_MAX + 4) + 256, size;
    char *json = malloc(room);
    if (!json) {
        self->failed = true;
        return;
    }
    size = (size_t)snprintf(json, room, "{\"name\":\"%s\",\"subjects\":[", self->name);
    for (size_t i = 0; i < self->client_count; i++)
        size += (size_t)snprintf(json + size, room - size, "%s\"%s\"", i ? "," : "",
                                 self->clients[i].id);
    snprintf(json + size, room - size,
             "],\"storage\":\"%s\",\"retention\":\"limits\","
             "\"num_replicas\":1}",
             s_in_files(self) ? "file" : "memory");
    s_ask(self, "STREAM.CREATE", json);
    free(json);
}

static void s_make_consumer(session_t *self)
{
    char json[512];
    link_print(&self->link, "SUB deliver.%s 2\r\n", self->name);
    snprintf(json, sizeof json,
             "{\"stream_name\":\"%s\",\"config\":{\"deliver_subject\":\"deliver.%s\","
             "\"deliver_policy\":\"all\",\"ack_policy\":\"all\",\"max_ack_pending\":65536,"
             "\"ack_wait\":30000000000,\"mem_storage\":%s}}",
             self->name, self->name, s_in_files(self) ? "false" : "true");
    s_ask(self, "CONSUMER.CREATE", json);
}

//  A receiver's first answer is that there is a stream, its second that there is a consumer.
static void s_on_answer(session_t *self, const message_t *message)
{
    self->failed |= memmem(message->payload, message->size, "\"error\"", 7) != NULL;
    if (!self->on_push)
        self->answered++;
    else if (++self->number == 1)
        s_make_consumer(self);
    else
        self->attached = true;
}

static void s_on_jetstream_message(session_t *self, const message_t *message)
{
    if (message->subject_size > 8 && memcmp(message->subject, "answers.", 8) == 0) {
        s_on_answer(self, message);
        return;
    }
    session_hand(self, message->subject, message->subject_size, message->payload, message->size);
    if (message->reply_size < sizeof self->reply) {
        memcpy(self->reply, message->reply, message->reply_size);
        self->reply[message->reply_size] = '\0';
    }
}

static const uint8_t *s_take_jetstream(session_t *self, const uint8_t *at, const uint8_t *end)
{
    return s_take(self, at, end, s_on_jetstream_message);
}

//  The last one covers all before it.
static void s_settle_jetstream(session_t *self)
{
    if (self->reply[0])
        link_print(&self->link, "PUB %s 0\r\n\r\n", self->reply);
    self->reply[0] = '\0';
}

const protocol_t protocol_nats = {
    .kind = "nats",
    .window = LOAD_WINDOW,
    .answers = false,
    .greet = s_greet,
    .publish = s_publish,
    .subscribe = s_subscribe,
    .take = s_take_core,
    .settle = s_settle_core,
};

const protocol_t protocol_jetstream = {
    .kind = "jetstream",
    .window = LOAD_WINDOW,
    .answers = true,
    .greet = s_greet_jetstream,
    .publish = s_publish_jetstream,
    .subscribe = s_make_stream,
    .take = s_take_jetstream,
    .settle = s_settle_jetstream,
};

const protocol_t protocol_jetstream_file = {
    .kind = "jetstream-file",
    .window = LOAD_WINDOW,
    .answers = true,
    .greet = s_greet_jetstream,
    .publish = s_publish_jetstream,
    .subscribe = s_make_stream,
    .take = s_take_jetstream,
    .settle = s_settle_jetstream,
};
