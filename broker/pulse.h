/*  pulse.h - whether an actor still takes its turns

    The main thread asks over the actor's control pipe, and the actor answers by counting in its
    figures. It is asked again only when it has answered, so one that hangs does not fill the pipe,
    which $TERM needs.                                                                            */

#ifndef SEQPUSH_PULSE_H
#define SEQPUSH_PULSE_H

#include "stats.h"
#include <czmq.h>
#include <stdbool.h>

//  What the actor is sent; its answer is to add 1 to its pulses.
#define PULSE_COMMAND "PULSE"

//  Turns of a busy actor between looks at its control pipe, each of which is a system call or two.
#define CONTROL_EVERY 64

typedef struct {
    uint64_t awaited; //  answers that there are when the last question was answered
} pulse_t;

//  Asks the actor for a sign of life. Returns false if it has not given the last one yet. Zeroed
//  before the first call. Main thread.
bool pulse_ask(pulse_t *self, zactor_t *actor, const stats_t *pulses);

#endif
