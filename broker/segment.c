//  segment.c - operations as the journal's log has them, as bytes; see segment.h

#include "segment.h"
#include <endian.h>
#include <string.h>

#define FIXED (3 + 8 + 8 + 4) //  bytes of an operation beside its id and body

static bool s_has_from(journal_kind_t kind)
{
    return kind == JOURNAL_GAP || kind == JOURNAL_DROP;
}

static uint8_t *s_put_number(uint8_t *to, uint64_t number)
{
    uint64_t big = htobe64(number);
    memcpy(to, &big, sizeof big);
    return to + sizeof big;
}

static uint64_t s_get_number(const uint8_t *at)
{
    uint64_t big;
    memcpy(&big, at, sizeof big);
    return be64toh(big);
}

//  ---- writing -----------------------------------------------------------------------------------

static uint32_t s_body_size(const journal_op_t *op)
{
    if (op->kind == JOURNAL_PUSH)
        return op->size;
    if (op->kind == JOURNAL_POSITION)
        return RECORD_POSITION_SIZE(op->position->gap_count);
    return s_has_from(op->kind) ? sizeof op->from : 0;
}

size_t segment_size_of(const journal_op_t *op)
{
    return FIXED + op->id_size + s_body_size(op);
}

static void s_put_position(uint8_t *to, const journal_op_t *op)
{
    uint8_t key[RECORD_KEY_MAX];
    record_key_t of = {.kind = RECORD_POSITION, .id_size = op->id_size, .id = op->id};
    size_t key_size = record_put_key(key, &of);
    record_seal(key, key_size, to, record_put_position(to, op->position));
}

static void s_put_body(uint8_t *to, const journal_op_t *op)
{
    if (op->kind == JOURNAL_PUSH)
        memcpy(to, op->bytes, op->size);
    else if (op->kind == JOURNAL_POSITION)
        s_put_position(to, op);
    else if (s_has_from(op->kind))
        s_put_number(to, op->from);
}

size_t segment_put(uint8_t *to, const journal_op_t *op)
{
    uint32_t size = s_body_size(op), big = htobe32(size);
    uint8_t *end = to;
    *end++ = (uint8_t)op->kind;
    *end++ = op->numberless;
    *end++ = op->id_size;
    memcpy(end, op->id, op->id_size);
    end = s_put_number(s_put_number(end + op->id_size, op->epoch), op->seq);
    memcpy(end, &big, sizeof big);
    s_put_body(end + sizeof big, op);
    return FIXED + op->id_size + size;
}

//  ---- reading -----------------------------------------------------------------------------------

static bool s_get_body(journal_op_t *op, const uint8_t *body, uint32_t size)
{
    if (s_has_from(op->kind)) {
        if (size == sizeof op->from)
            op->from = s_get_number(body);
        return size == sizeof op->from;
    }
    record_position_t position;
    op->bytes = body;
    op->size = size;
    if (op->kind == JOURNAL_POSITION)
        return record_get_position(body, size, &position);
    return (size > 0) == (op->kind == JOURNAL_PUSH);
}

size_t segment_get(const uint8_t *at, size_t left, journal_op_t *op)
{
    if (left < FIXED || at[0] > JOURNAL_FORGET || at[1] > 1 || at[2] == 0 ||
        at[2] > RECORD_ID_MAX || left - FIXED < at[2])
        return 0;
    *op = (journal_op_t){
        .kind = (journal_kind_t)at[0], .numberless = at[1], .id_size = at[2], .id = at + 3};
    const uint8_t *end = op->id + op->id_size;
    uint32_t big;
    op->epoch = s_get_number(end);
    op->seq = s_get_number(end + 8);
    memcpy(&big, end + 16, sizeof big);
    uint32_t size = be32toh(big);
    if (size > left - FIXED - op->id_size || !s_get_body(op, end + 20, size))
        return 0;
    return FIXED + op->id_size + size;
}
