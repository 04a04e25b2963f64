/*  guard.h - keeps everybody but the broker away from a receiver's PULL socket

    Under CURVE the PULL socket is the server, and the broker shows its key. libzmq asks the context
    who may connect, so such a receiver has a context of its own, with an I/O thread, and answers
    from it in its polls. One thread at a time; nothing blocks.                                   */

#ifndef SEQPUSH_GUARD_H
#define SEQPUSH_GUARD_H

#include "certificate.h"
#include <stdint.h>

typedef struct {
    void *context; //  NULL: there is no guard
    void *zap; //  asks who may connect; NULL: there is no guard
    uint8_t broker[32]; //  the one key that may
} guard_t;

//  Begins to guard. Returns 0 or a negative errno; guard_close in any case.
int guard_open(guard_t *self, const char *server_key);

//  Opens a PULL socket with this pair, to be closed by zmq_close before the guard. NULL with errno set.
void *guard_socket(guard_t *self, const certificate_t *certificate);

//  Answers all who ask. Without a guard nobody does.
void guard_answer(guard_t *self);

void guard_close(guard_t *self);

#endif
