/*  playout.c - an ordering policy as a plug-in: a playout buffer

    Every push is released gap_timeout after it came, in order; what is missing when the push after it
    is due is given up. So jitter up to the delay is taken out, and nothing waits for longer than that.
    It is an example of a policy of one's own: it knows seqpush/policy.h and nothing else of the
    broker. */

#include <seqpush/policy.h>

#define RETRY INT64_C(100000000) /* ns until the next try, after there was no memory */

static int64_t settle(void *state, policy_stage_t *stage, int64_t now)
{
    (void)state;
    const policy_view_t *view = policy_view(stage);
    int64_t delay = policy_settings(stage)->gap_timeout;
    policy_release(stage, 0); /* what a Skip gave up is passed over at once */
    uint64_t first;
    while ((first = policy_first_held(stage)) != 0) {
        int64_t left = delay - policy_age(stage, first);
        if (left > 0)
            return now + left;
        if (first > view->next_seq && !policy_give_up(stage, first - 1))
            return now + RETRY;
        policy_release(stage, first);
        if (view->next_seq <= first)
            return now + RETRY;
    }
    return INT64_MAX;
}

__attribute__((visibility("default"))) const policy_t seqpush_policy = {
    .abi = POLICY_ABI,
    .kind = POLICY_WINDOW,
    .name = "playout",
    .state_size = 0,
    .judge = policy_judge_by_window,
    .settle = settle,
};
