//  client.c - one client; see client.h

#include "client.h"
#include <stdlib.h>
#include <string.h>

//  What clients have that have no flow of their own. Nobody writes to it.
static const client_flow_t s_no_flow;
#define NO_FLOW ((client_flow_t *)&s_no_flow)

client_t *client_new(slab_t *slab, const void *id, size_t id_size, const rule_t *rule)
{
    uint64_t first_seq = rule->settings.first_seq;
    size_t state = rule->policy->state_size;
    size_t size = offsetof(client_t, id) + id_size;
    //  A state is aligned for anything if all records of the size are.
    if (state)
        size = (client_state_offset(id_size) + state + 15) & ~(size_t)15;
    client_t *self = slab_take(slab, size);
    if (!self)
        return NULL;
    self->flow = NO_FLOW;
    self->rule = rule;
    self->view = (policy_view_t){.next_seq = first_seq, .window = rule->settings.window};
    self->acked = (position_t){0, first_seq - 1};
    self->marker_due = true;
    self->id_size = (uint8_t)id_size;
    memcpy(self->id, id, id_size);
    return self;
}

static void s_drop_flow(client_t *self)
{
    if (self->flow == NO_FLOW)
        return;
    window_fini(&self->flow->window);
    retained_fini(&self->flow->retained);
    free(self->flow);
    self->flow = NO_FLOW;
}

void client_destroy(client_t **self_p, slab_t *slab)
{
    client_t *self = *self_p;
    if (!self)
        return;
    const client_flow_t *flow = self->flow;
    for (uint32_t i = 0; i < flow->window.capacity; i++)
        if (flow->window.places[i].frame)
            frame_unref(flow->window.places[i].frame);
    for (uint32_t i = 0; i < flow->retained.count; i++)
        frame_unref(retained_at(&flow->retained, i)->frame);
    s_drop_flow(self);
    free(self->gaps);
    slab_give(slab, self);
    *self_p = NULL;
}

bool client_flows(client_t *self)
{
    if (self->flow != NO_FLOW)
        return true;
    client_flow_t *flow = calloc(1, sizeof *flow);
    if (!flow)
        return false;
    flow->repair_at = INT64_MAX;
    self->flow = flow;
    return true;
}

void client_rest(client_t *self)
{
    const client_flow_t *flow = self->flow;
    if (flow->window.held + flow->window.marks + flow->retained.count == 0 && !self->window_bytes &&
        !self->ready && !flow->waits_since)
        s_drop_flow(self);
}

//  Takes out the gaps that from..to touches, which are then part of it, so that what is remembered
//  does not depend on how many steps a gap has grown in.
static void s_join(client_gaps_t *gaps, uint64_t *from, uint64_t *to)
{
    uint64_t first = *from, last = *to;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < gaps->count; i++) {
        client_gap_t gap = gaps->ranges[i];
        if (first > gap.to + 1 || last + 1 < gap.from) {
            gaps->ranges[kept++] = gap;
            continue;
        }
        *from = gap.from < *from ? gap.from : *from;
        *to = gap.to > *to ? gap.to : *to;
    }
    gaps->count = kept;
}

static void s_forget_oldest(client_gaps_t *gaps)
{
    if (gaps->ranges[0].to > gaps->forgotten_to)
        gaps->forgotten_to = gaps->ranges[0].to;
    gaps->count--;
    memmove(gaps->ranges, gaps->ranges + 1, gaps->count * sizeof gaps->ranges[0]);
}

void client_note_gap(client_t *self, uint64_t from, uint64_t to)
{
    //  Without memory a late push is told DUPLICATE, which keeps it out just as well.
    if (!self->gaps && !(self->gaps = calloc(1, sizeof *self->gaps)))
        return;
    s_join(self->gaps, &from, &to);
    if (self->gaps->count == CLIENT_GAPS)
        s_forget_oldest(self->gaps);
    self->gaps->ranges[self->gaps->count++] = (client_gap_t){from, to};
}

bool client_gave_up(const client_t *self, uint64_t seq)
{
    for (uint32_t i = 0; self->gaps && i < self->gaps->count; i++)
        if (seq >= self->gaps->ranges[i].from && seq <= self->gaps->ranges[i].to)
            return true;
    return false;
}

bool client_may_have_given_up(const client_t *self, uint64_t seq)
{
    return client_gave_up(self, seq) || (self->gaps && seq <= self->gaps->forgotten_to);
}
