//  check.h - what fails says in which seed, at which step, and how to see it again

#ifndef SIMULATION_CHECK_H
#define SIMULATION_CHECK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t seed;
    uint32_t step;
    int64_t now;
    bool verbose;
} check_t;

//  Where the run stands; for messages alone.
extern check_t check_at;

//  Prints where the run stands and the message, and ends the process with status 1.
__attribute__((format(printf, 3, 4), noreturn)) void check_failed(const char *file, int line,
                                                                  const char *format, ...);

//  Prints what happens, if the run is verbose.
__attribute__((format(printf, 1, 2))) void check_trace(const char *format, ...);

//  Says the seed too where the code under test, or a sanitizer, aborts.
void check_catch_abort(void);

#define check(condition, ...) \
    do { \
        if (!(condition)) \
            check_failed(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)

//  Arguments are not evaluated unless the run is verbose.
#define trace(...) \
    do { \
        if (check_at.verbose) \
            check_trace(__VA_ARGS__); \
    } while (0)

#endif
