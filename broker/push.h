/*  push.h - one push of a batch: a reference into the frame that it came in

    The front fills it in, the orderer decides it, and the decision takes the place of what was
    asked: so one array carries a whole batch to the orderer and its outcomes back.               */

#ifndef SEQPUSH_PUSH_H
#define SEQPUSH_PUSH_H

#include "outcome.h"
#include <stdbool.h>
#include <stdint.h>

#define ID_MAX 64 //  bytes of a client id or a receiver id

//  Positions and first seqs beyond are refused, so that a seq and a window never overflow in sum.
#define SEQ_MAX ((uint64_t)INT64_MAX)

typedef struct {
    const uint8_t *bytes; //  the whole field in the frame: tag, length, Push
    const uint8_t *id; //  client id, in the frame
    union {
        uint64_t epoch; //  as sent
        uint64_t now_epoch; //  decided: the client's present epoch
    };
    union {
        uint64_t seq; //  as sent
        uint64_t assigned; //  accepted and came with seq 0: the seq it got
        uint64_t next_seq; //  refused: the client's next expected seq
    };
    union {
        uint64_t hash; //  keyed hash of the client id
        uint64_t window_end; //  refused: first seq not admitted
    };
    union {
        uint32_t size; //  of the whole field, bytes
        uint32_t retry_after_ms; //  refused: when to try again
    };
    uint8_t id_size;
    uint8_t outcome; //  outcome_t; OUTCOME_ACCEPTED until somebody refuses it
    bool numberless : 1; //  came with seq 0
    bool unreceived : 1; //  accepted: no receiver is attached for the client
    bool written : 1; //  given to the journal; if it is numberless, with the seq that it is to get
    bool stored : 1; //  the journal keeps it
} push_t;

//  A place in a client's stream; compared by epoch, then by seq.
typedef struct {
    uint64_t epoch;
    uint64_t seq;
} position_t;

static inline int position_compare(position_t a, position_t b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

#endif
