//  config_loader.c - the layers of a configuration; see config_loader.h

#include "config_loader.h"
#include "config_file.h"
#include "config_value.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void config_loader_move(config_loader_t *self, config_layer_t layer, unsigned line)
{
    self->layer = layer;
    self->error.source = layer == LAYER_SET ? "--set" : self->file;
    self->error.line = line;
}

bool config_loader_no_memory(config_loader_t *self, const char *path)
{
    return config_error_set(&self->error, path, "no memory");
}

bool config_loader_fail_value(config_loader_t *self, const config_key_t *key, const char *text,
                              const char *wrong)
{
    FILE *out = config_error_begin(&self->error, key->path);
    if (!out)
        return false;
    if (text)
        fprintf(out, "\"%.100s\" ", text);
    fprintf(out, "%s, expected ", wrong);
    config_value_put_expected(out, key);
    return config_error_end(&self->error, out);
}

static bool s_fail_unknown(config_loader_t *self, const char *path)
{
    FILE *out = config_error_begin(&self->error, path);
    if (!out)
        return false;
    fputs("is not known, expected ", out);
    config_key_put_known(out, path);
    return config_error_end(&self->error, out);
}

//  ---- what was taken ----------------------------------------------------------------------------

const config_setting_t *config_loader_setting(const config_loader_t *self, const config_key_t *key,
                                              size_t index)
{
    for (size_t i = self->setting_count; i > 0; i--)
        if (self->settings[i - 1].key == key && self->settings[i - 1].index == index)
            return &self->settings[i - 1];
    return NULL;
}

//  Notes that a value is taken here.
static bool s_note(config_loader_t *self, const config_key_t *key, size_t index)
{
    size_t count = self->setting_count;
    config_setting_t *settings = realloc(self->settings, (count + 1) * sizeof *settings);
    if (!settings)
        return false;
    settings[count] = (config_setting_t){key, index, self->layer, self->error.line};
    self->settings = settings;
    self->setting_count++;
    return true;
}

//  Was the key given before in this layer, or in this route or rule?
static bool s_is_repeated(const config_loader_t *self, const config_key_t *key)
{
    size_t index = 0;
    if (config_key_is_in_section(key))
        index = config_key_item_count(key, self->config) - 1;
    const config_setting_t *last = config_loader_setting(self, key, index);
    return last && last->layer == self->layer;
}

//  Which of several values of the key the next one is.
static size_t s_next_index(const config_loader_t *self, const config_key_t *key)
{
    if (config_key_is_in_section(key))
        return config_key_item_count(key, self->config) - 1;
    return key->type == KEY_LIST ? ((config_list_t *)config_key_field(key, self->config))->count
                                 : 0;
}

//  ---- taking values -----------------------------------------------------------------------------

//  Takes a value for a key, in place of what an earlier layer has given.
static bool s_take(config_loader_t *self, const config_key_t *key, const char *text)
{
    uint64_t number = 0;
    const char *wrong = config_value_check(key, text, &number);
    if (wrong)
        return config_loader_fail_value(self, key, text, wrong);
    void *field = config_key_field(key, self->config);
    bool repeated = s_is_repeated(self, key);
    if (repeated && key->type != KEY_LIST)
        return config_error_set(&self->error, key->path, "is given twice, expected it once");
    if (!repeated)
        config_value_clear(key, field);
    return (s_note(self, key, s_next_index(self, key)) &&
            config_value_store(key, field, text, number)) ||
           config_loader_no_memory(self, key->path);
}

//  ---- the layers --------------------------------------------------------------------------------

static uint32_t s_half_the_processors(const config_key_t *key)
{
    long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    if (half < (long)key->min)
        return (uint32_t)key->min;
    return half > (long)key->max ? (uint32_t)key->max : (uint32_t)half;
}

bool config_loader_defaults(config_loader_t *self)
{
    config_loader_move(self, LAYER_DEFAULT, 0);
    for (const config_key_t *key = config_keys; key->path; key++)
        if (key->initial && !s_take(self, key, key->initial))
            return false;
    self->config->workers.count = s_half_the_processors(config_key_find("workers/count"));
    return true;
}

static bool s_begin_section(config_loader_t *self, const config_key_t *key)
{
    if (!config_key_add_item(key, self->config))
        return config_loader_no_memory(self, NULL);
    self->section = key;
    self->section_line = self->error.line;
    return true;
}

//  A route or rule that was read whole must have what is required.
static bool s_end_section(config_loader_t *self)
{
    const config_key_t *section = self->section;
    if (!section)
        return true;
    size_t index = config_key_item_count(section, self->config) - 1;
    for (const config_key_t *key = config_keys; key->path; key++) {
        if (key->section != section->section || !key->required ||
            config_loader_setting(self, key, index))
            continue;
        config_loader_move(self, LAYER_FILE, self->section_line);
        return config_error_set(&self->error, section->path, "has no %s, expected one",
                                strrchr(key->path, '/') + 1);
    }
    self->section = NULL;
    return true;
}

//  True if the path lies in the route or rule that is being read.
static bool s_is_in_section(const config_loader_t *self, const char *path)
{
    size_t size = self->section ? strlen(self->section->path) : 0;
    return self->section && strncmp(path, self->section->path, size) == 0 && path[size] == '/';
}

//  Takes a section, or a key with its value, of the file. What is not in the route or rule
//  that is being read ends it.
static bool s_take_item(void *taker, const config_item_t *item)
{
    config_loader_t *self = taker;
    const config_key_t *key = config_key_find(item->path);
    bool is_section = config_key_is_section(item->path);
    if (!s_is_in_section(self, item->path) && !s_end_section(self))
        return false;
    config_loader_move(self, LAYER_FILE, item->line);
    if (!key && !is_section)
        return s_fail_unknown(self, item->path);
    if (is_section && item->assigned)
        return config_error_set(&self->error, item->path, "has a value, expected a section");
    if (is_section)
        return !key || s_begin_section(self, key);
    if (!item->assigned)
        return config_loader_fail_value(self, key, NULL, "has no value");
    return s_take(self, key, item->value);
}

bool config_loader_file(config_loader_t *self)
{
    config_loader_move(self, LAYER_FILE, 0);
    return config_file_read(s_take_item, self, &self->error) && s_end_section(self);
}

static bool s_load_set(config_loader_t *self, const char *set)
{
    size_t size = strcspn(set, "=");
    char *path = strndup(set, size);
    if (!path)
        return config_loader_no_memory(self, NULL);
    const config_key_t *key = config_key_find(path);
    bool ok;
    if (key && key->section != SECTION_NONE)
        ok = config_error_set(&self->error, path, "stands in the file alone, expected it there");
    else if (config_key_is_section(path))
        ok = config_error_set(&self->error, path, "is a section, expected SECTION/KEY=VALUE");
    else if (!key)
        ok = s_fail_unknown(self, path);
    else if (!set[size])
        ok = config_loader_fail_value(self, key, NULL, "has no = and value");
    else
        ok = s_take(self, key, set + size + 1);
    free(path);
    return ok;
}

bool config_loader_sets(config_loader_t *self, char *const *sets, size_t count)
{
    config_loader_move(self, LAYER_SET, 0);
    for (size_t i = 0; i < count; i++)
        if (!s_load_set(self, sets[i]))
            return false;
    return true;
}
