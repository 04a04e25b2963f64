/*  wire.h - the few pieces of the protobuf encoding that the hot paths need

    A push travels as the bytes it came in, so the broker and the client library read and write a
    handful of fields by hand: varints, and length-delimited fields. Everything else goes through
    protobuf-c. Source: the protobuf encoding guide (base 128 varints, wire types 0, 1, 2 and 5).

    All functions are pure, never block and may be called from any thread.                       */

#ifndef SEQPUSH_WIRE_H
#define SEQPUSH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_VARINT 0
#define WIRE_FIXED64 1
#define WIRE_BYTES 2
#define WIRE_FIXED32 5

//  Longest encoded varint, and longest tag that field numbers up to 15 need, in bytes.
#define WIRE_VARINT_MAX 10

#define WIRE_TAG(number, type) ((uint8_t)((number) << 3 | (type)))

//  Fields of the messages that are read and written by hand; see seqpush.proto.
#define WIRE_BATCH_PUSHES WIRE_TAG(1, WIRE_BYTES)
#define WIRE_BATCH_CONFIRM WIRE_TAG(2, WIRE_VARINT)
#define WIRE_DELIVERY_GENERATION WIRE_TAG(2, WIRE_VARINT)
#define WIRE_PUSH_CLIENT_ID WIRE_TAG(1, WIRE_BYTES)
#define WIRE_PUSH_EPOCH WIRE_TAG(2, WIRE_VARINT)
#define WIRE_PUSH_SEQ WIRE_TAG(3, WIRE_VARINT)
#define WIRE_PUSH_PAYLOAD WIRE_TAG(4, WIRE_BYTES)
#define WIRE_PUSH_SKIPPED_TO WIRE_TAG(5, WIRE_VARINT)
#define WIRE_PUSH_MARKER WIRE_TAG(6, WIRE_VARINT)
#define WIRE_REQUEST_PUSH WIRE_TAG(1, WIRE_BYTES)
#define WIRE_REQUEST_ID WIRE_TAG(15, WIRE_VARINT)

//  Bytes that `value` takes as a varint, 1 to 10.
static inline size_t wire_varint_size(uint64_t value)
{
    //  (bits * 9 + 64) / 64 is ceil(bits / 7) for bits 1 to 64.
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits * 9 + 64) / 64;
}

//  Writes `value` at `to`, which has room for wire_varint_size (value). Returns what follows it.
static inline uint8_t *wire_put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

//  Bytes of a varint field with a one-byte tag; 0 for value 0, which proto3 leaves out.
static inline size_t wire_varint_field_size(uint64_t value)
{
    return value ? 1 + wire_varint_size(value) : 0;
}

//  Writes tag and value, nothing for value 0. Returns what follows.
static inline uint8_t *wire_put_varint_field(uint8_t *to, uint8_t tag, uint64_t value)
{
    if (value == 0)
        return to;
    *to++ = tag;
    return wire_put_varint(to, value);
}

//  Bytes of a length-delimited field with a one-byte tag.
static inline size_t wire_bytes_field_size(size_t size)
{
    return 1 + wire_varint_size(size) + size;
}

//  Writes tag, length and content. Returns what follows.
static inline uint8_t *wire_put_bytes_field(uint8_t *to, uint8_t tag, const void *bytes,
                                            size_t size)
{
    *to++ = tag;
    to = wire_put_varint(to, size);
    if (size)
        memcpy(to, bytes, size);
    return to + size;
}

//  Reads the varint at `*at`, not beyond `end`, as protobuf-c does: at most ten bytes, bits beyond
//  64 are dropped. On success moves `*at` behind it. `*canonical` is set to false if a shorter
//  encoding exists (and left alone otherwise). Returns false if it is cut off or too long.
static inline bool wire_get_varint(const uint8_t **at, const uint8_t *end, uint64_t *value,
                                   bool *canonical)
{
    const uint8_t *p = *at;
    if (p < end && *p < 0x80) {
        *value = *p;
        *at = p + 1;
        return true;
    }
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
        uint8_t byte = *p++;
        result |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (byte < 0x80) {
            if (byte == 0 || (shift == 63 && byte > 1))
                *canonical = false;
            *value = result;
            *at = p;
            return true;
        }
    }
    return false;
}

#endif
