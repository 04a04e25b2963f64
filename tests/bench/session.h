/*  session.h - one client's conversation with a counterpart, in the protocol of that

    A session is a publisher's or a receiver's. What differs from one counterpart to the other is a
    protocol_t: what to write, and what comes back. One thread at a time. */

#ifndef SEQPUSH_SESSION_H
#define SEQPUSH_SESSION_H

#include "link.h"
#include "seqpush.h"

typedef struct session session_t;

//  All functions write to session->link, which is flushed behind them.
typedef struct {
    const char *kind;
    unsigned window; //  pushes under way from end to end, of all publishers; more may be dropped
    bool answers; //  the counterpart answers each push: it is decided when that has come
    void (*greet)(session_t *self);
    void (*publish)(session_t *self, const seqpush_push_t *push);
    //  Asks for the pushes of session->clients. What comes in answer sets session->attached.
    void (*subscribe)(session_t *self);
    //  Takes the one message that begins at `at`. Returns what follows it; NULL if it is not there as
    //  a whole.
    const uint8_t *(*take)(session_t *self, const uint8_t *at, const uint8_t *end);
    //  Called when all that came is taken: acknowledges it.
    void (*settle)(session_t *self);
} protocol_t;

typedef struct {
    char id[SEQPUSH_ID_MAX + 1];
    size_t size;
} session_client_t;

struct session {
    const protocol_t *protocol;
    link_t link;
    char name[32]; //  publisher-1, receiver-1 and so on, for whatever wants one
    bool failed; //  the counterpart refused something, or said what cannot be understood
    //  ---- a publisher's
    uint64_t answered; //  pushes
    //  ---- a receiver's
    session_client_t *clients;
    size_t client_count;
    bool attached;
    uint64_t taken; //  pushes
    void (*on_push)(void *arg, const seqpush_push_t *push);
    void *arg;
    //  ---- for the protocol alone
    uint64_t number; //  of the last thing that it numbers
    char reply[128]; //  where the last push that is not acknowledged wants that to go
};

extern const protocol_t protocol_nats, protocol_jetstream, protocol_jetstream_file, protocol_redis,
    protocol_streams, protocol_mqtt_qos0, protocol_mqtt_qos1;

//  The protocol of the load's kind; NULL: there is none.
const protocol_t *session_protocol(void);

//  Connects and greets; the name is set. False with errno set if there is no connection.
bool session_open(session_t *self, const char *address);
void session_close(session_t *self);

//  Flushes, reads, takes in and settles what has come; waits for it if there was nothing. Returns 0
//  or a negative errno.
int session_turn(session_t *self, int timeout_ms);

//  Hands a push to the application. Its seq is read from its payload.
void session_hand(session_t *self, const void *id, size_t id_size, const void *payload,
                  size_t payload_size);

#endif
