/*  config_error.h - the one line that says what is wrong with a configuration, and where

    Whoever reads a configuration keeps the place up to date; whoever finds something wrong writes
    the line and stops. Only the first error is told. Main thread.                                */

#ifndef SEQPUSH_CONFIG_ERROR_H
#define SEQPUSH_CONFIG_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct {
    const char *source; //  the file's name, or --set
    unsigned line; //  of the file; 0: all of it
    char *text; //  the line; NULL: nothing is wrong, or no memory. The reader's caller frees it
    size_t size;
} config_error_t;

//  Starts the line with the place, and with the key's path unless that is NULL. Returns where to
//  write the rest, or NULL if there is no memory.
FILE *config_error_begin(config_error_t *self, const char *path);

//  Ends what config_error_begin has started. Always false, as the check is that has failed.
bool config_error_end(config_error_t *self, FILE *out);

//  Writes the whole line. Always false.
__attribute__((format(printf, 3, 4))) bool config_error_set(config_error_t *self, const char *path,
                                                            const char *format, ...);

#endif
