/*  disk.h - what a file that must survive a crash needs of the system

    Every call waits for the disk. Errors are negative errno values.                              */

#ifndef SEQPUSH_DISK_H
#define SEQPUSH_DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

//  Opens a file for reading and writing, made if there is none, and locks it until it is closed.
//  Returns a descriptor, or -EBUSY if somebody else has it locked.
int disk_open(const char *path);

//  Writes all bytes at a place. Returns 0 or an error; then any part of them may be written.
int disk_write(int fd, const uint8_t *bytes, size_t size, uint64_t at);

//  Reads up to `size` bytes; less at the end of the file. Returns how many, or an error.
ssize_t disk_read(int fd, uint8_t *bytes, size_t size, uint64_t at);

//  Makes a file's name in its folder durable.
int disk_sync_folder(const char *path);

#endif
