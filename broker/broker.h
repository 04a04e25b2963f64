/*  broker.h - makes the pipes and the actors of one broker, and takes them down again

    Started downstream first: workers, orderer, front, http; stopped upstream first. Main thread. */

#ifndef SEQPUSH_BROKER_H
#define SEQPUSH_BROKER_H

#include "config.h"
#include "rule.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct broker broker_t;

//  Starts a broker; it serves when this returns. The configuration is borrowed until
//  broker_destroy. On failure returns NULL and sets `*error` to a sentence that the caller frees.
broker_t *broker_new(const config_t *config, char **error);

//  The front's endpoints, separated by commas, and the address of http ("off": none), as they were
//  bound. Owned by the broker.
const char *broker_endpoints(const broker_t *self);
const char *broker_http(const broker_t *self);

//  From now on the keys of this configuration may connect and ask. A peer whose key is not among them any
//  more is refused at its next request. Without CURVE, and without memory, nothing happens.
void broker_admit(broker_t *self, const config_t *config);

//  The rules that another configuration asks for. NULL: it cannot be had without a restart; then
//  `*error` says why, NULL if there is no memory for it, and the caller frees it.
rule_set_t *broker_rules(const broker_t *self, const config_t *config, char **error);

//  Clients that come from now on are ordered by these rules, whose user the broker then is.
void broker_reorder(broker_t *self, rule_set_t *rules);

//  From now on as many workers are to run. Endpoints move between them while pushes go on; those that
//  are not needed end as soon as they have none.
void broker_resize(broker_t *self, unsigned count);

//  From now on new pushes are refused. broker_drained says when all that was released to receivers
//  which are there is acknowledged.
void broker_drain(broker_t *self);
bool broker_drained(const broker_t *self);

//  Asks all actors for a sign of life. Returns the name of one that has not given the last one yet,
//  NULL: all have.
const char *broker_silent(broker_t *self);

//  Pushes decided and acknowledged so far; it stands still while the broker is idle.
uint64_t broker_work(const broker_t *self);

//  A socket that is readable when broker_tend has something to do, which does not block for long.
void *broker_socket(const broker_t *self);
void broker_tend(broker_t *self);

//  Stops all actors and frees the broker; every request that it has gets its reply first. What ZeroMQ
//  has taken for routes and peers has `linger` ms to leave, replies always some. Returns the number of
//  accepted pushes that were kept and are lost with it. Takes NULL.
uint64_t broker_destroy(broker_t **self_p, uint32_t linger);

#endif
