//  rule.c - the rules of the core: which policy and settings a client has

#include "core_state.h"
#include "glob.h"
#include <stdlib.h>
#include <string.h>

//  A policy without a window has none, whatever the configuration says.
static void s_set(rule_t *rule, const rule_t *from)
{
    *rule = *from;
    if (from->policy->kind != POLICY_WINDOW)
        rule->settings.window = 0;
}

bool rule_make_all(core_t *self)
{
    const core_settings_t *settings = &self->settings;
    rule_t rest = {"*",
                   settings->policy,
                   {settings->window, settings->first_seq, settings->gap_timeout,
                    settings->gap_alarm, settings->repair_delay}};
    self->rules = calloc(settings->rule_count + 1, sizeof *self->rules);
    if (!self->rules)
        return false;
    for (size_t i = 0; i < settings->rule_count; i++)
        s_set(&self->rules[i], &settings->rules[i]);
    s_set(&self->rules[settings->rule_count], &rest);
    return true;
}

const rule_t *rule_of(const core_t *self, const void *id, size_t id_size)
{
    const rule_t *rule = self->rules;
    while (!glob_match(rule->match, id, id_size))
        rule++;
    return rule;
}

void rule_fini(core_t *self)
{
    free(self->rules);
}
