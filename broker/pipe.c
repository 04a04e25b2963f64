//  pipe.c - a pipe between two actors; see pipe.h

#include "pipe.h"
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

//  An end goes to another thread behind fences that ThreadSanitizer cannot see, since Debian's build
//  of libzmq is not instrumented; these two say so, and are nothing in any other build.
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define HANDED_OVER(item) __tsan_release(item)
#define TAKEN_OVER(item) __tsan_acquire(item)
#else
#define HANDED_OVER(item) (void)(item)
#define TAKEN_OVER(item) (void)(item)
#endif

#define CACHE_LINE 64

//  What the taker of a lane waits for, if it does.
enum { AWAKE, WAITS_FOR_ITEMS, WAITS_FOR_ITEMS_OR_CREDIT };

//  One direction of a pipe.
typedef struct {
    //  The first items of the chains that were sent and not fetched, the newest chain first.
    _Alignas(CACHE_LINE) _Atomic(pipe_item_t *) newest;
    _Alignas(CACHE_LINE) _Atomic uint64_t done; //  weight that the taker has worked through
    _Atomic int waits;
    int wake; //  eventfd that the taker waits at
} lane_t;

typedef struct {
    lane_t lanes[2];
    atomic_int ends;
} both_t;

struct pipe {
    both_t *both;
    lane_t *in;
    lane_t *out;
    pipe_item_t *fetched; //  chains, the oldest first
    pipe_item_t *first;
    pipe_item_t *last;
    uint64_t sent; //  weight, in all
    uint64_t seen; //  of it, what was done when this end last looked
    uint64_t done; //  of the other direction
    uint64_t told; //  `done` when the other end was last woken for credit
    uint32_t waiting; //  weight of the chain to be flushed
    uint32_t taken; //  weight of the chain that is being worked through
    uint32_t capacity;
};

int64_t pipe_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

//  ---- life --------------------------------------------------------------------------------------

static void s_free(both_t *both)
{
    for (int i = 0; i < 2; i++)
        if (both->lanes[i].wake >= 0)
            close(both->lanes[i].wake);
    free(both);
}

static both_t *s_new(void)
{
    both_t *both = aligned_alloc(CACHE_LINE, sizeof *both);
    if (!both)
        return NULL;
    *both = (both_t){.ends = 2};
    for (int i = 0; i < 2; i++)
        both->lanes[i].wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (both->lanes[0].wake >= 0 && both->lanes[1].wake >= 0)
        return both;
    s_free(both);
    return NULL;
}

static pipe_t *s_end_new(both_t *both, int in, uint32_t capacity)
{
    pipe_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->both = both;
    self->in = &both->lanes[in];
    self->out = &both->lanes[1 - in];
    self->capacity = capacity;
    return self;
}

int pipe_new(pipe_t **left, pipe_t **right, uint32_t capacity)
{
    assert(capacity > 1);
    *left = *right = NULL;
    both_t *both = s_new();
    if (!both)
        return errno ? -errno : -ENOMEM;
    *left = s_end_new(both, 0, capacity);
    *right = s_end_new(both, 1, capacity);
    if (*left && *right)
        return 0;
    free(*left);
    free(*right);
    *left = *right = NULL;
    s_free(both);
    return -ENOMEM;
}

void pipe_destroy(pipe_t **self_p)
{
    pipe_t *self = *self_p;
    if (!self)
        return;
    if (atomic_fetch_sub(&self->both->ends, 1) == 1)
        s_free(self->both);
    free(self);
    *self_p = NULL;
}

//  ---- waking ------------------------------------------------------------------------------------

//  Wakes the other end if it waits. Whoever finds it waiting, and nobody else, writes.
static void s_wake(lane_t *lane)
{
    if (atomic_exchange(&lane->waits, AWAKE) == AWAKE)
        return;
    ssize_t written = write(lane->wake, &(uint64_t){1}, sizeof(uint64_t));
    assert(written == sizeof(uint64_t));
    (void)written;
}

bool pipe_begin_wait(pipe_t *self)
{
    bool for_credit = !pipe_has_credit(self);
    //  First it is said, then looked: the other end first sends, then looks whether it was said.
    atomic_store(&self->in->waits, for_credit ? WAITS_FOR_ITEMS_OR_CREDIT : WAITS_FOR_ITEMS);
    return !self->fetched && !atomic_load(&self->in->newest) &&
           !(for_credit && atomic_load(&self->out->done) != self->seen);
}

void pipe_end_wait(pipe_t *self, bool woken)
{
    atomic_store_explicit(&self->in->waits, AWAKE, memory_order_relaxed);
    uint64_t count;
    if (woken && read(self->in->wake, &count, sizeof count) < 0)
        assert(errno == EAGAIN);
}

int pipe_descriptor(const pipe_t *self)
{
    return self->in->wake;
}

//  ---- putting -----------------------------------------------------------------------------------

bool pipe_has_credit(const pipe_t *self)
{
    return self->sent - self->seen + self->waiting < self->capacity;
}

void pipe_put(pipe_t *self, pipe_item_t *item, uint32_t weight)
{
    assert(weight > 0);
    item->next = NULL;
    if (self->last)
        self->last->next = item;
    else
        self->first = item;
    self->last = item;
    self->waiting += weight;
}

static void s_send(pipe_t *self)
{
    pipe_item_t *first = self->first;
    first->weight = self->waiting;
    first->sent_at = pipe_clock();
    first->chain = atomic_load_explicit(&self->out->newest, memory_order_relaxed);
    self->sent += self->waiting;
    self->first = self->last = NULL;
    self->waiting = 0;
    while (!atomic_compare_exchange_weak(&self->out->newest, &first->chain, first))
        continue;
    if (atomic_load(&self->out->waits) != AWAKE)
        s_wake(self->out);
}

void pipe_flush(pipe_t *self)
{
    if (self->first && self->sent - self->seen < self->capacity)
        s_send(self);
}

//  ---- taking ------------------------------------------------------------------------------------

//  Gives back as credit what was worked through. An end that waits for credit is woken for half the
//  capacity, not for less.
static void s_give_credit(pipe_t *self)
{
    if (!self->taken)
        return;
    self->done += self->taken;
    self->taken = 0;
    atomic_store(&self->in->done, self->done);
    if (self->done - self->told < self->capacity / 2 ||
        atomic_load(&self->out->waits) != WAITS_FOR_ITEMS_OR_CREDIT)
        return;
    self->told = self->done;
    s_wake(self->out);
}

//  Fetches all that was sent, and turns it round.
static void s_fetch(pipe_t *self)
{
    if (!atomic_load_explicit(&self->in->newest, memory_order_relaxed))
        return;
    pipe_item_t *chain = atomic_exchange(&self->in->newest, NULL);
    while (chain) {
        pipe_item_t *older = chain->chain;
        chain->chain = self->fetched;
        self->fetched = chain;
        chain = older;
    }
}

pipe_item_t *pipe_take(pipe_t *self, int64_t *waited)
{
    s_give_credit(self);
    self->seen = atomic_load(&self->out->done);
    if (!self->fetched)
        s_fetch(self);
    pipe_item_t *first = self->fetched;
    if (!first)
        return NULL;
    self->fetched = first->chain;
    self->taken = first->weight;
    *waited = pipe_clock() - first->sent_at;
    return first;
}

pipe_item_t *pipe_empty(pipe_t *self)
{
    pipe_item_t *all = self->first, *chain;
    self->first = self->last = NULL;
    int64_t waited;
    while ((chain = pipe_take(self, &waited))) {
        pipe_item_t *last = chain;
        while (last->next)
            last = last->next;
        last->next = all;
        all = chain;
    }
    return all;
}

void pipe_hand_over(pipe_t *self)
{
    HANDED_OVER(self);
}

void pipe_take_over(pipe_t *self)
{
    TAKEN_OVER(self);
}
