//  check.c - see check.h

#include "check.h"
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

check_t check_at;

static void s_say_how_to_replay(void)
{
    fprintf(stderr, "replay: simulation --seed %" PRIu64 " --verbose\n", check_at.seed);
}

void check_failed(const char *file, int line, const char *format, ...)
{
    fflush(stdout);
    fprintf(stderr,
            "seed %" PRIu64 " failed at step %" PRIu32 ", %" PRId64 " ns (%s:%d): ", check_at.seed,
            check_at.step, check_at.now, file, line);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    s_say_how_to_replay();
    exit(1);
}

void check_trace(const char *format, ...)
{
    printf("%5" PRIu32 " %14" PRId64 "  ", check_at.step, check_at.now);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

//  The process is lost anyway, so that stdio is not async-signal-safe does no more harm.
static void s_on_abort(int number)
{
    fflush(stdout);
    fprintf(stderr, "seed %" PRIu64 " aborted at step %" PRIu32 "\n", check_at.seed, check_at.step);
    s_say_how_to_replay();
    signal(number, SIG_DFL);
}

void check_catch_abort(void)
{
    signal(SIGABRT, s_on_abort);
#ifndef __SANITIZE_ADDRESS__
    signal(SIGSEGV, s_on_abort); //  AddressSanitizer has a handler of its own that says more
#endif
}
