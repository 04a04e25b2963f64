/*  acks.c - a DeliveryAck, written by hand */

#include "acks.h"
#include "wire.h"

#define TAG_REQUEST_ACK WIRE_TAG(4, WIRE_BYTES)
#define TAG_RECEIVER_ID WIRE_TAG(1, WIRE_BYTES)
#define TAG_GENERATION WIRE_TAG(2, WIRE_VARINT)
#define TAG_POSITIONS WIRE_TAG(3, WIRE_BYTES)
#define TAG_MISSING WIRE_TAG(4, WIRE_BYTES)
#define TAG_CLIENT_ID WIRE_TAG(1, WIRE_BYTES)
#define TAG_EPOCH WIRE_TAG(2, WIRE_VARINT)
#define TAG_SEQ WIRE_TAG(3, WIRE_VARINT)

static size_t s_position_size(const position_t *position)
{
    return wire_bytes_field_size(position->id_size) + wire_varint_field_size(position->epoch) +
           wire_varint_field_size(position->seq);
}

static uint8_t *s_put_position(uint8_t *to, uint8_t tag, const position_t *position)
{
    *to++ = tag;
    to = wire_put_varint(to, s_position_size(position));
    to = wire_put_bytes_field(to, TAG_CLIENT_ID, position->id, position->id_size);
    to = wire_put_varint_field(to, TAG_EPOCH, position->epoch);
    return wire_put_varint_field(to, TAG_SEQ, position->seq);
}

static size_t s_positions_size(const acks_t *self)
{
    size_t size = 0;
    const position_t *position = self->received;
    for (int i = 0; position && i < ACKS_MAX; i++, position = position->next_ack)
        size += wire_bytes_field_size(s_position_size(position));
    position = self->missing;
    for (int i = 0; position && i < ACKS_MAX; i++, position = position->next_missing)
        size += wire_bytes_field_size(s_position_size(position));
    return size;
}

static uint8_t *s_put_positions(uint8_t *to, const acks_t *self)
{
    const position_t *position = self->received;
    for (int i = 0; position && i < ACKS_MAX; i++, position = position->next_ack)
        to = s_put_position(to, TAG_POSITIONS, position);
    position = self->missing;
    for (int i = 0; position && i < ACKS_MAX; i++, position = position->next_missing)
        to = s_put_position(to, TAG_MISSING, position);
    return to;
}

size_t acks_list(const acks_t *self, seqpush_position_t *positions)
{
    size_t count = 0;
    for (const position_t *at = self->received; at && count < ACKS_MAX; at = at->next_ack)
        positions[count++] = (seqpush_position_t){at->id, at->id_size, at->epoch, at->seq};
    return count;
}

bool acks_request(const acks_t *self, const void *receiver_id, size_t id_size, uint64_t generation,
                  uint64_t request_id, zmq_msg_t *message)
{
    size_t size = wire_bytes_field_size(id_size) + wire_varint_field_size(generation) +
                  s_positions_size(self);
    if (zmq_msg_init_size(message,
                          wire_bytes_field_size(size) + wire_varint_field_size(request_id)) == -1)
        return false;
    uint8_t *to = zmq_msg_data(message);
    *to++ = TAG_REQUEST_ACK;
    to = wire_put_varint(to, size);
    to = wire_put_bytes_field(to, TAG_RECEIVER_ID, receiver_id, id_size);
    to = wire_put_varint_field(to, TAG_GENERATION, generation);
    to = s_put_positions(to, self);
    wire_put_varint_field(to, WIRE_REQUEST_ID, request_id);
    return true;
}

void acks_drop(acks_t *self)
{
    for (int i = 0; self->received && i < ACKS_MAX; i++) {
        self->received->to_ack = false;
        self->received->unacked = 0;
        self->received = self->received->next_ack;
    }
    for (int i = 0; self->missing && i < ACKS_MAX; i++) {
        self->missing->to_name = false;
        self->missing = self->missing->next_missing;
    }
}

void acks_clear(acks_t *self)
{
    while (!acks_is_empty(self))
        acks_drop(self);
}
