/*  socket.h - the library's ZeroMQ sockets, of one context that a process shares

    The context, and its one I/O thread, is made with the first socket and goes with the last
    one, so that 64 publishers in a process do not cost 64 I/O threads. A socket belongs to one
    thread at a time; opening and closing may be done by any.                                     */

#ifndef SEQPUSH_SOCKET_H
#define SEQPUSH_SOCKET_H

#include "certificate.h"
#include "seqpush.pb-c.h"
#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

//  Opens a DEALER, PULL or PAIR socket. Returns NULL with errno set.
//
//  A DEALER holds nothing for a broker that is not there (ZMQ_IMMEDIATE): what was meant for one
//  run of the broker never reaches the next, and sending again does not pile up copies. What is
//  lost with a connection is found by whoever waits for a reply. Its high-water marks are off,
//  because credit bounds what is under way.
void *socket_open(int type);

//  Makes a socket of another context, with the same settings; zmq_close closes it.
void *socket_make(void *context, int type);

//  Reads the keys that options name. Returns 1, 0 if they name none, -EINVAL if they name one of the two
//  alone or no key, -EACCES if the file cannot be used.
int socket_read_keys(certificate_t *certificate, const char *key_file, const char *server_key);

//  Makes it the CURVE client of the server with this key, before it connects. Returns false with errno
//  set.
bool socket_secure(void *self, const certificate_t *certificate, const char *server_key);

//  Closes it at once, dropping what is unsent. Takes NULL, sets the pointer to NULL.
void socket_close(void **self_p);

//  Opens a socket that tells when another one, which is not connected yet, comes to be; and closes
//  it, before that one is closed. Opening returns NULL with errno set; closing takes NULL.
void *socket_monitor(void *self);
void socket_close_monitor(void *self, void **monitor_p);

//  True if the socket was connected, or connected again, since this was asked last.
bool socket_was_connected(void *monitor);

//  Sends the message, which leaves the caller in any case. Never blocks. Returns false if the
//  socket does not take it: the broker is not connected.
bool socket_send(void *self, zmq_msg_t *message);

//  Packs and sends a request. Returns false if the socket does not take it or there is no memory.
bool socket_send_request(void *self, const Seqpush__V1__Request *request);

//  Receives one message into an initialised one. Never blocks. Returns 1, 0 if there is none, or a
//  negative errno.
int socket_receive(void *self, zmq_msg_t *message);

//  Receives and unpacks one reply, which the caller frees with protobuf-c; NULL if it is none that
//  can be read. Returns as socket_receive does.
int socket_receive_reply(void *self, Seqpush__V1__Reply **reply);

//  Waits for any of the items until the monotonic time `until` in ms (-1: for ever). Returns 0 or a
//  negative errno (-EINTR after a signal).
int socket_wait(zmq_pollitem_t *items, int count, int64_t until);

//  Monotonic time in ms.
int64_t socket_clock(void);

//  When a call ends that may take `timeout_ms` from now; -1 stays -1, for ever.
int64_t socket_deadline(int timeout_ms);

//  The earlier of two times, of which -1 is never.
static inline int64_t socket_earlier(int64_t one, int64_t other)
{
    if (one < 0)
        return other;
    return other < 0 || one < other ? one : other;
}

#endif
