/*  protocol_redis.c - Redis, pub/sub and streams, as its protocol RESP has it

    Pub/sub: a client's id is the channel. Streams: a stream for each receiver, which is cheaper than
    one for each client; its entries have the client's id as their field. Receivers read as a group
    and acknowledge; to read on is asked for together with that. */

#include "load.h"
#include "session.h"
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 6 //  of arrays in arrays

//  Entries that a receiver is given at a time at most.
#define READ_COUNT "512"

//  A value; what is in an array begins at `at`.
typedef struct {
    char type; //  + - : $ *
    long number; //  an integer, bytes of a string, values of an array; -1: null
    const uint8_t *at;
} value_t;

//  ---- reading ------------------------------------------------------------------------------------

//  The head of a value, with the bytes of a string behind it. Returns what follows; NULL if it is not
//  there as a whole.
static const uint8_t *s_head(value_t *value, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    if (!newline)
        return NULL;
    value->type = (char)*at;
    value->number = strtol((const char *)at + 1, NULL, 10);
    value->at = newline + 1;
    if (value->type != '$' || value->number < 0)
        return value->at;
    return end - value->at >= value->number + 2 ? value->at + value->number + 2 : NULL;
}

//  What follows a value and all that is in it; NULL if it is not there as a whole.
static const uint8_t *s_skip(const uint8_t *at, const uint8_t *end, int depth)
{
    value_t value;
    at = s_head(&value, at, end);
    if (!at || value.type != '*')
        return at;
    for (long i = 0; at && i < value.number; i++)
        at = depth < DEPTH_MAX ? s_skip(at, end, depth + 1) : NULL;
    return at;
}

//  Reads a string. Returns what follows; NULL if it is none.
static const uint8_t *s_string(value_t *value, const uint8_t *at, const uint8_t *end)
{
    at = at ? s_head(value, at, end) : NULL;
    return at && value->type == '$' && value->number >= 0 ? at : NULL;
}

//  ---- writing ------------------------------------------------------------------------------------

static void s_put_array(session_t *self, size_t count)
{
    link_text(&self->link, "*");
    link_number(&self->link, count);
    link_text(&self->link, "\r\n");
}

static void s_put(session_t *self, const void *bytes, size_t size)
{
    link_text(&self->link, "$");
    link_number(&self->link, size);
    link_text(&self->link, "\r\n");
    link_put(&self->link, bytes, size);
    link_text(&self->link, "\r\n");
}

static void s_put_text(session_t *self, const char *text)
{
    s_put(self, text, strlen(text));
}

static void s_greet(session_t *self)
{
    (void)self;
}

static void s_settle(session_t *self)
{
    (void)self;
}

//  ---- pub/sub ------------------------------------------------------------------------------------

static void s_publish(session_t *self, const seqpush_push_t *push)
{
    s_put_array(self, 3);
    s_put_text(self, "PUBLISH");
    s_put(self, push->client_id, push->client_id_size);
    s_put(self, push->payload, push->payload_size);
}

static void s_subscribe(session_t *self)
{
    s_put_array(self, self->client_count + 1);
    s_put_text(self, "SUBSCRIBE");
    for (size_t i = 0; i < self->client_count; i++)
        s_put(self, self->clients[i].id, self->clients[i].size);
}

//  An array of "message", channel, payload, or of "subscribe", channel, count.
static void s_take_message(session_t *self, const uint8_t *at, const uint8_t *end)
{
    value_t what, channel, payload;
    at = s_string(&what, at, end);
    at = s_string(&channel, at, end);
    if (!at) {
        self->failed = true;
        return;
    }
    if (what.number == 9 && memcmp(what.at, "subscribe", 9) == 0)
        self->attached = ++self->number == self->client_count;
    else if (s_string(&payload, at, end))
        session_hand(self, channel.at, (size_t)channel.number, payload.at, (size_t)payload.number);
    else
        self->failed = true;
}

static const uint8_t *s_take(session_t *self, const uint8_t *at, const uint8_t *end)
{
    value_t value;
    const uint8_t *next = s_skip(at, end, 0);
    if (!next || !s_head(&value, at, end))
        return NULL;
    self->failed |= value.type == '-';
    if (!self->on_push)
        self->answered++;
    else if (value.type == '*')
        s_take_message(self, value.at, next);
    return next;
}

//  ---- streams ------------------------------------------------------------------------------------

static void s_publish_stream(session_t *self, const seqpush_push_t *push)
{
    size_t client = load_client(push->client_id, push->client_id_size);
    s_put_array(self, 5);
    s_put_text(self, "XADD");
    s_put_text(self, load->bound[load->receiver_of[client]]);
    s_put_text(self, "*");
    s_put(self, push->client_id, push->client_id_size);
    s_put(self, push->payload, push->payload_size);
}

static void s_read_on(session_t *self)
{
    static const char *const words[] = {"XREADGROUP", "GROUP", "bench", "bench",  "COUNT",
                                        READ_COUNT,   "BLOCK", "0",     "STREAMS"};
    size_t count = sizeof words / sizeof *words;
    s_put_array(self, count + 2);
    for (size_t i = 0; i < count; i++)
        s_put_text(self, words[i]);
    s_put_text(self, self->name);
    s_put_text(self, ">");
}

static void s_make_group(session_t *self)
{
    s_put_array(self, 6);
    s_put_text(self, "XGROUP");
    s_put_text(self, "CREATE");
    s_put_text(self, self->name);
    s_put_text(self, "bench");
    s_put_text(self, "$");
    s_put_text(self, "MKSTREAM");
}

//  An entry: an array of its id and of an array of field and value. Returns what follows.
static const uint8_t *s_take_entry(session_t *self, const uint8_t *at, const uint8_t *end)
{
    value_t array, id, client, payload;
    at = at ? s_head(&array, at, end) : NULL;
    at = s_string(&id, at, end);
    at = at ? s_head(&array, at, end) : NULL;
    at = s_string(&client, at, end);
    at = s_string(&payload, at, end);
    if (!at)
        return NULL;
    session_hand(self, client.at, (size_t)client.number, payload.at, (size_t)payload.number);
    s_put(self, id.at, (size_t)id.number);
    return at;
}

//  What XREADGROUP returns: an array of one array, of the key and of an array of entries. What is
//  acknowledged is written while it is read.
static void s_take_entries(session_t *self, const uint8_t *at, const uint8_t *end)
{
    value_t array, key;
    at = s_head(&array, at, end);
    at = s_string(&key, at, end);
    at = at ? s_head(&array, at, end) : NULL;
    if (!at) {
        self->failed = true;
        return;
    }
    s_put_array(self, (size_t)array.number + 3);
    s_put_text(self, "XACK");
    s_put_text(self, self->name);
    s_put_text(self, "bench");
    for (long i = 0; i < array.number; i++)
        at = s_take_entry(self, at, end);
    self->failed |= !at;
    s_read_on(self);
}

//  A receiver gets +OK for its group, entries, and integers for what it acknowledges.
static const uint8_t *s_take_stream(session_t *self, const uint8_t *at, const uint8_t *end)
{
    value_t value;
    const uint8_t *next = s_skip(at, end, 0);
    if (!next || !s_head(&value, at, end))
        return NULL;
    self->failed |= value.type == '-';
    if (!self->on_push)
        self->answered++;
    else if (value.type == '*')
        s_take_entries(self, value.at, next);
    else if (!self->attached) {
        self->attached = true;
        s_read_on(self);
    }
    return next;
}

const protocol_t protocol_redis = {
    .kind = "redis",
    .window = LOAD_WINDOW,
    .answers = true,
    .greet = s_greet,
    .publish = s_publish,
    .subscribe = s_subscribe,
    .take = s_take,
    .settle = s_settle,
};

const protocol_t protocol_streams = {
    .kind = "streams",
    .window = LOAD_WINDOW,
    .answers = true,
    .greet = s_greet,
    .publish = s_publish_stream,
    .subscribe = s_make_group,
    .take = s_take_stream,
    .settle = s_settle,
};
