/*  batch.c - the buffer of a batch, and the way back from its bytes to the pushes */

#include "batch.h"
#include <assert.h>
#include <stdlib.h>

#define CAPACITY_MIN 512 //  bytes

batch_t *batch_new(void)
{
    return calloc(1, sizeof(batch_t));
}

void batch_destroy(batch_t **self_p)
{
    if (!*self_p)
        return;
    free((*self_p)->bytes);
    free(*self_p);
    *self_p = NULL;
}

void batch_clear(batch_t *self, size_t keep)
{
    self->size = 0;
    self->count = 0;
    self->numberless = 0;
    self->fed = false;
    if (self->capacity > keep) {
        free(self->bytes);
        self->bytes = NULL;
        self->capacity = 0;
    }
}

bool batch_grow(batch_t *self, size_t size)
{
    size_t capacity = self->capacity ? self->capacity * 2 : CAPACITY_MIN;
    if (capacity < self->size + size)
        capacity = self->size + size;
    uint8_t *bytes = realloc(self->bytes, capacity);
    if (!bytes)
        return false;
    self->bytes = bytes;
    self->capacity = capacity;
    return true;
}

void batch_put_encoded(batch_t *self, const uint8_t *bytes, size_t size, bool numberless)
{
    memcpy(self->bytes + self->size, bytes, size);
    self->size += size;
    self->count++;
    self->numberless += numberless;
}

//  The batch wrote these bytes itself, so they are read without asking whether they are right.
static uint64_t s_read_varint(const uint8_t **at)
{
    uint64_t value = 0;
    bool canonical = true;
    bool read = wire_get_varint(at, *at + WIRE_VARINT_MAX, &value, &canonical);
    assert(read);
    (void)read;
    return value;
}

static void s_read_field(const uint8_t **at, seqpush_push_t *push)
{
    uint8_t tag = *(*at)++;
    uint64_t value = s_read_varint(at);
    switch (tag) {
    case WIRE_PUSH_CLIENT_ID:
        push->client_id = *at;
        push->client_id_size = value;
        *at += value;
        break;
    case WIRE_PUSH_EPOCH:
        push->epoch = value;
        break;
    case WIRE_PUSH_SEQ:
        push->seq = value;
        break;
    default:
        assert(tag == WIRE_PUSH_PAYLOAD);
        push->payload = *at;
        push->payload_size = value;
        *at += value;
    }
}

bool batch_next(const batch_t *self, size_t *at, seqpush_push_t *push)
{
    if (*at == self->size)
        return false;
    const uint8_t *p = self->bytes + *at + 1;
    uint64_t size = s_read_varint(&p);
    const uint8_t *end = p + size;
    *push = (seqpush_push_t){0};
    while (p < end)
        s_read_field(&p, push);
    *at = (size_t)(end - self->bytes);
    return true;
}

bool batch_request(const batch_t *self, bool confirm, zmq_msg_t *message)
{
    size_t body = self->size + wire_varint_field_size(confirm);
    size_t size = wire_bytes_field_size(body) + wire_varint_field_size(self->request_id);
    if (zmq_msg_init_size(message, size) == -1)
        return false;
    uint8_t *to = zmq_msg_data(message);
    *to++ = WIRE_REQUEST_PUSH;
    to = wire_put_varint(to, body);
    memcpy(to, self->bytes, self->size);
    to = wire_put_varint_field(to + self->size, WIRE_BATCH_CONFIRM, confirm);
    wire_put_varint_field(to, WIRE_REQUEST_ID, self->request_id);
    return true;
}
