//  field.c - the fields of an encoded message, as protobuf-c 1.4.1 reads them; see field.h

#include "field.h"

//  protobuf-c refuses field 0 in a tag of one byte (and in no other), groups, and unknown
//  wire types.
field_t field_read_rare(span_t rest)
{
    field_t field = {.canonical = true};
    const uint8_t *at = rest.at;
    const uint8_t *tag_end = span_size(rest) > FIELD_HEADER_MAX ? at + FIELD_HEADER_MAX : rest.end;
    if ((*at & 0xf8) == 0 || !wire_get_varint(&at, tag_end, &field.tag, &field.canonical))
        return field;
    if (field_has_value(field.tag))
        return field_value(field, at, rest.end);
    size_t fixed = (field.tag & 7) == WIRE_FIXED64 ? 8 : 4;
    if ((field.tag & 3) == 1 && fixed <= (size_t)(rest.end - at))
        field.next = at + fixed;
    return field;
}

bool field_fits(const ProtobufCMessageDescriptor *type, field_t field)
{
    const ProtobufCFieldDescriptor *known =
        protobuf_c_message_descriptor_get_field(type, (unsigned)(field.tag >> 3));
    if (!known)
        return true;
    switch (known->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return true; //  protobuf-c does not look at its wire type
    case PROTOBUF_C_TYPE_MESSAGE:
        return (field.tag & 7) == WIRE_BYTES &&
               field_readable(known->descriptor, field_content(field));
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_STRING:
        return (field.tag & 7) == WIRE_BYTES;
    default:
        return (field.tag & 7) == WIRE_VARINT;
    }
}

bool field_readable(const ProtobufCMessageDescriptor *type, span_t rest)
{
    while (rest.at < rest.end) {
        field_t field = field_read(rest);
        if (!field.next || !field_fits(type, field))
            return false;
        rest.at = field.next;
    }
    return true;
}
