/*  tool_connections.c - several publishers that take pushes by turns, in one thread */

#include "tool.h"
#include <errno.h>
#include <stdlib.h>

struct tool_connections {
    size_t count;
    seqpush_publisher_t *publishers[];
};

tool_connections_t *tool_connections_new(const seqpush_publisher_options_t *options, size_t count)
{
    tool_connections_t *self = calloc(1, sizeof *self + count * sizeof *self->publishers);
    if (!self)
        return NULL;
    for (; self->count < count; self->count++) {
        self->publishers[self->count] = seqpush_publisher_new(options);
        if (!self->publishers[self->count]) {
            int error = errno;
            tool_connections_destroy(&self);
            errno = error;
            return NULL;
        }
    }
    return self;
}

void tool_connections_destroy(tool_connections_t **self_p)
{
    for (size_t i = 0; *self_p && i < (*self_p)->count; i++)
        seqpush_publisher_destroy(&(*self_p)->publishers[i]);
    free(*self_p);
    *self_p = NULL;
}

int tool_connections_push(tool_connections_t *self, size_t way, const seqpush_push_t *push)
{
    return seqpush_publisher_push(self->publishers[way], push);
}

int tool_connections_turn(tool_connections_t *self, size_t busy, int timeout_ms)
{
    for (size_t i = 0; i < self->count; i++)
        if (i != busy)
            seqpush_publisher_poll(self->publishers[i], 0);
    long result = seqpush_publisher_poll(self->publishers[busy], timeout_ms);
    return result < 0 && result != -EINTR ? (int)result : 0;
}

void tool_connections_stats(const tool_connections_t *self, seqpush_publisher_stats_t *sum)
{
    *sum = (seqpush_publisher_stats_t){0};
    for (size_t i = 0; i < self->count; i++) {
        const seqpush_publisher_stats_t *one = seqpush_publisher_stats(self->publishers[i]);
        for (size_t k = 0; k < TOOL_OUTCOMES; k++)
            sum->outcomes[k] += one->outcomes[k];
        sum->pushed += one->pushed;
        sum->retries += one->retries;
        sum->resends += one->resends;
        sum->errors += one->errors;
        sum->unreceived += one->unreceived;
        sum->delivered += one->delivered;
        sum->given_up += one->given_up;
    }
}

uint64_t tool_decided(const seqpush_publisher_stats_t *stats)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < TOOL_OUTCOMES; i++)
        sum += stats->outcomes[i];
    return sum;
}
