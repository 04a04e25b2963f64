/*  config_key.h - the keys of a configuration: one table that drives reading, checking and printing

    A key knows the field that it fills, its default and what a value may be. So a new key is one
    field in config.h and one row here.                                                           */

#ifndef SEQPUSH_CONFIG_KEY_H
#define SEQPUSH_CONFIG_KEY_H

#include "config.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

//  The type of a key's field; KEY_SECTIONS is a section that may repeat.
typedef enum {
    KEY_UINT32,
    KEY_UINT64,
    KEY_FLAG,
    KEY_TEXT,
    KEY_LIST,
    KEY_SECTIONS,
} config_key_type_t;

//  What a text is about.
typedef enum {
    FORM_ANY,
    FORM_BIND,
    FORM_CONNECT,
    FORM_PATTERN,
    FORM_ADDRESS,
    FORM_FILE,
    FORM_KEY,
} config_form_t;

//  The sections that may repeat.
typedef enum { SECTION_NONE, SECTION_ROUTE, SECTION_RULE, SECTION_ACCESS } config_section_t;

typedef struct {
    const char *path;
    size_t offset; //  of the field in config_t, or in a section's item
    config_key_type_t type;
    config_section_t section; //  that may repeat, that it is or stands in
    bool required; //  in such a section
    bool open; //  a plug-in may bring a name that is not among `names`
    bool optional; //  may be empty
    bool live; //  a reload takes effect; of any other key it needs a restart
    const char *initial; //  default, as a file would have it; NULL: not a constant, or none
    uint64_t min, max; //  of a number
    const char *unit; //  of a number; NULL: none
    const char *const *names; //  the texts that there are; NULL: any of its form
    config_form_t form; //  of a text
    const char *help; //  in a section that may repeat: NULL, the section has it
} config_key_t;

//  All keys, section by section; a row without a path ends them.
extern const config_key_t config_keys[];

//  The key with this path, or NULL.
const config_key_t *config_key_find(const char *path);

//  True if it is the first one of its section.
bool config_key_begins_section(const config_key_t *self);

//  True if the key stands in a section that may repeat.
bool config_key_is_in_section(const config_key_t *self);

//  Appends an empty item to the list that a section which may repeat makes; false: no memory. And
//  how many items there are.
bool config_key_add_item(const config_key_t *self, config_t *config);
size_t config_key_item_count(const config_key_t *self, const config_t *config);

//  The field that the key fills, a text's or a list's or a number's; in a section that may repeat it
//  is that of the last item.
void *config_key_field(const config_key_t *self, const config_t *config);

//  The field's value, of a number or a flag.
uint64_t config_key_number(const config_key_t *self, const config_t *config);

//  Writes the key with its value as lines of a file; of a section that may repeat, all of them.
void config_key_print(const config_key_t *self, const config_t *config, FILE *out);

//  True if keys lie under `path`.
bool config_key_is_section(const char *path);

//  Writes the names that are known in the place of an unknown path: those of its section, or those
//  of all sections if that is unknown.
void config_key_put_known(FILE *out, const char *path);

#endif
