//  policy.c - the table of built-in ordering policies, and what they share; see policy.h

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

outcome_t policy_judge_by_window(const void *state, const policy_stage_t *stage, uint64_t seq)
{
    (void)state;
    const policy_view_t *view = policy_view(stage);
    if (seq < view->next_seq)
        return policy_gave_up(stage, seq) ? OUTCOME_STALE : OUTCOME_DUPLICATE;
    if (seq - view->next_seq >= view->window)
        return OUTCOME_WINDOW_FULL;
    if (policy_holds(stage, seq))
        return OUTCOME_DUPLICATE;
    return policy_gave_up(stage, seq) ? OUTCOME_STALE : OUTCOME_ACCEPTED;
}
