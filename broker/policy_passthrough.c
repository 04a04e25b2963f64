//  policy_passthrough.c - every push goes on as it comes. No order, no duplicates, no holes: for
//  clients whose publishers and receivers see to that themselves, or do not care.

#include "policy.h"

static outcome_t s_judge(const void *state, const policy_stage_t *stage, uint64_t seq)
{
    (void)state;
    (void)stage;
    (void)seq;
    return OUTCOME_ACCEPTED;
}

static int64_t s_settle(void *state, policy_stage_t *stage, int64_t now)
{
    (void)state;
    (void)now;
    policy_pass(stage);
    return INT64_MAX;
}

const policy_t policy_passthrough = {
    .abi = POLICY_ABI,
    .kind = POLICY_PASSTHROUGH,
    .name = "passthrough",
    .state_size = 0,
    .judge = s_judge,
    .settle = s_settle,
};
