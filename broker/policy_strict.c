//  policy_strict.c - releases the next expected seq only, and waits for a hole to be filled for as
//  long as it takes. A way out of a hole is a late push, a Skip or a Reset, never time.

#include "policy.h"

static int64_t s_settle(void *state, policy_stage_t *stage, int64_t now)
{
    (void)state;
    (void)now;
    policy_release(stage, UINT64_MAX);
    return INT64_MAX;
}

const policy_t policy_strict = {
    .abi = POLICY_ABI,
    .kind = POLICY_WINDOW,
    .name = "strict",
    .state_size = 0,
    .judge = policy_judge_by_window,
    .settle = s_settle,
};
