//  access.c - the table of keys; see access.h

#include "access.h"
#include "address.h"
#include "glob.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

//  Keys are found by hash: the operator's keys are no secret, so the comparison need not hide them.
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef struct {
    char **items;
    size_t count;
    bool any; //  one of them is *
} globs_t;

struct access_key {
    char *name;
    char *public_key;
    unsigned roles;
    globs_t clients, receivers, endpoints;
    UT_hash_handle by_public_key;
};

struct access {
    access_key_t *keys;
    size_t count;
    access_key_t *by_public_key;
    atomic_bool
        made; //  whoever has seen it sees the rest: the table may be another thread's by now
};

//  ---- life --------------------------------------------------------------------------------------

static bool s_copy_globs(globs_t *self, const config_list_t *from)
{
    self->items = calloc(from->count ? from->count : 1, sizeof *self->items);
    if (!self->items)
        return false;
    for (; self->count < from->count; self->count++) {
        const char *glob = from->items[self->count];
        if (!(self->items[self->count] = strdup(glob)))
            return false;
        self->any |= strcmp(glob, "*") == 0;
    }
    return true;
}

static void s_free_globs(globs_t *self)
{
    while (self->count)
        free(self->items[--self->count]);
    free(self->items);
}

static unsigned s_role(const char *name)
{
    if (strcmp(name, "publisher") == 0)
        return ROLE_PUBLISHER;
    return strcmp(name, "receiver") == 0 ? ROLE_RECEIVER : ROLE_ADMIN;
}

static bool s_copy_key(access_key_t *self, const config_access_t *from)
{
    self->name = strdup(from->name);
    self->public_key = strdup(from->public);
    for (size_t i = 0; i < from->role.count; i++)
        self->roles |= s_role(from->role.items[i]);
    return self->name && self->public_key && s_copy_globs(&self->clients, &from->clients) &&
           s_copy_globs(&self->receivers, &from->receivers) &&
           s_copy_globs(&self->endpoints, &from->endpoints);
}

static bool s_add(access_t *self, const config_access_t *from)
{
    access_key_t *key = &self->keys[self->count++];
    if (!s_copy_key(key, from))
        return false;
    HASH_ADD_KEYPTR(by_public_key, self->by_public_key, key->public_key, strlen(key->public_key),
                    key);
    return key->by_public_key.tbl != NULL;
}

access_t *access_new(const config_t *config)
{
    access_t *self = calloc(1, sizeof *self);
    size_t count = config->security.key_count;
    if (self)
        self->keys = calloc(count ? count : 1, sizeof *self->keys);
    bool ok = self && self->keys;
    for (size_t i = 0; ok && i < count; i++)
        ok = s_add(self, &config->security.keys[i]);
    if (ok)
        atomic_store_explicit(&self->made, true, memory_order_release);
    else
        access_destroy(&self);
    return self;
}

void access_destroy(access_t **self_p)
{
    access_t *self = *self_p;
    if (!self)
        return;
    HASH_CLEAR(by_public_key, self->by_public_key);
    for (size_t i = 0; i < self->count; i++) {
        access_key_t *key = &self->keys[i];
        free(key->name);
        free(key->public_key);
        s_free_globs(&key->clients);
        s_free_globs(&key->receivers);
        s_free_globs(&key->endpoints);
    }
    free(self->keys);
    free(self);
    *self_p = NULL;
}

//  ---- keys --------------------------------------------------------------------------------------

const access_key_t *access_find(const access_t *self, const char *public_key)
{
    access_key_t *key = NULL;
    bool made = atomic_load_explicit((atomic_bool *)&self->made, memory_order_acquire);
    assert(made);
    (void)made;
    HASH_FIND(by_public_key, self->by_public_key, public_key, strlen(public_key), key);
    return key;
}

static bool s_same_globs(const globs_t *a, const globs_t *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->items[i], b->items[i]) == 0;
    return same;
}

static bool s_same_rights(const access_key_t *a, const access_key_t *b)
{
    return a->roles == b->roles && s_same_globs(&a->clients, &b->clients) &&
           s_same_globs(&a->receivers, &b->receivers) && s_same_globs(&a->endpoints, &b->endpoints);
}

void access_compare(const access_t *self, const access_t *other,
                    void (*tell)(void *arg, const access_key_t *key), void *arg)
{
    for (size_t i = 0; i < self->count; i++) {
        const access_key_t *key = &self->keys[i], *now = access_find(other, key->public_key);
        if (!now || !s_same_rights(key, now))
            tell(arg, key);
    }
}

const char *access_name(const access_key_t *self)
{
    return self->name;
}

const char *access_public_key(const access_key_t *self)
{
    return self->public_key;
}

bool access_has_role(const access_key_t *self, unsigned roles)
{
    return (self->roles & roles) != 0;
}

//  ---- globs -------------------------------------------------------------------------------------

static bool s_match(const globs_t *self, const uint8_t *id, size_t size)
{
    if (self->any)
        return true;
    for (size_t i = 0; i < self->count; i++)
        if (glob_match(self->items[i], id, size))
            return true;
    return false;
}

bool access_has_client(const access_key_t *self, const uint8_t *id, size_t size)
{
    return s_match(&self->clients, id, size);
}

//  A glob that ends with a star and matches the prefix matches whatever begins with the prefix: its
//  star takes the rest too.
bool access_has_prefix(const access_key_t *self, const uint8_t *prefix, size_t size)
{
    for (size_t i = 0; i < self->clients.count; i++) {
        const char *glob = self->clients.items[i];
        if (glob[strlen(glob) - 1] == '*' && glob_match(glob, prefix, size))
            return true;
    }
    return false;
}

bool access_has_receiver(const access_key_t *self, const uint8_t *id, size_t size)
{
    return s_match(&self->receivers, id, size);
}

bool access_has_endpoint(const access_key_t *self, const char *endpoint)
{
    for (size_t i = 0; i < self->endpoints.count; i++)
        if (address_matches(endpoint, self->endpoints.items[i]))
            return true;
    return false;
}
