/*  plugin.h - a policy of the user's own, out of a shared object

    It is built against policy.h alone and finds the functions of that header in seqpushd. Loaded at
    the start by the main thread, and unloaded when nothing runs any more. */

#ifndef SEQPUSH_PLUGIN_H
#define SEQPUSH_PLUGIN_H

#include "policy.h"

typedef struct plugin plugin_t;

//  Loads the object at an absolute path and checks the table that it exports. NULL: it cannot be
//  used; then `*error` says why, NULL if there is no memory for it, and the caller frees it.
plugin_t *plugin_load(const char *path, char **error);

//  The policy that it brings, as long as it is loaded.
const policy_t *plugin_policy(const plugin_t *self);

//  Unloads it. Takes NULL.
void plugin_unload(plugin_t **self_p);

#endif
