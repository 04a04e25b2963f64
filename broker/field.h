/*  field.h - the fields of an encoded message, read as protobuf-c reads them

    What protobuf-c takes is known here and nowhere else: how a field is encoded (field_read) and
    which wire type a known field may have (field_fits). So a walk over a frame refuses exactly what
    protobuf-c would refuse. Pure; any thread.                                                    */

#ifndef SEQPUSH_FIELD_H
#define SEQPUSH_FIELD_H

#include "wire.h"
#include <protobuf-c/protobuf-c.h>

//  protobuf-c reads tags and lengths from at most this many bytes.
#define FIELD_HEADER_MAX 5

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
} span_t;

//  A field as it stands in its message. It is handed on by value, which keeps it in registers.
typedef struct {
    uint64_t tag; //  field number << 3 | wire type
    uint64_t value; //  of a varint; bytes of a length-delimited field
    const uint8_t *content; //  of a length-delimited field
    const uint8_t *next; //  what follows; NULL: protobuf-c could not read the field
    bool canonical; //  neither tag nor length nor value could be shorter
} field_t;

static inline size_t span_size(span_t span)
{
    return (size_t)(span.end - span.at);
}

static inline span_t field_content(field_t field)
{
    return (span_t){field.content, field.next};
}

//  Ends a field with a varint, or a length and so many bytes, at `at`.
static inline field_t field_value(field_t field, const uint8_t *at, const uint8_t *end)
{
    const uint8_t *header = at;
    if (!wire_get_varint(&at, end, &field.value, &field.canonical))
        return field;
    if ((field.tag & 7) == WIRE_VARINT) {
        field.next = at;
        return field;
    }
    field.content = at;
    if (at - header <= FIELD_HEADER_MAX && field.value <= (size_t)(end - at))
        field.next = at + field.value;
    return field;
}

static inline bool field_has_value(uint64_t tag)
{
    return (tag & 7) == WIRE_VARINT || (tag & 7) == WIRE_BYTES;
}

//  Reads the first field of `rest`, which is not empty, if its tag is long or wrong or its size
//  fixed.
field_t field_read_rare(span_t rest);

//  Reads the first field of `rest`, which is not empty, as protobuf-c does.
static inline field_t field_read(span_t rest)
{
    uint8_t tag = *rest.at;
    if (tag < WIRE_TAG(1, 0) || tag >= 0x80 || !field_has_value(tag))
        return field_read_rare(rest);
    return field_value((field_t){.tag = tag, .canonical = true}, rest.at + 1, rest.end);
}

//  True if protobuf-c takes the field in a message of this type. Requests have no fixed-size fields
//  and no packed ones.
bool field_fits(const ProtobufCMessageDescriptor *type, field_t field);

//  True if protobuf-c can read the whole message, were memory no object.
bool field_readable(const ProtobufCMessageDescriptor *type, span_t rest);

#endif
