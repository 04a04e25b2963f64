/*  positions.c - the table of positions */

#include "positions.h"
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

static unsigned char s_key[crypto_shorthash_KEYBYTES];
static pthread_once_t s_key_made = PTHREAD_ONCE_INIT;

static void s_make_key(void)
{
    randombytes_buf(s_key, sizeof s_key);
}

unsigned positions_hash(const void *id, size_t size)
{
    uint64_t hash;
    pthread_once(&s_key_made, s_make_key);
    crypto_shorthash((unsigned char *)&hash, id, size, s_key);
    return (unsigned)hash;
}

position_t *positions_find(positions_t *self, const void *id, size_t id_size)
{
    return positions_find_hashed(self, id, id_size, positions_hash(id, id_size));
}

position_t *positions_find_hashed(positions_t *self, const void *id, size_t id_size, unsigned hash)
{
    position_t *position;
    HASH_FIND_BYHASHVALUE(hh, self->table, id, id_size, hash, position);
    return position;
}

static position_t *s_add(positions_t *self, const void *id, size_t id_size)
{
    position_t *position = calloc(1, sizeof *position + id_size);
    if (!position)
        return NULL;
    memcpy(position->id, id, id_size);
    position->id_size = (uint8_t)id_size;
    HASH_ADD_KEYPTR(hh, self->table, position->id, id_size, position);
    if (position->hh.tbl)
        return position;
    free(position);
    return NULL;
}

position_t *positions_get(positions_t *self, const void *id, size_t id_size)
{
    position_t *position = positions_find(self, id, id_size);
    return position ? position : s_add(self, id, id_size);
}

void position_enlist(position_t *self, position_t **list)
{
    if (self->list)
        DL_DELETE(*self->list, self);
    self->list = list;
    if (list)
        DL_APPEND(*list, self);
}

void positions_fini(positions_t *self)
{
    position_t *position, *next;
    HASH_ITER (hh, self->table, position, next) {
        HASH_DEL(self->table, position);
        free(position);
    }
}
