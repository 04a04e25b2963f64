/*  positions_record.c - encodes and checks records */

#include "positions_record.h"
#include <endian.h>
#include <sodium.h>
#include <string.h>

#define HEAD 17 //  bytes before the id
#define CHECKSUM 16 //  bytes

_Static_assert(HEAD + CHECKSUM == POSITIONS_RECORD_EXTRA, "a record is head, id and checksum");

static void s_checksum(uint8_t *checksum, const uint8_t *from, size_t size)
{
    crypto_generichash(checksum, CHECKSUM, from, size, NULL, 0);
}

static void s_put_number(uint8_t *to, uint64_t number)
{
    number = htole64(number);
    memcpy(to, &number, sizeof number);
}

static uint64_t s_get_number(const uint8_t *from)
{
    uint64_t number;
    memcpy(&number, from, sizeof number);
    return le64toh(number);
}

uint8_t *positions_record_put(uint8_t *to, const seqpush_position_t *position)
{
    size_t size = HEAD + position->client_id_size;
    to[0] = (uint8_t)position->client_id_size;
    s_put_number(to + 1, position->epoch);
    s_put_number(to + 9, position->seq);
    memcpy(to + HEAD, position->client_id, position->client_id_size);
    s_checksum(to + size, to, size);
    return to + size + CHECKSUM;
}

size_t positions_record_get(const uint8_t *from, size_t size, seqpush_position_t *position)
{
    uint8_t checksum[CHECKSUM];
    if (size == 0 || from[0] == 0 || from[0] > SEQPUSH_ID_MAX ||
        size < positions_record_size(from[0]))
        return 0;
    size_t checked = HEAD + from[0];
    s_checksum(checksum, from, checked);
    if (memcmp(checksum, from + checked, CHECKSUM) != 0)
        return 0;
    *position =
        (seqpush_position_t){from + HEAD, from[0], s_get_number(from + 1), s_get_number(from + 9)};
    return checked + CHECKSUM;
}
