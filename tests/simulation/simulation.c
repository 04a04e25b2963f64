/*  simulation.c - the ordering core under a virtual clock, against a model, a seed a run

    Publishers, workers, networks and receivers misbehave as the dice say, and after every event the
    core must be where the model is. A run depends on its seed alone, on every machine.

        simulation                      10,000 seeds from 1
        simulation --seeds 1 1000000    a million of them: 20 minutes in the release preset
        simulation --seed 4711 --verbose

    It stops at the first seed that fails, and says how to see it again. */

#include "world.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SEEDS 10000
#define STEPS_MAX 400
#define ABRUPT 15 //  percent of the runs that end without an end

static void s_run_seed(uint64_t seed)
{
    check_at = (check_t){.seed = seed, .verbose = check_at.verbose};
    world_t *world = world_new(seed);
    world_run(world, dice_between(&world->dice, 20, STEPS_MAX));
    if (!dice_chance(&world->dice, ABRUPT))
        world_settle(world);
    world_destroy(world);
}

static int s_usage(void)
{
    fprintf(stderr, "usage: simulation [--seeds FROM COUNT] [--seed N] [--verbose]\n");
    return 2;
}

static bool s_number(const char *text, uint64_t *number)
{
    char *end;
    *number = text ? strtoull(text, &end, 10) : 0;
    return text && *text && !*end;
}

int main(int argc, char **argv)
{
    uint64_t from = 1, count = SEEDS;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0) {
            check_at.verbose = true;
        } else if (strcmp(argv[i], "--seed") == 0 && s_number(argv[i + 1], &from)) {
            count = 1;
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0 && s_number(argv[i + 1], &from) &&
                   s_number(argv[i + 2], &count)) {
            i += 2;
        } else {
            return s_usage();
        }
    }
    check_catch_abort();
    for (uint64_t seed = from; seed < from + count; seed++)
        s_run_seed(seed);
    printf("%" PRIu64 " seeds from %" PRIu64 " hold\n", count, from);
    return 0;
}
