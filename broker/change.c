//  change.c - what the journal has to know of clients, beside their pushes
//
//  Some changes cannot be taken back once a receiver was told of them: seqs that were given up, a new
//  epoch, a position that a receiver has brought. Each has a number, the ticket, and its client sends
//  nothing until the journal keeps it. Positions are told lazily, and each client's once, however often
//  it was acknowledged. A client of which something is to be told is not forgotten.
//
//  A change that is lost would leave core and journal apart, so without memory the process ends.

#include "core_state.h"
#include <stdlib.h>
#include <string.h>

typedef struct change {
    journal_kind_t kind;
    uint8_t id_size;
    uint8_t id[ID_MAX];
    client_t *client; //  of a position: it is taken when the change is
    uint64_t epoch, from, seq;
} change_t;

typedef struct awaited {
    client_t *client;
    uint32_t ticket;
} awaited_t;

//  Makes an array of at least `count` items twice as large.
static void *s_grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(array, *capacity * size);
    if (!grown)
        abort();
    return grown;
}

//  Makes room for one more in a ring.
static void *s_grow_ring(void *ring, size_t *head, size_t count, size_t *capacity, size_t size)
{
    size_t before = *capacity;
    uint8_t *grown = s_grow(ring, count, capacity, size);
    if (*capacity != before && before) {
        //  What went round follows what did not: the ring was full.
        memcpy(grown + before * size, grown, *head * size);
    }
    return grown;
}

static change_t *s_add(core_t *self, journal_kind_t kind, const uint8_t *id, size_t id_size)
{
    self->changes =
        s_grow(self->changes, self->change_count, &self->change_capacity, sizeof *self->changes);
    change_t *change = &self->changes[self->change_count++];
    *change = (change_t){.kind = kind, .id_size = (uint8_t)id_size};
    memcpy(change->id, id, id_size);
    return change;
}

static bool s_tells(const core_t *self)
{
    return self->settings.journal && !self->restoring;
}

//  ---- changes that a client waits for -----------------------------------------------------------

static void s_await(core_t *self, client_t *client)
{
    if (++self->ticket == 0)
        self->ticket++;
    client->unstored = self->ticket;
    self->awaited = s_grow_ring(self->awaited, &self->awaited_head, self->awaited_count,
                                &self->awaited_capacity, sizeof *self->awaited);
    size_t at = (self->awaited_head + self->awaited_count++) & (self->awaited_capacity - 1);
    self->awaited[at] = (awaited_t){client, self->ticket};
}

static void s_add_position(core_t *self, client_t *client)
{
    s_add(self, JOURNAL_POSITION, client->id, client->id_size)->client = client;
    s_await(self, client);
}

void change_gap(core_t *self, client_t *client, uint64_t epoch, uint64_t from, uint64_t to)
{
    if (!s_tells(self) || client_is(client, POLICY_PASSTHROUGH))
        return;
    //  The gap may begin where a part of an older one was acknowledged.
    if (client->unsaved)
        s_add_position(self, client);
    change_t *change = s_add(self, JOURNAL_GAP, client->id, client->id_size);
    change->epoch = epoch;
    change->from = from;
    change->seq = to;
    s_await(self, client);
}

void change_marker(core_t *self, client_t *client)
{
    if (!s_tells(self))
        return;
    change_t *change = s_add(self, JOURNAL_MARKER, client->id, client->id_size);
    change->epoch = client->epoch;
    change->seq = client->view.next_seq - 1;
    s_await(self, client);
}

void change_jump(core_t *self, client_t *client)
{
    if (s_tells(self))
        s_add_position(self, client);
}

void core_stored(core_t *self, uint32_t ticket)
{
    while (self->awaited_count) {
        awaited_t first = self->awaited[self->awaited_head];
        if ((int32_t)(ticket - first.ticket) < 0)
            return;
        self->awaited_head = (self->awaited_head + 1) & (self->awaited_capacity - 1);
        self->awaited_count--;
        if (first.client->unstored != first.ticket)
            continue;
        first.client->unstored = 0;
        delivery_offer(self, first.client);
    }
}

//  ---- changes that nobody waits for -------------------------------------------------------------

void change_drop(core_t *self, client_t *client, uint64_t from, uint64_t to)
{
    if (!s_tells(self))
        return;
    change_t *change = s_add(self, JOURNAL_DROP, client->id, client->id_size);
    change->epoch = client->epoch;
    change->from = from;
    change->seq = to;
}

void change_forget(core_t *self, const client_t *client)
{
    if (self->settings.journal)
        s_add(self, JOURNAL_FORGET, client->id, client->id_size);
}

void core_take_out(core_t *self, const journal_op_t *push)
{
    change_t *change = s_add(self, JOURNAL_REMOVE, push->id, push->id_size);
    change->epoch = push->epoch;
    change->seq = push->seq;
}

void change_note_position(core_t *self, client_t *client)
{
    if (self->restoring)
        return;
    client->unsaved = true;
    self->unsaved = s_grow_ring(self->unsaved, &self->unsaved_head, self->unsaved_count,
                                &self->unsaved_capacity, sizeof *self->unsaved);
    size_t at = (self->unsaved_head + self->unsaved_count++) & (self->unsaved_capacity - 1);
    self->unsaved[at] = client;
}

//  ---- taking them -------------------------------------------------------------------------------

//  What the operations of a batch point to, behind them.
typedef struct {
    uint8_t id[ID_MAX];
    record_position_t position;
} told_t;

uint32_t core_ticket(const core_t *self)
{
    return self->ticket;
}

bool core_has_changes(const core_t *self)
{
    return self->change_count > 0;
}

size_t core_positions(const core_t *self)
{
    return self->unsaved_count;
}

static void s_put_position(const client_t *client, record_position_t *position)
{
    *position = (record_position_t){.epoch = client->acked.epoch,
                                    .seq = client->acked.seq,
                                    .known = client->was_acked,
                                    .numbering = client->numbering,
                                    .epoch_now = client->epoch};
    const client_gaps_t *gaps = client->gaps;
    if (!gaps)
        return;
    position->forgotten_to = gaps->forgotten_to;
    position->gap_count = gaps->count;
    for (uint32_t i = 0; i < gaps->count; i++) {
        position->gaps[i].from = gaps->ranges[i].from;
        position->gaps[i].to = gaps->ranges[i].to;
    }
}

static journal_op_t *s_tell(journal_batch_t *batch, told_t *told, journal_kind_t kind,
                            const uint8_t *id, uint8_t id_size)
{
    journal_op_t *op = &batch->ops[batch->count++];
    memcpy(told->id, id, id_size);
    *op = (journal_op_t){.kind = kind, .id = told->id, .id_size = id_size};
    return op;
}

static void s_tell_position(journal_batch_t *batch, told_t *told, const client_t *client)
{
    s_put_position(client, &told->position);
    s_tell(batch, told, JOURNAL_POSITION, client->id, client->id_size)->position = &told->position;
}

static void s_tell_change(journal_batch_t *batch, told_t *told, const change_t *change)
{
    if (change->kind == JOURNAL_POSITION) {
        s_tell_position(batch, told, change->client);
        return;
    }
    journal_op_t *op = s_tell(batch, told, change->kind, change->id, change->id_size);
    op->epoch = change->epoch;
    op->seq = change->seq;
    op->from = change->from;
}

static client_t *s_take_unsaved(core_t *self)
{
    client_t *client = self->unsaved[self->unsaved_head];
    self->unsaved_head = (self->unsaved_head + 1) & (self->unsaved_capacity - 1);
    self->unsaved_count--;
    client->unsaved = false;
    return client;
}

journal_batch_t *core_changes(core_t *self, size_t positions)
{
    if (positions > self->unsaved_count)
        positions = self->unsaved_count;
    size_t count = self->change_count + positions;
    if (!count)
        return NULL;
    size_t head = sizeof(journal_batch_t) + count * sizeof(journal_op_t);
    journal_batch_t *batch = malloc(head + count * sizeof(told_t));
    if (!batch)
        return NULL;
    *batch = (journal_batch_t){.lasts = true, .ticket = self->ticket};
    told_t *told = (told_t *)((uint8_t *)batch + head);
    for (size_t i = 0; i < self->change_count; i++)
        s_tell_change(batch, told++, &self->changes[i]);
    self->change_count = 0;
    while (positions--)
        s_tell_position(batch, told++, s_take_unsaved(self));
    return batch;
}

void change_fini(core_t *self)
{
    free(self->changes);
    free(self->awaited);
    free(self->unsaved);
}
