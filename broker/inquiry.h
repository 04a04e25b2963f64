/*  inquiry.h - the way of a query to the orderer and back

    One end is the http threads', which ask in turn and wait with a deadline; the other one the
    orderer's, which answers when it has the time. There is one query. While the orderer has it, nobody
    else can ask: so what piles up is bounded, and an orderer that does not answer costs who asks one
    deadline. There is a lock among those who ask; the orderer never takes it.                        */

#ifndef SEQPUSH_INQUIRY_H
#define SEQPUSH_INQUIRY_H

#include "query.h"

typedef struct inquiry inquiry_t;

//  Main thread. NULL: no memory, or no more descriptors.
inquiry_t *inquiry_new(void);

//  When the threads of both ends have stopped. Takes NULL.
void inquiry_destroy(inquiry_t **self_p);

//  ---- who asks ----------------------------------------------------------------------------------

//  Times are those of pipe_clock.

//  The query, to be filled in, once it is the caller's turn; inquiry_end gives it back. NULL: that was
//  not before `end`. What was answered to somebody who did not wait for it is still there to be read.
query_t *inquiry_begin(inquiry_t *self, int64_t end);

//  Asks, and waits for the answer until `end`. Returns false if there is none; the query is then the
//  orderer's until it has answered.
bool inquiry_ask(inquiry_t *self, int64_t end);

void inquiry_end(inquiry_t *self);

//  ---- who answers -------------------------------------------------------------------------------

//  Does some of what was asked. Returns true if there was something to do.
bool inquiry_answer(inquiry_t *self, const core_t *core, int64_t now);

//  The pipe that queries come from, to wait at. Owned by the inquiry.
pipe_t *inquiry_pipe(const inquiry_t *self);

#endif
