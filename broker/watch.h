/*  watch.h - what the main thread does by the clock, whatever else it waits for

    Every second it sums up what the log has left out. In the first second with little work it gives the
    memory back that the load before has left, which the allocator would keep. And if the service manager asks for it
    (WATCHDOG_USEC), it tells the manager that the broker lives, as long as all actors answer. When one
    does not, the manager hears nothing, and ends the broker. Main thread.                        */

#ifndef SEQPUSH_WATCH_H
#define SEQPUSH_WATCH_H

#include "broker.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t feed_every; //  ms; 0: nobody asks for it
    int64_t feed_at, look_at; //  monotonic ms
    uint64_t work, trimmed_work; //  broker_work a second ago, and when memory was given back
    bool hangs; //  an actor has not answered, which was logged
} watch_t;

//  Reads what the service manager asks for.
void watch_init(watch_t *self);

//  How many ms may pass until the next watch_turn.
long watch_timeout(const watch_t *self);

//  Does what is due.
void watch_turn(watch_t *self, broker_t *broker);

#endif
