/*  rule.h - which policy a client has, and with which settings

    The rules of a configuration are made once and then constant. A client gets its rule when it is
    made, and keeps a pointer to it: no look-up on the way of a push. */

#ifndef SEQPUSH_RULE_H
#define SEQPUSH_RULE_H

#include "policy.h"

typedef struct {
    const char *match; //  glob over client ids
    const policy_t *policy;
    policy_settings_t settings;
} rule_t;

#endif
