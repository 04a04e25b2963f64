/*  config_loader.h - a configuration that is being put together out of its layers: the defaults, the
    file, --set

    Every value that is taken is noted with its place, so that what is wrong between two keys can be
    told where it was written, long after both were read. What returns false has set the error. */

#ifndef SEQPUSH_CONFIG_LOADER_H
#define SEQPUSH_CONFIG_LOADER_H

#include "config.h"
#include "config_error.h"
#include "config_key.h"

//  Where a value comes from; a later layer takes the place of an earlier one.
typedef enum { LAYER_DEFAULT, LAYER_FILE, LAYER_SET } config_layer_t;

//  One value that was taken.
typedef struct {
    const config_key_t *key;
    size_t index; //  in a list
    config_layer_t layer;
    unsigned line; //  of the file
} config_setting_t;

typedef struct {
    config_t *config;
    const char *file;
    config_layer_t layer; //  of what is being read
    config_error_t error; //  with its place
    const config_key_t *section; //  the route or rule that is being read; NULL: none is
    unsigned section_line; //  where it begins
    config_setting_t *settings; //  in the order taken
    size_t setting_count;
} config_loader_t;

//  Takes all of a layer; the earlier ones first.
bool config_loader_defaults(config_loader_t *self);
bool config_loader_file(config_loader_t *self);
bool config_loader_sets(config_loader_t *self, char *const *sets, size_t count);

//  The last setting of a key, or of one item of a list; NULL: none.
const config_setting_t *config_loader_setting(const config_loader_t *self, const config_key_t *key,
                                              size_t index);

//  What is read or blamed next stands there.
void config_loader_move(config_loader_t *self, config_layer_t layer, unsigned line);

//  Sets the error, of a value or of none (NULL), and returns false.
bool config_loader_fail_value(config_loader_t *self, const config_key_t *key, const char *text,
                              const char *wrong);
bool config_loader_no_memory(config_loader_t *self, const char *path);

#endif
