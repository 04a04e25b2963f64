//  ordering.c - the ordering that a configuration asks for; see ordering.h

#include "ordering.h"
#include "plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000000)

struct ordering {
    plugin_t *plugin; //  NULL: none
    rule_t *rules; //  as configured, then the one for all others
    size_t count; //  without that
};

static bool s_load_plugin(ordering_t *self, const config_t *config, char **error)
{
    if (!*config->ordering.plugin)
        return true;
    self->plugin = plugin_load(config->ordering.plugin, error);
    return self->plugin != NULL;
}

//  The policy of this name. NULL: there is none; that it is not built in matters only with a plug-in,
//  as the configuration was checked without one.
static const policy_t *s_find(const ordering_t *self, const char *path, const char *name,
                              char **error)
{
    const policy_t *policy = policy_named(name);
    const policy_t *brought = self->plugin ? plugin_policy(self->plugin) : NULL;
    if (!policy && brought && strcmp(brought->name, name) == 0)
        policy = brought;
    if (!policy && asprintf(error, "%s: \"%s\" is neither built in nor the plug-in's, which is %s",
                            path, name, brought ? brought->name : "none") < 0)
        *error = NULL;
    return policy;
}

static bool s_set(rule_t *rule, const char *match, const policy_t *policy,
                  const config_rule_t *config)
{
    rule->match = strdup(match);
    rule->policy = policy;
    rule->settings = (policy_settings_t){.window = config->window,
                                         .first_seq = config->first_seq,
                                         .gap_timeout = config->gap_timeout * MS,
                                         .gap_alarm = config->gap_alarm * MS,
                                         .repair_delay = config->repair_delay * MS};
    return rule->match && policy;
}

static bool s_make_rules(ordering_t *self, const config_t *config, char **error)
{
    size_t count = config->ordering.rule_count;
    self->rules = calloc(count + 1, sizeof *self->rules);
    for (; self->rules && self->count < count; self->count++) {
        const config_rule_t *rule = &config->ordering.rules[self->count];
        if (!s_set(&self->rules[self->count], rule->match,
                   s_find(self, "ordering/rule/policy", rule->policy, error), rule))
            return false;
    }
    config_rule_t rest = {.window = config->ordering.window,
                          .first_seq = config->ordering.first_seq,
                          .gap_timeout = config->ordering.gap_timeout,
                          .gap_alarm = config->ordering.gap_alarm,
                          .repair_delay = config->ordering.repair_delay};
    return self->rules &&
           s_set(&self->rules[count], "*",
                 s_find(self, "ordering/policy", config->ordering.policy, error), &rest);
}

ordering_t *ordering_new(const config_t *config, char **error)
{
    *error = NULL;
    ordering_t *self = calloc(1, sizeof *self);
    if (self && !(s_load_plugin(self, config, error) && s_make_rules(self, config, error)))
        ordering_destroy(&self);
    return self;
}

void ordering_apply(const ordering_t *self, core_settings_t *settings)
{
    const rule_t *rest = &self->rules[self->count];
    settings->policy = rest->policy;
    settings->window = rest->settings.window;
    settings->first_seq = rest->settings.first_seq;
    settings->gap_timeout = rest->settings.gap_timeout;
    settings->gap_alarm = rest->settings.gap_alarm;
    settings->repair_delay = rest->settings.repair_delay;
    settings->rules = self->rules;
    settings->rule_count = self->count;
}

void ordering_destroy(ordering_t **self_p)
{
    ordering_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; self->rules && i <= self->count; i++)
        free((char *)self->rules[i].match);
    free(self->rules);
    plugin_unload(&self->plugin);
    free(self);
    *self_p = NULL;
}
