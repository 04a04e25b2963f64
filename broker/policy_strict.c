//  policy_strict.c - releases the next expected seq only, and waits for a hole to be filled for as
//  long as it takes. A way out of a hole is a late push, a Skip or a Reset, never time.

#include "policy.h"

static outcome_t s_judge(const void *state, const policy_stage_t *stage, uint64_t seq)
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

static int64_t s_settle(void *state, policy_stage_t *stage, int64_t now)
{
    (void)state;
    (void)now;
    policy_release_run(stage);
    return INT64_MAX;
}

const policy_t policy_strict = {
    .abi = POLICY_ABI,
    .name = "strict",
    .state_size = 0,
    .judge = s_judge,
    .settle = s_settle,
};
