/*  tool_positions.c - the positions of clients, by which the tool checks what the library hands out

    Ids come from outside, so the table's hash is keyed. */

#include "tool.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static uint8_t s_key[crypto_shorthash_KEYBYTES];

static unsigned s_hash(const void *id, size_t size)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, id, size, s_key);
    unsigned value;
    memcpy(&value, hash, sizeof value);
    return value;
}

#define HASH_FUNCTION(id, size, value) ((value) = s_hash((id), (size)))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef struct {
    tool_position_t position;
    UT_hash_handle hh;
    char id[];
} entry_t;

struct tool_positions {
    entry_t *entries;
};

tool_positions_t *tool_positions_new(void)
{
    randombytes_buf(s_key, sizeof s_key);
    return calloc(1, sizeof(tool_positions_t));
}

void tool_positions_destroy(tool_positions_t **self_p)
{
    if (!*self_p)
        return;
    entry_t *entry, *next;
    HASH_ITER (hh, (*self_p)->entries, entry, next) {
        HASH_DEL((*self_p)->entries, entry);
        free(entry);
    }
    free(*self_p);
    *self_p = NULL;
}

static entry_t *s_add(tool_positions_t *self, const void *id, size_t id_size)
{
    entry_t *entry = calloc(1, sizeof *entry + id_size);
    if (!entry)
        return NULL;
    memcpy(entry->id, id, id_size);
    entry->position.id = entry->id;
    entry->position.id_size = id_size;
    HASH_ADD_KEYPTR(hh, self->entries, entry->id, id_size, entry);
    if (entry->hh.tbl)
        return entry;
    free(entry);
    return NULL;
}

tool_position_t *tool_positions_at(tool_positions_t *self, const void *id, size_t id_size)
{
    entry_t *entry;
    HASH_FIND(hh, self->entries, id, id_size, entry);
    if (!entry)
        entry = s_add(self, id, id_size);
    return entry ? &entry->position : NULL;
}

void tool_positions_each(const tool_positions_t *self,
                         void (*each)(void *arg, const tool_position_t *position), void *arg)
{
    for (const entry_t *entry = self->entries; entry; entry = entry->hh.next)
        each(arg, &entry->position);
}
