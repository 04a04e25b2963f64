//  descriptors.c - how many file descriptors the process may have; see descriptors.h

#include "descriptors.h"
#include <sys/resource.h>
#include <unistd.h>

//  Those that are neither for receivers nor for connections to the front, and what a receiver takes: a
//  PUSH socket has an eventfd and a connection, and another one while it closes.
#define RESERVED 256
#define A_RECEIVER 3
#define AN_ACTOR 16
#define FILES_MAX 1000000 //  what is beyond is of no use

//  Half of them are for receivers, half for connections to the front.
static uint32_t s_half(unsigned long files)
{
    return (uint32_t)(files > 2 * RESERVED ? (files - RESERVED) / 2 : files / 4);
}

descriptors_t descriptors_raise(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    unsigned long files = limit.rlim_cur < FILES_MAX ? limit.rlim_cur : FILES_MAX;
    uint32_t half = s_half(files);
    return (descriptors_t){.files = files, .receivers = half / A_RECEIVER, .connections = half};
}

bool descriptors_left(void)
{
    int taken[AN_ACTOR], count = 0;
    while (count < AN_ACTOR && (taken[count] = dup(STDERR_FILENO)) >= 0)
        count++;
    bool enough = count == AN_ACTOR;
    while (count)
        close(taken[--count]);
    return enough;
}
