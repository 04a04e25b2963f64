//  dice.h - the random numbers of a run: the same from one seed on every machine
//
//  Source: splitmix64, Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
//  OOPSLA 2014.

#ifndef SIMULATION_DICE_H
#define SIMULATION_DICE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} dice_t;

static inline uint64_t dice_next(dice_t *self)
{
    uint64_t z = self->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

//  0 to n - 1; n > 0.
static inline uint32_t dice_roll(dice_t *self, uint32_t n)
{
    return (uint32_t)((dice_next(self) >> 32) * n >> 32);
}

//  low to high.
static inline uint32_t dice_between(dice_t *self, uint32_t low, uint32_t high)
{
    return low + dice_roll(self, high - low + 1);
}

static inline bool dice_chance(dice_t *self, uint32_t percent)
{
    return dice_roll(self, 100) < percent;
}

#endif
