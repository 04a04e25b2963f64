/*  inquiry.h - the way of a query to the orderer and back

    One end is the http thread's, which asks and waits with a deadline; the other one the orderer's,
    which answers when it has the time. There is one query. While the orderer has it, nobody else can
    ask: so what piles up is bounded, and an orderer that does not answer costs the asking thread one
    deadline.                                                                                       */

#ifndef SEQPUSH_INQUIRY_H
#define SEQPUSH_INQUIRY_H

#include "query.h"

typedef struct inquiry inquiry_t;

//  Main thread. NULL: no memory, or no more descriptors.
inquiry_t *inquiry_new(void);

//  When the threads of both ends have stopped. Takes NULL.
void inquiry_destroy(inquiry_t **self_p);

//  ---- who asks ----------------------------------------------------------------------------------

//  The query, to be filled in; or NULL if the orderer still has it.
query_t *inquiry_query(inquiry_t *self);

//  Asks, and waits for the answer for a while. Returns false if there is none; the query is then the
//  orderer's until it has answered.
bool inquiry_ask(inquiry_t *self);

//  ---- who answers -------------------------------------------------------------------------------

//  Does some of what was asked. Returns true if there was something to do.
bool inquiry_answer(inquiry_t *self, const core_t *core, int64_t now);

//  The end to wait for queries at. Owned by the inquiry.
pipe_t *inquiry_pipe(const inquiry_t *self);

#endif
