//  fuzz_record.c - any bytes as what the journal keeps: a key and its value, or a segment of its log.
//  What is read is written as the same bytes, and a value that was changed is told from damage.

#include "record.h"
#include "segment.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_FUZZED 4096u //  as tests/fuzz/run has it

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void s_check(bool holds)
{
    if (!holds)
        abort();
}

static void s_check_key(const uint8_t *bytes, size_t size)
{
    record_key_t key;
    uint8_t again[RECORD_KEY_MAX];
    if (record_get_key(bytes, size, &key))
        s_check(record_put_key(again, &key) == size && memcmp(again, bytes, size) == 0);
}

//  The flag of a position has one bit that counts, so it is the second writing that must be the same.
static void s_check_position(const uint8_t *value, size_t size)
{
    record_position_t position, read;
    uint8_t first[RECORD_POSITION_MAX] = {0}, second[RECORD_POSITION_MAX] = {0};
    if (!record_get_position(value, size, &position))
        return;
    s_check(record_put_position(first, &position) == size);
    s_check(record_get_position(first, size, &read));
    s_check(record_put_position(second, &read) == size && memcmp(first, second, size) == 0);
}

static void s_check_push(const uint8_t *value, size_t size)
{
    const uint8_t *bytes;
    size_t bytes_size;
    bool numberless;
    static uint8_t again[SIZE_MAX_FUZZED];
    if (!record_get_push(value, size, &bytes, &bytes_size, &numberless))
        return;
    s_check(bytes == value + RECORD_PUSH_HEAD && bytes + bytes_size == value + size);
    record_put_push(again, bytes, bytes_size, numberless);
    s_check(memcmp(again + RECORD_SUM_SIZE, value + RECORD_SUM_SIZE, size - RECORD_SUM_SIZE) == 0);
}

static void s_check_number(const uint8_t *value, size_t size)
{
    uint64_t number;
    uint8_t again[RECORD_NUMBER_SIZE];
    if (!record_get_number(value, size, &number))
        return;
    record_put_number(again, number);
    s_check(memcmp(again + RECORD_SUM_SIZE, value + RECORD_SUM_SIZE, size - RECORD_SUM_SIZE) == 0);
}

//  Any one bit that changes, of the value or of its key, is seen.
static void s_check_sum(const uint8_t *key, size_t key_size, const uint8_t *value, size_t size)
{
    static uint8_t sealed[SIZE_MAX_FUZZED];
    uint8_t other[RECORD_KEY_MAX];
    if (size < RECORD_SUM_SIZE || !key_size || key_size > sizeof other)
        return;
    memcpy(sealed, value, size);
    memcpy(other, key, key_size);
    record_seal(key, key_size, sealed, size);
    s_check(record_is_sound(key, key_size, sealed, size));
    uint8_t bit = (uint8_t)(1u << value[0] % 8);
    other[value[1] % key_size] ^= bit;
    s_check(!record_is_sound(other, key_size, sealed, size));
    sealed[(size_t)(value[2] << 8 | value[3]) % size] ^= bit;
    s_check(!record_is_sound(key, key_size, sealed, size));
}

//  A position has a checksum of its own, which is written anew.
static void s_check_operation(const uint8_t *at, size_t size, journal_op_t *op)
{
    record_position_t position;
    static uint8_t again[SIZE_MAX_FUZZED];
    if (op->kind == JOURNAL_POSITION) {
        s_check_position(op->bytes, op->size);
        if (record_get_position(op->bytes, op->size, &position)) {
            op->position = &position;
            s_check(segment_size_of(op) == size && segment_put(again, op) == size);
        }
        return;
    }
    s_check(segment_size_of(op) == size && segment_put(again, op) == size);
    s_check(memcmp(again, at, size) == 0);
}

static void s_check_segment(const uint8_t *at, size_t left)
{
    journal_op_t op;
    for (size_t size; (size = segment_get(at, left, &op)); at += size, left -= size) {
        s_check(size <= left && op.id > at && op.id + op.id_size <= at + size);
        s_check_operation(at, size, &op);
    }
}

//  An input is the size of a key, the key, and the rest is a value, or operations.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > SIZE_MAX_FUZZED || data[0] > size - 1 || sodium_init() < 0)
        return 0;
    const uint8_t *key = data + 1, *value = key + data[0];
    size_t key_size = data[0], value_size = size - 1 - key_size;
    s_check_key(key, key_size);
    s_check_position(value, value_size);
    s_check_push(value, value_size);
    s_check_number(value, value_size);
    s_check_sum(key, key_size, value, value_size);
    s_check_segment(value, value_size);
    return 0;
}
