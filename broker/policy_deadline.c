//  policy_deadline.c - releases the next expected seq, waits for a hole to be filled for gap_timeout,
//  then gives it up and goes on. Each hole has its full time from when it is next; what comes for it
//  later is STALE.

#include "policy.h"

#define RETRY 100000000 //  ns until a hole that there was no memory to announce is looked at again

static int64_t s_settle(void *state, policy_stage_t *stage, int64_t now)
{
    (void)state;
    const policy_view_t *view = policy_view(stage);
    int64_t timeout = policy_settings(stage)->gap_timeout;
    policy_release(stage, UINT64_MAX);
    if (view->hole_since && now - view->hole_since >= timeout) {
        if (!policy_give_up(stage, policy_first_held(stage) - 1))
            return now + RETRY;
        policy_release(stage, UINT64_MAX);
    }
    return view->hole_since ? view->hole_since + timeout : INT64_MAX;
}

const policy_t policy_deadline = {
    .abi = POLICY_ABI,
    .kind = POLICY_WINDOW,
    .name = "deadline",
    .state_size = 0,
    .judge = policy_judge_by_window,
    .settle = s_settle,
};
