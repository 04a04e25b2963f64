/*  access.h - the table of keys: who may connect, and what each key may ask for

    A table is made whole out of a configuration and never changes; a reload makes another one. A key
    may do what one of its roles allows, with the clients, receivers and endpoints that its globs
    name, and nothing else: without globs, nothing.

    Plain and pure: any thread that has the table.                                                */

#ifndef SEQPUSH_ACCESS_H
#define SEQPUSH_ACCESS_H

#include "config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct access access_t;
typedef struct access_key access_key_t;

typedef enum {
    ROLE_PUBLISHER = 1, //  push, Skip, Reset
    ROLE_RECEIVER = 2, //  Attach, acks, Heartbeat, Detach
    ROLE_ADMIN = 4, //  Skip, Reset, Detach
} access_role_t;

//  The table of the configuration's keys; what it needs is copied. NULL: no memory.
access_t *access_new(const config_t *config);

//  Frees it and sets the pointer to NULL. Takes NULL.
void access_destroy(access_t **self_p);

//  The key with this public key (Z85), or NULL.
const access_key_t *access_find(const access_t *self, const char *public_key);

//  Calls `tell` for each key that the other table has not, or not with the same rights.
void access_compare(const access_t *self, const access_t *other,
                    void (*tell)(void *arg, const access_key_t *key), void *arg);

const char *access_name(const access_key_t *self);
const char *access_public_key(const access_key_t *self);

//  True if the key has one of the roles.
bool access_has_role(const access_key_t *self, unsigned roles);

//  True if the globs name the client, or every client whose id begins with the prefix.
bool access_has_client(const access_key_t *self, const uint8_t *id, size_t size);
bool access_has_prefix(const access_key_t *self, const uint8_t *prefix, size_t size);

//  True if they name the receiver, or the endpoint in its canonical form.
bool access_has_receiver(const access_key_t *self, const uint8_t *id, size_t size);
bool access_has_endpoint(const access_key_t *self, const char *endpoint);

#endif
