/*  record.c - logs in mapped files, and payloads that are keyed hashes */

#include "record.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

//  The file grows by that much. What is not used is a hole in it.
#define ROOM ((size_t)64 << 20)

#define KEY "seqpush soak"
#define TAG 8 //  bytes of the hash in a log

//  ---- the log -----------------------------------------------------------------------------------

//  Returns 0 or a negative errno.
static int s_grow(record_t *self)
{
    size_t size = self->size + ROOM;
    if (ftruncate(self->fd, (off_t)size) == -1)
        return -errno;
    void *bytes = self->bytes ? mremap(self->bytes, self->size, size, MREMAP_MAYMOVE)
                              : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    self->bytes = bytes;
    self->size = size;
    return 0;
}

//  Finds the end of the last whole line and wipes out what a predecessor left behind it.
static void s_find_end(record_t *self, size_t file_size)
{
    const char *newline = file_size ? memrchr(self->bytes, '\n', file_size) : NULL;
    self->end = newline ? (size_t)(newline - self->bytes) + 1 : 0;
    for (size_t i = self->end; i < file_size && self->bytes[i]; i++)
        self->bytes[i] = 0;
}

int record_open(record_t *self, const char *path)
{
    struct stat status;
    *self = (record_t){.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)};
    if (self->fd == -1 || fstat(self->fd, &status) == -1)
        return -errno;
    size_t file_size = (size_t)status.st_size;
    self->size = file_size;
    int rc = s_grow(self);
    if (rc == 0)
        s_find_end(self, file_size);
    return rc;
}

void record_close(record_t *self)
{
    if (self->bytes) {
        munmap(self->bytes, self->size);
        if (ftruncate(self->fd, (off_t)self->end) == -1)
            perror("record");
    }
    if (self->fd != -1)
        close(self->fd);
    *self = (record_t){.fd = -1};
}

static void s_make_room(record_t *self)
{
    int rc = self->size - self->end < RECORD_LINE ? s_grow(self) : 0;
    if (rc < 0) {
        fprintf(stderr, "record: %s\n", strerror(-rc));
        exit(EXIT_FAILURE);
    }
}

//  The newline is stored last, so that a line is whole if it is there.
static void s_end_line(record_t *self, size_t size)
{
    atomic_signal_fence(memory_order_release);
    ((volatile char *)self->bytes)[self->end + size] = '\n';
    self->end += size + 1;
}

void record_write(record_t *self, const char *format, ...)
{
    va_list values;
    s_make_room(self);
    va_start(values, format);
    int size = vsnprintf(self->bytes + self->end, RECORD_LINE - 1, format, values);
    va_end(values);
    if (size < 0 || size >= RECORD_LINE - 1)
        abort();
    s_end_line(self, (size_t)size);
}

//  ---- payloads ----------------------------------------------------------------------------------

static void s_hash(const seqpush_push_t *push, uint8_t hash[RECORD_HASH])
{
    char name[SEQPUSH_ID_MAX + 24];
    int size = snprintf(name, sizeof name, "%.*s %llu", (int)push->client_id_size,
                        (const char *)push->client_id, (unsigned long long)push->seq);
    crypto_generichash(hash, RECORD_HASH, (const uint8_t *)name, (unsigned long long)size,
                       (const uint8_t *)KEY, sizeof KEY - 1);
}

void record_fill(const seqpush_push_t *push, uint8_t *payload)
{
    uint8_t hash[RECORD_HASH];
    s_hash(push, hash);
    for (size_t i = 0; i < push->payload_size; i += RECORD_HASH) {
        size_t left = push->payload_size - i;
        memcpy(payload + i, hash, left < RECORD_HASH ? left : RECORD_HASH);
    }
}

//  True if the payload is its first bytes over and over.
static bool s_is_of_one_piece(const seqpush_push_t *push)
{
    const uint8_t *payload = push->payload;
    size_t size = push->payload_size;
    return size >= RECORD_HASH && memcmp(payload, payload + RECORD_HASH, size - RECORD_HASH) == 0;
}

//  What came is written down, not what should have come: the checker judges.
void record_taken(record_t *self, const seqpush_push_t *push)
{
    char tag[2 * TAG + 1] = "-";
    if (s_is_of_one_piece(push))
        sodium_bin2hex(tag, sizeof tag, push->payload, TAG);
    record_write(self, "t %.*s %llu %s", (int)push->client_id_size, (const char *)push->client_id,
                 (unsigned long long)push->seq, tag);
}

int64_t record_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}
