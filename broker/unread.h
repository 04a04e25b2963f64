/*  unread.h - the bytes of replies that a peer has not read: what it may have, and what it has

    ZeroMQ holds them, and its I/O threads let go of them, maybe after the front has forgotten the
    peer; so the count belongs to the peer and to each reply that is under way.                   */

#ifndef SEQPUSH_UNREAD_H
#define SEQPUSH_UNREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

typedef struct unread unread_t;

//  A count of none. NULL: no memory.
unread_t *unread_new(void);

//  The peer lets go of it; takes NULL. The front's thread.
void unread_destroy(unread_t **self_p);

//  Makes a message of `size` malloc'ed bytes, which are counted until ZeroMQ lets go of them. Returns
//  false if that would be more than `max`, or there is no memory; the bytes are then freed. The
//  front's thread.
bool unread_message(unread_t *self, zmq_msg_t *message, uint8_t *bytes, size_t size, size_t max);

#endif
