//  journal_index.c - which operations of a journal's log still hold; see journal_index.h

#include "journal_index.h"
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

//  A place in a client's stream, and what stands there.
typedef struct {
    uint64_t epoch, seq;
    record_kind_t kind;
} point_t;

//  Where in the log an operation stands.
typedef struct {
    uint64_t segment;
    uint32_t offset;
} place_t;

typedef struct {
    point_t point;
    place_t place;
} entry_t;

//  What holds of a client: its position and `count` entries from `head` on, in the order of their points.
typedef struct {
    uint64_t hash; //  of the id
    uint8_t id_size;
    uint8_t id[RECORD_ID_MAX];
    bool has_position;
    place_t position;
    entry_t *entries;
    size_t head, count, capacity;
} indexed_t;

//  A look-up most often touches one slot and one client.
typedef struct {
    uint64_t hash;
    indexed_t *client; //  NULL: empty
} slot_t;

typedef struct {
    uint64_t bytes;
    uint32_t live;
} segment_t;

struct journal_index {
    uint8_t key[crypto_shorthash_KEYBYTES]; //  so that ids cannot be chosen to collide
    slot_t *slots; //  all clients by hash, with linear probing
    size_t slot_count, client_count; //  slots are twice as many at least, and a power of two
    uint64_t first, next; //  numbers of segments
    segment_t *segments; //  a ring, by number
    size_t capacity; //  of it: a power of two
    uint64_t bytes, live; //  of all segments
};

journal_index_t *journal_index_new(void)
{
    journal_index_t *self = calloc(1, sizeof *self);
    if (self)
        randombytes_buf(self->key, sizeof self->key);
    return self;
}

static void s_free_client(indexed_t *client)
{
    free(client->entries);
    free(client);
}

void journal_index_clear(journal_index_t *self, uint64_t number)
{
    for (size_t i = 0; i < self->slot_count; i++)
        if (self->slots[i].client)
            s_free_client(self->slots[i].client);
    free(self->slots);
    self->slots = NULL;
    self->slot_count = self->client_count = 0;
    self->first = self->next = number;
    self->bytes = self->live = 0;
}

void journal_index_destroy(journal_index_t **self_p)
{
    journal_index_t *self = *self_p;
    if (!self)
        return;
    journal_index_clear(self, 0);
    free(self->segments);
    free(self);
    *self_p = NULL;
}

//  ---- segments ----------------------------------------------------------------------------------

uint64_t journal_index_first(const journal_index_t *self)
{
    return self->first;
}

uint64_t journal_index_next(const journal_index_t *self)
{
    return self->next;
}

uint64_t journal_index_bytes(const journal_index_t *self)
{
    return self->bytes;
}

uint64_t journal_index_live(const journal_index_t *self)
{
    return self->live;
}

static segment_t *s_segment(const journal_index_t *self, uint64_t number)
{
    return &self->segments[number & (self->capacity - 1)];
}

static bool s_grow_segments(journal_index_t *self)
{
    size_t capacity = self->capacity ? 2 * self->capacity : 64;
    segment_t *grown = malloc(capacity * sizeof *grown);
    if (!grown)
        return false;
    for (uint64_t i = self->first; i < self->next; i++)
        grown[i & (capacity - 1)] = *s_segment(self, i);
    free(self->segments);
    self->segments = grown;
    self->capacity = capacity;
    return true;
}

bool journal_index_begin(journal_index_t *self)
{
    if (self->next - self->first == self->capacity && !s_grow_segments(self))
        return false;
    *s_segment(self, self->next++) = (segment_t){0};
    return true;
}

void journal_index_end(journal_index_t *self, uint64_t bytes)
{
    s_segment(self, self->next - 1)->bytes = bytes;
    self->bytes += bytes;
}

uint32_t journal_index_live_first(const journal_index_t *self)
{
    return s_segment(self, self->first)->live;
}

void journal_index_drop_first(journal_index_t *self)
{
    assert(self->first < self->next && journal_index_live_first(self) == 0);
    self->bytes -= s_segment(self, self->first++)->bytes;
}

static void s_count(journal_index_t *self, place_t place, int change)
{
    s_segment(self, place.segment)->live += (uint32_t)change;
    self->live += (uint64_t)(int64_t)change;
}

//  ---- clients -----------------------------------------------------------------------------------

static uint64_t s_hash(const journal_index_t *self, const journal_op_t *op)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, op->id, op->id_size, self->key);
    return hash;
}

static bool s_is(const slot_t *slot, uint64_t hash, const journal_op_t *op)
{
    return slot->hash == hash && slot->client->id_size == op->id_size &&
           memcmp(slot->client->id, op->id, op->id_size) == 0;
}

static indexed_t *s_find(const journal_index_t *self, const journal_op_t *op)
{
    if (!self->client_count)
        return NULL;
    uint64_t hash = s_hash(self, op);
    size_t mask = self->slot_count - 1, i = hash & mask;
    while (self->slots[i].client && !s_is(&self->slots[i], hash, op))
        i = (i + 1) & mask;
    return self->slots[i].client;
}

static void s_put_client(journal_index_t *self, indexed_t *client)
{
    size_t mask = self->slot_count - 1, i = client->hash & mask;
    while (self->slots[i].client)
        i = (i + 1) & mask;
    self->slots[i] = (slot_t){client->hash, client};
}

static bool s_grow_slots(journal_index_t *self)
{
    slot_t *old = self->slots;
    size_t old_count = self->slot_count, count = old_count ? 2 * old_count : 64;
    slot_t *grown = calloc(count, sizeof *grown);
    if (!grown)
        return false;
    self->slots = grown;
    self->slot_count = count;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].client)
            s_put_client(self, old[i].client);
    free(old);
    return true;
}

static indexed_t *s_make(journal_index_t *self, const journal_op_t *op)
{
    if (2 * (self->client_count + 1) > self->slot_count && !s_grow_slots(self))
        return NULL;
    indexed_t *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->hash = s_hash(self, op);
    client->id_size = op->id_size;
    memcpy(client->id, op->id, op->id_size);
    s_put_client(self, client);
    self->client_count++;
    return client;
}

//  Shifts back what follows, so that there are no tombstones.
static void s_empty_slot(journal_index_t *self, size_t hole)
{
    size_t mask = self->slot_count - 1;
    for (size_t i = (hole + 1) & mask; self->slots[i].client; i = (i + 1) & mask) {
        size_t home = self->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        self->slots[hole] = self->slots[i];
        hole = i;
    }
    self->slots[hole] = (slot_t){0};
}

static void s_free_if_empty(journal_index_t *self, indexed_t *client)
{
    if (client->has_position || client->count)
        return;
    size_t mask = self->slot_count - 1, i = client->hash & mask;
    while (self->slots[i].client != client)
        i = (i + 1) & mask;
    s_empty_slot(self, i);
    self->client_count--;
    s_free_client(client);
}

//  ---- entries -----------------------------------------------------------------------------------

static int s_compare(const point_t *a, const point_t *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return (a->kind > b->kind) - (a->kind < b->kind);
}

//  Index of the first entry that is not before the point. New ones come at the end, or near it.
static size_t s_bound(const indexed_t *client, point_t point)
{
    const entry_t *entries = client->entries + client->head;
    size_t low = 0, high = client->count;
    if (high > 0 && s_compare(&entries[high - 1].point, &point) < 0)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s_compare(&entries[middle].point, &point) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

//  The entry of exactly this point, or NULL.
static entry_t *s_entry(const indexed_t *client, point_t point)
{
    size_t at = s_bound(client, point);
    entry_t *entry = client->entries + client->head + at;
    return at < client->count && s_compare(&entry->point, &point) == 0 ? entry : NULL;
}

static void s_cut_entries(indexed_t *client, size_t from, size_t to)
{
    entry_t *entries = client->entries + client->head;
    if (from == 0)
        client->head += to;
    else
        memmove(entries + from, entries + to, (client->count - to) * sizeof *entries);
    client->count -= to - from;
}

//  Forgets the entries from one point up to another one.
static void s_cut(journal_index_t *self, indexed_t *client, point_t low, point_t high)
{
    size_t from = s_bound(client, low), to = from;
    while (to < client->count) {
        const entry_t *entry = &client->entries[client->head + to];
        if (s_compare(&entry->point, &high) > 0)
            break;
        s_count(self, entry->place, -1);
        to++;
    }
    s_cut_entries(client, from, to);
}

//  Makes room for one more entry behind the last one.
static bool s_reserve(indexed_t *client)
{
    if (client->head + client->count < client->capacity)
        return true;
    if (client->head > client->count) {
        memmove(client->entries, client->entries + client->head,
                client->count * sizeof *client->entries);
        client->head = 0;
        return true;
    }
    size_t capacity = client->capacity ? 2 * client->capacity : 4;
    entry_t *grown = realloc(client->entries, capacity * sizeof *grown);
    if (!grown)
        return false;
    client->entries = grown;
    client->capacity = capacity;
    return true;
}

static bool s_put(journal_index_t *self, indexed_t *client, point_t point, place_t place)
{
    entry_t *there = s_entry(client, point);
    if (!there && !s_reserve(client))
        return false;
    s_count(self, place, 1);
    if (there) {
        s_count(self, there->place, -1);
        there->place = place;
        return true;
    }
    size_t at = s_bound(client, point);
    entry_t *entry = client->entries + client->head + at;
    memmove(entry + 1, entry, (client->count - at) * sizeof *entry);
    *entry = (entry_t){point, place};
    client->count++;
    return true;
}

static void s_set_position(journal_index_t *self, indexed_t *client, place_t place)
{
    if (client->has_position)
        s_count(self, client->position, -1);
    client->has_position = true;
    client->position = place;
    s_count(self, place, 1);
}

static void s_clear_position(journal_index_t *self, indexed_t *client)
{
    if (client->has_position)
        s_count(self, client->position, -1);
    client->has_position = false;
}

//  ---- operations --------------------------------------------------------------------------------

static record_kind_t s_kind(const journal_op_t *op)
{
    return op->kind == JOURNAL_PUSH  ? RECORD_PUSH
           : op->kind == JOURNAL_GAP ? RECORD_GAP
                                     : RECORD_MARKER;
}

static point_t s_point(const journal_op_t *op)
{
    return (point_t){op->epoch, op->seq, s_kind(op)};
}

bool journal_index_has(const journal_index_t *self, const journal_op_t *push)
{
    const indexed_t *client = s_find(self, push);
    return client && s_entry(client, s_point(push));
}

static void s_take_away(journal_index_t *self, indexed_t *client, const journal_op_t *op)
{
    const point_t all = {UINT64_MAX, UINT64_MAX, RECORD_MARKER};
    const point_t last = {op->epoch, op->seq, RECORD_MARKER};
    const point_t push = {op->epoch, op->seq, RECORD_PUSH};
    switch (op->kind) {
    case JOURNAL_REMOVE:
        s_cut(self, client, push, push);
        break;
    case JOURNAL_DROP:
    case JOURNAL_GAP:
        s_cut(self, client, (point_t){.epoch = op->epoch, .seq = op->from}, last);
        break;
    case JOURNAL_POSITION:
        s_cut(self, client, (point_t){0}, last);
        break;
    case JOURNAL_FORGET:
        s_cut(self, client, (point_t){0}, all);
        s_clear_position(self, client);
        break;
    default:
        break;
    }
}

static bool s_adds(journal_kind_t kind)
{
    return kind == JOURNAL_PUSH || kind == JOURNAL_GAP || kind == JOURNAL_MARKER ||
           kind == JOURNAL_POSITION;
}

static bool s_add(journal_index_t *self, indexed_t *client, const journal_op_t *op, place_t place)
{
    if (!s_adds(op->kind))
        return true;
    if (op->kind != JOURNAL_POSITION)
        return s_put(self, client, s_point(op), place);
    s_set_position(self, client, place);
    return true;
}

bool journal_index_note(journal_index_t *self, const journal_op_t *op, uint32_t offset)
{
    indexed_t *client = s_find(self, op);
    if (!client && !s_adds(op->kind))
        return true;
    if (!client)
        client = s_make(self, op);
    if (!client)
        return false;
    s_take_away(self, client, op);
    bool ok = s_add(self, client, op, (place_t){self->next - 1, offset});
    s_free_if_empty(self, client);
    return ok;
}

bool journal_index_holds(const journal_index_t *self, const journal_op_t *op, uint64_t segment,
                         uint32_t offset)
{
    const indexed_t *client = s_adds(op->kind) ? s_find(self, op) : NULL;
    if (!client || (op->kind == JOURNAL_POSITION && !client->has_position))
        return false;
    const entry_t *entry = op->kind == JOURNAL_POSITION ? NULL : s_entry(client, s_point(op));
    if (op->kind != JOURNAL_POSITION && !entry)
        return false;
    const place_t *place = entry ? &entry->place : &client->position;
    return place->segment == segment && place->offset == offset;
}

void journal_index_forget(journal_index_t *self, const journal_op_t *op)
{
    indexed_t *client = s_find(self, op);
    assert(client);
    if (op->kind == JOURNAL_POSITION)
        s_clear_position(self, client);
    else
        s_cut(self, client, s_point(op), s_point(op));
    s_free_if_empty(self, client);
}
