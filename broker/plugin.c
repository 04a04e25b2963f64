//  plugin.c - a policy of the user's own, out of a shared object; see plugin.h

#include "plugin.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOL "seqpush_policy"
#define NAME_BYTES "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

struct plugin {
    void *object;
    const policy_t *policy;
};

static bool s_is_name(const char *name)
{
    return name && *name && strlen(name) <= POLICY_NAME_MAX && !name[strspn(name, NAME_BYTES)];
}

//  What is wrong with a table that has the right ABI, or NULL.
static const char *s_check(const policy_t *policy)
{
    if (!s_is_name(policy->name))
        return "its policy has no name of letters, digits, - and _";
    if (policy_named(policy->name))
        return "its policy has the name of a built-in one";
    if (policy->kind != POLICY_WINDOW && policy->kind != POLICY_LATEST &&
        policy->kind != POLICY_PASSTHROUGH)
        return "its policy has no known kind";
    if (policy->state_size > POLICY_STATE_MAX)
        return "its policy has too large a state_size";
    if (!policy->judge)
        return "its policy has no hook judge";
    if (!policy->settle)
        return "its policy has no hook settle";
    return NULL;
}

static bool s_fail(char **error, const char *path, const char *wrong)
{
    if (asprintf(error, "ordering/plugin: %s: %s", path, wrong) < 0)
        *error = NULL;
    return false;
}

//  Nothing but the first field is what it seems while the ABI is another.
static bool s_fail_abi(char **error, const char *path, uint32_t abi)
{
    char wrong[80];
    snprintf(wrong, sizeof wrong, "built for policy ABI %u, expected %u", abi, POLICY_ABI);
    return s_fail(error, path, wrong);
}

static bool s_open(plugin_t *self, const char *path, char **error)
{
    self->object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!self->object)
        return s_fail(error, path, dlerror());
    self->policy = dlsym(self->object, SYMBOL);
    if (!self->policy)
        return s_fail(error, path, "does not export " SYMBOL);
    if (self->policy->abi != POLICY_ABI)
        return s_fail_abi(error, path, self->policy->abi);
    const char *wrong = s_check(self->policy);
    return !wrong || s_fail(error, path, wrong);
}

plugin_t *plugin_load(const char *path, char **error)
{
    *error = NULL;
    plugin_t *self = calloc(1, sizeof *self);
    if (self && !s_open(self, path, error))
        plugin_unload(&self);
    return self;
}

const policy_t *plugin_policy(const plugin_t *self)
{
    return self->policy;
}

void plugin_unload(plugin_t **self_p)
{
    plugin_t *self = *self_p;
    if (!self)
        return;
    if (self->object)
        dlclose(self->object);
    free(self);
    *self_p = NULL;
}
