/*  disk.c - reading, writing and locking a file */

#include "disk.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int disk_write(int fd, const uint8_t *bytes, size_t size, uint64_t at)
{
    while (size) {
        ssize_t written = pwrite(fd, bytes, size, (off_t)at);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
            at += (uint64_t)written;
        }
    }
    return 0;
}

ssize_t disk_read(int fd, uint8_t *bytes, size_t size, uint64_t at)
{
    size_t count = 0;
    while (count < size) {
        ssize_t got = pread(fd, bytes + count, size - count, (off_t)(at + count));
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            count += (size_t)got;
    }
    return (ssize_t)count;
}

int disk_sync_folder(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    int rc = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return rc;
}

//  Locks the file. Returns -EBUSY if another process has it, -EAGAIN if it was replaced meanwhile.
static int s_lock(int fd, const char *path)
{
    struct stat mine, named;
    if (flock(fd, LOCK_EX | LOCK_NB) == -1)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (fstat(fd, &mine) == -1 || stat(path, &named) == -1)
        return errno == ENOENT ? -EAGAIN : -errno;
    return mine.st_dev == named.st_dev && mine.st_ino == named.st_ino ? 0 : -EAGAIN;
}

int disk_open(const char *path)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd == -1)
            return -errno;
        int rc = s_lock(fd, path);
        if (rc == 0)
            return fd;
        close(fd);
        if (rc != -EAGAIN)
            return rc;
    }
}
