//  rule.c - rules over client ids; see rule.h

#include "rule.h"
#include "glob.h"
#include <stdlib.h>
#include <string.h>

//  A rule that knows its set. The rule comes first, so that a pointer to one leads to the other.
typedef struct {
    rule_t rule;
    rule_set_t *set;
} member_t;

struct rule_set {
    uint32_t users;
    size_t count;
    member_t members[];
};

static void s_free(rule_set_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free((char *)self->members[i].rule.match);
    free(self);
}

//  A policy without a window has none, whatever the configuration says.
static bool s_add(rule_set_t *self, const rule_t *rule)
{
    member_t *member = &self->members[self->count++];
    member->rule = *rule;
    member->set = self;
    if (rule->policy->kind != POLICY_WINDOW)
        member->rule.settings.window = 0;
    return (member->rule.match = strdup(rule->match)) != NULL;
}

rule_set_t *rule_set_new(const rule_t *rules, size_t count)
{
    rule_set_t *self = calloc(1, sizeof *self + count * sizeof self->members[0]);
    if (!self)
        return NULL;
    self->users = 1;
    for (size_t i = 0; i < count; i++)
        if (!s_add(self, &rules[i])) {
            s_free(self);
            return NULL;
        }
    return self;
}

void rule_set_release(rule_set_t **self_p)
{
    rule_set_t *self = *self_p;
    if (self && --self->users == 0)
        s_free(self);
    *self_p = NULL;
}

const rule_t *rule_set_match(const rule_set_t *self, const void *id, size_t id_size)
{
    const member_t *member = self->members;
    while (!glob_match(member->rule.match, id, id_size))
        member++;
    return &member->rule;
}

void rule_keep(const rule_t *rule)
{
    ((const member_t *)rule)->set->users++;
}

void rule_drop(const rule_t *rule)
{
    rule_set_t *set = ((const member_t *)rule)->set;
    rule_set_release(&set);
}
