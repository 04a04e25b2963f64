//  notice.c - what the broker itself says in a client's stream: gap notices and markers

#include "core_state.h"
#include "wire.h"

static frame_t *s_notice(const client_t *client, uint64_t epoch, uint64_t seq, uint64_t skipped_to,
                         bool marker)
{
    uint8_t body[2 + ID_MAX + 4 * (1 + WIRE_VARINT_MAX)], field[2 + sizeof body];
    uint8_t *to = wire_put_bytes_field(body, WIRE_PUSH_CLIENT_ID, client->id, client->id_size);
    to = wire_put_varint_field(to, WIRE_PUSH_EPOCH, epoch);
    to = wire_put_varint_field(to, WIRE_PUSH_SEQ, seq);
    to = wire_put_varint_field(to, WIRE_PUSH_SKIPPED_TO, skipped_to);
    to = wire_put_varint_field(to, WIRE_PUSH_MARKER, marker);
    to = wire_put_bytes_field(field, WIRE_BATCH_PUSHES, body, (size_t)(to - body));
    return frame_copy(field, (size_t)(to - field));
}

frame_t *notice_gap(const client_t *client, uint64_t epoch, uint64_t from, uint64_t to)
{
    return s_notice(client, epoch, from, to, false);
}

frame_t *notice_marker(const client_t *client, position_t position)
{
    return s_notice(client, position.epoch, position.seq, 0, true);
}
