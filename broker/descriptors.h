/*  descriptors.h - how many file descriptors the process may have, and what that allows

    At the limit libzmq's I/O threads spin and a new actor ends the process, so the broker counts
    before it takes. Main thread.                                                                 */

#ifndef SEQPUSH_DESCRIPTORS_H
#define SEQPUSH_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

//  What the descriptors allow.
typedef struct {
    unsigned long files;
    uint32_t receivers;
    uint32_t connections; //  to the front
} descriptors_t;

//  Raises the limit as far as it goes.
descriptors_t descriptors_raise(void);

//  True if the process can take as many as an actor and its pipe need, and some.
bool descriptors_left(void);

#endif
