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

static void s_free_rules(rule_t *rules, size_t count)
{
    for (size_t i = 0; rules && i < count; i++)
        free((char *)rules[i].match);
    free(rules);
}

//  The rules as configured, then the one for all others. NULL: it cannot be.
static rule_t *s_make_rules(const ordering_t *self, const config_t *config, char **error)
{
    size_t count = config->ordering.rule_count, i = 0;
    rule_t *rules = calloc(count + 1, sizeof *rules);
    bool ok = rules != NULL;
    for (; ok && i < count; i++) {
        const config_rule_t *rule = &config->ordering.rules[i];
        ok = s_set(&rules[i], rule->match,
                   s_find(self, "ordering/rule/policy", rule->policy, error), rule);
    }
    config_rule_t rest = {.window = config->ordering.window,
                          .first_seq = config->ordering.first_seq,
                          .gap_timeout = config->ordering.gap_timeout,
                          .gap_alarm = config->ordering.gap_alarm,
                          .repair_delay = config->ordering.repair_delay};
    if (ok && s_set(&rules[count], "*",
                    s_find(self, "ordering/policy", config->ordering.policy, error), &rest))
        return rules;
    s_free_rules(rules, count + 1);
    return NULL;
}

//  False: the broker runs with a smaller backlog than the configuration has.
static bool s_fit(const rule_t *rules, size_t count, uint32_t backlog, char **error)
{
    for (size_t i = 0; i < count; i++)
        if (rules[i].settings.window > backlog / 2) {
            if (asprintf(error,
                         "ordering/window: %u is more than half of delivery/backlog, which is %u "
                         "until a restart",
                         rules[i].settings.window, backlog) < 0)
                *error = NULL;
            return false;
        }
    return true;
}

rule_set_t *ordering_rules(const ordering_t *self, const config_t *config, uint32_t backlog,
                           char **error)
{
    *error = NULL;
    size_t count = config->ordering.rule_count + 1;
    rule_t *rules = s_make_rules(self, config, error);
    rule_set_t *set = NULL;
    if (rules && s_fit(rules, count, backlog, error))
        set = rule_set_new(rules, count);
    s_free_rules(rules, count);
    return set;
}

ordering_t *ordering_new(const config_t *config, char **error)
{
    *error = NULL;
    ordering_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->count = config->ordering.rule_count;
    if (!s_load_plugin(self, config, error) || !(self->rules = s_make_rules(self, config, error)))
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
    s_free_rules(self->rules, self->count + 1);
    plugin_unload(&self->plugin);
    free(self);
    *self_p = NULL;
}
