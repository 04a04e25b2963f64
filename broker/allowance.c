//  allowance.c - how much of something may come a second; see allowance.h

#include "allowance.h"

#define SECOND INT64_C(1000000000)

//  How long it takes until so many are allowed again.
static int64_t s_time(uint32_t rate, uint32_t count)
{
    return (count * SECOND + rate - 1) / rate;
}

uint32_t allowance_take(int64_t *full_at, uint32_t rate, uint32_t wanted, int64_t now)
{
    if (*full_at < now)
        *full_at = now;
    int64_t allowed = (SECOND - (*full_at - now)) * rate / SECOND;
    uint32_t taken = allowed < 0 ? 0 : allowed < wanted ? (uint32_t)allowed : wanted;
    *full_at += s_time(rate, taken);
    return taken;
}

uint32_t allowance_wait(int64_t full_at, uint32_t rate, uint32_t wanted, int64_t now)
{
    int64_t allowed_at = full_at - SECOND + s_time(rate, wanted < rate ? wanted : rate);
    return allowed_at <= now ? 0 : (uint32_t)((allowed_at - now + 999999) / 1000000);
}
