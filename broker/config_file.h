/*  config_file.h - a configuration file: ZPL, as a run of items with path, value and line

    zconfig reads ZPL but lets much pass: it tells a missing file from a wrong one by nothing,
    prints its complaints to standard output, cuts long lines, keeps no line numbers, and does not
    know a key without a value from an empty one. Here all of that is an error that names its line,
    or is told apart. What the items mean is for the caller to know.                              */

#ifndef SEQPUSH_CONFIG_FILE_H
#define SEQPUSH_CONFIG_FILE_H

#include "config_error.h"
#include <stdbool.h>

//  A section, or a key with its value.
typedef struct {
    const char *path; //  names from the root on, joined by slashes
    const char *value; //  empty if there is none
    bool assigned; //  has an =, with or without a value after it
    unsigned line;
} config_item_t;

//  Takes one item, which is valid for the call. Returns false to end the reading; the error is then
//  set.
typedef bool config_take_t(void *taker, const config_item_t *item);

//  Reads a file, as `error->source` names it, whole, and only then gives its items to `take`, a
//  section before what is in it. Returns true if all of them were taken; otherwise the error is
//  set. A pipe is as good as a file; blocks as reading it does.
bool config_file_read(config_take_t *take, void *taker, config_error_t *error);

#endif
