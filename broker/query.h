/*  query.h - what an operator asks of the orderer, and its answer, in one record

    The record goes to the orderer and comes back, over a pipe of its own. There is one a broker, so
    what looking costs is bounded: the orderer does a slice of it a turn, and what takes too long is
    answered with what was found until then.                                                        */

#ifndef SEQPUSH_QUERY_H
#define SEQPUSH_QUERY_H

#include "explain.h"

//  Rows of a list, at most.
#define QUERY_ROWS_MAX 1000

typedef enum {
    QUERY_CLIENT, //  explain one
    QUERY_CLIENTS, //  list them
    QUERY_RECEIVERS,
} query_kind_t;

typedef struct {
    pipe_item_t item;
    query_kind_t kind;
    uint8_t id_size; //  CLIENT: whom
    uint8_t id[ID_MAX];
    bool stuck; //  lists: only who stands still
    uint32_t limit; //  lists: 1 to QUERY_ROWS_MAX
    shortlist_key_t after; //  CLIENTS: what comes after this row; id_size 0: from the start

    bool found; //  CLIENT: there is one
    bool whole; //  lists: all were looked at
    int64_t now; //  the time that the answer is of
    size_t total; //  lists: clients or receivers looked at
    uint32_t count; //  rows
    explain_client_t client;
    union {
        explain_row_t clients[QUERY_ROWS_MAX];
        explain_receiver_t receivers[QUERY_ROWS_MAX];
    };
    int64_t begun; //  the orderer's, while it works on it
    explain_list_t list; //  the same
} query_t;

//  Begins to answer, at `now`.
void query_begin(query_t *self, int64_t now);

//  Goes on with it. Returns true when it is answered. The core's owner.
bool query_go_on(query_t *self, const core_t *core, int64_t now);

#endif
