/*  segment.h - operations as the journal's log has them, as bytes

    The log is a row of segments, and a segment is its checksum and a row of operations:

        kind · numberless · size of the id · id · epoch · seq · size of the body · body

    The body is a push's bytes, the first seq of a gap or of what is dropped, or the value of a position
    as a store has it; of a position, epoch and seq are the position's own. Numbers are of eight bytes,
    the size of the body of four, most significant first.

    Pure functions; any thread. Nothing is allocated. */

#ifndef SEQPUSH_SEGMENT_H
#define SEQPUSH_SEGMENT_H

#include "journal.h"

#define SEGMENT_HEAD RECORD_SUM_SIZE //  what stands before the first operation

//  Bytes that the operation takes.
size_t segment_size_of(const journal_op_t *op);

//  Writes the operation: its size.
size_t segment_put(uint8_t *to, const journal_op_t *op);

//  Reads the operation at `at`, of which `left` bytes are there. `bytes` and `size` are the body of a
//  push or position. Returns its size, or 0 if it is none.
size_t segment_get(const uint8_t *at, size_t left, journal_op_t *op);

#endif
