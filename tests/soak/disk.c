/*  disk.c - a disk for the store that writes down what it is told, and fails when it is told to

    A library to be loaded before all others (LD_PRELOAD). It looks at the calls on files below
    DISK_STORE and leaves all others alone.

    Every write and sync that was done is appended to the file DISK_TRACE, if that is set. From that
    disk.py makes the store as a loss of power leaves it: what was synced, and of the rest whatever
    the disk has happened to write. Every call is counted in the file DISK_CONTROL, if that is set,
    which also says which calls are to fail; another process may change it at any time.

    Memory that is mapped and written is not seen. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define PARTS_MAX 1024 //  of a writev; as many as the kernel takes

//  What disk.py writes and reads: the same layout there.
typedef struct {
    _Atomic uint64_t calls; //  up to now
    _Atomic uint64_t failed;
    _Atomic uint64_t from, count; //  these calls fail, counted from 0
    _Atomic uint64_t error; //  errno that they fail with
} control_t;

//  The head of a record of the trace; `size` bytes of it follow: of a name, or what was written.
typedef struct {
    uint32_t kind, fd;
    uint64_t offset, size; //  of TRUNCATE: the file's new size is `offset`
} record_t;

enum { TRACE_OPEN, TRACE_WRITE, TRACE_WRITE_SYNCED, TRACE_TRUNCATE, TRACE_SYNC };
enum { IS_OF_STORE = 1, IS_SYNCED = 2, IS_FOLDER = 4 };

static atomic_uchar s_files[DESCRIPTORS]; //  what an open descriptor is
static const char *s_store;
static int s_trace = -1;
static control_t *s_control;

//  The function behind the one of this name here.
#define REAL(name) \
    (__extension__({ \
        static __typeof__(&name) function; \
        if (!function) \
            function = (__typeof__(&name))s_real(#name); \
        function; \
    }))

static void *s_real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (!function)
        abort();
    return function;
}

//  ---- what is watched ---------------------------------------------------------------------------

static bool s_is_below_store(const char *path)
{
    size_t size = s_store ? strlen(s_store) : 0;
    return size && strncmp(path, s_store, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static unsigned s_file(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS ? atomic_load(&s_files[fd]) : 0;
}

static void *s_map_control(const char *path)
{
    int fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
    void *control =
        fd == -1 ? MAP_FAILED
                 : REAL(mmap)(NULL, sizeof *s_control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED)
        abort();
    REAL(close)(fd);
    return control;
}

__attribute__((constructor)) static void s_start(void)
{
    const char *trace = getenv("DISK_TRACE"), *control = getenv("DISK_CONTROL");
    if (trace)
        s_trace = REAL(open)(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (control)
        s_control = s_map_control(control);
    s_store = getenv("DISK_STORE");
}

//  Counts a call on the store. Returns true, with errno set, if it has to fail.
static bool s_fails(void)
{
    if (!s_control)
        return false;
    uint64_t number = atomic_fetch_add(&s_control->calls, 1);
    if (number - atomic_load(&s_control->from) >= atomic_load(&s_control->count))
        return false;
    atomic_fetch_add(&s_control->failed, 1);
    errno = (int)atomic_load(&s_control->error);
    return true;
}

static bool s_fails_on(int fd)
{
    return s_file(fd) && s_fails();
}

//  ---- the trace ---------------------------------------------------------------------------------

//  One writev, so that records of several threads do not mix. Folders are not traced.
static void s_note(uint32_t kind, int fd, uint64_t offset, const struct iovec *parts, int count,
                   size_t size)
{
    static _Thread_local struct iovec all[PARTS_MAX + 1];
    if (s_trace == -1 || count > PARTS_MAX || s_file(fd) & IS_FOLDER)
        return;
    int error = errno;
    record_t head = {kind, (uint32_t)fd, offset, size};
    all[0] = (struct iovec){&head, sizeof head};
    for (int i = 0; i < count; i++)
        all[i + 1] = parts[i];
    if (REAL(writev)(s_trace, all, count + 1) != (ssize_t)(sizeof head + size))
        abort();
    errno = error;
}

//  A write that was done, of all the parts; what was done by half is noted by half.
static ssize_t s_wrote(int fd, const struct iovec *parts, int count, off_t offset, ssize_t size)
{
    struct iovec done[PARTS_MAX];
    size_t left = size > 0 ? (size_t)size : 0;
    int number = 0;
    for (; number < count && left; number++) {
        done[number] = parts[number];
        if (done[number].iov_len > left)
            done[number].iov_len = left;
        left -= done[number].iov_len;
    }
    if (size > 0)
        s_note(s_file(fd) & IS_SYNCED ? TRACE_WRITE_SYNCED : TRACE_WRITE, fd, (uint64_t)offset,
               done, number, (size_t)size);
    return size;
}

static int s_opened(int fd, const char *path, int flags)
{
    if (fd < 0 || fd >= DESCRIPTORS)
        return fd;
    bool synced = flags & O_DSYNC; //  O_SYNC has its bit, too
    bool folder = flags & O_DIRECTORY;
    atomic_store(&s_files[fd], (unsigned char)(IS_OF_STORE | (synced ? IS_SYNCED : 0) |
                                               (folder ? IS_FOLDER : 0)));
    struct iovec name = {(void *)(uintptr_t)path, strlen(path)};
    s_note(TRACE_OPEN, fd, 0, &name, 1, name.iov_len);
    if (flags & O_TRUNC)
        s_note(TRACE_TRUNCATE, fd, 0, NULL, 0, 0);
    return fd;
}

static int s_synced(int fd, int rc)
{
    if (rc == 0 && s_file(fd))
        s_note(TRACE_SYNC, fd, 0, NULL, 0, 0);
    return rc;
}

//  ---- calls that open ---------------------------------------------------------------------------

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

static int s_open(const char *path, int flags, mode_t mode)
{
    if (!s_is_below_store(path))
        return REAL(open)(path, flags, mode);
    return s_fails() ? -1 : s_opened(REAL(open)(path, flags, mode), path, flags);
}

int open(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return s_open(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags, mode)
    return s_open(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE(flags, mode)
    //  From a folder of the store, too, even upwards: to the one that says that the store is there.
    if (!s_is_below_store(path) && (*path == '/' || !s_file(folder)))
        return REAL(openat)(folder, path, flags, mode);
    return s_fails() ? -1 : s_opened(REAL(openat)(folder, path, flags, mode), path, flags);
}

int mkdir(const char *path, mode_t mode)
{
    return s_is_below_store(path) && s_fails() ? -1 : REAL(mkdir)(path, mode);
}

int close(int fd)
{
    if (s_file(fd))
        atomic_store(&s_files[fd], 0);
    return REAL(close)(fd);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return s_fails_on(fd) ? MAP_FAILED : REAL(mmap)(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mmap(at, size, protection, flags, fd, offset);
}

//  ---- calls that read and lock ------------------------------------------------------------------

int fstat(int fd, struct stat *file)
{
    return s_fails_on(fd) ? -1 : REAL(fstat)(fd, file);
}

int fstat64(int fd, struct stat64 *file)
{
    return s_fails_on(fd) ? -1 : REAL(fstat64)(fd, file);
}

int fstatfs(int fd, struct statfs *system)
{
    return s_fails_on(fd) ? -1 : REAL(fstatfs)(fd, system);
}

int fstatfs64(int fd, struct statfs64 *system)
{
    return s_fails_on(fd) ? -1 : REAL(fstatfs64)(fd, system);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    return s_fails_on(fd) ? -1 : REAL(pread)(fd, bytes, size, offset);
}

ssize_t pread64(int fd, void *bytes, size_t size, off_t offset)
{
    return pread(fd, bytes, size, offset);
}

int flock(int fd, int operation)
{
    return s_fails_on(fd) ? -1 : REAL(flock)(fd, operation);
}

int fcntl(int fd, int command, ...)
{
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    bool locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK;
    return locks && s_fails_on(fd) ? -1 : REAL(fcntl)(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    return fcntl(fd, command, argument);
}

//  ---- calls that write --------------------------------------------------------------------------

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!s_file(fd))
        return REAL(pwritev)(fd, parts, count, offset);
    return s_fails() ? -1
                     : s_wrote(fd, parts, count, offset, REAL(pwritev)(fd, parts, count, offset));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev(fd, parts, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    return s_file(fd) ? pwritev(fd, &part, 1, offset) : REAL(pwrite)(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite(fd, bytes, size, offset);
}

//  Where a write without an offset goes. What is appended goes to the end.
static off_t s_place(int fd)
{
    bool appends = fcntl(fd, F_GETFL) & O_APPEND;
    return lseek(fd, 0, appends ? SEEK_END : SEEK_CUR);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (!s_file(fd))
        return REAL(writev)(fd, parts, count);
    off_t place = s_place(fd);
    return s_fails() ? -1 : s_wrote(fd, parts, count, place, REAL(writev)(fd, parts, count));
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    return s_file(fd) ? writev(fd, &part, 1) : REAL(write)(fd, bytes, size);
}

int ftruncate(int fd, off_t size)
{
    if (s_fails_on(fd))
        return -1;
    int rc = REAL(ftruncate)(fd, size);
    if (rc == 0 && s_file(fd))
        s_note(TRACE_TRUNCATE, fd, (uint64_t)size, NULL, 0, 0);
    return rc;
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

//  ---- calls that sync ---------------------------------------------------------------------------

int fdatasync(int fd)
{
    return s_fails_on(fd) ? -1 : s_synced(fd, REAL(fdatasync)(fd));
}

int fsync(int fd)
{
    return s_fails_on(fd) ? -1 : s_synced(fd, REAL(fsync)(fd));
}
