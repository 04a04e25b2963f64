/*  pipe.h - a pipe between two actors: chains of items, both ways, under credit

    A pipe is a pair of ends, one an actor. Items are structs that begin with a pipe_item_t; putting
    one chains it to those that wait, and a flush sends the whole chain at once, so that a busy pipe
    costs one atomic exchange for many items, and no system call. Only an end that waits is woken,
    through a descriptor. Ownership goes with the item.

    Credit is what bounds a pipe: nothing ever blocks. Every item has a weight, in units of the
    user's choosing. A flush sends while the weight that the other end has not yet worked through is
    below the capacity; what is put beyond that waits at this end, so whoever can stop putting does
    so when there is no credit. An end that waits without credit is woken once half the capacity has
    come back.

    Credit comes in with pipe_take. So an actor's turn is: take, put, flush; and it waits only after
    a turn whose take found nothing.

    An end belongs to one thread at a time. It may go to another one over a socket, which is fence
    enough: pipe_hand_over before, pipe_take_over there.                                          */

#ifndef SEQPUSH_PIPE_H
#define SEQPUSH_PIPE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pipe_item {
    struct pipe_item *next;

    //  The pipe's, in the first item of a chain.
    struct pipe_item *chain; //  the first item of another one
    int64_t sent_at;
    uint32_t weight; //  of the chain
} pipe_item_t;

typedef struct pipe pipe_t;

//  Makes both ends of a pipe. `capacity` is what each end may have under way to the other, in units
//  of weight. Returns 0, or a negative errno (no more descriptors, no memory).
int pipe_new(pipe_t **left, pipe_t **right, uint32_t capacity);

//  Closes an end and sets the pointer to NULL; takes NULL. Items that wait to be flushed or taken
//  are not freed: empty it first.
void pipe_destroy(pipe_t **self_p);

//  True while there is credit for another item, beyond what waits for a flush.
bool pipe_has_credit(const pipe_t *self);

//  Chains an item to what waits for the next flush. The item leaves the caller. `weight` >= 1.
void pipe_put(pipe_t *self, pipe_item_t *item, uint32_t weight);

//  Sends what waits, if there is credit. Never blocks. Cheap if there is nothing to send.
void pipe_flush(pipe_t *self);

//  Takes the next chain that the other end sent: its first item, the others behind `next`, the last
//  one's being NULL. Returns NULL if there is none now. With it the weight of the chain taken
//  before is given back as credit: call again only when that one has been worked through. `*waited`
//  gets the ns that the chain was under way. Never blocks.
pipe_item_t *pipe_take(pipe_t *self, int64_t *waited);

//  Takes everything that is left in an end whose threads have stopped: what came in and what waits
//  for a flush. Returns the chain, or NULL.
pipe_item_t *pipe_empty(pipe_t *self);

//  Says that the end goes to another thread, and that it has come.
void pipe_hand_over(pipe_t *self);
void pipe_take_over(pipe_t *self);

//  How to wait: begin, then poll the descriptor for input, then end, with what the poll has said of
//  it. If begin says false, something has come already, or credit where there was none: do not wait,
//  but end.
bool pipe_begin_wait(pipe_t *self);
void pipe_end_wait(pipe_t *self, bool woken);

//  The descriptor to poll for input. Owned by the pipe.
int pipe_descriptor(const pipe_t *self);

//  Monotonic time in ns, as all actors use it.
int64_t pipe_clock(void);

#endif
