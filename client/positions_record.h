/*  positions_record.h - one position as it stands in a positions file

    A record is the size of the id (1 byte), epoch and seq (8 bytes each, little endian), the id,
    and a checksum of all that (BLAKE2b, 16 bytes), so that a record that was not written whole
    is told from one that was. Pure; any thread.                                                  */

#ifndef SEQPUSH_POSITIONS_RECORD_H
#define SEQPUSH_POSITIONS_RECORD_H

#include "seqpush.h"

//  Bytes of a record beside its id, and of the largest one.
#define POSITIONS_RECORD_EXTRA 33
#define POSITIONS_RECORD_MAX (POSITIONS_RECORD_EXTRA + SEQPUSH_ID_MAX)

//  Bytes that the record of a client takes.
static inline size_t positions_record_size(size_t id_size)
{
    return POSITIONS_RECORD_EXTRA + id_size;
}

//  Writes the record at `to`, which has room for it. Returns what follows.
uint8_t *positions_record_put(uint8_t *to, const seqpush_position_t *position);

//  Reads the record that begins at `from`, where `size` bytes are there. The position points into
//  it. Returns its size in bytes; 0 if it is cut off or not as it was written.
size_t positions_record_get(const uint8_t *from, size_t size, seqpush_position_t *position);

#endif
