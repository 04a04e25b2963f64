/*  reply.h - what goes back to a peer: packs a Reply with protobuf-c

    Every reply carries the broker's instance and the request's id. Pure but for the allocation.  */

#ifndef SEQPUSH_REPLY_H
#define SEQPUSH_REPLY_H

#include "request.h"

//  What one PushAck says, of one batch or of a run of batches that were accepted whole.
typedef struct {
    uint32_t accepted;
    uint32_t unreceived;
    uint32_t requests; //  0 or 1: one; n: the last n
    uint32_t credit;
    uint64_t request_id;
} reply_ack_t;

//  Packs a Reply. `*size` gets its bytes. The caller frees the result; NULL: no memory. `instance`
//  and `request_id` are set in `reply`.
uint8_t *reply_pack(Seqpush__V1__Reply *reply, uint64_t instance, uint64_t request_id,
                    size_t *size);

//  Packs a PushAck. `batch` has the refused pushes and the assigned seqs; NULL: there are none.
uint8_t *reply_pack_ack(const reply_ack_t *ack, const request_t *batch, uint64_t instance,
                        size_t *size);

//  Packs an Error.
uint8_t *reply_pack_error(error_code_t code, const char *message, uint64_t instance,
                          uint64_t request_id, size_t *size);

#endif
