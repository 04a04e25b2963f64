//  descriptors.c - how many file descriptors the process may have; see descriptors.h

#include "descriptors.h"
#include <sys/resource.h>
#include <unistd.h>

//  Those that are not for receivers, and what a receiver takes: a PUSH socket has an eventfd and a
//  connection, and the receiver's own connection to the front is a third.
#define RESERVED 256
#define A_RECEIVER 4
#define AN_ACTOR 16
#define FILES_MAX 1000000 //  what is beyond is of no use

uint32_t descriptors_raise(unsigned long *files)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    *files = limit.rlim_cur < FILES_MAX ? limit.rlim_cur : FILES_MAX;
    return *files > 2 * RESERVED ? (uint32_t)(*files - RESERVED) / A_RECEIVER
                                 : RESERVED / A_RECEIVER;
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
