/*  ordering.h - the ordering that a configuration asks for: its policies, its plug-in, its rules

    Turns names into policies, and milliseconds into the core's time. Made before the core that uses
    it, and destroyed after it. Main thread. */

#ifndef SEQPUSH_ORDERING_H
#define SEQPUSH_ORDERING_H

#include "config.h"
#include "core.h"

typedef struct ordering ordering_t;

//  Loads the plug-in, if there is one, and finds all policies. What is needed of the configuration
//  is copied. NULL: it cannot be; then `*error` says why, NULL if there is no memory for it, and the
//  caller frees it.
ordering_t *ordering_new(const config_t *config, char **error);

//  Sets what the core is to know of it: the policy and settings of clients, and the rules.
void ordering_apply(const ordering_t *self, core_settings_t *settings);

//  The rules that another configuration asks for, the last of which matches all; with the plug-in that
//  is loaded, and within half of `backlog`. The caller is their user. NULL: as of ordering_new.
rule_set_t *ordering_rules(const ordering_t *self, const config_t *config, uint32_t backlog,
                           char **error);

//  Frees it and unloads the plug-in. Takes NULL.
void ordering_destroy(ordering_t **self_p);

#endif
