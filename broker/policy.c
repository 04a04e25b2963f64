//  policy.c - the table of built-in ordering policies; see policy.h

#include "policy.h"
#include <string.h>

static const policy_t *const s_policies[] = {&policy_strict, &policy_deadline, &policy_latest,
                                             &policy_passthrough};

const policy_t *policy_named(const char *name)
{
    for (size_t i = 0; i < sizeof s_policies / sizeof *s_policies; i++)
        if (strcmp(s_policies[i]->name, name) == 0)
            return s_policies[i];
    return NULL;
}
