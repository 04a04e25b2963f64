/*  load.h - what the loads on the counterparts share

    A load is `seqpush bench` itself, linked with another client: publishers and receivers with the
    functions of seqpush.h that talk to a counterpart instead of the broker. So whatever is measured
    makes the same pushes, by the same threads, and checks each one in the same way.

    Publishers and receivers are two processes, as there. They share one load_t. */

#ifndef SEQPUSH_LOAD_H
#define SEQPUSH_LOAD_H

#include "seqpush.h"
#include <stdatomic.h>

#define LOAD_RECEIVERS_MAX 1000
#define LOAD_CLIENTS_MAX 1000000
#define LOAD_ENDPOINT_SIZE 64

//  Pushes that may be under way from end to end, where the counterpart itself holds nobody back.
#define LOAD_WINDOW 32768

typedef struct {
    const char *kind; //  of counterpart
    const char *from; //  where receivers connect, separated by commas; empty: they bind
    _Atomic uint64_t published, received; //  pushes
    _Atomic size_t receivers; //  that there are
    char bound[LOAD_RECEIVERS_MAX][LOAD_ENDPOINT_SIZE]; //  where each one is, or what it is called
    uint16_t receiver_of[LOAD_CLIENTS_MAX + 1]; //  who takes a client, by the client's number
} load_t;

//  Made before the processes part. What is in it, receivers write before they are attached.
extern load_t *load;

//  Reads the arguments KIND FROM OPTION..., the options being those of `seqpush bench`, and runs it.
//  Returns the exit status.
int load_run(int argc, char **argv);

//  The number at the end of a client's id.
size_t load_client(const void *id, size_t size);

//  The seq of a push, which its payload begins with. False if it is too short.
bool load_seq(const void *payload, size_t size, uint64_t *seq);

//  Part `index`, taken round, of a list that commas separate. False if it has no room in `part`.
bool load_part(const char *list, size_t index, char part[LOAD_ENDPOINT_SIZE]);

#endif
