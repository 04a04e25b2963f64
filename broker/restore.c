//  restore.c - clients, as the journal has kept them; see restore.h
//
//  A record may be left of a push that was refused after it was written, when the broker ended before
//  it was taken out. Where it fits in it is restored: to its publisher it is as if the reply had been
//  lost. Where it does not, it is taken out now, or goes when the client's position has passed it.

#include "restore.h"
#include "core_state.h"
#include <stdlib.h>
#include <string.h>

#define CHUNK 32768 //  bytes of a frame that pushes are gathered in
#define SPAN_MAX (UINT64_C(1) << 20) //  seqs: no window is larger, so what lies beyond was refused

//  A record of the present client.
typedef struct {
    record_key_t key; //  without the id
    uint64_t from; //  of a gap
    frame_t *frame; //  of a push: holds a reference
    const uint8_t *bytes;
    uint32_t size;
    bool numberless;
} kept_t;

struct restore {
    core_t *core;
    int64_t now;
    uint8_t id_size; //  of the present client; 0: none yet
    uint8_t id[ID_MAX];
    bool has_position;
    record_position_t position;
    kept_t *kept; //  its records
    size_t count, capacity;
    frame_t *chunk; //  that the next push is put into, with a reference of its own
    size_t used; //  of it
};

restore_t *restore_new(core_t *core, int64_t now)
{
    restore_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->core = core;
    self->now = now;
    core->restoring = true;
    return self;
}

static void s_clear(restore_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->kept[i].frame)
            frame_unref(self->kept[i].frame);
    self->count = 0;
    self->has_position = false;
}

void restore_destroy(restore_t **self_p)
{
    restore_t *self = *self_p;
    if (!self)
        return;
    self->core->restoring = false;
    s_clear(self);
    if (self->chunk)
        frame_unref(self->chunk);
    free(self->kept);
    free(self);
    *self_p = NULL;
}

//  ---- gathering a client ------------------------------------------------------------------------

//  Makes room for `size` bytes in a frame, which gets a reference. NULL: no memory.
static uint8_t *s_room(restore_t *self, size_t size, frame_t **frame)
{
    if (!self->chunk || self->used + size > frame_size(self->chunk)) {
        zmq_msg_t message;
        if (zmq_msg_init_size(&message, size > CHUNK ? size : CHUNK) != 0)
            return NULL;
        frame_t *chunk = frame_new(&message);
        zmq_msg_close(&message);
        if (!chunk)
            return NULL;
        if (self->chunk)
            frame_unref(self->chunk);
        self->chunk = chunk;
        self->used = 0;
    }
    uint8_t *room = (uint8_t *)zmq_msg_data(&self->chunk->message) + self->used;
    self->used += size;
    *frame = self->chunk;
    frame_ref(self->chunk);
    return room;
}

static bool s_gather_push(restore_t *self, kept_t *kept, const journal_record_t *record)
{
    const uint8_t *bytes = record->bytes;
    size_t size = record->size;
    frame_t *numbered = NULL;
    if (record->numberless) {
        numbered = intake_number(bytes, (uint32_t)size, record->key.seq);
        if (!numbered)
            return false;
        bytes = frame_bytes(numbered);
        size = frame_size(numbered);
    }
    uint8_t *to = s_room(self, size, &kept->frame);
    if (to)
        memcpy(to, bytes, size);
    if (numbered)
        frame_unref(numbered);
    kept->bytes = to;
    kept->size = (uint32_t)size;
    kept->numberless = record->numberless;
    return to != NULL;
}

static bool s_gather(restore_t *self, const journal_record_t *record)
{
    if (record->key.kind == RECORD_POSITION) {
        self->has_position = true;
        self->position = record->position;
        return true;
    }
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? 2 * self->capacity : 64;
        kept_t *grown = realloc(self->kept, capacity * sizeof *grown);
        if (!grown)
            return false;
        self->kept = grown;
        self->capacity = capacity;
    }
    kept_t *kept = &self->kept[self->count];
    *kept = (kept_t){.key = record->key, .from = record->from};
    if (record->key.kind == RECORD_PUSH && !s_gather_push(self, kept, record))
        return false;
    self->count++;
    return true;
}

//  ---- rebuilding it -----------------------------------------------------------------------------

static void s_take_out(restore_t *self, const kept_t *kept)
{
    journal_op_t op = {
        .id = self->id, .id_size = self->id_size, .epoch = kept->key.epoch, .seq = kept->key.seq};
    if (kept->key.kind == RECORD_PUSH)
        core_take_out(self->core, &op);
}

//  The frame of a push goes over to the client, or to whatever is done with it.
static frame_t *s_take_frame(kept_t *kept)
{
    frame_t *frame = kept->frame;
    kept->frame = NULL;
    return frame;
}

static bool s_retain(restore_t *self, client_t *client, kept_t *kept)
{
    if (!client_reserve(client, 1))
        return false;
    compaction_count(self->core, kept->frame, self->now);
    core_charge(self->core, client, (int64_t)kept->size + CLIENT_PUSH_COST);
    stats_add(&self->core->stats->released, 1);
    retention_put(self->core, client,
                  (retained_entry_t){.frame = s_take_frame(kept),
                                     .bytes = kept->bytes,
                                     .size = kept->size & ((1u << 30) - 1),
                                     .kind = RETAINED_PUSH,
                                     .seq = kept->key.seq},
                  self->now);
    client->view.next_seq++;
    return true;
}

//  Lets the policy have the push, as when it came in.
static bool s_enter(restore_t *self, client_t *client, kept_t *kept)
{
    compaction_count(self->core, kept->frame, self->now);
    core_charge(self->core, client, (int64_t)kept->size + CLIENT_PUSH_COST);
    window_place_t place = {s_take_frame(kept), kept->bytes, kept->size, tick_of(self->now)};
    return stream_enter(self->core, client, place, kept->key.seq, self->now);
}

//  True if the push lies in a gap that comes behind it among the client's records.
static bool s_is_given_up(const restore_t *self, size_t index)
{
    const record_key_t *push = &self->kept[index].key;
    for (size_t i = index + 1; i < self->count && self->kept[i].key.epoch == push->epoch; i++)
        if (self->kept[i].key.kind == RECORD_GAP)
            return self->kept[i].from <= push->seq;
    return false;
}

static bool s_restore_push(restore_t *self, client_t *client, size_t index)
{
    kept_t *kept = &self->kept[index];
    if (client_is(client, POLICY_PASSTHROUGH))
        return s_enter(self, client, kept);
    uint64_t next = client->view.next_seq, seq = kept->key.seq;
    if (seq < next)
        return true;
    client->numbering = kept->numberless ? NUMBERED_BY_BROKER : NUMBERED_BY_PUBLISHERS;
    if (client_is(client, POLICY_LATEST))
        return s_enter(self, client, kept);
    if (seq == next)
        return s_retain(self, client, kept);
    if (seq - next < SPAN_MAX)
        return s_enter(self, client, kept);
    s_take_out(self, kept);
    return true;
}

//  Marks what was given up ahead of the next expected seq.
static bool s_mark(client_t *client, uint64_t from, uint64_t to)
{
    uint64_t next = client->view.next_seq;
    bool ok = to - next < SPAN_MAX;
    for (uint64_t seq = from; ok && seq <= to; seq++)
        ok = client_flows(client) && (window_holds(&client->flow->window, next, seq) ||
                                      window_marked(&client->flow->window, next, seq) ||
                                      window_mark(&client->flow->window, next, seq));
    return ok;
}

static bool s_restore_gap(restore_t *self, client_t *client, const kept_t *kept)
{
    uint64_t next = client->view.next_seq, to = kept->key.seq;
    if (to < next || client_is(client, POLICY_PASSTHROUGH))
        return true;
    if (kept->from > next)
        return s_mark(client, kept->from, to);
    frame_t *notice = notice_gap(client, client->epoch, next, to);
    if (!notice || !client_reserve(client, 1)) {
        if (notice)
            frame_unref(notice);
        return false;
    }
    client->view.next_seq = to + 1;
    stream_announce(self->core, client, next, to, notice, self->now);
    return true;
}

//  What was held in the epoch before was given up with its end, and what is left of it was refused.
static bool s_restore_marker(restore_t *self, client_t *client, const kept_t *kept)
{
    position_t at = {kept->key.epoch, kept->key.seq};
    if (at.epoch <= client->epoch || client_is(client, POLICY_PASSTHROUGH))
        return true;
    frame_t *marker = notice_marker(client, at);
    if (!marker || !client_reserve(client, 1)) {
        if (marker)
            frame_unref(marker);
        return false;
    }
    gap_clear_window(self->core, client, UINT64_MAX, true);
    stream_count_window(self->core, client);
    gap_start_epoch(self->core, client, at.epoch, at.seq + 1);
    core_charge(self->core, client, CLIENT_PUSH_COST);
    retention_put(self->core, client,
                  (retained_entry_t){
                      .frame = marker, .kind = RETAINED_MARKER, .epoch = at.epoch, .seq = at.seq},
                  self->now);
    return true;
}

static bool s_restore_one(restore_t *self, client_t *client, size_t index)
{
    kept_t *kept = &self->kept[index];
    if (kept->key.kind == RECORD_MARKER)
        return s_restore_marker(self, client, kept);
    if (kept->key.epoch != client->epoch ||
        (kept->key.kind == RECORD_PUSH && s_is_given_up(self, index))) {
        s_take_out(self, kept);
        return true;
    }
    return kept->key.kind == RECORD_PUSH ? s_restore_push(self, client, index)
                                         : s_restore_gap(self, client, kept);
}

static void s_restore_gaps(client_t *client, const record_position_t *position)
{
    for (uint32_t i = 0; i < position->gap_count; i++)
        client_note_gap(client, position->gaps[i].from, position->gaps[i].to);
    if (client->gaps)
        client->gaps->forgotten_to = position->forgotten_to;
}

static void s_restore_position(client_t *client, const record_position_t *position)
{
    client->epoch = position->epoch;
    client->view.next_seq = position->seq + 1;
    client->acked = (position_t){position->epoch, position->seq};
    client->was_acked = position->known;
    if (position->epoch_now != position->epoch)
        return;
    client->numbering = (numbering_t)position->numbering;
    s_restore_gaps(client, position);
}

static bool s_rebuild(restore_t *self)
{
    if (!self->id_size)
        return true;
    uint64_t hash = request_hash(self->core->settings.key, self->id, self->id_size);
    client_t *client = client_list_get(self->core, self->id, self->id_size, hash, true, self->now);
    if (!client)
        return false;
    if (self->has_position)
        s_restore_position(client, &self->position);
    for (size_t i = 0; i < self->count; i++)
        if (!s_restore_one(self, client, i))
            return false;
    stream_settle(self->core, client, self->now);
    s_clear(self);
    return true;
}

bool restore_take(void *context, const journal_record_t *record)
{
    restore_t *self = context;
    const record_key_t *key = &record->key;
    if (key->id_size != self->id_size || memcmp(key->id, self->id, key->id_size) != 0) {
        if (!s_rebuild(self))
            return false;
        self->id_size = key->id_size;
        memcpy(self->id, key->id, key->id_size);
    }
    return s_gather(self, record);
}

bool restore_end(restore_t *self)
{
    return s_rebuild(self);
}
