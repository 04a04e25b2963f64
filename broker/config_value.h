/*  config_value.h - the values of a configuration: what they must look like, and how they are kept

    A value is a text until it has been judged here, whether it comes from a file or from --set;
    then it goes into the field of its key. Main thread.                                          */

#ifndef SEQPUSH_CONFIG_VALUE_H
#define SEQPUSH_CONFIG_VALUE_H

#include "config_key.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

//  What is wrong with `text` as a value of the key, as in "is out of range", or NULL. Of a number
//  or a flag it also sets `*number`.
const char *config_value_check(const config_key_t *key, const char *text, uint64_t *number);

//  Is the text one of the names that the key has?
bool config_value_is_named(const config_key_t *key, const char *text);

//  Writes what a value of the key may be.
void config_value_put_expected(FILE *out, const config_key_t *key);

//  Can the endpoint or address `text`, which was checked, be reached from this machine alone?
bool config_value_is_local(const char *text);

//  Puts what was checked into the key's field: adds the text to a list, takes the place of any
//  other value. Returns false if there is no memory.
bool config_value_store(const config_key_t *key, void *field, const char *text, uint64_t number);

//  Frees what a list holds, and empties it.
void config_list_clear(config_list_t *self);

//  Frees what a text's or a list's field holds, and empties it. Leaves a number.
void config_value_clear(const config_key_t *key, void *field);

#endif
