//  process.c - what the kernel knows of this process; see process.h

#include "process.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000

//  When the system started, in seconds since 1970.
static uint64_t s_boot_time(void)
{
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    uint64_t seconds = 0;
    char line[256];
    while (fgets(line, sizeof line, file) && sscanf(line, "btime %" SCNu64, &seconds) != 1)
        continue;
    fclose(file);
    return seconds;
}

static uint64_t s_open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return 0;
    uint64_t entries = 0;
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries - 3; //  ".", ".." and the directory itself
}

//  Source: proc(5), fields 14, 15, 22 and 24 of /proc/pid/stat. The second one is the program's
//  name and may have anything in it, but no later one has a parenthesis.
static void s_read_stat(process_t *self)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    line[size] = '\0';
    const char *name_end = strrchr(line, ')');
    uint64_t user, system, start, pages;
    if (!name_end || sscanf(name_end + 1,
                            " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
                            " %*s %*s %*s %*s %*s %*s %" SCNu64 " %*s %" SCNu64,
                            &user, &system, &start, &pages) != 4)
        return;
    uint64_t tick = NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);
    stats_set(&self->cpu, (user + system) * tick);
    uint64_t boot = s_boot_time();
    stats_set(&self->start_time, boot ? boot * NS_PER_SECOND + start * tick : 0);
    stats_set(&self->resident_memory_bytes, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

void process_read(process_t *self)
{
    *self = (process_t){0};
    s_read_stat(self);
    stats_set(&self->open_fds, s_open_fds());
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        stats_set(&self->max_fds, limit.rlim_cur);
}
