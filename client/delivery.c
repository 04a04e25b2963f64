/*  delivery.c - the walk over the fields of a Delivery */

#include "delivery.h"
#include "wire.h"
#include <limits.h>
#include <stdlib.h>

#define ENTRIES_MAX ((size_t)1 << 20)
#define TAG_MAX 5 //  bytes of a tag

//  One field: its number, wire type, and value or bytes.
typedef struct {
    uint64_t number;
    unsigned type;
    uint64_t value;
    const uint8_t *bytes;
    size_t size;
} field_t;

static bool s_read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    bool canonical = true;
    return wire_get_varint(at, end, value, &canonical);
}

static bool s_read_bytes(const uint8_t **at, const uint8_t *end, field_t *field)
{
    const uint8_t *limit = end - *at > TAG_MAX ? *at + TAG_MAX : end;
    uint64_t size;
    if (!s_read_varint(at, limit, &size) || size > (uint64_t)(end - *at))
        return false;
    field->bytes = *at;
    field->size = size;
    *at += size;
    return true;
}

static bool s_skip(const uint8_t **at, const uint8_t *end, size_t size)
{
    if ((size_t)(end - *at) < size)
        return false;
    *at += size;
    return true;
}

//  Reads the field at `*at` and moves behind it. Returns false if it is cut off or of no known
//  type.
static inline bool s_read_field(const uint8_t **at, const uint8_t *end, field_t *field)
{
    const uint8_t *limit = end - *at > TAG_MAX ? *at + TAG_MAX : end;
    uint64_t tag;
    if ((**at & 0xf8) == 0 || !s_read_varint(at, limit, &tag))
        return false;
    field->number = (tag & UINT32_MAX) >> 3;
    field->type = tag & 7;
    switch (field->type) {
    case WIRE_VARINT:
        return s_read_varint(at, end, &field->value);
    case WIRE_BYTES:
        return s_read_bytes(at, end, field);
    case WIRE_FIXED64:
        return s_skip(at, end, 8);
    case WIRE_FIXED32:
        return s_skip(at, end, 4);
    default:
        return false;
    }
}

static bool s_set(delivery_entry_t *entry, const field_t *field)
{
    unsigned type = field->number == 1 || field->number == 4 ? WIRE_BYTES : WIRE_VARINT;
    if (field->number >= 1 && field->number <= 6 && field->type != type)
        return false;
    switch (field->number) {
    case 1:
        entry->push.client_id = field->bytes;
        entry->push.client_id_size = field->size;
        break;
    case 2:
        entry->push.epoch = field->value;
        break;
    case 3:
        entry->push.seq = field->value;
        break;
    case 4:
        entry->push.payload = field->bytes;
        entry->push.payload_size = field->size;
        break;
    case 5:
        entry->skipped_to = field->value;
        break;
    case 6:
        entry->marker = field->value != 0;
        break;
    default:
        break; //  a later version's field
    }
    return true;
}

static bool s_read_entry(delivery_entry_t *entry, const uint8_t *at, const uint8_t *end)
{
    field_t field = {0};
    *entry = (delivery_entry_t){0};
    while (at < end)
        if (!s_read_field(&at, end, &field) || !s_set(entry, &field))
            return false;
    return entry->push.client_id_size >= 1 && entry->push.client_id_size <= SEQPUSH_ID_MAX &&
           (entry->skipped_to == 0 || entry->skipped_to >= entry->push.seq);
}

static bool s_grow(delivery_t *self)
{
    size_t capacity = self->capacity ? self->capacity * 2 : 64;
    if (capacity > ENTRIES_MAX)
        return false;
    delivery_entry_t *entries = realloc(self->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    self->entries = entries;
    self->capacity = capacity;
    return true;
}

static bool s_add_entry(delivery_t *self, const field_t *field)
{
    if (self->count == self->capacity && !s_grow(self))
        return false;
    return s_read_entry(&self->entries[self->count++], field->bytes, field->bytes + field->size);
}

bool delivery_read(delivery_t *self, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    const uint8_t *end = at + size;
    field_t field = {0};
    self->generation = 0;
    self->count = 0;
    while (at < end) {
        if (!s_read_field(&at, end, &field))
            return false;
        if ((field.number == 1 && field.type != WIRE_BYTES) ||
            (field.number == 2 && field.type != WIRE_VARINT))
            return false;
        if (field.number == 1 && !s_add_entry(self, &field))
            return false;
        if (field.number == 2)
            self->generation = field.value;
    }
    return true;
}

void delivery_fini(delivery_t *self)
{
    free(self->entries);
    *self = (delivery_t){0};
}
