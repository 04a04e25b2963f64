/*  positions_file.c - positions in a file that survives a crash at any moment

    Saving appends records and waits until they are on the disk. What a crash has left of an
    append stands at the end and does not check; it is cut off when the file is opened. When most
    of the file is out of date, what counts is written to a new file that replaces it in one step.
    The file is locked while it is open, because two writers would tear each other's records.     */

#include "positions.h"
#include "positions_record.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TITLE "seqpush positions 1\n"
#define TITLE_SIZE (sizeof TITLE - 1)
#define COMPACT_MIN ((uint64_t)64 << 10) //  bytes below which a file is left as it is
#define CHUNK ((size_t)64 << 10) //  bytes that are read or written at a time

struct seqpush_positions_file {
    int fd;
    char path[PATH_MAX];
    uint64_t size; //  bytes of the file that check
    uint64_t live; //  bytes of it that are not out of date
    uint64_t compact_at; //  bytes
    uint64_t torn; //  bytes that were cut off
    bool ragged; //  there may be something behind `size`
    bool replaced; //  the file is a new one, of which the folder may not know on the disk
    positions_t positions; //  what the file says
    uint8_t *buffer; //  what is to be written
    size_t buffered;
    size_t capacity;
};

//  ---- bytes -------------------------------------------------------------------------------------

static int s_write(int fd, const uint8_t *bytes, size_t size, uint64_t at)
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

//  Reads up to `size` bytes; less at the end of the file. Returns how many, or a negative errno.
static ssize_t s_read(int fd, uint8_t *bytes, size_t size, uint64_t at)
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

//  Makes the file's name in its folder durable.
static int s_sync_folder(const char *path)
{
    char copy[PATH_MAX];
    strcpy(copy, path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return -errno;
    int rc = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return rc;
}

static bool s_reserve(seqpush_positions_file_t *self, size_t size)
{
    if (self->capacity - self->buffered >= size)
        return true;
    size_t capacity = 2 * self->capacity + CHUNK;
    uint8_t *buffer = realloc(self->buffer, capacity);
    if (!buffer)
        return false;
    self->buffer = buffer;
    self->capacity = capacity;
    return true;
}

static bool s_buffer(seqpush_positions_file_t *self, const seqpush_position_t *position)
{
    if (!s_reserve(self, POSITIONS_RECORD_MAX))
        return false;
    uint8_t *end = positions_record_put(self->buffer + self->buffered, position);
    self->buffered = (size_t)(end - self->buffer);
    return true;
}

//  ---- opening -----------------------------------------------------------------------------------

//  Notes what a record says, that is, what the file now says of a client.
static bool s_note(seqpush_positions_file_t *self, const seqpush_position_t *position)
{
    position_t *at = positions_get(&self->positions, position->client_id, position->client_id_size);
    if (!at)
        return false;
    if (!at->known)
        self->live += positions_record_size(position->client_id_size);
    position_set(at, position->epoch, position->seq);
    return true;
}

//  Notes the records that begin in the buffer. Returns the bytes that these take, or -ENOMEM.
static ssize_t s_note_records(seqpush_positions_file_t *self, size_t size)
{
    seqpush_position_t position;
    size_t at = 0, more;
    while ((more = positions_record_get(self->buffer + at, size - at, &position))) {
        if (!s_note(self, &position))
            return -ENOMEM;
        at += more;
    }
    return (ssize_t)at;
}

//  Reads all records, up to the first that does not check.
static int s_read_records(seqpush_positions_file_t *self)
{
    ssize_t noted = 1;
    while (noted > 0) {
        ssize_t size = s_read(self->fd, self->buffer, CHUNK, self->size);
        noted = size < 0 ? size : s_note_records(self, (size_t)size);
        if (noted > 0)
            self->size += (uint64_t)noted;
    }
    return (int)noted;
}

//  Looks at the title, of which a crash may have left a part. Returns -EINVAL if it is another.
static int s_read_title(seqpush_positions_file_t *self)
{
    ssize_t size = s_read(self->fd, self->buffer, TITLE_SIZE, 0);
    if (size < 0)
        return (int)size;
    if (memcmp(self->buffer, TITLE, (size_t)size) != 0)
        return -EINVAL;
    self->size = (size_t)size == TITLE_SIZE ? TITLE_SIZE : 0;
    return 0;
}

//  Cuts off what lies behind the records that check.
static int s_trim(seqpush_positions_file_t *self)
{
    struct stat status;
    if (fstat(self->fd, &status) == -1 || ftruncate(self->fd, (off_t)self->size) == -1)
        return -errno;
    self->torn = (uint64_t)status.st_size - self->size;
    return 0;
}

static int s_write_title(seqpush_positions_file_t *self)
{
    int rc = s_write(self->fd, (const uint8_t *)TITLE, TITLE_SIZE, 0);
    if (rc == 0 && fsync(self->fd) == -1)
        rc = -errno;
    if (rc == 0)
        rc = s_sync_folder(self->path);
    self->size = TITLE_SIZE;
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

static int s_open(seqpush_positions_file_t *self, const char *path)
{
    int rc = -EAGAIN;
    while (rc == -EAGAIN) {
        self->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (self->fd == -1)
            return -errno;
        rc = s_lock(self->fd, path);
        if (rc == -EAGAIN)
            close(self->fd);
    }
    if (rc == 0 && !realpath(path, self->path))
        rc = -errno;
    return rc;
}

static int s_load(seqpush_positions_file_t *self, const char *path)
{
    int rc = s_open(self, path);
    if (rc == 0)
        rc = s_reserve(self, CHUNK) ? s_read_title(self) : -ENOMEM;
    if (rc == 0 && self->size)
        rc = s_read_records(self);
    if (rc == 0)
        rc = s_trim(self);
    if (rc == 0 && self->size == 0)
        rc = s_write_title(self);
    self->compact_at = COMPACT_MIN;
    return rc;
}

seqpush_positions_file_t *seqpush_positions_file_new(const char *path)
{
    seqpush_positions_file_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->fd = -1;
    int rc = s_load(self, path);
    if (rc < 0) {
        seqpush_positions_file_destroy(&self);
        errno = -rc;
    }
    return self;
}

void seqpush_positions_file_destroy(seqpush_positions_file_t **self_p)
{
    seqpush_positions_file_t *self = *self_p;
    if (!self)
        return;
    if (self->fd != -1)
        close(self->fd);
    positions_fini(&self->positions);
    free(self->buffer);
    free(self);
    *self_p = NULL;
}

//  ---- reading -----------------------------------------------------------------------------------

uint64_t seqpush_positions_file_torn(const seqpush_positions_file_t *self)
{
    return self->torn;
}

int seqpush_positions_file_load(seqpush_positions_file_t *self, seqpush_position_t *position)
{
    const position_t *at =
        positions_find(&self->positions, position->client_id, position->client_id_size);
    if (!at || !at->known)
        return 0;
    position->epoch = at->epoch;
    position->seq = at->seq;
    return 1;
}

static seqpush_position_t s_position(const position_t *at)
{
    return (seqpush_position_t){at->id, at->id_size, at->epoch, at->seq};
}

void seqpush_positions_file_each(const seqpush_positions_file_t *self,
                                 void (*each)(void *arg, const seqpush_position_t *position),
                                 void *arg)
{
    for (const position_t *at = self->positions.table; at; at = at->hh.next) {
        seqpush_position_t position = s_position(at);
        if (at->known)
            each(arg, &position);
    }
}

//  ---- compaction --------------------------------------------------------------------------------

static int s_flush_to(seqpush_positions_file_t *self, int fd, uint64_t *size)
{
    int rc = s_write(fd, self->buffer, self->buffered, *size);
    *size += self->buffered;
    self->buffered = 0;
    return rc;
}

//  Writes all that counts to a new file and waits until it is on the disk.
static int s_write_all(seqpush_positions_file_t *self, int fd, uint64_t *size)
{
    int rc = s_write(fd, (const uint8_t *)TITLE, TITLE_SIZE, 0);
    *size = TITLE_SIZE;
    for (const position_t *at = self->positions.table; at && rc == 0; at = at->hh.next) {
        seqpush_position_t position = s_position(at);
        if (at->known && !s_buffer(self, &position))
            rc = -ENOMEM;
        if (rc == 0 && self->buffered >= CHUNK)
            rc = s_flush_to(self, fd, size);
    }
    if (rc == 0)
        rc = s_flush_to(self, fd, size);
    if (rc == 0 && fsync(fd) == -1)
        rc = -errno;
    return rc;
}

//  Replaces the file by one that has only what counts. If that cannot be done it stays as it is.
static void s_compact(seqpush_positions_file_t *self)
{
    char path[PATH_MAX + 4];
    struct stat status;
    uint64_t size = 0;
    snprintf(path, sizeof path, "%s.new", self->path);
    self->buffered = 0;
    int fd = fstat(self->fd, &status) == 0
                 ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, status.st_mode & 0777)
                 : -1;
    if (fd != -1 && flock(fd, LOCK_EX | LOCK_NB) == 0 && s_write_all(self, fd, &size) == 0 &&
        rename(path, self->path) == 0) {
        close(self->fd);
        self->fd = fd;
        self->replaced = true;
        self->size = size;
    } else if (fd != -1) {
        unlink(path);
        close(fd);
    }
    self->compact_at = 2 * self->size > COMPACT_MIN ? 2 * self->size : COMPACT_MIN;
}

//  ---- saving ------------------------------------------------------------------------------------

//  Buffers a position, if it is not what the file says already.
static int s_stage(seqpush_positions_file_t *self, const seqpush_position_t *position)
{
    if (position->client_id_size == 0 || position->client_id_size > SEQPUSH_ID_MAX)
        return -EINVAL;
    const position_t *at =
        positions_get(&self->positions, position->client_id, position->client_id_size);
    if (!at)
        return -ENOMEM;
    if (at->known && at->epoch == position->epoch && at->seq == position->seq)
        return 0;
    return s_buffer(self, position) ? 0 : -ENOMEM;
}

//  Appends what is buffered and waits until it is on the disk. What fails leaves nothing behind.
static int s_append(seqpush_positions_file_t *self)
{
    if (self->ragged && ftruncate(self->fd, (off_t)self->size) == -1)
        return -errno;
    int rc = self->replaced ? s_sync_folder(self->path) : 0;
    if (rc < 0)
        return rc;
    self->replaced = false;
    self->ragged = true;
    rc = s_write(self->fd, self->buffer, self->buffered, self->size);
    if (rc == 0 && fdatasync(self->fd) == -1)
        rc = -errno;
    if (rc < 0)
        return rc;
    self->ragged = false;
    self->size += self->buffered;
    return 0;
}

int seqpush_positions_file_save(seqpush_positions_file_t *self, const seqpush_position_t *positions,
                                size_t count)
{
    int rc = 0;
    self->buffered = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = s_stage(self, &positions[i]);
    if (rc == 0 && self->buffered)
        rc = s_append(self);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        s_note(self, &positions[i]);
    if (self->size >= self->compact_at && self->size > 2 * self->live)
        s_compact(self);
    return 0;
}

//  ---- as a store --------------------------------------------------------------------------------

static int s_store_load(void *arg, seqpush_position_t *position)
{
    return seqpush_positions_file_load(arg, position);
}

static int s_store_save(void *arg, const seqpush_position_t *positions, size_t count)
{
    return seqpush_positions_file_save(arg, positions, count);
}

seqpush_positions_store_t seqpush_positions_file_store(seqpush_positions_file_t *self)
{
    return (seqpush_positions_store_t){s_store_load, s_store_save, self};
}
