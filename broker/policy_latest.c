//  policy_latest.c - the newest push alone counts: it takes the place of the one that waits, and never
//  waits for what is missing before it.

#include "policy.h"

static outcome_t s_judge(const void *state, const policy_stage_t *stage, uint64_t seq)
{
    (void)state;
    uint64_t next = policy_view(stage)->next_seq;
    if (seq >= next)
        return OUTCOME_ACCEPTED;
    return seq < next - 1 || policy_gave_up(stage, seq) ? OUTCOME_STALE : OUTCOME_DUPLICATE;
}

static int64_t s_settle(void *state, policy_stage_t *stage, int64_t now)
{
    (void)state;
    (void)now;
    policy_replace(stage);
    return INT64_MAX;
}

const policy_t policy_latest = {
    .abi = POLICY_ABI,
    .kind = POLICY_LATEST,
    .name = "latest",
    .state_size = 0,
    .judge = s_judge,
    .settle = s_settle,
};
