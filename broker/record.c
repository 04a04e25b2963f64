//  record.c - what the journal keeps, as bytes; see record.h

#include "record.h"
#include <sodium.h>
#include <string.h>

#define NUMBERLESS 1u
#define KNOWN 1u
#define NUMBERING_LAST 2u //  nobody yet, publishers, broker
#define SEGMENT_BYTE 255u //  greater than any size of an id

static uint8_t *s_put(uint8_t *to, uint64_t number)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *to++ = (uint8_t)(number >> shift);
    return to;
}

static uint64_t s_get(const uint8_t *from)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return number;
}

//  ---- keys --------------------------------------------------------------------------------------

size_t record_put_key(uint8_t to[RECORD_KEY_MAX], const record_key_t *key)
{
    to[0] = key->kind == RECORD_STORE ? 0 : key->id_size;
    if (key->kind == RECORD_STORE)
        return 1;
    if (key->kind == RECORD_SEGMENT) {
        to[0] = SEGMENT_BYTE;
        return (size_t)(s_put(to + 1, key->seq) - to);
    }
    memcpy(to + 1, key->id, key->id_size);
    uint8_t *end = to + 1 + key->id_size;
    if (key->kind != RECORD_POSITION) {
        end = s_put(s_put(end, key->epoch), key->seq);
        *end++ = (uint8_t)key->kind;
    }
    return (size_t)(end - to);
}

bool record_get_key(const uint8_t *bytes, size_t size, record_key_t *key)
{
    if (size == 9 && bytes[0] == SEGMENT_BYTE) {
        *key = (record_key_t){.kind = RECORD_SEGMENT, .seq = s_get(bytes + 1)};
        return true;
    }
    if (size == 0 || bytes[0] > RECORD_ID_MAX)
        return false;
    size_t head = 1 + (size_t)bytes[0];
    *key = (record_key_t){.id_size = bytes[0], .id = bytes + 1};
    if (size == 1 && key->id_size == 0)
        return true;
    if (key->id_size == 0)
        return false;
    key->kind = RECORD_POSITION;
    if (size == head)
        return true;
    if (size != head + 17)
        return false;
    key->epoch = s_get(bytes + head);
    key->seq = s_get(bytes + head + 8);
    key->kind = (record_kind_t)bytes[head + 16];
    return key->kind >= RECORD_PUSH && key->kind <= RECORD_MARKER;
}

//  ---- checksums ---------------------------------------------------------------------------------

//  SipHash under two keys that never change: it is short, fast and told from any other bytes with
//  2^-64. The key's hash makes the value's key, so both are covered without copying them together.
static void s_sum(const uint8_t *key, size_t key_size, const uint8_t *value, size_t size,
                  uint8_t sum[RECORD_SUM_SIZE])
{
    static const uint8_t seed[crypto_shorthash_KEYBYTES] = "seqpush journal";
    uint8_t keyed[crypto_shorthash_KEYBYTES] = {0};
    crypto_shorthash(keyed, key, key_size, seed);
    crypto_shorthash(sum, value + RECORD_SUM_SIZE, size - RECORD_SUM_SIZE, keyed);
}

void record_seal(const uint8_t *key, size_t key_size, uint8_t *value, size_t size)
{
    s_sum(key, key_size, value, size, value);
}

bool record_is_sound(const uint8_t *key, size_t key_size, const uint8_t *value, size_t size)
{
    uint8_t sum[RECORD_SUM_SIZE];
    if (size < RECORD_SUM_SIZE)
        return false;
    s_sum(key, key_size, value, size, sum);
    return memcmp(sum, value, RECORD_SUM_SIZE) == 0;
}

//  ---- values ------------------------------------------------------------------------------------

size_t record_put_position(uint8_t to[RECORD_POSITION_MAX], const record_position_t *position)
{
    uint8_t *end = s_put(s_put(to + RECORD_SUM_SIZE, position->epoch), position->seq);
    end = s_put(s_put(end, position->epoch_now), position->forgotten_to);
    *end++ = position->known ? KNOWN : 0;
    *end++ = position->numbering;
    for (uint32_t i = 0; i < position->gap_count; i++)
        end = s_put(s_put(end, position->gaps[i].from), position->gaps[i].to);
    return (size_t)(end - to);
}

bool record_get_position(const uint8_t *value, size_t size, record_position_t *position)
{
    size_t head = RECORD_SUM_SIZE + 4 * 8 + 2;
    if (size < head || (size - head) % 16 || (size - head) / 16 > RECORD_GAPS)
        return false;
    const uint8_t *at = value + RECORD_SUM_SIZE;
    if (at[32] > KNOWN || at[33] > NUMBERING_LAST)
        return false;
    *position = (record_position_t){.epoch = s_get(at),
                                    .seq = s_get(at + 8),
                                    .epoch_now = s_get(at + 16),
                                    .forgotten_to = s_get(at + 24),
                                    .known = at[32] == KNOWN,
                                    .numbering = at[33],
                                    .gap_count = (uint32_t)((size - head) / 16)};
    at = value + head;
    for (uint32_t i = 0; i < position->gap_count; i++, at += 16) {
        position->gaps[i].from = s_get(at);
        position->gaps[i].to = s_get(at + 8);
    }
    return true;
}

void record_put_push(uint8_t *to, const uint8_t *bytes, size_t size, bool numberless)
{
    to[RECORD_SUM_SIZE] = numberless ? NUMBERLESS : 0;
    memcpy(to + RECORD_PUSH_HEAD, bytes, size);
}

bool record_get_push(const uint8_t *value, size_t size, const uint8_t **bytes, size_t *bytes_size,
                     bool *numberless)
{
    if (size <= RECORD_PUSH_HEAD || value[RECORD_SUM_SIZE] > NUMBERLESS)
        return false;
    *numberless = value[RECORD_SUM_SIZE] == NUMBERLESS;
    *bytes = value + RECORD_PUSH_HEAD;
    *bytes_size = size - RECORD_PUSH_HEAD;
    return true;
}

void record_put_number(uint8_t to[RECORD_NUMBER_SIZE], uint64_t number)
{
    s_put(to + RECORD_SUM_SIZE, number);
}

bool record_get_number(const uint8_t *value, size_t size, uint64_t *number)
{
    if (size != RECORD_NUMBER_SIZE)
        return false;
    *number = s_get(value + RECORD_SUM_SIZE);
    return true;
}
