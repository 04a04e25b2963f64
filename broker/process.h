/*  process.h - what the kernel knows of this process: processor time, memory, file descriptors

    Figures like those of stats.h, so that they are shown in the same ways; but nobody keeps them,
    they are read when they are asked for.                                                        */

#ifndef SEQPUSH_PROCESS_H
#define SEQPUSH_PROCESS_H

#include "stats.h"

//  A figure that cannot be read is 0.
typedef struct {
    stats_t cpu; //  ns, user and system
    stats_t start_time; //  ns since 1970
    stats_t resident_memory_bytes;
    stats_t open_fds;
    stats_t max_fds;
} process_t;

//  Fills in all figures, out of /proc. Any thread; does not block.
void process_read(process_t *self);

#endif
