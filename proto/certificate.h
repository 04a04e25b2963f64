/*  certificate.h - a CURVE key pair and the files that it is kept in

    `seqpush keygen NAME` writes two: NAME.key has the pair and is for its owner alone, NAME.pub has
    the public key and is for everybody who is to know it. Both are ZPL, as CZMQ's certificates are.
    Broker, library and tool read the first.                                                      */

#ifndef SEQPUSH_CERTIFICATE_H
#define SEQPUSH_CERTIFICATE_H

#include <stdbool.h>

//  Bytes of a key as text (Z85), with the NUL.
#define CERTIFICATE_KEY_SIZE 41

typedef struct {
    char public_key[CERTIFICATE_KEY_SIZE];
    char secret_key[CERTIFICATE_KEY_SIZE];
} certificate_t;

//  Makes a new pair. Returns 0 or a negative errno (-ENOTSUP: this libzmq has no CURVE).
int certificate_make(certificate_t *self);

//  Reads a pair. The file must be a regular one of this user's or root's that nobody else may read
//  or write, and its keys must belong together. Returns NULL, or what is wrong, as in "belongs to
//  somebody else"; then nothing is left in `self`.
const char *certificate_read(certificate_t *self, const char *path);

//  Writes the pair (`secret`, mode 0600) or its public key alone into a new file; one that is there is
//  left as it is. Returns 0 or a negative errno.
int certificate_write(const certificate_t *self, const char *path, bool secret);

//  Overwrites the keys in memory.
void certificate_forget(certificate_t *self);

//  True if the text is a key: 40 characters of Z85.
bool certificate_is_key(const char *text);

#endif
