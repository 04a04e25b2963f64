/*  rule.h - which policy a client has, and with which settings

    A client gets its rule when it is made, and keeps a pointer to it: no look-up on the way of a push.
    The rules of a configuration are made together and then constant. A reload makes others for the
    clients that come later; a set lasts as long as a client has a rule of it.                    */

#ifndef SEQPUSH_RULE_H
#define SEQPUSH_RULE_H

#include "policy.h"

typedef struct {
    const char *match; //  glob over client ids
    const policy_t *policy;
    policy_settings_t settings;
} rule_t;

typedef struct rule_set rule_set_t;

//  Makes a set of copies of the rules, the last of which matches all. The caller is its user. NULL: no
//  memory. It may go to another thread once, over a pipe; only that one counts users.
rule_set_t *rule_set_new(const rule_t *rules, size_t count);

//  Ends the caller's use; the last one frees the set. Sets the pointer to NULL, takes NULL.
void rule_set_release(rule_set_t **self_p);

//  The first rule of the set that matches the client id.
const rule_t *rule_set_match(const rule_set_t *self, const void *id, size_t id_size);

//  Uses the set that a rule is of, and ends that.
void rule_keep(const rule_t *rule);
void rule_drop(const rule_t *rule);

#endif
